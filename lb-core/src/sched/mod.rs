//! Schedulers: which real server gets a new connection.
//!
//! A scheduler sees the destinations of a service in the kernel's order, newest first, and reads
//! weight, load and overload of each at the moment of the pick. What it remembers between picks
//! (rr and wrr) lives in atomics of the service's snapshot; a change of the destinations makes a
//! new memory from the old one, as the kernel's scheduler is told of each change.

mod address_hash;
mod dh;
mod fo;
mod lc;
mod least;
mod mh;
mod nq;
mod ovf;
mod rr;
mod sed;
mod sh;
mod wlc;
mod wrr;

use crate::address::Address;
use crate::clock::Tick;
use crate::service::SchedulerFlags;
use crate::settings::Settings;
use crate::slots::{DestinationId, DestinationSlot, DestinationSlots};
use crate::virtual_service::RealServer;

pub use dh::DestinationHash;
use least::first_least;
pub use mh::Maglev;
pub use rr::RoundRobin;
pub use sh::SourceHash;
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
        self.slot(place).is_usable()
    }

    /// Whether any destination may get one.
    fn any_usable(&self) -> bool {
        (0..self.ids.len()).any(|place| self.is_usable(place))
    }
}

/// Schedulers that look for the least ratio of a load to a weight, and differ in what those are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    LeastConnection,
    WeightedLeastConnection,
    ShortestExpectedDelay,
    NeverQueue,
    WeightedFailover,
    WeightedOverflow,
}

impl Measure {
    #[inline]
    fn pick(self, settings: &Settings, candidates: Candidates<'_>) -> Option<usize> {
        match self {
            Self::LeastConnection => first_least(candidates, |slot| lc::ratio(slot, settings)),
            Self::WeightedLeastConnection => {
                first_least(candidates, |slot| wlc::ratio(slot, settings))
            }
            Self::ShortestExpectedDelay => first_least(candidates, sed::ratio),
            Self::NeverQueue => first_least(candidates, nq::ratio),
            Self::WeightedFailover => first_least(candidates, fo::ratio),
            Self::WeightedOverflow => first_least(candidates, ovf::ratio),
        }
    }
}

/// The scheduler of a service, with its memory.
#[derive(Debug)]
pub enum Scheduler {
    RoundRobin(RoundRobin),
    WeightedRoundRobin(WeightedRoundRobin),
    Least(Measure),
    DestinationHash(DestinationHash),
    SourceHash(SourceHash),
    Maglev(Maglev),
    /// `-s none`: no connection is ever scheduled.
    None,
}

/// Names of the schedulers.
pub const NAMES: &[&str] =
    &["rr", "wrr", "lc", "wlc", "dh", "sh", "sed", "nq", "fo", "ovf", "mh", "none"];

/// Names of IPVS's schedulers that are not here yet.
pub const NAMES_MISSING: &[&str] = &["lblc", "lblcr", "twos"];

impl Scheduler {
    /// The scheduler of that name at the start of a service.
    pub fn start(name: &str, candidates: Candidates<'_>) -> Option<Self> {
        Some(match name {
            "rr" => Self::RoundRobin(RoundRobin::default()),
            "wrr" => Self::WeightedRoundRobin(WeightedRoundRobin::start(candidates)),
            "lc" => Self::Least(Measure::LeastConnection),
            "wlc" => Self::Least(Measure::WeightedLeastConnection),
            "sed" => Self::Least(Measure::ShortestExpectedDelay),
            "nq" => Self::Least(Measure::NeverQueue),
            "fo" => Self::Least(Measure::WeightedFailover),
            "ovf" => Self::Least(Measure::WeightedOverflow),
            "dh" => Self::DestinationHash(DestinationHash),
            "sh" => Self::SourceHash(SourceHash::new(candidates)),
            "mh" => Self::Maglev(Maglev::new(candidates)),
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
            &Self::Least(measure) => Self::Least(measure),
            &Self::DestinationHash(dh) => Self::DestinationHash(dh),
            Self::SourceHash(_) => Self::SourceHash(SourceHash::new(now)),
            Self::Maglev(_) => Self::Maglev(Maglev::new(now)),
            Self::None => Self::None,
        }
    }

    /// The place in the list of the destination for a new connection; `None` if no destination
    /// can take one.
    pub fn pick(&self, request: &Request<'_>, candidates: Candidates<'_>) -> Option<usize> {
        match self {
            Self::RoundRobin(rr) => rr.pick(candidates),
            Self::WeightedRoundRobin(wrr) => wrr.pick(candidates),
            Self::Least(measure) => measure.pick(request.settings, candidates),
            Self::DestinationHash(_) => DestinationHash::pick(request, candidates),
            Self::SourceHash(sh) => sh.pick(request, candidates),
            Self::Maglev(mh) => mh.pick(request, candidates),
            Self::None => None,
        }
    }
}
