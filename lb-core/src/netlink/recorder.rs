//! What a message asks of the director, as commands, for those who keep a record.

use std::net::IpAddr;

use crate::destination::Destination;
use crate::ipvsadm::Command;
use crate::operations::{
    ConnectionRow, DaemonRole, DaemonRow, DaemonSettings, OperationError, Operations, ServiceRow,
    TimeoutSettings, Totals,
};
use crate::service::{Service, ServiceKey};

/// Operations of a director, of which those that change something are remembered.
#[derive(Debug)]
pub(super) struct Recorder<'a, O> {
    operations: &'a mut O,
    asked: Vec<Command>,
}

impl<'a, O: Operations> Recorder<'a, O> {
    pub(super) const fn new(operations: &'a mut O) -> Self {
        Self { operations, asked: Vec::new() }
    }

    /// What was asked for since the last time, done or refused.
    pub(super) fn take(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.asked)
    }
}

impl<O: Operations> Operations for Recorder<'_, O> {
    fn add_service(&mut self, service: Service) -> Result<(), OperationError> {
        self.asked.push(Command::AddService(service.clone()));
        self.operations.add_service(service)
    }

    fn edit_service(&mut self, service: Service) -> Result<(), OperationError> {
        self.asked.push(Command::EditService(service.clone()));
        self.operations.edit_service(service)
    }

    fn delete_service(&mut self, key: &ServiceKey) -> Result<(), OperationError> {
        self.asked.push(Command::DeleteService(*key));
        self.operations.delete_service(key)
    }

    fn clear(&mut self) {
        self.asked.push(Command::Clear);
        self.operations.clear();
    }

    fn add_destination(
        &mut self,
        key: &ServiceKey,
        destination: Destination,
    ) -> Result<(), OperationError> {
        self.asked.push(Command::AddDestination { service: *key, destination });
        self.operations.add_destination(key, destination)
    }

    fn edit_destination(
        &mut self,
        key: &ServiceKey,
        destination: Destination,
    ) -> Result<(), OperationError> {
        self.asked.push(Command::EditDestination { service: *key, destination });
        self.operations.edit_destination(key, destination)
    }

    fn delete_destination(
        &mut self,
        key: &ServiceKey,
        address: IpAddr,
        port: u16,
    ) -> Result<(), OperationError> {
        self.asked.push(Command::DeleteDestination { service: *key, address, port });
        self.operations.delete_destination(key, address, port)
    }

    fn zero(&mut self, key: Option<&ServiceKey>) -> Result<(), OperationError> {
        self.asked.push(Command::Zero(key.copied()));
        self.operations.zero(key)
    }

    fn set_timeouts(&mut self, timeouts: TimeoutSettings) {
        self.asked.push(Command::SetTimeouts(timeouts));
        self.operations.set_timeouts(timeouts);
    }

    fn start_daemon(&mut self, settings: DaemonSettings) -> Result<(), OperationError> {
        self.asked.push(Command::StartDaemon(settings.clone()));
        self.operations.start_daemon(settings)
    }

    fn stop_daemon(&mut self, role: DaemonRole, sync_id: u8) -> Result<(), OperationError> {
        self.asked.push(Command::StopDaemon { role, sync_id });
        self.operations.stop_daemon(role, sync_id)
    }

    fn timeouts(&self) -> TimeoutSettings {
        self.operations.timeouts()
    }

    fn totals(&self) -> Totals {
        self.operations.totals()
    }

    fn services(&self) -> Vec<ServiceRow> {
        self.operations.services()
    }

    fn service(&self, key: &ServiceKey) -> Option<ServiceRow> {
        self.operations.service(key)
    }

    fn service_settings(&self, key: &ServiceKey) -> Option<Service> {
        self.operations.service_settings(key)
    }

    fn has_service(&self, key: &ServiceKey) -> bool {
        self.operations.has_service(key)
    }

    fn connections(&self) -> Vec<ConnectionRow> {
        self.operations.connections()
    }

    fn daemons(&self) -> Vec<DaemonRow> {
        self.operations.daemons()
    }

    fn table_size(&self) -> usize {
        self.operations.table_size()
    }
}
