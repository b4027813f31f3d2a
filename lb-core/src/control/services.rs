//! The operations on the table of services, with the kernel's rules (`ip_vs_ctl.c`).

use std::net::IpAddr;

use super::Control;
use super::checks::{self, TableView};
use super::flows::state_name;
use super::record::{DestinationRecord, ServiceRecord};
use super::support::Acceptance;
use crate::address::Address;
use crate::counters::sum_destination;
use crate::destination::{Destination, ForwardingMethod};
use crate::estimator::Estimator;
use crate::ipvsadm::Command;
use crate::operations::{
    ConnectionRow, DaemonRole, DaemonRow, DaemonSettings, OperationError, Operations, Refused,
    ServiceRow, TimeoutSettings, Totals,
};
use crate::route::Hop;
use crate::service::{Service, ServiceKey};
use crate::slots::DestinationId;
use crate::virtual_service::Engine;

/// `size=` of the listing's first line: IPVS's default (`conn_tab_bits` 12), which scripts and
/// comparisons know. The real size of the flow table is in `sluicectl status`.
const IPVS_TABLE_SIZE: usize = 4096;

impl Control {
    /// A slot for a new destination: its old one if it was removed lately, else a free one.
    fn slot_for(
        &mut self,
        key: &ServiceKey,
        destination: &Destination,
    ) -> Result<DestinationRecord, OperationError> {
        let number = self.services.get(key).map(|record| record.number);
        let returned = self.trash.take_back(&(*key, destination.address, destination.port));
        let (id, past) = match returned {
            Some(trashed) if Some(trashed.service) == number => {
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
            for scheduler in self.services.values().filter_map(ServiceRecord::scheduler) {
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

    fn remove_service(&mut self, key: &ServiceKey) {
        let Some(record) = self.services.remove(key) else { return };
        record.close_scheduler(&self.director);
        for destination in record.destinations().values() {
            self.retire((*key, record.number), destination);
        }
        self.changed = true;
    }
}

impl TableView for Control {
    fn acceptance(&self) -> Acceptance {
        self.acceptance
    }

    fn service(&self, key: &ServiceKey) -> Option<(&str, usize)> {
        let record = self.services.get(key)?;
        Some((&record.service.scheduler, record.destinations().len()))
    }

    fn has_destination(&self, key: &ServiceKey, address: IpAddr, port: u16) -> bool {
        let record = self.services.get(key);
        record.is_some_and(|record| record.destinations().contains(&(address, port)))
    }

    fn is_synchronised(&self) -> bool {
        self.lock_daemons().are_running()
    }
}

impl Operations for Control {
    fn add_service(&mut self, service: Service) -> Result<(), OperationError> {
        checks::add_service(self, &service)?;
        self.services_made += 1;
        self.services.insert(service.key, ServiceRecord::new(service, self.services_made));
        self.changed = true;
        Ok(())
    }

    fn edit_service(&mut self, service: Service) -> Result<(), OperationError> {
        checks::edit_service(self, &service)?;
        let record = self.services.get_mut(&service.key).ok_or(OperationError::NoSuchService)?;
        record.set(service, &self.director);
        self.changed = true;
        Ok(())
    }

    fn delete_service(&mut self, key: &ServiceKey) -> Result<(), OperationError> {
        checks::has_service(self, key)?;
        self.remove_service(key);
        Ok(())
    }

    fn clear(&mut self) {
        let keys: Vec<ServiceKey> = self.services.iter().rev().map(|(&key, _)| key).collect();
        keys.iter().for_each(|key| self.remove_service(key));
    }

    fn add_destination(
        &mut self,
        key: &ServiceKey,
        destination: Destination,
    ) -> Result<(), OperationError> {
        checks::add_destination(self, key, &destination)?;
        let record = self.slot_for(key, &destination)?;
        let slots = &self.director.slots;
        let Destination { weight, upper_threshold, lower_threshold, .. } = destination;
        slots.get(record.id).forget_last_weight();
        slots.configure(record.id, weight, upper_threshold, lower_threshold);
        self.publish_path(&destination, record.id, record.hop);
        self.welcome(record.id, record.hop);
        if let Some(service) = self.services.get_mut(key) {
            service.add(record, &self.director);
        }
        self.changed = true;
        Ok(())
    }

    fn edit_destination(
        &mut self,
        key: &ServiceKey,
        destination: Destination,
    ) -> Result<(), OperationError> {
        checks::edit_destination(self, key, &destination)?;
        let service = self.services.get_mut(key).ok_or(OperationError::ServiceNotDefined)?;
        let (id, hop) = service.edit(destination).ok_or(OperationError::NoSuchDestination)?;
        let Destination { address, port, weight, upper_threshold, lower_threshold, .. } =
            destination;
        self.director.slots.configure(id, weight, upper_threshold, lower_threshold);
        let way = self.find_way(&destination, id, hop);
        let service = self.services.get_mut(key);
        if let Some(edited) = service.and_then(|it| it.destination_mut((address, port))) {
            edited.hop = way;
        }
        self.changed = true;
        Ok(())
    }

    fn delete_destination(
        &mut self,
        key: &ServiceKey,
        address: IpAddr,
        port: u16,
    ) -> Result<(), OperationError> {
        checks::delete_destination(self, key, address, port)?;
        let service = self.services.get_mut(key).ok_or(OperationError::ServiceNotDefined)?;
        let number = service.number;
        let record = service.remove((address, port), &self.director);
        self.retire((*key, number), &record.ok_or(OperationError::NoSuchDestination)?);
        self.changed = true;
        Ok(())
    }

    fn zero(&mut self, key: Option<&ServiceKey>) -> Result<(), OperationError> {
        match key {
            Some(key) => {
                let record = self.services.get_mut(key).ok_or(OperationError::NoSuchService)?;
                record.zero(&self.director);
            }
            None => {
                self.services.values_mut().for_each(|record| record.zero(&self.director));
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
        self.services.values().map(|record| record.row(&self.director)).collect()
    }

    fn service(&self, key: &ServiceKey) -> Option<ServiceRow> {
        Some(self.services.get(key)?.row(&self.director))
    }

    fn service_settings(&self, key: &ServiceKey) -> Option<Service> {
        Some(self.services.get(key)?.service.clone())
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
