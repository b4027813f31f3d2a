//! What this director can forward so far. Everything that it cannot is refused here, by name, so
//! that no operator believes in a service that does nothing; what is learnt is deleted here.

use std::net::IpAddr;

use crate::destination::{Destination, ForwardingMethod};
use crate::operations::OperationError;
use crate::sched::{self, Maglev};
use crate::service::{Family, Service, ServiceKey};
use crate::virtual_service::Engine;

/// Which commands are accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acceptance {
    /// What the packet path can do.
    #[default]
    Forwardable,
    /// All that IPVS could do: for listings and saved rules, of which nothing is forwarded.
    Everything,
}

/// Whether the table knows the scheduler and the engine, as the kernel would look for modules.
pub(super) fn check_names(service: &Service) -> Result<(), OperationError> {
    let scheduler = service.scheduler.as_str();
    let known = sched::NAMES.contains(&scheduler);
    let engine_known = service
        .persistence_engine
        .as_deref()
        .is_none_or(|engine| Engine::from_name(engine).is_some());
    if known && engine_known { Ok(()) } else { Err(OperationError::SchedulerNotFound) }
}

/// `EINVAL` of the kernel: mh does not begin with more real servers than it has slots
/// (`ip_vs_mh_reassign`). Those that are added later are accepted.
pub(super) fn check_count(service: &Service, destinations: usize) -> Result<(), OperationError> {
    let fits = service.scheduler != "mh" || destinations <= Maglev::DESTINATIONS_MAX;
    if fits { Ok(()) } else { Err(OperationError::Invalid) }
}

/// Refuses real servers that no packet would reach.
pub(super) fn check_destination(destination: &Destination) -> Result<(), OperationError> {
    match destination.method {
        ForwardingMethod::DirectRouting
        | ForwardingMethod::Masquerading
        | ForwardingMethod::Tunneling
        | ForwardingMethod::Local => Ok(()),
        ForwardingMethod::Bypass => Err(OperationError::NotSupported(
            "The forwarding method Bypass is not one to ask for; there are -g, -m and -i".into(),
        )),
    }
}

/// Whether packets can be sent to this real server.
pub(super) fn is_reachable(destination: &Destination) -> bool {
    check_destination(destination).is_ok()
}

/// `EINVAL` of the kernel: a real server needs a unicast address (`__ip_vs_new_dest`).
pub(super) fn check_unicast(address: IpAddr) -> Result<(), OperationError> {
    let unicast = match address {
        IpAddr::V4(v4) => !v4.is_multicast() && !v4.is_broadcast() && !v4.is_unspecified(),
        IpAddr::V6(v6) => {
            let is_link_local = v6.segments()[0] & 0xffc0 == 0xfe80;
            let is_mapped = v6.to_ipv4_mapped().is_some();
            !v6.is_multicast() && !v6.is_unspecified() && !is_link_local && !is_mapped
        }
    };
    if unicast { Ok(()) } else { Err(OperationError::Invalid) }
}

/// `EINVAL` of the kernel: only a tunnel leads to the other address family.
pub(super) fn check_family(
    service: &ServiceKey,
    destination: &Destination,
) -> Result<(), OperationError> {
    let tunnels = destination.method == ForwardingMethod::Tunneling;
    if tunnels || !is_mixed(service, destination) { Ok(()) } else { Err(OperationError::Invalid) }
}

/// Whether a real server is of another address family than its service.
pub(super) fn is_mixed(service: &ServiceKey, destination: &Destination) -> bool {
    (service.family() == Family::V4) != destination.address.is_ipv4()
}
