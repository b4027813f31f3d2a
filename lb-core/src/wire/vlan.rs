//! VLAN tags (IEEE 802.1Q, 802.1ad).
//!
//! A tag follows an Ethernet type of 0x8100 or 0x88a8:
//!
//! ```text
//! 0                     2              4
//! | PCP:3 DEI:1 VID:12  | type          | payload ...
//! ```

use std::borrow::{Borrow, BorrowMut};

use super::ethernet::{self, EtherType};
use super::field::{be16, put, window};

mod field {
    pub(super) const TAG_CONTROL: usize = 0;
    pub(super) const ETHER_TYPE: usize = 2;
}

/// Length of one tag.
pub const TAG_LEN: usize = 4;

/// Tags that [`network_offset`] looks behind: a service tag and a customer tag.
pub const TAGS_MAX: usize = 2;

/// Type and offset of what follows the Ethernet header and its tags; `None` where the frame
/// ends before. With more than [`TAGS_MAX`] tags the type is still that of a tag.
#[inline]
pub fn network_offset(frame: &[u8]) -> Option<(EtherType, usize)> {
    let mut ether_type = ethernet::Header::over(window(frame, 0)?).ether_type();
    let mut offset = ethernet::HEADER_LEN;
    for _ in 0..TAGS_MAX {
        if ether_type != EtherType::VLAN && ether_type != EtherType::SERVICE_VLAN {
            break;
        }
        ether_type = Tag::over(window(frame, offset)?).ether_type();
        offset += TAG_LEN;
    }
    Some((ether_type, offset))
}

/// The view of one tag.
#[derive(Clone, Copy, Debug)]
pub struct Tag<B>(B);

impl<B: Borrow<[u8; TAG_LEN]>> Tag<B> {
    /// Lays the view over `window`.
    #[inline]
    pub const fn over(window: B) -> Self {
        Self(window)
    }

    /// VLAN identifier, 0 to 4095; 0 is "priority only".
    #[inline]
    pub fn id(&self) -> u16 {
        be16(self.0.borrow(), field::TAG_CONTROL) & 0x0fff
    }

    /// Priority code point, 0 to 7.
    #[inline]
    pub fn priority(&self) -> u8 {
        self.0.borrow()[field::TAG_CONTROL] >> 5
    }

    /// What the tagged payload is.
    #[inline]
    pub fn ether_type(&self) -> EtherType {
        EtherType(be16(self.0.borrow(), field::ETHER_TYPE))
    }
}

impl<B: BorrowMut<[u8; TAG_LEN]>> Tag<B> {
    /// Sets the whole control word: priority and drop eligibility 0, identifier `id`.
    #[inline]
    pub fn set_id(&mut self, id: u16) {
        put(self.0.borrow_mut(), field::TAG_CONTROL, (id & 0x0fff).to_be_bytes());
    }

    #[inline]
    pub fn set_ether_type(&mut self, ether_type: EtherType) {
        put(self.0.borrow_mut(), field::ETHER_TYPE, ether_type.0.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::SingleVlanHeaderSlice;
    use proptest::prelude::*;

    #[test]
    fn looks_behind_two_tags_at_most() {
        let mut frame = vec![0; 12];
        assert_eq!(network_offset(&frame), None);
        frame.extend([0x88, 0xa8, 0, 1, 0x81, 0x00, 0, 2, 0x08, 0x00]);
        assert_eq!(network_offset(&frame), Some((EtherType::IPV4, 22)));
        assert_eq!(network_offset(&frame[..21]), None);
        frame.splice(20..22, [0x81, 0x00, 0, 3, 0x08, 0x00]);
        assert_eq!(network_offset(&frame), Some((EtherType::VLAN, 22)));
    }

    proptest! {
        #[test]
        fn agrees_with_the_oracle(bytes: [u8; TAG_LEN]) {
            let oracle = SingleVlanHeaderSlice::from_slice(&bytes).unwrap();
            let tag = Tag::over(&bytes);
            prop_assert_eq!(tag.id(), oracle.vlan_identifier().value());
            prop_assert_eq!(tag.priority(), oracle.priority_code_point().value());
            prop_assert_eq!(tag.ether_type().0, oracle.ether_type().0);
        }

        #[test]
        fn setters_write_what_getters_read(mut bytes: [u8; TAG_LEN], id in 0_u16..4096) {
            let mut tag = Tag::over(&mut bytes);
            tag.set_id(id);
            tag.set_ether_type(EtherType::ARP);
            prop_assert_eq!((tag.id(), tag.priority(), tag.ether_type()), (id, 0, EtherType::ARP));
        }

        #[test]
        fn any_bytes_are_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..30)) {
            if let Some((_, offset)) = network_offset(&bytes) {
                prop_assert!(offset <= bytes.len());
            }
        }
    }
}
