//! ICMPv6 (RFC 4443).
//!
//! ```text
//! 0      1      2          4                                      8
//! | type | code | checksum | rest: id+sequence, MTU, unused, ...  | body ...
//! ```
//!
//! Unlike ICMP's, the checksum covers the addresses too.

use std::borrow::{Borrow, BorrowMut};
use std::net::Ipv6Addr;

use super::Malformed;
use super::checksum::{Difference, Sum};
use super::field::{be16, be32, put};
use super::ipv6::protocol;

mod field {
    pub(super) const TYPE: usize = 0;
    pub(super) const CODE: usize = 1;
    pub(super) const CHECKSUM: usize = 2;
    pub(super) const REST: usize = 4;
    pub(super) const LOW_REST: usize = 6;
}

/// Length of the header.
pub const HEADER_LEN: usize = 8;

/// The type field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Type(pub u8);

impl Type {
    pub const UNREACHABLE: Self = Self(1);
    pub const PACKET_TOO_BIG: Self = Self(2);
    pub const TIME_EXCEEDED: Self = Self(3);
    pub const PARAMETER_PROBLEM: Self = Self(4);
    pub const ECHO_REQUEST: Self = Self(128);
    pub const ECHO_REPLY: Self = Self(129);
    /// Multicast listener discovery (RFC 2710).
    pub const LISTENER_QUERY: Self = Self(130);
    pub const LISTENER_REPORT: Self = Self(131);
    pub const LISTENER_DONE: Self = Self(132);
    /// Neighbour discovery (RFC 4861).
    pub const ROUTER_SOLICITATION: Self = Self(133);
    pub const ROUTER_ADVERTISEMENT: Self = Self(134);
    pub const NEIGHBOUR_SOLICITATION: Self = Self(135);
    pub const NEIGHBOUR_ADVERTISEMENT: Self = Self(136);
    pub const REDIRECT: Self = Self(137);
    /// Multicast listener discovery version 2 (RFC 3810).
    pub const LISTENER_REPORT_V2: Self = Self(143);

    /// Whether the message reports an error and embeds the packet that it is about: the high bit
    /// is clear (RFC 4443 section 2.1).
    #[inline]
    pub const fn is_error(self) -> bool {
        self.0 < 128
    }
}

/// A checked message.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    pub header: Header<&'a [u8; HEADER_LEN]>,
    /// Of an error: the packet that it is about, from its IPv6 header on.
    pub body: &'a [u8],
}

impl<'a> Message<'a> {
    /// Cuts what follows IPv6's headers into header and body.
    #[inline]
    pub fn check(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (window, body) = bytes.split_first_chunk().ok_or(Malformed::Truncated)?;
        Ok(Self { header: Header::over(window), body })
    }

    /// Whether the checksum is right. It covers the addresses and the whole body.
    #[inline]
    pub fn verify_checksum(&self, source: Ipv6Addr, destination: Ipv6Addr) -> bool {
        self.header.sum(source, destination, self.body).is_valid()
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

    #[inline]
    pub fn message_type(&self) -> Type {
        Type(self.0.borrow()[field::TYPE])
    }

    #[inline]
    pub fn code(&self) -> u8 {
        self.0.borrow()[field::CODE]
    }

    #[inline]
    pub fn checksum(&self) -> u16 {
        be16(self.0.borrow(), field::CHECKSUM)
    }

    /// The second word as it is.
    #[inline]
    pub fn rest(&self) -> u32 {
        be32(self.0.borrow(), field::REST)
    }

    /// Of an echo: which sender's.
    #[inline]
    pub fn identifier(&self) -> u16 {
        be16(self.0.borrow(), field::REST)
    }

    /// Of an echo: which of the sender's.
    #[inline]
    pub fn sequence(&self) -> u16 {
        be16(self.0.borrow(), field::LOW_REST)
    }

    /// Of "packet too big": the MTU of the next hop (RFC 4443 section 3.2).
    #[inline]
    pub fn mtu(&self) -> u32 {
        self.rest()
    }

    /// The sum of pseudo-header, header and `body`.
    #[inline]
    fn sum(&self, source: Ipv6Addr, destination: Ipv6Addr, body: &[u8]) -> Sum {
        // Nothing that fits an IPv6 packet is longer than 32 bits tell.
        let length = u32::try_from(HEADER_LEN + body.len()).unwrap_or(u32::MAX);
        Sum::pseudo_v6(source, destination, protocol::ICMPV6, length)
            .add_bytes(self.0.borrow())
            .add_bytes(body)
    }
}

impl<B: BorrowMut<[u8; HEADER_LEN]>> Header<B> {
    /// Writes the header in front of `body`, checksum right for a packet between these ends.
    pub fn fill(
        &mut self,
        (message_type, code): (Type, u8),
        rest: u32,
        (source, destination): (Ipv6Addr, Ipv6Addr),
        body: &[u8],
    ) {
        let bytes = self.0.borrow_mut();
        bytes[field::TYPE] = message_type.0;
        bytes[field::CODE] = code;
        put(bytes, field::REST, rest.to_be_bytes());
        self.fill_checksum(source, destination, body);
    }

    /// Sets the type, checksum by increment.
    #[inline]
    pub fn change_type(&mut self, message_type: Type) {
        let old = u16::from_be_bytes([self.message_type().0, 0]);
        self.0.borrow_mut()[field::TYPE] = message_type.0;
        let new = u16::from_be_bytes([message_type.0, 0]);
        self.update_checksum(Difference::NONE.u16(old, new));
    }

    /// Sets the checksum field.
    #[inline]
    pub fn set_checksum(&mut self, checksum: u16) {
        put(self.0.borrow_mut(), field::CHECKSUM, checksum.to_be_bytes());
    }

    /// Applies what was changed in the message, or of the addresses, to the checksum.
    #[inline]
    pub fn update_checksum(&mut self, difference: Difference) {
        self.set_checksum(difference.apply(self.checksum()));
    }

    /// Works out the checksum anew.
    #[inline]
    pub fn fill_checksum(&mut self, source: Ipv6Addr, destination: Ipv6Addr, body: &[u8]) {
        self.set_checksum(0);
        self.set_checksum(self.sum(source, destination, body).checksum());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{Icmpv6Slice, Icmpv6Type};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_the_oracle(
            message_type in prop_oneof![Just(1_u8), Just(2), Just(128), Just(129), any::<u8>()],
            code: u8, rest: u32, body in proptest::collection::vec(any::<u8>(), 0..60),
            source: [u8; 16], destination: [u8; 16],
        ) {
            let mut window = [0xee; HEADER_LEN];
            let ends = (source.into(), destination.into());
            Header::over(&mut window).fill((Type(message_type), code), rest, ends, &body);
            let mut bytes = [window.as_slice(), &body].concat();
            let ours = Message::check(&bytes).unwrap();
            let oracle = Icmpv6Slice::from_slice(&bytes).unwrap();
            prop_assert_eq!(ours.header.message_type().0, oracle.type_u8());
            prop_assert_eq!(ours.header.code(), oracle.code_u8());
            prop_assert_eq!(ours.header.checksum(), oracle.checksum());
            prop_assert_eq!(ours.header.rest().to_be_bytes(), oracle.bytes5to8());
            prop_assert!(oracle.is_checksum_valid(source, destination));
            prop_assert!(ours.verify_checksum(ends.0, ends.1));
            match oracle.icmp_type() {
                Icmpv6Type::EchoRequest(echo) => {
                    prop_assert_eq!(ours.header.identifier(), echo.id);
                    prop_assert_eq!(ours.header.sequence(), echo.seq);
                }
                Icmpv6Type::PacketTooBig { mtu } => prop_assert_eq!(ours.header.mtu(), mtu),
                _ => {}
            }
            bytes[5] ^= 1;
            prop_assert!(!Message::check(&bytes).unwrap().verify_checksum(ends.0, ends.1));
        }

        #[test]
        fn increment_is_full_recomputation(
            mut window: [u8; HEADER_LEN], body in proptest::collection::vec(any::<u8>(), 0..60),
            source: [u8; 16], destination: [u8; 16], new: [u8; 16],
        ) {
            let (source, destination, new) = (source.into(), destination.into(), new.into());
            let mut header = Header::over(&mut window);
            header.fill_checksum(source, destination, &body);
            header.change_type(Type::ECHO_REPLY);
            header.update_checksum(Difference::NONE.address6(destination, new));
            let by_increment = header.checksum();
            header.fill_checksum(source, new, &body);
            prop_assert_eq!(by_increment, header.checksum());
        }

        #[test]
        fn short_is_truncated(bytes in proptest::collection::vec(any::<u8>(), 0..HEADER_LEN)) {
            prop_assert_eq!(Message::check(&bytes).unwrap_err(), Malformed::Truncated);
        }
    }
}
