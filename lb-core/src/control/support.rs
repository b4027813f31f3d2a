//! What this director can forward so far. Everything that it cannot is refused here, by name, so
//! that no operator believes in a service that does nothing; what is learnt is deleted here.

use std::net::IpAddr;

use crate::destination::{Destination, ForwardingMethod};
use crate::operations::OperationError;
use crate::protocol::Protocol;
use crate::sched;
use crate::service::{Family, Service, ServiceKey};

/// Which commands are accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acceptance {
    /// What the packet path can do.
    #[default]
    Forwardable,
    /// All that IPVS could do: for listings and saved rules, of which nothing is forwarded.
    Everything,
}

/// Persistence engines of IPVS.
const ENGINES: &[&str] = &["sip"];

/// Whether the table knows the scheduler and the engine, as the kernel would look for modules.
pub(super) fn check_names(service: &Service) -> Result<(), OperationError> {
    let scheduler = service.scheduler.as_str();
    let known = sched::NAMES.contains(&scheduler) || sched::NAMES_MISSING.contains(&scheduler);
    let engine_known =
        service.persistence_engine.as_deref().is_none_or(|engine| ENGINES.contains(&engine));
    if known && engine_known { Ok(()) } else { Err(OperationError::SchedulerNotFound) }
}

/// Refuses services that would not be served.
pub(super) fn check_service(service: &Service) -> Result<(), OperationError> {
    let missing = match &service.key {
        ServiceKey::Mark { .. } => "firewall-mark services",
        ServiceKey::Address { protocol: Protocol::Sctp, .. } => "SCTP services",
        ServiceKey::Address { .. } if service.key.family() == Family::V6 => "IPv6 services",
        _ if service.persistence_timeout_s.is_some() => "persistence (-p)",
        _ if service.persistence_engine.is_some() => "persistence engines (--pe)",
        _ if service.one_packet => "one-packet scheduling (-o)",
        _ if sched::NAMES_MISSING.contains(&service.scheduler.as_str()) => {
            return Err(OperationError::NotSupported(format!(
                "Scheduler `{}' is not supported yet; there are {}",
                service.scheduler,
                sched::NAMES.join(", ")
            )));
        }
        _ => return Ok(()),
    };
    Err(not_supported(missing))
}

/// Refuses real servers that no packet would reach.
pub(super) fn check_destination(destination: &Destination) -> Result<(), OperationError> {
    let missing = match destination.method {
        ForwardingMethod::DirectRouting => return Ok(()),
        ForwardingMethod::Masquerading => "masquerading (-m)",
        ForwardingMethod::Tunneling => "tunneling (-i)",
        ForwardingMethod::Local | ForwardingMethod::Bypass => "this forwarding method",
    };
    Err(OperationError::NotSupported(format!(
        "Sluice: {missing} is not supported yet, only direct routing (-g) is"
    )))
}

/// Whether packets can be for this service: what [`Acceptance::Everything`] lets in besides stays
/// off the packet path.
pub(super) fn is_on_the_path(service: &Service) -> bool {
    check_service(service).is_ok()
}

/// Whether packets can be sent to this real server.
pub(super) fn is_reachable(destination: &Destination) -> bool {
    destination.address.is_ipv4() && check_destination(destination).is_ok()
}

/// `EINVAL` of the kernel: a real server needs a unicast address (`ip_vs_add_dest`).
pub(super) fn check_unicast(address: IpAddr) -> Result<(), OperationError> {
    let unicast = match address {
        IpAddr::V4(v4) => !v4.is_multicast() && !v4.is_broadcast() && !v4.is_unspecified(),
        IpAddr::V6(v6) => !v6.is_multicast() && !v6.is_unspecified(),
    };
    if unicast { Ok(()) } else { Err(OperationError::Invalid) }
}

fn not_supported(what: &str) -> OperationError {
    let verb = if what.contains("services") || what.contains("engines") { "are" } else { "is" };
    OperationError::NotSupported(format!("Sluice: {what} {verb} not supported yet"))
}
