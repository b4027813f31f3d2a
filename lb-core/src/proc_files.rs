//! The texts that IPVS has in `/proc/net`, for programs that read them instead of asking:
//! `ipvsadm -Lnc` among them. Addresses are in hexadecimal. The forms are those of the kernel's
//! `seq_file`s in `ip_vs_ctl.c`, `ip_vs_conn.c` and `ip_vs_app.c`.

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::operations::{
    ConnectionRow, DestinationRow, Operations, Rates, ServiceRow, Stats, Totals,
};
use crate::protocol::Protocol;
use crate::service::{Family, Service, ServiceKey};
use crate::services::FTP_PORT;

/// Ticks a second of the kernel that the texts imitate: persistence is shown in ticks.
const TICKS_PER_SECOND: u32 = 100;

/// What a listing shows of a connection besides its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    /// `ip_vs_conn`
    Engine,
    /// `ip_vs_conn_sync`
    Origin,
}

/// The text of a file of `/proc/net`; `None` where IPVS has no such file.
pub fn text(name: &str, operations: &impl Operations) -> Option<String> {
    let text = match name {
        "ip_vs" => services(&operations.services(), operations.table_size()),
        "ip_vs_conn" => connections(&operations.connections(), Column::Engine),
        "ip_vs_conn_sync" => connections(&operations.connections(), Column::Origin),
        "ip_vs_stats" => statistics(&operations.totals()),
        "ip_vs_stats_percpu" => statistics_by_cpu(&operations.totals()),
        "ip_vs_app" => helpers(&operations.connections()),
        _ => return None,
    };
    Some(text)
}

/// Appends to a text, which cannot fail.
fn push(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(arguments);
}

/// An address in hexadecimal: eight digits, or eight groups of four.
fn address(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("{:08X}", address.to_bits()),
        IpAddr::V6(address) => address.segments().map(|group| format!("{group:04x}")).join(":"),
    }
}

/// The same where a port follows.
fn end(address: IpAddr, port: u16) -> String {
    let text = self::address(address);
    if address.is_ipv4() { format!("{text}:{port:04X}") } else { format!("[{text}]:{port:04X}") }
}

fn services(rows: &[ServiceRow], table_size: usize) -> String {
    let mut out = format!("IP Virtual Server version 1.2.1 (size={table_size})\n");
    out.push_str("Prot LocalAddress:Port Scheduler Flags\n");
    out.push_str("  -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n");
    for row in rows {
        service(&mut out, &row.service);
        row.destinations.iter().for_each(|row| server(&mut out, row));
    }
    out
}

fn service(out: &mut String, service: &Service) {
    let scheduler = &service.scheduler;
    let one_packet = if service.one_packet { "ops " } else { "" };
    match service.key {
        ServiceKey::Mark { mark, .. } => {
            push(out, format_args!("FWM  {mark:08X} {scheduler} {one_packet}"));
        }
        ServiceKey::Address { protocol, address, port } => {
            push(out, format_args!("{}  {} {scheduler} ", protocol.name(), end(address, port)));
            if address.is_ipv4() {
                push(out, format_args!("{one_packet} "));
            }
        }
    }
    if let Some(timeout_s) = service.persistence_timeout_s {
        let ticks = timeout_s.saturating_mul(TICKS_PER_SECOND);
        // A prefix length is taken for a mask in the order of the network, and so turned round.
        let netmask = match service.key.family() {
            Family::V4 => service.netmask,
            Family::V6 => service.netmask.swap_bytes(),
        };
        push(out, format_args!("persistent {ticks} {netmask:08X}"));
    }
    out.push('\n');
}

fn server(out: &mut String, row: &DestinationRow) {
    let server = &row.destination;
    push(
        out,
        format_args!(
            "  -> {}      {:<7} {:<6} {:<10} {:<10}\n",
            end(server.address, server.port),
            server.method.name(),
            server.weight,
            row.active,
            row.inactive,
        ),
    );
}

fn connections(rows: &[ConnectionRow], column: Column) -> String {
    let mut out = "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       ".to_owned();
    out.push_str(match column {
        Column::Engine => "Expires PEName PEData\n",
        Column::Origin => "Origin Expires\n",
    });
    for row in rows {
        let end = |(ip, port): (IpAddr, u16)| format!("{} {port:04X}", address(ip));
        let protocol = protocol_name(row.protocol);
        let (client, virtual_end) = (end(row.client), end(row.virtual_end));
        let (server, state) = (end(row.destination), row.state);
        push(&mut out, format_args!("{protocol:<3} {client} {virtual_end} {server} {state:<11} "));
        if column == Column::Origin {
            out.push_str(if row.is_synced { "SYNC   " } else { "LOCAL  " });
        }
        push(&mut out, format_args!("{:>7}", row.expires_s));
        if let Some((engine, data)) = row.engine.as_ref().filter(|_| column == Column::Engine) {
            push(&mut out, format_args!(" {engine} {data}"));
        }
        out.push('\n');
    }
    out
}

/// The name of an IP protocol (`ip_vs_proto_name`); 0 is the template of a mark.
fn protocol_name(number: u8) -> String {
    match (number, Protocol::from_number(number)) {
        (0, _) => "IP".to_owned(),
        (_, Some(protocol)) => protocol.name().to_owned(),
        _ => format!("IP_{number}"),
    }
}

/// Five numbers in hexadecimal.
fn totals_line(stats: &Stats) -> String {
    let Stats { connections, packets_in, packets_out, bytes_in, bytes_out } = *stats;
    format!("{connections:>8X} {packets_in:>8X} {packets_out:>8X} {bytes_in:>16X} {bytes_out:>16X}")
}

fn rates_line(rates: &Rates) -> String {
    let Rates { connections, packets_in, packets_out, bytes_in, bytes_out } = *rates;
    totals_line(&Stats { connections, packets_in, packets_out, bytes_in, bytes_out })
}

fn statistics(totals: &Totals) -> String {
    format!(
        "   Total Incoming Outgoing         Incoming         Outgoing\n   \
            Conns  Packets  Packets            Bytes            Bytes\n\
         {}\n\n \
          Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s\n\
         {}\n",
        totals_line(&totals.stats),
        rates_line(&totals.rates),
    )
}

/// The workers are one CPU: what each of them forwarded is not kept apart for a listing. As in the
/// kernel, a CPU's row is never zeroed, only the last one is.
fn statistics_by_cpu(totals: &Totals) -> String {
    format!(
        "       Total Incoming Outgoing         Incoming         Outgoing\n\
         CPU    Conns  Packets  Packets            Bytes            Bytes\n  \
           0 {}\n  \
           ~ {}\n\n     \
              Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s\n    \
         {}\n",
        totals_line(&totals.since_start),
        totals_line(&totals.stats),
        rates_line(&totals.rates),
    )
}

/// The one helper there is, and how many control connections there are for it.
fn helpers(rows: &[ConnectionRow]) -> String {
    let is_control = |row: &&ConnectionRow| {
        let is_template = row.client.1 == 0;
        row.protocol == Protocol::Tcp.number() && row.virtual_end.1 == FTP_PORT && !is_template
    };
    let users = rows.iter().filter(is_control).count();
    format!(
        "prot port    usecnt name\n{:<3}  {FTP_PORT:<7} {users:<6} {:<17}\n",
        Protocol::Tcp.name(),
        "ftp",
    )
}
