//! NAT (`ip_vs_nat_xmit`, `handle_response`): the packet gets another destination on its way to
//! the server, and another source on its way back.
//!
//! ```text
//! to_server   CIP:cport ► VIP:vport  TTL n      to_client   RIP:rport ► CIP:cport  TTL n
//!             CIP:cport ► RIP:rport  TTL n-1                VIP:vport ► CIP:cport  TTL n-1
//! ```
//!
//! Checksums of TCP and UDP change by increment, so that what was corrupt before stays corrupt.
//! UDP without a checksum gets one, as `udp_dnat_handler` has it. The CRC of SCTP is worked out
//! anew where the port changes. Of all other protocols only the addresses are rewritten.

use std::net::{IpAddr, Ipv4Addr};

use super::side::Side;
use super::{Layout, Refusal};
use crate::wire::checksum::Difference;
use crate::wire::field::window_mut;
use crate::wire::ipv4::protocol;
use crate::wire::{ethernet, ipv4, sctp, tcp, udp};

/// One end of a connection: address and port.
pub type End = (IpAddr, u16);

/// Where the transport header is in an untagged frame with IPv4 without options.
const PLAIN_TRANSPORT: usize = ethernet::HEADER_LEN + ipv4::HEADER_LEN;

/// Readdresses a client's packet to its server, and takes a hop off.
#[inline]
pub fn to_server(frame: &mut [u8], layout: &Layout, to: End) -> Result<(), Refusal> {
    rewrite(frame, layout, Side::Destination, to)
}

/// Makes a server's packet one of the virtual service, and takes a hop off.
#[inline]
pub fn to_client(frame: &mut [u8], layout: &Layout, from: End) -> Result<(), Refusal> {
    rewrite(frame, layout, Side::Source, from)
}

/// Always inlined: compiled once for each side, without a branch on it for each packet.
#[inline(always)]
fn rewrite(frame: &mut [u8], layout: &Layout, side: Side, end: End) -> Result<(), Refusal> {
    let is_plain = layout.is_v4
        && layout.network() == ethernet::HEADER_LEN
        && layout.transport() == PLAIN_TRANSPORT
        && !layout.is_later_fragment;
    match (end.0, layout.protocol) {
        (IpAddr::V4(address), protocol::TCP) if is_plain => {
            plain_tcp(frame, side, address, end.1).ok_or(Refusal::TransportTruncated)
        }
        (IpAddr::V4(address), protocol::UDP) if is_plain => {
            let has_checksum =
                plain_udp(frame, side, address, end.1).ok_or(Refusal::TransportTruncated)?;
            if has_checksum { Ok(()) } else { fill_udp_checksum(frame, layout) }
        }
        _ => rewrite_any(frame, layout, side, end),
    }
}

/// TCP where nearly all of it is: constant offsets in one window, no check but for its length.
#[inline]
fn plain_tcp(frame: &mut [u8], side: Side, address: Ipv4Addr, port: u16) -> Option<()> {
    let head: &mut [u8; PLAIN_TRANSPORT + tcp::HEADER_LEN] = frame.first_chunk_mut()?;
    let mut header = ipv4::Header::over(window_mut(head, ethernet::HEADER_LEN)?);
    let addresses = side.forward_v4(&mut header, address);
    rewrite_tcp(window_mut(head, PLAIN_TRANSPORT)?, side, port, addresses)
}

/// The same for UDP; what comes back is whether there is a checksum.
#[inline]
fn plain_udp(frame: &mut [u8], side: Side, address: Ipv4Addr, port: u16) -> Option<bool> {
    let head: &mut [u8; PLAIN_TRANSPORT + udp::HEADER_LEN] = frame.first_chunk_mut()?;
    let mut header = ipv4::Header::over(window_mut(head, ethernet::HEADER_LEN)?);
    let addresses = side.forward_v4(&mut header, address);
    rewrite_udp(window_mut(head, PLAIN_TRANSPORT)?, side, port, addresses)
}

/// Everything else: IPv6, options, later fragments, other protocols.
#[inline(never)]
fn rewrite_any(frame: &mut [u8], layout: &Layout, side: Side, end: End) -> Result<(), Refusal> {
    let (address, port) = end;
    if address.is_ipv4() != layout.is_v4 {
        return Err(Refusal::Family);
    }
    let addresses = side.forward(frame, layout.network(), address)?;
    if layout.is_later_fragment {
        return Ok(());
    }
    let at = layout.transport();
    match layout.protocol {
        protocol::TCP => window_mut(frame, at)
            .and_then(|window| rewrite_tcp(window, side, port, addresses))
            .ok_or(Refusal::TransportTruncated),
        protocol::UDP => {
            let has_checksum = window_mut(frame, at)
                .and_then(|window| rewrite_udp(window, side, port, addresses))
                .ok_or(Refusal::TransportTruncated)?;
            if has_checksum { Ok(()) } else { fill_udp_checksum(frame, layout) }
        }
        protocol::SCTP => rewrite_sctp(frame, layout, side, port),
        _ => Ok(()),
    }
}

/// The CRC covers ports and no addresses, and all of the packet: there is none to update in a
/// first fragment.
fn rewrite_sctp(frame: &mut [u8], layout: &Layout, side: Side, port: u16) -> Result<(), Refusal> {
    let end = layout.end(frame).ok_or(Refusal::Malformed)?;
    let bytes = frame.get_mut(layout.transport()..end).ok_or(Refusal::Malformed)?;
    let header = window_mut::<{ sctp::HEADER_LEN }>(bytes, 0).ok_or(Refusal::TransportTruncated)?;
    let ports = window_mut(header, 0).ok_or(Refusal::TransportTruncated)?;
    if side.replace_port(ports, port) == port {
        return Ok(());
    }
    if layout.is_fragment {
        return Err(Refusal::Fragment);
    }
    sctp::set_checksum(bytes);
    Ok(())
}

#[inline]
fn rewrite_tcp(
    window: &mut [u8; tcp::HEADER_LEN],
    side: Side,
    port: u16,
    addresses: Difference,
) -> Option<()> {
    let old = side.replace_port(window_mut(window, 0)?, port);
    tcp::Header::over(window).update_checksum(addresses.u16(old, port));
    Some(())
}

#[inline]
fn rewrite_udp(
    window: &mut [u8; udp::HEADER_LEN],
    side: Side,
    port: u16,
    addresses: Difference,
) -> Option<bool> {
    let old = side.replace_port(window_mut(window, 0)?, port);
    let mut header = udp::Header::over(window);
    header.update_checksum(addresses.u16(old, port));
    Some(header.checksum() != 0)
}

/// Gives a datagram its checksum, where all of it is there. What it would be of a fragment, or of
/// one that says it is longer than its packet, nobody can tell: that goes on without.
#[cold]
fn fill_udp_checksum(frame: &mut [u8], layout: &Layout) -> Result<(), Refusal> {
    if layout.is_fragment {
        return Ok(());
    }
    // All that the packet has behind its IP header, whatever the datagram says of its length: as
    // the kernel.
    let payload = layout.payload(frame)?;
    let length = u16::try_from(payload.len()).map_err(|_| Refusal::Malformed)?;
    let sum = layout.pseudo_header(frame, protocol::UDP, length).ok_or(Refusal::Malformed)?;
    let checksum = udp::nonzero_checksum(sum.add_bytes(payload).checksum());
    let window = window_mut(frame, layout.transport()).ok_or(Refusal::Malformed)?;
    udp::Header::over(window).set_checksum(checksum);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::captured;
    use crate::forward::samples::{Sample, any_end, any_layout, any_sample, end, in_frame};
    use crate::wire::build::{Ip, Link, Udp};
    use proptest::prelude::*;

    #[test]
    fn as_the_kernel_rewrites() {
        let [(sent, Some(received)), ..] = captured::exchanges("ICMP errors from client")[..]
        else {
            panic!("no SYN and what became of it")
        };
        let mut frame = captured::frame(sent);
        let layout = Layout::read(&frame, 14).unwrap();
        to_server(&mut frame, &layout, end("10.0.2.11:8080")).unwrap();
        assert_eq!(frame, captured::frame(received));
    }

    #[test]
    fn as_the_kernel_rewrites_ipv6() {
        let mut seen = 0;
        for (sent, received) in captured::exchanges("IPv6") {
            let rewrite = if sent.contains("TCP 40042>81 ") {
                |frame: &mut [u8], layout: &Layout| {
                    to_server(frame, layout, end("[fd00:2::12]:8081"))
                }
            } else if sent.contains("TCP 8081>40042 ") {
                |frame: &mut [u8], layout: &Layout| to_client(frame, layout, end("[fd00::100]:81"))
            } else {
                continue;
            };
            let mut frame = captured::frame(sent);
            let layout = Layout::read(&frame, 14).unwrap();
            rewrite(&mut frame, &layout).unwrap();
            assert_eq!(frame, captured::frame(received.unwrap()), "{sent}");
            seen += 1;
        }
        assert_eq!(seen, 2);
    }

    proptest! {
        #[test]
        fn every_checksum_is_as_if_worked_out_anew((sample, other) in any_sample()) {
            for to_the_server in [true, false] {
                let mut frame = sample.frame();
                let mut expected = sample.clone();
                expected.ttl -= 1;
                expected.has_checksum = true;
                if to_the_server {
                    to_server(&mut frame, &sample.layout(), other).unwrap();
                    expected.destination = other;
                } else {
                    to_client(&mut frame, &sample.layout(), other).unwrap();
                    expected.source = other;
                }
                prop_assert_eq!(frame, expected.frame());
            }
        }

        #[test]
        fn what_is_wrong_stays_wrong(
            (sample, other) in any_sample(), bit in 0_u8..8, at in 0_usize..200,
        ) {
            let mut frame = Sample { has_checksum: true, ..sample.clone() }.frame();
            let layout = sample.layout();
            // A bit behind the ports; of SCTP every CRC is made right.
            let first = layout.transport() + 4;
            if first >= frame.len() || sample.protocol == 132 {
                return Ok(());
            }
            let at = first + at % (frame.len() - first);
            frame[at] ^= 1 << bit;
            let checksum = layout.transport() + if sample.protocol == 6 { 16 } else { 6 };
            // Zero of TCP has two forms, and that of UDP is none.
            let sum = frame.get(checksum..checksum + 2).unwrap_or(&[1, 2]);
            if sum == [0; 2] || sum == [255; 2] {
                return Ok(());
            }
            let before = frame.clone();
            to_server(&mut frame, &layout, other).unwrap();
            to_server(&mut frame, &layout, sample.destination).unwrap();
            let ttl = if layout.is_v4 { 22 } else { 21 };
            prop_assert_eq!(before[ttl].saturating_sub(2), frame[ttl]);
            let after = layout.transport();
            prop_assert_eq!(&before[after..], &frame[after..]);
            prop_assert_eq!(&before[26..34], &frame[26..34]);
        }

        #[test]
        fn later_fragments_have_no_ports(
            payload in proptest::collection::vec(any::<u8>(), 0..60), to in any_end(true),
        ) {
            let packet = |destination: Ipv4Addr, ttl| {
                let ip = Ip { fragment_offset: 8, ..Ip::default() };
                let ends = (Ipv4Addr::new(10, 0, 1, 2), destination);
                in_frame(&ip.packet(ends, 17, ttl, &payload))
            };
            let IpAddr::V4(server) = to.0 else { panic!("{to:?}") };
            let mut frame = packet(Ipv4Addr::new(10, 0, 0, 100), 64);
            let layout = Layout::read(&frame, 14).unwrap();
            to_server(&mut frame, &layout, to).unwrap();
            prop_assert_eq!(frame, packet(server, 63));
        }

        #[test]
        fn any_bytes_are_an_answer(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..120), layout in any_layout(),
            to in prop_oneof![any_end(true), any_end(false)],
        ) {
            let _ = to_server(&mut bytes, &layout, to);
            let _ = to_client(&mut bytes, &layout, to);
        }
    }

    #[test]
    fn a_first_fragment_without_checksum_stays_without() {
        let ip = Ip { more_fragments: true, ..Ip::default() };
        let mut frame = Udp { checksum: false, ip, payload: b"12345678", ..Udp::default() }
            .frame(&Link::default());
        let layout = Layout::read(&frame, 14).unwrap();
        to_server(&mut frame, &layout, end("10.0.2.11:53")).unwrap();
        assert_eq!(frame[40..42], [0; 2]);
    }

    #[test]
    fn sctp_in_parts_keeps_its_port_or_goes_nowhere() {
        let ends = ([10, 0, 1, 2].into(), [10, 0, 0, 100].into());
        let first = Ip { more_fragments: true, ..Ip::default() };
        let payload = [0, 7, 0, 80, 1, 2, 3, 4, 5, 6, 7, 8, 0, 3, 0, 4];
        let packet = first.packet(ends, protocol::SCTP, 64, &payload);
        let before = Link::default().frame(ethernet::EtherType::IPV4, &packet);
        let layout = Layout::read(&before, 14).unwrap();
        let refused = to_server(&mut before.clone(), &layout, end("10.0.2.11:8080"));
        assert_eq!(refused, Err(Refusal::Fragment));
        let mut frame = before;
        to_server(&mut frame, &layout, end("10.0.2.11:80")).unwrap();
        assert_eq!(frame[34..], payload);
    }

    #[test]
    fn families_are_not_mixed() {
        let mut v4 = captured::frame(captured::exchanges("ICMP errors from client")[0].0);
        let layout = Layout::read(&v4, 14).unwrap();
        let v6 = end("[fd00::1]:80");
        assert_eq!(to_server(&mut v4, &layout, v6), Err(Refusal::Family));
    }
}
