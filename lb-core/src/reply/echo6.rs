//! ICMPv6 echo: "ping" of the director's own addresses (RFC 4443 section 4.2).

use super::{Originated6, Refusal, behind, check_unicast6, turn_round};
use crate::frame::Frame;
use crate::wire::field::window_mut;
use crate::wire::icmpv6::{self, Type};
use crate::wire::ipv6::{self, protocol};
use crate::wire::{Malformed, checksum};

/// Turns an echo request for one of our addresses into the reply. Whether the address is ours
/// is the caller's knowledge.
///
/// As the kernel does: traffic class, identifier, sequence and data come back, hop limit 64. The
/// flow label is 0. Extension headers are left out; whether a host would have come past them is
/// the caller's knowledge, too. Padding of the frame is cut off.
pub fn answer(frame: &mut impl Frame, network_offset: usize) -> Result<(), Refusal> {
    let (packet, chain) = check_unicast6(frame.bytes(), network_offset)?;
    let header = packet.header;
    if chain.is_fragment() {
        return Err(Refusal::Fragment);
    }
    if chain.protocol != protocol::ICMPV6 {
        return Err(Refusal::NotAsked);
    }
    let transport = behind(&packet, &chain);
    let message = icmpv6::Message::check(transport)?;
    if message.header.message_type() != Type::ECHO_REQUEST {
        return Err(Refusal::NotAsked);
    }
    let (source, destination) = (header.source(), header.destination());
    if !checksum::verify_transport_v6(source, destination, protocol::ICMPV6, transport) {
        return Err(Refusal::Checksum);
    }
    let reply = Originated6 {
        source: destination,
        destination: source,
        protocol: protocol::ICMPV6,
        traffic_class: header.traffic_class(),
        payload_length: u16::try_from(transport.len()).map_err(|_| Malformed::TotalLength)?,
    };
    let start = network_offset + ipv6::HEADER_LEN;
    let length = transport.len();
    if chain.offset > 0 {
        let message = start + chain.offset;
        frame.bytes_mut().copy_within(message..message + length, start);
    }
    if !frame.resize(start + length) {
        return Err(Refusal::NoRoom);
    }
    let bytes = frame.bytes_mut();
    reply.write(window_mut(bytes, network_offset).ok_or(Malformed::Truncated)?);
    // The addresses have changed places, which no sum notices.
    let message = window_mut(bytes, start);
    icmpv6::Header::over(message.ok_or(Malformed::Truncated)?).change_type(Type::ECHO_REPLY);
    turn_round(bytes)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::captured;
    use crate::wire::build::{Icmp6, Ip6, Link, MemoryFrame, Tcp};
    use crate::wire::{MacAddress, show};
    use proptest::prelude::*;

    #[test]
    fn as_the_kernel_answers() {
        captured::check_bytes(
            "6b912345000d3a09fd000001000000000000000000000002fd000000000000000000\
             000000000100800040df0001000168656c6c6f",
            "6b9b341f000d3a40fd000000000000000000000000000100fd000001000000000000\
             00000000000281003fdf0001000168656c6c6f",
            |frame| answer(frame, 14),
        );
    }

    proptest! {
        #[test]
        fn data_and_traffic_class_come_back(
            body in proptest::collection::vec(any::<u8>(), 0..1452), traffic_class: u8, rest: u32,
            flow_label: u32, padding in 0_usize..20, vlan in proptest::option::of(0_u16..4096),
            extensions in 0_usize..3,
        ) {
            let link = Link { vlan, ..Link::default() };
            let network_offset = if vlan.is_some() { 18 } else { 14 };
            let extensions = &[(0, &[0, 0, 1, 4, 0, 0, 0, 0][..]); 2][..extensions];
            let ip = Ip6 { traffic_class, flow_label, extensions, ..Ip6::default() };
            let request = Icmp6 { body: &body, rest, ip, hop_limit: 9, ..Icmp6::default() };
            let mut bytes = request.frame(&link);
            bytes.resize(bytes.len() + padding, 0xaa);
            let mut frame = MemoryFrame::new(&bytes);
            prop_assert_eq!(answer(&mut frame, network_offset), Ok(()));
            let expected = Icmp6 {
                src: request.dst,
                dst: request.src,
                kind: (129, 0),
                hop_limit: 64,
                ip: Ip6 { traffic_class, ..Ip6::default() },
                ..request
            };
            let back = Link { source: link.destination, destination: link.source, vlan };
            prop_assert_eq!(frame.bytes(), expected.frame(&back));
        }

        #[test]
        fn a_changed_bit_is_not_answered(at in 22_usize..72, bit in 0_u8..8) {
            let request = Icmp6 { body: b"0123456789", ..Icmp6::default() };
            let mut bytes = request.frame(&Link::default());
            bytes[at] ^= 1 << bit;
            let mut frame = MemoryFrame::new(&bytes);
            prop_assert!(answer(&mut frame, 14).is_err());
            prop_assert_eq!(frame.bytes(), bytes);
        }

        #[test]
        fn any_bytes_are_an_answer(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..120), offset in 0_usize..90,
        ) {
            if let Some(window) = window_mut::<7>(&mut bytes, offset) {
                window.copy_from_slice(&[0x60, 0, 0, 0, 0, 20, 58]);
            }
            let _ = answer(&mut MemoryFrame::new(&bytes), offset);
        }
    }

    #[test]
    fn refuses_the_rest() {
        let refusal = |bytes: &[u8]| {
            let mut frame = MemoryFrame::new(bytes);
            let refusal = answer(&mut frame, 14).expect_err(&show(frame.bytes()));
            assert_eq!(frame.bytes(), bytes, "a refused frame is unchanged");
            refusal
        };
        let good = Icmp6::default();
        let link = Link::default();
        for kind in [(129, 0), (1, 4), (135, 0)] {
            assert_eq!(refusal(&Icmp6 { kind, ..good }.frame(&link)), Refusal::NotAsked);
        }
        for (src, dst) in
            [("fd00::2", "ff02::1"), ("::", "fd00::1"), ("::1", "fd00::1"), ("ff02::1", "fd00::1")]
        {
            assert_eq!(refusal(&Icmp6 { src, dst, ..good }.frame(&link)), Refusal::NotUnicast);
        }
        let everyone = Link { destination: MacAddress([0x33, 0x33, 0, 0, 0, 1]), ..link };
        assert_eq!(refusal(&good.frame(&everyone)), Refusal::NotUnicast);
        let part = Ip6 { fragment: Some((0, true, 7)), ..Ip6::default() };
        assert_eq!(refusal(&Icmp6 { ip: part, ..good }.frame(&link)), Refusal::Fragment);
        let tcp = Tcp { src: "[fd00::1]:1", dst: "[fd00::2]:2", ..Tcp::default() };
        assert_eq!(refusal(&tcp.frame(&link)), Refusal::NotAsked);
    }
}
