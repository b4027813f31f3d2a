//! Taking the fragment header off a packet that is no fragment (RFC 6946): the kernel puts
//! datagrams together before it routes them, and this one is complete at once.

use crate::frame::Frame;
use crate::parse::Packet;
use crate::wire::extension::{self, FRAGMENT_LEN};
use crate::wire::field::window_mut;
use crate::wire::ipv6::{self, HEADER_LEN};

/// Takes the fragment header out of an atomic fragment; leaves any other packet as it is. The
/// packet's length has not counted the header from the beginning.
pub fn take_fragment_header(frame: &mut impl Frame, packet: &mut Packet) {
    if packet.is_atomic() && take(frame, packet.network_offset.into()).is_some() {
        let transport = usize::from(packet.transport_offset).saturating_sub(FRAGMENT_LEN);
        packet.set_offsets(packet.network_offset.into(), transport);
    }
    packet.is_atomic = false;
}

fn take(frame: &mut impl Frame, start: usize) -> Option<()> {
    let bytes = frame.bytes_mut();
    let packet = ipv6::Packet::check(bytes.get(start..)?).ok()?;
    let payload_length = packet.header.payload_length();
    let chain = extension::walk(packet.header.next_header(), packet.payload).ok()?;
    let fragment = chain.fragment.filter(|_| !chain.is_fragment())?;
    *bytes.get_mut(start + fragment.unfragmentable_next_at)? = fragment.next_header;
    let end = start + HEADER_LEN + usize::from(payload_length);
    let at = start + HEADER_LEN + fragment.header_offset;
    bytes.get_mut(..end)?.copy_within(at + FRAGMENT_LEN.., at);
    let shorter = usize::from(payload_length).checked_sub(FRAGMENT_LEN)?;
    let mut header = ipv6::Header::over(window_mut(bytes, start)?);
    header.set_payload_length(u16::try_from(shorter).ok()?);
    // Shorter than it was: no buffer is too small for that.
    frame.resize(end - FRAGMENT_LEN).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drops::DropReason;
    use crate::interface::{Interface, InterfaceId};
    use crate::snapshot::Snapshot;
    use crate::wire::build::{Icmp6, Ip6, Link, MemoryFrame};
    use proptest::prelude::*;

    fn taken(bytes: &[u8]) -> (Vec<u8>, Packet) {
        let lan = Interface::new("lan0", InterfaceId(0), Link::default().destination, 1500);
        let mut packet = Packet::dropped(DropReason::FrameTooShort);
        packet.parse(bytes, InterfaceId(0), &Snapshot::of_interfaces([lan]));
        let mut frame = MemoryFrame::new(bytes);
        take_fragment_header(&mut frame, &mut packet);
        (frame.bytes().to_vec(), packet)
    }

    proptest! {
        #[test]
        fn what_is_left_is_the_packet_without_it(
            body in proptest::collection::vec(any::<u8>(), 0..200), identification: u32,
            extensions in 0_usize..4, padding in 0_usize..20,
            vlan in prop_oneof![Just(None), Just(Some(0))],
        ) {
            let extensions = &[(60, &[0, 0, 1, 4, 0, 0, 0, 0][..]); 4][..extensions];
            let link = Link { vlan, ..Link::default() };
            let plain = Ip6 { extensions, ..Ip6::default() };
            let atomic = Ip6 { fragment: Some((0, false, identification)), ..plain };
            let without = Icmp6 { body: &body, ip: plain, ..Icmp6::default() }.frame(&link);
            let mut with = Icmp6 { body: &body, ip: atomic, ..Icmp6::default() }.frame(&link);
            with.resize(with.len() + padding, 0xaa);
            let (left, packet) = taken(&with);
            prop_assert_eq!(&left, &without);
            // Everything that is known of it is what is known of that one.
            let (_, other) = taken(&without);
            prop_assert_eq!(
                (packet.length, packet.transport_offset, packet.class, packet.is_fragment),
                (other.length, other.transport_offset, other.class, other.is_fragment)
            );
        }

        #[test]
        fn a_real_fragment_keeps_it(offset in 0_u16..100, more: bool) {
            prop_assume!(offset != 0 || more);
            let ip = Ip6 { fragment: Some((offset * 8, more, 7)), ..Ip6::default() };
            let frame = Icmp6 { body: &[0; 16], ip, ..Icmp6::default() }.frame(&Link::default());
            prop_assert_eq!(taken(&frame).0, frame);
        }

        #[test]
        fn any_bytes_stay_a_frame(
            mut bytes in proptest::collection::vec(prop_oneof![0_u8..3, any::<u8>()], 0..120),
            offset in 0_usize..130,
        ) {
            if let Some(window) = window_mut::<7>(&mut bytes, offset) {
                window.copy_from_slice(&[0x60, 0, 0, 0, 0, 20, 44]);
            }
            let mut frame = MemoryFrame::new(&bytes);
            if take(&mut frame, offset).is_none() {
                prop_assert_eq!(frame.bytes().len(), bytes.len());
            }
        }
    }
}
