//! What is checked before a change, in the kernel's order. The checks are here once, for the table
//! of services and for the plain model of it that a batch is rehearsed on.

use std::net::IpAddr;

use super::support::{self, Acceptance};
use crate::destination::Destination;
use crate::operations::OperationError;
use crate::service::{Service, ServiceKey};

/// What the checks ask about.
pub(super) trait TableView {
    /// What commands may ask for.
    fn acceptance(&self) -> Acceptance;
    /// The name of a service's scheduler, and how many real servers it has.
    fn service(&self, key: &ServiceKey) -> Option<(&str, usize)>;
    /// Whether a service has a real server there.
    fn has_destination(&self, key: &ServiceKey, address: IpAddr, port: u16) -> bool;
    /// Whether a sync daemon runs, whose messages have room for addresses of one family only.
    fn is_synchronised(&self) -> bool;
}

/// `-A`
pub(super) fn add_service(table: &impl TableView, service: &Service) -> Result<(), OperationError> {
    if table.service(&service.key).is_some() {
        return Err(OperationError::ServiceExists);
    }
    support::check_names(service)
}

/// `-E`
pub(super) fn edit_service(
    table: &impl TableView,
    service: &Service,
) -> Result<(), OperationError> {
    let known = table.service(&service.key).ok_or(OperationError::NoSuchService)?;
    support::check_names(service)?;
    let (scheduler, count) = known;
    // A scheduler that stays is not told.
    if scheduler == service.scheduler { Ok(()) } else { support::check_count(service, count) }
}

/// `-D` and `-Z` of a service
pub(super) fn has_service(table: &impl TableView, key: &ServiceKey) -> Result<(), OperationError> {
    table.service(key).map(|_| ()).ok_or(OperationError::NoSuchService)
}

/// `-a`, but for the limit of real servers
pub(super) fn add_destination(
    table: &impl TableView,
    key: &ServiceKey,
    destination: &Destination,
) -> Result<(), OperationError> {
    check_settings(table, key, destination)?;
    if table.has_destination(key, destination.address, destination.port) {
        return Err(OperationError::DestinationExists);
    }
    support::check_unicast(destination.address)
}

/// `-e`
pub(super) fn edit_destination(
    table: &impl TableView,
    key: &ServiceKey,
    destination: &Destination,
) -> Result<(), OperationError> {
    check_settings(table, key, destination)?;
    let is_there = table.has_destination(key, destination.address, destination.port);
    if is_there { Ok(()) } else { Err(OperationError::NoSuchDestination) }
}

/// `-d`
pub(super) fn delete_destination(
    table: &impl TableView,
    key: &ServiceKey,
    address: IpAddr,
    port: u16,
) -> Result<(), OperationError> {
    table.service(key).ok_or(OperationError::ServiceNotDefined)?;
    let is_there = table.has_destination(key, address, port);
    if is_there { Ok(()) } else { Err(OperationError::NoSuchDestination) }
}

/// What `-a` and `-e` have in common.
fn check_settings(
    table: &impl TableView,
    key: &ServiceKey,
    destination: &Destination,
) -> Result<(), OperationError> {
    table.service(key).ok_or(OperationError::ServiceNotDefined)?;
    support::check_family(key, destination)?;
    if table.is_synchronised() && support::is_mixed(key, destination) {
        return Err(OperationError::Invalid);
    }
    if destination.weight < 0 || destination.lower_threshold > destination.upper_threshold {
        return Err(OperationError::Range);
    }
    match table.acceptance() {
        Acceptance::Forwardable => support::check_destination(destination),
        Acceptance::Everything => Ok(()),
    }
}

/// No slot is left for a real server.
pub(super) fn no_slot(destinations_max: usize) -> OperationError {
    OperationError::Limit(format!(
        "all {destinations_max} real servers of the limit `destinations.max` are in use"
    ))
}
