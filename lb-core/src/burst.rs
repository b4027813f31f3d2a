//! What is the same for all packets of a burst.

use crate::clock::Tick;
use crate::counters::WorkerCounters;
use crate::director::Director;
use crate::interface::InterfaceId;
use crate::neighbour::ArpSeen;
use crate::snapshot::Snapshot;

/// Frames that a worker takes at once.
pub const BURST_MAX: usize = 64;

/// The circumstances of a burst: read once, then the same for every stage and packet.
#[derive(Debug)]
pub struct Burst<'a> {
    pub director: &'a Director,
    pub snapshot: &'a Snapshot,
    /// The worker's own.
    pub counters: &'a WorkerCounters,
    /// Where the frames came in.
    pub from: InterfaceId,
    pub now: Tick,
    /// When an established TCP connection ends that gets no packet after this burst: what most
    /// packets need to know.
    pub established_until: Tick,
}

/// Who wants to know what workers see of the neighbourhood. Called on the packet path: must be
/// quick and must not block.
pub trait Observer {
    /// An ARP packet that tells of a neighbour.
    fn arp_seen(&mut self, seen: ArpSeen);
}
