//! Schedulers: which real server gets a new connection.
//!
//! A scheduler sees the destinations of a service in the kernel's order, newest first, and reads
//! weight, load and overload of each at the moment of the pick. What it remembers between picks
//! lives in the service's snapshot, in atomics or behind short locks; a change of the destinations
//! makes a new memory from the old one, as the kernel's scheduler is told of each change.

mod address_hash;
mod affinity;
mod dh;
mod fo;
mod lblc;
mod lblcr;
mod lc;
mod least;
mod mh;
mod nq;
mod ovf;
mod rr;
#[cfg(test)]
mod samples;
mod sed;
mod sh;
mod twos;
mod wlc;
mod wrr;

use std::sync::Arc;

use crate::address::Address;
use crate::clock::Tick;
use crate::hash::FlowHasher;
use crate::service::SchedulerFlags;
use crate::settings::Settings;
use crate::slots::{DestinationId, DestinationSlot, DestinationSlots};
use crate::virtual_service::RealServer;

use affinity::Affinity;
pub use dh::DestinationHash;
pub use lblc::LocalityBased;
pub use lblcr::ReplicatedLocality;
use least::first_least;
pub use mh::Maglev;
pub use rr::RoundRobin;
pub use sh::SourceHash;
pub use twos::TwoChoices;
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

    /// Where a destination is in the list, if it is.
    #[inline]
    fn place_of(&self, id: DestinationId) -> Option<usize> {
        let place = self.slots.get(id).place();
        if self.ids.get(place) == Some(&id) {
            return Some(place);
        }
        // A worker that has not seen the newest list yet.
        self.ids.iter().position(|&other| other == id)
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
    LocalityBased(Arc<LocalityBased>),
    ReplicatedLocality(Arc<ReplicatedLocality>),
    TwoChoices(TwoChoices),
    /// `-s none`: no connection is ever scheduled.
    None,
}

/// Names of the schedulers.
pub const NAMES: &[&str] = &[
    "rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh", "twos",
    "none",
];

impl Scheduler {
    /// The scheduler of that name at the start of a service. The secrets of `hasher` are behind
    /// what clients are not to foresee.
    pub fn start(name: &str, candidates: Candidates<'_>, hasher: FlowHasher) -> Option<Self> {
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
            "lblc" => Self::LocalityBased(Arc::new(LocalityBased::new(hasher))),
            "lblcr" => Self::ReplicatedLocality(Arc::new(ReplicatedLocality::new(hasher))),
            "twos" => Self::TwoChoices(TwoChoices::new(hasher)),
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
            Self::LocalityBased(lblc) => Self::LocalityBased(Arc::clone(lblc)),
            Self::ReplicatedLocality(lblcr) => Self::ReplicatedLocality(Arc::clone(lblcr)),
            Self::TwoChoices(twos) => Self::TwoChoices(twos.changed()),
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
            Self::LocalityBased(lblc) => lblc.pick(request, candidates),
            Self::ReplicatedLocality(lblcr) => lblcr.pick(request, candidates),
            Self::TwoChoices(twos) => twos.pick(request, candidates),
            Self::None => None,
        }
    }

    /// Regular work of the control thread.
    pub fn tick(&self, now: Tick, settings: &Settings, slots: &DestinationSlots) {
        match self {
            Self::LocalityBased(lblc) => lblc.tick(now, settings, slots),
            Self::ReplicatedLocality(lblcr) => lblcr.tick(now, settings, slots),
            _ => {}
        }
    }

    /// The service has another scheduler, or is no more: the destinations that this one remembers
    /// are let go.
    pub fn close(&self, slots: &DestinationSlots) {
        if let Some(affinity) = self.affinity() {
            affinity.close(slots);
        }
    }

    /// Forgets removed destinations, because their slots are needed.
    pub fn forget_removed(&self, slots: &DestinationSlots) {
        if let Some(affinity) = self.affinity() {
            affinity.forget_removed(slots);
        }
    }

    fn affinity(&self) -> Option<&Affinity> {
        match self {
            Self::LocalityBased(lblc) => Some(lblc.affinity()),
            Self::ReplicatedLocality(lblcr) => Some(lblcr.affinity()),
            _ => None,
        }
    }
}
