//! Fragments, forwarded without reassembly.
//!
//! Only the first fragment of a datagram has the transport header. It goes through the packet path
//! like a whole packet, and what was decided for it is remembered in the [`Tracker`], which all
//! workers share, as fragments of one datagram may come to different workers. Later fragments
//! follow that decision; those that come before it wait in the worker that has them ([`Early`]).
//!
//! The kernel reassembles before IPVS looks at a packet, and sends fragments of the same sizes.
//! What it would have refused to put together is refused here by the same rules (`ip_frag_queue`,
//! `inet_frag_queue_insert`; RFC 5722): the tracker remembers which bytes have been seen, and bytes
//! that are claimed twice spoil the datagram, or one fragment could rewrite the ports that another
//! was judged by. What differs: fragments leave in the order in which they came, and those that
//! came before their datagram was spoilt, or that miss one which never comes, have left.

mod early;
mod path;
mod received;
mod tracker;

use std::net::{Ipv4Addr, Ipv6Addr};

pub use early::Early;
pub use tracker::Tracker;

use crate::clock::Tick;
use crate::drops::DropReason;
use crate::hash::FlowHasher;
use crate::interface::InterfaceId;

/// Seconds for all fragments of an IPv4 datagram to arrive, from whichever is first (the kernel's
/// `ipfrag_time`).
const IPV4_PATIENCE_S: u32 = 30;
/// The same for IPv6 (RFC 8200 section 4.5, the kernel's `ip6frag_time`).
const IPV6_PATIENCE_S: u32 = 60;

/// Where the payload of an IPv4 datagram ends at the latest: what the total length can say, less
/// the shortest header.
const IPV4_END_MAX: u32 = 65_535 - 20;
/// The same for IPv6, whose payload length leaves the header out.
const IPV6_END_MAX: u32 = 65_535;

/// What fragments of one datagram have in common (RFC 791 section 3.2, RFC 8200 section 4.5; as in
/// the kernel, the interface that they came in by is a part of it).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DatagramKey {
    /// An IPv4 address as an IPv4-mapped IPv6 one.
    pub source: u128,
    pub destination: u128,
    pub identification: u32,
    /// 0 for IPv6, where fragments of one datagram may differ in it.
    pub protocol: u8,
    pub interface: InterfaceId,
}

impl DatagramKey {
    /// The key of an IPv4 datagram.
    pub const fn ipv4(
        (source, destination): (Ipv4Addr, Ipv4Addr),
        identification: u16,
        protocol: u8,
        interface: InterfaceId,
    ) -> Self {
        Self {
            source: source.to_ipv6_mapped().to_bits(),
            destination: destination.to_ipv6_mapped().to_bits(),
            identification: identification as u32,
            protocol,
            interface,
        }
    }

    /// The key of an IPv6 datagram.
    pub const fn ipv6(
        (source, destination): (Ipv6Addr, Ipv6Addr),
        identification: u32,
        interface: InterfaceId,
    ) -> Self {
        Self {
            source: source.to_bits(),
            destination: destination.to_bits(),
            identification,
            protocol: 0,
            interface,
        }
    }

    const fn is_ipv4(&self) -> bool {
        self.destination >> 32 == 0xffff
    }

    const fn patience_s(&self) -> u32 {
        if self.is_ipv4() { IPV4_PATIENCE_S } else { IPV6_PATIENCE_S }
    }

    const fn end_max(&self) -> u32 {
        if self.is_ipv4() { IPV4_END_MAX } else { IPV6_END_MAX }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the two halves of an address")]
    fn hash(&self, hasher: &FlowHasher) -> u64 {
        let rest = u64::from(self.identification)
            | u64::from(self.protocol) << 32
            | u64::from(self.interface.0) << 40;
        hasher.words(&[
            self.source as u64,
            (self.source >> 64) as u64,
            self.destination as u64,
            (self.destination >> 64) as u64,
            rest,
        ])
    }
}

/// What is to be done with a later fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Later<D> {
    /// The same as with the first one.
    Follow(D),
    /// The first one has not come: to be kept in [`Early`], which asks again.
    Early {
        /// When the datagram is given up.
        until: Tick,
    },
    /// To be dropped.
    Refused(FragmentError),
}

/// Why a fragment is not forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum FragmentError {
    /// Empty, not the last and not a multiple of 8 bytes, beyond what a datagram can have, or a
    /// first fragment that does not begin it, or a later one that does.
    #[error("impossible length or offset")]
    Malformed,
    /// Claims a part of the bytes of others, or another end of the datagram; or the datagram is
    /// spoilt by such a fragment.
    #[error("contradicts other fragments of its datagram")]
    Overlap,
    /// Lies wholly in bytes that were seen before.
    #[error("seen before")]
    Duplicate,
    /// The datagram has too many fragments, or too many gaps.
    #[error("too many pieces")]
    Scattered,
    /// No room for one more datagram.
    #[error("too many datagrams at a time")]
    Flood,
    /// The first fragment did not come in time.
    #[error("first fragment missing")]
    Orphan,
}

impl FragmentError {
    /// The reason to count it under.
    pub const fn reason(self) -> DropReason {
        match self {
            Self::Malformed => DropReason::FragmentMalformed,
            Self::Overlap => DropReason::FragmentOverlap,
            Self::Duplicate => DropReason::FragmentDuplicate,
            Self::Scattered => DropReason::FragmentScattered,
            Self::Flood => DropReason::FragmentFlood,
            Self::Orphan => DropReason::FragmentOrphan,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_kinds_of_addresses_have_their_own_limits() {
        let v4 = DatagramKey::ipv4(
            (Ipv4Addr::new(10, 0, 1, 2), Ipv4Addr::new(10, 0, 0, 100)),
            1,
            17,
            InterfaceId(0),
        );
        let v6 = DatagramKey::ipv6((Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST), 1, InterfaceId(0));
        assert_eq!((v4.patience_s(), v4.end_max()), (30, 65_515));
        assert_eq!((v6.patience_s(), v6.end_max()), (60, 65_535));
    }

    #[test]
    fn every_part_of_a_key_is_hashed() {
        let hasher = FlowHasher::new([1, 2, 3]);
        let key = DatagramKey {
            source: 0,
            destination: 0,
            identification: 0,
            protocol: 0,
            interface: InterfaceId(0),
        };
        let others = [
            key,
            DatagramKey { source: 1, ..key },
            DatagramKey { source: 1 << 64, ..key },
            DatagramKey { destination: 1, ..key },
            DatagramKey { destination: 1 << 64, ..key },
            DatagramKey { identification: 1, ..key },
            DatagramKey { protocol: 1, ..key },
            DatagramKey { interface: InterfaceId(1), ..key },
        ];
        let hashes: std::collections::HashSet<u64> =
            others.iter().map(|key| key.hash(&hasher)).collect();
        assert_eq!(hashes.len(), others.len());
    }
}
