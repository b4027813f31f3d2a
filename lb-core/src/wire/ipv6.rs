//! IPv6 (RFC 8200). What may follow the fixed header is followed in [`super::extension`].
//!
//! ```text
//! 0                                 4                6             7           8        24
//! | 6:4 traffic class:8 flow:20     | payload length | next header | hop limit | source | ...
//! 24            40
//! | destination | extension headers, upper-layer header ...
//! ```

use std::borrow::{Borrow, BorrowMut};
use std::net::Ipv6Addr;

use super::Malformed;
use super::field::{be16, be32, put, sixteen};

mod field {
    pub(super) const VERSION_CLASS_FLOW: usize = 0;
    pub(super) const PAYLOAD_LENGTH: usize = 4;
    pub(super) const NEXT_HEADER: usize = 6;
    pub(super) const HOP_LIMIT: usize = 7;
    pub(super) const SOURCE: usize = 8;
    pub(super) const DESTINATION: usize = 24;
}

/// Length of the fixed header.
pub const HEADER_LEN: usize = 40;

/// Where the first "next header" stands, from the start of the header.
pub const NEXT_HEADER_AT: usize = field::NEXT_HEADER;

/// Least MTU of a link: what every path carries whole (RFC 8200 section 5).
pub const MTU_MIN: usize = 1280;

/// Numbers of the "next header" field (the registry of IP protocol numbers).
pub mod protocol {
    pub use crate::wire::ipv4::protocol::{GRE, IPIP, SCTP, TCP, UDP};

    pub const HOP_BY_HOP: u8 = 0;
    /// A whole IPv6 packet.
    pub const IPV6: u8 = 41;
    pub const ROUTING: u8 = 43;
    pub const FRAGMENT: u8 = 44;
    pub const ESP: u8 = 50;
    pub const AH: u8 = 51;
    pub const ICMPV6: u8 = 58;
    /// Nothing follows.
    pub const NO_NEXT: u8 = 59;
    pub const DESTINATION_OPTIONS: u8 = 60;
}

const FLOW_LABEL: u32 = 0x000f_ffff;

/// A checked packet: the payload length fits the bytes that are there.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    pub header: Header<&'a [u8; HEADER_LEN]>,
    /// Extension headers and what follows them, as long as the payload length says; padding of
    /// the frame is cut off.
    pub payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Cuts a packet into header and payload. `bytes` may go on behind the packet.
    #[inline]
    pub fn check(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let packet = Self::check_embedded(bytes)?;
        if usize::from(packet.header.payload_length()) > packet.payload.len() {
            return Err(Malformed::TotalLength);
        }
        Ok(packet)
    }

    /// The same for a packet that may be cut at its end, as in an ICMPv6 error: the payload is
    /// as much of it as is there.
    ///
    /// Jumbograms (RFC 2675: length 0, and the true one in a hop-by-hop option) do not fit an
    /// Ethernet frame, and are malformed here.
    #[inline]
    pub fn check_embedded(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (window, payload) = bytes.split_first_chunk().ok_or(Malformed::Truncated)?;
        let header = Header::over(window);
        if header.version() != 6 {
            return Err(Malformed::Version);
        }
        let length = usize::from(header.payload_length());
        if length == 0 && header.next_header() == protocol::HOP_BY_HOP {
            return Err(Malformed::TotalLength);
        }
        let payload = payload.get(..length).unwrap_or(payload);
        Ok(Self { header, payload })
    }
}

/// Whether an address stands for one host, as far as can be told without a routing table: not
/// unspecified, loopback or a group (RFC 4291 section 2.4), and not an IPv4 address in IPv6's
/// clothes, which must not be on a wire (RFC 4942 section 2.2).
#[inline]
pub const fn is_single_host(address: Ipv6Addr) -> bool {
    /// The upper 96 bits of `::ffff:0:0/96`.
    const MAPPED: u128 = 0xffff;
    let bits = address.to_bits();
    bits > 1 && !address.is_multicast() && bits >> 32 != MAPPED
}

/// The header view.
#[derive(Clone, Copy, Debug)]
pub struct Header<B>(B);

impl<B: Borrow<[u8; HEADER_LEN]>> Header<B> {
    /// Lays the view over `window`.
    #[inline]
    pub const fn over(window: B) -> Self {
        Self(window)
    }

    /// 6 in every packet that passes the check.
    #[inline]
    pub fn version(&self) -> u8 {
        self.0.borrow()[field::VERSION_CLASS_FLOW] >> 4
    }

    /// DSCP and ECN, as the TOS of IPv4 (RFC 2474, 3168).
    #[inline]
    pub fn traffic_class(&self) -> u8 {
        let [high, low, ..] = self.0.borrow();
        high << 4 | low >> 4
    }

    /// 20 bits (RFC 6437).
    #[inline]
    pub fn flow_label(&self) -> u32 {
        be32(self.0.borrow(), field::VERSION_CLASS_FLOW) & FLOW_LABEL
    }

    /// Length in bytes of all that follows the fixed header.
    #[inline]
    pub fn payload_length(&self) -> u16 {
        be16(self.0.borrow(), field::PAYLOAD_LENGTH)
    }

    /// What follows the fixed header: an extension header or a protocol.
    #[inline]
    pub fn next_header(&self) -> u8 {
        self.0.borrow()[field::NEXT_HEADER]
    }

    #[inline]
    pub fn hop_limit(&self) -> u8 {
        self.0.borrow()[field::HOP_LIMIT]
    }

    #[inline]
    pub fn source(&self) -> Ipv6Addr {
        Ipv6Addr::from(sixteen(self.0.borrow(), field::SOURCE))
    }

    #[inline]
    pub fn destination(&self) -> Ipv6Addr {
        Ipv6Addr::from(sixteen(self.0.borrow(), field::DESTINATION))
    }
}

impl<B: BorrowMut<[u8; HEADER_LEN]>> Header<B> {
    /// Writes a header with traffic class and flow label 0.
    #[inline]
    pub fn fill(
        &mut self,
        source: Ipv6Addr,
        destination: Ipv6Addr,
        next_header: u8,
        hop_limit: u8,
        payload_length: u16,
    ) {
        let bytes = self.0.borrow_mut();
        put(bytes, field::VERSION_CLASS_FLOW, [0x60, 0, 0, 0]);
        put(bytes, field::PAYLOAD_LENGTH, payload_length.to_be_bytes());
        bytes[field::NEXT_HEADER] = next_header;
        bytes[field::HOP_LIMIT] = hop_limit;
        put(bytes, field::SOURCE, source.octets());
        put(bytes, field::DESTINATION, destination.octets());
    }

    /// Sets the traffic class; no checksum covers it.
    #[inline]
    pub fn set_traffic_class(&mut self, traffic_class: u8) {
        let bytes = self.0.borrow_mut();
        bytes[0] = bytes[0] & 0xf0 | traffic_class >> 4;
        bytes[1] = traffic_class << 4 | bytes[1] & 0x0f;
    }

    /// Sets the flow label; bits above the lowest 20 are lost.
    #[inline]
    pub fn set_flow_label(&mut self, label: u32) {
        let bytes = self.0.borrow_mut();
        let word = be32(bytes, field::VERSION_CLASS_FLOW) & !FLOW_LABEL | label & FLOW_LABEL;
        put(bytes, field::VERSION_CLASS_FLOW, word.to_be_bytes());
    }

    /// Sets the length of what follows, in bytes. The pseudo-header of a transport checksum has
    /// the length of the transport's part, not this one.
    #[inline]
    pub fn set_payload_length(&mut self, bytes: u16) {
        put(self.0.borrow_mut(), field::PAYLOAD_LENGTH, bytes.to_be_bytes());
    }

    #[inline]
    pub fn set_next_header(&mut self, next_header: u8) {
        self.0.borrow_mut()[field::NEXT_HEADER] = next_header;
    }

    #[inline]
    pub fn set_hop_limit(&mut self, hop_limit: u8) {
        self.0.borrow_mut()[field::HOP_LIMIT] = hop_limit;
    }

    /// Sets the source; checksums of the transport are the caller's duty.
    #[inline]
    pub fn set_source(&mut self, address: Ipv6Addr) {
        put(self.0.borrow_mut(), field::SOURCE, address.octets());
    }

    /// Sets the destination; checksums of the transport are the caller's duty.
    #[inline]
    pub fn set_destination(&mut self, address: Ipv6Addr) {
        put(self.0.borrow_mut(), field::DESTINATION, address.octets());
    }

    /// One hop less. A hop limit of 0 stays: the caller has looked before whether the packet may
    /// go on.
    #[inline]
    pub fn decrement_hop_limit(&mut self) {
        self.set_hop_limit(self.hop_limit().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{Ipv6Header, Ipv6HeaderSlice};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_the_oracle(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..80),
            first in prop_oneof![0x60_u8..0x70, any::<u8>()], length in 0_u16..60,
            next in prop_oneof![Just(0_u8), any::<u8>()],
        ) {
            if let Some(window) = bytes.first_chunk_mut::<7>() {
                window[0] = first;
                window[4..6].copy_from_slice(&length.to_be_bytes());
                window[6] = next;
            }
            let oracle = Ipv6HeaderSlice::from_slice(&bytes);
            let (whole, embedded) = (Packet::check(&bytes), Packet::check_embedded(&bytes));
            let Ok(oracle) = oracle else {
                prop_assert!(whole.is_err() && embedded.is_err());
                return Ok(());
            };
            if length == 0 && next == 0 {
                prop_assert_eq!(embedded.unwrap_err(), Malformed::TotalLength);
                return Ok(());
            }
            let rest = &bytes[HEADER_LEN..];
            let packet = embedded.unwrap();
            prop_assert_eq!(packet.payload, &rest[..rest.len().min(usize::from(length))]);
            prop_assert_eq!(whole.is_ok(), usize::from(length) <= rest.len());
            let header = packet.header;
            prop_assert_eq!(header.traffic_class(), oracle.traffic_class());
            prop_assert_eq!(header.flow_label(), oracle.flow_label().value());
            prop_assert_eq!(header.payload_length(), oracle.payload_length());
            prop_assert_eq!(header.next_header(), oracle.next_header().0);
            prop_assert_eq!(header.hop_limit(), oracle.hop_limit());
            prop_assert_eq!(header.source(), oracle.source_addr());
            prop_assert_eq!(header.destination(), oracle.destination_addr());
        }

        #[test]
        fn setters_write_what_the_oracle_writes(
            mut bytes: [u8; HEADER_LEN], first: ([u8; 16], [u8; 16], u8, u8, u16),
            source: [u8; 16], destination: [u8; 16], traffic_class: u8, label in 0_u32..1 << 20,
            payload_length: u16, next: u8, hop_limit: u8,
        ) {
            let mut header = Header::over(&mut bytes);
            header.fill(first.0.into(), first.1.into(), first.2, first.3, first.4);
            let mut oracle = Ipv6Header {
                next_header: first.2.into(), hop_limit: first.3, payload_length: first.4,
                source: first.0, destination: first.1, ..Ipv6Header::default()
            };
            prop_assert_eq!(*header.0, oracle.to_bytes());
            header.set_traffic_class(traffic_class);
            header.set_flow_label(label | 0xfff0_0000);
            header.set_payload_length(payload_length);
            header.set_next_header(next);
            header.set_hop_limit(hop_limit);
            header.set_source(source.into());
            header.set_destination(destination.into());
            oracle = Ipv6Header {
                traffic_class, flow_label: label.try_into().unwrap(), payload_length,
                next_header: next.into(), hop_limit, source, destination,
            };
            prop_assert_eq!(*header.0, oracle.to_bytes());
            header.decrement_hop_limit();
            oracle.hop_limit = hop_limit.saturating_sub(1);
            prop_assert_eq!(bytes, oracle.to_bytes());
        }
    }

    #[test]
    fn hosts() {
        for text in ["fd00::100", "2001:db8::1", "fe80::1", "::2", "::ffff:0:1:2", "fec0::1"] {
            assert!(is_single_host(text.parse().unwrap()), "{text}");
        }
        for text in ["::", "::1", "ff02::1", "ffff::", "::ffff:10.0.0.1", "::ffff:0:0"] {
            assert!(!is_single_host(text.parse().unwrap()), "{text}");
        }
    }
}
