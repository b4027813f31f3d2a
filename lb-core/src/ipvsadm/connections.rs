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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipvsadm::FixedNames;
    use crate::protocol::Protocol;

    fn row(protocol: u8, state: &'static str, expires_s: u32, ends: [&str; 3]) -> ConnectionRow {
        let end = |text: &str| {
            let end: std::net::SocketAddr = text.parse().unwrap();
            (end.ip(), end.port())
        };
        let [client, virtual_end, destination] = ends.map(end);
        ConnectionRow {
            protocol,
            expires_s,
            state,
            client,
            virtual_end,
            destination,
            is_synced: false,
            engine: None,
        }
    }

    /// Rows as ipvsadm 1.31 showed them for connections through kernel IPVS.
    #[test]
    fn connections_look_as_captured() {
        let mut sip = row(17, "NONE", 59, ["10.0.1.2:0", "10.0.0.100:5060", "10.0.2.12:5060"]);
        sip.engine = Some(("sip".to_owned(), "def@x".to_owned()));
        let rows = [
            row(6, "ESTABLISHED", 899, ["10.0.1.2:30006", "10.0.0.100:3001", "10.0.2.13:8080"]),
            row(0, "NONE", 149, ["10.0.1.2:0", "0.0.0.1:0", "10.0.2.13:0"]),
            row(6, "SYN_RECV", 59, ["[fd00:1::2]:40044", "[fd00::100]:83", "10.0.2.14:83"]),
            sip,
            row(6, "NONE", 86_399, ["10.0.1.2:0", "10.0.0.100:80", "10.0.2.12:80"]),
        ];
        let names = FixedNames::default();
        let plain = "IPVS connection entries\n\
            pro expire state       source             virtual            destination\n\
            TCP 14:59  ESTABLISHED 10.0.1.2:30006     10.0.0.100:3001    10.0.2.13:8080\n\
            IP  02:29  NONE        10.0.1.2:0         0.0.0.1:0          10.0.2.13:0\n\
            TCP 00:59  SYN_RECV    [fd00:1::2]:40044  [fd00::100]:83     10.0.2.14:83\n\
            UDP 00:59  NONE        10.0.1.2:0         10.0.0.100:5060    10.0.2.12:5060\n\
            TCP 1439:59 NONE        10.0.1.2:0         10.0.0.100:80      10.0.2.12:80\n";
        assert_eq!(connections(&rows, false, Style::new(true, &names)), plain);
        let with_data = connections(&rows[3..4], true, Style::new(true, &names));
        let title = "pro expire state       source             virtual            \
            destination        pe name          pe_data\n";
        let line = "UDP 00:59  NONE        10.0.1.2:0         10.0.0.100:5060    10.0.2.12:5060   \
            sip                def@x\n";
        assert_eq!(with_data, format!("IPVS connection entries\n{title}{line}"));
    }

    #[test]
    fn only_protocols_with_ports_have_names_of_ports() {
        let mut names = FixedNames::default();
        names.add_service("http", 80, Protocol::Tcp);
        let ends = ["10.0.1.2:80", "10.0.0.100:80", "10.0.2.13:80"];
        let rows = [row(6, "NONE", 0, ends), row(17, "NONE", 0, ends), row(0, "NONE", 0, ends)];
        let text = connections(&rows, false, Style::new(false, &names));
        let ports: Vec<&str> =
            text.lines().skip(2).map(|l| l.rsplit(':').next().unwrap()).collect();
        assert_eq!(ports, ["http", "80", "80"]);
    }
}
