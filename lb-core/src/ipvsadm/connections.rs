//! The listings that are not of services: connections, timeouts, sync daemons.

use super::text::{Style, push};
use crate::operations::{ConnectionRow, DaemonRow, TimeoutSettings, row_protocol};

/// `-L -c`. With `engine_data`, rows that have a persistence engine show it.
pub(super) fn connections(rows: &[ConnectionRow], engine_data: bool, style: Style<'_>) -> String {
    let mut out = String::from(
        "IPVS connection entries\n\
         pro expire state       source             virtual            destination",
    );
    if engine_data {
        out.push_str("        pe name          pe_data");
    }
    out.push('\n');
    for row in rows {
        let protocol = row_protocol(row);
        let end = |(address, port)| style.end(address, port, protocol);
        let expire = format!("{:02}:{:02}", row.expires_s / 60, row.expires_s % 60);
        push(
            &mut out,
            format_args!(
                "{:<3} {expire:<6} {:<11} {:<18} {:<18} ",
                protocol_name(row.protocol),
                row.state,
                end(row.client),
                end(row.virtual_end),
            ),
        );
        let destination = end(row.destination);
        match &row.engine {
            Some((engine, data)) if engine_data => {
                push(&mut out, format_args!("{destination:<16} {engine:<18} {data}\n"));
            }
            _ => push(&mut out, format_args!("{destination}\n")),
        }
    }
    out
}

/// The name of an IP protocol in the list of connections. Only the first four and the templates
/// of marks (`IP`) occur; the others are what the kernel would write.
fn protocol_name(number: u8) -> String {
    match number {
        6 => "TCP".to_owned(),
        17 => "UDP".to_owned(),
        132 => "SCTP".to_owned(),
        0 => "IP".to_owned(),
        1 => "ICMP".to_owned(),
        58 => "ICMPv6".to_owned(),
        other => format!("IP_{other}"),
    }
}

/// `-L --timeout`
pub(super) fn timeouts(timeouts: TimeoutSettings) -> String {
    let TimeoutSettings { tcp_s, tcp_fin_s, udp_s } = timeouts;
    format!("Timeout (tcp tcpfin udp): {tcp_s} {tcp_fin_s} {udp_s}\n")
}

/// `-L --daemon`
pub(super) fn daemons(rows: &[DaemonRow]) -> String {
    let mut out = String::new();
    for row in rows {
        push(
            &mut out,
            format_args!(
                "{} sync daemon (mcast={}, syncid={}, maxlen={}, group={}, port={}, ttl={})\n",
                row.role.name(),
                row.interface,
                row.sync_id,
                row.max_length,
                row.group,
                row.port,
                row.ttl,
            ),
        );
    }
    out
}
