//! Listings of services and their destinations.

use std::net::IpAddr;

use super::command::{Format, ListOptions};
use super::sort;
use super::text::{self, Style, push, truncate};
use crate::destination::{ForwardingMethod, Tunnel, TunnelChecksum};
use crate::operations::{DestinationRow, ServiceRow};
use crate::protocol::Protocol;
use crate::service::{Family, ServiceKey};

/// Width of `address:port` of an IPv4 destination; what is longer is cut.
const DESTINATION_WIDTH: usize = 28;
/// Width of protocol and `address:port` of an IPv4 service; what is longer is cut.
const SERVICE_WIDTH: usize = 33;

/// The whole table, with the header line.
pub(super) fn table(
    rows: &[ServiceRow],
    table_size: usize,
    options: &ListOptions,
    style: Style<'_>,
) -> String {
    let mut out = format!("IP Virtual Server version 1.2.1 (size={table_size})\n");
    out.push_str(&titles(options.format));
    for row in sort::services(rows, options.sorted) {
        service(&mut out, row, options, style);
    }
    out
}

/// One service, without the header line.
pub(super) fn one_service(row: &ServiceRow, options: &ListOptions, style: Style<'_>) -> String {
    let mut out = titles(options.format);
    service(&mut out, row, options, style);
    out
}

fn titles(format: Format) -> String {
    const SERVICE: &str = "Prot LocalAddress:Port";
    const SERVER: &str = "  -> RemoteAddress:Port";
    let rates = |names: [&str; 5]| {
        let [a, b, c, d, e] = names;
        format!("{SERVICE:<33} {a:>8} {b:>8} {c:>8} {d:>8} {e:>8}\n{SERVER}\n")
    };
    let plain = |columns: &str| format!("{SERVICE} Scheduler Flags\n{SERVER:<33} {columns}\n");
    match format {
        Format::Stats => rates(["Conns", "InPkts", "OutPkts", "InBytes", "OutBytes"]),
        Format::Rate => rates(["CPS", "InPPS", "OutPPS", "InBPS", "OutBPS"]),
        Format::Thresholds => format!(
            "{SERVICE:<33} {:<10} {:<10} {:<10} {:<10}\n{SERVER}\n",
            "Uthreshold", "Lthreshold", "ActiveConn", "InActConn"
        ),
        Format::PersistentConnections => format!(
            "{SERVICE:<33} {:<9} {:<11} {:<10} {:<10}\n{SERVER}\n",
            "Weight", "PersistConn", "ActiveConn", "InActConn"
        ),
        Format::TunnelInfo => plain("Forward TunnelInfo    Weight ActiveConn InActConn"),
        Format::Default => plain("Forward Weight ActiveConn InActConn"),
    }
}

fn service(out: &mut String, row: &ServiceRow, options: &ListOptions, style: Style<'_>) {
    let name = service_name(&row.service.key, style);
    match options.format {
        Format::Stats => {
            let s = &row.stats;
            push(out, format_args!("{name:<33}"));
            for total in [s.connections, s.packets_in, s.packets_out, s.bytes_in, s.bytes_out] {
                amount(out, total, options.exact);
            }
        }
        Format::Rate => {
            let r = &row.rates;
            push(out, format_args!("{name:<33}"));
            for rate in [r.connections, r.packets_in, r.packets_out, r.bytes_in, r.bytes_out] {
                amount(out, rate, options.exact);
            }
        }
        _ => {
            push(out, format_args!("{name} {}", row.service.scheduler));
            service_settings(out, row);
        }
    }
    out.push('\n');
    let protocol = match row.service.key {
        ServiceKey::Address { protocol, .. } => Some(protocol),
        ServiceKey::Mark { .. } => None,
    };
    for row in sort::destinations(&row.destinations, options.sorted) {
        destination(out, row, protocol, options, style);
    }
}

/// Protocol word and address, or mark. Marks are signed, as in ipvsadm.
fn service_name(key: &ServiceKey, style: Style<'_>) -> String {
    match *key {
        ServiceKey::Address { protocol, address, port } => {
            let end = style.end(address, port, Some(protocol));
            let mut name = format!("{:<4} {end}", protocol.name());
            if address.is_ipv4() {
                truncate(&mut name, SERVICE_WIDTH);
            }
            name
        }
        ServiceKey::Mark { mark, family: Family::V4 } => format!("FWM  {}", mark.cast_signed()),
        ServiceKey::Mark { mark, family: Family::V6 } => {
            format!("FWM  {} IPv6", mark.cast_signed())
        }
    }
}

fn service_settings(out: &mut String, row: &ServiceRow) {
    let service = &row.service;
    if let Some(flags) = text::scheduler_flags(service) {
        push(out, format_args!(" ({flags})"));
    }
    if let Some(timeout_s) = service.persistence_timeout_s {
        push(out, format_args!(" persistent {timeout_s}"));
        if let Some(netmask) = text::netmask(service) {
            push(out, format_args!(" mask {netmask}"));
        }
        if let Some(engine) = &service.persistence_engine {
            push(out, format_args!(" pe {engine}"));
        }
    }
    if service.one_packet {
        out.push_str(" ops");
    }
}

fn destination(
    out: &mut String,
    row: &DestinationRow,
    protocol: Option<Protocol>,
    options: &ListOptions,
    style: Style<'_>,
) {
    let server = &row.destination;
    let name = destination_name(server.address, server.port, protocol, style);
    let (active, inactive) = (row.active, row.inactive);
    push(out, format_args!("  -> {name:<28}"));
    match options.format {
        Format::Stats => {
            let s = &row.stats;
            for total in [s.connections, s.packets_in, s.packets_out, s.bytes_in, s.bytes_out] {
                amount(out, total, options.exact);
            }
        }
        Format::Rate => {
            let r = &row.rates;
            for rate in [r.connections, r.packets_in, r.packets_out] {
                push(out, format_args!(" {rate:>8}"));
            }
            amount(out, r.bytes_in, options.exact);
            amount(out, r.bytes_out, options.exact);
        }
        Format::Thresholds => push(
            out,
            format_args!(
                " {:<10} {:<10} {active:<10} {inactive:<10}",
                server.upper_threshold, server.lower_threshold
            ),
        ),
        Format::PersistentConnections => push(
            out,
            format_args!(
                " {:<9} {:<11} {active:<10} {inactive:<10}",
                server.weight, row.persistent
            ),
        ),
        Format::TunnelInfo | Format::Default => {
            push(out, format_args!(" {:<7}", server.method.name()));
            if options.format == Format::TunnelInfo {
                push(out, format_args!(" {:<13}", tunnel_info(server.method, server.tunnel)));
            }
            push(out, format_args!(" {:<6} {active:<10} {inactive:<10}", server.weight));
        }
    }
    out.push('\n');
}

fn destination_name(
    address: IpAddr,
    port: u16,
    protocol: Option<Protocol>,
    style: Style<'_>,
) -> String {
    let mut name = style.end(address, port, protocol);
    if address.is_ipv4() {
        truncate(&mut name, DESTINATION_WIDTH);
    }
    name
}

fn tunnel_info(method: ForwardingMethod, tunnel: Tunnel) -> String {
    let sign = |checksum| match checksum {
        TunnelChecksum::None => "-c",
        TunnelChecksum::Full => "+c",
        TunnelChecksum::Remote => "r+c",
    };
    match tunnel {
        _ if method != ForwardingMethod::Tunneling => "n/a".to_owned(),
        Tunnel::Ipip => "ipip".to_owned(),
        Tunnel::Gue { port, checksum } => format!("gue:{port}:{}", sign(checksum)),
        Tunnel::Gre { checksum } => format!("gre:{}", sign(checksum)),
    }
}

/// A number nine columns wide, with a unit where it would be wider. Units are powers of 1000 and
/// nothing is rounded up.
fn amount(out: &mut String, value: u64, exact: bool) {
    if exact || value < 100_000_000 {
        push(out, format_args!(" {value:>8}"));
    } else if value < 1_000_000_000 {
        push(out, format_args!("{:>8}K", value / 1_000));
    } else if value < 100_000_000_000 {
        push(out, format_args!("{:>8}M", value / 1_000_000));
    } else if value < 100_000_000_000_000 {
        push(out, format_args!("{:>8}G", value / 1_000_000_000));
    } else {
        push(out, format_args!("{:>8}T", value / 1_000_000_000_000));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::Destination;
    use crate::ipvsadm::FixedNames;
    use crate::ipvsadm::command::Subject;
    use crate::operations::{Rates, Stats};
    use crate::service::Service;

    #[test]
    fn numbers_get_units_at_nine_digits() {
        let show = |value, exact| {
            let mut out = String::new();
            amount(&mut out, value, exact);
            out
        };
        let cases = [
            (0, "        0", "        0"),
            (99_999_999, " 99999999", " 99999999"),
            (100_000_000, "  100000K", " 100000000"),
            (999_999_999, "  999999K", " 999999999"),
            (1_000_000_000, "    1000M", " 1000000000"),
            (99_999_999_999, "   99999M", " 99999999999"),
            (100_000_000_000, "     100G", " 100000000000"),
            (99_999_999_999_999, "   99999G", " 99999999999999"),
            (100_000_000_000_000, "     100T", " 100000000000000"),
            (u64::MAX, "18446744T", " 18446744073709551615"),
        ];
        for (value, short, exact) in cases {
            assert_eq!(show(value, false), short);
            assert_eq!(show(value, true), exact);
        }
    }

    fn row_with(stats: Stats, rates: Rates) -> ServiceRow {
        let address = "2001:db8:aaaa:bbbb:cccc:dddd:eeee:100".parse().unwrap();
        let key = ServiceKey::Address { protocol: Protocol::Tcp, address, port: 80 };
        let destination = DestinationRow {
            destination: Destination::new([10, 0, 0, 2].into(), 80),
            active: 1,
            inactive: 2,
            persistent: 3,
            stats,
            rates,
        };
        ServiceRow { service: Service::new(key), stats, rates, destinations: vec![destination] }
    }

    fn lines(format: Format, exact: bool) -> Vec<String> {
        let (large, small) = (123_456_789, 7);
        let stats = Stats { connections: large, bytes_in: 5_000_000_000, ..Stats::default() };
        let rates =
            Rates { connections: large, packets_in: small, bytes_out: large, ..Rates::default() };
        let options = ListOptions {
            subject: Subject::Table,
            format,
            numeric: true,
            exact,
            sorted: true,
            engine_data: false,
        };
        let names = FixedNames::default();
        let text = one_service(&row_with(stats, rates), &options, Style::new(true, &names));
        text.lines().skip(2).map(str::to_owned).collect()
    }

    /// Server lines of `--rate` never abbreviate the first three columns.
    #[test]
    fn totals_and_rates_have_their_columns() {
        let service = "TCP  [2001:db8:aaaa:bbbb:cccc:dddd:eeee:100]:80";
        let server = "  -> 10.0.0.2:80                 ";
        let total = "  123456K        0        0    5000M        0";
        assert_eq!(
            lines(Format::Stats, false),
            [format!("{service}{total}"), format!("{server}{total}")]
        );
        let total = " 123456789        0        0 5000000000        0";
        assert_eq!(
            lines(Format::Stats, true),
            [format!("{service}{total}"), format!("{server}{total}")]
        );
        let rate = "        7        0        0  123456K";
        assert_eq!(
            lines(Format::Rate, false),
            [format!("{service}  123456K{rate}"), format!("{server} 123456789{rate}")]
        );
    }

    /// Seen with ipvsadm 1.31 and a hosts file.
    #[test]
    fn long_names_are_cut() {
        let mut names = FixedNames::default();
        let long = "a-very-long-host-name-that-goes-on.example.com";
        names.add_host([10, 0, 0, 2].into(), long);
        let six: IpAddr = "2001:db8::2".parse().unwrap();
        names.add_host(six, "six-very-long-host-name-that-goes-on-and-on.example.com");
        names.add_service("http", 80, Protocol::Tcp);
        let style = Style::new(false, &names);
        let tcp = Some(Protocol::Tcp);
        assert_eq!(
            destination_name([10, 0, 0, 2].into(), 80, tcp, style),
            "a-very-long-host-name-that-g"
        );
        assert_eq!(
            destination_name(six, 80, tcp, style),
            "[six-very-long-host-name-that-goes-on-and-on.example.com]:h"
        );
        assert_eq!(style.end([10, 0, 0, 2].into(), 80, tcp), format!("{long}:http"));
        let key = ServiceKey::Address {
            protocol: Protocol::Udp,
            address: [10, 0, 0, 2].into(),
            port: 80,
        };
        assert_eq!(service_name(&key, style), "UDP  a-very-long-host-name-that-g");
    }
}
