//! ICMP errors about tunnels: a router between director and real server could not forward an
//! outer packet and tells the director, which sent it. The client has to hear of it.
//!
//! ```text
//! in   router ► director │ director ► RIP │ tunnel header │ CIP:cport ► VIP:vport ...
//! out  VIP    ► CIP                                       │ CIP:cport ► VIP:vport ...
//! ```
//!
//! As in `ip_vs_in_icmp` the outer packet and the inner one are IPv4. Otherwise than there, "too
//! large" is told with the right MTU at the first time: the kernel says what it knew before.

use std::net::IpAddr;

use super::icmp::{self, Embedded};
use super::{Layout, Refusal};
use crate::frame::Frame;
use crate::wire::ethernet::EtherType;
use crate::wire::field::window;
use crate::wire::icmp::Type;
use crate::wire::ipv4::protocol;
use crate::wire::{ethernet, gre, gue, icmp as message, ipv4, udp};

/// Code of "unreachable": DF is set, and the packet is too large (RFC 792).
const FRAGMENTATION_NEEDED: u8 = 4;

/// The smallest path MTU that is believed (the kernel's `min_pmtu`): a liar could make us send
/// crumbs, and routers older than RFC 1191 say 0.
pub const PATH_MTU_MIN: u16 = 552;

/// Length of the largest error in bytes (RFC 1812 section 4.3.2.3).
const TOTAL_LEN_MAX: usize = 576;

/// TTL of what the director sends (the kernel's `ip_default_ttl`).
const TTL: u8 = 64;

/// What is in front of the embedded packet in an untagged frame.
const HEADERS_LEN: usize = ethernet::HEADER_LEN + ipv4::HEADER_LEN + message::HEADER_LEN;

/// How the outer packet says that it is a tunnel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TunnelKind {
    Ipip,
    /// The destination port, which must be that of the real server's tunnel.
    Gue {
        port: u16,
    },
    Gre,
}

/// An ICMP error about an outer packet.
///
/// It is to be believed if it came to an address of the director, `outer.source` is that address,
/// `outer.destination` is a real server with a tunnel of that kind, and the inner packet is one
/// of a connection to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelError {
    pub kind: TunnelKind,
    /// From the director to the real server.
    pub outer: Embedded,
    /// From the client to the virtual service: directions are those of a request.
    pub inner: Embedded,
    /// What the path to the real server lets through, where the error is about that. 0 from
    /// routers older than RFC 1191.
    pub path_mtu: Option<u16>,
    message_type: u8,
    code: u8,
    rest: u32,
}

impl TunnelError {
    /// Bytes that the tunnel put in front of the inner packet.
    fn overhead(&self) -> u16 {
        self.inner.layout.network_offset.saturating_sub(self.outer.layout.network_offset)
    }
}

/// Reads an ICMP error about a packet that this director may have put into a tunnel. `None`: it is
/// about something else, or embeds too little of the inner packet.
pub fn tunnel_error(frame: &[u8], layout: &Layout) -> Option<TunnelError> {
    let (header, end) = icmp::error(frame, layout).filter(|_| layout.is_v4)?;
    let outer = icmp::embedded(frame, layout).filter(|outer| !outer.layout.is_later_fragment)?;
    let bytes = frame.get(..end)?;
    let (kind, length) =
        tunnel_header(bytes.get(outer.layout.transport()..)?, outer.layout.protocol)?;
    let inner = Embedded::read(bytes, outer.layout.transport() + length)?;
    let message_type = header.message_type();
    let is_about_mtu = message_type == Type::UNREACHABLE && header.code() == FRAGMENTATION_NEEDED;
    inner.layout.is_v4.then_some(TunnelError {
        kind,
        outer,
        inner,
        path_mtu: is_about_mtu.then(|| header.next_hop_mtu()),
        message_type: message_type.0,
        code: header.code(),
        rest: header.rest(),
    })
}

/// The kind of tunnel, and how long its header is. What is carried must be IPv4
/// (`ipvs_udp_decap`, `ipvs_gre_decap`).
fn tunnel_header(bytes: &[u8], number: u8) -> Option<(TunnelKind, usize)> {
    let (kind, inner) = match number {
        protocol::IPIP => (TunnelKind::Ipip, bytes),
        protocol::UDP => {
            let header = udp::Header::over(window(bytes, 0)?);
            let packet = gue::Packet::check(bytes.get(udp::HEADER_LEN..)?).ok()?;
            if packet.header.protocol() != protocol::IPIP {
                return None;
            }
            (TunnelKind::Gue { port: header.destination_port() }, packet.payload)
        }
        protocol::GRE => {
            let packet = gre::Packet::check(bytes).ok()?;
            if packet.header.ether_type() != EtherType::IPV4 {
                return None;
            }
            (TunnelKind::Gre, packet.payload)
        }
        _ => return None,
    };
    Some((kind, bytes.len() - inner.len()))
}

/// Makes of the frame the error for the client: of the same type and code, from the VIP, with the
/// inner packet, in an untagged frame without link-layer addresses.
///
/// Refused where nobody may be told, the error is corrupt, or the client did not set DF: then
/// there is nothing that it could do, the next outer packet has to be fragmented.
pub fn relay(
    frame: &mut impl Frame,
    layout: &Layout,
    error: &TunnelError,
    identification: u16,
) -> Result<(), Refusal> {
    icmp::verify_checksum(frame.bytes(), layout)?;
    let (IpAddr::V4(client), IpAddr::V4(vip)) = (error.inner.source, error.inner.destination)
    else {
        return Err(Refusal::Family);
    };
    let start = error.inner.layout.network();
    let end = layout.end(frame.bytes()).ok_or(Refusal::Malformed)?;
    let inner = frame.bytes().get(start..end).ok_or(Refusal::Malformed)?;
    let packet = ipv4::Packet::check_embedded(inner).map_err(|_| Refusal::Malformed)?;
    check_answerable(&packet)?;
    let rest = rest_for_client(error, packet.header.dont_fragment())?;
    // As the kernel's `icmp_send`: "internetwork control", type of service as in the packet.
    let tos = 0xc0 | packet.header.tos() & 0x1e;
    let embedded_length = (ipv4::HEADER_LEN + packet.options.len() + packet.payload.len())
        .min(TOTAL_LEN_MAX - ipv4::HEADER_LEN - message::HEADER_LEN);
    let total = HEADERS_LEN - ethernet::HEADER_LEN + embedded_length;
    // At most 576.
    let total_length = u16::try_from(total).map_err(|_| Refusal::TooLong)?;

    if start < HEADERS_LEN {
        return Err(Refusal::Malformed);
    }
    // The inner packet moves to the front, behind headers that are shorter than those before.
    frame.bytes_mut().copy_within(start..start + embedded_length, HEADERS_LEN);
    if !frame.resize(HEADERS_LEN + embedded_length) {
        return Err(Refusal::NoRoom);
    }
    let (link, bytes) = frame.bytes_mut().split_first_chunk_mut().ok_or(Refusal::Malformed)?;
    *link = [0; ethernet::HEADER_LEN];
    ethernet::Header::over(link).set_ether_type(EtherType::IPV4);
    let (ip, bytes) = bytes.split_first_chunk_mut().ok_or(Refusal::Malformed)?;
    let mut header = ipv4::Header::over(ip);
    header.fill(vip, client, protocol::ICMP, TTL, total_length);
    header.set_tos(tos);
    header.set_identification(identification);
    header.fill_checksum(&[]);
    let (window, body) = bytes.split_first_chunk_mut().ok_or(Refusal::Malformed)?;
    message::Header::over(window).fill(Type(error.message_type), error.code, rest, body);
    Ok(())
}

/// Whether the sender of the inner packet may be told (RFC 1122 section 3.2.2).
fn check_answerable(inner: &ipv4::Packet<'_>) -> Result<(), Refusal> {
    let header = &inner.header;
    let is_query = || {
        message::Message::check(inner.payload)
            .is_ok_and(|message| message.header.message_type().is_query())
    };
    let ends_are_hosts =
        ipv4::is_single_host(header.source()) && ipv4::is_single_host(header.destination());
    let is_answerable = ends_are_hosts
        && !header.is_later_fragment()
        && (header.protocol() != protocol::ICMP || is_query());
    if is_answerable { Ok(()) } else { Err(Refusal::NotAnswerable) }
}

/// The second word of the client's error: what it was, or the MTU less the tunnel's headers.
fn rest_for_client(error: &TunnelError, dont_fragment: bool) -> Result<u32, Refusal> {
    let Some(path_mtu) = error.path_mtu else { return Ok(error.rest) };
    if !dont_fragment {
        return Err(Refusal::NotAnswerable);
    }
    Ok(path_mtu.max(PATH_MTU_MIN).saturating_sub(error.overhead()).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::captured;
    use crate::forward::samples::{any_layout, end, in_frame, mend_icmp};
    use crate::wire::build::{Icmp, Ip, Link, MemoryFrame, Tcp};
    use proptest::prelude::*;

    /// The outer packet of the capture, cut as the router did.
    fn embedded_outer(outer: &str) -> Vec<u8> {
        captured::packet(outer)[..48].to_vec()
    }

    /// An error of a router to the director.
    fn error(kind: (u8, u8), rest: u32, body: &[u8]) -> Vec<u8> {
        let (src, dst) = ("10.0.2.254", "10.0.2.1");
        Icmp { src, dst, kind, rest, body, ..Icmp::default() }.frame(&Link::default())
    }

    fn relayed(bytes: &[u8], identification: u16) -> Result<Vec<u8>, Refusal> {
        let layout = Layout::read(bytes, 14).unwrap();
        let error = tunnel_error(bytes, &layout).expect("an error about a tunnel");
        let mut frame = MemoryFrame::with_room(bytes, 0, 0);
        relay(&mut frame, &layout, &error, identification)?;
        Ok(frame.bytes().to_vec())
    }

    #[test]
    fn as_the_kernel_relays() {
        let lines = captured::section("ICMP error about the tunnel");
        let outer = lines[0].strip_prefix("outer ").unwrap();
        let sent = error((3, 4), 900, &embedded_outer(outer));
        assert!(lines[1].contains("type=3 code=4 rest=00000384 csum=ok len=56 {IP len=1060 "));
        let layout = Layout::read(&sent, 14).unwrap();
        let found = tunnel_error(&sent, &layout).unwrap();
        assert_eq!((found.kind, found.path_mtu), (TunnelKind::Ipip, Some(900)));
        assert_eq!(found.outer.source, end("10.0.2.1:0").0);
        assert_eq!(found.outer.destination, end("10.0.2.13:0").0);
        assert_eq!((found.inner.source, found.inner.source_port), end("10.0.1.2:40003"));
        assert_eq!((found.inner.destination, found.inner.destination_port), end("10.0.0.100:4003"));
        // What the kernel says at the second time we say at once.
        let first = lines[2].strip_prefix("at CL : ").unwrap();
        let mtu = captured::value(lines[4], "rest");
        assert_eq!(mtu, "00000370");
        let expected = captured::frame(&first.replace("rest=000005c8", "rest=00000370"));
        assert_eq!(relayed(&sent, 0x7b3d).map(without_unsaid), Ok(without_unsaid(expected)));

        assert!(lines[5].contains("type=3 code=1 rest=00000000 csum=ok len=56 {IP len=61 "));
        let outer = outer.replace("len=1060", "len=61").replace("len=1040", "len=41");
        let sent = error((3, 1), 0, &embedded_outer(&outer.replace("<1000 ", "<1 ")));
        let expected = captured::frame(lines[6].strip_prefix("at CL : ").unwrap());
        assert_eq!(relayed(&sent, 0x7b47).map(without_unsaid), Ok(without_unsaid(expected)));
    }

    /// Without what no line says: the sequence number, which the capture's reader fills with
    /// anything, and the checksum over it.
    fn without_unsaid(mut frame: Vec<u8>) -> Vec<u8> {
        frame.truncate(frame.len() - 4);
        frame.drain(36..38);
        frame
    }

    #[test]
    fn every_kind_of_tunnel_is_recognised() {
        let lines = captured::section("tunnel encapsulations");
        let mut seen = 0;
        for line in lines.iter().filter(|line| !line.starts_with("hex") && line.contains("df=1")) {
            let (name, packet) = line.split_once(" : ").unwrap();
            let (kind, overhead) = match name.split(' ').next().unwrap() {
                "ipip" => (TunnelKind::Ipip, 20),
                "gre-nocsum" => (TunnelKind::Gre, 24),
                "gre-csum" => (TunnelKind::Gre, 28),
                _ => (TunnelKind::Gue { port: 6080 }, 32),
            };
            let outer = captured::packet(packet);
            let sent = error((3, 4), 1400, &outer);
            let found = tunnel_error(&sent, &Layout::read(&sent, 14).unwrap()).unwrap();
            assert_eq!((found.kind, found.overhead()), (kind, overhead), "{name}");
            let answer = relayed(&sent, 7).unwrap();
            let inner = &outer[usize::from(overhead)..];
            let tos = 0xc0 | inner[1] & 0x1e;
            let expected = Icmp {
                src: "10.0.0.100",
                dst: "10.0.1.2",
                kind: (3, 4),
                rest: 1400 - u32::from(overhead),
                body: inner,
                ip: Ip { tos, identification: 7, ..Ip::default() },
                ..Icmp::default()
            };
            assert_eq!(answer, in_frame(&expected.packet()), "{name}");
            seen += 1;
        }
        assert_eq!(seen, 30);
    }

    /// An IPIP packet of the director around `inner`.
    fn ipip(inner: &[u8]) -> Vec<u8> {
        let ends = ([10, 0, 2, 1].into(), [10, 0, 2, 13].into());
        Ip::default().packet(ends, protocol::IPIP, 63, inner)
    }

    #[test]
    fn who_cannot_do_anything_about_it_is_not_told() {
        let df = Ip { dont_fragment: true, ..Ip::default() };
        let whole = Tcp { ip: df, ..Tcp::default() };
        let inner = whole.packet();
        assert!(relayed(&error((3, 4), 900, &ipip(&inner)), 1).is_ok());
        let may_fragment = ipip(&Tcp::default().packet());
        let refused = |kind, rest, body: &[u8]| relayed(&error(kind, rest, body), 1).unwrap_err();
        assert_eq!(refused((3, 4), 900, &may_fragment), Refusal::NotAnswerable);
        assert!(relayed(&error((3, 1), 0, &may_fragment), 1).is_ok());
        for mtu in [0, 19, 551, 552] {
            let told = relayed(&error((3, 4), mtu, &ipip(&inner)), 1).unwrap();
            assert_eq!(told[40..42], 532_u16.to_be_bytes(), "{mtu} is not believed");
        }
        let later = Tcp { ip: Ip { fragment_offset: 8, ..df }, ..whole }.packet();
        assert_eq!(refused((3, 1), 0, &ipip(&later)), Refusal::NotAnswerable);
        let about = Icmp { kind: (3, 3), body: &inner, ..Icmp::default() }.packet();
        assert_eq!(refused((3, 1), 0, &ipip(&about)), Refusal::NotAnswerable);
        let group = Tcp { src: "224.0.0.1:7", ..whole }.packet();
        assert_eq!(refused((3, 1), 0, &ipip(&group)), Refusal::NotAnswerable);
        let mut corrupt = error((3, 4), 900, &ipip(&inner));
        corrupt[60] ^= 1;
        assert_eq!(relayed(&corrupt, 1), Err(Refusal::Checksum));
    }

    #[test]
    fn other_errors_are_not_about_tunnels() {
        let inner = Tcp::default().packet();
        let about = |body: &[u8]| {
            let frame = error((3, 1), 0, body);
            tunnel_error(&frame, &Layout::read(&frame, 14).unwrap())
        };
        assert!(about(&ipip(&inner)).is_some());
        assert_eq!(about(&inner), None);
        assert_eq!(about(&ipip(&inner)[..43]), None, "ports are missing");
        let ends = ([10, 0, 2, 1].into(), [10, 0, 2, 13].into());
        let outer = |number, header: &[u8]| {
            Ip::default().packet(ends, number, 63, &[header, &inner[..]].concat())
        };
        let gre = |header: &[u8]| about(&outer(protocol::GRE, header)).is_some();
        assert!(gre(&[0, 0, 8, 0]));
        assert!(!gre(&[0x20, 0, 8, 0, 0, 0, 0, 1]), "a key");
        assert!(!gre(&[0, 0, 0x86, 0xdd]), "IPv6");
        let gue = |header: &[u8]| {
            about(&outer(protocol::UDP, &[&[0, 1, 0, 2, 0, 60, 0, 0], header].concat())).is_some()
        };
        assert!(gue(&[0, 4, 0, 0]));
        assert!(gue(&[1, 4, 0, 0, 1, 2, 3, 4]), "optional fields");
        assert!(!gue(&[0x20, 4, 0, 0]), "a control message");
        assert!(!gue(&[0x40, 4, 0, 0]), "version 1");
        assert!(!gue(&[0, 41, 0, 0]), "IPv6");
    }

    #[test]
    fn the_longest_error_is_as_long_as_the_kernels() {
        let df = Ip { dont_fragment: true, ..Ip::default() };
        let inner = Tcp { ip: df, payload: &[7; 1000], ..Tcp::default() }.packet();
        let answer = relayed(&error((3, 4), 900, &ipip(&inner)), 1).unwrap();
        assert_eq!(answer.len(), 14 + 576);
        assert_eq!(&answer[42..], &inner[..548]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..160), layout in any_layout(),
            flips in proptest::collection::vec((0_usize..160, any::<u8>()), 0..4), is_near: bool,
        ) {
            let mut layout = layout;
            if is_near {
                let inner = Tcp::default().packet();
                bytes = error((3, 4), 900, &ipip(&inner));
                layout = Layout::read(&bytes, 14).unwrap();
                for (at, value) in flips {
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte = value;
                    }
                }
                mend_icmp(&mut bytes, &layout);
            }
            let found = tunnel_error(&bytes, &layout);
            let mut frame = MemoryFrame::with_room(&bytes, 0, 0);
            if let Some(error) = found {
                let _ = relay(&mut frame, &layout, &error, 7);
            }
        }
    }
}
