//! IPv4 (RFC 791).
//!
//! ```text
//! 0           1     2       4    6                   8     9          10         12
//! | 4:4 IHL:4 | TOS | total | id | flags:3 offset:13 | TTL | protocol | checksum | ...
//! 12       16            20
//! | source | destination | options ...
//! ```

use std::borrow::{Borrow, BorrowMut};
use std::net::Ipv4Addr;

use super::Malformed;
use super::checksum::{Difference, Sum};
use super::field::{be16, be32, put};

mod field {
    pub(super) const VERSION_IHL: usize = 0;
    pub(super) const TOS: usize = 1;
    pub(super) const TOTAL_LENGTH: usize = 2;
    pub(super) const IDENTIFICATION: usize = 4;
    pub(super) const FRAGMENT: usize = 6;
    pub(super) const TTL: usize = 8;
    pub(super) const PROTOCOL: usize = 9;
    pub(super) const CHECKSUM: usize = 10;
    pub(super) const SOURCE: usize = 12;
    pub(super) const DESTINATION: usize = 16;
}

/// Length of the header without options.
pub const HEADER_LEN: usize = 20;

/// Protocol numbers that no virtual service has (those are in [`crate::protocol::Protocol`]).
pub mod protocol {
    pub const ICMP: u8 = 1;
    pub const IPIP: u8 = 4;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const GRE: u8 = 47;
    pub const SCTP: u8 = 132;
}

const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const FRAGMENT_OFFSET: u16 = 0x1fff;

/// A checked packet: the header's lengths fit the bytes that are there.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    pub header: Header<&'a [u8; HEADER_LEN]>,
    pub options: &'a [u8],
    /// As long as the total length says; padding of the frame is cut off.
    pub payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Cuts a packet into header, options and payload. `bytes` may go on behind the packet.
    #[inline]
    pub fn check(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let packet = Self::check_embedded(bytes)?;
        if usize::from(packet.header.total_length()) > bytes.len() {
            return Err(Malformed::TotalLength);
        }
        Ok(packet)
    }

    /// The same for a packet that may be cut at its end, as in an ICMP error: the payload is as
    /// much of it as is there.
    #[inline]
    pub fn check_embedded(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (window, rest) = bytes.split_first_chunk().ok_or(Malformed::Truncated)?;
        let header = Header::over(window);
        if header.version() != 4 {
            return Err(Malformed::Version);
        }
        let header_length = header.header_length();
        let options_length =
            header_length.checked_sub(HEADER_LEN).ok_or(Malformed::HeaderLength)?;
        let (options, payload) =
            rest.split_at_checked(options_length).ok_or(Malformed::HeaderLength)?;
        let payload_length = usize::from(header.total_length())
            .checked_sub(header_length)
            .ok_or(Malformed::TotalLength)?;
        let payload = payload.get(..payload_length).unwrap_or(payload);
        Ok(Self { header, options, payload })
    }

    /// Whether the header checksum is right. Without options this is five additions.
    #[inline]
    pub fn verify_checksum(&self) -> bool {
        if self.options.is_empty() {
            self.header.verify_checksum()
        } else {
            self.header.sum().add_bytes(self.options).is_valid()
        }
    }
}

/// Whether an address stands for one host, as far as can be told without a routing table: not
/// 0.0.0.0, loopback, a group or broadcast (RFC 1122 section 3.2.1.3). 240.0.0.0/4 and the rest of
/// 0.0.0.0/8 are hosts for the kernel, too (`ip_route_input_slow`). Broadcast addresses of subnets
/// look like hosts here.
#[inline]
pub const fn is_single_host(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    let bits = address.to_bits();
    bits != 0 && bits != u32::MAX && first != 127 && first & 0xf0 != 224
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

    /// 4 in every packet that passes the check.
    #[inline]
    pub fn version(&self) -> u8 {
        self.0.borrow()[field::VERSION_IHL] >> 4
    }

    /// Whether this is version 4 with the shortest header: what nearly every packet has.
    #[inline]
    pub fn is_without_options(&self) -> bool {
        self.0.borrow()[field::VERSION_IHL] == 0x45
    }

    /// Whether the checksum is right, of a header without options.
    ///
    /// The sum may be taken in any byte order (RFC 1071 section 2.B), and folds to 0xffff where it
    /// is a multiple of that; it is never 0, since the version is not.
    #[inline]
    pub fn verify_checksum(&self) -> bool {
        /// Of 0xffff modulo 2^64: multiples of that number, and no others, become small by it,
        /// which costs a third of a division's rest.
        const INVERSE: u64 = 0xfffe_fffe_fffe_ffff;
        const _: () = assert!(INVERSE.wrapping_mul(0xffff) == 1);
        let (words, _) = self.0.borrow().as_chunks::<4>();
        let sum: u64 = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
        sum != 0 && sum.wrapping_mul(INVERSE) <= u64::MAX / 0xffff
    }

    /// Length of the header with its options in bytes: 20 to 60 once checked.
    #[inline]
    pub fn header_length(&self) -> usize {
        usize::from(self.0.borrow()[field::VERSION_IHL] & 0x0f) * 4
    }

    /// Type of service: DSCP and ECN (RFC 2474, 3168).
    #[inline]
    pub fn tos(&self) -> u8 {
        self.0.borrow()[field::TOS]
    }

    /// Length of header and payload in bytes.
    #[inline]
    pub fn total_length(&self) -> u16 {
        be16(self.0.borrow(), field::TOTAL_LENGTH)
    }

    #[inline]
    pub fn identification(&self) -> u16 {
        be16(self.0.borrow(), field::IDENTIFICATION)
    }

    #[inline]
    pub fn dont_fragment(&self) -> bool {
        be16(self.0.borrow(), field::FRAGMENT) & DONT_FRAGMENT != 0
    }

    #[inline]
    pub fn more_fragments(&self) -> bool {
        be16(self.0.borrow(), field::FRAGMENT) & MORE_FRAGMENTS != 0
    }

    /// Where in the datagram this fragment belongs, in bytes.
    #[inline]
    pub fn fragment_offset(&self) -> usize {
        usize::from(be16(self.0.borrow(), field::FRAGMENT) & FRAGMENT_OFFSET) * 8
    }

    /// Whether this is a part of a datagram, first or later.
    #[inline]
    pub fn is_fragment(&self) -> bool {
        be16(self.0.borrow(), field::FRAGMENT) & (MORE_FRAGMENTS | FRAGMENT_OFFSET) != 0
    }

    /// Whether this is a later part of a datagram: its payload has no transport header.
    #[inline]
    pub fn is_later_fragment(&self) -> bool {
        be16(self.0.borrow(), field::FRAGMENT) & FRAGMENT_OFFSET != 0
    }

    #[inline]
    pub fn ttl(&self) -> u8 {
        self.0.borrow()[field::TTL]
    }

    #[inline]
    pub fn protocol(&self) -> u8 {
        self.0.borrow()[field::PROTOCOL]
    }

    #[inline]
    pub fn checksum(&self) -> u16 {
        be16(self.0.borrow(), field::CHECKSUM)
    }

    #[inline]
    pub fn source(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(be32(self.0.borrow(), field::SOURCE))
    }

    #[inline]
    pub fn destination(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(be32(self.0.borrow(), field::DESTINATION))
    }

    /// The sum of the 20 bytes.
    #[inline]
    fn sum(&self) -> Sum {
        Sum::ZERO.add_bytes(self.0.borrow())
    }
}

/// What a header says that has no options and is not a fragment.
#[derive(Clone, Copy, Debug)]
pub struct Fields {
    pub tos: u8,
    /// Header and payload.
    pub total_length: u16,
    pub identification: u16,
    pub dont_fragment: bool,
    pub ttl: u8,
    pub protocol: u8,
    pub source: Ipv4Addr,
    pub destination: Ipv4Addr,
}

impl<B: BorrowMut<[u8; HEADER_LEN]>> Header<B> {
    /// Writes a header without options that is not a fragment: TOS 0, identification 0, DF
    /// clear, checksum right. `total_length` counts header and payload.
    #[inline]
    pub fn fill(
        &mut self,
        source: Ipv4Addr,
        destination: Ipv4Addr,
        protocol: u8,
        ttl: u8,
        total_length: u16,
    ) {
        let (tos, identification, dont_fragment) = (0, 0, false);
        self.write(&Fields {
            tos,
            total_length,
            identification,
            dont_fragment,
            ttl,
            protocol,
            source,
            destination,
        });
    }

    /// Writes a header without options that is not a fragment, checksum right: in whole words,
    /// since a sum over bytes that were just written one by one waits for each of them.
    #[inline]
    pub fn write(&mut self, fields: &Fields) {
        let &Fields { tos, total_length, identification, dont_fragment, ttl, protocol, .. } =
            fields;
        let words = [
            0x4500_0000 | u32::from(tos) << 16 | u32::from(total_length),
            u32::from(identification) << 16 | u32::from(dont_fragment) << 14,
            u32::from(ttl) << 24 | u32::from(protocol) << 16,
            fields.source.to_bits(),
            fields.destination.to_bits(),
        ];
        let sum: u64 = words.iter().map(|&word| u64::from(word)).sum();
        // Three folds bring 35 bits to 16 (RFC 1071 section 4.1).
        let sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = (sum & 0xffff) + (sum >> 16);
        let (rows, _) = self.0.borrow_mut().as_chunks_mut::<4>();
        for (row, word) in rows.iter_mut().zip(words) {
            *row = word.to_be_bytes();
        }
        self.set_checksum(!low_16(sum));
    }

    /// Sets the type of service; like every plain setter it leaves the checksum as it is.
    #[inline]
    pub fn set_tos(&mut self, tos: u8) {
        self.0.borrow_mut()[field::TOS] = tos;
    }

    /// Sets the length of the header with its options without the checksum. `bytes` is a multiple
    /// of 4 from 20 to 60; other bits of it are lost.
    #[inline]
    pub fn set_header_length(&mut self, bytes: u8) {
        self.0.borrow_mut()[field::VERSION_IHL] = 0x40 | ((bytes / 4) & 0x0f);
    }

    /// Sets the total length without the checksum.
    #[inline]
    pub fn set_total_length(&mut self, bytes: u16) {
        put(self.0.borrow_mut(), field::TOTAL_LENGTH, bytes.to_be_bytes());
    }

    /// Sets the identification without the checksum.
    #[inline]
    pub fn set_identification(&mut self, identification: u16) {
        put(self.0.borrow_mut(), field::IDENTIFICATION, identification.to_be_bytes());
    }

    /// Sets flags and offset without the checksum. `offset` is in bytes, a multiple of 8 below
    /// 65,536; other bits of it are lost.
    #[inline]
    pub fn set_fragment(&mut self, dont_fragment: bool, more_fragments: bool, offset: u16) {
        let flags = if dont_fragment { DONT_FRAGMENT } else { 0 }
            | if more_fragments { MORE_FRAGMENTS } else { 0 };
        put(self.0.borrow_mut(), field::FRAGMENT, (flags | (offset / 8)).to_be_bytes());
    }

    /// Sets the TTL without the checksum.
    #[inline]
    pub fn set_ttl(&mut self, ttl: u8) {
        self.0.borrow_mut()[field::TTL] = ttl;
    }

    /// Sets the checksum field.
    #[inline]
    pub fn set_checksum(&mut self, checksum: u16) {
        put(self.0.borrow_mut(), field::CHECKSUM, checksum.to_be_bytes());
    }

    /// Sets the source without the checksum.
    #[inline]
    pub fn set_source(&mut self, address: Ipv4Addr) {
        put(self.0.borrow_mut(), field::SOURCE, address.octets());
    }

    /// Sets the destination without the checksum.
    #[inline]
    pub fn set_destination(&mut self, address: Ipv4Addr) {
        put(self.0.borrow_mut(), field::DESTINATION, address.octets());
    }

    /// Applies what other setters changed to the checksum.
    #[inline]
    pub fn update_checksum(&mut self, difference: Difference) {
        self.set_checksum(difference.apply(self.checksum()));
    }

    /// Works out the checksum anew.
    #[inline]
    pub fn fill_checksum(&mut self, options: &[u8]) {
        self.set_checksum(0);
        self.set_checksum(self.sum().add_bytes(options).checksum());
    }

    /// One hop less, checksum by increment. A TTL of 0 stays: the caller has looked before
    /// whether the packet may go on.
    #[inline]
    pub fn decrement_ttl(&mut self) {
        let Some(lower) = self.ttl().checked_sub(1) else { return };
        self.set_ttl(lower);
        // TTL is the high byte of its word, so the word is 0x0100 less and the sum's complement
        // that much more, with the carry brought round (RFC 1141).
        let sum = u64::from(self.checksum()) + 0x0100;
        self.set_checksum(low_16(sum + u64::from(sum >= 0xffff)));
    }
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the carry has been brought round")]
const fn low_16(sum: u64) -> u16 {
    sum as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::field::window_mut;
    use etherparse::{Ipv4Header, Ipv4HeaderSlice};
    use proptest::prelude::*;

    /// A header of the oracle with any fields, and options of 0 to 40 bytes.
    fn oracle_header() -> impl Strategy<Value = Ipv4Header> {
        let options =
            (0_usize..=10).prop_flat_map(|words| proptest::collection::vec(any::<u8>(), words * 4));
        (any::<[u8; 4]>(), any::<[u8; 4]>(), any::<[u8; 6]>(), any::<u16>(), any::<[bool; 2]>())
            .prop_flat_map(move |fields| (Just(fields), options.clone(), 0_u16..500))
            .prop_map(|((source, destination, b, id, flags), options, payload)| {
                let mut header =
                    Ipv4Header::new(payload, b[0], b[1].into(), source, destination).unwrap();
                header.identification = id;
                header.dont_fragment = flags[0];
                header.more_fragments = flags[1];
                header.fragment_offset =
                    (u16::from_be_bytes([b[2], b[3]]) & 0x1fff).try_into().unwrap();
                header.dscp = (b[4] >> 2).try_into().unwrap();
                header.ecn = (b[4] & 3).try_into().unwrap();
                header.options = options.as_slice().try_into().unwrap();
                header.total_len = u16::try_from(header.header_len()).unwrap() + payload;
                header.header_checksum = header.calc_header_checksum();
                header
            })
    }

    proptest! {
        #[test]
        fn agrees_with_the_oracle(oracle in oracle_header(), padding in 0_usize..9) {
            let mut bytes = oracle.to_bytes().to_vec();
            let payload = usize::from(oracle.total_len) - bytes.len();
            bytes.resize(bytes.len() + payload + padding, 0xee);
            let packet = Packet::check(&bytes).unwrap();
            let header = packet.header;
            prop_assert_eq!(header.header_length(), oracle.header_len());
            prop_assert_eq!(header.tos(), oracle.dscp.value() << 2 | oracle.ecn.value());
            prop_assert_eq!(header.total_length(), oracle.total_len);
            prop_assert_eq!(header.identification(), oracle.identification);
            prop_assert_eq!(header.dont_fragment(), oracle.dont_fragment);
            prop_assert_eq!(header.more_fragments(), oracle.more_fragments);
            let offset = usize::from(oracle.fragment_offset.byte_offset());
            prop_assert_eq!(header.fragment_offset(), offset);
            prop_assert_eq!(header.is_fragment(), oracle.is_fragmenting_payload());
            prop_assert_eq!(header.ttl(), oracle.time_to_live);
            prop_assert_eq!(header.protocol(), oracle.protocol.0);
            prop_assert_eq!(header.checksum(), oracle.header_checksum);
            prop_assert_eq!(header.source().octets(), oracle.source);
            prop_assert_eq!(header.destination().octets(), oracle.destination);
            prop_assert_eq!(packet.options, oracle.options.as_slice());
            prop_assert_eq!(packet.payload.len(), payload);
            prop_assert!(packet.verify_checksum());
        }

        #[test]
        fn a_changed_bit_is_noticed(oracle in oracle_header(), at in 0_usize..60, bit in 0_u8..8) {
            let mut bytes = oracle.to_bytes().to_vec();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            bytes.resize(bytes.len() + 500, 0);
            if let Ok(packet) = Packet::check(&bytes) {
                // A changed IHL changes what is summed, too; 16 bits cannot tell all of those.
                prop_assert!(at == 0 || !packet.verify_checksum());
            }
        }

        #[test]
        fn accepts_what_the_oracle_accepts(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..80),
            version_ihl in prop_oneof![0x40_u8..0x50, any::<u8>()],
            total in 0_u16..100,
        ) {
            if let Some(window) = window_mut::<4>(&mut bytes, 0) {
                window[0] = version_ihl;
                window[2..4].copy_from_slice(&total.to_be_bytes());
            }
            let oracle = etherparse::Ipv4Slice::from_slice(&bytes).is_ok()
                // The oracle also looks into authentication headers.
                || bytes.get(9) == Some(&51) && Packet::check(&bytes).is_ok();
            prop_assert_eq!(Packet::check(&bytes).is_ok(), oracle);
            prop_assert_eq!(
                Packet::check_embedded(&bytes).is_ok(),
                Ipv4HeaderSlice::from_slice(&bytes)
                    .is_ok_and(|slice| usize::from(slice.total_len()) >= slice.slice().len())
            );
        }

        #[test]
        fn decrement_is_full_recomputation(mut oracle in oracle_header()) {
            let mut bytes = oracle.to_bytes();
            Header::over(window_mut(&mut bytes, 0).unwrap()).decrement_ttl();
            oracle.time_to_live = oracle.time_to_live.saturating_sub(1);
            oracle.header_checksum = oracle.calc_header_checksum();
            prop_assert_eq!(bytes.to_vec(), oracle.to_bytes().to_vec());
        }

        #[test]
        fn setters_with_increment_are_full_recomputation(
            mut oracle in oracle_header(), source: [u8; 4], destination: [u8; 4]
        ) {
            let mut bytes = oracle.to_bytes();
            let mut header = Header::over(window_mut(&mut bytes, 0).unwrap());
            let difference = Difference::NONE
                .address(header.source(), source.into())
                .address(header.destination(), destination.into());
            header.set_source(source.into());
            header.set_destination(destination.into());
            header.update_checksum(difference);
            oracle.source = source;
            oracle.destination = destination;
            oracle.header_checksum = oracle.calc_header_checksum();
            prop_assert_eq!(bytes.to_vec(), oracle.to_bytes().to_vec());
        }

        #[test]
        fn fill_writes_what_the_oracle_writes(
            mut bytes: [u8; HEADER_LEN], source: [u8; 4], destination: [u8; 4], b: [u8; 2],
            payload in 0_u16..1480, id: u16, offset in 0_u16..8192, flags: [bool; 2],
        ) {
            let mut header = Header::over(&mut bytes);
            header.fill(source.into(), destination.into(), b[0], b[1], 20 + payload);
            header.set_tos(0xb8);
            header.set_identification(id);
            header.set_fragment(flags[0], flags[1], offset * 8);
            header.fill_checksum(&[]);
            let mut oracle =
                Ipv4Header::new(payload, b[1], b[0].into(), source, destination).unwrap();
            oracle.dscp = 46.try_into().unwrap();
            oracle.identification = id;
            oracle.dont_fragment = flags[0];
            oracle.more_fragments = flags[1];
            oracle.fragment_offset = offset.try_into().unwrap();
            oracle.header_checksum = oracle.calc_header_checksum();
            prop_assert_eq!(bytes.to_vec(), oracle.to_bytes().to_vec());
            let fields = Fields {
                tos: 0xb8,
                total_length: 20 + payload,
                identification: id,
                dont_fragment: flags[0],
                ttl: b[1],
                protocol: b[0],
                source: source.into(),
                destination: destination.into(),
            };
            Header::over(&mut bytes).write(&fields);
            oracle.more_fragments = false;
            oracle.fragment_offset = 0.try_into().unwrap();
            oracle.header_checksum = oracle.calc_header_checksum();
            prop_assert_eq!(bytes.to_vec(), oracle.to_bytes().to_vec());
        }
    }

    #[test]
    fn hosts() {
        for text in ["10.0.0.100", "0.1.2.3", "223.255.255.255", "240.0.0.1"] {
            assert!(is_single_host(text.parse().unwrap()), "{text}");
        }
        for text in ["0.0.0.0", "127.0.0.1", "224.0.0.1", "239.255.255.255", "255.255.255.255"] {
            assert!(!is_single_host(text.parse().unwrap()), "{text}");
        }
    }
}
