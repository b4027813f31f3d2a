//! The search that lc, wlc, sed, nq, fo, ovf, lblc and lblcr share: the destination with the least
//! load for its weight, the first one of equals.
//!
//! A short list is walked. A long one is cut into groups, and of each group the index remembers
//! which destination is the least. That stays a lower bound while connections begin, since those
//! only add load: whether it still holds is seen when the destination is looked at, and then the
//! group is walked again. What takes load away, or makes a destination usable again, is told to
//! the group's leader, by place ([`Falls`]), and the next pick looks at that destination. So a pick
//! looks at all groups, at what fell, and walks one group or so; it finds what a walk of the whole
//! list would find.
//!
//! Lcores share the index without waiting: who finds a group locked walks it for itself. While
//! another one writes, what a pick finds may be as things were an instant ago. It is never a
//! destination that can take no connection, as the destination itself is asked at last.

use std::ops::Range;
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU32, AtomicU64, Ordering};

use super::Candidates;
use crate::falls::Falls;
use crate::slots::{DestinationId, DestinationSlot};

/// Destinations of a list that is walked.
const WALKED_MAX: usize = 64;

/// In a stamp besides the count of falls: the group has been walked, for one variant of the load
/// figure or the other. Without it nothing is known.
const WALKED: u64 = 1 << 32;
const VARIANT: u64 = 1 << 33;

/// The stamp while the group is written.
const LOCKED: u64 = u64::MAX;

/// The key of a group in which no destination can take a connection: infinite.
const NEVER: u64 = f64::INFINITY.to_bits();

/// In place of a place: no destination of the group can take a connection.
const NOBODY: u32 = u32::MAX;

/// A load relative to a weight, compared by cross multiplication in 64 bits, as the kernel does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ratio {
    pub(super) load: i64,
    /// Above 0.
    pub(super) weight: i32,
}

impl Ratio {
    /// Whether this is strictly the smaller one: ties stay with what was there first.
    #[inline]
    pub(super) fn is_below(self, other: Self) -> bool {
        let load_here = self.load.wrapping_mul(i64::from(other.weight));
        load_here < other.load.wrapping_mul(i64::from(self.weight))
    }
}

/// A destination in the list, and its ratio when it was looked at.
type Least = Option<(usize, Ratio)>;

/// The first of some places with the smallest ratio.
#[inline]
fn walk(
    candidates: Candidates<'_>,
    places: Range<usize>,
    ratio: impl Fn(&DestinationSlot) -> Option<Ratio>,
) -> Least {
    let ids = candidates.ids.get(places.clone()).unwrap_or_default();
    let mut best: Least = None;
    for (place, &id) in places.zip(ids) {
        if let Some(found) = ratio(candidates.slots.get(id))
            && best.is_none_or(|(_, best)| found.is_below(best))
        {
            best = Some((place, found));
        }
    }
    best
}

/// How many destinations are in a group of a list; `None` where the list is walked.
pub(super) const fn group_size(count: usize) -> Option<usize> {
    match count {
        0..=WALKED_MAX => None,
        // About the square root: as much to look at as to walk.
        65..=2048 => Some(32),
        _ => Some(128),
    }
}

/// Which place leads the group of a place. Not always the first one: lines at equal distances would
/// fall into one set of the cache, and every pick reads all of them.
pub(super) const fn leader_of(place: usize, group_size: usize, count: usize) -> usize {
    let number = place / group_size;
    let first = number * group_size;
    let rest = count - first;
    first + number % if rest < group_size { rest } else { group_size }
}

/// What is remembered of the groups of a list.
#[derive(Debug)]
pub struct LeastIndex {
    group_size: usize,
    groups: Box<[Group]>,
}

/// What is known of a group.
#[derive(Debug)]
#[repr(align(64))]
struct Group {
    /// Falls that are taken into account, and of which variant it is.
    stamp: AtomicU64,
    /// The least destination's ratio as a fraction, rounded: bits of a number of 64 bits that is
    /// not negative, so they have its order. Infinite where no destination can take a connection.
    key: AtomicU64,
    /// The ratio as it is.
    load: AtomicI64,
    weight: AtomicI32,
    place: AtomicU32,
    leader: DestinationId,
}

/// A group in which a destination is the least, as far as is known.
#[derive(Clone, Copy)]
struct Bound {
    place: usize,
    ratio: Ratio,
}

impl LeastIndex {
    /// The index of a list, of which nothing is known yet.
    pub(super) fn new(candidates: Candidates<'_>) -> Self {
        let ids = candidates.ids;
        let Some(group_size) = group_size(ids.len()) else {
            return Self { group_size: 1, groups: Box::default() };
        };
        let leaders = (0..ids.len())
            .step_by(group_size)
            .map(|first| ids[leader_of(first, group_size, ids.len())]);
        Self { group_size, groups: leaders.map(Group::led_by).collect() }
    }

    /// The first destination of the list with the smallest ratio; `ratio` is `None` where no
    /// connection may go, and does not become smaller without the leader being told. There may be
    /// two variants of it.
    #[inline]
    pub(super) fn pick(
        &self,
        candidates: Candidates<'_>,
        variant: bool,
        ratio: impl Fn(&DestinationSlot) -> Option<Ratio>,
    ) -> Option<usize> {
        self.find(candidates, variant, ratio).map(|(place, _)| place)
    }

    /// The same, with the ratio.
    #[inline]
    pub(super) fn find(
        &self,
        candidates: Candidates<'_>,
        variant: bool,
        ratio: impl Fn(&DestinationSlot) -> Option<Ratio>,
    ) -> Least {
        let holds = |it: &Bound| ratio(candidates.slot(it.place)) == Some(it.ratio);
        // Each turn walks a group that has got worse; others may make them worse all the time.
        for _ in 0..self.groups.len() {
            let (least, second) = self.least_two(candidates, variant, &ratio);
            let (least, second) = (least?, second.and_then(|group| self.groups[group].read()));
            let Some(bound) = self.groups[least].read() else { continue };
            if holds(&bound) {
                return Some((bound.place, bound.ratio));
            }
            let walked = self.walk(least, candidates, variant, &ratio);
            let best = match (walked, second) {
                (Some(walked), Some(second)) if second.precedes(&walked) => second,
                (Some(walked), _) => return Some((walked.place, walked.ratio)),
                (None, Some(second)) => second,
                (None, None) => return None,
            };
            if holds(&best) {
                return Some((best.place, best.ratio));
            }
        }
        walk(candidates, 0..candidates.ids.len(), ratio)
    }

    /// The group with the lowest bound, and that with the lowest one of the others.
    #[inline]
    fn least_two(
        &self,
        candidates: Candidates<'_>,
        variant: bool,
        ratio: impl Fn(&DestinationSlot) -> Option<Ratio>,
    ) -> (Option<usize>, Option<usize>) {
        let (mut least, mut second) = ((NEVER, None), (NEVER, None));
        for (number, group) in self.groups.iter().enumerate() {
            let falls = candidates.slots.get(group.leader).falls();
            if group.stamp.load(Ordering::Acquire) != stamp_of(falls.count(), variant) {
                self.catch_up(number, falls, candidates, variant, &ratio);
            }
            let key = group.key.load(Ordering::Relaxed);
            if self.is_below((key, number), least) {
                (least, second) = ((key, Some(number)), least);
            } else if self.is_below((key, number), second) {
                second = (key, Some(number));
            }
        }
        (least.1, second.1)
    }

    /// Whether a group's bound is below another one's, which is earlier in the list.
    #[inline]
    fn is_below(
        &self,
        (key, group): (u64, usize),
        (other_key, other): (u64, Option<usize>),
    ) -> bool {
        if key != other_key {
            return key < other_key;
        }
        // Huge ratios that differ may be rounded to the same number.
        let ratio = |group: usize| self.groups[group].read().map(|bound| bound.ratio);
        match (ratio(group), other.and_then(ratio)) {
            (Some(ratio), Some(other)) => ratio.is_below(other),
            _ => false,
        }
    }

    /// Takes into account what fell since a group was looked at last, or walks it.
    fn catch_up(
        &self,
        number: usize,
        falls: Falls,
        candidates: Candidates<'_>,
        variant: bool,
        ratio: impl Fn(&DestinationSlot) -> Option<Ratio>,
    ) {
        let group = &self.groups[number];
        let stamp = group.stamp.load(Ordering::Acquire);
        let missed = falls.since(seen(stamp)).filter(|_| stamp == stamp_of(seen(stamp), variant));
        let Some(missed) = missed.filter(|_| group.lock(stamp)) else {
            self.walk(number, candidates, variant, ratio);
            return;
        };
        let first = number * self.group_size;
        let mut least = group.read();
        for byte in missed {
            let place = first + (usize::from(byte).wrapping_sub(first) & 0xff);
            let Some(&id) = candidates.ids.get(place) else { continue };
            if let Some(ratio) = ratio(candidates.slots.get(id)) {
                let found = Bound { place, ratio };
                if least.is_none_or(|least| found.precedes(&least)) {
                    least = Some(found);
                }
            }
        }
        group.unlock(stamp_of(falls.count(), variant), least);
    }

    /// The least of a group, by a look at all of it.
    fn walk(
        &self,
        number: usize,
        candidates: Candidates<'_>,
        variant: bool,
        ratio: impl Fn(&DestinationSlot) -> Option<Ratio>,
    ) -> Option<Bound> {
        let group = &self.groups[number];
        let stamp = group.stamp.load(Ordering::Relaxed);
        let is_ours = stamp != LOCKED && group.lock(stamp);
        let falls = candidates.slots.get(group.leader).falls();
        let first = number * self.group_size;
        let end = (first + self.group_size).min(candidates.ids.len());
        let least = walk(candidates, first..end, ratio);
        let least = least.map(|(place, ratio)| Bound { place, ratio });
        if is_ours {
            group.unlock(stamp_of(falls.count(), variant), least);
        }
        least
    }
}

const fn stamp_of(seen: u32, variant: bool) -> u64 {
    seen as u64 | WALKED | if variant { VARIANT } else { 0 }
}

/// The count of falls of a stamp.
#[expect(clippy::cast_possible_truncation, reason = "the lower half")]
const fn seen(stamp: u64) -> u32 {
    stamp as u32
}

impl Bound {
    /// Whether it is smaller, or equal and earlier in the list.
    #[inline]
    fn precedes(&self, other: &Self) -> bool {
        self.ratio.is_below(other.ratio)
            || (self.place < other.place && !other.ratio.is_below(self.ratio))
    }
}

impl Group {
    const fn led_by(leader: DestinationId) -> Self {
        Self {
            stamp: AtomicU64::new(0),
            key: AtomicU64::new(NEVER),
            load: AtomicI64::new(0),
            weight: AtomicI32::new(0),
            place: AtomicU32::new(NOBODY),
            leader,
        }
    }

    #[inline]
    fn read(&self) -> Option<Bound> {
        let place = self.place.load(Ordering::Relaxed);
        let load = self.load.load(Ordering::Relaxed);
        let weight = self.weight.load(Ordering::Relaxed);
        let ratio = Ratio { load, weight };
        (place != NOBODY).then_some(Bound { place: place as usize, ratio })
    }

    /// Begins to write, if nobody else has since the stamp was read.
    fn lock(&self, stamp: u64) -> bool {
        self.stamp.compare_exchange(stamp, LOCKED, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    #[expect(clippy::cast_possible_truncation, reason = "a service has far less than 2^32 places")]
    fn unlock(&self, stamp: u64, found: Option<Bound>) {
        let (key, place) = match found {
            Some(Bound { place, ratio: Ratio { load, weight } }) => {
                self.load.store(load, Ordering::Relaxed);
                self.weight.store(weight, Ordering::Relaxed);
                (key_of(load, weight), place as u32)
            }
            None => (NEVER, NOBODY),
        };
        self.key.store(key, Ordering::Relaxed);
        self.place.store(place, Ordering::Relaxed);
        self.stamp.store(stamp, Ordering::Release);
    }
}

/// Rounding keeps the order: what is less is never rounded to more.
#[expect(clippy::cast_precision_loss, reason = "where it matters, the ratios are compared")]
fn key_of(load: i64, weight: i32) -> u64 {
    (load.max(0) as f64 / f64::from(weight)).to_bits()
}

#[cfg(test)]
mod tests {
    use super::super::samples::Sample;
    use super::super::{fo, lc, nq, ovf, sed, wlc};
    use super::*;

    type RatioOf = fn(&DestinationSlot, &Sample) -> Option<Ratio>;

    const MEASURES: [(&str, RatioOf); 6] = [
        ("lc", |slot, sample| lc::ratio(slot, &sample.settings)),
        ("wlc", |slot, sample| wlc::ratio(slot, &sample.settings)),
        ("sed", |slot, _| sed::ratio(slot)),
        ("nq", |slot, _| nq::ratio(slot)),
        ("fo", |slot, _| fo::ratio(slot)),
        ("ovf", |slot, _| ovf::ratio(slot)),
    ];

    /// Whatever happened since: the index finds what a walk of the whole list finds.
    #[test]
    fn groups_find_what_a_walk_finds() {
        for count in [65, 96, 300, 2100] {
            let mut sample = Sample::new(&vec![1; count]);
            sample.candidates().arrange(true);
            let schedulers = MEASURES.map(|(name, ratio)| (name, sample.start(name), ratio));
            let mut random = count as u64;
            let mut below = |limit: usize| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                usize::try_from(random >> 33).unwrap() % limit
            };
            let mut connections: Vec<(DestinationId, bool)> = Vec::new();
            for step in 0..4000 {
                let any = sample.ids[below(count)];
                match below(12) {
                    0 => {
                        let weight = [0, 1, 1, 2, 3, 100, 65535, i32::MAX][below(8)];
                        let upper = [0, 0, 0, 1, 3][below(5)];
                        sample.slots.configure(any, weight, upper, 0);
                    }
                    1 => sample.settings.load_counts_all ^= below(8) == 0,
                    2..=5 if !connections.is_empty() => {
                        let place = below(connections.len());
                        let (id, active) = &mut connections[place];
                        *active ^= true;
                        sample.slots.set_active(*id, *active);
                    }
                    6..=8 if !connections.is_empty() => {
                        let (id, active) = connections.swap_remove(below(connections.len()));
                        sample.slots.unbind(id, active);
                    }
                    _ => {
                        let (_, scheduler, _) = &schedulers[below(6)];
                        let place = sample.pick(scheduler, 1);
                        let id = place.map_or(any, DestinationId);
                        let active = below(2) == 0;
                        sample.slots.bind(id, active);
                        connections.push((id, active));
                    }
                }
                for (name, scheduler, ratio) in &schedulers {
                    let walked = walk(sample.candidates(), 0..count, |slot| ratio(slot, &sample));
                    let request = sample.request(2, 1);
                    let found = scheduler.pick(&request, sample.candidates());
                    assert_eq!(found, walked.map(|it| it.0), "{name} of {count}, step {step}");
                }
            }
        }
    }

    /// Bounds that differ by less than their rounded fractions can tell are told apart.
    #[test]
    fn huge_ratios_are_compared_exactly() {
        let sample = Sample::new(&[1; 65]);
        sample.candidates().arrange(true);
        let index = LeastIndex::new(sample.candidates());
        let huge = 1 << 30;
        let bounds = [(huge, 0x3fff_ffff), (huge + 1, 0x4000_0000), (huge + 1, 0x4000_0000)];
        for (place, (group, (load, weight))) in index.groups.iter().zip(bounds).enumerate() {
            let ratio = Ratio { load, weight };
            group.unlock(stamp_of(0, false), Some(Bound { place: 32 * place, ratio }));
        }
        assert_eq!(index.groups[0].key.load(Ordering::Relaxed), key_of(huge + 1, 0x4000_0000));
        let found = index.least_two(sample.candidates(), false, |_| None);
        assert_eq!(found, (Some(1), Some(2)), "the first of two that are a little less");
    }
}
