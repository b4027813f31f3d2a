//! wrr, weighted round robin (`ip_vs_wrr.c`): rounds over the destinations in which only those
//! take part whose weight reaches a falling threshold, the current weight.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Candidates, Change, Rounds};
use crate::slots::DestinationSlot;

/// Before the first destination.
const HEAD: u32 = u32::MAX;

/// Where the rounds stand: the place of the last pick, and the current weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    last: u32,
    current: i32,
}

impl Position {
    const fn pack(self) -> u64 {
        (self.last as u64) << 32 | self.current.cast_unsigned() as u64
    }

    #[expect(clippy::cast_possible_truncation, reason = "the two halves of a word")]
    const fn unpack(word: u64) -> Self {
        Self { last: (word >> 32) as u32, current: (word as u32).cast_signed() }
    }
}

/// The memory of wrr.
#[derive(Debug)]
pub struct WeightedRoundRobin {
    position: AtomicU64,
    /// See [`Rounds`].
    step: i32,
    highest: i32,
}

impl WeightedRoundRobin {
    /// The memory at the start of a service.
    pub(super) const fn start(rounds: Rounds) -> Self {
        Self::at(Position { last: HEAD, current: rounds.highest }, rounds)
    }

    const fn at(position: Position, Rounds { step, highest }: Rounds) -> Self {
        Self { position: AtomicU64::new(position.pack()), step, highest }
    }

    /// Any change starts from the head again, but the current weight survives as far as it fits
    /// (`ip_vs_wrr_dest_changed`).
    pub(super) fn changed(&self, changes: &[Change]) -> Self {
        let mut position = Position::unpack(self.position.load(Ordering::Relaxed));
        let mut rounds = Rounds { step: self.step, highest: self.highest };
        for change in changes {
            rounds = change.rounds;
            position.last = HEAD;
            if position.current > rounds.highest || position.current == 0 {
                position.current = rounds.highest;
            } else if rounds.step > 1 {
                position.current = position.current / rounds.step * rounds.step + 1;
            }
        }
        Self::at(position, rounds)
    }

    /// Another one that stands where this one does.
    pub(super) fn twin(&self) -> Self {
        let position = Position::unpack(self.position.load(Ordering::Relaxed));
        Self::at(position, Rounds { step: self.step, highest: self.highest })
    }

    /// The next destination of the rounds.
    pub(super) fn pick(&self, candidates: Candidates<'_>) -> Option<usize> {
        if self.highest == 0 {
            return None;
        }
        let mut word = self.position.load(Ordering::Relaxed);
        loop {
            let (picked, after) = self.walk(Position::unpack(word), candidates);
            // Another lcore may have picked meanwhile: walk again from where it stands.
            match self.position.compare_exchange(
                word,
                after.pack(),
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return picked,
                Err(now) => word = now,
            }
        }
    }

    /// Walks on from a position to the next destination that reaches the current weight. Gives up
    /// once every destination was asked at the lowest threshold.
    #[expect(clippy::cast_possible_truncation, reason = "a service has far less than 2^32 places")]
    fn walk(&self, start: Position, candidates: Candidates<'_>) -> (Option<usize>, Position) {
        let count = candidates.ids.len();
        let first_after_start = if start.last == HEAD { 0 } else { start.last as usize + 1 };
        // The destinations behind the start are asked at the lowest threshold right away; the
        // last pass then needs to come only as far as the start.
        let began_lowest = start.last != HEAD && start.current <= self.step;
        let (mut from, mut current) = (first_after_start, start.current);
        let mut passes = 0;
        loop {
            let lowest = current <= self.step;
            let is_last_pass = lowest && passes > 0 && began_lowest;
            let to = if is_last_pass { first_after_start } else { count };
            let found = (from..to).find(|&place| {
                let slot = candidates.slot(place);
                !slot.is_overloaded() && slot.weight() >= current
            });
            if let Some(place) = found {
                return (Some(place), Position { last: place as u32, current });
            }
            if is_last_pass {
                return (None, Position { last: start.last, current });
            }
            let whole_list = from == 0;
            current -= self.step;
            if current <= 0 {
                current = self.highest;
                if whole_list && lowest {
                    return (None, Position { last: HEAD, current });
                }
            } else if whole_list {
                current = self.skip_empty_passes(current, candidates);
            }
            from = 0;
            passes += 1;
        }
    }
}

impl WeightedRoundRobin {
    /// The first threshold from `current` downwards that a destination reaches, or the lowest
    /// one. Weights go up to 2^31: walking down step by step past an overloaded heavy server
    /// would hold an lcore for minutes.
    fn skip_empty_passes(&self, current: i32, candidates: Candidates<'_>) -> i32 {
        let reached = (0..candidates.ids.len())
            .map(|place| candidates.slot(place))
            .filter(|slot| !slot.is_overloaded())
            .map(DestinationSlot::weight)
            .max();
        let lowest = (current - 1) % self.step + 1;
        let target = reached.unwrap_or(0).max(lowest);
        if current <= target {
            return current;
        }
        current
            - (current - target).div_euclid(self.step) * self.step
            - if (current - target) % self.step == 0 { 0 } else { self.step }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::{DestinationId, DestinationSlots};

    /// Destinations in the order of the list, and a wrr that saw them added one by one.
    fn service(
        weights_newest_first: &[i32],
    ) -> (DestinationSlots, Vec<DestinationId>, WeightedRoundRobin) {
        let slots = DestinationSlots::new(weights_newest_first.len());
        let ids: Vec<_> = (0..).map(DestinationId).take(weights_newest_first.len()).collect();
        for (&id, &weight) in ids.iter().zip(weights_newest_first) {
            slots.configure(id, weight, 0, 0);
        }
        let rounds =
            |present| Candidates { ids: &ids[present..], servers: &[], slots: &slots }.rounds();
        let wrr = WeightedRoundRobin::start(rounds(ids.len()));
        let added = |present| Change { removed: None, rounds: rounds(present) };
        let changes: Vec<_> = (0..ids.len()).rev().map(added).collect();
        let wrr = wrr.changed(&changes);
        (slots, ids, wrr)
    }

    #[test]
    fn nothing_usable_ends_and_leaves_a_usable_memory() {
        let (slots, ids, wrr) = service(&[1, 2, 3]);
        let candidates = Candidates { ids: &ids, servers: &[], slots: &slots };
        for picked in 0..7 {
            for _ in 0..picked {
                wrr.pick(candidates);
            }
            for &id in &ids {
                slots.configure(id, slots.get(id).weight(), 1, 0);
                slots.bind(id, true);
            }
            assert_eq!(wrr.pick(candidates), None);
            assert_eq!(wrr.pick(candidates), None);
            for &id in &ids {
                slots.unbind(id, true);
            }
            assert!(wrr.pick(candidates).is_some());
        }
    }

    #[test]
    fn without_positive_weights_there_is_no_pick() {
        let (slots, ids, wrr) = service(&[0, 0]);
        assert_eq!(wrr.pick(Candidates { ids: &ids, servers: &[], slots: &slots }), None);
        let (slots, ids, wrr) = service(&[]);
        assert_eq!(wrr.pick(Candidates { ids: &ids, servers: &[], slots: &slots }), None);
    }

    /// Facts 5.2: `10 1` gives the newest once, then the heavy one ten times.
    #[test]
    fn picks_follow_the_weights() {
        let (slots, ids, wrr) = service(&[1, 10]);
        let picks: Vec<_> = (0..12)
            .filter_map(|_| wrr.pick(Candidates { ids: &ids, servers: &[], slots: &slots }))
            .collect();
        assert_eq!(picks, [0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0]);
    }

    #[test]
    fn an_overloaded_heavy_server_is_passed_at_once() {
        let (slots, ids, wrr) = service(&[1, 3, i32::MAX]);
        slots.configure(ids[2], i32::MAX, 1, 0);
        slots.bind(ids[2], true);
        let picks: Vec<_> = (0..8)
            .filter_map(|_| wrr.pick(Candidates { ids: &ids, servers: &[], slots: &slots }))
            .collect();
        assert_eq!(picks, [0, 1, 1, 1, 0, 1, 1, 1]);
    }

    #[test]
    fn the_largest_weights_do_not_overflow() {
        let (slots, ids, wrr) = service(&[i32::MAX, i32::MAX]);
        let picks: Vec<_> = (0..4)
            .filter_map(|_| wrr.pick(Candidates { ids: &ids, servers: &[], slots: &slots }))
            .collect();
        assert_eq!(picks, [0, 1, 0, 1]);
    }
}
