//! GRE (RFC 2784) as far as tunnels to real servers use it: no key, no sequence number.
//!
//! ```text
//! 0            2          4          6          8
//! | C, 0, ver  | EtherType| checksum | 0        | packet ...     with the flag C
//! | 0          | EtherType| packet ...                           without
//! ```

use std::borrow::{Borrow, BorrowMut};

use super::Malformed;
use super::checksum::Sum;
use super::ethernet::EtherType;
use super::field::{be16, put, window_mut};

mod field {
    pub(super) const FLAGS: usize = 0;
    pub(super) const ETHER_TYPE: usize = 2;
}

/// Length of the header without a checksum.
pub const HEADER_LEN: usize = 4;
/// Length of the checksum and the reserved bytes behind it.
pub const CHECKSUM_LEN: usize = 4;

/// The flags word of a header with a checksum.
const CHECKSUM_PRESENT: u16 = 0x8000;

/// Length of the whole header.
#[inline]
pub const fn header_len(with_checksum: bool) -> usize {
    HEADER_LEN + if with_checksum { CHECKSUM_LEN } else { 0 }
}

/// A checked packet.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    pub header: Header<&'a [u8; HEADER_LEN]>,
    /// What is carried; of the Ethernet type that the header names.
    pub payload: &'a [u8],
    /// Header and payload: what the checksum covers.
    bytes: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Cuts the payload of an IP packet into header and what it carries. Other flags than that
    /// of a checksum, and other versions, are not ours (the kernel's `ipvs_gre_decap`).
    #[inline]
    pub fn check(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (window, rest) = bytes.split_first_chunk().ok_or(Malformed::Truncated)?;
        let header = Header::over(window);
        if header.flags() & !CHECKSUM_PRESENT != 0 {
            return Err(Malformed::Version);
        }
        let skipped = if header.has_checksum() { CHECKSUM_LEN } else { 0 };
        let payload = rest.get(skipped..).ok_or(Malformed::Truncated)?;
        Ok(Self { header, payload, bytes })
    }

    /// Whether the checksum is right, or there is none. It covers header and payload.
    #[inline]
    pub fn verify_checksum(&self) -> bool {
        !self.header.has_checksum() || Sum::ZERO.add_bytes(self.bytes).is_valid()
    }
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

    /// Flags and version as they are.
    #[inline]
    pub fn flags(&self) -> u16 {
        be16(self.0.borrow(), field::FLAGS)
    }

    #[inline]
    pub fn has_checksum(&self) -> bool {
        self.flags() & CHECKSUM_PRESENT != 0
    }

    /// What the payload is.
    #[inline]
    pub fn ether_type(&self) -> EtherType {
        EtherType(be16(self.0.borrow(), field::ETHER_TYPE))
    }
}

impl<B: BorrowMut<[u8; HEADER_LEN]>> Header<B> {
    /// Writes the first four bytes of a header.
    #[inline]
    pub fn fill(&mut self, ether_type: EtherType, with_checksum: bool) {
        let flags = if with_checksum { CHECKSUM_PRESENT } else { 0 };
        let bytes = self.0.borrow_mut();
        put(bytes, field::FLAGS, flags.to_be_bytes());
        put(bytes, field::ETHER_TYPE, ether_type.0.to_be_bytes());
    }
}

/// Writes the whole header to the front of `bytes`, which hold a packet of `ether_type` behind
/// [`header_len`]. `None`, where there is no room for the header.
#[inline]
pub fn write(bytes: &mut [u8], ether_type: EtherType, with_checksum: bool) -> Option<()> {
    if bytes.len() < header_len(with_checksum) {
        return None;
    }
    Header::over(window_mut(bytes, 0)?).fill(ether_type, with_checksum);
    if with_checksum {
        *window_mut(bytes, HEADER_LEN)? = [0; CHECKSUM_LEN];
        let sum = Sum::ZERO.add_bytes(bytes).checksum();
        *window_mut(bytes, HEADER_LEN)? = sum.to_be_bytes();
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::build::Udp;
    use proptest::prelude::*;

    #[test]
    fn as_the_kernel_writes() {
        let inner = Udp {
            src: "[fd00:1::2]:40048",
            dst: "[fd00::100]:87",
            ttl: 63,
            payload: b"DATA",
            ..Udp::default()
        };
        let mut bytes = [[0xee; 8].as_slice(), &inner.packet()].concat();
        write(&mut bytes, EtherType::IPV6, true).unwrap();
        assert_eq!(bytes[..8], [0x80, 0x00, 0x86, 0xdd, 0x87, 0xf3, 0x00, 0x00]);
        write(&mut bytes, EtherType::IPV4, false).unwrap();
        assert_eq!(bytes[..4], [0x00, 0x00, 0x08, 0x00]);
        assert_eq!(write(&mut bytes[..7], EtherType::IPV6, true), None);
    }

    proptest! {
        #[test]
        fn reads_what_was_written(
            payload in proptest::collection::vec(any::<u8>(), 0..60), ether_type: u16,
            with_checksum: bool, at: prop::sample::Index, bit in 0_u8..8,
        ) {
            let length = header_len(with_checksum);
            let mut bytes = [vec![0xee; length], payload.clone()].concat();
            write(&mut bytes, EtherType(ether_type), with_checksum).unwrap();
            let packet = Packet::check(&bytes).unwrap();
            prop_assert_eq!(packet.header.ether_type().0, ether_type);
            prop_assert_eq!(packet.header.has_checksum(), with_checksum);
            prop_assert_eq!(packet.payload, &payload);
            prop_assert!(packet.verify_checksum());
            let at = 2 + at.index(bytes.len() - 2);
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(Packet::check(&bytes).unwrap().verify_checksum(), !with_checksum);
        }

        #[test]
        fn any_bytes_are_an_answer(
            bytes in proptest::collection::vec(prop_oneof![Just(0_u8), any::<u8>()], 0..12)
        ) {
            let flags = bytes.first_chunk().map(|flags| u16::from_be_bytes(*flags));
            let whole = bytes.len() >= header_len(flags == Some(0x8000));
            let expected = whole && [Some(0), Some(0x8000)].contains(&flags);
            prop_assert_eq!(Packet::check(&bytes).is_ok(), expected);
        }
    }
}
