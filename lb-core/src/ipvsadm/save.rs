//! The save format of `-S`: the commands that rebuild the table.
//!
//! As in ipvsadm, thresholds, the netmask of a service that is not persistent, the order of the
//! table and marks from 2^31 up (printed signed, which restore refuses) are lost. With `--full`
//! they are saved.

use super::sort;
use super::text::{self, Style, push};
use crate::destination::{Destination, ForwardingMethod, Tunnel, TunnelChecksum};
use crate::operations::ServiceRow;
use crate::protocol::Protocol;
use crate::service::{Family, Service, ServiceKey};

/// The whole table: in the order of the listing, or, where all is to be saved, in its own.
pub(super) fn table(rows: &[ServiceRow], full: bool, style: Style<'_>) -> String {
    let mut out = String::new();
    for row in sort::services(rows, !full) {
        let name = service_name(&row.service.key, full, style);
        service(&mut out, "-A", &row.service, full, &name);
        let protocol = match row.service.key {
            ServiceKey::Address { protocol, .. } => Some(protocol),
            ServiceKey::Mark { .. } => None,
        };
        let mut servers = sort::destinations(&row.destinations, !full);
        if full {
            // What is added last becomes the first.
            servers.reverse();
        }
        for row in servers {
            let end = style.end(row.destination.address, row.destination.port, protocol);
            destination(&mut out, "-a", &row.destination, full, (&name, &end));
        }
    }
    out
}

/// The option that names a service. What is not `full` is as ipvsadm writes it.
pub(super) fn service_name(key: &ServiceKey, full: bool, style: Style<'_>) -> String {
    match *key {
        ServiceKey::Address { protocol, address, port } => {
            let option = match protocol {
                Protocol::Tcp => "-t",
                Protocol::Udp => "-u",
                Protocol::Sctp => "--sctp-service",
            };
            format!("{option} {}", style.end(address, port, Some(protocol)))
        }
        ServiceKey::Mark { mark, family } => {
            let mark = if full { i64::from(mark) } else { mark.cast_signed().into() };
            format!("-f {mark}{}", if family == Family::V6 { " -6" } else { "" })
        }
    }
}

/// A service's line, with the command that it is to be.
pub(super) fn service(out: &mut String, verb: &str, service: &Service, full: bool, name: &str) {
    push(out, format_args!("{verb} {name} -s {}", service.scheduler));
    if let Some(timeout_s) = service.persistence_timeout_s {
        push(out, format_args!(" -p {timeout_s}"));
    }
    if (full || service.persistence_timeout_s.is_some())
        && let Some(netmask) = text::netmask(service)
    {
        push(out, format_args!(" -M {netmask}"));
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

/// A server's line, with the command that it is to be, and the names of service and server.
pub(super) fn destination(
    out: &mut String,
    verb: &str,
    server: &Destination,
    full: bool,
    (service, end): (&str, &str),
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
    for (option, threshold) in [("-x", server.upper_threshold), ("-y", server.lower_threshold)] {
        if full && threshold != 0 {
            push(out, format_args!(" {option} {threshold}"));
        }
    }
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
