//! What the packet path knows of a port, or of a VLAN on one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::wire::MacAddress;

/// Number of an interface: its place in the configuration, and in the snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InterfaceId(pub u8);

/// An address of the director on an interface, with the length of its subnet's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterfaceAddress {
    pub address: IpAddr,
    pub prefix: u8,
}

impl InterfaceAddress {
    /// Whether `address` lies in the subnet.
    pub const fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let mask = mask_128(self.prefix, 32);
                ((own.to_bits() ^ other.to_bits()) as u128) & mask == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()) & mask_128(self.prefix, 128) == 0
            }
            _ => false,
        }
    }

    /// The address of the subnet itself.
    pub const fn network(&self) -> IpAddr {
        match self.address {
            IpAddr::V4(own) => {
                let host_bits = 32_u32.saturating_sub(self.prefix as u32);
                let mask = match u32::MAX.checked_shl(host_bits) {
                    Some(mask) => mask,
                    None => 0,
                };
                IpAddr::V4(Ipv4Addr::from_bits(own.to_bits() & mask))
            }
            IpAddr::V6(own) => {
                IpAddr::V6(Ipv6Addr::from_bits(own.to_bits() & mask_128(self.prefix, 128)))
            }
        }
    }

    /// The broadcast address of the subnet; none for /31 and /32 (RFC 3021), nor in IPv6.
    pub const fn broadcast(&self) -> Option<Ipv4Addr> {
        match self.address {
            IpAddr::V4(own) if self.prefix < 31 => {
                Some(Ipv4Addr::from_bits(own.to_bits() | u32::MAX >> self.prefix))
            }
            _ => None,
        }
    }
}

/// The bits of a number of `width` bits that a prefix covers.
const fn mask_128(prefix: u8, width: u8) -> u128 {
    if prefix == 0 {
        return 0;
    }
    let covered = if prefix > width { width } else { prefix };
    let all = if width == 128 { u128::MAX } else { (1 << width) - 1 };
    all & (u128::MAX << (width - covered))
}

/// An interface of the director: a port, or one VLAN of a port.
#[derive(Clone, Debug)]
pub struct Interface {
    pub name: String,
    /// The interface of the port's untagged frames: itself, if it is that.
    pub port: InterfaceId,
    /// Frames of this interface have this 802.1Q tag (1..=4094); `None` are untagged ones.
    pub vlan: Option<u16>,
    pub mac: MacAddress,
    /// Largest IP packet in bytes.
    pub mtu: u16,
    pub addresses: Vec<InterfaceAddress>,
    /// Whether the host's kernel has an interface for what is addressed to the director and no
    /// service takes.
    pub has_kernel: bool,
}

impl Interface {
    /// An untagged interface, number `id`, without addresses and without the kernel.
    pub fn new(name: &str, id: InterfaceId, mac: MacAddress, mtu: u16) -> Self {
        Self {
            name: name.to_owned(),
            port: id,
            vlan: None,
            mac,
            mtu,
            addresses: Vec::new(),
            has_kernel: false,
        }
    }

    /// The same with one more address.
    #[must_use]
    pub fn with_address(mut self, address: impl Into<IpAddr>, prefix: u8) -> Self {
        self.addresses.push(InterfaceAddress { address: address.into(), prefix });
        self
    }

    /// Its link-local IPv6 address, made of its MAC address (RFC 4291 appendix A): what routers
    /// and neighbours know it by.
    pub const fn link_local(&self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.mac.0;
        Ipv6Addr::new(
            0xfe80,
            0,
            0,
            0,
            u16::from_be_bytes([a ^ 2, b]),
            u16::from_be_bytes([c, 0xff]),
            u16::from_be_bytes([0xfe, d]),
            u16::from_be_bytes([e, f]),
        )
    }

    /// The address of ours that speaks to `target` on this link: one of its subnet, else one of
    /// its family, else (IPv6) the link-local one.
    pub fn source_for(&self, target: IpAddr) -> Option<IpAddr> {
        let family = self.addresses.iter().filter(|own| own.address.is_ipv4() == target.is_ipv4());
        let within = family.clone().find(|own| own.contains(target));
        within
            .or_else(|| family.clone().next())
            .map(|own| own.address)
            .or_else(|| target.is_ipv6().then(|| IpAddr::V6(self.link_local())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnets_and_broadcasts() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let lan = InterfaceAddress { address: address("10.0.10.61"), prefix: 24 };
        assert!(lan.contains(address("10.0.10.255")));
        assert!(!lan.contains(address("10.0.11.1")));
        assert!(!lan.contains(address("::ffff:10.0.10.1")));
        assert_eq!(lan.broadcast(), Some(Ipv4Addr::new(10, 0, 10, 255)));
        assert_eq!(lan.network(), address("10.0.10.0"));
        let six = InterfaceAddress { address: address("fd00:1:2:3:4::5"), prefix: 64 };
        assert_eq!(six.network(), address("fd00:1:2:3::"));
        let none = InterfaceAddress { address: address("10.0.0.1"), prefix: 0 };
        assert_eq!(none.network(), address("0.0.0.0"));
        let all = InterfaceAddress { address: address("10.0.0.1"), prefix: 0 };
        assert!(all.contains(address("192.0.2.1")));
        let host = InterfaceAddress { address: address("10.0.0.1"), prefix: 32 };
        assert!(!host.contains(address("10.0.0.2")));
        assert_eq!(host.broadcast(), None);
        let v6 = InterfaceAddress { address: address("fd00:1::1"), prefix: 64 };
        assert!(v6.contains(address("fd00:1::ffff:2")) && !v6.contains(address("fd00:2::1")));
        assert_eq!(v6.broadcast(), None);
        assert!(InterfaceAddress { address: address("::1"), prefix: 0 }.contains(address("ff::")));
    }

    #[test]
    fn a_link_local_address_is_made_of_the_mac() {
        let mac = MacAddress([0x02, 0x00, 0x5e, 0x10, 0x00, 0x61]);
        let lan = Interface::new("lan0", InterfaceId(0), mac, 1500);
        assert_eq!(lan.link_local().to_string(), "fe80::5eff:fe10:61");
    }

    #[test]
    fn the_source_is_of_the_targets_subnet_and_family() {
        let mac = MacAddress([2, 0, 0, 0, 0, 1]);
        let lan = Interface::new("lan0", InterfaceId(0), mac, 1500)
            .with_address([10, 0, 1, 1], 24)
            .with_address([10, 0, 2, 1], 24);
        let source = |target: &str| lan.source_for(target.parse().unwrap()).map(|a| a.to_string());
        assert_eq!(source("10.0.2.9").as_deref(), Some("10.0.2.1"));
        assert_eq!(source("192.0.2.9").as_deref(), Some("10.0.1.1"));
        assert_eq!(source("fd00::1").as_deref(), Some("fe80::ff:fe00:1"));
    }
}
