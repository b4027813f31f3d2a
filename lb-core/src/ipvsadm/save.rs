//! The save format of `-S`: the commands that rebuild the table.
//!
//! As in ipvsadm, thresholds, the netmask of a service that is not persistent, the order of the
//! destinations and marks from 2^31 up (printed signed, which restore refuses) are lost.

use super::sort;
use super::text::{self, Style, push};
use crate::destination::{Destination, ForwardingMethod, Tunnel, TunnelChecksum};
use crate::operations::ServiceRow;
use crate::protocol::Protocol;
use crate::service::{Family, Service, ServiceKey};

/// The whole table, in the order of the listing.
pub(super) fn table(rows: &[ServiceRow], style: Style<'_>) -> String {
    let mut out = String::new();
    for row in sort::services(rows, true) {
        let name = service_name(&row.service.key, style);
        service(&mut out, "-A", &row.service, &name);
        let protocol = match row.service.key {
            ServiceKey::Address { protocol, .. } => Some(protocol),
            ServiceKey::Mark { .. } => None,
        };
        for row in sort::destinations(&row.destinations, true) {
            let end = style.end(row.destination.address, row.destination.port, protocol);
            destination(&mut out, "-a", &row.destination, &name, &end);
        }
    }
    out
}

pub(super) fn service_name(key: &ServiceKey, style: Style<'_>) -> String {
    match *key {
        ServiceKey::Address { protocol, address, port } => {
            let option = match protocol {
                Protocol::Tcp => "-t",
                Protocol::Udp => "-u",
                Protocol::Sctp => "--sctp-service",
            };
            format!("{option} {}", style.end(address, port, Some(protocol)))
        }
        ServiceKey::Mark { mark, family: Family::V4 } => format!("-f {}", mark.cast_signed()),
        ServiceKey::Mark { mark, family: Family::V6 } => format!("-f {} -6", mark.cast_signed()),
    }
}

/// A service's line, with the command that it is to be.
pub(super) fn service(out: &mut String, verb: &str, service: &Service, name: &str) {
    push(out, format_args!("{verb} {name} -s {}", service.scheduler));
    if let Some(timeout_s) = service.persistence_timeout_s {
        push(out, format_args!(" -p {timeout_s}"));
        if let Some(netmask) = text::netmask(service) {
            push(out, format_args!(" -M {netmask}"));
        }
    }
    if let Some(engine) = &service.persistence_engine {
        push(out, format_args!(" --pe {engine}"));
    }
    if service.one_packet {
        out.push_str(" -o");
    }
    if let Some(flags) = text::scheduler_flags(service) {
        push(out, format_args!(" -b {flags}"));
    }
    out.push('\n');
}

/// A server's line, with the command that it is to be.
pub(super) fn destination(
    out: &mut String,
    verb: &str,
    server: &Destination,
    service: &str,
    end: &str,
) {
    let method = match server.method {
        ForwardingMethod::Masquerading => "-m",
        ForwardingMethod::Tunneling => "-i",
        // What no option can say is saved as the default.
        ForwardingMethod::DirectRouting | ForwardingMethod::Local | ForwardingMethod::Bypass => {
            "-g"
        }
    };
    push(out, format_args!("{verb} {service} -r {end} {method} -w {}", server.weight));
    if server.method == ForwardingMethod::Tunneling {
        tunnel(out, server.tunnel);
    }
    out.push('\n');
}

fn tunnel(out: &mut String, tunnel: Tunnel) {
    let option = |checksum| match checksum {
        TunnelChecksum::None => "--tun-nocsum",
        TunnelChecksum::Full => "--tun-csum",
        TunnelChecksum::Remote => "--tun-remcsum",
    };
    match tunnel {
        Tunnel::Ipip => out.push_str(" --tun-type ipip"),
        Tunnel::Gue { port, checksum } => {
            push(out, format_args!(" --tun-type gue --tun-port {port} {}", option(checksum)));
        }
        Tunnel::Gre { checksum } => {
            push(out, format_args!(" --tun-type gre {}", option(checksum)));
        }
    }
}
