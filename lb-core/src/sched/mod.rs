//! Schedulers: which real server gets a new connection.
//!
//! A scheduler sees the destinations of a service in the kernel's order, newest first, and reads
//! weight, load and overload of each at the moment of the pick. What it remembers between picks
//! (rr and wrr) lives in atomics of the service's snapshot; a change of the destinations makes a
//! new memory from the old one, as the kernel's scheduler is told of each change.

mod lc;
mod rr;
mod wlc;
mod wrr;

use crate::address::Address;
use crate::clock::Tick;
use crate::service::SchedulerFlags;
use crate::settings::Settings;
use crate::slots::{DestinationId, DestinationSlot, DestinationSlots};
use crate::virtual_service::RealServer;

pub use rr::RoundRobin;
pub use wrr::WeightedRoundRobin;

/// What a scheduler may ask about the packet that begins a connection.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub client: Address,
    pub client_port: u16,
    /// The address that the client asked for.
    pub destination: Address,
    /// `-b` of the service.
    pub flags: SchedulerFlags,
    pub now: Tick,
    pub settings: &'a Settings,
}

/// The destinations of a service, newest first. [`DestinationSlots`] knows the run-time data of
/// each.
#[derive(Clone, Copy, Debug)]
pub struct Candidates<'a> {
    pub ids: &'a [DestinationId],
    /// In the same order.
    pub servers: &'a [RealServer],
    pub slots: &'a DestinationSlots,
}

impl<'a> Candidates<'a> {
    /// The destination at a place of the list.
    #[inline]
    fn slot(&self, place: usize) -> &'a DestinationSlot {
        self.slots.get(self.ids[place])
    }

    /// Whether the destination may get a new connection: weight above 0, not overloaded.
    #[inline]
    fn is_usable(&self, place: usize) -> bool {
        let slot = self.slot(place);
        slot.weight() > 0 && !slot.is_overloaded()
    }
}

/// The scheduler of a service, with its memory.
#[derive(Debug)]
pub enum Scheduler {
    RoundRobin(RoundRobin),
    WeightedRoundRobin(WeightedRoundRobin),
    LeastConnection,
    WeightedLeastConnection,
    /// `-s none`: no connection is ever scheduled.
    None,
}

/// Names of the schedulers that this director has.
pub const NAMES: &[&str] = &["rr", "wrr", "lc", "wlc", "none"];

/// Names of IPVS's schedulers that are not here yet.
pub const NAMES_MISSING: &[&str] =
    &["lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh", "twos"];

impl Scheduler {
    /// The scheduler of that name at the start of a service.
    pub fn start(name: &str, candidates: Candidates<'_>) -> Option<Self> {
        Some(match name {
            "rr" => Self::RoundRobin(RoundRobin::default()),
            "wrr" => Self::WeightedRoundRobin(WeightedRoundRobin::start(candidates)),
            "lc" => Self::LeastConnection,
            "wlc" => Self::WeightedLeastConnection,
            "none" => Self::None,
            _ => return None,
        })
    }

    /// The same scheduler after destinations were added, removed or edited. `before` are the
    /// destinations that this memory is about.
    #[must_use]
    pub fn changed(&self, before: &[DestinationId], now: Candidates<'_>) -> Self {
        match self {
            Self::RoundRobin(rr) => Self::RoundRobin(rr.changed(before, now.ids)),
            Self::WeightedRoundRobin(wrr) => Self::WeightedRoundRobin(wrr.changed(now)),
            Self::LeastConnection => Self::LeastConnection,
            Self::WeightedLeastConnection => Self::WeightedLeastConnection,
            Self::None => Self::None,
        }
    }

    /// The place in the list of the destination for a new connection; `None` if no destination
    /// can take one.
    pub fn pick(&self, _request: &Request<'_>, candidates: Candidates<'_>) -> Option<usize> {
        match self {
            Self::RoundRobin(rr) => rr.pick(candidates),
            Self::WeightedRoundRobin(wrr) => wrr.pick(candidates),
            Self::LeastConnection => lc::pick(candidates),
            Self::WeightedLeastConnection => wlc::pick(candidates),
            Self::None => None,
        }
    }
}
