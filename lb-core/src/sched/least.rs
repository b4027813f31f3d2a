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
use crate::slots::DestinationSlot;

/// Destinations of a list that is walked.
const WALKED_MAX: usize = 64;

/// In a stamp besides the count of falls: the group has been walked, for one variant of the load
/// figure or the other. Without it nothing is known.
const WALKED: u64 = 1 << 32;
const VARIANT: u64 = 1 << 33;

/// The stamp while the group is written.
const LOCKED: u64 = u64::MAX;

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

/// What is remembered of the groups of a list.
#[derive(Debug)]
pub struct LeastIndex {
    group_size: usize,
    groups: Box<[Group]>,
}

/// What is known of a group.
#[derive(Debug, Default)]
#[repr(align(32))]
struct Group {
    /// Falls that are taken into account, and of which variant it is.
    stamp: AtomicU64,
    load: AtomicI64,
    weight: AtomicI32,
    place: AtomicU32,
}

/// A group in which a destination is the least, as far as is known.
#[derive(Clone, Copy)]
struct Bound {
    group: usize,
    place: usize,
    ratio: Ratio,
}

impl LeastIndex {
    /// The index of a list, of which nothing is known yet.
    pub(super) fn new(candidates: Candidates<'_>) -> Self {
        let count = candidates.ids.len();
        let size = group_size(count);
        let groups = (0..size.map_or(0, |size| count.div_ceil(size))).map(|_| Group::default());
        Self { group_size: size.unwrap_or(1), groups: groups.collect() }
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
            let least = least?;
            if holds(&least) {
                return Some((least.place, least.ratio));
            }
            let walked = self.walk(least.group, candidates, variant, &ratio);
            let best = match (walked, second) {
                (Some((place, ratio)), Some(second)) => {
                    let walked = Bound { group: least.group, place, ratio };
                    if second.precedes(&walked) { second } else { return Some((place, ratio)) }
                }
                (None, Some(second)) => second,
                (walked, None) => return walked,
            };
            if holds(&best) {
                return Some((best.place, best.ratio));
            }
        }
        walk(candidates, 0..candidates.ids.len(), ratio)
    }

    /// The lowest bound of all groups, and the lowest one of the others.
    #[inline]
    fn least_two(
        &self,
        candidates: Candidates<'_>,
        variant: bool,
        ratio: impl Fn(&DestinationSlot) -> Option<Ratio>,
    ) -> (Option<Bound>, Option<Bound>) {
        let (mut least, mut second): (Option<Bound>, Option<Bound>) = (None, None);
        for group in 0..self.groups.len() {
            let Some((place, ratio)) = self.look(group, candidates, variant, &ratio) else {
                continue;
            };
            let found = Some(Bound { group, place, ratio });
            if least.is_none_or(|least| ratio.is_below(least.ratio)) {
                (least, second) = (found, least);
            } else if second.is_none_or(|second| ratio.is_below(second.ratio)) {
                second = found;
            }
        }
        (least, second)
    }

    /// The least of a group as it is known, with what fell meanwhile.
    #[inline]
    fn look(
        &self,
        group: usize,
        candidates: Candidates<'_>,
        variant: bool,
        ratio: impl Fn(&DestinationSlot) -> Option<Ratio>,
    ) -> Least {
        let known = &self.groups[group];
        let first = group * self.group_size;
        let falls = candidates.slot(first).falls();
        let stamp = known.stamp.load(Ordering::Acquire);
        let now = stamp_of(falls.count(), variant);
        if stamp == now {
            return known.read();
        }
        let missed = falls.since(seen(stamp)).filter(|_| stamp == stamp_of(seen(stamp), variant));
        let Some(missed) = missed.filter(|_| known.lock(stamp)) else {
            return self.walk(group, candidates, variant, ratio);
        };
        let mut least = known.read();
        for byte in missed {
            let place = first + (usize::from(byte).wrapping_sub(first) & 0xff);
            let Some(id) = candidates.ids.get(place) else { continue };
            if let Some(ratio) = ratio(candidates.slots.get(*id)) {
                let found = Bound { group, place, ratio };
                let precedes = |(place, ratio)| found.precedes(&Bound { group, place, ratio });
                if least.is_none_or(precedes) {
                    least = Some((place, ratio));
                }
            }
        }
        known.unlock(now, least);
        least
    }

    /// The least of a group, by a look at all of it.
    fn walk(
        &self,
        group: usize,
        candidates: Candidates<'_>,
        variant: bool,
        ratio: impl Fn(&DestinationSlot) -> Option<Ratio>,
    ) -> Least {
        let known = &self.groups[group];
        let first = group * self.group_size;
        let stamp = known.stamp.load(Ordering::Relaxed);
        let is_ours = stamp != LOCKED && known.lock(stamp);
        let falls = candidates.slot(first).falls();
        let end = (first + self.group_size).min(candidates.ids.len());
        let least = walk(candidates, first..end, ratio);
        if is_ours {
            known.unlock(stamp_of(falls.count(), variant), least);
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
    #[inline]
    fn read(&self) -> Least {
        let place = self.place.load(Ordering::Relaxed);
        let load = self.load.load(Ordering::Relaxed);
        let weight = self.weight.load(Ordering::Relaxed);
        (place != NOBODY).then_some((place as usize, Ratio { load, weight }))
    }

    /// Begins to write, if nobody else has since the stamp was read.
    fn lock(&self, stamp: u64) -> bool {
        self.stamp.compare_exchange(stamp, LOCKED, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    #[expect(clippy::cast_possible_truncation, reason = "a service has far less than 2^32 places")]
    fn unlock(&self, stamp: u64, found: Least) {
        if let Some((_, Ratio { load, weight })) = found {
            self.load.store(load, Ordering::Relaxed);
            self.weight.store(weight, Ordering::Relaxed);
        }
        let place = found.map_or(NOBODY, |(place, _)| place as u32);
        self.place.store(place, Ordering::Relaxed);
        self.stamp.store(stamp, Ordering::Release);
    }
}
