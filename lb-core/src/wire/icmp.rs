//! ICMP for IPv4 (RFC 792).
//!
//! ```text
//! 0      1      2          4                                      8
//! | type | code | checksum | rest: id+sequence, unused+MTU, ...   | body ...
//! ```

use std::borrow::{Borrow, BorrowMut};

use super::Malformed;
use super::checksum::{Difference, Sum};
use super::field::{be16, be32, put};

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
    pub const ECHO_REPLY: Self = Self(0);
    pub const UNREACHABLE: Self = Self(3);
    pub const SOURCE_QUENCH: Self = Self(4);
    pub const REDIRECT: Self = Self(5);
    pub const ECHO_REQUEST: Self = Self(8);
    pub const TIME_EXCEEDED: Self = Self(11);
    pub const PARAMETER_PROBLEM: Self = Self(12);

    /// Whether the message reports an error and embeds the packet that it is about (RFC 1122
    /// section 3.2.2).
    #[inline]
    pub const fn is_error(self) -> bool {
        matches!(
            self,
            Self::UNREACHABLE
                | Self::SOURCE_QUENCH
                | Self::REDIRECT
                | Self::TIME_EXCEEDED
                | Self::PARAMETER_PROBLEM
        )
    }

    /// Whether the message is a question or an answer that carries no packet (RFC 1122 section
    /// 3.2.2, RFC 1256). A type that is neither this nor an error is unknown.
    #[inline]
    pub const fn is_query(self) -> bool {
        matches!(self.0, 0 | 8..=10 | 13..=18)
    }
}

/// A checked message.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    pub header: Header<&'a [u8; HEADER_LEN]>,
    /// Of an error: the packet that it is about, from its IP header on.
    pub body: &'a [u8],
}

impl<'a> Message<'a> {
    /// Cuts the payload of an IPv4 packet into header and body.
    #[inline]
    pub fn check(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (window, body) = bytes.split_first_chunk().ok_or(Malformed::Truncated)?;
        Ok(Self { header: Header::over(window), body })
    }

    /// Whether the checksum is right. It covers the whole body.
    #[inline]
    pub fn verify_checksum(&self) -> bool {
        self.header.sum().add_bytes(self.body).is_valid()
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

    /// Of "fragmentation needed": the MTU of the next hop (RFC 1191 section 4).
    #[inline]
    pub fn next_hop_mtu(&self) -> u16 {
        be16(self.0.borrow(), field::LOW_REST)
    }

    #[inline]
    fn sum(&self) -> Sum {
        Sum::ZERO.add_bytes(self.0.borrow())
    }
}

impl<B: BorrowMut<[u8; HEADER_LEN]>> Header<B> {
    /// Writes the header in front of `body`, checksum right.
    pub fn fill(&mut self, message_type: Type, code: u8, rest: u32, body: &[u8]) {
        let bytes = self.0.borrow_mut();
        bytes[field::TYPE] = message_type.0;
        bytes[field::CODE] = code;
        put(bytes, field::REST, rest.to_be_bytes());
        self.fill_checksum(body);
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

    /// Applies what was changed in the message to the checksum.
    #[inline]
    pub fn update_checksum(&mut self, difference: Difference) {
        self.set_checksum(difference.apply(self.checksum()));
    }

    /// Works out the checksum anew.
    #[inline]
    pub fn fill_checksum(&mut self, body: &[u8]) {
        self.set_checksum(0);
        self.set_checksum(self.sum().add_bytes(body).checksum());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{Icmpv4Slice, Icmpv4Type};
    use proptest::prelude::*;

    #[test]
    fn errors_and_queries_are_apart() {
        for number in 0..=255 {
            let kind = Type(number);
            assert!(!(kind.is_error() && kind.is_query()), "{number}");
        }
        assert!(Type::ECHO_REQUEST.is_query() && Type::UNREACHABLE.is_error());
        assert!(!Type(200).is_error() && !Type(200).is_query());
    }

    proptest! {
        #[test]
        fn agrees_with_the_oracle(
            message_type in prop_oneof![Just(0_u8), Just(3), Just(8), Just(11), Just(200)],
            code: u8, rest: u32, body in proptest::collection::vec(any::<u8>(), 0..60)
        ) {
            let mut window = [0xee; HEADER_LEN];
            Header::over(&mut window).fill(Type(message_type), code, rest, &body);
            let bytes = [window.as_slice(), &body].concat();
            let ours = Message::check(&bytes).unwrap();
            let oracle = Icmpv4Slice::from_slice(&bytes).unwrap();
            prop_assert_eq!(ours.header.message_type().0, oracle.type_u8());
            prop_assert_eq!(ours.header.code(), oracle.code_u8());
            prop_assert_eq!(ours.header.checksum(), oracle.checksum());
            prop_assert_eq!(ours.header.rest().to_be_bytes(), oracle.bytes5to8());
            // As an unknown type, so that the oracle keeps the second word of every message.
            let raw = Icmpv4Type::Unknown {
                type_u8: message_type, code_u8: code, bytes5to8: rest.to_be_bytes()
            };
            prop_assert_eq!(raw.calc_checksum(&body), ours.header.checksum());
            prop_assert!(ours.verify_checksum());
            if let Icmpv4Type::EchoRequest(echo) = oracle.icmp_type() {
                prop_assert_eq!(ours.header.identifier(), echo.id);
                prop_assert_eq!(ours.header.sequence(), echo.seq);
            }
        }

        #[test]
        fn increment_is_full_recomputation(
            mut window: [u8; HEADER_LEN], body in proptest::collection::vec(any::<u8>(), 0..60)
        ) {
            // An all-zero message has two right checksums.
            window[7] |= 1;
            let mut header = Header::over(&mut window);
            header.fill_checksum(&body);
            header.change_type(Type::ECHO_REPLY);
            let by_increment = header.checksum();
            header.fill_checksum(&body);
            prop_assert_eq!(by_increment, header.checksum());
        }

        #[test]
        fn short_is_truncated(bytes in proptest::collection::vec(any::<u8>(), 0..HEADER_LEN)) {
            prop_assert_eq!(Message::check(&bytes).unwrap_err(), Malformed::Truncated);
        }
    }
}
