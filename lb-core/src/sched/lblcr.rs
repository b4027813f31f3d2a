//! lblcr, locality-based least connection with replication (`ip_vs_lblcr.c`): as lblc, but an
//! address has a set of servers, of which the least loaded is taken. Where all of them are
//! outgrown, wlc chooses one that joins the set. A set of several that has not changed for
//! `lblcr_expiration` loses its most loaded server.

use std::sync::Arc;

use super::affinity::{Affinity, Set};
use super::lblc::Indices;
use super::{Candidates, Request, wlc};
use crate::clock::Tick;
use crate::hash::FlowHasher;
use crate::settings::Settings;
use crate::slots::{DestinationId, DestinationSlots};

/// Servers beyond the first of each address that all sets of a service have room for.
const OTHERS_MAX: u16 = 65_000;

/// The memory of lblcr.
#[derive(Debug)]
pub struct ReplicatedLocality {
    affinity: Arc<Affinity>,
    indices: Indices,
}

impl ReplicatedLocality {
    /// Nothing is remembered yet.
    pub(super) fn new(candidates: Candidates<'_>, hasher: FlowHasher) -> Self {
        let affinity = Arc::new(Affinity::new(hasher, OTHERS_MAX));
        Self { affinity, indices: Indices::new(candidates) }
    }

    /// Another memory that has the same in it.
    pub(super) fn twin(&self, candidates: Candidates<'_>) -> Self {
        Self { affinity: Arc::new(self.affinity.twin()), indices: Indices::new(candidates) }
    }

    /// The same memory, for another list.
    pub(super) fn changed(&self, now: Candidates<'_>) -> Self {
        Self { affinity: Arc::clone(&self.affinity), indices: Indices::new(now) }
    }

    /// The least loaded server of the address's set, or that of wlc.
    pub(super) fn pick(&self, request: &Request<'_>, candidates: Candidates<'_>) -> Option<usize> {
        let &Request { destination, now, settings, .. } = request;
        let Candidates { slots, ids, .. } = candidates;
        let known = self.affinity.with(destination, now, slots, |set| {
            let least = least(set, settings, slots);
            if set.has_others()
                && is_stale(set.changed(), settings.lblcr_expiration_s, now)
                && let Some(most) = most(set, settings, slots)
            {
                set.remove(most, now);
            }
            least
        });
        if let Some(place) = known.flatten().and_then(|server| candidates.place_of(server))
            && !self.indices.is_outgrown(place, candidates)
        {
            return Some(place);
        }
        let place = self.indices.wlc(settings, candidates)?;
        self.affinity.remember(destination, ids[place], true, now, slots);
        Some(place)
    }

    /// Regular work of the control thread.
    pub(super) fn tick(&self, now: Tick, settings: &Settings, slots: &DestinationSlots) {
        self.affinity.clean(now, settings.lblcr_expiration_s, slots);
    }

    /// The table behind.
    pub(super) fn affinity(&self) -> &Affinity {
        &self.affinity
    }
}

/// Whether a time lies back by more than these seconds; at most four years.
fn is_stale(changed: Tick, expiration_s: u32, now: Tick) -> bool {
    changed.plus_seconds(expiration_s.min(1 << 27)).is_before(now)
}

/// The least loaded usable server of a set (`ip_vs_dest_set_min`).
fn least(set: &Set<'_>, settings: &Settings, slots: &DestinationSlots) -> Option<DestinationId> {
    let available = set.servers().filter(|&server| slots.get(server).is_available());
    let ratios = available.filter_map(|it| Some((it, wlc::ratio(slots.get(it), settings)?)));
    // The first one stays where another is not strictly less.
    ratios.reduce(|best, it| if it.1.is_below(best.1) { it } else { best }).map(|(it, _)| it)
}

/// The most loaded server of a set that has a weight (`ip_vs_dest_set_max`).
fn most(set: &Set<'_>, settings: &Settings, slots: &DestinationSlots) -> Option<DestinationId> {
    let weighted = set.servers().filter(|&server| slots.get(server).weight() > 0);
    let ratios = weighted.map(|it| (it, wlc::ratio_of(slots.get(it), settings)));
    ratios.reduce(|worst, it| if worst.1.is_below(it.1) { it } else { worst }).map(|(it, _)| it)
}

#[cfg(test)]
mod tests {
    use super::super::samples::Sample;
    use crate::slots::DestinationId;

    #[test]
    fn sets_grow_when_outgrown_and_shrink_when_nothing_changes() {
        let mut sample = Sample::new(&[1, 1, 1]);
        sample.settings.lblcr_expiration_s = 60;
        let lblcr = sample.start("lblcr");
        let bind = |sample: &Sample, id: u32, count: usize| {
            (0..count).for_each(|_| sample.slots.bind(DestinationId(id), true));
        };
        assert_eq!(sample.pick(&lblcr, 1), Some(0));
        bind(&sample, 0, 2);
        bind(&sample, 1, 1);
        // 0 is outgrown as long as 2 is idle, which joins.
        assert_eq!(sample.pick(&lblcr, 1), Some(2));
        bind(&sample, 2, 2);
        // 0 and 2 are equal: the one that joined later is first. Nobody is idle.
        assert_eq!(sample.pick(&lblcr, 1), Some(2));
        bind(&sample, 2, 2);
        assert_eq!(sample.pick(&lblcr, 1), Some(0));
        assert_eq!(sample.pick(&lblcr, 2), Some(1), "another address, another set");
        sample.now = sample.now.plus_seconds(60);
        assert_eq!(sample.pick(&lblcr, 1), Some(0));
        (0..4).for_each(|_| sample.slots.unbind(DestinationId(2), true));
        assert_eq!(sample.pick(&lblcr, 1), Some(2), "still in the set");
        bind(&sample, 2, 1);
        sample.now = sample.now.plus_seconds(1);
        // 0 has the most load and leaves.
        assert_eq!(sample.pick(&lblcr, 1), Some(2));
        bind(&sample, 2, 8);
        assert_eq!(sample.pick(&lblcr, 1), Some(2));
    }

    #[test]
    fn overloaded_quiesced_and_removed_servers_of_a_set_are_passed() {
        let mut sample = Sample::new(&[1, 1]);
        let lblcr = sample.start("lblcr");
        assert_eq!(sample.pick(&lblcr, 1), Some(0));
        sample.slots.configure(DestinationId(0), 1, 1, 0);
        sample.slots.bind(DestinationId(0), true);
        assert_eq!(sample.pick(&lblcr, 1), Some(1));
        sample.slots.unbind(DestinationId(0), true);
        assert_eq!(sample.pick(&lblcr, 1), Some(1), "the newer one of the set");
        sample.slots.configure(DestinationId(1), 0, 0, 0);
        assert_eq!(sample.pick(&lblcr, 1), Some(0));
        sample.slots.configure(DestinationId(1), 1, 0, 0);
        sample.remove(1);
        assert_eq!(sample.pick(&lblcr, 1), Some(0));
        sample.remove(0);
        assert_eq!(sample.pick(&lblcr, 1), None);
    }
}
