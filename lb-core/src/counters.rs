//! Counters that one worker writes and others only read: plain stores, no shared lines.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::drops::DropReason;
use crate::operations::Stats;
use crate::prefetch;
use crate::slots::DestinationId;

/// A counter with a single writer: an increment is a load and a store, never a locked
/// instruction. Readers see some recent value.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds; only the owning worker may.
    #[inline]
    pub fn add(&self, amount: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
    }

    /// Takes back what was added too early; only the owning worker may.
    #[inline]
    pub fn take_back(&self, amount: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_sub(amount), Ordering::Relaxed);
    }

    /// Replaces the value: of a counter that is a gauge. Only the owning worker may.
    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one worker counted for one destination: one line.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct DestinationTally {
    pub connections: Counter,
    pub packets_in: Counter,
    pub packets_out: Counter,
    pub bytes_in: Counter,
    pub bytes_out: Counter,
}

impl DestinationTally {
    fn stats(&self) -> Stats {
        Stats {
            connections: self.connections.get(),
            packets_in: self.packets_in.get(),
            packets_out: self.packets_out.get(),
            bytes_in: self.bytes_in.get(),
            bytes_out: self.bytes_out.get(),
        }
    }
}

/// All that one worker counts.
#[derive(Debug)]
pub struct WorkerCounters {
    destinations: Box<[DestinationTally]>,
    drops: [Counter; DropReason::COUNT],
    /// Frames that were handed to the packet path.
    pub received: Counter,
    /// Frames that leave: to a real server, back to a client, or on their route.
    pub forwarded: Counter,
    /// Those of them that left in pieces, which are frames that the director made.
    pub split: Counter,
    /// Frames that the director answered itself: ARP, neighbour solicitations, echo.
    pub answered: Counter,
    /// Frames that went to the host's kernel.
    pub punted: Counter,
    /// ICMP errors sent; the packets that caused them are counted as dropped.
    pub errors_sent: Counter,
    /// Frames that ended in the control plane: ARP that asked nothing of us.
    pub consumed: Counter,
    /// Entries that this worker inserted into the flow table, and removed from it.
    pub flows_inserted: Counter,
    pub flows_removed: Counter,
    /// Those of the removed ones that `drop_entry` ended.
    pub flows_dropped: Counter,
}

impl WorkerCounters {
    /// Zeroed counters for `destinations_max` destinations.
    pub fn new(destinations_max: usize) -> Self {
        Self {
            destinations: (0..destinations_max).map(|_| DestinationTally::default()).collect(),
            drops: std::array::from_fn(|_| Counter::default()),
            received: Counter::default(),
            forwarded: Counter::default(),
            split: Counter::default(),
            answered: Counter::default(),
            punted: Counter::default(),
            errors_sent: Counter::default(),
            consumed: Counter::default(),
            flows_inserted: Counter::default(),
            flows_removed: Counter::default(),
            flows_dropped: Counter::default(),
        }
    }

    /// The tally of a destination.
    #[inline]
    pub fn destination(&self, id: DestinationId) -> &DestinationTally {
        &self.destinations[id.0 as usize]
    }

    /// Asks for the line of a destination's tally.
    #[inline]
    pub(crate) fn prefetch(&self, id: DestinationId) {
        prefetch::line(self.destination(id));
    }

    /// Counts a dropped packet.
    #[inline]
    pub fn drop_packets(&self, reason: DropReason, packets: u64) {
        self.drops[reason as usize].add(packets);
    }

    /// Packets dropped for a reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize].get()
    }
}

/// What all workers counted for a destination.
pub fn sum_destination(workers: &[WorkerCounters], id: DestinationId) -> Stats {
    workers.iter().map(|worker| worker.destination(id).stats()).fold(Stats::default(), Stats::plus)
}

impl Stats {
    /// Sum of two.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            connections: self.connections.wrapping_add(other.connections),
            packets_in: self.packets_in.wrapping_add(other.packets_in),
            packets_out: self.packets_out.wrapping_add(other.packets_out),
            bytes_in: self.bytes_in.wrapping_add(other.bytes_in),
            bytes_out: self.bytes_out.wrapping_add(other.bytes_out),
        }
    }

    /// What was counted since `baseline`. Counters are never reset (their writers are workers);
    /// zeroing is remembering a baseline.
    #[must_use]
    pub const fn since(self, baseline: Self) -> Self {
        Self {
            connections: self.connections.wrapping_sub(baseline.connections),
            packets_in: self.packets_in.wrapping_sub(baseline.packets_in),
            packets_out: self.packets_out.wrapping_sub(baseline.packets_out),
            bytes_in: self.bytes_in.wrapping_sub(baseline.bytes_in),
            bytes_out: self.bytes_out.wrapping_sub(baseline.bytes_out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_baseline_zeroes_without_touching_the_counters() {
        let workers = [WorkerCounters::new(2), WorkerCounters::new(2)];
        let id = DestinationId(1);
        workers[0].destination(id).packets_in.add(3);
        workers[1].destination(id).packets_in.add(4);
        let baseline = sum_destination(&workers, id);
        assert_eq!(baseline.packets_in, 7);
        workers[1].destination(id).packets_in.add(5);
        assert_eq!(sum_destination(&workers, id).since(baseline).packets_in, 5);
        assert_eq!(sum_destination(&workers, DestinationId(0)), Stats::default());
    }
}
