//! What a worker counts about itself and about frames that the core does not see: how busy its
//! lcore is, how large bursts are, what it sends.
//!
//! One block for each worker, in cache lines of its own; plain stores by one writer. A turn without
//! frames stores nothing: idle is what is not busy, and is computed by who asks.

use std::sync::atomic::{AtomicU64, Ordering};

use lb_core::counters::Counter;

use crate::dpdk::clock::cycles;

/// Kinds of bursts, by the number of their frames: 1, up to 3, up to 7, ... up to 63, 64.
pub const BURST_KINDS: usize = 7;

/// The most frames of each kind of bursts.
pub const BURST_SIZES: [u64; BURST_KINDS] = [1, 3, 7, 15, 31, 63, 64];

/// All that one worker counts besides the core's
/// [`WorkerCounters`](lb_core::counters::WorkerCounters).
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct LcoreCounters {
    /// Cycles of turns that had work.
    pub busy_cycles: Counter,
    /// Bursts that were received, by size.
    pub bursts: [Counter; BURST_KINDS],
    rare: RareCounters,
    idle_shown: IdleShown,
}

/// The most idle cycles that were ever shown: written by who asks, so not on a worker's line.
#[derive(Debug, Default)]
#[repr(align(64))]
struct IdleShown(AtomicU64);

/// What is stored once in a turn that sends, or seldom. Lines of their own.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct RareCounters {
    /// Frames that devices took for sending; the kernel's interfaces are not among them.
    pub sent: Counter,
    /// The cycle counter when the worker began.
    pub began: Counter,
    /// Frames of the control plane: ARP and neighbour discovery.
    pub control_frames: Counter,
    /// Frames that the core made: pieces of those that were too large.
    pub pieces: Counter,
    /// Frames that came from the host's kernel, and those of them that were passed on.
    pub heard: Counter,
    pub relayed: Counter,
    /// Those that a drop reason was counted for.
    pub heard_dropped: Counter,
    /// Gauges: frames that wait for a neighbour, fragments that wait for their first one.
    pub waiting: Counter,
    pub held: Counter,
}

impl LcoreCounters {
    /// Counts a burst of at least one frame.
    #[inline]
    pub fn count_burst(&self, frames: usize) {
        let kind = (frames.ilog2() as usize).min(BURST_KINDS - 1);
        self.bursts[kind].add(1);
    }

    /// What is not stored in every turn.
    #[inline]
    pub const fn rare(&self) -> &RareCounters {
        &self.rare
    }

    /// The worker begins now.
    pub fn begin(&self, now: u64) {
        self.rare.began.set(now);
    }

    /// Cycles without work since the worker began, asleep or not: never fewer than before. (A turn
    /// that is under way is idle until it turns out to have been busy.)
    pub fn idle_cycles(&self) -> u64 {
        let began = self.rare.began.get();
        if began == 0 {
            return 0;
        }
        let busy = self.busy_cycles.get();
        let idle = cycles().wrapping_sub(began).saturating_sub(busy);
        self.idle_shown.0.fetch_max(idle, Ordering::Relaxed).max(idle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_are_counted_by_size() {
        let counters = LcoreCounters::default();
        for frames in 1..=64 {
            counters.count_burst(frames);
        }
        assert_eq!(counters.bursts.each_ref().map(Counter::get), [1, 2, 4, 8, 16, 32, 1]);
        let mut below = 0;
        for (most, counted) in BURST_SIZES.iter().zip(&counters.bursts) {
            below += counted.get();
            assert_eq!(below, *most, "sizes up to {most}, each once");
        }
    }

    #[test]
    fn what_is_stored_in_every_turn_is_one_line() {
        assert_eq!(std::mem::offset_of!(LcoreCounters, rare), 64);
        assert_eq!(align_of::<LcoreCounters>(), 64);
    }

    #[test]
    fn a_worker_that_did_not_begin_is_not_idle() {
        let counters = LcoreCounters::default();
        assert_eq!(counters.idle_cycles(), 0);
        counters.begin(cycles());
        std::thread::sleep(std::time::Duration::from_millis(1));
        let shown = counters.idle_cycles();
        assert!(shown > 0);
        counters.busy_cycles.add(1 << 40);
        assert_eq!(counters.idle_cycles(), shown, "what was shown is not taken back");
    }
}
