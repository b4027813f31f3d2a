//! ARP (RFC 826): answers for our addresses, questions and announcements (RFC 5227).

use std::net::Ipv4Addr;

use super::Refusal;
use crate::frame::Frame;
use crate::wire::arp::{Operation, PACKET_LEN, Packet};
use crate::wire::ethernet::{self, EtherType};
use crate::wire::field::window_mut;
use crate::wire::vlan::{self, Tag};
use crate::wire::{MacAddress, Malformed};

/// Bytes that [`request`] and [`announce`] need at most.
pub const REQUEST_LEN_MAX: usize = ethernet::HEADER_LEN + vlan::TAG_LEN + PACKET_LEN;

/// Turns a request for an address that `is_ours` into the reply: it is at `mac`.
///
/// A probe (sender 0.0.0.0) is answered, too: that is how another station learns that the
/// address is taken. Padding is cut off.
pub fn answer(
    frame: &mut impl Frame,
    network_offset: usize,
    mac: MacAddress,
    is_ours: impl Fn(Ipv4Addr) -> bool,
) -> Result<(), Refusal> {
    let bytes = frame.bytes().get(network_offset..).ok_or(Malformed::Truncated)?;
    let request = Packet::check(bytes)?;
    if request.operation() != Operation::REQUEST {
        return Err(Refusal::NotAsked);
    }
    let (asker, asker_ip) = (request.sender_mac(), request.sender_ip());
    let asked = request.target_ip();
    if !is_ours(asked) {
        return Err(Refusal::NotOurs);
    }
    if !asker.is_unicast() || asker_ip.is_multicast() || asker_ip.is_broadcast() {
        return Err(Refusal::NotUnicast);
    }
    if asker_ip == asked || is_ours(asker_ip) {
        return Err(Refusal::AddressConflict);
    }
    if !frame.resize(network_offset + PACKET_LEN) {
        return Err(Refusal::NoRoom);
    }
    let bytes = frame.bytes_mut();
    let window = window_mut(bytes, network_offset).ok_or(Malformed::Truncated)?;
    Packet::over(window).fill(Operation::REPLY, (mac, asked), (asker, asker_ip));
    let mut ethernet = ethernet::Header::over(window_mut(bytes, 0).ok_or(Malformed::Truncated)?);
    ethernet.set_destination(asker);
    ethernet.set_source(mac);
    Ok(())
}

/// Writes a request for the MAC address of `target` into `buffer`, as a frame from `sender`.
///
/// `to` is [`MacAddress::BROADCAST`], or the address that a neighbour had, to ask whether it
/// still has (RFC 1122 section 2.3.2.1). Returns the frame's length, or `None` where `buffer` is
/// shorter than that (see [`REQUEST_LEN_MAX`]).
pub fn request(
    buffer: &mut [u8],
    vlan: Option<u16>,
    sender: (MacAddress, Ipv4Addr),
    target: Ipv4Addr,
    to: MacAddress,
) -> Option<usize> {
    let tag_length = if vlan.is_some() { vlan::TAG_LEN } else { 0 };
    let network_offset = ethernet::HEADER_LEN + tag_length;
    let window = window_mut(buffer, network_offset)?;
    Packet::over(window).fill(Operation::REQUEST, sender, (MacAddress::ZERO, target));
    let mut header = ethernet::Header::over(window_mut(buffer, 0)?);
    header.set_destination(to);
    header.set_source(sender.0);
    header.set_ether_type(if vlan.is_some() { EtherType::VLAN } else { EtherType::ARP });
    if let Some(id) = vlan {
        let mut tag = Tag::over(window_mut(buffer, ethernet::HEADER_LEN)?);
        tag.set_id(id);
        tag.set_ether_type(EtherType::ARP);
    }
    Some(network_offset + PACKET_LEN)
}

/// Writes a gratuitous announcement into `buffer`: a broadcast request by `sender` for its own
/// address, on which every station that knows the address takes the new MAC (RFC 5227 section
/// 2.3). Returns as [`request`] does.
pub fn announce(
    buffer: &mut [u8],
    vlan: Option<u16>,
    sender: (MacAddress, Ipv4Addr),
) -> Option<usize> {
    request(buffer, vlan, sender, sender.1, MacAddress::BROADCAST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::build::{Arp, Link, MemoryFrame, Udp};
    use crate::wire::show;

    const OURS: MacAddress = MacAddress([2, 0, 0, 0, 0, 2]);
    const VIP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 100);

    fn ask(arp: &Arp<'_>, link: &Link) -> Result<Vec<u8>, Refusal> {
        // Requests come padded to the Ethernet minimum.
        let mut bytes = arp.frame(link);
        bytes.resize(60, 0xaa);
        let network_offset = if link.vlan.is_some() { 18 } else { 14 };
        let mut frame = MemoryFrame::new(&bytes);
        let answered = answer(&mut frame, network_offset, OURS, |address| address == VIP);
        if answered.is_err() {
            assert_eq!(frame.bytes(), bytes, "a refused frame is unchanged");
        }
        answered.map(|()| frame.bytes().to_vec())
    }

    #[test]
    fn answers_byte_for_byte() {
        let link = Link { destination: MacAddress::BROADCAST, ..Link::default() };
        let request = Arp::who_has("10.0.0.100", "10.0.1.2", link.source);
        #[rustfmt::skip]
        let expected = [
            2, 0, 0, 0, 0, 1,  2, 0, 0, 0, 0, 2,  8, 6,
            0, 1,  8, 0,  6, 4,  0, 2,
            2, 0, 0, 0, 0, 2,  10, 0, 0, 100,
            2, 0, 0, 0, 0, 1,  10, 0, 1, 2,
        ];
        assert_eq!(ask(&request, &link).unwrap(), expected);

        let tagged = ask(&request, &Link { vlan: Some(9), ..link }).unwrap();
        assert_eq!(tagged[12..18], [0x81, 0, 0, 9, 8, 6]);
        assert_eq!(tagged[18..], expected[14..]);

        let probe = Arp::who_has("10.0.0.100", "0.0.0.0", link.source);
        assert!(show(&ask(&probe, &link).unwrap()).contains("arp 10.0.0.100 is-at 02:"));
    }

    #[test]
    fn refuses_the_rest() {
        let link = Link { destination: MacAddress::BROADCAST, ..Link::default() };
        let good = Arp::who_has("10.0.0.100", "10.0.1.2", link.source);
        let refusal = |arp: &Arp<'_>| ask(arp, &link).unwrap_err();
        assert_eq!(refusal(&Arp { operation: 2, ..good }), Refusal::NotAsked);
        assert_eq!(refusal(&Arp { target: (link.source, "10.0.0.101"), ..good }), Refusal::NotOurs);
        let of = |mac, ip| Arp { sender: (mac, ip), ..good };
        assert_eq!(refusal(&of(MacAddress::BROADCAST, "10.0.1.2")), Refusal::NotUnicast);
        assert_eq!(refusal(&of(MacAddress::ZERO, "10.0.1.2")), Refusal::NotUnicast);
        assert_eq!(refusal(&of(link.source, "224.0.0.1")), Refusal::NotUnicast);
        assert_eq!(refusal(&of(link.source, "10.0.0.100")), Refusal::AddressConflict);
        let mut other = MemoryFrame::new(&Udp::default().frame(&link));
        let answered = answer(&mut other, 14, OURS, |_| true);
        assert_eq!(answered, Err(Refusal::Malformed(Malformed::Version)));
        assert_eq!(
            answer(&mut other, usize::MAX, OURS, |_| true),
            Err(Refusal::Malformed(Malformed::Truncated))
        );
    }

    #[test]
    fn asks_and_announces() {
        let mut buffer = [0xee; REQUEST_LEN_MAX];
        let sender = (OURS, Ipv4Addr::new(10, 0, 1, 1));
        let to = MacAddress::BROADCAST;
        let length = request(&mut buffer, None, sender, VIP, to).unwrap();
        assert_eq!(
            show(&buffer[..length]),
            "02:00:00:00:00:02 > ff:ff:ff:ff:ff:ff arp who-has 10.0.0.100 tell 10.0.1.1"
        );
        assert_eq!(length, 42);
        let length = announce(&mut buffer, Some(7), (OURS, VIP)).unwrap();
        assert_eq!(
            show(&buffer[..length]),
            "02:00:00:00:00:02 > ff:ff:ff:ff:ff:ff vlan 7 arp who-has 10.0.0.100 tell 10.0.0.100"
        );
        assert_eq!(length, 46);
        assert_eq!(announce(&mut buffer[..45], Some(7), (OURS, VIP)), None);
    }
}
