//! Generic UDP encapsulation (draft-ietf-intarea-gue), version 0: what stands between the UDP
//! header and the packet of a tunnel.
//!
//! ```text
//! 0                 1          2       4
//! | ver:2 C:1 len:5 | protocol | flags | fields ... (4 bytes * len), packet ...
//! ```

use std::borrow::{Borrow, BorrowMut};

use super::Malformed;
use super::field::be16;

mod field {
    pub(super) const VERSION_LENGTH: usize = 0;
    pub(super) const PROTOCOL: usize = 1;
    pub(super) const FLAGS: usize = 2;
}

/// Length of the header without optional fields.
pub const HEADER_LEN: usize = 4;

const CONTROL: u8 = 0x20;
const FIELD_WORDS: u8 = 0x1f;

/// A checked packet: data, not a control message.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    pub header: Header<&'a [u8; HEADER_LEN]>,
    /// The optional fields that the flags tell about, as they are.
    pub fields: &'a [u8],
    /// What is carried; of the protocol that the header names.
    pub payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Cuts the payload of a UDP datagram into header, fields and what it carries (the kernel's
    /// `ipvs_udp_decap`).
    #[inline]
    pub fn check(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (window, rest) = bytes.split_first_chunk().ok_or(Malformed::Truncated)?;
        let header = Header::over(window);
        if header.version() != 0 || header.is_control() {
            return Err(Malformed::Version);
        }
        let (fields, payload) =
            rest.split_at_checked(header.fields_length()).ok_or(Malformed::HeaderLength)?;
        Ok(Self { header, fields, payload })
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

    /// 0 in every packet that passes the check.
    #[inline]
    pub fn version(&self) -> u8 {
        self.0.borrow()[field::VERSION_LENGTH] >> 6
    }

    /// Whether the message is about the tunnel instead of from it.
    #[inline]
    pub fn is_control(&self) -> bool {
        self.0.borrow()[field::VERSION_LENGTH] & CONTROL != 0
    }

    /// Length in bytes of the optional fields: 0 to 124.
    #[inline]
    pub fn fields_length(&self) -> usize {
        usize::from(self.0.borrow()[field::VERSION_LENGTH] & FIELD_WORDS) * 4
    }

    /// IP protocol number of the payload: 4 for IPv4, 41 for IPv6.
    #[inline]
    pub fn protocol(&self) -> u8 {
        self.0.borrow()[field::PROTOCOL]
    }

    /// Which optional fields there are.
    #[inline]
    pub fn flags(&self) -> u16 {
        be16(self.0.borrow(), field::FLAGS)
    }
}

impl<B: BorrowMut<[u8; HEADER_LEN]>> Header<B> {
    /// Writes a header of a data message without optional fields.
    #[inline]
    pub fn fill(&mut self, protocol: u8) {
        *self.0.borrow_mut() = [0, protocol, 0, 0];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn as_the_kernel_writes() {
        let mut bytes = [0xee; HEADER_LEN];
        Header::over(&mut bytes).fill(crate::wire::ipv6::protocol::IPV6);
        assert_eq!(bytes, [0x00, 0x29, 0x00, 0x00]);
        let packet = Packet::check(&bytes).unwrap();
        assert_eq!((packet.header.protocol(), packet.header.flags()), (41, 0));
        assert!(packet.fields.is_empty() && packet.payload.is_empty());
    }

    proptest! {
        #[test]
        fn fields_and_payload_are_all_of_it(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..150),
            first in prop_oneof![0_u8..32, any::<u8>()],
        ) {
            if let Some(byte) = bytes.first_mut() {
                *byte = first;
            }
            let fields = usize::from(first & 0x1f) * 4;
            match Packet::check(&bytes) {
                Ok(packet) => {
                    prop_assert_eq!(packet.fields, &bytes[4..4 + fields]);
                    prop_assert_eq!(packet.payload, &bytes[4 + fields..]);
                    prop_assert_eq!(packet.header.protocol(), bytes[1]);
                    prop_assert_eq!(packet.header.flags().to_be_bytes(), &bytes[2..4]);
                }
                Err(Malformed::Version) => prop_assert!(first >= 32),
                Err(_) => prop_assert!(bytes.len() < 4 + fields),
            }
        }
    }
}
