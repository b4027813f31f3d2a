//! What the packet path knows of a port.

use std::net::Ipv4Addr;

use crate::wire::MacAddress;

/// Number of an interface: its place in the configuration, and in the snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InterfaceId(pub u8);

/// An address of the director on an interface, with the length of its subnet's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterfaceAddress {
    pub address: Ipv4Addr,
    pub prefix: u8,
}

impl InterfaceAddress {
    /// Whether `address` lies in the subnet.
    pub const fn contains(&self, address: Ipv4Addr) -> bool {
        let mask = if self.prefix == 0 { 0 } else { u32::MAX << (32 - self.prefix) };
        (address.to_bits() ^ self.address.to_bits()) & mask == 0
    }

    /// The broadcast address of the subnet; none for /31 and /32 (RFC 3021).
    pub const fn broadcast(&self) -> Option<Ipv4Addr> {
        if self.prefix >= 31 {
            None
        } else {
            Some(Ipv4Addr::from_bits(self.address.to_bits() | u32::MAX >> self.prefix))
        }
    }
}

/// An interface of the director.
#[derive(Clone, Debug)]
pub struct Interface {
    pub name: String,
    pub mac: MacAddress,
    /// Largest IP packet in bytes.
    pub mtu: u16,
    pub addresses: Vec<InterfaceAddress>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnets_and_broadcasts() {
        let lan = InterfaceAddress { address: Ipv4Addr::new(10, 0, 10, 61), prefix: 24 };
        assert!(lan.contains(Ipv4Addr::new(10, 0, 10, 255)));
        assert!(!lan.contains(Ipv4Addr::new(10, 0, 11, 1)));
        assert_eq!(lan.broadcast(), Some(Ipv4Addr::new(10, 0, 10, 255)));
        let all = InterfaceAddress { address: Ipv4Addr::new(10, 0, 0, 1), prefix: 0 };
        assert!(all.contains(Ipv4Addr::new(192, 0, 2, 1)));
        let host = InterfaceAddress { address: Ipv4Addr::new(10, 0, 0, 1), prefix: 32 };
        assert!(!host.contains(Ipv4Addr::new(10, 0, 0, 2)));
        assert_eq!(host.broadcast(), None);
    }
}
