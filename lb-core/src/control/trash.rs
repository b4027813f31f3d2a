//! Removed destinations that connections still refer to, and the slots that are free.
//!
//! As in the kernel (`ip_vs_trash_get_dest`), a destination that is added again with the same
//! service, address and port before it was emptied out takes its old slot back: its connections
//! and counters resume.

use std::net::IpAddr;

use crate::clock::Tick;
use crate::director::Director;
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
    idle_since: Option<Tick>,
    /// Workers may know it from an older snapshot until they have passed this epoch; `None` until
    /// the snapshot without it was published.
    epoch: Option<u64>,
}

/// Where slots come from and go to.
#[derive(Debug)]
pub(super) struct Trash {
    removed: Vec<(ServiceKey, IpAddr, u16, Trashed)>,
    free: Vec<DestinationId>,
    fresh: u32,
    slots: u32,
}

impl Trash {
    /// All slots are free.
    pub(super) fn new(slots: usize) -> Self {
        let slots = u32::try_from(slots).unwrap_or(u32::MAX);
        Self { removed: Vec::new(), free: Vec::new(), fresh: 0, slots }
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
        let place = self.removed.iter().position(|(_, _, _, trashed)| {
            trashed.epoch.is_some_and(|epoch| passed >= epoch)
                && director.slots.get(trashed.id).is_idle()
        })?;
        let id = self.removed.swap_remove(place).3.id;
        director.slots.get(id).reset();
        Some(id)
    }

    /// The destination was removed from its service.
    pub(super) fn put(
        &mut self,
        end: (ServiceKey, IpAddr, u16),
        service: u64,
        id: DestinationId,
        baseline: Stats,
    ) {
        let trashed = Trashed { id, service, baseline, idle_since: None, epoch: None };
        self.removed.push((end.0, end.1, end.2, trashed));
    }

    /// Takes a removed destination back, if it is still here.
    pub(super) fn take_back(
        &mut self,
        service: &ServiceKey,
        address: IpAddr,
        port: u16,
    ) -> Option<Trashed> {
        let place = self.removed.iter().position(|(key, removed_address, removed_port, _)| {
            key == service && *removed_address == address && *removed_port == port
        })?;
        Some(self.removed.swap_remove(place).3)
    }

    /// The removed destinations: service, address and port of each, and its slot.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&ServiceKey, IpAddr, u16, DestinationId)> {
        self.removed.iter().map(|(key, address, port, trashed)| (key, *address, *port, trashed.id))
    }

    /// Frees the slots that nothing has referred to for long enough. All changes so far must have
    /// been published.
    pub(super) fn empty(&mut self, now: Tick, director: &Director) {
        if self.removed.is_empty() {
            return;
        }
        let passed = director.epochs.passed();
        let free = &mut self.free;
        self.removed.retain_mut(|(_, _, _, trashed)| {
            let slot = director.slots.get(trashed.id);
            if !slot.is_idle() {
                trashed.idle_since = None;
                return true;
            }
            let since = *trashed.idle_since.get_or_insert(now);
            let epoch = *trashed.epoch.get_or_insert_with(|| director.epochs.advance());
            let over = passed >= epoch && !now.is_before(since.plus_seconds(IDLE_S));
            if over {
                slot.reset();
                free.push(trashed.id);
            }
            !over
        });
    }
}
