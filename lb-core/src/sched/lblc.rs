//! lblc, locality-based least connection (`ip_vs_lblc.c`): connections for an address go to the
//! server that had the last one, so that caches keep what they have; wlc chooses for an address
//! that is new, and where that server is removed, quiesced, or outgrown. Whether it is overloaded
//! by its thresholds is not asked.

use std::sync::Arc;

use super::affinity::Affinity;
use super::least::{LeastIndex, Ratio};
use super::{Candidates, Request, wlc};
use crate::clock::Tick;
use crate::hash::FlowHasher;
use crate::settings::Settings;
use crate::slots::{DestinationSlot, DestinationSlots};

/// The memory of lblc.
#[derive(Debug)]
pub struct LocalityBased {
    affinity: Arc<Affinity>,
    indices: Indices,
}

impl LocalityBased {
    /// Nothing is remembered yet.
    pub(super) fn new(candidates: Candidates<'_>, hasher: FlowHasher) -> Self {
        Self { affinity: Arc::new(Affinity::new(hasher, 0)), indices: Indices::new(candidates) }
    }

    /// Another memory that has the same in it.
    pub(super) fn twin(&self, candidates: Candidates<'_>) -> Self {
        Self { affinity: Arc::new(self.affinity.twin()), indices: Indices::new(candidates) }
    }

    /// The same memory, for another list.
    pub(super) fn changed(&self, now: Candidates<'_>) -> Self {
        Self { affinity: Arc::clone(&self.affinity), indices: Indices::new(now) }
    }

    /// The server that had the last connection for the address, or that of wlc.
    pub(super) fn pick(&self, request: &Request<'_>, candidates: Candidates<'_>) -> Option<usize> {
        let &Request { destination, now, settings, .. } = request;
        let Candidates { slots, ids, .. } = candidates;
        let known = self.affinity.with(destination, now, slots, |set| set.newest());
        if let Some(place) = known.and_then(|server| candidates.place_of(server))
            && candidates.slot(place).weight() > 0
            && !self.indices.is_outgrown(place, candidates)
        {
            return Some(place);
        }
        let place = self.indices.wlc(settings, candidates)?;
        self.affinity.remember(destination, ids[place], false, now, slots);
        Some(place)
    }

    /// Regular work of the control thread.
    pub(super) fn tick(&self, now: Tick, settings: &Settings, slots: &DestinationSlots) {
        self.affinity.clean(now, settings.lblc_expiration_s, slots);
    }

    /// The table behind.
    pub(super) fn affinity(&self) -> &Affinity {
        &self.affinity
    }
}

/// The searches of lblc and lblcr.
#[derive(Debug)]
pub(super) struct Indices {
    wlc: LeastIndex,
    /// By active connections alone, overloaded or not.
    active: LeastIndex,
}

impl Indices {
    /// Those of a list.
    pub(super) fn new(candidates: Candidates<'_>) -> Self {
        Self { wlc: LeastIndex::new(candidates), active: LeastIndex::new(candidates) }
    }

    /// The server that wlc chooses.
    pub(super) fn wlc(&self, settings: &Settings, candidates: Candidates<'_>) -> Option<usize> {
        self.wlc.pick(candidates, settings.load_counts_all, |slot| wlc::ratio(slot, settings))
    }

    /// Whether a server has more active connections than its weight, while another one has less
    /// than half of its weight (`is_overloaded` of the kernel).
    pub(super) fn is_outgrown(&self, place: usize, candidates: Candidates<'_>) -> bool {
        let ratio = |slot: &DestinationSlot| {
            let (load, weight) = (i64::from(slot.active()), slot.weight());
            (weight > 0).then_some(Ratio { load, weight })
        };
        let slot = candidates.slot(place);
        i64::from(slot.active()) > i64::from(slot.weight())
            && self
                .active
                .find(candidates, false, ratio)
                .is_some_and(|(_, Ratio { load, weight })| 2 * load < i64::from(weight))
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::Sample;
    use crate::slots::DestinationId;

    #[test]
    fn an_address_stays_with_its_server_until_that_is_outgrown() {
        let sample = Sample::new(&[2, 2, 2]);
        let lblc = sample.start("lblc");
        let pick = |address| sample.pick(&lblc, address);
        assert_eq!(pick(1), Some(0));
        sample.slots.bind(DestinationId(0), true);
        assert_eq!((pick(2), pick(1)), (Some(1), Some(0)));
        // Overloaded by its threshold: it keeps what it has, and gets nothing new.
        sample.slots.configure(DestinationId(0), 2, 2, 0);
        sample.slots.bind(DestinationId(0), true);
        assert_eq!((pick(1), pick(3)), (Some(0), Some(1)));
        sample.slots.bind(DestinationId(0), true);
        sample.slots.bind(DestinationId(1), true);
        sample.slots.bind(DestinationId(2), true);
        assert_eq!(pick(1), Some(0), "3 are more than 2, but 2 * 1 is not below 2 elsewhere");
        sample.slots.unbind(DestinationId(2), true);
        assert_eq!(pick(1), Some(2));
        sample.slots.bind(DestinationId(2), true);
        assert_eq!(pick(1), Some(2), "it stays where it went");
    }

    #[test]
    fn a_removed_server_resumes_its_addresses_when_it_returns() {
        let mut sample = Sample::new(&[1, 1]);
        let lblc = sample.start("lblc");
        assert_eq!((sample.pick(&lblc, 1), sample.pick(&lblc, 2)), (Some(0), Some(0)));
        sample.remove(0);
        assert!(!sample.slot(0).is_idle(), "its slot is not given away");
        assert_eq!(sample.pick(&lblc, 1), Some(1));
        sample.add(0);
        assert_eq!(sample.pick(&lblc, 2), Some(0));
        assert_eq!(sample.pick(&lblc, 1), Some(1), "it went elsewhere meanwhile");
        // Quiesced.
        sample.slots.configure(DestinationId(0), 0, 0, 0);
        assert_eq!(sample.pick(&lblc, 2), Some(1));
        assert!(sample.slot(0).is_idle());
        sample.remove(1);
        lblc.forget_removed(&sample.slots);
        assert!(sample.slot(1).is_idle());
    }
}
