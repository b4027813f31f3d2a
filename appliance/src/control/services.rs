//! `sluicectl services`: virtual services and their real servers with all that is known of them.
//! Its JSON is that of ipvsadm's listings of services, timeouts and sync daemons.

use std::net::IpAddr;

use lb_core::control::{Control, DetailedService, Reach, ServerDetail};
use lb_core::destination::{ForwardingMethod, Tunnel, TunnelChecksum};
use lb_core::interface::Interface;
use lb_core::ipvsadm;
use lb_core::operations::{
    DestinationRow, OperationError, Operations, Rates, Stats, TimeoutSettings,
};
use lb_core::service::{Family, Service, ServiceKey};
use serde::Serialize;

use super::grammar::Output;
use super::protocol::Answer;
use super::report::{Report, Text, Tone, answer};
use super::sync::DaemonLine;
use crate::line;

/// What a director serves.
#[derive(Debug, Serialize)]
pub struct Services {
    services: Vec<ServiceLine>,
    /// Removed real servers that something still refers to.
    removed: Vec<RemovedLine>,
    timeouts: Timeouts,
    daemons: Vec<DaemonLine>,
}

#[derive(Debug, Serialize)]
struct ServiceLine {
    /// The name that other verbs take: `tcp:10.0.10.100:80`, `fwm:7`.
    service: String,
    #[serde(flatten)]
    key: KeyFields,
    scheduler: String,
    scheduler_flags: Vec<String>,
    /// Seconds that a template lives; null is not persistent.
    persistence_timeout_s: Option<u32>,
    /// What of a client's address counts for persistence: an IPv4 mask, or an IPv6 prefix length.
    netmask: String,
    persistence_engine: Option<String>,
    one_packet: bool,
    stats: Figures,
    rates: Figures,
    servers: Vec<ServerLine>,
}

/// What identifies a service: the fields of an address, or those of a mark.
#[derive(Debug, Serialize)]
struct KeyFields {
    protocol: Option<String>,
    address: Option<IpAddr>,
    port: Option<u16>,
    mark: Option<u32>,
    family: &'static str,
}

/// Totals, or the same per second.
#[derive(Clone, Copy, Debug, Serialize)]
struct Figures {
    connections: u64,
    packets_in: u64,
    packets_out: u64,
    bytes_in: u64,
    bytes_out: u64,
}

#[derive(Debug, Serialize)]
struct ServerLine {
    address: IpAddr,
    port: u16,
    /// The word of ipvsadm's column `Forward`.
    forward: &'static str,
    tunnel: Option<TunnelLine>,
    weight: i32,
    /// The last weight that was not 0, which `drain --undo` restores.
    last_weight: Option<u32>,
    /// Null is no limit.
    upper_threshold: Option<u32>,
    /// Null is 3/4 of the upper threshold.
    lower_threshold: Option<u32>,
    overloaded: bool,
    active: u32,
    inactive: u32,
    /// Persistence templates.
    persistent: u32,
    /// `local`, `known`, `unresolved`, `no-route`.
    reach: &'static str,
    interface: Option<String>,
    next_hop: Option<IpAddr>,
    mac: Option<String>,
    mtu: Option<u16>,
    stats: Figures,
    rates: Figures,
}

#[derive(Debug, Serialize)]
struct TunnelLine {
    kind: &'static str,
    port: Option<u16>,
    checksum: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct RemovedLine {
    service: String,
    address: IpAddr,
    port: u16,
    active: u32,
    inactive: u32,
    persistent: u32,
}

#[derive(Debug, Serialize)]
struct Timeouts {
    tcp_s: u32,
    tcp_fin_s: u32,
    udp_s: u32,
}

/// Runs the verb: all services, or one.
pub fn run(control: &Control, only: Option<&ServiceKey>, output: Output) -> Answer {
    match Services::of(control, only) {
        Ok(services) => answer(&services, output),
        Err(problem) => Answer::refusing(2, &format!("sluiced: services: {problem}")),
    }
}

impl Services {
    /// As they are now.
    ///
    /// # Errors
    ///
    /// There is none of that key.
    pub fn of(control: &Control, only: Option<&ServiceKey>) -> Result<Self, OperationError> {
        let found = control.detailed_services(only);
        if only.is_some() && found.is_empty() {
            return Err(OperationError::NoSuchService);
        }
        let removed = control.removed_servers().into_iter();
        let removed = removed.filter(|it| only.is_none_or(|key| *key == it.service));
        let TimeoutSettings { tcp_s, tcp_fin_s, udp_s } = control.timeouts();
        Ok(Self {
            services: found.iter().map(|it| service_line(it, control.interfaces())).collect(),
            removed: removed
                .map(|it| RemovedLine {
                    service: it.service.to_string(),
                    address: it.address,
                    port: it.port,
                    active: it.active,
                    inactive: it.inactive,
                    persistent: it.persistent,
                })
                .collect(),
            timeouts: Timeouts { tcp_s, tcp_fin_s, udp_s },
            daemons: control.daemons().into_iter().map(DaemonLine::from).collect(),
        })
    }
}

fn service_line(service: &DetailedService, interfaces: &[Interface]) -> ServiceLine {
    let DetailedService { row, details } = service;
    let of = &row.service;
    let flags = ipvsadm::scheduler_flags(of).unwrap_or_default();
    let servers = row.destinations.iter().zip(details);
    ServiceLine {
        service: of.key.to_string(),
        key: key_fields(&of.key),
        scheduler: of.scheduler.clone(),
        scheduler_flags: flags.split(',').filter(|it| !it.is_empty()).map(str::to_owned).collect(),
        persistence_timeout_s: of.persistence_timeout_s,
        netmask: ipvsadm::netmask(of).unwrap_or_else(|| full_netmask(of)),
        persistence_engine: of.persistence_engine.clone(),
        one_packet: of.one_packet,
        stats: row.stats.into(),
        rates: row.rates.into(),
        servers: servers.map(|(row, detail)| server_line(row, detail, interfaces)).collect(),
    }
}

fn full_netmask(service: &Service) -> String {
    match service.key.family() {
        Family::V4 => "255.255.255.255".to_owned(),
        Family::V6 => "128".to_owned(),
    }
}

fn key_fields(key: &ServiceKey) -> KeyFields {
    let family = match key.family() {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    };
    match *key {
        ServiceKey::Address { protocol, address, port } => KeyFields {
            protocol: Some(protocol.name().to_ascii_lowercase()),
            address: Some(address),
            port: Some(port),
            mark: None,
            family,
        },
        ServiceKey::Mark { mark, .. } => {
            KeyFields { protocol: None, address: None, port: None, mark: Some(mark), family }
        }
    }
}

fn server_line(
    row: &DestinationRow,
    detail: &ServerDetail,
    interfaces: &[Interface],
) -> ServerLine {
    let of = &row.destination;
    let (reach, hop, mac) = match detail.reach {
        Reach::Here => ("local", None, None),
        Reach::Link { hop, mac: Some(mac) } => ("known", Some(hop), Some(mac)),
        Reach::Link { hop, mac: None } => ("unresolved", Some(hop), None),
        Reach::Nowhere => ("no-route", None, None),
    };
    let interface = hop.and_then(|hop| interfaces.get(usize::from(hop.interface.0)));
    let or_null = |value: u32| (value != 0).then_some(value);
    ServerLine {
        address: of.address,
        port: of.port,
        forward: of.method.name(),
        tunnel: (of.method == ForwardingMethod::Tunneling).then(|| tunnel_line(of.tunnel)),
        weight: of.weight,
        last_weight: or_null(detail.last_weight),
        upper_threshold: or_null(of.upper_threshold),
        lower_threshold: or_null(of.lower_threshold),
        overloaded: detail.is_overloaded,
        active: row.active,
        inactive: row.inactive,
        persistent: row.persistent,
        reach,
        interface: interface.map(|it| it.name.clone()),
        next_hop: hop.map(|hop| hop.neighbour),
        mac: mac.map(|mac| mac.to_string()),
        mtu: detail.mtu,
        stats: row.stats.into(),
        rates: row.rates.into(),
    }
}

fn tunnel_line(tunnel: Tunnel) -> TunnelLine {
    let name = |checksum| match checksum {
        TunnelChecksum::None => "none",
        TunnelChecksum::Full => "full",
        TunnelChecksum::Remote => "remote",
    };
    match tunnel {
        Tunnel::Ipip => TunnelLine { kind: "ipip", port: None, checksum: None },
        Tunnel::Gue { port, checksum } => {
            TunnelLine { kind: "gue", port: Some(port), checksum: Some(name(checksum)) }
        }
        Tunnel::Gre { checksum } => {
            TunnelLine { kind: "gre", port: None, checksum: Some(name(checksum)) }
        }
    }
}

impl From<Stats> for Figures {
    fn from(stats: Stats) -> Self {
        let Stats { connections, packets_in, packets_out, bytes_in, bytes_out } = stats;
        Self { connections, packets_in, packets_out, bytes_in, bytes_out }
    }
}

impl From<Rates> for Figures {
    fn from(rates: Rates) -> Self {
        let Rates { connections, packets_in, packets_out, bytes_in, bytes_out } = rates;
        Self { connections, packets_in, packets_out, bytes_in, bytes_out }
    }
}

impl Figures {
    fn text(&self) -> String {
        let Self { connections, packets_in, packets_out, bytes_in, bytes_out } = self;
        format!(
            "connections {connections} packets in {packets_in} out {packets_out} \
             bytes in {bytes_in} out {bytes_out}"
        )
    }
}

impl Report for Services {
    fn text(&self, out: &mut Text) {
        for service in &self.services {
            service.text(out);
        }
        for it in &self.removed {
            let RemovedLine { service, address, port, active, inactive, persistent } = it;
            let end = std::net::SocketAddr::new(*address, *port);
            let tone = out.toned(Tone::Warning, "removed");
            line!(
                out,
                "{service} {tone} {end} active {active} inactive {inactive} persistent {persistent}"
            );
        }
        let Timeouts { tcp_s, tcp_fin_s, udp_s } = self.timeouts;
        line!(out, "timeouts tcp {tcp_s} s, tcp after FIN {tcp_fin_s} s, udp {udp_s} s");
        for it in &self.daemons {
            let DaemonLine { role, interface, sync_id, max_length, group, port, ttl } = it;
            line!(
                out,
                "{role} sync daemon dev {interface} sync-id {sync_id} max-length {max_length} \
                 group {group} port {port} ttl {ttl}"
            );
        }
    }
}

impl ServiceLine {
    fn text(&self, out: &mut Text) {
        let mut rest = format!(" {}", self.scheduler);
        if !self.scheduler_flags.is_empty() {
            rest += &format!(" ({})", self.scheduler_flags.join(","));
        }
        if let Some(seconds) = self.persistence_timeout_s {
            rest += &format!(" persistent {seconds} s netmask {}", self.netmask);
            if let Some(engine) = &self.persistence_engine {
                rest += &format!(" engine {engine}");
            }
        }
        if self.one_packet {
            rest += " one-packet";
        }
        let name = out.toned(Tone::Heading, &self.service);
        line!(out, "{name}{rest}");
        line!(out, "    total {}", self.stats.text());
        line!(out, "    per second {}", self.rates.text());
        for server in &self.servers {
            server.text(out);
        }
    }
}

impl ServerLine {
    fn text(&self, out: &mut Text) {
        let end = std::net::SocketAddr::new(self.address, self.port);
        let (tone, way) = match (self.reach, self.next_hop, &self.interface, &self.mac) {
            ("local", ..) => (Tone::Good, "the director itself".to_owned()),
            (_, Some(hop), Some(interface), Some(mac)) => {
                (Tone::Good, format!("via {hop} dev {interface} lladdr {mac}"))
            }
            (_, Some(hop), Some(interface), None) => {
                (Tone::Bad, format!("via {hop} dev {interface} unresolved"))
            }
            _ => (Tone::Bad, "no route".to_owned()),
        };
        let way = out.toned(tone, &way);
        let mut rest = String::new();
        if let Some(TunnelLine { kind, port, checksum }) = &self.tunnel {
            rest += &format!(" {kind}");
            rest += &port.map(|port| format!(" port {port}")).unwrap_or_default();
            rest += &checksum.map(|it| format!(" checksum {it}")).unwrap_or_default();
        }
        if let Some(upper) = self.upper_threshold {
            let lower = self.lower_threshold.map_or_else(|| "3/4".to_owned(), |it| it.to_string());
            rest += &format!(" thresholds {upper} {lower}");
        }
        if self.overloaded {
            rest += &format!(" {}", out.toned(Tone::Bad, "overloaded"));
        }
        let Self { forward, weight, active, inactive, persistent, .. } = self;
        line!(
            out,
            "  {end} {forward} weight {weight} active {active} inactive {inactive} \
             persistent {persistent}{rest} {way}"
        );
        line!(out, "    total {}", self.stats.text());
        line!(out, "    per second {}", self.rates.text());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::bench::control;
    use crate::control::report;

    #[test]
    fn everything_of_a_service_is_in_the_json() {
        let control = control(&[
            "-A -t 10.0.0.100:80 -s sh -b sh-port -p 300 -M 255.255.255.0",
            "-a -t 10.0.0.100:80 -r 10.0.0.11:8080 -m -w 3 -x 10 -y 5",
            "-a -t 10.0.0.100:80 -r 10.9.0.11 -i --tun-type gue --tun-port 6080 --tun-csum",
            "-A -f 7 -6 -o",
            "--set 100 0 0",
        ]);
        let services = Services::of(&control, None).unwrap();
        let json = serde_json::to_value(&services).unwrap();
        let first = &json["services"][0];
        assert_eq!(first["service"], "tcp:10.0.0.100:80");
        assert_eq!((&first["protocol"], &first["port"]), (&"tcp".into(), &80.into()));
        assert_eq!(first["scheduler_flags"], serde_json::json!(["sh-port"]));
        assert_eq!(first["persistence_timeout_s"], 300);
        assert_eq!(first["netmask"], "255.255.255.0");
        let [tunnel, nat] = &first["servers"].as_array().unwrap()[..] else { panic!() };
        assert_eq!((&tunnel["forward"], &tunnel["reach"]), (&"Tunnel".into(), &"no-route".into()));
        assert_eq!(
            tunnel["tunnel"],
            serde_json::json!({"kind": "gue", "port": 6080, "checksum": "full"})
        );
        assert_eq!((&nat["weight"], &nat["last_weight"]), (&3.into(), &3.into()));
        assert_eq!((&nat["upper_threshold"], &nat["lower_threshold"]), (&10.into(), &5.into()));
        assert_eq!((&nat["reach"], &nat["next_hop"]), (&"unresolved".into(), &"10.0.0.11".into()));
        assert_eq!(nat["interface"], "lan0");
        let mark = &json["services"][1];
        assert_eq!((&mark["mark"], &mark["family"]), (&7.into(), &"ipv6".into()));
        assert_eq!((&mark["one_packet"], &mark["address"]), (&true.into(), &().into()));
        assert_eq!(json["timeouts"]["tcp_s"], 100);
        assert_eq!(json["daemons"], serde_json::json!([]));
        assert_eq!(json["removed"], serde_json::json!([]));
    }

    #[test]
    fn the_text_says_how_each_server_is_reached() {
        let control = control(&[
            "-A -t 10.0.0.100:80 -s rr",
            "-a -t 10.0.0.100:80 -r 10.0.0.11 -g -x 4",
            "-a -t 10.0.0.100:80 -r 127.0.0.1 -g -w 0",
            "-A -u 10.0.0.100:53",
        ]);
        let key = "tcp:10.0.0.100:80".parse().unwrap();
        let text = report::text(&Services::of(&control, Some(&key)).unwrap(), false);
        assert!(text.starts_with("tcp:10.0.0.100:80 rr\n"), "{text}");
        assert!(text.contains(
            "  127.0.0.1:80 Route weight 0 active 0 inactive 0 persistent 0 the director itself\n"
        ));
        assert!(text.contains("persistent 0 thresholds 4 3/4 via 10.0.0.11 dev lan0 unresolved\n"));
        assert!(!text.contains("udp:"), "{text}");
        let none = "tcp:10.0.0.100:81".parse().unwrap();
        assert_eq!(Services::of(&control, Some(&none)).unwrap_err(), OperationError::NoSuchService);
    }
}
