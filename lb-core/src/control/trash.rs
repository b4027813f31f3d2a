//! Removed destinations that connections still refer to, and the slots that are free.
//!
//! As in the kernel (`ip_vs_trash_get_dest`), a destination that is added again with the same
//! service, address and port before it was emptied out takes its old slot back: its connections
//! and counters resume.

use std::collections::HashSet;
use std::net::IpAddr;

use super::ordered_map::OrderedMap;
use super::record::DestinationRecord;
use super::transaction::Place;
use crate::clock::Tick;
use crate::director::Director;
use crate::estimator::Estimator;
use crate::operations::Stats;
use crate::service::ServiceKey;
use crate::slots::DestinationId;

/// Seconds that a removed destination stays after the last connection was seen on it
/// (`IP_VS_DEST_TRASH_PERIOD`).
const IDLE_S: u32 = 120;

/// What a destination had when it was removed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trashed {
    pub(super) id: DestinationId,
    /// Number of the service that it was of.
    pub(super) service: u64,
    pub(super) baseline: Stats,
    pub(super) estimator: Estimator,
    idle_since: Option<Tick>,
    /// Workers may know it from an older snapshot until they have passed this epoch; `None` until
    /// the snapshot without it was published.
    epoch: Option<u64>,
}

impl Trashed {
    /// Whether no worker can know it any more.
    fn is_past(&self, passed: u64) -> bool {
        self.epoch.is_some_and(|epoch| passed >= epoch)
    }
}

/// Where slots come from and go to.
#[derive(Debug)]
pub(super) struct Trash {
    /// Those that were removed first come first.
    removed: OrderedMap<Place, Trashed>,
    free: Vec<DestinationId>,
    fresh: u32,
    slots: u32,
}

impl Trash {
    /// All slots are free.
    pub(super) fn new(slots: usize) -> Self {
        let slots = u32::try_from(slots).unwrap_or(u32::MAX);
        Self { removed: OrderedMap::default(), free: Vec::new(), fresh: 0, slots }
    }

    /// A slot that nobody uses. When there is none, a removed destination without connections
    /// gives up its own before its time.
    pub(super) fn take_slot(&mut self, director: &Director) -> Option<DestinationId> {
        if let Some(id) = self.free.pop() {
            return Some(id);
        }
        if self.fresh < self.slots {
            self.fresh += 1;
            return Some(DestinationId(self.fresh - 1));
        }
        let passed = director.epochs.passed();
        let (&place, _) = self.removed.iter().find(|(_, trashed)| {
            trashed.is_past(passed) && director.slots.get(trashed.id).is_idle()
        })?;
        let id = self.removed.remove(&place)?.id;
        director.slots.get(id).reset();
        Some(id)
    }

    /// The destination was removed from its service.
    pub(super) fn put(&mut self, key: ServiceKey, service: u64, record: &DestinationRecord) {
        let &DestinationRecord { destination, id, baseline, estimator, .. } = record;
        let trashed = Trashed { id, service, baseline, estimator, idle_since: None, epoch: None };
        self.removed.insert((key, destination.address, destination.port), trashed);
    }

    /// Takes a removed destination back, if it is still here.
    pub(super) fn take_back(&mut self, place: &Place) -> Option<Trashed> {
        self.removed.remove(place)
    }

    /// The number of slots that new destinations could take now, and the removed destinations whose
    /// slots are not among them. What schedulers remember does not count: they forget if need be.
    pub(super) fn supply(&self, director: &Director) -> (usize, HashSet<Place>) {
        let passed = director.epochs.passed();
        let needed = self.removed.iter().filter(|(_, trashed)| {
            !trashed.is_past(passed) || director.slots.get(trashed.id).has_connections()
        });
        let needed: HashSet<Place> = needed.map(|(&place, _)| place).collect();
        let fresh = usize::try_from(self.slots - self.fresh).unwrap_or(usize::MAX);
        (fresh + self.free.len() + self.removed.len() - needed.len(), needed)
    }

    /// The removed destinations: service, address and port of each, and its slot.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&ServiceKey, IpAddr, u16, DestinationId)> {
        self.removed.iter().map(|((key, address, port), it)| (key, *address, *port, it.id))
    }

    /// Frees the slots that nothing has referred to for long enough. All changes so far must have
    /// been published.
    pub(super) fn empty(&mut self, now: Tick, director: &Director) {
        if self.removed.is_empty() {
            return;
        }
        let passed = director.epochs.passed();
        let free = &mut self.free;
        self.removed.retain(|trashed| {
            let slot = director.slots.get(trashed.id);
            if slot.has_connections() {
                trashed.idle_since = None;
                return true;
            }
            let epoch = *trashed.epoch.get_or_insert_with(|| director.epochs.advance());
            if !slot.is_idle() {
                trashed.idle_since = None;
                return true;
            }
            let since = *trashed.idle_since.get_or_insert(now);
            let over = passed >= epoch && !now.is_before(since.plus_seconds(IDLE_S));
            if over {
                slot.reset();
                free.push(trashed.id);
            }
            !over
        });
    }
}
