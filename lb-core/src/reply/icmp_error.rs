//! ICMP errors about a packet that cannot be forwarded (RFC 792, RFC 1812 section 4.3).

use std::net::Ipv4Addr;

use super::{Originated, Refusal, check_unicast, turn_round};
use crate::frame::Frame;
use crate::wire::ipv4::{self, protocol};
use crate::wire::{Malformed, icmp};

/// What is wrong with the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IcmpError {
    /// 3/0: no route leads there.
    NetUnreachable,
    /// 3/1: no answer from the next hop's ARP.
    HostUnreachable,
    /// 3/2: nobody here speaks the protocol.
    ProtocolUnreachable,
    /// 3/3: the virtual service has no server that takes the connection.
    PortUnreachable,
    /// 3/4: DF is set and the packet is larger than `mtu` bytes.
    FragmentationNeeded { mtu: u16 },
    /// 11/0: the TTL has run out.
    TimeExceeded,
    /// 12/0: the byte at `pointer` of the header makes no sense.
    ParameterProblem { pointer: u8 },
}

impl IcmpError {
    /// Type, code and second word of the message.
    const fn fields(self) -> (icmp::Type, u8, u32) {
        match self {
            Self::NetUnreachable => (icmp::Type::UNREACHABLE, 0, 0),
            Self::ProtocolUnreachable => (icmp::Type::UNREACHABLE, 2, 0),
            Self::HostUnreachable => (icmp::Type::UNREACHABLE, 1, 0),
            Self::PortUnreachable => (icmp::Type::UNREACHABLE, 3, 0),
            Self::FragmentationNeeded { mtu } => (icmp::Type::UNREACHABLE, 4, mtu as u32),
            Self::TimeExceeded => (icmp::Type::TIME_EXCEEDED, 0, 0),
            Self::ParameterProblem { pointer } => {
                (icmp::Type::PARAMETER_PROBLEM, 0, (pointer as u32) << 24)
            }
        }
    }
}

/// Length of the largest error in bytes (RFC 1812 section 4.3.2.3).
const TOTAL_LEN_MAX: usize = 576;
/// What is put in front of the embedded packet; the head room that a frame must have.
pub const HEADERS_LEN: usize = ipv4::HEADER_LEN + icmp::HEADER_LEN;
/// Bytes of the packet that fit into the largest error.
const EMBEDDED_LEN_MAX: usize = TOTAL_LEN_MAX - HEADERS_LEN;

/// Turns a frame into the error about it, from the address that the packet was sent to (a VIP).
///
/// The packet is embedded as it is in the frame now. The kernel looks at the MTU only after it
/// has taken one hop off the TTL, at everything else before: do as it does.
pub fn answer(
    frame: &mut impl Frame,
    network_offset: usize,
    error: IcmpError,
    identification: u16,
) -> Result<(), Refusal> {
    let source = check(frame.bytes(), network_offset)?.header.destination();
    answer_from(frame, network_offset, source, error, identification)
}

/// The same from an address of the director, where the packet was not sent to a VIP.
pub fn answer_from(
    frame: &mut impl Frame,
    network_offset: usize,
    source: Ipv4Addr,
    error: IcmpError,
    identification: u16,
) -> Result<(), Refusal> {
    let header = check(frame.bytes(), network_offset)?.header;
    let embedded_length = usize::from(header.total_length()).min(EMBEDDED_LEN_MAX);
    let total_length = HEADERS_LEN + embedded_length;
    let reply = Originated {
        source,
        destination: header.source(),
        protocol: protocol::ICMP,
        // Precedence "internetwork control", type of service as in the packet (RFC 1812 section
        // 4.3.2.5). 0xc0 for a packet without any.
        tos: 0xc0 | header.tos() & 0x1e,
        identification,
        dont_fragment: false,
        // At most 576.
        total_length: u16::try_from(total_length).map_err(|_| Malformed::TotalLength)?,
    };

    // The packet stays where it is; the link-layer header and its tags move to the front.
    frame.prepend(HEADERS_LEN).ok_or(Refusal::NoRoom)?;
    if !frame.resize(network_offset + total_length) {
        return Err(Refusal::NoRoom);
    }
    let bytes = frame.bytes_mut();
    bytes.copy_within(HEADERS_LEN..HEADERS_LEN + network_offset, 0);
    turn_round(bytes)?;
    let (_, packet) = bytes.split_at_mut_checked(network_offset).ok_or(Malformed::Truncated)?;
    let (ip, message) = packet.split_first_chunk_mut().ok_or(Malformed::Truncated)?;
    reply.write(ip);
    let (window, body) = message.split_first_chunk_mut().ok_or(Malformed::Truncated)?;
    let (message_type, code, rest) = error.fields();
    icmp::Header::over(window).fill(message_type, code, rest, body);
    Ok(())
}

/// Cuts what an error that was made embeds to `embedded_length` bytes, if it is longer.
pub fn shorten(
    frame: &mut impl Frame,
    network_offset: usize,
    embedded_length: usize,
) -> Result<(), Refusal> {
    let length = (network_offset + HEADERS_LEN).saturating_add(embedded_length);
    if length >= frame.bytes().len() {
        return Ok(());
    }
    if !frame.resize(length) {
        return Err(Refusal::NoRoom);
    }
    let (_, packet) =
        frame.bytes_mut().split_at_mut_checked(network_offset).ok_or(Malformed::Truncated)?;
    let total_length = u16::try_from(packet.len()).map_err(|_| Malformed::TotalLength)?;
    let (ip, message) = packet.split_first_chunk_mut().ok_or(Malformed::Truncated)?;
    let mut header = ipv4::Header::over(ip);
    header.set_total_length(total_length);
    header.fill_checksum(&[]);
    let (window, body) = message.split_first_chunk_mut().ok_or(Malformed::Truncated)?;
    icmp::Header::over(window).fill_checksum(body);
    Ok(())
}

/// Whether the packet may be answered by an error (RFC 1122 section 3.2.2).
fn check(frame: &[u8], network_offset: usize) -> Result<ipv4::Packet<'_>, Refusal> {
    let packet = check_unicast(frame, network_offset)?;
    if packet.header.is_later_fragment() {
        return Err(Refusal::Fragment);
    }
    if packet.header.protocol() == protocol::ICMP {
        let message = icmp::Message::check(packet.payload)?;
        if !message.header.message_type().is_query() {
            return Err(Refusal::IcmpError);
        }
    }
    Ok(packet)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::captured;
    use crate::wire::build::{Icmp, Ip, Link, MemoryFrame, Tcp, Udp};
    use crate::wire::{MacAddress, show};
    use proptest::prelude::*;

    #[test]
    fn as_the_kernel_answers() {
        let unreachable = IcmpError::PortUnreachable;
        captured::check(
            "IP tos=0x00 len=40 id=0x1234 DF off=0 ttl=64 proto=6 csum=ok 10.0.1.2>10.0.0.100 \
             TCP 20008>1003 [S] seq=1000 ack=0 csum=ok data=b''",
            "IP tos=0xc0 len=68 id=0x5e05 off=0 ttl=64 proto=1 csum=ok 10.0.0.100>10.0.1.2 ICMP \
             type=3 code=3 rest=00000000 csum=ok len=48 {IP len=40 ttl=64 proto=6 csum=ok \
             10.0.1.2>10.0.0.100 ports=20008>1003 avail=40}",
            |frame| answer(frame, 14, unreachable, 0x5e05),
        );
        captured::check(
            "IP tos=0x00 len=33 id=0x1234 DF off=0 ttl=64 proto=17 csum=ok 10.0.1.2>10.0.0.100 \
             UDP 20009>1003 len=13 csum=ok(0x5488) data=68656c6c6f",
            "IP tos=0xc0 len=61 id=0x5e07 off=0 ttl=64 proto=1 csum=ok 10.0.0.100>10.0.1.2 ICMP \
             type=3 code=3 rest=00000000 csum=ok len=41 {IP len=33 ttl=64 proto=17 csum=ok \
             10.0.1.2>10.0.0.100 ports=20009>1003 avail=33}",
            |frame| answer(frame, 14, unreachable, 0x5e07),
        );
        captured::check(
            "IP tos=0x00 len=40 id=0x1234 DF off=0 ttl=1 proto=6 csum=ok 10.0.1.2>10.0.0.100 TCP \
             20059>1034 [S] seq=1000 ack=0 csum=ok data=b''",
            "IP tos=0xc0 len=68 id=0x600a off=0 ttl=64 proto=1 csum=ok 10.0.0.100>10.0.1.2 ICMP \
             type=11 code=0 rest=00000000 csum=ok len=48 {IP len=40 ttl=1 proto=6 csum=ok \
             10.0.1.2>10.0.0.100 ports=20059>1034 avail=40}",
            |frame| answer(frame, 14, IcmpError::TimeExceeded, 0x600a),
        );
    }

    #[test]
    fn as_the_kernel_answers_large_packets() {
        // The embedded TTL is one less: the kernel decrements before it looks at the MTU.
        captured::check(
            "IP tos=0x00 len=1001 id=0x1234 DF off=0 ttl=63 proto=6 csum=ok 10.0.1.2>10.0.0.100 \
             TCP 20066>1037 [A] seq=1000 ack=0 csum=ok data=<961 bytes>",
            "IP tos=0xc0 len=576 id=0x603d off=0 ttl=64 proto=1 csum=ok 10.0.0.100>10.0.1.2 ICMP \
             type=3 code=4 rest=000003e8 csum=ok len=556 {IP len=1001 ttl=63 proto=6 csum=ok \
             10.0.1.2>10.0.0.100 ports=20066>1037 avail=548}",
            |frame| answer(frame, 14, IcmpError::FragmentationNeeded { mtu: 1000 }, 0x603d),
        );
        // nat_icmp_send: about a server's packet, from the director's own address.
        captured::check(
            "IP tos=0x00 len=40 id=0x1234 DF off=0 ttl=63 proto=6 csum=ok 10.0.2.11>10.0.1.2 TCP \
             1041>20070 [A] seq=1000 ack=0 csum=ok data=b''",
            "IP tos=0xc0 len=68 id=0x9008 off=0 ttl=64 proto=1 csum=ok 10.0.2.1>10.0.2.11 ICMP \
             type=3 code=3 rest=00000000 csum=ok len=48 {IP len=40 ttl=63 proto=6 csum=ok \
             10.0.2.11>10.0.1.2 ports=1041>20070 avail=40}",
            |frame| {
                let own = Ipv4Addr::new(10, 0, 2, 1);
                answer_from(frame, 14, own, IcmpError::PortUnreachable, 0x9008)
            },
        );
    }

    proptest! {
        #[test]
        fn whole_frame_is_as_built(
            payload in proptest::collection::vec(any::<u8>(), 0..900), tos: u8, mtu: u16,
            which in 0_usize..5, vlan in proptest::option::of(0_u16..4096), padding in 0_usize..9,
            words in 0_usize..=10,
        ) {
            let error = [
                IcmpError::HostUnreachable, IcmpError::PortUnreachable,
                IcmpError::FragmentationNeeded { mtu }, IcmpError::TimeExceeded,
                IcmpError::ParameterProblem { pointer: tos },
            ][which];
            let kind = [(3, 1), (3, 3), (3, 4), (11, 0), (12, 0)][which];
            let rest = [0, 0, u32::from(mtu), 0, u32::from(tos) << 24][which];
            let options = vec![1; words * 4];
            let link = Link { vlan, ..Link::default() };
            let udp = Udp {
                payload: &payload,
                ip: Ip { tos, options: &options, ..Ip::default() },
                ..Udp::default()
            };
            let mut bytes = udp.frame(&link);
            bytes.resize(bytes.len() + padding, 0xaa);
            let mut frame = MemoryFrame::with_room(&bytes, HEADERS_LEN, 0);
            let network_offset = if vlan.is_some() { 18 } else { 14 };
            prop_assert_eq!(answer(&mut frame, network_offset, error, 7), Ok(()));
            let packet = udp.packet();
            let expected = Icmp {
                src: "10.0.0.100",
                dst: "10.0.1.2",
                kind,
                rest,
                body: &packet[..packet.len().min(548)],
                ip: Ip { tos: 0xc0 | tos & 0x1e, identification: 7, ..Ip::default() },
                ..Icmp::default()
            };
            let back = Link { source: link.destination, destination: link.source, vlan };
            prop_assert_eq!(frame.bytes(), expected.frame(&back));
        }

        #[test]
        fn any_bytes_are_an_answer(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..80), offset in 0_usize..90,
        ) {
            if let Some(byte) = bytes.get_mut(offset) {
                *byte = 0x45;
            }
            let mut frame = MemoryFrame::new(&bytes);
            let _ = answer(&mut frame, offset, IcmpError::TimeExceeded, 0);
        }
    }

    fn refusal(packet: &[u8], link: Link, head_room: usize) -> Refusal {
        let bytes = link.frame(crate::wire::ethernet::EtherType::IPV4, packet);
        let mut frame = MemoryFrame::with_room(&bytes, head_room, 0);
        let refusal =
            answer(&mut frame, 14, IcmpError::PortUnreachable, 0).expect_err(&show(frame.bytes()));
        assert_eq!(frame.bytes(), bytes, "a refused frame is unchanged");
        refusal
    }

    #[test]
    fn never_about_errors_groups_and_later_fragments() {
        let link = Link::default();
        let good = Tcp::default();
        let inner = good.packet();
        for kind in [(3, 3), (4, 0), (5, 1), (11, 0), (12, 0), (200, 0)] {
            let icmp = Icmp { kind, body: &inner, ..Icmp::default() }.packet();
            assert_eq!(refusal(&icmp, link, 128), Refusal::IcmpError, "{kind:?}");
        }
        for src in
            ["0.0.0.0:1", "127.0.0.1:1", "224.0.0.1:1", "255.255.255.255:1", "255.255.255.255:1"]
        {
            let packet = Tcp { src, ..good }.packet();
            assert_eq!(refusal(&packet, link, 128), Refusal::NotUnicast, "{src}");
        }
        let group = Tcp { dst: "239.1.1.1:80", ..good }.packet();
        assert_eq!(refusal(&group, link, 128), Refusal::NotUnicast);
        let everyone = Link { destination: MacAddress::BROADCAST, ..link };
        assert_eq!(refusal(&inner, everyone, 128), Refusal::NotUnicast);
        let later = Ip { fragment_offset: 8, ..Ip::default() };
        assert_eq!(refusal(&Tcp { ip: later, ..good }.packet(), link, 128), Refusal::Fragment);
        let mut broken = inner.clone();
        broken[8] ^= 1;
        assert_eq!(refusal(&broken, link, 128), Refusal::Checksum);
        assert_eq!(refusal(&inner, link, HEADERS_LEN - 1), Refusal::NoRoom);
    }

    #[test]
    fn echo_requests_and_first_fragments_are_answered() {
        let first = Ip { more_fragments: true, ..Ip::default() };
        for bytes in [
            Icmp::default().frame(&Link::default()),
            Udp { ip: first, payload: b"12345678", ..Udp::default() }.frame(&Link::default()),
        ] {
            let mut frame = MemoryFrame::new(&bytes);
            assert_eq!(answer(&mut frame, 14, IcmpError::TimeExceeded, 0), Ok(()));
        }
    }
}
