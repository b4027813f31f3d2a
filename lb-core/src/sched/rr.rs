//! rr, round robin (`ip_vs_rr.c`): the next usable destination after the last one.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Candidates, Change};
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
    pub(super) fn changed(
        &self,
        changes: &[Change],
        before: &[DestinationId],
        now: &[DestinationId],
    ) -> Self {
        let mut last = before.get(self.last.load(Ordering::Relaxed)).copied();
        for (removed, predecessor) in changes.iter().filter_map(|change| change.removed) {
            if last == Some(removed) {
                last = predecessor;
            }
        }
        let kept = last.and_then(|last| now.iter().position(|&id| id == last));
        Self { last: AtomicUsize::new(kept.unwrap_or(HEAD)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sched::Rounds;
    use crate::slots::DestinationSlots;

    fn ids(numbers: &[u32]) -> Vec<DestinationId> {
        numbers.iter().copied().map(DestinationId).collect()
    }

    fn picks(rr: &RoundRobin, slots: &DestinationSlots, list: &[DestinationId]) -> Vec<u32> {
        let candidates = Candidates { ids: list, servers: &[], slots };
        (0..3).filter_map(|_| rr.pick(candidates)).map(|place| list[place].0).collect()
    }

    const fn added() -> Change {
        Change { removed: None, rounds: Rounds { step: 1, highest: 1 } }
    }

    fn removed(id: u32, predecessor: Option<u32>) -> Change {
        let predecessor = predecessor.map(DestinationId);
        Change { removed: Some((DestinationId(id), predecessor)), ..added() }
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
        let rr = rr.changed(&[added()], &three, &four);
        assert_eq!(picks(&rr, &slots, &four), [1, 4, 3]);
        // 3 was picked last and goes: its predecessor 4 counts as last.
        let rest = ids(&[4, 2, 1]);
        let rr = rr.changed(&[removed(3, Some(4))], &four, &rest);
        assert_eq!(picks(&rr, &slots, &rest), [2, 1, 4]);
        // 4 was picked last, is the first, and goes: the walk begins anew.
        let rest = ids(&[2, 1]);
        let rr = rr.changed(&[removed(4, None)], &ids(&[4, 2, 1]), &rest);
        assert_eq!(picks(&rr, &slots, &rest), [2, 1, 2]);
    }

    /// The last pick is followed through all of them: who was removed and returned is another one.
    #[test]
    fn changes_are_told_one_after_the_other() {
        let slots = DestinationSlots::new(5);
        for id in 0..5 {
            slots.configure(DestinationId(id), 1, 0, 0);
        }
        let three = ids(&[3, 2, 1]);
        let rr = RoundRobin::default();
        assert_eq!(rr.pick(Candidates { ids: &three, servers: &[], slots: &slots }), Some(0));
        assert_eq!(rr.pick(Candidates { ids: &three, servers: &[], slots: &slots }), Some(1));
        // 2 was picked last: it goes and returns in front, then 3 goes, which was before it.
        let changes = [removed(2, Some(3)), added(), removed(3, Some(2))];
        let now = ids(&[2, 1]);
        let changed = rr.changed(&changes, &three, &now);
        assert_eq!(picks(&changed, &slots, &now), [1, 2, 1]);
        // Without its return 3 was the first.
        let now = ids(&[1]);
        let changed = rr.changed(&[removed(2, Some(3)), removed(3, None)], &three, &now);
        assert_eq!(changed.last.load(Ordering::Relaxed), HEAD);
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
