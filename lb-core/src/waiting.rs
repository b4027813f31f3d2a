//! Frames that wait for their next hop to answer ARP or neighbour discovery.

use std::collections::VecDeque;

use crate::clock::Tick;
use crate::counters::WorkerCounters;
use crate::director::Director;
use crate::drops::DropReason;
use crate::forward;
use crate::frame::Frame;
use crate::interface::InterfaceId;
use crate::next_hop::NextHop;
use crate::outcome::Pending;
use crate::snapshot::Snapshot;
use crate::ways::{Way, Ways};

/// Seconds that a frame waits at most: what a client's first retransmission takes.
const PATIENCE_S: u32 = 3;

/// The waiting frames of one worker, oldest first. Bounded, as a server that is down would
/// otherwise hold all buffers; a new frame pushes out the oldest, as in the kernel.
#[derive(Debug)]
pub struct Waiting<F> {
    frames: VecDeque<Waiter<F>>,
    frames_max: usize,
}

#[derive(Debug)]
struct Waiter<F> {
    frame: F,
    pending: Pending,
    until: Tick,
}

impl<F: Frame> Waiting<F> {
    /// Room for `frames_max` frames; all of it is allocated now.
    pub fn new(frames_max: usize) -> Self {
        Self { frames: VecDeque::with_capacity(frames_max), frames_max }
    }

    /// Whether nothing waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Frames that wait.
    #[inline]
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Queues a frame whose verdict was to wait. Returns the one that had to make room for it.
    #[must_use = "the frame that made room has to be freed"]
    pub fn push(
        &mut self,
        frame: F,
        pending: Pending,
        now: Tick,
        counters: &WorkerCounters,
    ) -> Option<F> {
        if self.frames_max == 0 {
            counters.drop_packets(DropReason::NeighbourUnresolved, 1);
            return Some(frame);
        }
        let oldest = if self.frames.len() >= self.frames_max {
            counters.drop_packets(DropReason::NeighbourUnresolved, 1);
            self.frames.pop_front().map(|waiter| waiter.frame)
        } else {
            None
        };
        self.frames.push_back(Waiter { frame, pending, until: now.plus_seconds(PATIENCE_S) });
        oldest
    }

    /// Takes out what need not wait any longer: `send` gets frames that are ready to leave,
    /// `free` those that have waited too long.
    pub fn release(
        &mut self,
        director: &Director,
        (snapshot, ways): (&Snapshot, &Ways),
        now: Tick,
        counters: &WorkerCounters,
        mut send: impl FnMut(F, InterfaceId),
        mut free: impl FnMut(F),
    ) {
        for _ in 0..self.frames.len() {
            let Some(mut waiter) = self.frames.pop_front() else { return };
            let Some(next_hop) = next_hop(director, ways, waiter.pending) else {
                if waiter.until.is_before(now) {
                    counters.drop_packets(DropReason::NeighbourUnresolved, 1);
                    free(waiter.frame);
                } else {
                    self.frames.push_back(waiter);
                }
                continue;
            };
            match forward::address_link(&mut waiter.frame, next_hop, snapshot) {
                Ok(()) => {
                    counters.forwarded.add(1);
                    send(waiter.frame, next_hop.interface());
                }
                Err(reason) => {
                    counters.drop_packets(reason, 1);
                    free(waiter.frame);
                }
            }
        }
    }
}

/// Where a frame goes that waits, if that is known now.
fn next_hop(director: &Director, ways: &Ways, pending: Pending) -> Option<NextHop> {
    match pending {
        Pending::Server(server) => director.slots.get(server).next_hop(),
        Pending::Neighbour(hop) => match ways.over(hop) {
            Way::Known(id) => ways.next_hop(id),
            _ => None,
        },
    }
}
