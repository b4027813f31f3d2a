//! UDP (RFC 768).
//!
//! ```text
//! 0             2                  4        6          8
//! | source port | destination port | length | checksum | payload ...
//! ```

use std::borrow::{Borrow, BorrowMut};

use super::Malformed;
use super::checksum::Difference;
use super::field::{be16, put};

mod field {
    pub(super) const SOURCE_PORT: usize = 0;
    pub(super) const DESTINATION_PORT: usize = 2;
    pub(super) const LENGTH: usize = 4;
    pub(super) const CHECKSUM: usize = 6;
}

/// Length of the header.
pub const HEADER_LEN: usize = 8;

/// A checked datagram.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    pub header: Header<&'a [u8; HEADER_LEN]>,
    /// As long as the length field says.
    pub payload: &'a [u8],
}

impl<'a> Datagram<'a> {
    /// Cuts the payload of an IPv4 packet into header and payload. The first fragment of a
    /// datagram fails: its length is that of the whole. Lay a [`Header`] over it instead.
    #[inline]
    pub fn check(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (window, rest) = bytes.split_first_chunk().ok_or(Malformed::Truncated)?;
        let header = Header::over(window);
        let payload = usize::from(header.length())
            .checked_sub(HEADER_LEN)
            .and_then(|length| rest.get(..length))
            .ok_or(Malformed::TotalLength)?;
        Ok(Self { header, payload })
    }
}

/// The checksum to write where the sum gives `checksum`: 0 is written as 0xffff, since 0 on the
/// wire says that there is none.
#[inline]
pub const fn nonzero_checksum(checksum: u16) -> u16 {
    if checksum == 0 { 0xffff } else { checksum }
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
    pub fn source_port(&self) -> u16 {
        be16(self.0.borrow(), field::SOURCE_PORT)
    }

    #[inline]
    pub fn destination_port(&self) -> u16 {
        be16(self.0.borrow(), field::DESTINATION_PORT)
    }

    /// Length of header and payload in bytes.
    #[inline]
    pub fn length(&self) -> u16 {
        be16(self.0.borrow(), field::LENGTH)
    }

    /// 0 says that the sender worked out none.
    #[inline]
    pub fn checksum(&self) -> u16 {
        be16(self.0.borrow(), field::CHECKSUM)
    }
}

impl<B: BorrowMut<[u8; HEADER_LEN]>> Header<B> {
    /// Writes a header with checksum 0. `length` counts header and payload.
    #[inline]
    pub fn fill(&mut self, ports: (u16, u16), length: u16) {
        let bytes = self.0.borrow_mut();
        put(bytes, field::SOURCE_PORT, ports.0.to_be_bytes());
        put(bytes, field::DESTINATION_PORT, ports.1.to_be_bytes());
        put(bytes, field::LENGTH, length.to_be_bytes());
        put(bytes, field::CHECKSUM, [0; 2]);
    }

    /// Sets the source port; like every plain setter it leaves the checksum as it is.
    #[inline]
    pub fn set_source_port(&mut self, port: u16) {
        put(self.0.borrow_mut(), field::SOURCE_PORT, port.to_be_bytes());
    }

    /// Sets the destination port without the checksum.
    #[inline]
    pub fn set_destination_port(&mut self, port: u16) {
        put(self.0.borrow_mut(), field::DESTINATION_PORT, port.to_be_bytes());
    }

    /// Sets the checksum field.
    #[inline]
    pub fn set_checksum(&mut self, checksum: u16) {
        put(self.0.borrow_mut(), field::CHECKSUM, checksum.to_be_bytes());
    }

    /// Applies what other setters, and those of the pseudo-header, changed to the checksum,
    /// where there is one.
    #[inline]
    pub fn update_checksum(&mut self, difference: Difference) {
        let checksum = self.checksum();
        if checksum != 0 {
            self.set_checksum(nonzero_checksum(difference.apply(checksum)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::checksum::transport_v4;
    use etherparse::UdpSlice;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_the_oracle(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..40), length in 6_u16..45
        ) {
            if bytes.len() > 6 {
                bytes[4..6].copy_from_slice(&length.to_be_bytes());
            }
            match (Datagram::check(&bytes), UdpSlice::from_slice(&bytes)) {
                (Ok(ours), Ok(oracle)) => {
                    prop_assert_eq!(ours.header.source_port(), oracle.source_port());
                    prop_assert_eq!(ours.header.destination_port(), oracle.destination_port());
                    prop_assert_eq!(ours.header.length(), oracle.length());
                    prop_assert_eq!(ours.header.checksum(), oracle.checksum());
                    prop_assert_eq!(ours.payload, oracle.payload());
                }
                (ours, oracle) => prop_assert!(ours.is_err() && oracle.is_err()),
            }
        }

        #[test]
        fn increment_is_full_recomputation(
            old: (u16, u16), new: (u16, u16), vip: [u8; 4], rip: [u8; 4],
            payload in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let client = [10, 0, 1, 2];
            let length = u16::try_from(HEADER_LEN + payload.len()).unwrap();
            let mut bytes = [0; HEADER_LEN];
            let mut header = Header::over(&mut bytes);
            header.fill(old, length);
            let whole = [bytes.as_slice(), &payload].concat();
            let before = nonzero_checksum(transport_v4(client.into(), vip.into(), 17, &whole));
            let mut header = Header::over(&mut bytes);
            header.set_checksum(before);
            header.set_source_port(new.0);
            header.set_destination_port(new.1);
            header.update_checksum(
                Difference::NONE
                    .address(vip.into(), rip.into())
                    .u16(old.0, new.0)
                    .u16(old.1, new.1),
            );
            let oracle = etherparse::UdpHeader {
                source_port: new.0, destination_port: new.1, length, checksum: 0
            };
            let oracle = oracle.calc_checksum_ipv4_raw(client, rip, &payload).unwrap();
            prop_assert_eq!(header.checksum(), oracle);

            header.set_checksum(0);
            header.update_checksum(Difference::NONE.u16(1, 2));
            prop_assert_eq!(header.checksum(), 0);
        }
    }
}
