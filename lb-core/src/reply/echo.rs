//! ICMP echo: "ping" of the director's own addresses (RFC 792, RFC 1122 section 3.2.2.6).

use super::{Originated, Refusal, check_unicast, turn_round};
use crate::frame::Frame;
use crate::wire::field::window_mut;
use crate::wire::ipv4::protocol;
use crate::wire::{Malformed, icmp, ipv4};

/// Turns an echo request for one of our addresses into the reply. Whether the address is ours
/// is the caller's knowledge.
///
/// As the kernel does: TOS, identifier, sequence and data come back, TTL 64, DF clear, a new
/// `identification`. The reply has no options: those that it repeats are put into it by
/// [`super::options`]. Padding of the frame is cut off.
pub fn answer(
    frame: &mut impl Frame,
    network_offset: usize,
    identification: u16,
) -> Result<(), Refusal> {
    let packet = check_unicast(frame.bytes(), network_offset)?;
    let header = packet.header;
    if header.protocol() != protocol::ICMP {
        return Err(Refusal::NotAsked);
    }
    if header.is_fragment() {
        return Err(Refusal::Fragment);
    }
    let options_length = packet.options.len();
    let message = icmp::Message::check(packet.payload)?;
    if message.header.message_type() != icmp::Type::ECHO_REQUEST {
        return Err(Refusal::NotAsked);
    }
    if !message.verify_checksum() {
        return Err(Refusal::Checksum);
    }
    let reply = Originated {
        source: header.destination(),
        destination: header.source(),
        protocol: protocol::ICMP,
        tos: header.tos(),
        identification,
        dont_fragment: false,
        // Of 60 bytes of header at most, once checked.
        total_length: header.total_length() - u16::try_from(options_length).unwrap_or_default(),
    };
    let start = network_offset + ipv4::HEADER_LEN;
    if options_length > 0 {
        let end = network_offset + usize::from(header.total_length());
        frame.bytes_mut().copy_within(start + options_length..end, start);
    }
    if !frame.resize(network_offset + usize::from(reply.total_length)) {
        return Err(Refusal::NoRoom);
    }
    let bytes = frame.bytes_mut();
    reply.write(window_mut(bytes, network_offset).ok_or(Malformed::Truncated)?);
    let message = window_mut(bytes, start);
    icmp::Header::over(message.ok_or(Malformed::Truncated)?).change_type(icmp::Type::ECHO_REPLY);
    turn_round(bytes)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::captured;
    use crate::wire::build::{Icmp, Ip, Link, MemoryFrame};
    use crate::wire::{MacAddress, show};
    use proptest::prelude::*;

    #[test]
    fn as_the_kernel_answers() {
        captured::check(
            "IP tos=0x00 len=32 id=0x1234 DF off=0 ttl=64 proto=1 csum=ok 10.0.1.2>10.0.0.100 \
             ICMP type=8 code=0 rest=00010001 csum=ok len=12",
            "IP tos=0x00 len=32 id=0x7b4e off=0 ttl=64 proto=1 csum=ok 10.0.0.100>10.0.1.2 ICMP \
             type=0 code=0 rest=00010001 csum=ok len=12",
            |frame| answer(frame, 14, 0x7b4e),
        );
    }

    proptest! {
        #[test]
        fn data_and_tos_come_back(
            body in proptest::collection::vec(any::<u8>(), 0..1472), tos: u8, rest: u32,
            padding in 0_usize..20, vlan in proptest::option::of(0_u16..4096),
            words in 0_usize..=10,
        ) {
            let link = Link { vlan, ..Link::default() };
            let network_offset = if vlan.is_some() { 18 } else { 14 };
            let options = vec![7; words * 4];
            let ip = Ip { tos, options: &options, ..Ip::default() };
            let request = Icmp { body: &body, rest, ip, ..Icmp::default() };
            let mut bytes = request.frame(&link);
            bytes.resize(bytes.len() + padding, 0xaa);
            let mut frame = MemoryFrame::new(&bytes);
            prop_assert_eq!(answer(&mut frame, network_offset, 7), Ok(()));
            let expected = Icmp {
                src: request.dst,
                dst: request.src,
                kind: (0, 0),
                ip: Ip { tos, identification: 7, ..Ip::default() },
                ..request
            };
            let back = Link { source: link.destination, destination: link.source, vlan };
            prop_assert_eq!(frame.bytes(), expected.frame(&back));
        }

        #[test]
        fn a_changed_bit_is_not_answered(at in 14_usize..52, bit in 0_u8..8) {
            let mut bytes = Icmp { body: b"0123456789", ..Icmp::default() }.frame(&Link::default());
            bytes[at] ^= 1 << bit;
            let mut frame = MemoryFrame::new(&bytes);
            prop_assert!(answer(&mut frame, 14, 0).is_err());
            prop_assert_eq!(frame.bytes(), bytes);
        }
    }

    #[test]
    fn refuses_the_rest() {
        let refusal = |icmp: Icmp<'_>, link: Link| {
            let mut frame = MemoryFrame::new(&icmp.frame(&link));
            answer(&mut frame, 14, 0).expect_err(&show(frame.bytes()))
        };
        let good = Icmp::default();
        let link = Link::default();
        assert_eq!(refusal(Icmp { kind: (0, 0), ..good }, link), Refusal::NotAsked);
        assert_eq!(refusal(Icmp { dst: "224.0.0.1", ..good }, link), Refusal::NotUnicast);
        assert_eq!(refusal(Icmp { src: "255.255.255.255", ..good }, link), Refusal::NotUnicast);
        let everyone = Link { destination: MacAddress::BROADCAST, ..link };
        assert_eq!(refusal(good, everyone), Refusal::NotUnicast);
        let part = Ip { more_fragments: true, ..Ip::default() };
        assert_eq!(refusal(Icmp { ip: part, ..good }, link), Refusal::Fragment);
    }
}
