//! rr, round robin (`ip_vs_rr.c`): the next usable destination after the last one.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::Candidates;
use crate::slots::DestinationId;

/// Before the first destination: where the walk begins in a new service.
const HEAD: usize = usize::MAX;

/// The memory of rr: the place of the last pick.
#[derive(Debug)]
pub struct RoundRobin {
    last: AtomicUsize,
}

impl Default for RoundRobin {
    fn default() -> Self {
        Self { last: AtomicUsize::new(HEAD) }
    }
}

impl RoundRobin {
    /// The next usable destination. Every destination is asked at most once.
    pub(super) fn pick(&self, candidates: Candidates<'_>) -> Option<usize> {
        let count = candidates.ids.len();
        let mut last = self.last.load(Ordering::Relaxed);
        loop {
            let after = if last == HEAD { 0 } else { last + 1 };
            let place = (after..count)
                .chain(0..after.min(count))
                .find(|&place| candidates.is_usable(place))?;
            // Another lcore may have picked meanwhile: then the next one is ours.
            match self.last.compare_exchange(last, place, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(place),
                Err(now) => last = now,
            }
        }
    }

    /// Another one that stands where this one does.
    pub(super) fn twin(&self) -> Self {
        Self { last: AtomicUsize::new(self.last.load(Ordering::Relaxed)) }
    }

    /// Adding does not move the last pick; removing it moves to its predecessor.
    pub(super) fn changed(&self, before: &[DestinationId], now: &[DestinationId]) -> Self {
        let last = self.last.load(Ordering::Relaxed);
        let kept = before
            .get(..=last)
            .and_then(|walked| walked.iter().rev().find_map(|id| now.iter().position(|n| n == id)));
        Self { last: AtomicUsize::new(kept.unwrap_or(HEAD)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::DestinationSlots;

    fn ids(numbers: &[u32]) -> Vec<DestinationId> {
        numbers.iter().copied().map(DestinationId).collect()
    }

    fn picks(rr: &RoundRobin, slots: &DestinationSlots, list: &[DestinationId]) -> Vec<u32> {
        let candidates = Candidates { ids: list, servers: &[], slots };
        (0..3).filter_map(|_| rr.pick(candidates)).map(|place| list[place].0).collect()
    }

    #[test]
    fn changes_move_the_last_pick_as_the_kernel_does() {
        let slots = DestinationSlots::new(5);
        for id in 0..5 {
            slots.configure(DestinationId(id), 1, 0, 0);
        }
        let three = ids(&[3, 2, 1]);
        let rr = RoundRobin::default();
        assert_eq!(picks(&rr, &slots, &three[..]), [3, 2, 1]);
        assert_eq!(rr.pick(Candidates { ids: &three, servers: &[], slots: &slots }), Some(0));
        assert_eq!(rr.pick(Candidates { ids: &three, servers: &[], slots: &slots }), Some(1));
        // 2 was picked last. A new server in front changes nothing for the next pick.
        let four = ids(&[4, 3, 2, 1]);
        let rr = rr.changed(&three, &four);
        assert_eq!(picks(&rr, &slots, &four), [1, 4, 3]);
        // 3 was picked last and goes: its predecessor 4 counts as last.
        let rest = ids(&[4, 2, 1]);
        let rr = rr.changed(&four, &rest);
        assert_eq!(picks(&rr, &slots, &rest), [2, 1, 4]);
        // 4 was picked last, is the first, and goes: the walk begins anew.
        let rest = ids(&[2, 1]);
        let rr = rr.changed(&ids(&[4, 2, 1]), &rest);
        assert_eq!(picks(&rr, &slots, &rest), [2, 1, 2]);
    }

    #[test]
    fn quiesced_and_overloaded_servers_are_passed() {
        let slots = DestinationSlots::new(3);
        let list = ids(&[2, 1, 0]);
        slots.configure(DestinationId(1), 1, 1, 0);
        slots.configure(DestinationId(0), 1, 0, 0);
        let rr = RoundRobin::default();
        assert_eq!(picks(&rr, &slots, &list), [1, 0, 1]);
        slots.bind(DestinationId(1), true);
        assert_eq!(picks(&rr, &slots, &list), [0, 0, 0]);
        slots.configure(DestinationId(0), 0, 0, 0);
        assert_eq!(picks(&rr, &slots, &list), [0_u32; 0]);
    }
}
