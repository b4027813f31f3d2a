//! The operations on the table of services, with the kernel's rules (`ip_vs_ctl.c`).

use std::net::IpAddr;
use std::sync::atomic::Ordering;

use super::Control;
use super::checks::{self, TableView};
use super::record::{DestinationRecord, ServiceRecord, Tell};
use super::support::Acceptance;
use crate::address::Address;
use crate::counters::sum_destination;
use crate::destination::{Destination, ForwardingMethod};
use crate::estimator::Estimator;
use crate::flow::FlowState;
use crate::ipvsadm::Command;
use crate::operations::{
    ConnectionRow, OperationError, Operations, Refused, ServiceRow, TimeoutSettings, Totals,
};
use crate::protocol::Protocol;
use crate::route::Hop;
use crate::service::{Service, ServiceKey};
use crate::slots::DestinationId;
use crate::state::State;
use crate::virtual_service::Engine;

/// `size=` of the listing's first line: IPVS's default (`conn_tab_bits` 12), which scripts and
/// comparisons know. The real size of the flow table is in `sluicectl status`.
const IPVS_TABLE_SIZE: usize = 4096;

impl Control {
    fn place_of(&self, key: &ServiceKey) -> Option<usize> {
        self.services.iter().position(|record| record.service.key == *key)
    }

    /// A slot for a new destination: its old one if it was removed lately, else a free one.
    fn slot_for(
        &mut self,
        place: usize,
        destination: &Destination,
    ) -> Result<DestinationRecord, OperationError> {
        let ServiceRecord { service: Service { key, .. }, number, .. } = &self.services[place];
        let returned = self.trash.take_back(key, destination.address, destination.port);
        let (id, past) = match returned {
            Some(trashed) if trashed.service == *number => {
                (trashed.id, Some((trashed.baseline, trashed.estimator)))
            }
            // To another service than before its connections return, its statistics do not.
            Some(trashed) => (trashed.id, None),
            None => {
                let id = self.take_slot();
                (id.ok_or_else(|| checks::no_slot(self.director.slots.len()))?, None)
            }
        };
        let counted = sum_destination(&self.director.counters, id);
        self.totals.add(counted);
        let (baseline, estimator) = past.unwrap_or_else(|| (counted, Estimator::default()));
        let hop = self.way_to(destination);
        Ok(DestinationRecord { destination: *destination, id, hop, baseline, estimator })
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
        self.totals.remove(sum_destination(&self.director.counters, record.id));
        self.trash.put(key, service, record);
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

impl TableView for Control {
    fn acceptance(&self) -> Acceptance {
        self.acceptance
    }

    fn service(&self, key: &ServiceKey) -> Option<(&str, usize)> {
        let record = &self.services[self.place_of(key)?];
        Some((&record.service.scheduler, record.destinations.len()))
    }

    fn has_destination(&self, key: &ServiceKey, address: IpAddr, port: u16) -> bool {
        let Some(place) = self.place_of(key) else { return false };
        self.services[place].destinations.iter().any(|record| record.is_at(address, port))
    }
}

impl Operations for Control {
    fn add_service(&mut self, service: Service) -> Result<(), OperationError> {
        checks::add_service(self, &service)?;
        self.services_made += 1;
        let mut record = ServiceRecord::new(service, self.services_made);
        record.rebuild(&self.director, Tell::Start);
        self.services.push(record);
        self.changed = true;
        Ok(())
    }

    fn edit_service(&mut self, service: Service) -> Result<(), OperationError> {
        checks::edit_service(self, &service)?;
        let place = self.place_of(&service.key).ok_or(OperationError::NoSuchService)?;
        let record = &mut self.services[place];
        let same_scheduler = record.service.scheduler == service.scheduler;
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
        checks::add_destination(self, key, &destination)?;
        let place = self.place_of(key).ok_or(OperationError::ServiceNotDefined)?;
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
        checks::edit_destination(self, key, &destination)?;
        let place = self.place_of(key).ok_or(OperationError::ServiceNotDefined)?;
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
            None => {
                self.services.iter_mut().for_each(|record| record.zero(&self.director));
                let counted = self.counted();
                self.totals.zero(counted);
            }
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

    fn apply_all(&mut self, commands: &[Command]) -> Result<(), Refused> {
        Self::apply_all(self, commands)
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

    fn totals(&self) -> Totals {
        self.totals.row(self.counted())
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
                engine: self
                    .director
                    .calls
                    .text(id)
                    .map(|call| (Engine::Sip.name().to_owned(), call)),
            }
        };
        flows.live(0..flows.high_water()).map(row).collect()
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
