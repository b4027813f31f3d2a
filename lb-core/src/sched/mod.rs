//! Schedulers: which real server gets a new connection.
//!
//! A scheduler sees the destinations of a service in the kernel's order, newest first, and reads
//! weight, load and overload of each at the moment of the pick. What it remembers between picks
//! lives in the service's snapshot, in atomics or behind short locks; a change of the destinations
//! makes a new memory from the old one, as the kernel's scheduler is told of each change.

mod address_hash;
mod affinity;
mod change;
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

use crate::address::Address;
use crate::clock::Tick;
use crate::hash::FlowHasher;
use crate::service::SchedulerFlags;
use crate::settings::Settings;
use crate::slots::{DestinationId, DestinationSlot, DestinationSlots};
use crate::virtual_service::RealServer;

use affinity::Affinity;
pub use change::{Change, Rounds, Weights};
pub use dh::DestinationHash;
pub use lblc::LocalityBased;
pub use lblcr::ReplicatedLocality;
use least::{LeastIndex, group_size, leader_of};
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

    /// Tells every destination where it is in the list, and, for a scheduler with an index, who
    /// leads its group.
    pub fn arrange(&self, is_indexed: bool) {
        let group_size = if is_indexed { group_size(self.ids.len()) } else { None };
        let count = self.ids.len();
        for (number, (place, &id)) in (0_u32..).zip(self.ids).enumerate() {
            let leader = group_size.map(|size| self.ids[leader_of(number, size, count)]);
            self.slots.get(id).set_place(place, leader);
        }
    }

    /// What wrr makes of the weights, as they are at this moment.
    fn rounds(&self) -> Rounds {
        Rounds::of(self.ids.iter().map(|&id| self.slots.get(id).weight()))
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
    fn pick(
        self,
        index: &LeastIndex,
        settings: &Settings,
        candidates: Candidates<'_>,
    ) -> Option<usize> {
        let all = settings.load_counts_all;
        match self {
            Self::LeastConnection => index.pick(candidates, all, |slot| lc::ratio(slot, settings)),
            Self::WeightedLeastConnection => {
                index.pick(candidates, all, |slot| wlc::ratio(slot, settings))
            }
            Self::ShortestExpectedDelay => index.pick(candidates, false, sed::ratio),
            Self::NeverQueue => index.pick(candidates, false, nq::ratio),
            Self::WeightedFailover => index.pick(candidates, false, fo::ratio),
            Self::WeightedOverflow => index.pick(candidates, false, ovf::ratio),
        }
    }
}

/// The scheduler of a service, with its memory.
#[derive(Debug)]
pub enum Scheduler {
    RoundRobin(RoundRobin),
    WeightedRoundRobin(WeightedRoundRobin),
    Least(Measure, LeastIndex),
    DestinationHash(DestinationHash),
    SourceHash(SourceHash),
    Maglev(Maglev),
    LocalityBased(LocalityBased),
    ReplicatedLocality(ReplicatedLocality),
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
        Self::begin(name, (candidates.rounds(), &[]), candidates, hasher)
    }

    /// The same, where the service began with other weights, and these changes came since.
    pub fn begin(
        name: &str,
        (rounds, changes): (Rounds, &[Change]),
        candidates: Candidates<'_>,
        hasher: FlowHasher,
    ) -> Option<Self> {
        let least = |measure| Self::Least(measure, LeastIndex::new(candidates));
        Some(match name {
            "rr" => Self::RoundRobin(RoundRobin::default()),
            "wrr" => Self::WeightedRoundRobin(WeightedRoundRobin::start(rounds).changed(changes)),
            "lc" => least(Measure::LeastConnection),
            "wlc" => least(Measure::WeightedLeastConnection),
            "sed" => least(Measure::ShortestExpectedDelay),
            "nq" => least(Measure::NeverQueue),
            "fo" => least(Measure::WeightedFailover),
            "ovf" => least(Measure::WeightedOverflow),
            "dh" => Self::DestinationHash(DestinationHash),
            "sh" => Self::SourceHash(SourceHash::new(candidates)),
            "mh" => Self::Maglev(Maglev::new(candidates)),
            "lblc" => Self::LocalityBased(LocalityBased::new(candidates, hasher)),
            "lblcr" => Self::ReplicatedLocality(ReplicatedLocality::new(candidates, hasher)),
            "twos" => Self::TwoChoices(TwoChoices::new(candidates, hasher)),
            "none" => Self::None,
            _ => return None,
        })
    }

    /// The same scheduler after destinations were added, removed or edited, one after the other.
    /// `before` are the destinations that this memory is about.
    #[must_use]
    pub fn changed(
        &self,
        changes: &[Change],
        before: &[DestinationId],
        now: Candidates<'_>,
    ) -> Self {
        match self {
            Self::RoundRobin(rr) => Self::RoundRobin(rr.changed(changes, before, now.ids)),
            Self::WeightedRoundRobin(wrr) => Self::WeightedRoundRobin(wrr.changed(changes)),
            &Self::Least(measure, _) => Self::Least(measure, LeastIndex::new(now)),
            &Self::DestinationHash(dh) => Self::DestinationHash(dh),
            Self::SourceHash(_) => Self::SourceHash(SourceHash::new(now)),
            Self::Maglev(_) => Self::Maglev(Maglev::new(now)),
            Self::LocalityBased(lblc) => Self::LocalityBased(lblc.changed(now)),
            Self::ReplicatedLocality(lblcr) => Self::ReplicatedLocality(lblcr.changed(now)),
            Self::TwoChoices(twos) => Self::TwoChoices(twos.changed(now)),
            Self::None => Self::None,
        }
    }

    /// Another scheduler that would pick the same from this list, and remembers for itself.
    #[cold]
    pub(crate) fn twin(&self, now: Candidates<'_>) -> Self {
        match self {
            Self::RoundRobin(rr) => Self::RoundRobin(rr.twin()),
            Self::WeightedRoundRobin(wrr) => Self::WeightedRoundRobin(wrr.twin()),
            // What an index knows is only how to find sooner what a walk would find.
            &Self::Least(measure, _) => Self::Least(measure, LeastIndex::new(now)),
            &Self::DestinationHash(dh) => Self::DestinationHash(dh),
            Self::SourceHash(sh) => Self::SourceHash(sh.clone()),
            Self::Maglev(mh) => Self::Maglev(mh.clone()),
            Self::LocalityBased(lblc) => Self::LocalityBased(lblc.twin(now)),
            Self::ReplicatedLocality(lblcr) => Self::ReplicatedLocality(lblcr.twin(now)),
            Self::TwoChoices(twos) => Self::TwoChoices(twos.changed(now)),
            Self::None => Self::None,
        }
    }

    /// The place in the list of the destination for a new connection; `None` if no destination
    /// can take one.
    pub fn pick(&self, request: &Request<'_>, candidates: Candidates<'_>) -> Option<usize> {
        match self {
            Self::RoundRobin(rr) => rr.pick(candidates),
            Self::WeightedRoundRobin(wrr) => wrr.pick(candidates),
            Self::Least(measure, index) => measure.pick(index, request.settings, candidates),
            Self::DestinationHash(_) => DestinationHash::pick(request, candidates),
            Self::SourceHash(sh) => sh.pick(request, candidates),
            Self::Maglev(mh) => mh.pick(request, candidates),
            Self::LocalityBased(lblc) => lblc.pick(request, candidates),
            Self::ReplicatedLocality(lblcr) => lblcr.pick(request, candidates),
            Self::TwoChoices(twos) => twos.pick(request, candidates),
            Self::None => None,
        }
    }

    /// Whether it goes by groups of a long list: see [`Candidates::arrange`].
    pub const fn is_indexed(&self) -> bool {
        matches!(
            self,
            Self::Least(..)
                | Self::LocalityBased(_)
                | Self::ReplicatedLocality(_)
                | Self::TwoChoices(_)
        )
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

#[cfg(test)]
mod tests {
    use super::samples::Sample;
    use super::*;

    /// Of short and of indexed lists, while connections come and go and weights change.
    #[test]
    fn a_twin_picks_what_its_original_picks_next_and_leaves_no_trace() {
        for (name, count) in NAMES.iter().flat_map(|name| [(name, 5), (name, 200)]) {
            let weights: Vec<i32> = (0..count).map(|place| place % 7).collect();
            let sample = Sample::new(&weights);
            let scheduler = sample.start(name);
            sample.candidates().arrange(scheduler.is_indexed());
            let mut picked = Vec::new();
            for round in 0..600 {
                let request = sample.request(round * 7 % 61, round * 5 % 97);
                let copies = sample.slots.copy();
                let rehearsed = || {
                    let candidates = Candidates { slots: &copies, ..sample.candidates() };
                    scheduler.twin(candidates).pick(&request, candidates)
                };
                let is_looked_at = round % 100 == 0;
                let look = || is_looked_at.then(|| format!("{scheduler:?} {:?}", sample.slots));
                let before = look();
                let expected = rehearsed();
                assert_eq!(expected, rehearsed(), "{name}: the first twin left something behind");
                assert!(before == look(), "{name}: a twin changed something");
                let place = scheduler.pick(&request, sample.candidates());
                assert_eq!(place, expected, "{name} {count}, pick {round}");
                if let Some(place) = place {
                    sample.slots.bind(sample.ids[place], true);
                    picked.push(sample.ids[place]);
                }
                if round % 3 == 0 && !picked.is_empty() {
                    sample
                        .slots
                        .unbind(picked.swap_remove(round as usize * 31 % picked.len()), true);
                }
            }
            assert_eq!(picked.is_empty(), *name == "none", "{name}");
        }
    }
}
