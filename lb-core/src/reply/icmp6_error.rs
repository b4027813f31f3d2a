//! ICMPv6 errors about a packet that cannot be forwarded (RFC 4443 sections 2.4 and 3).

use std::net::Ipv6Addr;

use super::{Originated6, Refusal, behind, check_hosts6, turn_round};
use crate::frame::Frame;
use crate::wire::extension::{self, Chain};
use crate::wire::icmpv6::{self, Type};
use crate::wire::ipv6::{self, protocol};
use crate::wire::{Malformed, field};

/// What is wrong with the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IcmpError6 {
    /// 1/0: no route to the destination.
    NoRoute,
    /// 1/3: no answer from the next hop's neighbour discovery.
    AddressUnreachable,
    /// 1/4: the virtual service has no server that takes the connection.
    PortUnreachable,
    /// 2/0: the packet is larger than `mtu` bytes, and nobody on the way may fragment it.
    PacketTooBig { mtu: u32 },
    /// 3/0: the hop limit has run out.
    TimeExceeded,
    /// 4/0: the field at `pointer` has a value that cannot be.
    ErroneousField { pointer: u32 },
    /// 4/1: nobody here speaks the protocol that the byte at `pointer` names.
    UnknownNextHeader { pointer: u32 },
    /// 4/2: nobody here knows the option at `pointer`.
    UnknownOption { pointer: u32 },
}

impl IcmpError6 {
    /// Type and code, and second word of the message.
    const fn fields(self) -> ((Type, u8), u32) {
        match self {
            Self::NoRoute => ((Type::UNREACHABLE, 0), 0),
            Self::AddressUnreachable => ((Type::UNREACHABLE, 3), 0),
            Self::PortUnreachable => ((Type::UNREACHABLE, 4), 0),
            Self::PacketTooBig { mtu } => ((Type::PACKET_TOO_BIG, 0), mtu),
            Self::TimeExceeded => ((Type::TIME_EXCEEDED, 0), 0),
            Self::ErroneousField { pointer } => ((Type::PARAMETER_PROBLEM, 0), pointer),
            Self::UnknownNextHeader { pointer } => ((Type::PARAMETER_PROBLEM, 1), pointer),
            Self::UnknownOption { pointer } => ((Type::PARAMETER_PROBLEM, 2), pointer),
        }
    }
}

/// What is put in front of the embedded packet; the head room that a frame must have.
pub const HEADERS_LEN: usize = ipv6::HEADER_LEN + icmpv6::HEADER_LEN;
/// Bytes of the packet that fit into the largest error: it must not exceed the least MTU (RFC
/// 4443 section 2.4 (c)).
const EMBEDDED_LEN_MAX: usize = ipv6::MTU_MIN - HEADERS_LEN;

/// Turns a frame into the error about it, from the address that the packet was sent to (a VIP).
///
/// The packet is embedded as it is in the frame now. The kernel looks at the MTU only after it
/// has taken one hop off the limit, at everything else before: do as it does. Traffic class 0,
/// hop limit 64, flow label 0.
pub fn answer(
    frame: &mut impl Frame,
    network_offset: usize,
    error: IcmpError6,
) -> Result<(), Refusal> {
    let source = check(frame.bytes(), network_offset)?.header.destination();
    answer_from(frame, network_offset, source, error)
}

/// The same from an address of the director, where the packet was not sent to a VIP.
pub fn answer_from(
    frame: &mut impl Frame,
    network_offset: usize,
    source: Ipv6Addr,
    error: IcmpError6,
) -> Result<(), Refusal> {
    let packet = check(frame.bytes(), network_offset)?;
    let length = ipv6::HEADER_LEN + packet.payload.len();
    let embedded_length = length.min(EMBEDDED_LEN_MAX);
    let message_length = icmpv6::HEADER_LEN + embedded_length;
    let destination = packet.header.source();
    let reply = Originated6 {
        source,
        destination,
        protocol: protocol::ICMPV6,
        traffic_class: 0,
        // At most 1240.
        payload_length: u16::try_from(message_length).map_err(|_| Malformed::TotalLength)?,
    };

    // The packet stays where it is; the link-layer header and its tags move to the front.
    frame.prepend(HEADERS_LEN).ok_or(Refusal::NoRoom)?;
    if !frame.resize(network_offset + ipv6::HEADER_LEN + message_length) {
        return Err(Refusal::NoRoom);
    }
    let bytes = frame.bytes_mut();
    bytes.copy_within(HEADERS_LEN..HEADERS_LEN + network_offset, 0);
    turn_round(bytes)?;
    reply.write(field::window_mut(bytes, network_offset).ok_or(Malformed::Truncated)?);
    let message = bytes.get_mut(network_offset + ipv6::HEADER_LEN..).ok_or(Malformed::Truncated)?;
    let (window, body) = message.split_first_chunk_mut().ok_or(Malformed::Truncated)?;
    let (kind, rest) = error.fields();
    icmpv6::Header::over(window).fill(kind, rest, (source, destination), body);
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
    let (ip, message) = packet.split_first_chunk_mut().ok_or(Malformed::Truncated)?;
    let mut header = ipv6::Header::over(ip);
    let payload_length = u16::try_from(message.len()).map_err(|_| Malformed::TotalLength)?;
    header.set_payload_length(payload_length);
    let (source, destination) = (header.source(), header.destination());
    let (window, body) = message.split_first_chunk_mut().ok_or(Malformed::Truncated)?;
    icmpv6::Header::over(window).fill_checksum(source, destination, body);
    Ok(())
}

/// Whether the packet may be answered by an error (RFC 4443 section 2.4 (e)). Later fragments
/// are not, as with IPv4: the first one tells all. Where the headers lead to nothing, that is no
/// error (the kernel's `is_ineligible`).
fn check(frame: &[u8], network_offset: usize) -> Result<ipv6::Packet<'_>, Refusal> {
    let packet = check_hosts6(frame, network_offset)?;
    let Ok(chain) = extension::walk(packet.header.next_header(), packet.payload) else {
        return Ok(packet);
    };
    if chain.is_later_fragment() {
        return Err(Refusal::Fragment);
    }
    if is_error(&packet, &chain)? { Err(Refusal::IcmpError) } else { Ok(packet) }
}

/// Whether the packet is an ICMPv6 error, or a redirect, which counts as one.
fn is_error(packet: &ipv6::Packet<'_>, chain: &Chain) -> Result<bool, Malformed> {
    if chain.protocol != protocol::ICMPV6 {
        return Ok(false);
    }
    let message = icmpv6::Message::check(behind(packet, chain))?;
    let message_type = message.header.message_type();
    Ok(message_type.is_error() || message_type == Type::REDIRECT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::captured;
    use crate::wire::build::{Icmp6, Ip6, Link, MemoryFrame, Tcp, Udp};
    use crate::wire::{MacAddress, show};
    use proptest::prelude::*;

    const SYN: Tcp<'_> = Tcp {
        src: "[fd00:1::2]:40045",
        dst: "[fd00::100]:85",
        flags: "S",
        sequence: 1000,
        acknowledgement: 0,
        ttl: 64,
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
            "6b912345000d1140fd000001000000000000000000000002fd000000000000000000\
             00000000010003e90035000dbcdf68656c6c6f",
            "600388da003d3a40fd000000000000000000000000000100fd000001000000000000\
             0000000000020104637a000000006b912345000d1140fd0000010000000000000000\
             00000002fd00000000000000000000000000010003e90035000dbcdf68656c6c6f",
            |frame| answer(frame, 14, IcmpError6::PortUnreachable),
        );
        let own: Ipv6Addr = "fd00:1::1".parse().unwrap();
        captured::check_bytes(
            "60000000000d1140fd000001000000000000000000000002fd000009000000000000\
             00000000000103e90035000dbdd568656c6c6f",
            "6003e9ec003d3a40fd000001000000000000000000000001fd000001000000000000\
             000000000002010093520000000060000000000d1140fd0000010000000000000000\
             00000002fd00000900000000000000000000000103e90035000dbdd568656c6c6f",
            |frame| answer_from(frame, 14, own, IcmpError6::NoRoute),
        );
        captured::check_bytes(
            "60000000000d1101fd000001000000000000000000000002fd000008000000000000\
             00000000000103e90035000dbdd668656c6c6f",
            "60031336003d3a40fd000001000000000000000000000001fd000001000000000000\
             000000000002030091910000000060000000000d1101fd0000010000000000000000\
             00000002fd00000800000000000000000000000103e90035000dbdd668656c6c6f",
            |frame| answer_from(frame, 14, own, IcmpError6::TimeExceeded),
        );
    }

    #[test]
    fn as_ipvs_answers_without_a_server() {
        let mut frame = MemoryFrame::new(&SYN.frame(&Link::default()));
        answer(&mut frame, 14, IcmpError6::PortUnreachable).unwrap();
        // tc=0 plen=68 hl=64 fd00::100>fd00:1::2 type=1 code=4 rest=00000000
        assert_eq!(
            show(frame.bytes()),
            "02:00:00:00:00:02 > 02:00:00:00:00:01 icmp6 fd00::100 > fd00:1::2 type=1 code=4 \
             {tcp [fd00:1::2]:40045 > [fd00::100]:85 [S] hl=64 plen=20} hl=64 plen=68"
        );
    }

    proptest! {
        #[test]
        fn whole_frame_is_as_built(
            payload in proptest::collection::vec(any::<u8>(), 0..1452), traffic_class: u8,
            mtu: u32, which in 0_usize..8, vlan in proptest::option::of(0_u16..4096),
            padding in 0_usize..9, extensions in 0_usize..3, own: bool,
        ) {
            let error = [
                IcmpError6::NoRoute, IcmpError6::AddressUnreachable, IcmpError6::PortUnreachable,
                IcmpError6::PacketTooBig { mtu }, IcmpError6::TimeExceeded,
                IcmpError6::ErroneousField { pointer: mtu },
                IcmpError6::UnknownNextHeader { pointer: mtu },
                IcmpError6::UnknownOption { pointer: mtu },
            ][which];
            let kind = [(1, 0), (1, 3), (1, 4), (2, 0), (3, 0), (4, 0), (4, 1), (4, 2)][which];
            let rest = if which == 3 || which > 4 { mtu } else { 0 };
            let link = Link { vlan, ..Link::default() };
            let options: [(u8, &[u8]); 3] = [(60, &[0, 0, 1, 4, 0, 0, 0, 0]); 3];
            let ip = Ip6 { traffic_class, extensions: &options[..extensions], ..Ip6::default() };
            let (src, dst) = (SYN.src, SYN.dst);
            let packet = Udp { src, dst, payload: &payload, ..Udp::default() }.packet6(&ip);
            let mut bytes = link.packet(&packet);
            bytes.resize(bytes.len() + padding, 0xaa);
            let mut frame = MemoryFrame::with_room(&bytes, HEADERS_LEN, 0);
            let network_offset = if vlan.is_some() { 18 } else { 14 };
            let answered = if own {
                answer_from(&mut frame, network_offset, "fd00::1".parse().unwrap(), error)
            } else {
                answer(&mut frame, network_offset, error)
            };
            prop_assert_eq!(answered, Ok(()));
            let expected = Icmp6 {
                src: if own { "fd00::1" } else { "fd00::100" },
                dst: "fd00:1::2",
                kind,
                rest,
                body: &packet[..packet.len().min(1232)],
                ..Icmp6::default()
            };
            let back = Link { source: link.destination, destination: link.source, vlan };
            prop_assert_eq!(frame.bytes(), expected.frame(&back));
            prop_assert!(frame.bytes().len() - network_offset <= 1280);
        }

        #[test]
        fn any_bytes_are_an_answer(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..120), offset in 0_usize..90,
            next in prop_oneof![Just(6_u8), Just(58), Just(60), Just(44)],
        ) {
            if let Some(window) = field::window_mut::<7>(&mut bytes, offset) {
                window.copy_from_slice(&[0x60, 0, 0, 0, 0, 20, next]);
            }
            let _ = answer(&mut MemoryFrame::new(&bytes), offset, IcmpError6::TimeExceeded);
        }
    }

    fn refusal(packet: &[u8], link: Link, head_room: usize) -> Refusal {
        let bytes = link.packet(packet);
        let mut frame = MemoryFrame::with_room(&bytes, head_room, 0);
        let refusal =
            answer(&mut frame, 14, IcmpError6::PortUnreachable).expect_err(&show(frame.bytes()));
        assert_eq!(frame.bytes(), bytes, "a refused frame is unchanged");
        refusal
    }

    #[test]
    fn never_about_errors_groups_and_later_fragments() {
        let link = Link::default();
        let inner = SYN.packet();
        for kind in [(1, 4), (2, 0), (3, 0), (4, 1), (100, 0), (127, 0), (137, 0)] {
            let icmp = Icmp6 { kind, body: &inner, ..Icmp6::default() };
            assert_eq!(refusal(&icmp.packet(), link, 128), Refusal::IcmpError, "{kind:?}");
            // Not behind an extension header either.
            let extensions: &[(u8, &[u8])] = &[(60, &[0, 0, 1, 4, 0, 0, 0, 0])];
            let hidden = Icmp6 { ip: Ip6 { extensions, ..Ip6::default() }, ..icmp };
            assert_eq!(refusal(&hidden.packet(), link, 128), Refusal::IcmpError, "{kind:?}");
        }
        for src in ["[::]:1", "[::1]:1", "[ff02::1]:1", "[::ffff:10.0.0.1]:1"] {
            let packet = Tcp { src, ..SYN }.packet();
            assert_eq!(refusal(&packet, link, 128), Refusal::NotUnicast, "{src}");
        }
        let group = Tcp { dst: "[ff0e::1]:80", ..SYN }.packet();
        assert_eq!(refusal(&group, link, 128), Refusal::NotUnicast);
        let everyone = Link { destination: MacAddress([0x33, 0x33, 0, 0, 0, 1]), ..link };
        assert_eq!(refusal(&inner, everyone, 128), Refusal::NotUnicast);
        let later = Ip6 { fragment: Some((8, false, 1)), ..Ip6::default() };
        assert_eq!(refusal(&SYN.packet6(&later), link, 128), Refusal::Fragment);
        assert_eq!(refusal(&inner, link, HEADERS_LEN - 1), Refusal::NoRoom);
    }

    #[test]
    fn echo_requests_and_first_fragments_are_answered() {
        let first = Ip6 { fragment: Some((0, true, 1)), ..Ip6::default() };
        for packet in [Icmp6::default().packet(), SYN.packet6(&first)] {
            let mut frame = MemoryFrame::new(&Link::default().packet(&packet));
            assert_eq!(answer(&mut frame, 14, IcmpError6::TimeExceeded), Ok(()));
        }
    }
}
