//! The one list of the configuration's keys.
//!
//! Reading, defaults, messages, suggestions and the table of `docs/configuration.md` come from
//! here. A path names a key: `ports[].mtu` is the key `mtu` of each item of the list `ports`.

use std::fmt::Write;
use std::time::Duration;

use lb_core::settings::{SWITCHES, Switch, Values};

use super::attach::Attach;
use super::effect::Effect;
use super::settings::{Hugepages, IdleMode};
use super::values::{show_duration, show_size};
use crate::logging::Format;
use Fallback::{Empty, Required, Value, Without};

/// A key of the configuration file.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    pub path: &'static str,
    pub kind: Kind,
    pub fallback: Fallback,
    /// One line for operators.
    pub help: &'static str,
}

/// What holds where a key is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// The key must be given.
    Required,
    /// The value, written as in the file.
    Value(&'static str),
    /// An empty list, or what the keys of the section fall back to.
    Empty,
    /// No value; the text says what the director does then.
    Without(&'static str),
}

/// What a value may be.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A mapping of further keys.
    Section,
    /// A list of such mappings.
    Sections,
    Text,
    /// A text, or a mapping of further keys.
    TextOrSection,
    Texts,
    /// A whole number without a unit.
    Count {
        min: u64,
        max: u64,
    },
    /// `auto` or a count.
    AutoOrCount {
        min: u64,
        max: u64,
    },
    /// Bytes: a multiple of `step`.
    Size {
        min: u64,
        max: u64,
        step: u64,
    },
    Duration {
        min: Duration,
        max: Duration,
    },
    /// What a switch takes.
    Switch(Values),
    /// `true` or `false`.
    Bool,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `auto` or a list of CPU numbers.
    Cpus,
    Address,
    Addresses,
    /// A list of addresses with prefix lengths.
    InterfaceAddresses,
    Subnet,
    Mac,
    /// A list of addresses with ports, or one of them.
    Listens,
    /// A list of protocols with ports, such as `tcp 22`.
    Protocols,
    /// A list of marks: numbers, decimal or hexadecimal.
    Marks,
    /// A block of commands, as `ipvsadm-save` and `iptables-save` write them.
    Commands,
}

impl Key {
    const fn of_switch(switch: &Switch) -> Self {
        Self {
            path: switch.path,
            kind: Kind::Switch(switch.values),
            fallback: Value(switch.preset),
            help: switch.help,
        }
    }

    /// The last word of the path: the key as it stands in the file.
    pub fn name(&self) -> &'static str {
        self.path.rsplit('.').next().unwrap_or(self.path)
    }

    /// The path of the section that the key is in; empty at the top level.
    pub fn section(&self) -> &'static str {
        self.path.rsplit_once('.').map_or("", |(section, _)| section)
    }
}

impl Kind {
    /// The type of the value for operators.
    pub fn describe(self) -> String {
        match self {
            Self::Section => "mapping".to_owned(),
            Self::Sections => "list of mappings".to_owned(),
            Self::Text => "text".to_owned(),
            Self::TextOrSection => "text, or mapping".to_owned(),
            Self::Texts => "list of text".to_owned(),
            Self::Count { min, max } => format!("count, {min} to {max}"),
            Self::AutoOrCount { min, max } => format!("`auto`, or count, {min} to {max}"),
            Self::Size { min, max, .. } => {
                format!("size, {} to {}", show_size(min), show_size(max))
            }
            Self::Duration { min, max } => {
                format!("duration, {} to {}", show_duration(min), show_duration(max))
            }
            Self::Switch(values) => format!("number, {}", values.describe()),
            Self::Bool => "`true`, or `false`".to_owned(),
            Self::Choice(words) => format!("`{}`", words.join("`, `")),
            Self::Cpus => "`auto`, or list of CPU numbers".to_owned(),
            Self::Address => "address".to_owned(),
            Self::Addresses => "list of addresses".to_owned(),
            Self::InterfaceAddresses => "list of address/prefix".to_owned(),
            Self::Subnet => "address/prefix".to_owned(),
            Self::Mac => "MAC address".to_owned(),
            Self::Listens => "address:port, or list of them".to_owned(),
            Self::Protocols => "list of `tcp PORT`, `udp PORT`, `sctp PORT`, `proto N`".to_owned(),
            Self::Marks => "list of marks, 1 to 0xffffffff".to_owned(),
            Self::Commands => "block of lines".to_owned(),
        }
    }

    /// The units that the value is written with; empty where it has none.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Size { .. } => "K, M, G, T (1024)",
            Self::Duration { .. } => "us, ms, s, min, h",
            _ => "",
        }
    }
}

/// The table of keys in Markdown, as `docs/configuration.md` has it.
pub fn markdown_table() -> String {
    let mut table = String::from("| key | type | unit | default | takes effect | meaning |\n");
    table.push_str("| --- | --- | --- | --- | --- | --- |\n");
    for key in keys() {
        let default = match key.fallback {
            Required => "required".to_owned(),
            Value(value) => format!("`{value}`"),
            Empty => match key.kind {
                Kind::Section => String::new(),
                Kind::Commands => "none".to_owned(),
                _ => "`[]`".to_owned(),
            },
            Without(what) => what.to_owned(),
        };
        let (kind, unit) = (key.kind.describe(), key.kind.unit());
        let effect = Effect::of(key).map_or("", Effect::name);
        // Writing to a String cannot fail.
        let _ = writeln!(
            table,
            "| `{}` | {kind} | {unit} | {default} | {effect} | {} |",
            key.path, key.help
        );
    }
    table
}

/// The keys of the switches, in the order of [`SWITCHES`].
pub(super) static SWITCH_KEYS: [Key; SWITCHES.len()] = {
    let mut keys = [Key::of_switch(&SWITCHES[0]); SWITCHES.len()];
    let mut at = 1;
    while at < keys.len() {
        keys[at] = Key::of_switch(&SWITCHES[at]);
        at += 1;
    }
    keys
};

/// Every key, in the order of the documentation.
pub fn keys() -> impl Iterator<Item = &'static Key> {
    FIXED.iter().flat_map(|key| {
        let switches = if key.path == SETTINGS.path { &SWITCH_KEYS[..] } else { &[] };
        std::iter::once(*key).chain(switches)
    })
}

macro_rules! keys {
    ($($constant:ident: $path:literal, $kind:expr, $fallback:expr, $help:literal;)*) => {
        $(pub(super) static $constant: Key =
            Key { path: $path, kind: $kind, fallback: $fallback, help: $help };)*

        /// The keys that are no switches.
        static FIXED: &[&Key] = &[$(&$constant),*];
    };
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

keys! {
    CONTROL: "control", Kind::Section, Empty,
        "the door for `sluiceadm` and `sluicectl`";
    CONTROL_SOCKET: "control.socket", Kind::Text, Value("/run/sluice/control.sock"),
        "path of the Unix socket, at most 107 bytes";
    CONTROL_NETLINK_SOCKET: "control.netlink_socket", Kind::Text,
        Value("/run/sluice/netlink.sock"),
        "path of the Unix socket for `ipvsadm` and keepalived: [netlink](netlink.md)";
    CONTROL_GROUP: "control.group", Kind::Text, Value("sluice"),
        "group that both sockets belong to: its members [change everything](control.md#who-may)";
    CONTROL_READ_GROUP: "control.read_group", Kind::Text, Without("nobody"),
        "group whose members may look, and change nothing";
    CONTROL_AUDIT: "control.audit", Kind::Text, Value("stderr"),
        "where [changes are written down](control.md#the-audit-log): a file, `stderr`, or `off`";

    METRICS: "metrics", Kind::Section, Empty,
        "[figures for Prometheus](metrics.md), and the status page";
    METRICS_LISTEN: "metrics.listen", Kind::Listens, Empty,
        "where they are served over HTTP, such as `127.0.0.1:9107`: to everybody who gets there";
    METRICS_SOCKET: "metrics.socket", Kind::Text, Without("none"),
        "path of a Unix socket that serves them, too, to those who may look";
    METRICS_SERVERS: "metrics.servers", Kind::Bool, Value("true"),
        "figures of each real server; `false`: of services alone";
    METRICS_SERIES: "metrics.series", Kind::Count { min: 1000, max: 10_000_000 }, Value("250000"),
        "time series at most: those of further real servers and services are left out, and counted";

    LOG: "log", Kind::Section, Empty,
        "what the director says on [standard error](control.md#sluicectl-log)";
    LOG_LEVEL: "log.level", Kind::Text, Value("info"),
        "level of all modules, or of some: `warning`, `info,neighbours=off`";
    LOG_FORMAT: "log.format", Kind::Choice(Format::NAMES), Value("text"),
        "lines for people, with priorities where the journal listens; or JSON objects";

    EAL: "eal", Kind::Section, Empty,
        "how DPDK is started";
    EAL_MEMORY: "eal.memory",
        Kind::Size { min: 16 << 20, max: 1 << 40, step: 1 << 20 }, Value("256M"),
        "memory for packets, a whole number of MiB";
    EAL_HUGEPAGES: "eal.hugepages", Kind::Choice(Hugepages::NAMES), Value("auto"),
        "huge pages: where the machine has them, never start without, never use them";
    EAL_ATTACH: "eal.attach", Kind::Choice(Attach::NAMES), Value("off"),
        "which of DPDK's own programs may look at the running director: [capture](capture.md)";
    EAL_EXTRA: "eal.extra", Kind::Texts, Empty,
        "raw EAL arguments, put behind the director's own";

    SESSION_LOG: "session_log", Kind::Section, Empty,
        "[connections that have ended](session-log.md), a JSON line for each";
    SESSION_LOG_TO: "session_log.to", Kind::Text, Value("off"),
        "where they are written down: a file, `stderr`, or `off`";
    SESSION_LOG_SAMPLE: "session_log.sample", Kind::Count { min: 1, max: 1 << 30 }, Value("1"),
        "one in so many";
    SESSION_LOG_RATE: "session_log.rate", Kind::Count { min: 1, max: 1_000_000 }, Value("1000"),
        "lines per second at most; those left out are counted";

    WORKERS: "workers", Kind::Cpus, Value("auto"),
        "CPUs that forward packets, one worker each";

    IDLE: "idle", Kind::Section, Empty,
        "what workers do when there is nothing to do";
    IDLE_MODE: "idle.mode", Kind::Choice(IdleMode::NAMES), Value("auto"),
        "`auto` polls on PCI devices and sleeps on virtual ones";
    IDLE_SLEEP: "idle.sleep",
        Kind::Duration { min: Duration::from_micros(1), max: SECOND }, Value("100us"),
        "longest sleep of an idle worker";

    FLOWS: "flows", Kind::Section, Empty,
        "the flow table, allocated at start";
    FLOWS_MAX: "flows.max", Kind::Count { min: 1, max: 1 << 28 }, Value("1048576"),
        "connections that there is room for";

    DESTINATIONS: "destinations", Kind::Section, Empty,
        "the real servers, allocated at start";
    DESTINATIONS_MAX: "destinations.max", Kind::Count { min: 1, max: 1 << 20 }, Value("65536"),
        "real servers that there is room for, over all services";

    FRAGMENTS: "fragments", Kind::Section, Empty,
        "how fragments follow the first one of their datagram, which alone has ports";
    FRAGMENTS_MAX: "fragments.max", Kind::Count { min: 0, max: 1 << 20 }, Value("4096"),
        "datagrams whose fragments are followed at once";
    FRAGMENTS_QUEUE: "fragments.queue", Kind::Count { min: 0, max: 65536 }, Value("256"),
        "fragments that may wait for the first one of their datagram, all together";

    IP_FORWARD: "ip_forward", Kind::Bool, Value("true"),
        "route packets for other hosts that belong to no connection, as a NAT director must";
    OWN_SERVICE_ADDRESSES: "own_service_addresses", Kind::Bool, Value("true"),
        "own the address of every service; `false`: only those of `vips` and `sluicectl vip add`";

    SETTINGS: "settings", Kind::Section, Empty,
        "switches, named and preset as the kernel's `net.ipv4.vs.*` and `net.ipv4.*`";

    TUNNEL: "tunnel", Kind::Section, Empty,
        "how packets are put into tunnels";
    TUNNEL_SOURCE_SPREAD: "tunnel.source_spread", Kind::Bool, Value("false"),
        "vary the outer source by connection, so that a receiver's queues share the load";

    KERNEL: "kernel", Kind::Section, Empty,
        "what the host's kernel gets through interfaces with `kernel: true`";
    KERNEL_RATE: "kernel.rate", Kind::Count { min: 0, max: 10_000_000 }, Value("20000"),
        "packets per second that each worker gives to the kernel at most";
    KERNEL_TAKE: "kernel.take", Kind::Protocols, Empty,
        "what the kernel gets even where a service would take it";

    ARP: "arp", Kind::Section, Empty,
        "how neighbours are resolved and own addresses announced";
    ARP_QUEUE: "arp.queue", Kind::Count { min: 0, max: 65536 }, Value("64"),
        "packets that may wait for unresolved neighbours, all together";
    ARP_MAX: "arp.max", Kind::Count { min: 0, max: 1 << 20 }, Value("4096"),
        "neighbours that are resolved because a packet wants them; those of real servers come on top";
    ARP_RETRY: "arp.retry",
        Kind::Duration { min: Duration::from_millis(10), max: HOUR }, Value("1s"),
        "time between two requests for one neighbour";
    ARP_ATTEMPTS: "arp.attempts", Kind::Count { min: 1, max: 100 }, Value("3"),
        "requests without an answer after which a neighbour is unreachable";
    ARP_REACHABLE: "arp.reachable", Kind::Duration { min: SECOND, max: HOUR }, Value("30s"),
        "how long an answer is believed before the neighbour is asked again";
    ARP_ANNOUNCE: "arp.announce",
        Kind::Duration { min: Duration::from_millis(10), max: HOUR }, Value("1s"),
        "time between two gratuitous announcements of one address";
    ARP_ANNOUNCEMENTS: "arp.announcements", Kind::Count { min: 0, max: 100 }, Value("3"),
        "gratuitous announcements of an address that the director begins to own";

    MARKS: "marks", Kind::Section, Empty,
        "rules that mark packets before the service is looked up";
    MARKS_RULES: "marks.rules", Kind::Commands, Empty,
        "rules for IPv4 as `iptables-save` writes those of `mangle`, one per line";
    MARKS_RULES6: "marks.rules6", Kind::Commands, Empty,
        "the same for IPv6, as `ip6tables-save` writes them";
    MARKS_INTERCEPT: "marks.intercept", Kind::Marks, Empty,
        "packets with these marks are taken as the director's own, whoever they are for";

    PORTS: "ports", Kind::Sections, Required,
        "the network ports, at least one";
    PORTS_NAME: "ports[].name", Kind::Text, Required,
        "name of the port, 1 to 15 of `A-Z a-z 0-9 . _ -`";
    PORTS_DEVICE: "ports[].device", Kind::TextOrSection, Required,
        "PCI address, or DPDK virtual device with its arguments; or a NIC by one of its names";
    DEVICE_MAC: "ports[].device.mac", Kind::Mac, Without("none"),
        "the NIC with that MAC address";
    DEVICE_INTERFACE: "ports[].device.interface", Kind::Text, Without("none"),
        "the NIC on which the kernel has, or had, the interface of that name";
    PORTS_ADDRESSES: "ports[].addresses", Kind::InterfaceAddresses, Empty,
        "addresses of the port, with their subnets' prefix lengths";
    PORTS_MTU: "ports[].mtu", Kind::Count { min: 68, max: 9600 }, Value("1500"),
        "bytes of the largest IP packet";
    PORTS_RX_DESCRIPTORS: "ports[].rx_descriptors", Kind::Count { min: 8, max: 32768 },
        Value("1024"), "length of each receive queue, in packets";
    PORTS_TX_DESCRIPTORS: "ports[].tx_descriptors", Kind::Count { min: 8, max: 32768 },
        Value("1024"), "length of each transmit queue, in packets";
    PORTS_MAC: "ports[].mac", Kind::Mac, Without("the device's own"),
        "MAC address that the port gets";
    PORTS_MBUFS: "ports[].mbufs", Kind::AutoOrCount { min: 64, max: 1 << 26 }, Value("auto"),
        "packet buffers of the port; `auto` computes them from its queues and their lengths";
    PORTS_KERNEL: "ports[].kernel", Kind::Bool, Value("false"),
        "give the host's kernel an interface of the port's name, for its own daemons";
    PORTS_VLANS: "ports[].vlans", Kind::Sections, Empty,
        "VLANs (802.1Q) of the port, each an interface of its own";
    VLANS_ID: "ports[].vlans[].id", Kind::Count { min: 1, max: 4094 }, Required,
        "number of the VLAN";
    VLANS_NAME: "ports[].vlans[].name", Kind::Text, Without("`PORT.ID`"),
        "name of the interface, as for ports";
    VLANS_ADDRESSES: "ports[].vlans[].addresses", Kind::InterfaceAddresses, Empty,
        "addresses of the VLAN, with their subnets' prefix lengths";
    VLANS_MTU: "ports[].vlans[].mtu", Kind::Count { min: 68, max: 9600 }, Without("the port's"),
        "bytes of the largest IP packet, at most the port's";
    VLANS_KERNEL: "ports[].vlans[].kernel", Kind::Bool, Value("false"),
        "give the host's kernel an interface of this name";

    VIPS: "vips", Kind::Addresses, Empty,
        "further addresses that the director owns; those of services are owned anyway";

    ROUTES: "routes", Kind::Sections, Empty,
        "ways to what no port reaches directly; the longest prefix wins";
    ROUTES_TO: "routes[].to", Kind::Subnet, Required,
        "destination; `0.0.0.0/0` is all else of IPv4, `::/0` of IPv6";
    ROUTES_VIA: "routes[].via", Kind::Address, Required,
        "the gateway, on the subnet of a port, or a link-local address with `port`";
    ROUTES_PORT: "routes[].port", Kind::Text, Without("the one whose subnet the gateway is on"),
        "name of the port or VLAN that the gateway is on";

    NEIGHBOURS: "neighbours", Kind::Sections, Empty,
        "neighbours with a fixed MAC address; all others are resolved";
    NEIGHBOURS_PORT: "neighbours[].port", Kind::Text, Required,
        "name of the port or VLAN that the neighbour is on";
    NEIGHBOURS_ADDRESS: "neighbours[].address", Kind::Address, Required,
        "its address, on a subnet of the port or link-local";
    NEIGHBOURS_MAC: "neighbours[].mac", Kind::Mac, Required,
        "its MAC address";

    SERVICES: "services", Kind::Commands, Empty,
        "virtual services and real servers as `ipvsadm-save` writes them, one command per line";
    SERVICES_FILE: "services_file", Kind::Text, Without("none"),
        "absolute path of a file with more of them, as `sluiceadm -S -n` writes it";
}
