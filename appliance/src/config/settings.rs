//! The settings of a director, checked and complete.

use super::attach::Attach;
use super::device::Device;
use super::session_log::SessionLogConfig;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use lb_core::settings::Settings;
use lb_core::wire::MacAddress;

use crate::logging::{Format, Levels};

/// A valid configuration. Two that are equal make the same director.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub control: ControlConfig,
    pub metrics: MetricsConfig,
    pub log: LogConfig,
    pub eal: EalConfig,
    pub session_log: SessionLogConfig,
    pub workers: Workers,
    pub idle: IdleConfig,
    /// Connections that the flow table has room for.
    pub flows_max: u32,
    /// Real servers that there is room for, over all services.
    pub destinations_max: u32,
    pub fragments: FragmentsConfig,
    /// Whether packets for other hosts that belong to no connection are routed.
    pub ip_forward: bool,
    /// Whether the director owns the address of every service.
    pub own_service_addresses: bool,
    /// The switches of the section `settings`; what has keys elsewhere is at its default here.
    pub settings: Settings,
    pub tunnel: TunnelConfig,
    pub kernel: KernelConfig,
    pub arp: ArpConfig,
    pub marks: MarksConfig,
    /// At least one.
    pub ports: Vec<PortConfig>,
    /// Addresses that the director owns besides those of ports and services.
    pub vips: Vec<IpAddr>,
    pub routes: Vec<Route>,
    pub neighbours: Vec<StaticNeighbour>,
    /// `ipvsadm-save` commands in the order of the file, without comments and empty lines; those
    /// of the services' own file behind them.
    pub services: Vec<String>,
    /// The services' own file.
    pub services_file: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlConfig {
    /// The Unix socket; its path fits into a `sockaddr_un`.
    pub socket: PathBuf,
    /// The Unix socket that speaks the kernel's protocol.
    pub netlink_socket: PathBuf,
    /// The group of both sockets, by name or number: its members may change everything.
    pub group: String,
    /// The group whose members may look.
    pub read_group: Option<String>,
    pub audit: AuditTarget,
}

/// Where figures are served, and how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsConfig {
    /// Each once.
    pub listen: Vec<SocketAddr>,
    /// A Unix socket; its path fits into a `sockaddr_un`.
    pub socket: Option<PathBuf>,
    /// Whether each real server has figures of its own.
    pub servers: bool,
    /// Time series at most.
    pub series: u32,
}

/// What is said on standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    pub levels: Levels,
    pub format: Format,
}

/// Where changes are written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditTarget {
    /// Nowhere.
    Off,
    /// The standard error of the process: the journal, where systemd runs it.
    Stderr,
    /// A file, by its whole path.
    File(PathBuf),
}

impl AuditTarget {
    /// The target of that name. `None` where it is a path that depends on the current folder.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        match name {
            "off" => Some(Self::Off),
            "stderr" => Some(Self::Stderr),
            path if path.starts_with('/') && !path.ends_with('/') => Some(Self::File(path.into())),
            _ => None,
        }
    }
}

impl fmt::Display for AuditTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Stderr => f.write_str("stderr"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// What DPDK's Environment Abstraction Layer is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EalConfig {
    /// A whole number of MiB.
    pub memory_bytes: u64,
    pub hugepages: Hugepages,
    pub attach: Attach,
    /// Raw arguments behind our own.
    pub extra: Vec<String>,
}

/// Whether packet memory is made of huge pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hugepages {
    /// Where the machine has them.
    Auto,
    /// Refuse to start without.
    Require,
    Off,
}

impl Hugepages {
    pub(super) const NAMES: &'static [&'static str] = &["auto", "require", "off"];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Require => "require",
            Self::Off => "off",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        match name {
            "auto" => Some(Self::Auto),
            "require" => Some(Self::Require),
            "off" => Some(Self::Off),
            _ => None,
        }
    }
}

/// Where workers run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Workers {
    /// The director chooses by the CPUs it may use.
    Auto,
    /// One worker on each of these CPUs; at least one, each once, all existing.
    Cpus(Vec<usize>),
}

/// How workers wait when there is nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdleConfig {
    pub mode: IdleMode,
    /// Longest sleep of a worker that has nothing to do.
    pub sleep: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdleMode {
    /// Poll on PCI devices, sleep on virtual ones.
    Auto,
    Poll,
    Sleep,
}

impl IdleMode {
    pub(super) const NAMES: &'static [&'static str] = &["auto", "poll", "sleep"];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Poll => "poll",
            Self::Sleep => "sleep",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        match name {
            "auto" => Some(Self::Auto),
            "poll" => Some(Self::Poll),
            "sleep" => Some(Self::Sleep),
            _ => None,
        }
    }
}

/// How fragments follow the first one of their datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentsConfig {
    /// Datagrams that are followed at once.
    pub max: u32,
    /// Fragments that may wait for the first one, all together.
    pub queue: u32,
}

/// How packets are put into tunnels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelConfig {
    /// Whether the outer source varies by connection.
    pub source_spread: bool,
}

/// What the host's kernel gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelConfig {
    /// Packets per second and worker, at most.
    pub rate: u32,
    /// What it gets even where a service would take it.
    pub take: Vec<TakenProtocol>,
}

/// Packets of an IP protocol and, where it has ports, of one port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TakenProtocol {
    pub protocol: u8,
    /// Either end's; `None` is any.
    pub port: Option<u16>,
}

/// How packets are marked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MarksConfig {
    /// Lines of `iptables-save`, without comments and empty lines.
    pub rules: Vec<String>,
    /// Lines of `ip6tables-save`.
    pub rules6: Vec<String>,
    /// Marks whose packets are the director's own; each once.
    pub intercept: Vec<u32>,
}

/// How neighbours are resolved and own addresses announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArpConfig {
    /// Neighbours that are resolved because packets want them.
    pub max: u32,
    /// Packets that may wait for unresolved neighbours, all together.
    pub queue: u32,
    /// Time between two requests for one neighbour.
    pub retry: Duration,
    /// Requests without an answer after which a neighbour is taken to be unreachable.
    pub attempts: u32,
    /// How long an answer is believed before the neighbour is asked again.
    pub reachable: Duration,
    /// Time between two gratuitous announcements of one address.
    pub announce: Duration,
    /// Gratuitous announcements of an address that the director begins to own; 0 for none.
    pub announcements: u32,
}

/// A network port of the director.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortConfig {
    /// Unique; fits an interface name of the kernel.
    pub name: String,
    pub device: Device,
    pub addresses: Vec<InterfaceAddress>,
    /// Bytes of the largest IP packet.
    pub mtu: u16,
    /// Per receive queue.
    pub rx_descriptors: u16,
    /// Per transmit queue.
    pub tx_descriptors: u16,
    /// `None`: the address that the device has.
    pub mac: Option<MacAddress>,
    pub mbufs: Mbufs,
    /// Whether the host's kernel has an interface of the port's name.
    pub kernel: bool,
    pub vlans: Vec<VlanConfig>,
}

/// A VLAN of a port: the frames with its tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VlanConfig {
    /// 1 to 4094, once on its port.
    pub id: u16,
    /// Unique among ports and VLANs.
    pub name: String,
    pub addresses: Vec<InterfaceAddress>,
    /// At most the port's.
    pub mtu: u16,
    pub kernel: bool,
}

/// An interface of the director: a port without tags, or a VLAN of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterfaceConfig<'a> {
    pub name: &'a str,
    /// Index into [`Config::ports`].
    pub port: usize,
    pub vlan: Option<u16>,
    pub addresses: &'a [InterfaceAddress],
    pub mtu: u16,
    pub kernel: bool,
}

impl Config {
    /// All interfaces in the order of their numbers: first the ports, then all VLANs.
    pub fn interfaces(&self) -> impl Iterator<Item = InterfaceConfig<'_>> {
        let ports = self.ports.iter().enumerate().map(|(port, settings)| InterfaceConfig {
            name: &settings.name,
            port,
            vlan: None,
            addresses: &settings.addresses,
            mtu: settings.mtu,
            kernel: settings.kernel,
        });
        let vlans = self.ports.iter().enumerate().flat_map(|(port, settings)| {
            settings.vlans.iter().map(move |vlan| InterfaceConfig {
                name: &vlan.name,
                port,
                vlan: Some(vlan.id),
                addresses: &vlan.addresses,
                mtu: vlan.mtu,
                kernel: vlan.kernel,
            })
        });
        ports.chain(vlans)
    }
}

/// Packet buffers of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mbufs {
    /// As many as the port can need; see [`PortConfig::mbufs_for`].
    Auto,
    Count(u32),
}

impl PortConfig {
    /// Packet buffers for this port with that many queues in each direction: the configured
    /// number, or enough that full rings, a burst in hand and an lcore's mempool cache (512, the
    /// most that DPDK allows) can all be out at once for every queue. One less than a power of
    /// two, which wastes the least of the ring behind a mempool.
    pub fn mbufs_for(&self, queues: u16) -> u32 {
        const CACHE: u32 = 512;
        const BURST: u32 = 64;
        match self.mbufs {
            Mbufs::Count(count) => count,
            Mbufs::Auto => {
                let rings = u32::from(self.rx_descriptors) + u32::from(self.tx_descriptors);
                let needed = u32::from(queues).saturating_mul(rings + CACHE + BURST);
                needed
                    .checked_add(1)
                    .and_then(u32::checked_next_power_of_two)
                    .map_or(needed, |n| n - 1)
            }
        }
    }
}

/// An address of a port and the length of its subnet's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InterfaceAddress {
    pub address: IpAddr,
    pub prefix: u8,
}

impl InterfaceAddress {
    /// The subnet that the port reaches directly through this address.
    pub fn subnet(self) -> Subnet {
        Subnet::of(self.address, self.prefix)
    }
}

impl fmt::Display for InterfaceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// A block of addresses; the bits of `network` behind the prefix are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subnet {
    pub network: IpAddr,
    pub prefix: u8,
}

impl Subnet {
    /// The subnet with that prefix length that holds `address`. A prefix beyond the address's
    /// length is its length.
    pub fn of(address: IpAddr, prefix: u8) -> Self {
        match address {
            IpAddr::V4(v4) => {
                let prefix = prefix.min(32);
                let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
                Self { network: IpAddr::V4((u32::from(v4) & mask).into()), prefix }
            }
            IpAddr::V6(v6) => {
                let prefix = prefix.min(128);
                let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
                Self { network: IpAddr::V6((u128::from(v6) & mask).into()), prefix }
            }
        }
    }

    /// Whether the address is in the subnet.
    pub fn contains(self, address: IpAddr) -> bool {
        address.is_ipv4() == self.network.is_ipv4() && Self::of(address, self.prefix) == self
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

/// A way to addresses that no port reaches directly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    pub to: Subnet,
    /// The gateway, on a subnet of the interface or link-local.
    pub via: IpAddr,
    /// Index into [`Config::interfaces`].
    pub interface: usize,
}

/// A neighbour that is never asked for its MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaticNeighbour {
    /// Index into [`Config::interfaces`].
    pub interface: usize,
    pub address: IpAddr,
    pub mac: MacAddress,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnets_hold_their_addresses() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let lan = Subnet::of(address("10.0.10.61"), 24);
        assert_eq!(lan.network, address("10.0.10.0"));
        assert!(lan.contains(address("10.0.10.255")));
        assert!(!lan.contains(address("10.0.11.0")));
        assert!(!lan.contains(address("::ffff:10.0.10.1")));
        let all = Subnet::of(address("10.0.10.61"), 0);
        assert!(all.contains(address("255.255.255.255")));
        let v6 = Subnet::of(address("2001:db8::1"), 64);
        assert!(v6.contains(address("2001:db8::ffff:1")));
        assert!(!v6.contains(address("2001:db8:0:1::1")));
        assert!(Subnet::of(address("::1"), 0).contains(address("ff::")));
    }

    #[test]
    fn mbufs_cover_every_queue() {
        let port = PortConfig {
            name: "lan0".to_owned(),
            device: Device::of_eal("net_tap0".to_owned()),
            addresses: Vec::new(),
            mtu: 1500,
            rx_descriptors: 1024,
            tx_descriptors: 1024,
            mac: None,
            mbufs: Mbufs::Auto,
            kernel: false,
            vlans: Vec::new(),
        };
        assert_eq!(port.mbufs_for(1), 4095);
        assert_eq!(port.mbufs_for(2), 8191);
        assert!(port.mbufs_for(u16::MAX) >= u32::from(u16::MAX) * 2624);
        assert_eq!(PortConfig { mbufs: Mbufs::Count(777), ..port }.mbufs_for(2), 777);
    }
}
