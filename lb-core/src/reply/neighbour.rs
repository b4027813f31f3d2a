//! Neighbour discovery (RFC 4861): answers for our addresses, questions and announcements, and
//! what the messages of others tell.

use std::net::Ipv6Addr;

use super::Refusal;
use crate::frame::Frame;
use crate::wire::ethernet::{self, EtherType};
use crate::wire::extension;
use crate::wire::field::window_mut;
use crate::wire::icmpv6::Type;
use crate::wire::ipv6::{self, protocol};
use crate::wire::ndp::{self, Flags};
use crate::wire::vlan::{self, Tag};
use crate::wire::{MacAddress, Malformed, checksum};

/// Of a packet that we write: with one option.
const PAYLOAD_LEN: usize = ndp::HEADER_LEN + ndp::LINK_LAYER_LEN;
const PACKET_LEN: usize = ipv6::HEADER_LEN + PAYLOAD_LEN;

/// Bytes that [`solicit`] and [`announce`] need at most.
pub const SOLICITATION_LEN_MAX: usize = ethernet::HEADER_LEN + vlan::TAG_LEN + PACKET_LEN;

/// What a valid solicitation or advertisement tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Whom `mac` is about: the source of a solicitation, the target of an advertisement.
    /// Unspecified in a solicitation that looks for duplicates: it tells of nobody.
    pub sender: Ipv6Addr,
    /// The sender's, where the message has it.
    pub mac: Option<MacAddress>,
    /// The address that is asked for, or told about.
    pub target: Ipv6Addr,
    /// Whether it asks.
    pub solicitation: bool,
    /// Where it was sent; a group, or one of our addresses.
    pub destination: Ipv6Addr,
    /// Of an advertisement: whether it says so of the target, and means to be believed.
    pub flags: Flags,
}

/// Reads the packet that `bytes` begin with, from its IPv6 header on. `None` where it is no
/// valid solicitation or advertisement.
pub fn seen(bytes: &[u8]) -> Option<Told> {
    read(bytes).ok()
}

/// Turns a solicitation for an address that `is_ours` into the advertisement: it is at `mac`.
///
/// A probe for duplicates (source `::`) is answered to all nodes, for its sender has no address
/// yet. The override flag is set and the address told in every answer, also to a neighbour that
/// asks us alone, who may not have it any more after a failover (the kernel leaves both out
/// there; RFC 4861 section 7.2.4 permits either). `router` is the flag of that name: a kernel
/// with forwarding sets it. Extension headers, other options and padding are cut off.
pub fn answer(
    frame: &mut impl Frame,
    network_offset: usize,
    mac: MacAddress,
    router: bool,
    is_ours: impl Fn(Ipv6Addr) -> bool,
) -> Result<(), Refusal> {
    let link = ethernet::Frame::check(frame.bytes())?.header;
    let bytes = frame.bytes().get(network_offset..).ok_or(Malformed::Truncated)?;
    let asked = read(bytes)?;
    if !asked.solicitation {
        return Err(Refusal::NotAsked);
    }
    if !is_ours(asked.target) {
        return Err(Refusal::NotOurs);
    }
    let is_probe = asked.sender.is_unspecified();
    let asker = asked.mac.unwrap_or_else(|| link.source());
    if !asker.is_unicast() || !(is_probe || ipv6::is_single_host(asked.sender)) {
        return Err(Refusal::NotUnicast);
    }
    if !is_probe && is_ours(asked.sender) {
        return Err(Refusal::AddressConflict);
    }
    let (to, to_mac) = if is_probe {
        (ndp::ALL_NODES, ndp::group_mac(ndp::ALL_NODES))
    } else {
        (asked.sender, asker)
    };
    if !frame.resize(network_offset + PACKET_LEN) {
        return Err(Refusal::NoRoom);
    }
    let bytes = frame.bytes_mut();
    let window = window_mut(bytes, network_offset).ok_or(Malformed::Truncated)?;
    let flags = Flags { router, solicited: !is_probe, overriding: true };
    write_advertisement(window, flags, (mac, asked.target), to);
    let mut ethernet = ethernet::Header::over(window_mut(bytes, 0).ok_or(Malformed::Truncated)?);
    ethernet.set_destination(to_mac);
    ethernet.set_source(mac);
    Ok(())
}

/// Writes a solicitation for the MAC address of `target` into `buffer`, as a frame from `sender`.
///
/// `to` is the address that a neighbour had, to ask it alone whether it still has (RFC 4861
/// section 7.3.3), or `None` to ask the group. The sender has an address: this is no probe for
/// duplicates. Returns the frame's length, or `None` where
/// `buffer` is shorter than that (see [`SOLICITATION_LEN_MAX`]).
pub fn solicit(
    buffer: &mut [u8],
    vlan: Option<u16>,
    sender: (MacAddress, Ipv6Addr),
    target: Ipv6Addr,
    to: Option<MacAddress>,
) -> Option<usize> {
    let group = ndp::solicited_node(target);
    let (destination, to) = match to {
        Some(mac) => (target, mac),
        None => (group, ndp::group_mac(group)),
    };
    let network_offset = write_link(buffer, vlan, sender.0, to)?;
    let window = window_mut(buffer, network_offset)?;
    let option = ndp::link_layer_option(ndp::SOURCE_LINK_LAYER, sender.0);
    let message = (Type::NEIGHBOUR_SOLICITATION, Flags::default());
    write_packet(window, message, target, (sender.1, destination), option);
    Some(network_offset + PACKET_LEN)
}

/// Writes an unsolicited advertisement into `buffer`: to all nodes, which take the new MAC where
/// they know the address (RFC 4861 section 7.2.6). Returns as [`solicit`] does.
pub fn announce(
    buffer: &mut [u8],
    vlan: Option<u16>,
    sender: (MacAddress, Ipv6Addr),
    router: bool,
) -> Option<usize> {
    let to = ndp::group_mac(ndp::ALL_NODES);
    let network_offset = write_link(buffer, vlan, sender.0, to)?;
    let window = window_mut(buffer, network_offset)?;
    let flags = Flags { router, solicited: false, overriding: true };
    write_advertisement(window, flags, sender, ndp::ALL_NODES);
    Some(network_offset + PACKET_LEN)
}

/// Reads and validates a message (RFC 4861 sections 7.1.1 and 7.1.2, RFC 6980 section 5).
fn read(bytes: &[u8]) -> Result<Told, Refusal> {
    let packet = ipv6::Packet::check(bytes)?;
    let header = packet.header;
    let (source, destination) = (header.source(), header.destination());
    let chain = extension::walk(header.next_header(), packet.payload)?;
    if chain.fragment.is_some() {
        return Err(Refusal::Fragment);
    }
    if chain.protocol != protocol::ICMPV6 {
        return Err(Refusal::NotAsked);
    }
    let bytes = super::behind(&packet, &chain);
    let message = ndp::Message::check(bytes)?;
    if header.hop_limit() != ndp::HOP_LIMIT {
        return Err(Refusal::OffLink);
    }
    if !checksum::verify_transport_v6(source, destination, protocol::ICMPV6, bytes) {
        return Err(Refusal::Checksum);
    }
    let target = message.header.target();
    if target.is_multicast() {
        return Err(Refusal::NotUnicast);
    }
    let solicitation = message.header.message_type() == Type::NEIGHBOUR_SOLICITATION;
    let flags = message.header.flags();
    if solicitation {
        // A probe for duplicates goes to the group of its target and tells of no address.
        let is_probe = source.is_unspecified();
        let is_right_probe =
            destination == ndp::solicited_node(target) && message.source_mac.is_none();
        if is_probe && !is_right_probe {
            return Err(Refusal::NotUnicast);
        }
        let (sender, mac) = (source, message.source_mac);
        return Ok(Told {
            sender,
            mac,
            target,
            solicitation,
            destination,
            flags: Flags::default(),
        });
    }
    if destination.is_multicast() && flags.solicited {
        return Err(Refusal::NotUnicast);
    }
    let (sender, mac) = (target, message.target_mac);
    Ok(Told { sender, mac, target, solicitation, destination, flags })
}

/// Writes the link-layer header of a frame of our own; where its packet begins.
fn write_link(
    buffer: &mut [u8],
    vlan: Option<u16>,
    source: MacAddress,
    destination: MacAddress,
) -> Option<usize> {
    let mut header = ethernet::Header::over(window_mut(buffer, 0)?);
    header.set_destination(destination);
    header.set_source(source);
    header.set_ether_type(if vlan.is_some() { EtherType::VLAN } else { EtherType::IPV6 });
    let Some(id) = vlan else { return Some(ethernet::HEADER_LEN) };
    let mut tag = Tag::over(window_mut(buffer, ethernet::HEADER_LEN)?);
    tag.set_id(id);
    tag.set_ether_type(EtherType::IPV6);
    Some(ethernet::HEADER_LEN + vlan::TAG_LEN)
}

/// An advertisement to `destination` that the address `of` the second is at the first.
fn write_advertisement(
    window: &mut [u8; PACKET_LEN],
    flags: Flags,
    of: (MacAddress, Ipv6Addr),
    destination: Ipv6Addr,
) {
    let option = ndp::link_layer_option(ndp::TARGET_LINK_LAYER, of.0);
    let message = (Type::NEIGHBOUR_ADVERTISEMENT, flags);
    write_packet(window, message, of.1, (of.1, destination), option);
}

fn write_packet(
    window: &mut [u8; PACKET_LEN],
    (message_type, flags): (Type, Flags),
    target: Ipv6Addr,
    ends: (Ipv6Addr, Ipv6Addr),
    option: [u8; ndp::LINK_LAYER_LEN],
) {
    /// As the header's field has it.
    const LENGTH: u16 = 32;
    const { assert!(LENGTH as usize == PAYLOAD_LEN) };
    if let Some(header) = window_mut(window, 0) {
        let mut header = ipv6::Header::over(header);
        header.fill(ends.0, ends.1, protocol::ICMPV6, ndp::HOP_LIMIT, LENGTH);
    }
    if let Some(message) = window_mut(window, ipv6::HEADER_LEN) {
        ndp::Header::over(message).fill(message_type, flags, target, ends, &option);
    }
    if let Some(place) = window_mut(window, ipv6::HEADER_LEN + ndp::HEADER_LEN) {
        *place = option;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::captured;
    use crate::wire::build::{Ip6, Link, MemoryFrame, Ndp};
    use crate::wire::show;
    use proptest::prelude::*;

    const OURS: MacAddress = MacAddress([2, 0, 0, 0, 0, 2]);
    const THEIRS: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
    const VIP: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x100);
    const GROUP: &str = "ff02::1:ff00:100";

    fn question() -> Ndp<'static> {
        Ndp::who_has("fd00::100", GROUP, "fd00:1::2", THEIRS)
    }

    fn group_link() -> Link {
        Link { destination: ndp::group_mac(ndp::solicited_node(VIP)), ..Link::default() }
    }

    fn ask(ndp: &Ndp<'_>, link: &Link) -> Result<Vec<u8>, Refusal> {
        let network_offset = if link.vlan.is_some() { 18 } else { 14 };
        let bytes = ndp.frame(link);
        let mut frame = MemoryFrame::new(&bytes);
        let answered = answer(&mut frame, network_offset, OURS, true, |address| address == VIP);
        if answered.is_err() {
            assert_eq!(frame.bytes(), bytes, "a refused frame is unchanged");
        }
        answered.map(|()| frame.bytes().to_vec())
    }

    #[test]
    fn answers_the_asker() {
        let told = Ndp {
            src: "fd00::100",
            dst: "fd00:1::2",
            kind: 136,
            flags: "RSO",
            mac: Some(OURS),
            ..question()
        };
        let nonce = Ndp { options: &[14, 1, 1, 2, 3, 4, 5, 6], ..question() };
        let alone = Ndp { dst: "fd00::100", mac: None, ..question() };
        for vlan in [None, Some(9)] {
            let link = Link { vlan, ..group_link() };
            let back = Link { source: OURS, destination: THEIRS, vlan };
            for question in [question(), nonce, alone] {
                assert_eq!(ask(&question, &link).unwrap(), told.frame(&back), "{question:?}");
            }
        }
        // The option names the asker, not the frame's source.
        let other = MacAddress([2, 0, 0, 0, 0, 7]);
        let back = Link { source: OURS, destination: other, vlan: None };
        let question = Ndp { mac: Some(other), ..question() };
        assert_eq!(ask(&question, &group_link()).unwrap(), told.frame(&back));
    }

    #[test]
    fn answers_a_probe_for_duplicates_to_all() {
        let probe = Ndp { src: "::", mac: None, ..question() };
        let told = Ndp {
            src: "fd00::100",
            dst: "ff02::1",
            kind: 136,
            flags: "RO",
            mac: Some(OURS),
            ..question()
        };
        let to_all = Link {
            source: OURS,
            destination: MacAddress([0x33, 0x33, 0, 0, 0, 1]),
            ..Link::default()
        };
        assert_eq!(ask(&probe, &group_link()).unwrap(), told.frame(&to_all));
    }

    #[test]
    fn refuses_the_rest() {
        let good = question();
        let refusal = |ndp: &Ndp<'_>| ask(ndp, &group_link()).unwrap_err();
        assert_eq!(refusal(&Ndp { kind: 136, ..good }), Refusal::NotAsked);
        assert_eq!(refusal(&Ndp { kind: 133, ..good }), Refusal::Malformed(Malformed::Version));
        assert_eq!(refusal(&Ndp { target: "fd00::101", ..good }), Refusal::NotOurs);
        assert_eq!(refusal(&Ndp { hop_limit: 254, ..good }), Refusal::OffLink);
        assert_eq!(refusal(&Ndp { src: "fd00::100", ..good }), Refusal::AddressConflict);
        assert_eq!(refusal(&Ndp { src: "ff02::5", ..good }), Refusal::NotUnicast);
        assert_eq!(refusal(&Ndp { mac: Some(MacAddress::ZERO), ..good }), Refusal::NotUnicast);
        assert_eq!(refusal(&Ndp { target: "ff02::1", ..good }), Refusal::NotUnicast);
        // A probe that tells of an address, and one to a single host.
        assert_eq!(refusal(&Ndp { src: "::", ..good }), Refusal::NotUnicast);
        let lone = Ndp { src: "::", mac: None, dst: "fd00::100", ..good };
        assert_eq!(refusal(&lone), Refusal::NotUnicast);
        let part = Ip6 { fragment: Some((0, false, 1)), ..Ip6::default() };
        assert_eq!(refusal(&Ndp { ip: part, ..good }), Refusal::Fragment);
        let bad = Ndp { options: &[14, 0, 0, 0, 0, 0, 0, 0], ..good };
        assert_eq!(refusal(&bad), Refusal::Malformed(Malformed::HeaderLength));
        let mut small =
            MemoryFrame::with_room(&Ndp { mac: None, ..good }.frame(&Link::default()), 0, 7);
        assert_eq!(answer(&mut small, 14, OURS, true, |_| true), Err(Refusal::AddressConflict));
        assert_eq!(answer(&mut small, 14, OURS, true, |a| a == VIP), Err(Refusal::NoRoom));
    }

    #[test]
    fn asks_and_announces() {
        let mut buffer = [0xee; SOLICITATION_LEN_MAX];
        let sender = (OURS, "fd00::1".parse().unwrap());
        let asks = Ndp::who_has("fd00::100", GROUP, "fd00::1", OURS);
        let link = Link { source: OURS, ..group_link() };
        let length = solicit(&mut buffer, None, sender, VIP, None).unwrap();
        assert_eq!(buffer[..length], asks.frame(&link));

        let link = Link { source: OURS, destination: THEIRS, vlan: Some(7) };
        let length = solicit(&mut buffer, Some(7), sender, VIP, Some(THEIRS)).unwrap();
        assert_eq!(length, SOLICITATION_LEN_MAX);
        assert_eq!(buffer[..length], Ndp { dst: "fd00::100", ..asks }.frame(&link));

        let to_all = ndp::group_mac(ndp::ALL_NODES);
        let told = Ndp {
            src: "fd00::100",
            dst: "ff02::1",
            kind: 136,
            flags: "O",
            mac: Some(OURS),
            ..question()
        };
        let length = announce(&mut buffer, Some(7), (OURS, VIP), false).unwrap();
        let link = Link { source: OURS, destination: to_all, vlan: Some(7) };
        assert_eq!(buffer[..length], told.frame(&link));
        let length = announce(&mut buffer, None, (OURS, VIP), true).unwrap();
        let link = Link { vlan: None, ..link };
        assert_eq!(buffer[..length], Ndp { flags: "RO", ..told }.frame(&link));
        for length in 0..SOLICITATION_LEN_MAX {
            let short = &mut buffer[..length];
            assert_eq!(announce(short, Some(7), (OURS, VIP), true), None);
            assert_eq!(solicit(short, Some(7), sender, VIP, None), None);
        }
    }

    #[test]
    fn what_others_tell() {
        let told = Told {
            sender: "fd00:1::2".parse().unwrap(),
            mac: Some(THEIRS),
            target: VIP,
            solicitation: true,
            destination: GROUP.parse().unwrap(),
            flags: Flags::default(),
        };
        assert_eq!(seen(&question().packet()), Some(told));
        let probe = Ndp { src: "::", mac: None, ..question() };
        let of_nobody = Told { sender: Ipv6Addr::UNSPECIFIED, mac: None, ..told };
        assert_eq!(seen(&probe.packet()), Some(of_nobody));
        let answer = Ndp { kind: 136, flags: "SO", src: "fd00::5", dst: "fd00::1", ..question() };
        let told = Told {
            sender: VIP,
            solicitation: false,
            destination: "fd00::1".parse().unwrap(),
            flags: Flags { router: false, solicited: true, overriding: true },
            ..told
        };
        assert_eq!(seen(&answer.packet()), Some(told));
        // A solicited advertisement goes to who has asked.
        assert_eq!(seen(&Ndp { dst: "ff02::1", ..answer }.packet()), None);
        assert_eq!(seen(&Ndp { hop_limit: 64, ..answer }.packet()), None);
    }

    #[test]
    fn as_the_kernel_answers() {
        let answer_vip =
            |frame: &mut MemoryFrame| answer(frame, 14, OURS, true, |address| address == VIP);
        captured::check_bytes(
            "6000000000203afffd000001000000000000000000000002ff020000000000000000\
             0001ff00010087007b9900000000fd00000000000000000000000000010001010200\
             00000001",
            "6000000000203afffd000000000000000000000000000100fd000001000000000000\
             00000000000288009a9be0000000fd00000000000000000000000000010002010200\
             00000002",
            answer_vip,
        );
        // A probe for duplicates; the answer is to all nodes, so the way back is another one.
        let probe = captured::bytes(
            "6000000000183aff00000000000000000000000000000000ff020000000000000000\
             0001ff00010087007ba700000000fd000000000000000000000000000100",
        );
        let mut frame = MemoryFrame::new(&group_link().packet(&probe));
        answer_vip(&mut frame).unwrap();
        let expected = captured::bytes(
            "6000000000203afffd000000000000000000000000000100ff020000000000000000\
             0000000000018800d89ba0000000fd00000000000000000000000000010002010200\
             00000002",
        );
        assert_eq!(frame.bytes()[14..], expected);
    }

    proptest! {
        #[test]
        fn a_changed_bit_tells_nothing(at in 0_usize..72, bit in 0_u8..8, kind in 135_u8..137) {
            let ndp = Ndp { kind, src: "fd00:1::2", dst: "fd00::100", ..question() };
            let mut packet = ndp.packet();
            packet[at] ^= 1 << bit;
            // Traffic class and flow label are in no checksum.
            let uncovered = (at == 0 && bit < 4) || (1..4).contains(&at);
            prop_assert_eq!(seen(&packet).is_some(), uncovered, "{}", show(&packet));
        }

        #[test]
        fn any_bytes_are_an_answer(
            bytes in proptest::collection::vec(prop_oneof![0_u8..3, any::<u8>()], 0..60),
            offset in 0_usize..90, kind in 134_u8..138, length in 20_u16..60,
        ) {
            // A right checksum, so that what is behind it is reached.
            let body = [&[0; 16], bytes.as_slice()].concat();
            let icmp = crate::wire::build::Icmp6 {
                kind: (kind, 0), body: &body, hop_limit: 255, ..Default::default()
            };
            let mut packet = icmp.packet();
            let told = seen(&packet);
            prop_assert!(told.is_none() || bytes.len().is_multiple_of(8));
            packet[4..6].copy_from_slice(&length.to_be_bytes());
            let _ = seen(&packet);
            let mut frame = MemoryFrame::new(&Link::default().packet(&packet));
            let _ = answer(&mut frame, offset, OURS, true, |_| true);
            let _ = answer(&mut frame, 14, OURS, true, |_| true);
        }
    }
}
