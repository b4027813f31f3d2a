//! What the file said: each value with its place, each absent one at its default.
//!
//! A value that is wrong by itself is reported here and is `None` after; what values say of each
//! other is the business of `validate`.

use lb_core::settings::{SWITCHES, Settings};
use lb_core::wire::MacAddress;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use saphyr_parser::ScalarStyle;

use super::attach::Attach;
use super::device::{Device, NicName};
use super::error::{ConfigErrors, Position, shown};
use super::keys::{self, Key, Kind};
use super::section::{Section, count, text, truth, word};
use super::settings::{
    AuditTarget, Hugepages, IdleMode, InterfaceAddress, Mbufs, Subnet, TakenProtocol,
};
use super::values;
use super::yaml::{Content, Node};
use crate::logging::{Format, Levels};

/// A value and its place: where it stands, or the section that it is absent from.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) position: Position,
    pub(super) value: T,
}

/// `None`: reported as wrong.
pub(super) type Raw<T> = Option<At<T>>;

pub(super) struct RawConfig {
    pub(super) control: RawControl,
    pub(super) metrics: RawMetrics,
    pub(super) log_levels: Raw<Levels>,
    pub(super) log_format: Raw<Format>,
    pub(super) eal_memory_bytes: Raw<u64>,
    pub(super) eal_hugepages: Raw<Hugepages>,
    pub(super) eal_attach: Raw<Attach>,
    pub(super) eal_extra: Vec<At<String>>,
    pub(super) session_log: RawSessionLog,
    pub(super) workers: Raw<RawWorkers>,
    pub(super) idle_mode: Raw<IdleMode>,
    pub(super) idle_sleep: Raw<Duration>,
    pub(super) flows_max: Raw<u32>,
    pub(super) destinations_max: Raw<u32>,
    pub(super) fragments_max: Raw<u32>,
    pub(super) fragments_queue: Raw<u32>,
    pub(super) ip_forward: Raw<bool>,
    pub(super) own_service_addresses: Raw<bool>,
    pub(super) settings: Option<Settings>,
    pub(super) tunnel_source_spread: Raw<bool>,
    pub(super) kernel_rate: Raw<u32>,
    pub(super) kernel_take: Vec<At<TakenProtocol>>,
    pub(super) arp: RawArp,
    pub(super) marks: RawMarks,
    pub(super) ports: Vec<RawPort>,
    /// Whether `ports` and their addresses were read without a mistake: only then does it mean
    /// something that no port has a name or reaches an address.
    pub(super) ports_whole: bool,
    pub(super) vips: Vec<At<IpAddr>>,
    pub(super) routes: Vec<RawRoute>,
    pub(super) neighbours: Vec<RawNeighbour>,
    /// The block; empty where there is none.
    pub(super) services: Raw<RawCommands>,
    pub(super) services_file: Raw<Option<String>>,
}

pub(super) struct RawControl {
    pub(super) socket: Raw<String>,
    pub(super) netlink_socket: Raw<String>,
    pub(super) group: Raw<String>,
    pub(super) read_group: Raw<Option<String>>,
    pub(super) audit: Raw<AuditTarget>,
}

pub(super) struct RawMetrics {
    pub(super) listen: Vec<At<SocketAddr>>,
    pub(super) socket: Raw<Option<String>>,
    pub(super) servers: Raw<bool>,
    pub(super) series: Raw<u32>,
}

pub(super) struct RawSessionLog {
    pub(super) to: Raw<AuditTarget>,
    pub(super) sample: Raw<u32>,
    pub(super) rate: Raw<u32>,
}

pub(super) enum RawWorkers {
    Auto,
    Cpus(Vec<At<usize>>),
}

pub(super) struct RawArp {
    pub(super) max: Raw<u32>,
    pub(super) queue: Raw<u32>,
    pub(super) retry: Raw<Duration>,
    pub(super) attempts: Raw<u32>,
    pub(super) reachable: Raw<Duration>,
    pub(super) announce: Raw<Duration>,
    pub(super) announcements: Raw<u32>,
}

pub(super) struct RawPort {
    pub(super) position: Position,
    pub(super) name: Raw<String>,
    pub(super) device: Raw<Device>,
    pub(super) addresses: Vec<At<InterfaceAddress>>,
    pub(super) mtu: Raw<u16>,
    pub(super) rx_descriptors: Raw<u16>,
    pub(super) tx_descriptors: Raw<u16>,
    pub(super) mac: Raw<Option<MacAddress>>,
    pub(super) mbufs: Raw<Mbufs>,
    pub(super) kernel: Raw<bool>,
    pub(super) vlans: Vec<RawVlan>,
}

pub(super) struct RawVlan {
    /// Whether all of its addresses were read without a mistake.
    pub(super) is_whole: bool,
    pub(super) id: Raw<u16>,
    pub(super) name: Raw<Option<String>>,
    pub(super) addresses: Vec<At<InterfaceAddress>>,
    pub(super) mtu: Raw<Option<u16>>,
    pub(super) kernel: Raw<bool>,
}

pub(super) struct RawRoute {
    pub(super) to: Raw<Subnet>,
    pub(super) via: Raw<IpAddr>,
    pub(super) port: Raw<Option<String>>,
}

pub(super) struct RawNeighbour {
    pub(super) port: Raw<String>,
    pub(super) address: Raw<IpAddr>,
    pub(super) mac: Raw<MacAddress>,
}

pub(super) struct RawMarks {
    pub(super) rules: Raw<RawCommands>,
    pub(super) rules6: Raw<RawCommands>,
    pub(super) intercept: Vec<At<u32>>,
}

/// A block of commands.
pub(super) struct RawCommands {
    pub(super) text: String,
    /// Whether the text is a `|` block, whose lines are lines of the file.
    pub(super) literal: bool,
}

/// Reads the tree of a file. `None` where the file is no mapping at all.
pub(super) fn read(tree: &Node, errors: &mut ConfigErrors) -> Option<RawConfig> {
    let root = Section::root(tree, errors)?;
    // A section that is no mapping is reported; reading on finds the mistakes of the others.
    let log = root.section(&keys::LOG, errors);
    let eal = root.section(&keys::EAL, errors);
    let idle = root.section(&keys::IDLE, errors);
    let flows = root.section(&keys::FLOWS, errors);
    let destinations = root.section(&keys::DESTINATIONS, errors);
    let fragments = root.section(&keys::FRAGMENTS, errors);
    let tunnel = root.section(&keys::TUNNEL, errors);
    let kernel = root.section(&keys::KERNEL, errors);
    let (ports, ports_whole) = ports(&root, errors);
    Some(RawConfig {
        control: control(&root, errors),
        metrics: metrics(&root, errors),
        log_levels: log
            .as_ref()
            .and_then(|s| s.value(&keys::LOG_LEVEL, errors, |c| text(c)?.parse())),
        log_format: log.and_then(|s| s.choice(&keys::LOG_FORMAT, errors, Format::from_name)),
        eal_memory_bytes: eal.as_ref().and_then(|s| s.size(&keys::EAL_MEMORY, errors)),
        eal_hugepages: eal
            .as_ref()
            .and_then(|s| s.choice(&keys::EAL_HUGEPAGES, errors, Hugepages::from_name)),
        eal_attach: eal
            .as_ref()
            .and_then(|s| s.choice(&keys::EAL_ATTACH, errors, Attach::from_name)),
        eal_extra: eal.map_or_else(Vec::new, |s| s.list(&keys::EAL_EXTRA, errors, text)),
        session_log: session_log(&root, errors),
        workers: workers(&root, errors),
        idle_mode: idle
            .as_ref()
            .and_then(|s| s.choice(&keys::IDLE_MODE, errors, IdleMode::from_name)),
        idle_sleep: idle.and_then(|s| s.duration(&keys::IDLE_SLEEP, errors)),
        flows_max: flows.and_then(|s| s.count(&keys::FLOWS_MAX, errors)),
        destinations_max: destinations.and_then(|s| s.count(&keys::DESTINATIONS_MAX, errors)),
        fragments_max: fragments.as_ref().and_then(|s| s.count(&keys::FRAGMENTS_MAX, errors)),
        fragments_queue: fragments.and_then(|s| s.count(&keys::FRAGMENTS_QUEUE, errors)),
        ip_forward: root.value(&keys::IP_FORWARD, errors, truth),
        own_service_addresses: root.value(&keys::OWN_SERVICE_ADDRESSES, errors, truth),
        settings: settings(&root, errors),
        tunnel_source_spread: tunnel
            .and_then(|s| s.value(&keys::TUNNEL_SOURCE_SPREAD, errors, truth)),
        kernel_rate: kernel.as_ref().and_then(|s| s.count(&keys::KERNEL_RATE, errors)),
        kernel_take: kernel.map_or_else(Vec::new, |s| {
            s.list(&keys::KERNEL_TAKE, errors, |c| values::taken_protocol(&word(c)?))
        }),
        arp: arp(&root, errors),
        marks: marks(&root, errors),
        ports,
        ports_whole,
        vips: root.list(&keys::VIPS, errors, |c| values::own_address(&word(c)?)),
        routes: root.sections(&keys::ROUTES, errors).iter().map(|s| route(s, errors)).collect(),
        neighbours: root
            .sections(&keys::NEIGHBOURS, errors)
            .iter()
            .map(|s| neighbour(s, errors))
            .collect(),
        services: commands(&root, &keys::SERVICES, errors),
        services_file: root.optional(&keys::SERVICES_FILE, errors, text),
    })
}

fn control(root: &Section<'_>, errors: &mut ConfigErrors) -> RawControl {
    let Some(control) = root.section(&keys::CONTROL, errors) else {
        return RawControl {
            socket: None,
            netlink_socket: None,
            group: None,
            read_group: None,
            audit: None,
        };
    };
    RawControl {
        socket: control.value(&keys::CONTROL_SOCKET, errors, text),
        netlink_socket: control.value(&keys::CONTROL_NETLINK_SOCKET, errors, text),
        group: control.value(&keys::CONTROL_GROUP, errors, text),
        read_group: control.optional(&keys::CONTROL_READ_GROUP, errors, text),
        audit: control.value(&keys::CONTROL_AUDIT, errors, log_target),
    }
}

fn metrics(root: &Section<'_>, errors: &mut ConfigErrors) -> RawMetrics {
    let section = root.section(&keys::METRICS, errors);
    let section = section.as_ref();
    let listen = |content: &Content| values::listen(&word(content)?);
    RawMetrics {
        listen: section.map_or_else(Vec::new, |s| s.list(&keys::METRICS_LISTEN, errors, listen)),
        socket: section.and_then(|s| s.optional(&keys::METRICS_SOCKET, errors, text)),
        servers: section.and_then(|s| s.value(&keys::METRICS_SERVERS, errors, truth)),
        series: section.and_then(|s| s.count(&keys::METRICS_SERIES, errors)),
    }
}

fn session_log(root: &Section<'_>, errors: &mut ConfigErrors) -> RawSessionLog {
    let Some(section) = root.section(&keys::SESSION_LOG, errors) else {
        return RawSessionLog { to: None, sample: None, rate: None };
    };
    RawSessionLog {
        to: section.value(&keys::SESSION_LOG_TO, errors, log_target),
        sample: section.count(&keys::SESSION_LOG_SAMPLE, errors),
        rate: section.count(&keys::SESSION_LOG_RATE, errors),
    }
}

fn log_target(content: &Content) -> Result<AuditTarget, String> {
    let name = text(content)?;
    AuditTarget::from_name(&name)
        .ok_or_else(|| format!("{} is no path from `/` on, `stderr`, or `off`", shown(&name)))
}

fn workers(root: &Section<'_>, errors: &mut ConfigErrors) -> Raw<RawWorkers> {
    if let Some(Node { position, content: Content::Sequence(_) }) = root.find(&keys::WORKERS) {
        let max = u64::from(u16::MAX);
        let cpu = |c: &Content| count(c, Kind::Count { min: 0, max });
        let cpus = root.list(&keys::WORKERS, errors, cpu);
        return Some(At { position: *position, value: RawWorkers::Cpus(cpus) });
    }
    root.value(&keys::WORKERS, errors, |content| match content {
        Content::Text(text, _) if text == "auto" => Ok(RawWorkers::Auto),
        Content::Number(_, text) => {
            Err(format!("{} is not a list of CPUs; write `[{text}]` or `auto`", shown(text)))
        }
        other => Err(format!(
            "{} is neither `auto` nor a list of CPUs; write for example `[1, 2]`",
            other.shown()
        )),
    })
}

fn arp(root: &Section<'_>, errors: &mut ConfigErrors) -> RawArp {
    let arp = root.section(&keys::ARP, errors);
    let arp = arp.as_ref();
    RawArp {
        max: arp.and_then(|s| s.count(&keys::ARP_MAX, errors)),
        queue: arp.and_then(|s| s.count(&keys::ARP_QUEUE, errors)),
        retry: arp.and_then(|s| s.duration(&keys::ARP_RETRY, errors)),
        attempts: arp.and_then(|s| s.count(&keys::ARP_ATTEMPTS, errors)),
        reachable: arp.and_then(|s| s.duration(&keys::ARP_REACHABLE, errors)),
        announce: arp.and_then(|s| s.duration(&keys::ARP_ANNOUNCE, errors)),
        announcements: arp.and_then(|s| s.count(&keys::ARP_ANNOUNCEMENTS, errors)),
    }
}

fn marks(root: &Section<'_>, errors: &mut ConfigErrors) -> RawMarks {
    let section = root.section(&keys::MARKS, errors);
    let section = section.as_ref();
    let mark = |content: &Content| {
        lb_core::marks::request::mark(&word(content)?).map_err(|problem| problem.to_string())
    };
    RawMarks {
        rules: section.and_then(|s| commands(s, &keys::MARKS_RULES, errors)),
        rules6: section.and_then(|s| commands(s, &keys::MARKS_RULES6, errors)),
        intercept: section.map_or_else(Vec::new, |s| s.list(&keys::MARKS_INTERCEPT, errors, mark)),
    }
}

/// All switches; those that are wrong are reported.
fn settings(root: &Section<'_>, errors: &mut ConfigErrors) -> Option<Settings> {
    let section = root.section(&keys::SETTINGS, errors)?;
    let mut settings = Settings::default();
    let mut whole = true;
    for (switch, key) in SWITCHES.iter().zip(&keys::SWITCH_KEYS) {
        let value = section.switch(key, errors);
        whole &= value.is_some_and(|at| switch.set(&mut settings, at.value).is_ok());
    }
    whole.then_some(settings)
}

fn ports(root: &Section<'_>, errors: &mut ConfigErrors) -> (Vec<RawPort>, bool) {
    if let Some(Node { position, content: Content::Sequence(items) }) = root.find(&keys::PORTS)
        && items.is_empty()
    {
        errors.at(*position, "ports: is an empty list; a director needs at least one port");
        return (Vec::new(), false);
    }
    let sections = root.sections(&keys::PORTS, errors);
    let ports: Vec<RawPort> = sections.iter().map(|s| port(s, errors)).collect();
    let read_whole = |(section, port): (&Section<'_>, &RawPort)| {
        section.has_whole(&keys::PORTS_ADDRESSES, port.addresses.len())
            && section.has_whole(&keys::PORTS_VLANS, port.vlans.len())
            && port.vlans.iter().all(|vlan| vlan.is_whole)
    };
    let all_read = sections.iter().zip(&ports).all(read_whole);
    let whole = root.has_whole(&keys::PORTS, ports.len()) && all_read && !ports.is_empty();
    (ports, whole)
}

fn port(section: &Section<'_>, errors: &mut ConfigErrors) -> RawPort {
    let address = |c: &Content| values::interface_address(&word(c)?);
    RawPort {
        position: section.position(),
        name: section.value(&keys::PORTS_NAME, errors, |c| values::port_name(&text(c)?)),
        device: device(section, errors),
        addresses: section.list(&keys::PORTS_ADDRESSES, errors, address),
        mtu: section.count(&keys::PORTS_MTU, errors),
        rx_descriptors: section.count(&keys::PORTS_RX_DESCRIPTORS, errors),
        tx_descriptors: section.count(&keys::PORTS_TX_DESCRIPTORS, errors),
        mac: section.optional(&keys::PORTS_MAC, errors, mac),
        mbufs: section.value(&keys::PORTS_MBUFS, errors, |content| match content {
            Content::Text(text, _) if text == "auto" => Ok(Mbufs::Auto),
            other => count(other, keys::PORTS_MBUFS.kind).map(Mbufs::Count),
        }),
        kernel: section.value(&keys::PORTS_KERNEL, errors, truth),
        vlans: section
            .sections(&keys::PORTS_VLANS, errors)
            .iter()
            .map(|s| vlan(s, errors))
            .collect(),
    }
}

/// A device, or the name of a NIC, which is found later.
fn device(section: &Section<'_>, errors: &mut ConfigErrors) -> Raw<Device> {
    let key = &keys::PORTS_DEVICE;
    let Some(Node { position, content: Content::Mapping(_) }) = section.find(key) else {
        let read = |c: &Content| Ok(Device::of_eal(values::device(&text(c)?)?));
        return section.value(key, errors, read);
    };
    let names = section.section(key, errors)?;
    let by_mac = names.optional(&keys::DEVICE_MAC, errors, mac)?.value;
    let interface = |c: &Content| values::interface_name(&text(c)?);
    let by_interface = names.optional(&keys::DEVICE_INTERFACE, errors, interface)?.value;
    let (name, more) = match (by_mac, by_interface) {
        (Some(mac), None) => (NicName::Mac(mac), None),
        (None, Some(interface)) => (NicName::Interface(interface), None),
        (None, None) if !names.is_whole() => return None,
        (Some(mac), _) => (NicName::Mac(mac), Some(", not by both")),
        (None, None) => (NicName::Interface(String::new()), Some("")),
    };
    if let Some(more) = more {
        let path = section.path_of(key);
        let problem = format!("{path}: name the NIC by its `mac` or its `interface`{more}");
        errors.at(*position, problem);
        return None;
    }
    Some(At { position: *position, value: Device::of_nic(name) })
}

fn vlan(section: &Section<'_>, errors: &mut ConfigErrors) -> RawVlan {
    let address = |c: &Content| values::interface_address(&word(c)?);
    let addresses = section.list(&keys::VLANS_ADDRESSES, errors, address);
    RawVlan {
        id: section.count(&keys::VLANS_ID, errors),
        name: section.optional(&keys::VLANS_NAME, errors, |c| values::port_name(&text(c)?)),
        is_whole: section.has_whole(&keys::VLANS_ADDRESSES, addresses.len()),
        addresses,
        mtu: section.optional(&keys::VLANS_MTU, errors, |c| count(c, keys::VLANS_MTU.kind)),
        kernel: section.value(&keys::VLANS_KERNEL, errors, truth),
    }
}

fn route(section: &Section<'_>, errors: &mut ConfigErrors) -> RawRoute {
    RawRoute {
        to: section.value(&keys::ROUTES_TO, errors, |c| values::subnet(&word(c)?)),
        via: section.value(&keys::ROUTES_VIA, errors, |c| values::address(&word(c)?)),
        port: section.optional(&keys::ROUTES_PORT, errors, text),
    }
}

fn neighbour(section: &Section<'_>, errors: &mut ConfigErrors) -> RawNeighbour {
    RawNeighbour {
        port: section.value(&keys::NEIGHBOURS_PORT, errors, text),
        address: section.value(&keys::NEIGHBOURS_ADDRESS, errors, |c| values::address(&word(c)?)),
        mac: section.value(&keys::NEIGHBOURS_MAC, errors, mac),
    }
}

fn mac(content: &Content) -> Result<MacAddress, String> {
    let text = word(content)?;
    match text.parse::<MacAddress>() {
        Err(_) => Err(format!(
            "{} is not a MAC address; write six pairs of hexadecimal digits, for example \
             02:00:00:00:00:83",
            shown(&text)
        )),
        Ok(mac) if !mac.is_unicast() => Err(format!(
            "{} is a group address or zero; write the address of one station",
            shown(&text)
        )),
        Ok(mac) => Ok(mac),
    }
}

fn commands(
    section: &Section<'_>,
    key: &'static Key,
    errors: &mut ConfigErrors,
) -> Raw<RawCommands> {
    let read = |content: &Content| match content {
        Content::Text(text, style) => {
            Ok(RawCommands { text: text.clone(), literal: *style == ScalarStyle::Literal })
        }
        other => Err(format!(
            "{} stands where a block should; write `{}: |` and one command per line below",
            other.shown(),
            key.name()
        )),
    };
    let found = section.optional(key, errors, read)?;
    let none = RawCommands { text: String::new(), literal: false };
    Some(At { position: found.position, value: found.value.unwrap_or(none) })
}
