//! When a changed key takes effect: at a reload, or at the next start only. And what a plain key
//! says, so that two configurations can be compared key by key.

use std::fmt::Display;

use super::keys::{self, Key, Kind};
use super::settings::{Config, Mbufs, PortConfig, VlanConfig, Workers};
use super::values::{show_duration, show_size};
use Effect::{Reload, Restart};

/// When a changed key takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// With the next reload.
    Reload,
    /// With the next start of the director.
    Restart,
}

impl Effect {
    /// The word in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Reload => "reload",
            Restart => "restart",
        }
    }

    /// When a change of the key takes effect; a section has no effect by itself.
    pub fn of(key: &Key) -> Option<Self> {
        if matches!(key.kind, Kind::Section | Kind::Sections) {
            return None;
        }
        if key.path.starts_with("ports[]") {
            return Some(Restart);
        }
        // Routes and neighbours are compared as a whole.
        let whole = key.path.split("[]").next().unwrap_or(key.path);
        let plain = PLAIN.iter().find(|plain| plain.key.path == whole);
        // The others are merged with what was commanded: services, marks, switches.
        Some(plain.map_or(Reload, |plain| plain.effect))
    }
}

/// A difference between two configurations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The key; of a port's, with the name of the port.
    pub path: String,
    pub before: String,
    pub after: String,
}

/// What differs between two configurations, of the keys that no command can change.
pub fn changed(before: &Config, after: &Config, effect: Effect) -> Vec<Changed> {
    let plain = PLAIN.iter().filter(|plain| plain.effect == effect);
    let mut found: Vec<_> = plain
        .filter_map(|plain| {
            let of = |config| (plain.value)(config);
            differing(plain.key.path.to_owned(), of(before), of(after))
        })
        .collect();
    if effect == Restart {
        found.extend(ports(&before.ports, &after.ports));
    }
    found
}

fn differing(path: String, before: String, after: String) -> Option<Changed> {
    (before != after).then_some(Changed { path, before, after })
}

/// Ports with their keys; where they are not the same ones, their names.
fn ports(before: &[PortConfig], after: &[PortConfig]) -> Vec<Changed> {
    let names = |ports: &[PortConfig]| list(ports.iter().map(|port| &port.name));
    if let Some(changed) = differing("ports".to_owned(), names(before), names(after)) {
        return vec![changed];
    }
    let pairs = before.iter().zip(after);
    let keys = pairs.flat_map(|(before, after)| {
        OF_PORTS.iter().filter_map(move |(key, value)| {
            let path = format!("ports[{}].{}", before.name, key.name());
            differing(path, value(before), value(after))
        })
    });
    keys.collect()
}

/// A key that no command changes.
struct Plain {
    key: &'static Key,
    effect: Effect,
    /// What it says, as text.
    value: fn(&Config) -> String,
}

const fn plain(key: &'static Key, effect: Effect, value: fn(&Config) -> String) -> Plain {
    Plain { key, effect, value }
}

static PLAIN: &[Plain] = &[
    plain(&keys::CONTROL_SOCKET, Restart, |c| c.control.socket.display().to_string()),
    plain(&keys::CONTROL_NETLINK_SOCKET, Restart, |c| {
        c.control.netlink_socket.display().to_string()
    }),
    plain(&keys::CONTROL_GROUP, Restart, |c| c.control.group.clone()),
    plain(&keys::CONTROL_READ_GROUP, Restart, |c| {
        c.control.read_group.clone().unwrap_or_else(|| "nobody".to_owned())
    }),
    plain(&keys::CONTROL_AUDIT, Restart, |c| c.control.audit.to_string()),
    plain(&keys::METRICS_LISTEN, Restart, |c| list(&c.metrics.listen)),
    plain(&keys::METRICS_SOCKET, Restart, |c| {
        c.metrics.socket.as_ref().map_or_else(|| "none".to_owned(), |it| it.display().to_string())
    }),
    plain(&keys::METRICS_SERVERS, Restart, |c| c.metrics.servers.to_string()),
    plain(&keys::METRICS_SERIES, Restart, |c| c.metrics.series.to_string()),
    plain(&keys::LOG_LEVEL, Restart, |c| c.log.levels.to_string()),
    plain(&keys::LOG_FORMAT, Restart, |c| c.log.format.name().to_owned()),
    plain(&keys::EAL_MEMORY, Restart, |c| show_size(c.eal.memory_bytes)),
    plain(&keys::EAL_HUGEPAGES, Restart, |c| c.eal.hugepages.name().to_owned()),
    plain(&keys::SESSION_LOG_TO, Restart, |c| c.session_log.to.to_string()),
    plain(&keys::SESSION_LOG_SAMPLE, Restart, |c| c.session_log.sample.to_string()),
    plain(&keys::SESSION_LOG_RATE, Restart, |c| c.session_log.rate.to_string()),
    plain(&keys::EAL_ATTACH, Restart, |c| c.eal.attach.name().to_owned()),
    plain(&keys::EAL_EXTRA, Restart, |c| list(&c.eal.extra)),
    plain(&keys::WORKERS, Restart, |c| match &c.workers {
        Workers::Auto => "auto".to_owned(),
        Workers::Cpus(cpus) => list(cpus),
    }),
    plain(&keys::IDLE_MODE, Restart, |c| c.idle.mode.name().to_owned()),
    plain(&keys::IDLE_SLEEP, Restart, |c| show_duration(c.idle.sleep)),
    plain(&keys::FLOWS_MAX, Restart, |c| c.flows_max.to_string()),
    plain(&keys::DESTINATIONS_MAX, Restart, |c| c.destinations_max.to_string()),
    plain(&keys::FRAGMENTS_MAX, Restart, |c| c.fragments.max.to_string()),
    plain(&keys::FRAGMENTS_QUEUE, Restart, |c| c.fragments.queue.to_string()),
    plain(&keys::OWN_SERVICE_ADDRESSES, Reload, |c| c.own_service_addresses.to_string()),
    plain(&keys::TUNNEL_SOURCE_SPREAD, Reload, |c| c.tunnel.source_spread.to_string()),
    plain(&keys::KERNEL_RATE, Reload, |c| c.kernel.rate.to_string()),
    plain(&keys::KERNEL_TAKE, Reload, |c| {
        list(c.kernel.take.iter().map(|taken| match taken.port {
            Some(port) => format!("proto {} port {port}", taken.protocol),
            None => format!("proto {}", taken.protocol),
        }))
    }),
    plain(&keys::ARP_QUEUE, Restart, |c| c.arp.queue.to_string()),
    plain(&keys::ARP_MAX, Reload, |c| c.arp.max.to_string()),
    plain(&keys::ARP_RETRY, Reload, |c| show_duration(c.arp.retry)),
    plain(&keys::ARP_ATTEMPTS, Reload, |c| c.arp.attempts.to_string()),
    plain(&keys::ARP_REACHABLE, Reload, |c| show_duration(c.arp.reachable)),
    plain(&keys::ARP_ANNOUNCE, Reload, |c| show_duration(c.arp.announce)),
    plain(&keys::ARP_ANNOUNCEMENTS, Reload, |c| c.arp.announcements.to_string()),
    plain(&keys::VIPS, Reload, |c| list(&c.vips)),
    plain(&keys::ROUTES, Reload, |c| {
        let port = |index: usize| name_of(c, index);
        list(
            c.routes
                .iter()
                .map(|it| format!("{} via {} dev {}", it.to, it.via, port(it.interface))),
        )
    }),
    plain(&keys::NEIGHBOURS, Reload, |c| {
        let port = |index: usize| name_of(c, index);
        list(
            c.neighbours
                .iter()
                .map(|it| format!("{} dev {} {}", it.address, port(it.interface), it.mac)),
        )
    }),
];

/// A key of ports and what it says, as text.
type OfPort = (&'static Key, fn(&PortConfig) -> String);

static OF_PORTS: &[OfPort] = &[
    (&keys::PORTS_DEVICE, |p| p.device.to_string()),
    (&keys::PORTS_ADDRESSES, |p| list(&p.addresses)),
    (&keys::PORTS_MTU, |p| p.mtu.to_string()),
    (&keys::PORTS_RX_DESCRIPTORS, |p| p.rx_descriptors.to_string()),
    (&keys::PORTS_TX_DESCRIPTORS, |p| p.tx_descriptors.to_string()),
    (&keys::PORTS_MAC, |p| p.mac.map_or_else(|| "the device's own".to_owned(), |m| m.to_string())),
    (&keys::PORTS_MBUFS, |p| match p.mbufs {
        Mbufs::Auto => "auto".to_owned(),
        Mbufs::Count(count) => count.to_string(),
    }),
    (&keys::PORTS_KERNEL, |p| p.kernel.to_string()),
    (&keys::PORTS_VLANS, |p| list(p.vlans.iter().map(vlan))),
];

fn vlan(vlan: &VlanConfig) -> String {
    let VlanConfig { id, name, addresses, mtu, kernel } = vlan;
    format!("{id} {name} mtu {mtu} kernel {kernel} [{}]", list(addresses))
}

fn name_of(config: &Config, interface: usize) -> &str {
    config.interfaces().nth(interface).map_or("?", |interface| interface.name)
}

fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}

#[cfg(test)]
mod tests {
    use lb_core::settings::{IP_FORWARD, SWITCHES};

    use super::*;
    use crate::config::{Environment, parse};

    fn config(text: &str) -> Config {
        let environment = Environment {
            cpus: vec![0, 1],
            check_services: &|_| Vec::new(),
            names: &lb_core::ipvsadm::Numeric,
            find_nic: &crate::config::no_nics,
        };
        parse("t", text, &environment).unwrap()
    }

    fn paths(before: &Config, after: &str, effect: Effect) -> Vec<String> {
        let found = changed(before, &config(after), effect);
        found
            .into_iter()
            .map(|changed| {
                assert_ne!(changed.before, changed.after);
                changed.path
            })
            .collect()
    }

    const PORTS: &str = "ports: [ { name: lan0, device: net_null0, addresses: [10.0.0.1/24] } ]\n";

    /// One line that changes each key, besides those that are merged with what was commanded.
    const CHANGES: &[(&str, &str, Effect)] = &[
        ("control.socket", "control: { socket: /run/other.sock }", Restart),
        ("control.netlink_socket", "control: { netlink_socket: /run/n.sock }", Restart),
        ("control.group", "control: { group: adm }", Restart),
        ("control.read_group", "control: { read_group: adm }", Restart),
        ("control.audit", "control: { audit: /var/log/sluice.log }", Restart),
        ("metrics.listen", "metrics: { listen: 127.0.0.1:9107 }", Restart),
        ("metrics.socket", "metrics: { socket: /run/m.sock }", Restart),
        ("metrics.servers", "metrics: { servers: false }", Restart),
        ("metrics.series", "metrics: { series: 1000 }", Restart),
        ("log.level", "log: { level: warning }", Restart),
        ("log.format", "log: { format: json }", Restart),
        ("eal.memory", "eal: { memory: 512M }", Restart),
        ("eal.hugepages", "eal: { hugepages: off }", Restart),
        ("session_log.to", "session_log: { to: stderr }", Restart),
        ("session_log.sample", "session_log: { sample: 7 }", Restart),
        ("session_log.rate", "session_log: { rate: 7 }", Restart),
        ("eal.attach", "eal: { attach: telemetry }", Restart),
        ("eal.extra", "eal: { extra: [--no-pci] }", Restart),
        ("workers", "workers: [1]", Restart),
        ("idle.mode", "idle: { mode: poll }", Restart),
        ("idle.sleep", "idle: { sleep: 50us }", Restart),
        ("flows.max", "flows: { max: 7 }", Restart),
        ("destinations.max", "destinations: { max: 7 }", Restart),
        ("fragments.max", "fragments: { max: 7 }", Restart),
        ("fragments.queue", "fragments: { queue: 7 }", Restart),
        ("own_service_addresses", "own_service_addresses: false", Reload),
        ("tunnel.source_spread", "tunnel: { source_spread: true }", Reload),
        ("kernel.rate", "kernel: { rate: 7 }", Reload),
        ("kernel.take", "kernel: { take: [tcp 22, proto 89] }", Reload),
        ("arp.queue", "arp: { queue: 7 }", Restart),
        ("arp.max", "arp: { max: 7 }", Reload),
        ("arp.retry", "arp: { retry: 7s }", Reload),
        ("arp.attempts", "arp: { attempts: 7 }", Reload),
        ("arp.reachable", "arp: { reachable: 7s }", Reload),
        ("arp.announce", "arp: { announce: 7s }", Reload),
        ("arp.announcements", "arp: { announcements: 7 }", Reload),
        ("vips", "vips: [10.0.0.9]", Reload),
        ("routes", "routes: [ { to: 0.0.0.0/0, via: 10.0.0.2 } ]", Reload),
        (
            "neighbours",
            "neighbours: [ { port: lan0, address: 10.0.0.2, mac: \"02:00:00:00:00:02\" } ]",
            Reload,
        ),
    ];

    #[test]
    fn every_changed_key_is_noticed_and_takes_effect_when_it_says() {
        let before = config(PORTS);
        for (path, line, effect) in CHANGES {
            let after = format!("{PORTS}{line}\n");
            let other = if *effect == Reload { Restart } else { Reload };
            assert_eq!(paths(&before, &after, *effect), [*path], "{line}");
            assert_eq!(paths(&before, &after, other), [""; 0], "{line}");
        }
        let tested: Vec<_> = CHANGES.iter().map(|(path, ..)| *path).collect();
        let listed: Vec<_> = PLAIN.iter().map(|plain| plain.key.path).collect();
        assert_eq!(tested, listed);
    }

    #[test]
    fn every_key_has_an_effect_and_a_value_here_or_is_merged() {
        let merged = |path: &str| {
            SWITCHES.iter().any(|switch| switch.path == path)
                || path == IP_FORWARD.path
                || path.starts_with("marks.")
                || path.starts_with("services")
        };
        for key in keys::keys() {
            let Some(effect) = Effect::of(key) else { continue };
            let of_port = OF_PORTS.iter().any(|(other, _)| other.path == key.path);
            let within =
                ["ports[].vlans[].", "ports[].device.", "ports[].name", "routes[]", "neighbours[]"];
            let is_within = within.iter().any(|within| key.path.starts_with(within));
            let plain = PLAIN.iter().any(|plain| plain.key.path == key.path);
            assert!(of_port || is_within || plain || merged(key.path), "{}", key.path);
            assert_eq!(
                effect == Restart,
                key.path.starts_with("ports") || {
                    PLAIN.iter().any(|it| it.key.path == key.path && it.effect == Restart)
                }
            );
        }
    }

    #[test]
    fn changed_ports_are_named() {
        let before = config(PORTS);
        let with = |text: &str| PORTS.replace("addresses: [10.0.0.1/24]", text);
        for (text, path) in [
            ("addresses: [10.0.0.2/24]", "ports[lan0].addresses"),
            ("addresses: [10.0.0.1/24], mtu: 9000", "ports[lan0].mtu"),
            ("addresses: [10.0.0.1/24], rx_descriptors: 512", "ports[lan0].rx_descriptors"),
            ("addresses: [10.0.0.1/24], tx_descriptors: 512", "ports[lan0].tx_descriptors"),
            ("addresses: [10.0.0.1/24], mac: \"02:00:00:00:00:01\"", "ports[lan0].mac"),
            ("addresses: [10.0.0.1/24], mbufs: 4095", "ports[lan0].mbufs"),
            ("addresses: [10.0.0.1/24], kernel: true", "ports[lan0].kernel"),
            ("addresses: [10.0.0.1/24], vlans: [ { id: 7 } ]", "ports[lan0].vlans"),
        ] {
            assert_eq!(paths(&before, &with(text), Restart), [path], "{text}");
        }
        assert_eq!(
            paths(&before, &PORTS.replace("net_null0", "net_null1"), Restart),
            ["ports[lan0].device"]
        );
        assert_eq!(paths(&before, &PORTS.replace("lan0", "wan0"), Restart), ["ports"]);
        assert_eq!(paths(&before, PORTS, Restart), [""; 0]);
    }
}
