//! The last step of every method: the link-layer header towards the next hop.

use crate::drops::DropReason;
use crate::frame::Frame;
use crate::parse::Packet;
use crate::slots::NextHop;
use crate::snapshot::Snapshot;
use crate::wire::{ethernet, field::window_mut};

/// The shortest frame on Ethernet, without FCS (IEEE 802.3); devices pad up to it.
const FRAME_LEN_MIN: usize = 60;

/// Where the packet starts in a frame without tags.
pub(super) const HEADER_LEN: usize = ethernet::HEADER_LEN;

/// Whether a frame has priority tags, or more behind its packet than Ethernet's padding: what
/// only the link that it came by knows of, and [`strip`] takes off.
#[inline]
pub fn is_dressed(frame: &[u8], packet: &Packet) -> bool {
    let start = usize::from(packet.network_offset);
    frame.len() > (start + usize::from(packet.length)).max(FRAME_LEN_MIN) || start != HEADER_LEN
}

/// Leaves of a frame the Ethernet header and the packet. The kernel, too, takes off tags of VLAN 0
/// and what is behind the packet before it routes it.
#[cold]
pub fn strip(frame: &mut impl Frame, packet: &mut Packet) {
    let start = usize::from(packet.network_offset);
    let length = usize::from(packet.length);
    let bytes = frame.bytes_mut();
    if start + length > bytes.len() || start < ethernet::HEADER_LEN {
        return;
    }
    bytes.copy_within(start - 2..start + length, ethernet::HEADER_LEN - 2);
    // Shorter than it was: no buffer is too small for that.
    let _ = frame.resize(ethernet::HEADER_LEN + length);
    packet.set_network_offset(HEADER_LEN);
}

/// Addresses a frame to its next hop, if it fits the interface that leads there.
#[inline]
pub fn address_link(
    frame: &mut [u8],
    next_hop: NextHop,
    snapshot: &Snapshot,
) -> Result<(), DropReason> {
    let interface = snapshot.interface(next_hop.interface);
    if frame.len() > ethernet::HEADER_LEN + usize::from(interface.mtu) {
        return Err(DropReason::ExceedsMtu);
    }
    let window =
        window_mut::<{ ethernet::HEADER_LEN }>(frame, 0).ok_or(DropReason::FrameTooShort)?;
    let mut header = ethernet::Header::over(window);
    header.set_destination(next_hop.mac);
    header.set_source(interface.mac);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::Interface;
    use crate::wire::build::{Link, MemoryFrame, Tcp};

    fn stripped(bytes: &[u8]) -> Vec<u8> {
        let mac = Link::default().destination;
        let interface = Interface { name: "lan0".to_owned(), mac, mtu: 1500, addresses: vec![] };
        let mut packet = Packet::dropped(DropReason::FrameTooShort);
        packet.parse(bytes, &interface);
        let mut frame = MemoryFrame::new(bytes);
        if is_dressed(frame.bytes(), &packet) {
            strip(&mut frame, &mut packet);
            assert_eq!(usize::from(packet.network_offset), HEADER_LEN);
        }
        frame.bytes().to_vec()
    }

    #[test]
    fn tags_and_trailers_go_and_padding_stays() {
        let plain = Tcp { payload: b"odd", ..Tcp::default() }.frame(&Link::default());
        assert_eq!(stripped(&plain), plain);
        let padded = [&plain[..], &[0; 3]].concat();
        assert_eq!((padded.len(), stripped(&padded)), (60, padded.clone()));
        assert_eq!(stripped(&[&plain[..], &[7; 4]].concat()), plain, "61 bytes are no padding");
        let link = Link { vlan: Some(0), ..Link::default() };
        let tagged = Tcp { payload: b"odd", ..Tcp::default() }.frame(&link);
        assert_eq!(stripped(&tagged), plain);
        assert_eq!(stripped(&[&tagged[..], &[7; 900]].concat()), plain);
    }
}
