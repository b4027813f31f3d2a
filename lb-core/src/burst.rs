//! What is the same for all packets of a burst.

use crate::clock::Tick;
use crate::counters::WorkerCounters;
use crate::director::Director;
use crate::interface::InterfaceId;
use crate::neighbour::NeighbourSeen;
use crate::route::Hop;
use crate::slots::DestinationId;
use crate::snapshot::Snapshot;
use crate::state::{State, TcpState, UdpState};
use crate::ways::Ways;

/// Frames that a worker takes at once.
pub const BURST_MAX: usize = 64;

/// The circumstances of a burst: read once, then the same for every stage and packet.
#[derive(Debug)]
pub struct Burst<'a> {
    pub director: &'a Director,
    pub snapshot: &'a Snapshot,
    pub ways: &'a Ways,
    /// The worker's own.
    pub counters: &'a WorkerCounters,
    /// The port that the frames came in by: the interface of its untagged frames.
    pub from: InterfaceId,
    pub now: Tick,
    /// When an established TCP connection ends that gets no packet after this burst: what most
    /// packets need to know.
    pub established_until: Tick,
    /// The same of UDP.
    pub datagrams_until: Tick,
    /// The frames are early fragments that had been here before; see [`crate::fragment`].
    pub is_released: bool,
}

impl<'a> Burst<'a> {
    /// A burst that a worker gets now.
    #[inline]
    pub(crate) fn begin(
        director: &'a Director,
        worker: usize,
        (snapshot, ways): (&'a Snapshot, &'a Ways),
        from: InterfaceId,
        now: Tick,
    ) -> Self {
        let timeouts = &snapshot.timeouts;
        Self {
            director,
            snapshot,
            ways,
            counters: &director.counters[worker],
            from,
            now,
            established_until: now.plus_seconds(timeouts.tcp(TcpState::Established)),
            datagrams_until: now.plus_seconds(timeouts.of(State::Udp(UdpState::Normal))),
            is_released: false,
        }
    }
}

/// Who wants to know what workers see of the neighbourhood, and sends what they make besides the
/// frames of the burst. Called on the packet path: must be quick and must not block.
pub trait Surroundings {
    /// ARP or neighbour discovery told of a neighbour.
    fn neighbour_seen(&mut self, seen: NeighbourSeen);

    /// A packet waits for a neighbour that nobody has asked for.
    fn neighbour_wanted(&mut self, hop: Hop);

    /// A router said that the way to a tunneling destination takes no larger packets than this.
    fn path_mtu_seen(&mut self, server: DestinationId, mtu: u16);

    /// Sends a new frame made of `parts`, one behind the other, by an interface. `false` where
    /// there is no buffer for it.
    fn send(&mut self, interface: InterfaceId, parts: &[&[u8]]) -> bool;
}

/// Surroundings that nobody watches: what is told is forgotten, what is sent has left.
#[cfg(any(test, feature = "test-support"))]
#[derive(Debug)]
pub struct Unwatched;

#[cfg(any(test, feature = "test-support"))]
impl Surroundings for Unwatched {
    fn neighbour_seen(&mut self, _: NeighbourSeen) {}

    fn neighbour_wanted(&mut self, _: Hop) {}

    fn path_mtu_seen(&mut self, _: DestinationId, _: u16) {}

    fn send(&mut self, _: InterfaceId, _: &[&[u8]]) -> bool {
        true
    }
}
