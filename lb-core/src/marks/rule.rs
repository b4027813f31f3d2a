//! A rule: what it asks of a packet, and what it does to the packet's mark.

use std::net::IpAddr;

use super::ports::{self, PortMatch};
use crate::address::Address;
use crate::interface::InterfaceId;
use crate::parse::Packet;
use crate::service::Family;

/// Longest name of an interface in bytes (`IFNAMSIZ` less its final zero).
pub const INTERFACE_LEN_MAX: usize = 15;

/// One line of the chain. What is `None` or empty holds for every packet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rule {
    pub source: Option<AddressMatch>,
    pub destination: Option<AddressMatch>,
    pub interface: Option<InterfaceMatch>,
    pub protocol: Option<ProtocolMatch>,
    /// In the order in which they were written; all have to hold.
    pub matches: Vec<Match>,
    /// A rule without a target changes nothing.
    pub target: Option<Target>,
}

/// `-s`, `-d`: addresses that are equal to one in the bits of a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddressMatch {
    /// The address; bits outside of the mask are 0.
    pub bits: u128,
    /// Any bits, as iptables takes them; of IPv4 the upper 96 are set.
    pub mask: u128,
    pub negated: bool,
}

impl AddressMatch {
    /// The bits above an IPv4 mask.
    pub(super) const UPPER_96: u128 = u128::MAX << 32;

    /// Addresses that are equal to this one where the mask of its family has bits.
    pub fn new(address: IpAddr, mask: u128, negated: bool) -> Self {
        let mask = if address.is_ipv4() { mask | Self::UPPER_96 } else { mask };
        Self { bits: Address::from(address).bits() & mask, mask, negated }
    }

    /// The address, with 0 outside of the mask.
    pub const fn address(&self) -> IpAddr {
        Address::from_bits(self.bits).to_ip()
    }

    /// The length of the prefix, if the mask is one.
    pub const fn prefix(&self, family: Family) -> Option<u32> {
        let ones = self.mask.leading_ones();
        if self.mask << (ones % 128) != 0 && ones != 128 {
            return None;
        }
        match family {
            Family::V4 => ones.checked_sub(96),
            Family::V6 => Some(ones),
        }
    }

    fn holds(&self, address: Address) -> bool {
        (address.bits() & self.mask == self.bits) != self.negated
    }
}

/// `-i`: an interface, or with a final `+` all whose names begin so.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InterfaceMatch {
    pub pattern: String,
    pub negated: bool,
}

impl InterfaceMatch {
    /// Whether the pattern, negated or not, is this name.
    pub fn names(&self, name: &str) -> bool {
        match self.pattern.strip_suffix('+') {
            Some(beginning) => name.starts_with(beginning),
            None => name == self.pattern,
        }
    }

    /// Whether a packet by an interface of this name is meant.
    pub fn holds(&self, name: &str) -> bool {
        self.names(name) != self.negated
    }
}

/// `-p`: an IP protocol number other than 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProtocolMatch {
    pub number: u8,
    pub negated: bool,
}

/// `-m`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Match {
    Ports(PortMatch),
    /// `-m mark`: the mark that earlier rules made.
    Mark {
        value: u32,
        mask: u32,
        negated: bool,
    },
    /// `-m comment`: holds always.
    Comment(String),
}

impl Match {
    fn holds(&self, ports: Option<(u16, u16)>, mark: u32) -> bool {
        match self {
            Self::Ports(match_) => ports.is_some_and(|ports| match_.holds(ports)),
            Self::Mark { value, mask, negated } => (mark & mask == *value) != *negated,
            Self::Comment(_) => true,
        }
    }
}

/// `-j`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    Mark(Change),
    /// The end of the walk; so is `Return`, as there is no chain to return to.
    Accept,
    Return,
}

/// What `-j MARK` does, in the form that all of its options have: `--set-xmark VALUE/MASK`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Change {
    pub value: u32,
    pub mask: u32,
}

impl Change {
    /// The mark after it (`mark_tg` of the kernel's `xt_mark`).
    #[inline]
    pub const fn apply(self, mark: u32) -> u32 {
        mark & !self.mask ^ self.value
    }
}

impl Rule {
    /// Whether it holds for a packet that has this mark so far, wherever that came in: the
    /// interface is another question ([`InterfaceMatch::holds`]).
    pub fn holds(&self, packet: &Packet, mark: u32) -> bool {
        let ports = ports::of(packet);
        self.source.as_ref().is_none_or(|source| source.holds(packet.source))
            && self.destination.as_ref().is_none_or(|to| to.holds(packet.destination))
            && self.protocol.is_none_or(|p| (packet.protocol == p.number) != p.negated)
            && self.matches.iter().all(|match_| match_.holds(ports, mark))
    }
}

/// A set of interfaces, by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Interfaces([u64; 4]);

impl Interfaces {
    pub(super) const fn insert(&mut self, id: InterfaceId) {
        self.0[id.0 as usize >> 6] |= 1 << (id.0 & 63);
    }

    #[inline]
    pub(super) const fn contains(&self, id: InterfaceId) -> bool {
        self.0[id.0 as usize >> 6] >> (id.0 & 63) & 1 != 0
    }
}
