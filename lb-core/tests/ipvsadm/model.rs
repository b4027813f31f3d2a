//! IPVS in memory: the checks of the kernel, none of its packets.

use std::net::IpAddr;

use lb_core::destination::{Destination, ForwardingMethod};
use lb_core::operations::*;
use lb_core::service::{Family, Service, ServiceKey};

const SCHEDULERS: [&str; 14] =
    ["none", "rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh"];
/// The only interface; it is called as in the captures.
const INTERFACE: &str = "d0";
const BACKUP_LENGTH_MIN: u16 = 1024;

#[derive(Debug, Default)]
pub(crate) struct Model {
    services: Vec<ServiceRow>,
    timeouts: Option<TimeoutSettings>,
    daemons: Vec<DaemonRow>,
}

impl Model {
    fn find(&mut self, key: &ServiceKey) -> Option<&mut ServiceRow> {
        self.services.iter_mut().find(|row| row.service.key == *key)
    }

    fn check_settings(service: &Service) -> Result<(), OperationError> {
        let engine = service.persistence_engine.as_deref();
        if !SCHEDULERS.contains(&service.scheduler.as_str())
            || engine.is_some_and(|engine| engine != "sip")
        {
            return Err(OperationError::SchedulerNotFound);
        }
        Ok(())
    }

    fn mixes_families(key: &ServiceKey, destination: &Destination) -> bool {
        destination.address.is_ipv6() != (key.family() == Family::V6)
    }

    fn check_destination(
        &self,
        key: &ServiceKey,
        destination: &Destination,
    ) -> Result<(), OperationError> {
        if !self.services.iter().any(|row| row.service.key == *key) {
            return Err(OperationError::ServiceNotDefined);
        }
        let tunnels = destination.method == ForwardingMethod::Tunneling;
        if Self::mixes_families(key, destination) && (!self.daemons.is_empty() || !tunnels) {
            return Err(OperationError::Invalid);
        }
        if destination.weight < 0 || destination.lower_threshold > destination.upper_threshold {
            return Err(OperationError::Range);
        }
        Ok(())
    }
}

fn is_unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => !(a.is_unspecified() || a.is_multicast() || a.is_broadcast()),
        IpAddr::V6(a) => {
            let link_local = a.segments()[0] & 0xffc0 == 0xfe80;
            let mapped = a.to_ipv4_mapped().is_some();
            !(a.is_unspecified() || a.is_multicast() || link_local || mapped)
        }
    }
}

impl Operations for Model {
    fn add_service(&mut self, service: Service) -> Result<(), OperationError> {
        if self.find(&service.key).is_some() {
            return Err(OperationError::ServiceExists);
        }
        Self::check_settings(&service)?;
        self.services.push(ServiceRow {
            service,
            stats: Stats::default(),
            rates: Rates::default(),
            destinations: Vec::new(),
        });
        Ok(())
    }

    fn edit_service(&mut self, service: Service) -> Result<(), OperationError> {
        let row = self.find(&service.key).ok_or(OperationError::NoSuchService)?;
        Self::check_settings(&service)?;
        row.service = service;
        Ok(())
    }

    fn delete_service(&mut self, key: &ServiceKey) -> Result<(), OperationError> {
        let before = self.services.len();
        self.services.retain(|row| row.service.key != *key);
        if self.services.len() == before { Err(OperationError::NoSuchService) } else { Ok(()) }
    }

    fn clear(&mut self) {
        self.services.clear();
    }

    fn add_destination(
        &mut self,
        key: &ServiceKey,
        destination: Destination,
    ) -> Result<(), OperationError> {
        self.check_destination(key, &destination)?;
        let row = self.find(key).ok_or(OperationError::ServiceNotDefined)?;
        let end = |d: &Destination| (d.address, d.port);
        if row.destinations.iter().any(|other| end(&other.destination) == end(&destination)) {
            return Err(OperationError::DestinationExists);
        }
        if !is_unicast(destination.address) {
            return Err(OperationError::Invalid);
        }
        let new = DestinationRow {
            destination,
            active: 0,
            inactive: 0,
            persistent: 0,
            stats: Stats::default(),
            rates: Rates::default(),
        };
        row.destinations.insert(0, new);
        Ok(())
    }

    fn edit_destination(
        &mut self,
        key: &ServiceKey,
        destination: Destination,
    ) -> Result<(), OperationError> {
        self.check_destination(key, &destination)?;
        let row = self.find(key).ok_or(OperationError::ServiceNotDefined)?;
        let end = |d: &Destination| (d.address, d.port);
        let found =
            row.destinations.iter_mut().find(|row| end(&row.destination) == end(&destination));
        found.ok_or(OperationError::NoSuchDestination)?.destination = destination;
        Ok(())
    }

    fn delete_destination(
        &mut self,
        key: &ServiceKey,
        address: IpAddr,
        port: u16,
    ) -> Result<(), OperationError> {
        let row = self.find(key).ok_or(OperationError::ServiceNotDefined)?;
        let end = (address, port);
        let found = row
            .destinations
            .iter()
            .position(|row| (row.destination.address, row.destination.port) == end);
        row.destinations.remove(found.ok_or(OperationError::NoSuchDestination)?);
        Ok(())
    }

    fn zero(&mut self, key: Option<&ServiceKey>) -> Result<(), OperationError> {
        if let Some(key) = key {
            let row = self.find(key).ok_or(OperationError::NoSuchService)?;
            row.stats = Stats::default();
            return Ok(());
        }
        self.services.iter_mut().for_each(|row| row.stats = Stats::default());
        Ok(())
    }

    fn set_timeouts(&mut self, timeouts: TimeoutSettings) {
        let old = self.timeouts();
        let pick = |new, old| if new == 0 { old } else { new };
        self.timeouts = Some(TimeoutSettings {
            tcp_s: pick(timeouts.tcp_s, old.tcp_s),
            tcp_fin_s: pick(timeouts.tcp_fin_s, old.tcp_fin_s),
            udp_s: pick(timeouts.udp_s, old.udp_s),
        });
    }

    fn timeouts(&self) -> TimeoutSettings {
        self.timeouts.unwrap_or(TimeoutSettings { tcp_s: 900, tcp_fin_s: 120, udp_s: 300 })
    }

    fn services(&self) -> Vec<ServiceRow> {
        self.services.clone()
    }

    fn totals(&self) -> Totals {
        Totals::default()
    }

    fn service(&self, key: &ServiceKey) -> Option<ServiceRow> {
        self.services.iter().find(|row| row.service.key == *key).cloned()
    }

    fn connections(&self) -> Vec<ConnectionRow> {
        Vec::new()
    }

    fn start_daemon(&mut self, settings: DaemonSettings) -> Result<(), OperationError> {
        let mixed = self.services.iter().any(|row| {
            row.destinations.iter().any(|d| Self::mixes_families(&row.service.key, &d.destination))
        });
        if mixed {
            return Err(OperationError::Invalid);
        }
        if self.daemons.iter().any(|daemon| daemon.role == settings.role) {
            return Err(OperationError::DaemonRunning);
        }
        if settings.interface != INTERFACE {
            return Err(OperationError::NoSuchDevice);
        }
        let group = settings.group.unwrap_or_else(|| [224, 0, 0, 81].into());
        let default_length = if group.is_ipv6() { 1452 } else { 1472 };
        let asked = settings.max_length.unwrap_or(default_length);
        let max_length = match settings.role {
            DaemonRole::Master => asked,
            DaemonRole::Backup => asked.max(BACKUP_LENGTH_MIN),
        };
        self.daemons.push(DaemonRow {
            role: settings.role,
            interface: settings.interface,
            sync_id: settings.sync_id,
            max_length,
            group,
            port: settings.port.unwrap_or(8848),
            ttl: settings.ttl.unwrap_or(1),
        });
        self.daemons.sort_by_key(|daemon| daemon.role);
        Ok(())
    }

    fn stop_daemon(&mut self, role: DaemonRole, _sync_id: u8) -> Result<(), OperationError> {
        let found = self.daemons.iter().position(|daemon| daemon.role == role);
        self.daemons.remove(found.ok_or(OperationError::NoDaemon)?);
        Ok(())
    }

    fn daemons(&self) -> Vec<DaemonRow> {
        self.daemons.clone()
    }

    fn table_size(&self) -> usize {
        4096
    }
}
