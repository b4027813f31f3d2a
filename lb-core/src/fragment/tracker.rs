//! The datagrams of which fragments are under way, shared by all workers.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::received::{Piece, Received};
use super::{DatagramKey, FragmentError, Later};
use crate::clock::{TICKS_PER_SECOND, Tick};
use crate::hash::FlowHasher;
use crate::interface::InterfaceId;

/// Datagrams of one stripe: as many as a word has bits.
const WAYS: usize = 64;

/// Ticks that a complete datagram is remembered, so that the network's duplicates of its fragments
/// are not taken for a new datagram's, and workers come round to what they have waiting. Short, as
/// a fast sender uses an identification again soon (RFC 4963 section 1).
const LINGER_TICKS: u32 = 2;

/// What was decided for the datagrams of which fragments are under way. `D` is the caller's
/// decision.
///
/// Bounded and allocated at start. A stripe is a lock and room for 64 datagrams; the keyed hash
/// says which one is a datagram's, so nobody can aim at one. A full stripe refuses new datagrams:
/// those that are under way are never evicted, or a flood would break them all.
#[derive(Debug)]
pub struct Tracker<D> {
    stripes: Box<[Mutex<Stripe<D>>]>,
    hasher: FlowHasher,
    /// Counts the datagrams that others may have been waiting for.
    generation: AtomicU32,
    /// The stripe that the next sweep begins with.
    swept: AtomicUsize,
    /// Datagrams of each stripe as the last sweep found them.
    found: Box<[AtomicU32]>,
}

impl<D: Copy> Tracker<D> {
    /// Room for `datagrams_max` datagrams, rounded up to whole stripes of 64.
    pub fn new(datagrams_max: usize, hasher: FlowHasher) -> Self {
        let stripes = datagrams_max.div_ceil(WAYS).max(1);
        Self {
            stripes: (0..stripes).map(|_| Mutex::new(Stripe::EMPTY)).collect(),
            hasher,
            generation: AtomicU32::new(0),
            swept: AtomicUsize::new(0),
            found: (0..stripes).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    /// Another one that knows the same.
    pub fn twin(&self) -> Self {
        Self {
            stripes: self.stripes.iter().map(|stripe| Mutex::new(lock(stripe).clone())).collect(),
            hasher: self.hasher,
            generation: AtomicU32::new(self.generation()),
            swept: AtomicUsize::new(0),
            found: self.stripes.iter().map(|_| AtomicU32::new(0)).collect(),
        }
    }

    /// The first fragment was seen, and what becomes of it was decided. `range` is in bytes of the
    /// datagram's payload, `is_last` whether no more follow. An error means that the fragment is to
    /// be dropped, whatever was decided for it.
    pub fn first(
        &self,
        key: &DatagramKey,
        range: Range<u32>,
        is_last: bool,
        decision: D,
        now: Tick,
    ) -> Result<(), FragmentError> {
        let piece = Piece::check(range, is_last, key.end_max())?;
        if !piece.is_first() {
            return Err(FragmentError::Malformed);
        }
        self.receive(key, piece, Some(decision), now).map(|_| ())
    }

    /// A later fragment was seen: what is to be done with it. An early one reserves its bytes, so
    /// that it is not checked again when its time has come.
    pub fn later(
        &self,
        key: &DatagramKey,
        range: Range<u32>,
        is_last: bool,
        now: Tick,
    ) -> Later<D> {
        let piece = match Piece::check(range, is_last, key.end_max()) {
            Ok(piece) if !piece.is_first() => piece,
            _ => return Later::Refused(FragmentError::Malformed),
        };
        self.receive(key, piece, None, now).unwrap_or_else(Later::Refused)
    }

    /// What is to be done by now with a fragment that [`Tracker::later`] called early.
    pub fn decision(&self, key: &DatagramKey, now: Tick) -> Later<D> {
        let (stripe, tag) = self.stripe(key);
        let known = stripe.find(tag, key).filter(|&way| !stripe.is_over(way, now));
        known.map_or(Later::Refused(FragmentError::Orphan), |way| stripe.answer(way))
    }

    /// A number that changes whenever an early fragment may have found its decision.
    pub fn generation(&self) -> u32 {
        // Pairs with the release in `receive`: who sees the number finds the decision.
        self.generation.load(Ordering::Acquire)
    }

    /// Forgets datagrams whose time is over, in a part of the stripes: eight calls come round.
    /// Returns how many were forgotten.
    pub fn sweep(&self, now: Tick) -> usize {
        let count = self.stripes.len();
        let steps = count.div_ceil(TICKS_PER_SECOND as usize);
        let begin = self.swept.fetch_add(steps, Ordering::Relaxed);
        let sweep = |number: usize| {
            let mut stripe = lock(self.stripes.get(number)?);
            let forgotten = stripe.forget_expired(now);
            self.found.get(number)?.store(stripe.used.count_ones(), Ordering::Relaxed);
            Some(forgotten)
        };
        (0..steps).filter_map(|step| sweep(begin.wrapping_add(step) % count)).sum()
    }

    /// Datagrams that were remembered when they were swept last, within the second: takes no lock,
    /// so no worker waits for who asks.
    pub fn live_lately(&self) -> usize {
        self.found.iter().map(|found| found.load(Ordering::Relaxed) as usize).sum()
    }

    /// Datagrams that are remembered, for listings.
    pub fn live(&self) -> usize {
        self.stripes.iter().map(|stripe| lock(stripe).used.count_ones() as usize).sum()
    }

    /// Datagrams that there is room for.
    pub fn capacity(&self) -> usize {
        self.stripes.len() * WAYS
    }

    fn receive(
        &self,
        key: &DatagramKey,
        piece: Piece,
        decision: Option<D>,
        now: Tick,
    ) -> Result<Later<D>, FragmentError> {
        let (mut stripe, tag) = self.stripe(key);
        let way = stripe.open(tag, key, decision.is_some(), now)?;
        let record = &mut stripe.records[way];
        let awaited = record.is_awaited();
        let received = record.received.add(piece);
        if received.is_ok() && decision.is_some() {
            record.decision = decision;
        }
        let has_news = awaited && !record.is_awaited();
        if received.is_ok() {
            stripe.close_if_complete(way, now);
        }
        let answer = received.map(|()| stripe.answer(way));
        if let Ok(Later::Early { .. }) = answer {
            stripe.records[way].has_early = true;
        }
        if has_news {
            self.generation.fetch_add(1, Ordering::Release);
        }
        answer
    }

    /// The datagram's stripe, locked, and its tag there.
    #[expect(clippy::cast_possible_truncation, reason = "a product's high and a hash's low half")]
    fn stripe(&self, key: &DatagramKey) -> (MutexGuard<'_, Stripe<D>>, u32) {
        let hash = key.hash(&self.hasher);
        // The high half of the hash, scaled to the number of stripes; so it is below it.
        let index = (((hash >> 32) * self.stripes.len() as u64) >> 32) as usize;
        (lock(&self.stripes[index]), hash as u32)
    }
}

/// A panic ends the process, so a lock is never left broken.
fn lock<D>(stripe: &Mutex<Stripe<D>>) -> MutexGuard<'_, Stripe<D>> {
    stripe.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A datagram.
#[derive(Clone, Copy, Debug)]
struct Record<D> {
    key: DatagramKey,
    received: Received,
    /// From the first fragment on.
    decision: Option<D>,
    /// Whether a fragment came before the first one, and so waits somewhere.
    has_early: bool,
}

impl<D: Copy> Record<D> {
    const fn new(key: DatagramKey) -> Self {
        Self { key, received: Received::NONE, decision: None, has_early: false }
    }

    /// Whether fragments wait for what becomes of this datagram.
    const fn is_awaited(&self) -> bool {
        self.has_early && self.decision.is_none() && !self.received.is_spoilt()
    }
}

/// 64 datagrams. What a search reads lies together; `ways` are places in all the arrays, and bits
/// in the words.
#[derive(Clone, Debug)]
struct Stripe<D> {
    used: u64,
    /// Complete and with nobody waiting: kept against duplicates only, so it may make room.
    spare: u64,
    tags: [u32; WAYS],
    until: [Tick; WAYS],
    records: [Record<D>; WAYS],
}

impl<D: Copy> Stripe<D> {
    const EMPTY: Self = Self {
        used: 0,
        spare: 0,
        tags: [0; WAYS],
        until: [Tick(0); WAYS],
        records: [Record::new(DatagramKey {
            source: 0,
            destination: 0,
            identification: 0,
            protocol: 0,
            interface: InterfaceId(0),
        }); WAYS],
    };

    fn find(&self, tag: u32, key: &DatagramKey) -> Option<usize> {
        let same = self.tags.iter().rev().fold(0, |bits, &t| bits << 1 | u64::from(t == tag));
        ways(same & self.used).find(|&way| self.records[way].key == *key)
    }

    /// The datagram's record, a new one if there is none. A first fragment of a complete datagram
    /// begins another with the same identification.
    fn open(
        &mut self,
        tag: u32,
        key: &DatagramKey,
        is_first: bool,
        now: Tick,
    ) -> Result<usize, FragmentError> {
        let known = self.find(tag, key);
        if let Some(way) = known {
            let begins_anew = is_first && self.spare >> way & 1 != 0;
            if !self.is_over(way, now) && !begins_anew {
                return Ok(way);
            }
        }
        let way = known.or_else(|| self.room(now)).ok_or(FragmentError::Flood)?;
        self.used |= 1 << way;
        self.spare &= !(1 << way);
        self.tags[way] = tag;
        self.until[way] = now.plus_seconds(key.patience_s());
        self.records[way] = Record::new(*key);
        Ok(way)
    }

    /// A place for a new datagram: free, else over, else spare.
    fn room(&self, now: Tick) -> Option<usize> {
        let mut places = !self.used;
        if places == 0 {
            places = self.expired(now);
        }
        if places == 0 {
            places = self.spare;
        }
        ways(places).next()
    }

    fn close_if_complete(&mut self, way: usize, now: Tick) {
        let record = &self.records[way];
        if record.received.is_complete() {
            self.until[way] = Tick(now.0.wrapping_add(LINGER_TICKS));
            self.spare |= u64::from(!record.has_early) << way;
        }
    }

    fn answer(&self, way: usize) -> Later<D> {
        let record = &self.records[way];
        match record.decision {
            _ if record.received.is_spoilt() => Later::Refused(FragmentError::Overlap),
            Some(decision) => Later::Follow(decision),
            None => Later::Early { until: self.until[way] },
        }
    }

    fn is_over(&self, way: usize, now: Tick) -> bool {
        self.until[way].is_before(now)
    }

    fn expired(&self, now: Tick) -> u64 {
        let over = |bits, until: &Tick| bits << 1 | u64::from(until.is_before(now));
        self.until.iter().rev().fold(0, over) & self.used
    }

    fn forget_expired(&mut self, now: Tick) -> usize {
        let expired = self.expired(now);
        self.used &= !expired;
        self.spare &= !expired;
        expired.count_ones() as usize
    }
}

/// The numbers of the bits that are set, each below [`WAYS`].
fn ways(mut bits: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let way = (bits != 0).then(|| bits.trailing_zeros() as usize)?;
        bits &= bits - 1;
        Some(way)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::WorkerCounters;
    use crate::drops::DropReason;
    use crate::fragment::Early;
    use FragmentError::{Duplicate, Flood, Malformed, Orphan, Overlap, Scattered};
    use proptest::prelude::*;
    use std::collections::{BTreeSet, HashMap};
    use std::sync::atomic::AtomicU8;

    const NOW: Tick = Tick(1000);

    fn key(identification: u16) -> DatagramKey {
        let addresses = ([10, 0, 1, 2].into(), [10, 0, 0, 100].into());
        DatagramKey::ipv4(addresses, identification, 17, InterfaceId(0))
    }

    fn tracker<D: Copy>(datagrams_max: usize) -> Tracker<D> {
        Tracker::new(datagrams_max, FlowHasher::new([1, 2, 3]))
    }

    #[test]
    fn later_fragments_follow_the_first() {
        let tracker = tracker(64);
        tracker.first(&key(1), 0..8, false, 'a', NOW).unwrap();
        assert_eq!(tracker.later(&key(1), 8..16, false, NOW), Later::Follow('a'));
        assert_eq!(tracker.later(&key(1), 16..17, true, NOW), Later::Follow('a'));
    }

    #[test]
    fn an_early_fragment_is_told_until_when_and_is_checked_once() {
        let tracker = tracker(64);
        let until = NOW.plus_seconds(30);
        assert_eq!(tracker.later(&key(1), 8..16, true, NOW), Later::Early { until });
        assert_eq!(tracker.decision(&key(1), NOW), Later::Early { until });
        let generation = tracker.generation();
        tracker.first(&key(1), 0..8, false, 'a', NOW.plus_seconds(29)).unwrap();
        assert_ne!(tracker.generation(), generation);
        assert_eq!(tracker.decision(&key(1), NOW.plus_seconds(29)), Later::Follow('a'));
    }

    #[test]
    fn first_and_later_are_told_apart_by_their_offset() {
        let tracker = tracker(64);
        assert_eq!(tracker.first(&key(1), 8..16, false, 'a', NOW), Err(Malformed));
        assert_eq!(tracker.later(&key(1), 0..8, false, NOW), Later::Refused(Malformed));
        assert_eq!(tracker.live(), 0, "what is malformed takes no room");
    }

    #[test]
    fn an_early_fragment_cannot_rewrite_the_transport_header() {
        // RFC 3128: a second fragment at offset 8 over the TCP flags of the first.
        let tracker = tracker(64);
        assert!(matches!(tracker.later(&key(1), 8..32, true, NOW), Later::Early { .. }));
        assert_eq!(tracker.first(&key(1), 0..24, false, 'a', NOW), Err(Overlap));
        assert_eq!(tracker.decision(&key(1), NOW), Later::Refused(Overlap));
        assert_eq!(tracker.later(&key(1), 800..808, true, NOW), Later::Refused(Overlap));
    }

    #[test]
    fn a_full_table_refuses_and_evicts_nothing() {
        let tracker = tracker(64);
        for id in 0..64 {
            tracker.first(&key(id), 0..8, false, id, NOW).unwrap();
        }
        assert_eq!(tracker.first(&key(64), 0..8, false, 64, NOW), Err(Flood));
        assert_eq!(tracker.later(&key(65), 8..16, false, NOW), Later::Refused(Flood));
        let last_tick = NOW.plus_seconds(30);
        for id in 0..64 {
            assert_eq!(tracker.later(&key(id), 8..16, false, last_tick), Later::Follow(id));
        }
        let over = Tick(last_tick.0 + 1);
        tracker.first(&key(64), 0..8, false, 64, over).unwrap();
        assert_eq!(tracker.live(), 64, "it took the place of one that was over");
    }

    #[test]
    fn ipv6_has_twice_the_time() {
        let tracker = tracker(64);
        let address = "2001:db8::1".parse().unwrap();
        let key = DatagramKey::ipv6((address, address), 1, InterfaceId(0));
        tracker.first(&key, 0..8, false, 'a', NOW).unwrap();
        let minute = NOW.plus_seconds(60);
        assert_eq!(tracker.decision(&key, minute), Later::Follow('a'));
        assert_eq!(tracker.decision(&key, Tick(minute.0 + 1)), Later::Refused(Orphan));
    }

    #[test]
    fn complete_datagrams_make_room_unless_fragments_wait_for_them() {
        let tracker = tracker(64);
        for id in 0..64 {
            if id < 32 {
                assert!(matches!(tracker.later(&key(id), 8..9, true, NOW), Later::Early { .. }));
                tracker.first(&key(id), 0..8, false, id, NOW).unwrap();
            } else {
                tracker.first(&key(id), 0..8, false, id, NOW).unwrap();
                assert_eq!(tracker.later(&key(id), 8..9, true, NOW), Later::Follow(id));
            }
        }
        for id in 64..96 {
            tracker.first(&key(id), 0..8, false, id, NOW).unwrap();
        }
        assert_eq!(tracker.first(&key(96), 0..8, false, 96, NOW), Err(Flood));
        for id in (0..32).chain(64..96) {
            assert_eq!(tracker.decision(&key(id), NOW), Later::Follow(id));
        }
        let soon = Tick(NOW.0 + LINGER_TICKS + 1);
        tracker.first(&key(96), 0..8, false, 96, soon).unwrap();
    }

    #[test]
    fn duplicates_of_a_complete_datagram_are_refused_and_its_number_may_be_used_again() {
        let tracker = tracker(64);
        tracker.first(&key(1), 0..8, false, 'a', NOW).unwrap();
        assert_eq!(tracker.first(&key(1), 0..8, false, 'b', NOW), Err(Duplicate));
        assert_eq!(tracker.later(&key(1), 8..16, true, NOW), Later::Follow('a'));
        assert_eq!(tracker.later(&key(1), 8..16, true, NOW), Later::Refused(Duplicate));
        tracker.first(&key(1), 0..800, false, 'b', NOW).unwrap();
        assert_eq!(tracker.later(&key(1), 800..808, true, NOW), Later::Follow('b'));
    }

    #[test]
    fn eight_sweeps_come_round() {
        let tracker = tracker(1000);
        assert_eq!(tracker.capacity(), 1024);
        for id in 0..500 {
            tracker.first(&key(id), 0..8, false, id, NOW).unwrap();
        }
        assert_eq!((0..8).map(|_| tracker.sweep(NOW.plus_seconds(30))).sum::<usize>(), 0);
        assert_eq!(tracker.live(), 500);
        let over = NOW.plus_seconds(31);
        let swept: Vec<usize> = (0..8).map(|_| tracker.sweep(over)).collect();
        assert_eq!(swept.iter().sum::<usize>(), 500);
        assert!(swept.iter().all(|&ended| ended <= 2 * WAYS), "two stripes each: {swept:?}");
        assert_eq!(tracker.live(), 0);
    }

    #[test]
    fn a_datagram_takes_128_bytes_at_most() {
        type Decision = (u32, u32, u8);
        assert!(size_of::<Mutex<Stripe<Decision>>>() / WAYS <= 128);
    }

    #[test]
    fn a_table_for_none_still_has_a_stripe() {
        assert_eq!(tracker::<u8>(0).capacity(), WAYS);
    }

    /// The same rules written as plainly as possible: all fragments in a list.
    #[derive(Default)]
    struct Model {
        datagrams: HashMap<u16, Datagram>,
    }

    #[derive(Clone)]
    struct Datagram {
        pieces: Vec<(Range<u32>, bool)>,
        decision: Option<u8>,
        has_early: bool,
        is_spoilt: bool,
        until: u32,
    }

    impl Datagram {
        fn end(&self) -> Option<u32> {
            self.pieces.iter().find(|(_, is_last)| *is_last).map(|(range, _)| range.end)
        }

        fn units(&self) -> BTreeSet<u32> {
            self.pieces.iter().flat_map(|(range, _)| range.clone()).collect()
        }

        fn is_complete(&self) -> bool {
            !self.is_spoilt && self.end().is_some_and(|end| self.units().len() == end as usize)
        }

        fn check(&self, range: &Range<u32>, is_last: bool) -> Result<(), FragmentError> {
            let units = self.units();
            let seen = range.clone().filter(|unit| units.contains(unit)).count();
            let is_end_wrong = match self.end() {
                Some(end) => range.end > end || is_last && range.end != end,
                None => is_last && units.last().is_some_and(|unit| *unit >= range.end),
            };
            if self.is_spoilt || is_end_wrong {
                return Err(Overlap);
            }
            if seen > 0 {
                return Err(if seen == range.len() { Duplicate } else { Overlap });
            }
            let all: BTreeSet<u32> = units.into_iter().chain(range.clone()).collect();
            let islands = all.iter().filter(|unit| !all.contains(&(**unit + 1))).count();
            if islands > 8 { Err(Scattered) } else { Ok(()) }
        }
    }

    impl Model {
        fn receive(
            &mut self,
            id: u16,
            range: Range<u32>,
            is_last: bool,
            decision: Option<u8>,
            now: u32,
        ) -> Result<Later<u8>, FragmentError> {
            let begins_anew = |datagram: &Datagram| {
                let is_spare = datagram.pieces.iter().any(|piece| piece.1)
                    && Datagram { is_spoilt: false, ..datagram.clone() }.is_complete()
                    && !datagram.has_early;
                datagram.until < now || decision.is_some() && is_spare
            };
            if self.datagrams.get(&id).is_none_or(begins_anew) {
                let until = now + 30 * TICKS_PER_SECOND;
                let new = Datagram {
                    pieces: Vec::new(),
                    decision: None,
                    has_early: false,
                    is_spoilt: false,
                    until,
                };
                self.datagrams.insert(id, new);
            }
            let datagram = self.datagrams.get_mut(&id).unwrap();
            let checked = datagram.check(&range, is_last);
            datagram.is_spoilt |= checked == Err(Overlap);
            checked?;
            datagram.pieces.push((range, is_last));
            datagram.decision = datagram.decision.or(decision);
            if datagram.is_complete() {
                datagram.until = now + LINGER_TICKS;
            }
            datagram.has_early |= datagram.decision.is_none();
            Ok(self.decision(id, now))
        }

        fn decision(&self, id: u16, now: u32) -> Later<u8> {
            match self.datagrams.get(&id) {
                Some(datagram) if datagram.until >= now => match datagram.decision {
                    _ if datagram.is_spoilt => Later::Refused(Overlap),
                    Some(decision) => Later::Follow(decision),
                    None => Later::Early { until: Tick(datagram.until) },
                },
                _ => Later::Refused(Orphan),
            }
        }
    }

    /// A step of the model test: datagram, start and length in units of 8 bytes, last, ticks that
    /// go by before.
    fn step() -> impl Strategy<Value = (u16, u32, u32, bool, u32)> {
        let ticks = prop_oneof![20 => Just(0), 4 => 0_u32..4, 1 => 0_u32..300];
        let start = prop_oneof![2 => Just(0), 5 => 0_u32..6, 1 => 0_u32..60];
        (0_u16..3, start, 1_u32..4, prop::bool::weighted(0.2), ticks)
    }

    proptest! {
        #[test]
        fn answers_are_those_of_the_model(steps in proptest::collection::vec(step(), 0..120)) {
            let tracker = tracker(64);
            let mut model = Model::default();
            let mut now = NOW;
            for (number, (id, start, length, is_last, ticks)) in (0_u8..).zip(steps) {
                now = Tick(now.0 + ticks);
                let range = start * 8..(start + length) * 8;
                let units = start..start + length;
                let generation = tracker.generation();
                let awaited = matches!(model.decision(id, now.0), Later::Early { .. });
                if start == 0 {
                    let expected = model.receive(id, units, is_last, Some(number), now.0);
                    let got = tracker.first(&key(id), range, is_last, number, now);
                    prop_assert_eq!(got, expected.map(|_| ()));
                } else {
                    let expected = model.receive(id, units, is_last, None, now.0);
                    let got = tracker.later(&key(id), range, is_last, now);
                    prop_assert_eq!(got, expected.unwrap_or_else(Later::Refused));
                }
                if number % 4 == 0 {
                    tracker.sweep(now);
                }
                for id in 0..3 {
                    prop_assert_eq!(tracker.decision(&key(id), now), model.decision(id, now.0));
                }
                let awaits = matches!(model.decision(id, now.0), Later::Early { .. });
                prop_assert_eq!(tracker.generation() != generation, awaited && !awaits);
            }
        }
    }

    /// Two workers share a tracker; each gets fragments of all datagrams, in an order of its own,
    /// and some of them come to both. Each is sent once, by what was decided for its datagram.
    #[test]
    fn two_workers_send_every_fragment_once() {
        const DATAGRAMS: u16 = 3000;
        const PIECES: usize = 6;
        let tracker = tracker::<u16>(4 * usize::from(DATAGRAMS));
        let sent: Vec<[AtomicU8; PIECES]> = (0..DATAGRAMS).map(|_| Default::default()).collect();
        let duplicates = AtomicUsize::new(0);
        let worker = |number: usize| {
            let counters = WorkerCounters::new(0);
            let mut early = Early::new(usize::from(DATAGRAMS) * PIECES);
            let send = |(id, piece): (u16, usize), decision: u16| {
                assert_eq!(decision, !id);
                sent[usize::from(id)][piece].fetch_add(1, Ordering::Relaxed);
            };
            let no_loss = |frame| panic!("{frame:?} was given up");
            for step in 0..DATAGRAMS {
                // 700 and 3000 have no common divisor but 100: the workers are apart, then close.
                let id = if number == 0 { step } else { (step + 700) % DATAGRAMS };
                for piece in 0..PIECES {
                    // The last one comes to both; the others, in any order, to one.
                    let piece = (piece + usize::from(step)) % PIECES;
                    if piece + 1 != PIECES && piece % 2 != (number + usize::from(id)) % 2 {
                        continue;
                    }
                    let start = u32::try_from(piece).unwrap() * 8;
                    let range = start..start + 8;
                    if piece == 0 {
                        tracker.first(&key(id), range, false, !id, NOW).unwrap();
                        send((id, piece), !id);
                        continue;
                    }
                    match tracker.later(&key(id), range, piece + 1 == PIECES, NOW) {
                        Later::Follow(decision) => send((id, piece), decision),
                        Later::Early { until } => {
                            assert!(early.push((id, piece), key(id), until, &counters).is_none());
                        }
                        Later::Refused(error) => {
                            assert_eq!(error, Duplicate);
                            duplicates.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
                early.release(&tracker, NOW, &counters, send, no_loss);
            }
            while !early.is_empty() {
                early.release(&tracker, NOW, &counters, send, no_loss);
                std::thread::yield_now();
            }
            assert_eq!(counters.dropped(DropReason::FragmentOrphan), 0);
        };
        std::thread::scope(|scope| {
            scope.spawn(|| worker(0));
            scope.spawn(|| worker(1));
        });
        for (id, pieces) in sent.iter().enumerate() {
            for (piece, times) in pieces.iter().enumerate() {
                assert_eq!(times.load(Ordering::Relaxed), 1, "piece {piece} of datagram {id}");
            }
        }
        assert_eq!(duplicates.into_inner(), usize::from(DATAGRAMS));
    }
}
