//! Fragments that wait for the first one of their datagram.

use std::collections::VecDeque;

use super::{DatagramKey, FragmentError, Later, Tracker};
use crate::clock::Tick;
use crate::counters::WorkerCounters;

/// Frames that one turn looks at, at the most: each costs a search under a lock.
const LOOKS_MAX: usize = 64;

/// The early fragments of one worker, about oldest first. Bounded, as each of them holds a buffer;
/// a new one pushes out the oldest.
///
/// A turn costs nothing while nothing waits, and one comparison while no datagram has news.
#[derive(Debug)]
pub struct Early<F> {
    frames: VecDeque<Waiter<F>>,
    frames_max: usize,
    /// Frames at the front that the present round has not looked at. A round goes once over all
    /// that waited when it began; it takes as many turns as it needs.
    unseen: usize,
    /// What the tracker's generation was when that round began.
    generation: u32,
    /// When the next round begins even without news, for frames that have waited too long.
    next_round: Tick,
}

#[derive(Debug)]
struct Waiter<F> {
    frame: F,
    key: DatagramKey,
    until: Tick,
}

impl<F> Early<F> {
    /// Room for `frames_max` frames; all of it is allocated now.
    pub fn new(frames_max: usize) -> Self {
        Self {
            frames: VecDeque::with_capacity(frames_max),
            frames_max,
            unseen: 0,
            generation: 0,
            next_round: Tick(0),
        }
    }

    /// Whether nothing waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Frames that wait.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Keeps a frame that [`Tracker::later`] called early. Returns the one that had to make room
    /// for it, counted as dropped.
    #[must_use = "the frame that made room has to be freed"]
    pub fn push(
        &mut self,
        frame: F,
        key: DatagramKey,
        until: Tick,
        counters: &WorkerCounters,
    ) -> Option<F> {
        if self.frames_max == 0 {
            counters.drop_packets(FragmentError::Flood.reason(), 1);
            return Some(frame);
        }
        let oldest = if self.frames.len() >= self.frames_max {
            counters.drop_packets(FragmentError::Flood.reason(), 1);
            self.unseen = self.unseen.saturating_sub(1);
            self.frames.pop_front().map(|waiter| waiter.frame)
        } else {
            None
        };
        self.frames.push_back(Waiter { frame, key, until });
        oldest
    }

    /// Takes out what need not wait any longer; to be called once in a turn, with the tracker that
    /// all frames were told to wait by. `follow` gets frames with the decision for their datagram,
    /// `free` those whose datagram was given up, counted as dropped.
    #[inline]
    pub fn release<D: Copy>(
        &mut self,
        tracker: &Tracker<D>,
        now: Tick,
        counters: &WorkerCounters,
        follow: impl FnMut(F, D),
        free: impl FnMut(F),
    ) {
        if !self.is_empty() && self.has_round(tracker.generation(), now) {
            self.look(tracker, now, counters, follow, free);
        }
    }

    /// Whether there are frames to look at. The generation is read before any frame is looked at:
    /// what comes while a round is under way makes another one.
    fn has_round(&mut self, generation: u32, now: Tick) -> bool {
        if self.unseen == 0 && (generation != self.generation || !now.is_before(self.next_round)) {
            self.unseen = self.frames.len();
            self.generation = generation;
            self.next_round = now.plus_seconds(1);
        }
        self.unseen > 0
    }

    #[cold]
    fn look<D: Copy>(
        &mut self,
        tracker: &Tracker<D>,
        now: Tick,
        counters: &WorkerCounters,
        mut follow: impl FnMut(F, D),
        mut free: impl FnMut(F),
    ) {
        for _ in 0..self.unseen.min(LOOKS_MAX) {
            let Some(waiter) = self.frames.pop_front() else { return };
            self.unseen -= 1;
            let answer = if waiter.until.is_before(now) {
                Later::Refused(FragmentError::Orphan)
            } else {
                tracker.decision(&waiter.key, now)
            };
            match answer {
                Later::Follow(decision) => follow(waiter.frame, decision),
                Later::Early { .. } => self.frames.push_back(waiter),
                Later::Refused(error) => {
                    counters.drop_packets(error.reason(), 1);
                    free(waiter.frame);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drops::DropReason;
    use crate::hash::FlowHasher;
    use crate::interface::InterfaceId;

    const NOW: Tick = Tick(1000);

    fn key(identification: u16) -> DatagramKey {
        let addresses = ([10, 0, 1, 2].into(), [10, 0, 0, 100].into());
        DatagramKey::ipv4(addresses, identification, 17, InterfaceId(0))
    }

    /// A worker whose frames are numbers, and a tracker whose decisions are letters.
    struct Bed {
        tracker: Tracker<char>,
        early: Early<u16>,
        counters: WorkerCounters,
    }

    impl Bed {
        fn new(frames_max: usize) -> Self {
            Self {
                tracker: Tracker::new(4096, FlowHasher::new([1, 2, 3])),
                early: Early::new(frames_max),
                counters: WorkerCounters::new(0),
            }
        }

        /// A later fragment of datagram `id`, which must be early.
        fn push(&mut self, frame: u16, id: u16, offset: u32, now: Tick) -> Option<u16> {
            let later = self.tracker.later(&key(id), offset..offset + 8, false, now);
            let Later::Early { until } = later else { panic!("{later:?}") };
            self.early.push(frame, key(id), until, &self.counters)
        }

        fn first(&self, id: u16, decision: char) {
            self.tracker.first(&key(id), 0..8, false, decision, NOW).unwrap();
        }

        fn release(&mut self, now: Tick) -> (Vec<(u16, char)>, Vec<u16>) {
            let (mut followed, mut freed) = (Vec::new(), Vec::new());
            self.early.release(
                &self.tracker,
                now,
                &self.counters,
                |frame, decision| followed.push((frame, decision)),
                |frame| freed.push(frame),
            );
            (followed, freed)
        }
    }

    #[test]
    fn frames_follow_when_the_first_fragment_has_come() {
        let mut bed = Bed::new(8);
        assert_eq!(bed.push(1, 7, 8, NOW), None);
        assert_eq!(bed.push(2, 8, 8, NOW), None);
        assert_eq!(bed.push(3, 7, 16, NOW), None);
        assert_eq!(bed.release(NOW), (vec![], vec![]));
        bed.first(7, 'a');
        assert_eq!(bed.release(NOW), (vec![(1, 'a'), (3, 'a')], vec![]));
        bed.first(8, 'b');
        assert_eq!(bed.release(NOW), (vec![(2, 'b')], vec![]));
        assert!(bed.early.is_empty());
    }

    #[test]
    fn the_oldest_makes_room_and_is_counted() {
        let mut bed = Bed::new(2);
        assert_eq!(bed.push(1, 1, 8, NOW), None);
        assert_eq!(bed.push(2, 2, 8, NOW), None);
        assert_eq!(bed.push(3, 3, 8, NOW), Some(1));
        assert_eq!(bed.counters.dropped(DropReason::FragmentFlood), 1);
        assert_eq!(bed.early.len(), 2);
        let mut none = Bed::new(0);
        assert_eq!(none.push(1, 1, 8, NOW), Some(1));
    }

    #[test]
    fn orphans_are_freed_in_time() {
        let mut bed = Bed::new(8);
        assert_eq!(bed.push(1, 1, 8, NOW), None);
        let second = NOW.plus_seconds(1);
        assert_eq!(bed.push(2, 2, 8, second), None);
        // Of one datagram, all wait as long as the one that came first.
        assert_eq!(bed.push(3, 1, 16, second), None);
        assert_eq!(bed.release(NOW.plus_seconds(30)), (vec![], vec![]));
        let freed: Vec<u16> = (0..8)
            .map(|tick| Tick(NOW.plus_seconds(30).0 + 1 + tick))
            .flat_map(|now| bed.release(now).1)
            .collect();
        assert_eq!(freed, [1, 3]);
        assert_eq!(bed.counters.dropped(DropReason::FragmentOrphan), 2);
        assert_eq!(bed.release(NOW.plus_seconds(33)), (vec![], vec![2]));
    }

    #[test]
    fn frames_of_a_spoilt_datagram_are_freed() {
        let mut bed = Bed::new(8);
        assert_eq!(bed.push(1, 1, 8, NOW), None);
        assert_eq!(bed.push(2, 1, 16, NOW), None);
        assert_eq!(bed.release(NOW), (vec![], vec![]));
        let spoils = bed.tracker.first(&key(1), 0..16, false, 'a', NOW);
        assert_eq!(spoils, Err(FragmentError::Overlap));
        assert_eq!(bed.release(NOW), (vec![], vec![1, 2]));
        assert_eq!(bed.counters.dropped(DropReason::FragmentOverlap), 2);
    }

    #[test]
    fn a_turn_looks_at_few_frames_and_all_have_their_turn() {
        let mut bed = Bed::new(1000);
        for id in 0..1000 {
            assert_eq!(bed.push(id, id, 8, NOW), None);
        }
        for _ in 0..20 {
            assert_eq!(bed.release(NOW), (vec![], vec![]));
        }
        for id in 0..1000 {
            bed.first(id, 'a');
        }
        let mut followed = Vec::new();
        for turn in 0..16 {
            // While the round is under way others come, and one of them finds its decision.
            if turn == 3 {
                assert_eq!(bed.push(1001, 1001, 8, NOW), None);
                assert_eq!(bed.push(1000, 1000, 8, NOW), None);
                bed.first(1000, 'b');
            }
            let (now, freed) = bed.release(NOW);
            assert!(now.len() <= LOOKS_MAX && freed.is_empty());
            followed.extend(now);
        }
        let first_round: Vec<(u16, char)> = (0..1000).map(|id| (id, 'a')).collect();
        assert_eq!(followed, first_round);
        assert_eq!(bed.release(NOW).0, [(1000, 'b')]);
        assert_eq!(bed.early.len(), 1);
    }

    #[test]
    fn a_round_ends_though_frames_of_it_had_to_make_room() {
        let mut bed = Bed::new(100);
        for id in 0..100 {
            assert_eq!(bed.push(id, id, 8, NOW), None);
        }
        bed.release(NOW);
        assert_eq!(bed.early.unseen, 36);
        for id in 100..110 {
            assert_eq!(bed.push(id, id, 8, NOW), Some(id - 36));
        }
        bed.release(NOW);
        assert_eq!(bed.early.unseen, 0, "26 were left of it");
        assert_eq!(bed.early.len(), 100);
    }

    #[test]
    fn frames_that_wait_are_not_looked_at_without_news() {
        let mut bed = Bed::new(8);
        assert_eq!(bed.push(1, 1, 8, NOW), None);
        assert_eq!(bed.release(NOW), (vec![], vec![]));
        // A first fragment that nobody waits for is no news.
        let before = bed.tracker.generation();
        bed.first(2, 'b');
        assert_eq!(bed.tracker.generation(), before);
        assert!(!bed.early.has_round(before, NOW));
        bed.first(1, 'a');
        assert!(bed.early.has_round(bed.tracker.generation(), NOW));
    }
}
