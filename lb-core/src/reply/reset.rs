//! TCP resets for segments that belong to no connection (RFC 9293 section 3.10.7.1).

use super::{Originated, Refusal, check_unicast, turn_round};
use crate::frame::Frame;
use crate::wire::Malformed;
use crate::wire::checksum;
use crate::wire::field::window_mut;
use crate::wire::ipv4::{self, protocol};
use crate::wire::tcp::{self, Flags};

const TOTAL_LEN: usize = ipv4::HEADER_LEN + tcp::HEADER_LEN;

/// Turns a segment into the reset that a host without such a connection sends.
///
/// A segment with ACK is reset at the number that it acknowledges; any other is acknowledged.
/// As the kernel does: identification 0, DF, TTL 64, DSCP of the segment, window 0. Options and
/// padding are cut off.
pub fn answer(frame: &mut impl Frame, network_offset: usize) -> Result<(), Refusal> {
    let packet = check_unicast(frame.bytes(), network_offset)?;
    let header = packet.header;
    if header.protocol() != protocol::TCP {
        return Err(Refusal::NotAsked);
    }
    if header.is_fragment() {
        return Err(Refusal::Fragment);
    }
    let segment = tcp::Segment::check(packet.payload)?;
    if segment.header.flags().contains(Flags::RST) {
        return Err(Refusal::Reset);
    }
    let (source, destination) = (header.source(), header.destination());
    if !checksum::verify_transport_v4(source, destination, protocol::TCP, packet.payload) {
        return Err(Refusal::Checksum);
    }
    let ports = (segment.header.destination_port(), segment.header.source_port());
    let (sequence, acknowledgement, flags) = numbers(&segment);
    let reply = Originated {
        source: destination,
        destination: source,
        protocol: protocol::TCP,
        // The kernel leaves out ECN, as a reset does not take part in it.
        tos: header.tos() & !0x03,
        identification: 0,
        dont_fragment: true,
        total_length: 40,
    };
    // Never longer than the segment that was checked.
    if !frame.resize(network_offset + TOTAL_LEN) {
        return Err(Refusal::NoRoom);
    }
    let bytes = frame.bytes_mut();
    turn_round(bytes)?;
    reply.write(window_mut(bytes, network_offset).ok_or(Malformed::Truncated)?);
    let window: &mut [u8; tcp::HEADER_LEN] =
        window_mut(bytes, network_offset + ipv4::HEADER_LEN).ok_or(Malformed::Truncated)?;
    tcp::Header::over(&mut *window).fill(ports, sequence, acknowledgement, flags);
    let sum = checksum::transport_v4(reply.source, reply.destination, protocol::TCP, window);
    tcp::Header::over(window).set_checksum(sum);
    Ok(())
}

/// Sequence number, acknowledgement and flags of the reset, over IPv4 and IPv6 alike.
pub(super) fn numbers(segment: &tcp::Segment<'_>) -> (u32, u32, Flags) {
    let header = segment.header;
    let flags = header.flags();
    if flags.contains(Flags::ACK) {
        return (header.acknowledgement(), 0, Flags::RST);
    }
    // SYN and FIN take a sequence number each. A payload is shorter than 65,536 bytes.
    let length = u32::try_from(segment.payload.len()).unwrap_or(u32::MAX)
        + u32::from(flags.contains(Flags::SYN))
        + u32::from(flags.contains(Flags::FIN));
    (0, header.sequence().wrapping_add(length), Flags::RST.union(Flags::ACK))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::captured;
    use crate::wire::build::{Icmp, Ip, Link, MemoryFrame, Tcp};
    use crate::wire::show;
    use proptest::prelude::*;

    #[test]
    fn as_the_kernel_answers() {
        captured::check(
            "IP tos=0x00 len=40 id=0x1234 DF off=0 ttl=64 proto=6 csum=ok 10.0.1.2>10.0.0.100 \
             TCP 20001>1001 [A] seq=1000 ack=0 csum=ok data=b''",
            "IP tos=0x00 len=40 id=0x0000 DF off=0 ttl=64 proto=6 csum=ok 10.0.0.100>10.0.1.2 \
             TCP 1001>20001 [R] seq=0 ack=0 csum=ok data=b''",
            |frame| answer(frame, 14),
        );
        captured::check(
            "IP tos=0x00 len=40 id=0x1234 DF off=0 ttl=64 proto=6 csum=ok 10.0.1.2>10.0.0.100 \
             TCP 20>1042 [S] seq=1000 ack=0 csum=ok data=b''",
            "IP tos=0x00 len=40 id=0x0000 DF off=0 ttl=64 proto=6 csum=ok 10.0.0.100>10.0.1.2 \
             TCP 1042>20 [RA] seq=0 ack=1001 csum=ok data=b''",
            |frame| answer(frame, 14),
        );
    }

    proptest! {
        #[test]
        fn numbers_follow_the_rfc(
            sequence: u32, acknowledgement: u32, flags: u8, words in 0_usize..=10,
            payload in proptest::collection::vec(any::<u8>(), 0..300), padding in 0_usize..9,
            vlan in proptest::option::of(0_u16..4096),
        ) {
            let flags = flags & !Flags::RST.0;
            let letters = Flags(flags).to_string();
            let options = vec![1; words * 4];
            let link = Link { vlan, ..Link::default() };
            let tcp = Tcp {
                flags: &letters, sequence, acknowledgement, payload: &payload,
                ip: Ip { options: &options, ..Ip::default() },
                ..Tcp::default()
            };
            let mut bytes = tcp.frame(&link);
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
                ip: Ip { identification: 0, dont_fragment: true, ..Ip::default() },
                ..Tcp::default()
            }.frame(&Link { source: link.destination, destination: link.source, vlan });
            // The builder's window is 8192, a reset's is 0.
            let at = network_offset + 20 + 14;
            prop_assert_eq!(&expected[at..at + 2], [0x20, 0x00]);
            expected[at] = 0;
            let sum = u16::from_be_bytes([expected[at + 2], expected[at + 3]]);
            let sum = checksum::Difference::NONE.u16(0x2000, 0).apply(sum);
            expected[at + 2..at + 4].copy_from_slice(&sum.to_be_bytes());
            prop_assert_eq!(frame.bytes(), expected);
        }

        #[test]
        fn a_changed_bit_is_not_answered(at in 14_usize..64, bit in 0_u8..8) {
            let segment = Tcp { payload: b"0123456789", ..Tcp::default() };
            let mut bytes = segment.frame(&Link::default());
            bytes[at] ^= 1 << bit;
            let mut frame = MemoryFrame::new(&bytes);
            prop_assert!(answer(&mut frame, 14).is_err());
            prop_assert_eq!(frame.bytes(), bytes);
        }

        #[test]
        fn any_bytes_are_an_answer(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..80), offset in 0_usize..90,
        ) {
            if let Some(byte) = bytes.get_mut(offset) {
                *byte = 0x45;
            }
            let _ = answer(&mut MemoryFrame::new(&bytes), offset);
        }
    }

    #[test]
    fn refuses_the_rest() {
        let refusal = |bytes: &[u8]| {
            let mut frame = MemoryFrame::new(bytes);
            answer(&mut frame, 14).expect_err(&show(bytes))
        };
        let link = Link::default();
        let good = Tcp::default();
        assert_eq!(refusal(&Tcp { flags: "R", ..good }.frame(&link)), Refusal::Reset);
        assert_eq!(refusal(&Tcp { flags: "SRA", ..good }.frame(&link)), Refusal::Reset);
        assert_eq!(refusal(&Icmp::default().frame(&link)), Refusal::NotAsked);
        let group = Tcp { dst: "224.0.0.1:80", ..good };
        assert_eq!(refusal(&group.frame(&link)), Refusal::NotUnicast);
        let part = Ip { more_fragments: true, ..Ip::default() };
        assert_eq!(refusal(&Tcp { ip: part, ..good }.frame(&link)), Refusal::Fragment);
        let short = link.frame(
            crate::wire::ethernet::EtherType::IPV4,
            &Ip::default().packet(([10, 0, 1, 2].into(), [10, 0, 0, 100].into()), 6, 64, &[0; 19]),
        );
        assert_eq!(refusal(&short), Refusal::Malformed(Malformed::Truncated));
    }
}
