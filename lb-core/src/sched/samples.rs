//! A service for the unit tests of schedulers.

use super::{Candidates, Request, Scheduler};
use crate::address::Address;
use crate::clock::Tick;
use crate::destination::ForwardingMethod;
use crate::hash::FlowHasher;
use crate::service::SchedulerFlags;
use crate::settings::Settings;
use crate::slots::{DestinationId, DestinationSlot, DestinationSlots};
use crate::virtual_service::RealServer;

pub(super) const HASHER: FlowHasher = FlowHasher::new([1, 2, 3]);

/// Destinations with the ids 0, 1, 2..., in the order of the list: newest first.
pub(super) struct Sample {
    pub(super) slots: DestinationSlots,
    pub(super) ids: Vec<DestinationId>,
    servers: Vec<RealServer>,
    pub(super) settings: Settings,
    pub(super) flags: SchedulerFlags,
    pub(super) now: Tick,
}

fn server(id: DestinationId) -> RealServer {
    RealServer {
        address: Address::v4(0x0a00_0200 + id.0),
        port: 80,
        method: ForwardingMethod::DirectRouting,
    }
}

impl Sample {
    pub(super) fn new(weights: &[i32]) -> Self {
        let slots = DestinationSlots::new(weights.len());
        let ids: Vec<_> = (0..).map(DestinationId).take(weights.len()).collect();
        for (&id, &weight) in ids.iter().zip(weights) {
            let slot = slots.get(id);
            slots.configure(id, weight, 0, 0);
            slot.set_available(true);
            slot.set_place(id.0, None);
        }
        Self {
            slots,
            servers: ids.iter().map(|&id| server(id)).collect(),
            ids,
            settings: Settings::default(),
            flags: SchedulerFlags::default(),
            now: Tick(1000),
        }
    }

    pub(super) fn candidates(&self) -> Candidates<'_> {
        Candidates { ids: &self.ids, servers: &self.servers, slots: &self.slots }
    }

    pub(super) fn start(&self, scheduler: &str) -> Scheduler {
        Scheduler::start(scheduler, self.candidates(), HASHER).unwrap()
    }

    pub(super) fn slot(&self, id: u32) -> &DestinationSlot {
        self.slots.get(DestinationId(id))
    }

    /// The client 10.0.1.`client` asks for 10.50.0.`destination`.
    pub(super) fn request(&self, client: u32, destination: u32) -> Request<'_> {
        Request {
            client: Address::v4(0x0a00_0100 + client),
            client_port: 40000,
            destination: Address::v4(0x0a32_0000 + destination),
            flags: self.flags,
            now: self.now,
            settings: &self.settings,
        }
    }

    /// Who gets a connection for a destination address.
    pub(super) fn pick(&self, scheduler: &Scheduler, destination: u32) -> Option<u32> {
        let place = scheduler.pick(&self.request(2, destination), self.candidates())?;
        Some(self.ids[place].0)
    }

    /// A destination is added again.
    pub(super) fn add(&mut self, id: u32) {
        self.ids.insert(0, DestinationId(id));
        self.servers.insert(0, server(DestinationId(id)));
        self.slot(id).set_available(true);
    }

    /// A removed destination is not in the list, and known to be removed.
    pub(super) fn remove(&mut self, id: u32) {
        let place = self.ids.iter().position(|other| other.0 == id).unwrap();
        self.ids.remove(place);
        self.servers.remove(place);
        self.slot(id).set_available(false);
    }
}
