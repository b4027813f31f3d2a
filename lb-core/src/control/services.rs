//! The table of services and its operations, with the kernel's rules (`ip_vs_ctl.c`).

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Control;
use super::support::{self, Acceptance};
use crate::address::Address;
use crate::counters::sum_destination;
use crate::destination::{Destination, ForwardingMethod};
use crate::director::Director;
use crate::flow::FlowState;
use crate::operations::{
    ConnectionRow, DaemonRole, DaemonRow, DaemonSettings, DestinationRow, OperationError,
    Operations, Rates, ServiceRow, Stats, TimeoutSettings,
};
use crate::protocol::Protocol;
use crate::route::Hop;
use crate::sched::{Candidates, Scheduler};
use crate::service::{Service, ServiceKey};
use crate::slots::DestinationId;
use crate::state::State;
use crate::virtual_service::{Engine, RealServer, VirtualService};

/// `size=` of the listing's first line: IPVS's default (`conn_tab_bits` 12), which scripts and
/// comparisons know. The real size of the flow table is in `sluicectl status`.
const IPVS_TABLE_SIZE: usize = 4096;

/// A virtual service.
#[derive(Debug)]
pub(super) struct ServiceRecord {
    service: Service,
    /// Tells it from an earlier service with the same key.
    number: u64,
    /// Oldest first: `-a` appends. The kernel's order is the reverse.
    destinations: Vec<DestinationRecord>,
    /// What workers see of it; remade by every change, from the scheduler's memory of before.
    path: Option<Arc<VirtualService>>,
    /// What removed destinations had counted, less what returned ones had.
    departed: Stats,
}

/// What a scheduler is told when its service is remade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tell {
    /// Nothing: it goes on.
    Nothing,
    /// Destinations were added, removed or edited.
    Changed,
    /// It begins anew.
    Start,
}

#[derive(Debug)]
struct DestinationRecord {
    destination: Destination,
    id: DestinationId,
    /// The way to it; `None` where no route leads.
    hop: Option<Hop>,
    /// What its counters showed when it was zeroed last.
    baseline: Stats,
}

impl DestinationRecord {
    const fn is_at(&self, address: IpAddr, port: u16) -> bool {
        let same = match (self.destination.address, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => a.to_bits() == b.to_bits(),
            (IpAddr::V6(a), IpAddr::V6(b)) => a.to_bits() == b.to_bits(),
            _ => false,
        };
        same && self.destination.port == port
    }

    fn stats(&self, director: &Director) -> Stats {
        sum_destination(&director.counters, self.id).since(self.baseline)
    }
}

impl ServiceRecord {
    /// What workers see of the service, if packets can be for it.
    pub(super) fn on_the_path(&self) -> Option<Arc<VirtualService>> {
        self.path.clone()
    }

    pub(super) const fn key(&self) -> &ServiceKey {
        &self.service.key
    }

    /// Its real servers, each with the way to it.
    pub(super) fn ways_mut(
        &mut self,
    ) -> impl Iterator<Item = (&Destination, DestinationId, &mut Option<Hop>)> {
        self.destinations.iter_mut().map(|record| (&record.destination, record.id, &mut record.hop))
    }

    /// Its real servers.
    pub(super) fn servers(&self) -> impl Iterator<Item = &Destination> {
        self.destinations.iter().map(|record| &record.destination)
    }

    pub(super) fn destinations_count(&self) -> usize {
        self.destinations.len()
    }

    /// Remakes what workers see. `tell` says whether the scheduler learns of a change.
    fn rebuild(&mut self, director: &Director, tell: Tell) {
        if tell == Tell::Start {
            self.close_scheduler(director);
        }
        let (ids, servers): (Vec<_>, Vec<_>) = self
            .destinations
            .iter()
            .rev()
            .filter(|record| support::is_reachable(&record.destination))
            .map(|record| {
                let Destination { address, port, method, .. } = record.destination;
                (record.id, RealServer { address: address.into(), port, method })
            })
            .unzip();
        let candidates = Candidates { ids: &ids, servers: &servers, slots: &director.slots };
        let scheduler = match (&self.path, tell) {
            (Some(path), Tell::Nothing) => Arc::clone(&path.scheduler),
            (Some(path), Tell::Changed) => {
                Arc::new(path.scheduler.changed(&path.destinations, candidates))
            }
            _ => {
                let name = &self.service.scheduler;
                let scheduler = Scheduler::start(name, candidates, director.hasher);
                Arc::new(scheduler.unwrap_or(Scheduler::None))
            }
        };
        candidates.arrange(scheduler.is_indexed());
        let path = VirtualService::new(&self.service, scheduler, ids.into(), servers.into());
        self.path = Some(Arc::new(path));
    }

    /// The service's scheduler.
    pub(super) fn scheduler(&self) -> Option<&Scheduler> {
        self.path.as_deref().map(|path| path.scheduler.as_ref())
    }

    /// The scheduler's time is over.
    fn close_scheduler(&self, director: &Director) {
        if let Some(scheduler) = self.scheduler() {
            scheduler.close(&director.slots);
        }
    }

    fn stats(&self, director: &Director) -> Stats {
        let present = self.destinations.iter().map(|record| record.stats(director));
        present.fold(self.departed, Stats::plus)
    }

    fn row(&self, director: &Director) -> ServiceRow {
        let destinations = self.destinations.iter().rev().map(|record| {
            let slot = director.slots.get(record.id);
            DestinationRow {
                destination: record.destination,
                active: slot.active(),
                inactive: slot.inactive(),
                persistent: slot.persistent(),
                stats: record.stats(director),
                rates: Rates::default(),
            }
        });
        ServiceRow {
            service: self.service.clone(),
            stats: self.stats(director),
            rates: Rates::default(),
            destinations: destinations.collect(),
        }
    }

    fn zero(&mut self, director: &Director) {
        self.departed = Stats::default();
        for record in &mut self.destinations {
            record.baseline = sum_destination(&director.counters, record.id);
        }
    }
}

impl Control {
    fn place_of(&self, key: &ServiceKey) -> Option<usize> {
        self.services.iter().position(|record| record.service.key == *key)
    }

    /// What the kernel checks of `-a` and `-e` alike, in its order.
    fn check_destination(
        &self,
        key: &ServiceKey,
        destination: &Destination,
    ) -> Result<(), OperationError> {
        support::check_family(key, destination)?;
        self.check_synchronised(key, destination)?;
        if destination.weight < 0 || destination.lower_threshold > destination.upper_threshold {
            return Err(OperationError::Range);
        }
        match self.acceptance {
            Acceptance::Forwardable => support::check_destination(destination),
            Acceptance::Everything => Ok(()),
        }
    }

    /// A slot for a new destination: its old one if it was removed lately, else a free one.
    fn slot_for(
        &mut self,
        place: usize,
        destination: &Destination,
    ) -> Result<DestinationRecord, OperationError> {
        let ServiceRecord { service: Service { key, .. }, number, .. } = &self.services[place];
        let returned = self.trash.take_back(key, destination.address, destination.port);
        let (id, baseline) = match returned {
            Some(trashed) if trashed.service == *number => (trashed.id, trashed.baseline),
            // To another service than before its connections return, its statistics do not.
            Some(trashed) => (trashed.id, sum_destination(&self.director.counters, trashed.id)),
            None => {
                let id = self.take_slot().ok_or_else(|| {
                    OperationError::Limit(format!(
                        "all {} real servers of the limit `destinations.max` are in use",
                        self.director.slots.len()
                    ))
                })?;
                (id, sum_destination(&self.director.counters, id))
            }
        };
        let hop = self.way_to(destination);
        Ok(DestinationRecord { destination: *destination, id, hop, baseline })
    }

    /// A slot that nobody uses; if need be, one of a removed destination that only a scheduler
    /// remembers.
    fn take_slot(&mut self) -> Option<DestinationId> {
        self.trash.take_slot(&self.director).or_else(|| {
            for scheduler in self.services.iter().filter_map(ServiceRecord::scheduler) {
                scheduler.forget_removed(&self.director.slots);
            }
            self.trash.take_slot(&self.director)
        })
    }

    /// Publishes how packets get to a destination: how large they may be, and in which tunnel.
    pub(super) fn publish_path(
        &mut self,
        destination: &Destination,
        id: DestinationId,
        hop: Option<Hop>,
    ) {
        let is_local = self.is_local(destination);
        let interface = hop.and_then(|hop| self.interfaces.get(usize::from(hop.interface.0)));
        let slot = self.director.slots.get(id);
        self.path_mtus.forget(id);
        slot.set_local(is_local);
        slot.set_mtu(interface.map(|interface| interface.mtu));
        self.has_local_servers |= is_local;
        let source = interface.and_then(|interface| interface.source_for(destination.address));
        let source = source.map_or(Address::UNSPECIFIED, Address::from);
        slot.set_tunnel(destination.tunnel, source, destination.address.into());
        self.tells_apart |= destination.method == ForwardingMethod::Masquerading;
    }

    /// Takes a destination out of service; its connections stay.
    fn retire(&mut self, (key, service): (ServiceKey, u64), record: &DestinationRecord) {
        self.director.slots.get(record.id).set_available(false);
        if self.settings.expire_nodest_conn {
            self.director.has_orphans.store(true, Ordering::Release);
        }
        if let Some(hop) = record.hop {
            self.neighbours.remove_user(hop, record.id);
        }
        let Destination { address, port, .. } = record.destination;
        self.trash.put((key, address, port), service, record.id, record.baseline);
    }

    fn remove_service(&mut self, place: usize) {
        let record = self.services.remove(place);
        record.close_scheduler(&self.director);
        for destination in &record.destinations {
            self.retire((record.service.key, record.number), destination);
        }
        self.changed = true;
    }
}

impl Operations for Control {
    fn add_service(&mut self, service: Service) -> Result<(), OperationError> {
        if self.place_of(&service.key).is_some() {
            return Err(OperationError::ServiceExists);
        }
        support::check_names(&service)?;
        self.services_made += 1;
        let mut record = ServiceRecord {
            service,
            number: self.services_made,
            destinations: Vec::new(),
            path: None,
            departed: Stats::default(),
        };
        record.rebuild(&self.director, Tell::Start);
        self.services.push(record);
        self.changed = true;
        Ok(())
    }

    fn edit_service(&mut self, service: Service) -> Result<(), OperationError> {
        let place = self.place_of(&service.key).ok_or(OperationError::NoSuchService)?;
        support::check_names(&service)?;
        let record = &mut self.services[place];
        let same_scheduler = record.service.scheduler == service.scheduler;
        if !same_scheduler {
            support::check_count(&service, record.destinations.len())?;
        }
        record.service = service;
        // A scheduler that stays is not told of `-E`.
        let tell = if same_scheduler { Tell::Nothing } else { Tell::Start };
        record.rebuild(&self.director, tell);
        self.changed = true;
        Ok(())
    }

    fn delete_service(&mut self, key: &ServiceKey) -> Result<(), OperationError> {
        let place = self.place_of(key).ok_or(OperationError::NoSuchService)?;
        self.remove_service(place);
        Ok(())
    }

    fn clear(&mut self) {
        while !self.services.is_empty() {
            self.remove_service(self.services.len() - 1);
        }
    }

    fn add_destination(
        &mut self,
        key: &ServiceKey,
        destination: Destination,
    ) -> Result<(), OperationError> {
        let place = self.place_of(key).ok_or(OperationError::ServiceNotDefined)?;
        self.check_destination(key, &destination)?;
        let present = &self.services[place].destinations;
        if present.iter().any(|record| record.is_at(destination.address, destination.port)) {
            return Err(OperationError::DestinationExists);
        }
        support::check_unicast(destination.address)?;
        let record = self.slot_for(place, &destination)?;
        let slots = &self.director.slots;
        let Destination { weight, upper_threshold, lower_threshold, .. } = destination;
        slots.get(record.id).forget_last_weight();
        slots.configure(record.id, weight, upper_threshold, lower_threshold);
        self.publish_path(&destination, record.id, record.hop);
        if let Some(hop) = record.hop {
            self.neighbours.add_user(hop, record.id, &self.director.slots);
        }
        self.director.slots.get(record.id).set_available(true);
        let service = &mut self.services[place];
        // What a returned destination had counted is counted by itself again.
        service.departed = service.departed.since(record.stats(&self.director));
        service.destinations.push(record);
        service.rebuild(&self.director, Tell::Changed);
        self.changed = true;
        Ok(())
    }

    fn edit_destination(
        &mut self,
        key: &ServiceKey,
        destination: Destination,
    ) -> Result<(), OperationError> {
        let place = self.place_of(key).ok_or(OperationError::ServiceNotDefined)?;
        self.check_destination(key, &destination)?;
        let service = &mut self.services[place];
        let record = service
            .destinations
            .iter_mut()
            .find(|record| record.is_at(destination.address, destination.port))
            .ok_or(OperationError::NoSuchDestination)?;
        record.destination = destination;
        let (id, hop) = (record.id, record.hop);
        let Destination { weight, upper_threshold, lower_threshold, .. } = destination;
        self.director.slots.configure(id, weight, upper_threshold, lower_threshold);
        service.rebuild(&self.director, Tell::Changed);
        let way = self.find_way(&destination, id, hop);
        let service = &mut self.services[place];
        let edited = service.destinations.iter_mut().find(|record| record.id == id);
        edited.into_iter().for_each(|record| record.hop = way);
        self.changed = true;
        Ok(())
    }

    fn delete_destination(
        &mut self,
        key: &ServiceKey,
        address: IpAddr,
        port: u16,
    ) -> Result<(), OperationError> {
        let place = self.place_of(key).ok_or(OperationError::ServiceNotDefined)?;
        let service = &mut self.services[place];
        let found = service.destinations.iter().position(|record| record.is_at(address, port));
        let record = service.destinations.remove(found.ok_or(OperationError::NoSuchDestination)?);
        service.departed = service.departed.plus(record.stats(&self.director));
        service.rebuild(&self.director, Tell::Changed);
        let number = service.number;
        self.retire((*key, number), &record);
        self.changed = true;
        Ok(())
    }

    fn zero(&mut self, key: Option<&ServiceKey>) -> Result<(), OperationError> {
        match key {
            Some(key) => {
                let place = self.place_of(key).ok_or(OperationError::NoSuchService)?;
                self.services[place].zero(&self.director);
            }
            None => self.services.iter_mut().for_each(|record| record.zero(&self.director)),
        }
        Ok(())
    }

    fn set_timeouts(&mut self, timeouts: TimeoutSettings) {
        self.timeouts.set(timeouts);
        self.changed = true;
    }

    fn timeouts(&self) -> TimeoutSettings {
        self.timeouts.settings()
    }

    fn services(&self) -> Vec<ServiceRow> {
        self.services.iter().map(|record| record.row(&self.director)).collect()
    }

    fn service(&self, key: &ServiceKey) -> Option<ServiceRow> {
        Some(self.services[self.place_of(key)?].row(&self.director))
    }

    fn service_settings(&self, key: &ServiceKey) -> Option<Service> {
        Some(self.services[self.place_of(key)?].service.clone())
    }

    fn connections(&self) -> Vec<ConnectionRow> {
        let flows = &self.director.flows;
        let row = |(id, key): (_, crate::flow::FlowKey)| {
            let entry = flows.entry(id);
            ConnectionRow {
                protocol: key.protocol,
                expires_s: entry.deadline().seconds_since(self.now),
                state: state_name(key.protocol, entry.state()),
                client: (key.client.to_ip(), key.client_port),
                virtual_end: (key.virtual_address.to_ip(), key.virtual_port),
                destination: (flows.server(id).to_ip(), entry.server_port()),
                is_synced: entry.state().is_synced(),
                engine: self
                    .director
                    .calls
                    .text(id)
                    .map(|call| (Engine::Sip.name().to_owned(), call)),
            }
        };
        flows.live(0..flows.high_water()).map(row).collect()
    }

    fn start_daemon(&mut self, settings: DaemonSettings) -> Result<(), OperationError> {
        self.start_sync(settings)
    }

    fn stop_daemon(&mut self, role: DaemonRole, _sync_id: u8) -> Result<(), OperationError> {
        self.stop_sync(role)
    }

    fn daemons(&self) -> Vec<DaemonRow> {
        self.sync_rows()
    }

    fn table_size(&self) -> usize {
        IPVS_TABLE_SIZE
    }
}

fn state_name(protocol: u8, state: FlowState) -> &'static str {
    if state.is_template() {
        return if state.number() == FlowState::ASSURED { "ASSURED" } else { "NONE" };
    }
    Protocol::from_number(protocol)
        .and_then(|protocol| State::from_number(protocol, state.number()))
        .map_or("?", State::name)
}
