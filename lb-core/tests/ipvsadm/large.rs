//! One service with any number of servers, none of them checked: the time goes to the language.

use std::net::IpAddr;

use lb_core::destination::Destination;
use lb_core::operations::*;
use lb_core::service::{Service, ServiceKey};

pub(crate) struct Large {
    pub(crate) service: Service,
    pub(crate) servers: Vec<Destination>,
}

impl Operations for Large {
    fn add_service(&mut self, service: Service) -> Result<(), OperationError> {
        self.service = service;
        Ok(())
    }

    fn add_destination(
        &mut self,
        _: &ServiceKey,
        destination: Destination,
    ) -> Result<(), OperationError> {
        self.servers.push(destination);
        Ok(())
    }

    fn services(&self) -> Vec<ServiceRow> {
        let row = |&destination: &Destination| DestinationRow {
            destination,
            active: 0,
            inactive: 0,
            persistent: 0,
            stats: Stats::default(),
            rates: Rates::default(),
        };
        vec![ServiceRow {
            service: self.service.clone(),
            stats: Stats::default(),
            rates: Rates::default(),
            destinations: self.servers.iter().map(row).collect(),
        }]
    }

    fn totals(&self) -> Totals {
        Totals::default()
    }

    fn service(&self, _: &ServiceKey) -> Option<ServiceRow> {
        self.services().pop()
    }

    fn table_size(&self) -> usize {
        4096
    }

    fn edit_service(&mut self, _: Service) -> Result<(), OperationError> {
        Err(OperationError::NoSuchService)
    }

    fn delete_service(&mut self, _: &ServiceKey) -> Result<(), OperationError> {
        Err(OperationError::NoSuchService)
    }

    fn clear(&mut self) {
        self.servers.clear();
    }

    fn edit_destination(&mut self, _: &ServiceKey, _: Destination) -> Result<(), OperationError> {
        Err(OperationError::NoSuchDestination)
    }

    fn delete_destination(
        &mut self,
        _: &ServiceKey,
        _: IpAddr,
        _: u16,
    ) -> Result<(), OperationError> {
        Err(OperationError::NoSuchDestination)
    }

    fn zero(&mut self, _: Option<&ServiceKey>) -> Result<(), OperationError> {
        Ok(())
    }

    fn set_timeouts(&mut self, _: TimeoutSettings) {}

    fn timeouts(&self) -> TimeoutSettings {
        TimeoutSettings { tcp_s: 900, tcp_fin_s: 120, udp_s: 300 }
    }

    fn connections(&self) -> Vec<ConnectionRow> {
        Vec::new()
    }
}
