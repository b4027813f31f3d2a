//! The Internet checksum: full (RFC 1071), with pseudo-header (RFC 793, 768, 8200), by increment
//! (RFC 1624).

use std::net::{Ipv4Addr, Ipv6Addr};

/// A one's complement sum of big-endian 16-bit words, not yet folded.
///
/// Sums of parts add up to the sum of the whole as long as every part but the last has an even
/// length.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum(u64);

impl Sum {
    /// The sum of nothing.
    pub const ZERO: Self = Self(0);

    /// Adds bytes. A last odd byte counts as the high half of a word (RFC 1071 section 4.1).
    #[inline]
    #[must_use]
    pub fn add_bytes(self, bytes: &[u8]) -> Self {
        // 32-bit words in a 64-bit sum: 2^16 = 1 modulo 0xffff, so the halves may be folded
        // later, and 2^32 words fit without a carry out. In the machine's byte order, which
        // vectorises, and turned round at the end (RFC 1071 section 2.B).
        let (words, rest) = bytes.as_chunks::<4>();
        let sum: u64 = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
        let mut last = [0; 4];
        last[..rest.len()].copy_from_slice(rest);
        let sum = Self(sum + u64::from(u32::from_ne_bytes(last)));
        Self(self.0 + u64::from(u16::from_be(sum.fold())))
    }

    /// Adds a 16-bit word.
    #[inline]
    #[must_use]
    pub const fn add_u16(self, word: u16) -> Self {
        Self(self.0 + word as u64)
    }

    /// Adds a 32-bit word that begins at an even offset.
    #[inline]
    #[must_use]
    pub const fn add_u32(self, word: u32) -> Self {
        Self(self.0 + word as u64)
    }

    /// The sum of the IPv4 pseudo-header (RFC 793 section 3.1). `length` is of the transport
    /// header and its payload.
    #[inline]
    pub fn pseudo_v4(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, length: u16) -> Self {
        Self(
            u64::from(source.to_bits())
                + u64::from(destination.to_bits())
                + u64::from(protocol)
                + u64::from(length),
        )
    }

    /// The sum of the IPv6 pseudo-header (RFC 8200 section 8.1). `length` is of the upper-layer
    /// header and its payload, `protocol` is that header's, whatever extension headers are
    /// between.
    #[inline]
    pub fn pseudo_v6(source: Ipv6Addr, destination: Ipv6Addr, protocol: u8, length: u32) -> Self {
        Self(u64::from(protocol) + u64::from(length))
            .add_bytes(&source.octets())
            .add_bytes(&destination.octets())
    }

    /// The sum folded to 16 bits.
    #[inline]
    pub const fn fold(self) -> u16 {
        let sum = (self.0 & 0xffff_ffff) + (self.0 >> 32);
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = (sum & 0xffff) + (sum >> 16);
        low_16(sum)
    }

    /// The checksum to write: the complement of the folded sum, taken with 0 in its place.
    #[inline]
    pub const fn checksum(self) -> u16 {
        !self.fold()
    }

    /// Whether the sum, the written checksum included, is that of unchanged bytes.
    #[inline]
    pub const fn is_valid(self) -> bool {
        self.fold() == 0xffff
    }
}

/// What a rewrite does to every checksum that covers the rewritten words (RFC 1624).
///
/// One difference is worked out once and applied to several checksums: new addresses to the
/// IPv4 header's and to the transport's. Words must lie at even offsets of what is summed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Difference(u32);

impl Difference {
    /// Nothing was rewritten.
    pub const NONE: Self = Self(0);

    /// A 16-bit word becomes another. At most some thousand words can be put into one value.
    #[inline]
    #[must_use]
    pub const fn u16(self, old: u16, new: u16) -> Self {
        Self(self.0 + (!old) as u32 + new as u32)
    }

    /// A 32-bit word becomes another.
    #[inline]
    #[must_use]
    pub const fn u32(self, old: u32, new: u32) -> Self {
        let (old, new) = (!old, new);
        Self(self.0 + (old >> 16) + (old & 0xffff) + (new >> 16) + (new & 0xffff))
    }

    /// An address becomes another.
    #[inline]
    #[must_use]
    pub const fn address(self, old: Ipv4Addr, new: Ipv4Addr) -> Self {
        self.u32(old.to_bits(), new.to_bits())
    }

    /// An IPv6 address becomes another.
    #[inline]
    #[must_use]
    pub const fn address6(self, old: Ipv6Addr, new: Ipv6Addr) -> Self {
        let (old, new) = (old.segments(), new.segments());
        let mut difference = self;
        let mut at = 0;
        while at < old.len() {
            difference = difference.u16(old[at], new[at]);
            at += 1;
        }
        difference
    }

    /// The checksum after the rewrite: `~(~HC + ~m + m')`, equation 3 of RFC 1624.
    #[inline]
    pub const fn apply(self, checksum: u16) -> u16 {
        let sum = self.0 as u64 + (!checksum) as u64;
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = (sum & 0xffff) + (sum >> 16);
        !low_16(sum)
    }
}

/// The checksum of a transport header and payload that hold 0 in its place.
#[inline]
pub fn transport_v4(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, bytes: &[u8]) -> u16 {
    transport_sum_v4(source, destination, protocol, bytes).checksum()
}

/// Whether the checksum in a TCP segment, or in a UDP datagram that has one, is right.
#[inline]
pub fn verify_transport_v4(
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: u8,
    bytes: &[u8],
) -> bool {
    transport_sum_v4(source, destination, protocol, bytes).is_valid()
}

#[inline]
fn transport_sum_v4(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, bytes: &[u8]) -> Sum {
    // An IPv4 packet has at most 65,535 bytes; longer input has no pseudo-header at all, and
    // a saturated length makes its checksum wrong rather than the program.
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    Sum::pseudo_v4(source, destination, protocol, length).add_bytes(bytes)
}

/// The checksum of a transport header and payload in IPv6 that hold 0 in its place.
#[inline]
pub fn transport_v6(source: Ipv6Addr, destination: Ipv6Addr, protocol: u8, bytes: &[u8]) -> u16 {
    transport_sum_v6(source, destination, protocol, bytes).checksum()
}

/// Whether the checksum in a TCP segment, UDP datagram or ICMPv6 message is right. In IPv6, UDP
/// has to have one (RFC 8200 section 8.1).
#[inline]
pub fn verify_transport_v6(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    protocol: u8,
    bytes: &[u8],
) -> bool {
    transport_sum_v6(source, destination, protocol, bytes).is_valid()
}

#[inline]
fn transport_sum_v6(source: Ipv6Addr, destination: Ipv6Addr, protocol: u8, bytes: &[u8]) -> Sum {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    Sum::pseudo_v6(source, destination, protocol, length).add_bytes(bytes)
}

#[expect(clippy::cast_possible_truncation, reason = "callers have folded to 16 bits")]
const fn low_16(folded: u64) -> u16 {
    folded as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 1071 as it is written: word by word, folding at once.
    fn slow(bytes: &[u8]) -> u16 {
        let mut sum = 0_u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        u16::try_from(sum).unwrap()
    }

    #[test]
    fn example_of_rfc_1071() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(Sum::ZERO.add_bytes(&bytes).fold(), 0xddf2);
    }

    #[test]
    fn example_of_rfc_1624() {
        // Section 4: the case in which RFC 1141's equation goes wrong.
        assert_eq!(Difference::NONE.u16(0x5555, 0x3285).apply(0xdd2f), 0x0000);
    }

    #[test]
    fn worst_sums_fold() {
        assert_eq!(Sum(u64::MAX).fold(), 0xffff);
        assert_eq!(Sum::ZERO.add_bytes(&[0xff; 65_535]).fold(), slow(&[0xff; 65_535]));
    }

    proptest! {
        #[test]
        fn sum_is_the_slow_sum(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            prop_assert_eq!(Sum::ZERO.add_bytes(&bytes).fold(), slow(&bytes));
        }

        #[test]
        fn parts_add_up(
            bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0_usize..100
        ) {
            let cut = (cut * 2).min(bytes.len() & !1);
            let parts = Sum::ZERO.add_bytes(&bytes[..cut]).add_bytes(&bytes[cut..]);
            prop_assert_eq!(parts.fold(), slow(&bytes));
        }

        #[test]
        fn increment_is_full_recomputation(
            mut bytes in proptest::collection::vec(any::<u8>(), 20..60),
            rewrites in proptest::collection::vec((0_usize..9, any::<u32>(), any::<bool>()), 0..8),
        ) {
            // Some byte that no rewrite reaches is not zero, as in every real header.
            bytes[19] |= 1;
            let before = Sum::ZERO.add_bytes(&bytes).checksum();
            let mut difference = Difference::NONE;
            for (at, new, wide) in rewrites {
                let at = at * 2;
                let new = new.to_be_bytes();
                let old = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
                if wide && at + 4 <= 18 {
                    difference =
                        difference.u32(u32::from_be_bytes(old), u32::from_be_bytes(new));
                    bytes[at..at + 4].copy_from_slice(&new);
                } else {
                    difference = difference.u16(
                        u16::from_be_bytes([old[0], old[1]]),
                        u16::from_be_bytes([new[0], new[1]]),
                    );
                    bytes[at..at + 2].copy_from_slice(&new[..2]);
                }
            }
            prop_assert_eq!(difference.apply(before), Sum::ZERO.add_bytes(&bytes).checksum());
        }

        #[test]
        fn transport_agrees_with_the_oracle(
            source: [u8; 4], destination: [u8; 4],
            payload in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            let mut header = etherparse::TcpHeader::new(1, 2, 3, 4);
            header.checksum = 0;
            let mut segment = header.to_bytes().to_vec();
            segment.extend(&payload);
            let ours = transport_v4(source.into(), destination.into(), 6, &segment);
            let oracle = header.calc_checksum_ipv4_raw(source, destination, &payload).unwrap();
            prop_assert_eq!(ours, oracle);
            segment[16..18].copy_from_slice(&ours.to_be_bytes());
            prop_assert!(verify_transport_v4(source.into(), destination.into(), 6, &segment));
            segment[5] ^= 1;
            prop_assert!(!verify_transport_v4(source.into(), destination.into(), 6, &segment));
        }

        #[test]
        fn transport_of_ipv6_agrees_with_the_oracle(
            source: [u8; 16], destination: [u8; 16], new: [u8; 16],
            payload in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            let mut header = etherparse::TcpHeader::new(1, 2, 3, 4);
            header.checksum = 0;
            let mut segment = header.to_bytes().to_vec();
            segment.extend(&payload);
            let ours = transport_v6(source.into(), destination.into(), 6, &segment);
            let oracle = header.calc_checksum_ipv6_raw(source, destination, &payload).unwrap();
            prop_assert_eq!(ours, oracle);
            let translated = header.calc_checksum_ipv6_raw(source, new, &payload).unwrap();
            let difference = Difference::NONE.address6(destination.into(), new.into());
            prop_assert_eq!(difference.apply(ours), translated);
            segment[16..18].copy_from_slice(&ours.to_be_bytes());
            prop_assert!(verify_transport_v6(source.into(), destination.into(), 6, &segment));
            segment[5] ^= 1;
            prop_assert!(!verify_transport_v6(source.into(), destination.into(), 6, &segment));
        }
    }
}
