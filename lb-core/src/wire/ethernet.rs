//! Ethernet II (IEEE 802.3 clause 3, RFC 894).
//!
//! ```text
//! 0            6            12     14
//! | destination | source     | type | payload ...
//! ```

use std::borrow::{Borrow, BorrowMut};

use super::field::{be16, put, six};
use super::{MacAddress, Malformed};

mod field {
    pub(super) const DESTINATION: usize = 0;
    pub(super) const SOURCE: usize = 6;
    pub(super) const ETHER_TYPE: usize = 12;
}

/// Length of the header without tags and FCS.
pub const HEADER_LEN: usize = 14;

/// What the payload is (IEEE registry).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EtherType(pub u16);

impl EtherType {
    pub const IPV4: Self = Self(0x0800);
    pub const ARP: Self = Self(0x0806);
    /// 802.1Q customer tag.
    pub const VLAN: Self = Self(0x8100);
    pub const IPV6: Self = Self(0x86dd);
    /// 802.1ad service tag.
    pub const SERVICE_VLAN: Self = Self(0x88a8);
}

/// A checked frame.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    pub header: Header<&'a [u8; HEADER_LEN]>,
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Cuts a frame into header and payload.
    #[inline]
    pub fn check(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (header, payload) = bytes.split_first_chunk().ok_or(Malformed::Truncated)?;
        Ok(Self { header: Header::over(header), payload })
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
    pub fn destination(&self) -> MacAddress {
        MacAddress(six(self.0.borrow(), field::DESTINATION))
    }

    #[inline]
    pub fn source(&self) -> MacAddress {
        MacAddress(six(self.0.borrow(), field::SOURCE))
    }

    #[inline]
    pub fn ether_type(&self) -> EtherType {
        EtherType(be16(self.0.borrow(), field::ETHER_TYPE))
    }
}

impl<B: BorrowMut<[u8; HEADER_LEN]>> Header<B> {
    #[inline]
    pub fn set_destination(&mut self, address: MacAddress) {
        put(self.0.borrow_mut(), field::DESTINATION, address.0);
    }

    #[inline]
    pub fn set_source(&mut self, address: MacAddress) {
        put(self.0.borrow_mut(), field::SOURCE, address.0);
    }

    #[inline]
    pub fn set_ether_type(&mut self, ether_type: EtherType) {
        put(self.0.borrow_mut(), field::ETHER_TYPE, ether_type.0.to_be_bytes());
    }

    /// Turns the frame round: to whom it came from, from whom it was sent to.
    #[inline]
    pub fn swap_addresses(&mut self) {
        let (destination, source) = (self.destination(), self.source());
        self.set_destination(source);
        self.set_source(destination);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::Ethernet2HeaderSlice;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_the_oracle(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            match (Frame::check(&bytes), Ethernet2HeaderSlice::from_slice(&bytes)) {
                (Ok(ours), Ok(oracle)) => {
                    prop_assert_eq!(ours.header.destination().0, oracle.destination());
                    prop_assert_eq!(ours.header.source().0, oracle.source());
                    prop_assert_eq!(ours.header.ether_type().0, oracle.ether_type().0);
                    prop_assert_eq!(ours.payload, &bytes[14..]);
                }
                (ours, oracle) => prop_assert!(ours.is_err() && oracle.is_err()),
            }
        }

        #[test]
        fn setters_write_what_getters_read(
            mut bytes: [u8; HEADER_LEN], to: [u8; 6], from: [u8; 6], ether_type: u16
        ) {
            let mut header = Header::over(&mut bytes);
            header.set_destination(MacAddress(to));
            header.set_source(MacAddress(from));
            header.set_ether_type(EtherType(ether_type));
            header.swap_addresses();
            let oracle = Ethernet2HeaderSlice::from_slice(&bytes).unwrap();
            prop_assert_eq!(oracle.destination(), from);
            prop_assert_eq!(oracle.source(), to);
            prop_assert_eq!(oracle.ether_type().0, ether_type);
        }
    }
}
