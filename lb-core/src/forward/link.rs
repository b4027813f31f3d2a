//! The last step of every method: the link-layer header towards the next hop.

use super::atomic::take_fragment_header;
use crate::drops::DropReason;
use crate::frame::Frame;
use crate::interface::Interface;
use crate::next_hop::NextHop;
use crate::parse::Packet;
use crate::snapshot::Snapshot;
use crate::wire::ethernet::EtherType;
use crate::wire::{MacAddress, ethernet, field::window_mut, vlan};

/// The shortest frame on Ethernet, without FCS (IEEE 802.3); devices pad up to it.
const FRAME_LEN_MIN: usize = 60;

/// Where the packet starts in a frame without tags.
pub(crate) const HEADER_LEN: usize = ethernet::HEADER_LEN;

/// Whether a frame has priority tags, or more behind its packet than Ethernet's padding: what
/// only the link that it came by knows of, and [`strip`] takes off. A fragment header that says
/// nothing makes a frame longer than its packet, too.
#[inline]
pub fn is_dressed(frame: &[u8], packet: &Packet) -> bool {
    let start = usize::from(packet.network_offset);
    frame.len() > (start + packet.length as usize).max(FRAME_LEN_MIN) || start != HEADER_LEN
}

/// Leaves of a frame the Ethernet header and the packet. The kernel, too, takes off tags of VLAN 0
/// and what is behind the packet before it routes it.
#[cold]
pub fn strip(frame: &mut impl Frame, packet: &mut Packet) {
    take_fragment_header(frame, packet);
    let start = usize::from(packet.network_offset);
    let length = packet.length as usize;
    let bytes = frame.bytes_mut();
    if start + length > bytes.len() || start < ethernet::HEADER_LEN {
        return;
    }
    bytes.copy_within(start - 2..start + length, ethernet::HEADER_LEN - 2);
    // Shorter than it was: no buffer is too small for that.
    let _ = frame.resize(ethernet::HEADER_LEN + length);
    let transport = usize::from(packet.transport_offset).saturating_sub(start);
    packet.set_offsets(HEADER_LEN, HEADER_LEN + transport);
}

/// The same whatever is behind the packet: for a reader that knows tags of no kind.
pub fn strip_tags(frame: &mut impl Frame, packet: &mut Packet) {
    if usize::from(packet.network_offset) != HEADER_LEN {
        strip(frame, packet);
    }
}

/// Addresses an untagged frame to its next hop, and gives it the tag of the interface that leads
/// there.
#[inline(always)]
pub fn address_link(
    frame: &mut impl Frame,
    next_hop: NextHop,
    snapshot: &Snapshot,
) -> Result<(), DropReason> {
    let interface = snapshot.interface(next_hop.interface());
    address(frame.bytes_mut(), next_hop, interface).ok_or(DropReason::FrameTooShort)?;
    tag(frame, interface)
}

/// The addresses of an untagged frame to its next hop, by the interface that leads there.
#[inline(always)]
pub(crate) fn address(frame: &mut [u8], next_hop: NextHop, interface: &Interface) -> Option<()> {
    let mut header = ethernet::Header::over(window_mut(frame, 0)?);
    header.set_destination(next_hop.mac());
    header.set_source(interface.mac);
    Some(())
}

/// Gives an addressed frame the tag of the interface that it leaves by, where that has one.
#[inline(always)]
pub(crate) fn tag(frame: &mut impl Frame, interface: &Interface) -> Result<(), DropReason> {
    match interface.vlan {
        None => Ok(()),
        Some(id) => insert_tag(frame, id).ok_or(DropReason::NoRoom),
    }
}

/// Puts an 802.1Q tag behind the addresses.
#[cold]
pub fn insert_tag(frame: &mut impl Frame, id: u16) -> Option<()> {
    const ADDRESSES: usize = 12;
    frame.prepend(vlan::TAG_LEN)?;
    let bytes = frame.bytes_mut();
    bytes.get_mut(..ADDRESSES + vlan::TAG_LEN)?.copy_within(vlan::TAG_LEN.., 0);
    let mut header = ethernet::Header::over(window_mut(bytes, 0)?);
    // What was the type of the payload is where the tag says it.
    header.set_ether_type(EtherType::VLAN);
    vlan::Tag::over(window_mut(bytes, ethernet::HEADER_LEN)?).set_id(id);
    Some(())
}

/// The link-layer header of a frame that is made anew, and its length.
pub fn link_header(
    interface: &Interface,
    to: MacAddress,
    is_v4: bool,
) -> ([u8; ethernet::HEADER_LEN + vlan::TAG_LEN], usize) {
    let mut bytes = [0; ethernet::HEADER_LEN + vlan::TAG_LEN];
    let inner = if is_v4 { EtherType::IPV4 } else { EtherType::IPV6 };
    if let Some(window) = window_mut(&mut bytes, 0) {
        let mut header = ethernet::Header::over(window);
        header.set_destination(to);
        header.set_source(interface.mac);
        header.set_ether_type(if interface.vlan.is_some() { EtherType::VLAN } else { inner });
    }
    let Some(id) = interface.vlan else { return (bytes, ethernet::HEADER_LEN) };
    if let Some(window) = window_mut(&mut bytes, ethernet::HEADER_LEN) {
        let mut tag = vlan::Tag::over(window);
        tag.set_id(id);
        tag.set_ether_type(inner);
    }
    (bytes, ethernet::HEADER_LEN + vlan::TAG_LEN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::InterfaceId;
    use crate::wire::build::{Link, MemoryFrame, Tcp};

    fn stripped(bytes: &[u8]) -> Vec<u8> {
        let mac = Link::default().destination;
        let snapshot = Snapshot::of_interfaces([
            Interface::new("lan0", InterfaceId(0), mac, 1500),
            vlan_interface(mac),
        ]);
        let mut packet = Packet::dropped(DropReason::FrameTooShort);
        packet.parse(bytes, InterfaceId(0), &snapshot);
        let mut frame = MemoryFrame::new(bytes);
        if is_dressed(frame.bytes(), &packet) {
            strip(&mut frame, &mut packet);
            assert_eq!(usize::from(packet.network_offset), HEADER_LEN);
        }
        frame.bytes().to_vec()
    }

    fn vlan_interface(mac: MacAddress) -> Interface {
        let interface = Interface::new("lan0.7", InterfaceId(0), mac, 1500);
        Interface { vlan: Some(7), ..interface }
    }

    #[test]
    fn a_frame_gets_the_tag_of_its_interface() {
        let to = MacAddress([2, 0, 0, 0, 2, 11]);
        let plain = Tcp::default().frame(&Link::default());
        let ours = Link::default().destination;
        let link = |vlan| Link { source: ours, destination: to, vlan };
        let snapshot = Snapshot::of_interfaces([
            Interface::new("lan0", InterfaceId(0), ours, 1500),
            vlan_interface(ours),
        ]);
        for (id, vlan) in [(0, None), (1, Some(7))] {
            let mut frame = MemoryFrame::new(&plain);
            let next_hop = NextHop::new(to, InterfaceId(id));
            assert_eq!(address_link(&mut frame, next_hop, &snapshot), Ok(()));
            let expected = Tcp::default().frame(&link(vlan));
            assert_eq!(frame.bytes(), expected);
            let (header, length) = link_header(snapshot.interface(InterfaceId(id)), to, true);
            assert_eq!(header[..length], expected[..length]);
        }
        let mut tight = MemoryFrame::with_room(&plain, 3, 0);
        let next_hop = NextHop::new(to, InterfaceId(1));
        assert_eq!(address_link(&mut tight, next_hop, &snapshot), Err(DropReason::NoRoom));
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
