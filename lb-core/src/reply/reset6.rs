//! TCP resets over IPv6 for segments that belong to no connection (RFC 9293 section 3.10.7.1).

use super::{Originated6, Refusal, behind, check_unicast6, reset, turn_round};
use crate::frame::Frame;
use crate::wire::field::window_mut;
use crate::wire::ipv6::{self, protocol};
use crate::wire::tcp::{self, Flags};
use crate::wire::{Malformed, checksum};

const TOTAL_LEN: usize = ipv6::HEADER_LEN + tcp::HEADER_LEN;
/// Explicit congestion notification in the traffic class (RFC 3168).
const ECN: u8 = 0x03;

/// Turns a segment into the reset that a host without such a connection sends.
///
/// Numbers are those of [`super::reset::answer`]. As the kernel does: hop limit 64, traffic class
/// of the segment without ECN, window 0. The flow label is 0. Extension headers, options and
/// padding are cut off.
pub fn answer(frame: &mut impl Frame, network_offset: usize) -> Result<(), Refusal> {
    let (packet, chain) = check_unicast6(frame.bytes(), network_offset)?;
    let header = packet.header;
    if chain.is_fragment() {
        return Err(Refusal::Fragment);
    }
    if chain.protocol != protocol::TCP {
        return Err(Refusal::NotAsked);
    }
    let transport = behind(&packet, &chain);
    let segment = tcp::Segment::check(transport)?;
    if segment.header.flags().contains(Flags::RST) {
        return Err(Refusal::Reset);
    }
    let (source, destination) = (header.source(), header.destination());
    if !checksum::verify_transport_v6(source, destination, protocol::TCP, transport) {
        return Err(Refusal::Checksum);
    }
    let ports = (segment.header.destination_port(), segment.header.source_port());
    let (sequence, acknowledgement, flags) = reset::numbers(&segment);
    let reply = Originated6 {
        source: destination,
        destination: source,
        protocol: protocol::TCP,
        traffic_class: header.traffic_class() & !ECN,
        payload_length: 20,
    };
    // Never longer than the segment that was checked.
    if !frame.resize(network_offset + TOTAL_LEN) {
        return Err(Refusal::NoRoom);
    }
    let bytes = frame.bytes_mut();
    turn_round(bytes)?;
    reply.write(window_mut(bytes, network_offset).ok_or(Malformed::Truncated)?);
    let window: &mut [u8; tcp::HEADER_LEN] =
        window_mut(bytes, network_offset + ipv6::HEADER_LEN).ok_or(Malformed::Truncated)?;
    tcp::Header::over(&mut *window).fill(ports, sequence, acknowledgement, flags);
    let sum = checksum::transport_v6(reply.source, reply.destination, protocol::TCP, window);
    tcp::Header::over(window).set_checksum(sum);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::captured;
    use crate::wire::build::{Icmp6, Ip6, Link, MemoryFrame, Tcp};
    use crate::wire::show;
    use proptest::prelude::*;

    const SEGMENT: Tcp<'_> = Tcp {
        src: "[fd00:1::2]:1001",
        dst: "[fd00::100]:80",
        flags: "S",
        sequence: 1000,
        acknowledgement: 0,
        ttl: 7,
        payload: b"",
        ip: crate::wire::build::Ip {
            tos: 0,
            identification: 0,
            dont_fragment: false,
            more_fragments: false,
            fragment_offset: 0,
            options: &[],
        },
    };

    #[test]
    fn as_the_kernel_answers() {
        captured::check_bytes(
            "6bb1234500140640fd000001000000000000000000000002fd000000000000000000\
             0000000001009c6d0055000003e80000000050022000f4330000",
            "6b808c1b00140640fd000000000000000000000000000100fd000001000000000000\
             00000000000200559c6d00000000000003e95014000014210000",
            |frame| answer(frame, 14),
        );
        captured::check_bytes(
            "6000000000140640fd000001000000000000000000000002fd000000000000000000\
             0000000001009c6d0055000000050000004d50102000f7bb0000",
            "60008c1b00140640fd000000000000000000000000000100fd000001000000000000\
             00000000000200559c6d0000004d000000005004000017cd0000",
            |frame| answer(frame, 14),
        );
        captured::check_bytes(
            "6000000000170640fd000001000000000000000000000002fd000000000000000000\
             0000000001009c6d005500000005000000005001200033b20000616263",
            "60008c1b00140640fd000000000000000000000000000100fd000001000000000000\
             00000000000200559c6d00000000000000095014000018010000",
            |frame| answer(frame, 14),
        );
    }

    proptest! {
        #[test]
        fn numbers_follow_the_rfc(
            sequence: u32, acknowledgement: u32, flags: u8, traffic_class: u8, flow_label: u32,
            payload in proptest::collection::vec(any::<u8>(), 0..300), padding in 0_usize..9,
            vlan in proptest::option::of(0_u16..4096), extensions in 0_usize..3,
        ) {
            let flags = flags & !Flags::RST.0;
            let letters = Flags(flags).to_string();
            let link = Link { vlan, ..Link::default() };
            let options: [(u8, &[u8]); 3] = [(60, &[0, 0, 1, 4, 0, 0, 0, 0]); 3];
            let ip = Ip6 {
                traffic_class, flow_label, extensions: &options[..extensions], fragment: None,
            };
            let tcp =
                Tcp { flags: &letters, sequence, acknowledgement, payload: &payload, ..SEGMENT };
            let mut bytes = link.packet(&tcp.packet6(&ip));
            bytes.resize(bytes.len() + padding, 0xaa);
            let mut frame = MemoryFrame::with_room(&bytes, 0, 0);
            let network_offset = if vlan.is_some() { 18 } else { 14 };
            prop_assert_eq!(answer(&mut frame, network_offset), Ok(()));

            let taken = payload.len() + usize::from(flags & 1) + usize::from(flags >> 1 & 1);
            let next = sequence.wrapping_add(u32::try_from(taken).unwrap());
            let acked = flags & Flags::ACK.0 != 0;
            let mut expected = Tcp {
                src: tcp.dst, dst: tcp.src,
                flags: if acked { "R" } else { "RA" },
                sequence: if acked { acknowledgement } else { 0 },
                acknowledgement: if acked { 0 } else { next },
                ttl: 64,
                ..SEGMENT
            }.packet6(&Ip6 { traffic_class: traffic_class & 0xfc, ..Ip6::default() });
            // The builder's window is 8192, a reset's is 0.
            let segment: &mut [u8; 20] = window_mut(&mut expected, 40).unwrap();
            let mut header = tcp::Header::over(segment);
            header.set_window(0);
            header.update_checksum(checksum::Difference::NONE.u16(8192, 0));
            let back = Link { source: link.destination, destination: link.source, vlan };
            prop_assert_eq!(frame.bytes(), back.packet(&expected));
        }

        #[test]
        fn a_changed_bit_is_not_answered(at in 22_usize..84, bit in 0_u8..8) {
            let mut bytes = Tcp { payload: b"0123456789", ..SEGMENT }.frame(&Link::default());
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
                window.copy_from_slice(&[0x60, 0, 0, 0, 0, 20, 6]);
            }
            let _ = answer(&mut MemoryFrame::new(&bytes), offset);
        }
    }

    #[test]
    fn refuses_the_rest() {
        let refusal = |bytes: &[u8]| {
            let mut frame = MemoryFrame::new(bytes);
            let refusal = answer(&mut frame, 14).expect_err(&show(bytes));
            assert_eq!(frame.bytes(), bytes, "a refused frame is unchanged");
            refusal
        };
        let link = Link::default();
        assert_eq!(refusal(&Tcp { flags: "R", ..SEGMENT }.frame(&link)), Refusal::Reset);
        assert_eq!(refusal(&Tcp { flags: "SRA", ..SEGMENT }.frame(&link)), Refusal::Reset);
        assert_eq!(refusal(&Icmp6::default().frame(&link)), Refusal::NotAsked);
        let group = Tcp { dst: "[ff02::1]:80", ..SEGMENT };
        assert_eq!(refusal(&group.frame(&link)), Refusal::NotUnicast);
        for fragment in [(0, true, 1), (8, false, 1)] {
            let part = SEGMENT.packet6(&Ip6 { fragment: Some(fragment), ..Ip6::default() });
            assert_eq!(refusal(&link.packet(&part)), Refusal::Fragment);
        }
        let mut short = SEGMENT.packet();
        short.truncate(59);
        short[5] = 19;
        assert_eq!(refusal(&link.packet(&short)), Refusal::Malformed(Malformed::Truncated));
        assert_eq!(refusal(&Tcp::default().frame(&link)), Refusal::Malformed(Malformed::Version));
    }
}
