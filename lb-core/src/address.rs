//! An IP address of either family as one number, so that the packet path compares and hashes
//! without asking which family it is.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address. IPv4 addresses are held as IPv4-mapped ones (RFC 4291 section 2.5.5.2), which never
/// come from the wire: the parser refuses them in IPv6 headers, as the kernel does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address(u128);

/// The upper 96 bits of an IPv4-mapped address.
const MAPPED: u128 = 0xffff << 32;

impl Address {
    /// `::`, which is no host of either family.
    pub const UNSPECIFIED: Self = Self(0);

    /// An IPv4 address by its number in host order.
    #[inline]
    pub const fn v4(bits: u32) -> Self {
        Self(MAPPED | bits as u128)
    }

    /// Whether it is an IPv4 address.
    #[inline]
    pub const fn is_v4(self) -> bool {
        self.0 >> 32 == MAPPED >> 32
    }

    /// The number of an IPv4 address in host order; of an IPv6 address its last 32 bits.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the low half is what is asked for")]
    pub const fn low_32(self) -> u32 {
        self.0 as u32
    }

    /// The number as it is.
    #[inline]
    pub const fn bits(self) -> u128 {
        self.0
    }

    /// The address that has this number.
    #[inline]
    pub const fn from_bits(bits: u128) -> Self {
        Self(bits)
    }

    /// High and low half, for words of 64 bits.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    pub const fn halves(self) -> [u64; 2] {
        [(self.0 >> 64) as u64, self.0 as u64]
    }

    /// The address of [`Address::halves`].
    #[inline]
    pub const fn from_halves([high, low]: [u64; 2]) -> Self {
        Self((high as u128) << 64 | low as u128)
    }

    /// The address as the standard library has it.
    pub const fn to_ip(self) -> IpAddr {
        if self.is_v4() {
            IpAddr::V4(Ipv4Addr::from_bits(self.low_32()))
        } else {
            IpAddr::V6(Ipv6Addr::from_bits(self.0))
        }
    }

    /// The IPv4 address, if it is one.
    #[inline]
    pub const fn to_v4(self) -> Option<Ipv4Addr> {
        if self.is_v4() { Some(Ipv4Addr::from_bits(self.low_32())) } else { None }
    }
}

impl From<Ipv4Addr> for Address {
    #[inline]
    fn from(address: Ipv4Addr) -> Self {
        Self::v4(address.to_bits())
    }
}

impl From<Ipv6Addr> for Address {
    #[inline]
    fn from(address: Ipv6Addr) -> Self {
        Self(address.to_bits())
    }
}

impl From<IpAddr> for Address {
    #[inline]
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => v4.into(),
            IpAddr::V6(v6) => v6.into(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_ip().fmt(f)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_their_number() {
        for text in ["10.0.0.100", "255.255.255.255", "0.0.0.0", "fd00::100", "::", "::1"] {
            let ip: IpAddr = text.parse().unwrap();
            let address = Address::from(ip);
            assert_eq!(address.to_ip(), ip);
            assert_eq!(address.is_v4(), ip.is_ipv4());
            assert_eq!(Address::from_halves(address.halves()), address);
            assert_eq!(address.to_string(), text);
        }
        assert_eq!(Address::v4(0x0a00_0064).to_v4(), Some(Ipv4Addr::new(10, 0, 0, 100)));
    }
}
