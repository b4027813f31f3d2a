//! What the workers see of the configuration: an immutable picture, replaced as a whole.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::address::Address;
use crate::hash::FlowHasher;
use crate::interface::{Interface, InterfaceAddress, InterfaceId};
use crate::marks::Marks;
use crate::parse::Packet;
use crate::protocol::Protocol;
use crate::punt::PuntRules;
use crate::services::{NatServers, Services};
use crate::settings::Settings;
use crate::state::Timeouts;
use crate::virtual_service::VirtualService;
use crate::wire::tcp::Flags;

/// What a picture is made of.
#[derive(Debug)]
pub struct Contents<S, L> {
    pub services: S,
    /// Those of the services, where another picture has them already.
    pub nat_servers: Option<NatServers>,
    /// Addresses that the director answers for.
    pub local: L,
    pub interfaces: Arc<[Interface]>,
    pub timeouts: Timeouts,
    pub settings: Settings,
    pub punt_rules: PuntRules,
    pub marks: Arc<Marks>,
    /// Packets for others are to be told from packets for the director before they are looked up:
    /// they may be of NAT connections, or for an address that the director has no more.
    pub tells_apart: bool,
    /// A real server is, or was, the director itself: what the host sends may be its reply.
    pub has_local_servers: bool,
}

/// The picture. Built by the control thread, read by workers for the length of a burst.
#[derive(Debug)]
pub struct Snapshot {
    pub services: Services,
    local: HashSet<u128, FlowHasher>,
    local_sieve: Sieve,
    /// Interfaces of tagged frames, by port and VLAN.
    vlans: HashMap<u32, InterfaceId, FlowHasher>,
    pub interfaces: Arc<[Interface]>,
    pub timeouts: Timeouts,
    pub settings: Settings,
    pub punt_rules: PuntRules,
    pub marks: Arc<Marks>,
    pub tells_apart: bool,
    pub has_local_servers: bool,
}

impl Snapshot {
    /// A picture of these services and addresses.
    pub fn new<S, L>(hasher: FlowHasher, contents: Contents<S, L>) -> Self
    where
        S: Iterator<Item = Arc<VirtualService>>,
        L: Iterator<Item = Address>,
    {
        let Contents {
            services,
            nat_servers,
            local,
            interfaces,
            timeouts,
            settings,
            punt_rules,
            marks,
            tells_apart,
            has_local_servers,
        } = contents;
        let mut addresses = HashSet::with_hasher(hasher);
        addresses.extend(local.map(Address::bits));
        let mut local_sieve = Sieve::default();
        addresses.iter().for_each(|&bits| local_sieve.insert(Address::from_bits(bits)));
        let mut vlans = HashMap::with_hasher(hasher);
        vlans.extend(interfaces.iter().zip((0..=u8::MAX).map(InterfaceId)).filter_map(
            |(interface, id)| interface.vlan.map(|vlan| (vlan_key(interface.port, vlan), id)),
        ));
        Self {
            services: Services::new(hasher, services, nat_servers),
            local: addresses,
            local_sieve,
            vlans,
            interfaces,
            timeouts,
            settings,
            punt_rules,
            marks,
            tells_apart,
            has_local_servers,
        }
    }

    /// A picture of these interfaces and of nothing else, for tests.
    #[cfg(test)]
    pub(crate) fn of_interfaces(interfaces: impl IntoIterator<Item = Interface>) -> Self {
        let contents = Contents {
            services: std::iter::empty(),
            nat_servers: None,
            local: std::iter::empty(),
            interfaces: interfaces.into_iter().collect(),
            timeouts: Timeouts::default(),
            settings: Settings::default(),
            punt_rules: PuntRules::default(),
            marks: Arc::default(),
            tells_apart: false,
            has_local_servers: false,
        };
        Self::new(FlowHasher::new([1, 2, 3]), contents)
    }

    /// Whether a packet's mark makes it the director's own, although it is for another host.
    pub fn intercepts(&self, packet: &Packet) -> bool {
        self.marks.intercepts()
            && !self.is_local(packet.destination)
            && self.marks.is_intercepted(self.mark(packet))
    }

    /// Whether the director answers for an address.
    pub fn is_local(&self, address: Address) -> bool {
        self.may_be_local(address) && self.local.contains(&address.bits())
    }

    /// Whether the director may answer for an address; "no" is certain, and costs one line that
    /// is hot.
    #[inline]
    pub fn may_be_local(&self, address: Address) -> bool {
        self.local_sieve.may_contain(address)
    }

    /// Whether a packet is for the host's kernel whatever services there are.
    #[cold]
    pub fn punts(&self, packet: &Packet) -> bool {
        self.is_local(packet.destination)
            && self.interface(packet.interface).has_kernel
            && self.punt_rules.take(packet.protocol, [packet.source_port, packet.destination_port])
    }

    /// The mark that the rules give to a packet; 0 is none.
    #[inline]
    pub fn mark(&self, packet: &Packet) -> u32 {
        self.marks.mark(packet)
    }

    /// Whether a packet claims to come from the director itself. IPv4 refuses that
    /// (`fib_validate_source`), IPv6 has no such rule: replies of DR servers pass.
    pub fn is_martian(&self, packet: &Packet) -> bool {
        packet.is_v4() && self.is_local(packet.source)
    }

    /// Whether a packet may not leave its link: for all hosts of a subnet of ours, or from or to a
    /// link-local address (RFC 4291 section 2.5.6).
    pub fn is_confined(&self, packet: &Packet) -> bool {
        let is_link_local = |address: Address| address.bits() >> 118 == 0xfe80 >> 6;
        if !packet.is_v4() {
            return is_link_local(packet.source) || is_link_local(packet.destination);
        }
        let to = packet.destination.to_v4();
        let subnets = self.interfaces.iter().flat_map(|interface| &interface.addresses);
        subnets.filter_map(InterfaceAddress::broadcast).any(|all| Some(all) == to)
    }

    /// Whether a packet comes from a real server of NAT, by address and port
    /// (`ip_vs_has_real_service`), and is none that ends a connection.
    #[cold]
    pub fn is_nat_stray(&self, packet: &Packet) -> bool {
        if packet.protocol == Protocol::Tcp.number() && packet.tcp_flags.contains(Flags::RST) {
            return false;
        }
        self.services.has_nat_server(packet.protocol, packet.source, packet.source_port)
    }

    /// All addresses that the director answers for.
    pub fn local_addresses(&self) -> impl Iterator<Item = Address> {
        self.local.iter().copied().map(Address::from_bits)
    }

    /// An interface.
    #[inline]
    pub fn interface(&self, id: InterfaceId) -> &Interface {
        &self.interfaces[usize::from(id.0)]
    }

    /// The interface of a port's frames with this tag.
    pub fn vlan(&self, port: InterfaceId, vlan: u16) -> Option<InterfaceId> {
        self.vlans.get(&vlan_key(port, vlan)).copied()
    }
}

const fn vlan_key(port: InterfaceId, vlan: u16) -> u32 {
    (port.0 as u32) << 16 | vlan as u32
}

/// A set of addresses that knows for certain only who is not in it: 4,096 bits, one for each
/// address. With a hundred addresses one in forty strangers is taken for a member.
#[derive(Debug)]
struct Sieve([u64; 64]);

impl Default for Sieve {
    fn default() -> Self {
        Self([0; 64])
    }
}

impl Sieve {
    #[inline]
    const fn place(address: Address) -> (usize, u64) {
        let [high, low] = address.halves();
        let bit = (low ^ high.rotate_left(29)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52;
        (bit as usize >> 6, 1 << (bit & 63))
    }

    fn insert(&mut self, address: Address) {
        let (word, bit) = Self::place(address);
        self.0[word] |= bit;
    }

    #[inline]
    fn may_contain(&self, address: Address) -> bool {
        let (word, bit) = Self::place(address);
        self.0[word] & bit != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sieve_lets_few_strangers_through_and_holds_no_member_back() {
        let mut sieve = Sieve::default();
        let member = |n: u32| Address::v4(0x0a00_0064 + n * 256);
        (0..100).for_each(|n| sieve.insert(member(n)));
        assert!((0..100).all(|n| sieve.may_contain(member(n))));
        let strangers = (0..10_000).filter(|n| sieve.may_contain(Address::v4(0xc000_0000 + n)));
        assert!(strangers.count() < 1000);
    }
}
