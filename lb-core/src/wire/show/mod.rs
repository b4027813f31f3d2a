//! One line per frame, in the manner of tcpdump: for test differences and traces.
//!
//! ```text
//! 02:00:00:00:00:01 > 02:00:00:00:00:02 tcp 10.0.1.2:1001 > 10.0.0.100:80 [S] ttl=63 len=40
//! 02:00:00:00:00:01 > 02:00:00:00:00:02 tcp [fd00:1::2]:1001 > [fd00::100]:80 [S] hl=63 plen=20
//! ```
//!
//! Allocates; not for the packet path. What is not usual is added at the end: `tos=0xc0`,
//! `tc=0xc0`, `flow=0x12345`, `frag=104+` (offset, `+` where more follow), `options=4`, `ext=16`
//! (bytes of extension headers), `BAD-IP-CSUM`, `BAD-CSUM`. What a tunnel or an ICMP error
//! carries stands in braces.

mod transport;
mod v6;

use std::fmt::Write as _;

use self::transport::Inside;
use super::ethernet::{self, EtherType};
use super::vlan::{self, Tag};
use super::{arp, field, ipv4};

/// Packets in packets that are shown; hostile input may nest deeper.
const DEPTH_MAX: usize = 3;

/// Describes an Ethernet frame.
pub fn show(frame: &[u8]) -> String {
    let Ok(ethernet::Frame { header, .. }) = ethernet::Frame::check(frame) else {
        return format!("truncated frame of {} bytes", frame.len());
    };
    let mut line = format!("{} > {} ", header.source(), header.destination());
    let Some((ether_type, offset)) = vlan::network_offset(frame) else {
        line.push_str("truncated VLAN tag");
        return line;
    };
    for at in (ethernet::HEADER_LEN..offset).step_by(vlan::TAG_LEN) {
        if let Some(window) = field::window(frame, at) {
            append(&mut line, format_args!("vlan {} ", Tag::over(window).id()));
        }
    }
    // network_offset has seen that the frame goes that far.
    let payload = frame.get(offset..).unwrap_or_default();
    match ether_type {
        EtherType::IPV4 => show_ipv4(&mut line, payload, 0),
        EtherType::IPV6 => v6::show(&mut line, payload, 0),
        EtherType::ARP => show_arp(&mut line, payload),
        EtherType(number) => {
            append(&mut line, format_args!("type={number:#06x} len={}", payload.len()));
        }
    }
    line
}

/// Describes an IPv4 or IPv6 packet, without a link-layer header.
pub fn show_packet(bytes: &[u8]) -> String {
    let mut line = String::new();
    show_ip(&mut line, bytes, 0);
    line
}

/// A packet of the version that it claims; of an unknown one as if it were IPv4.
fn show_ip(line: &mut String, bytes: &[u8], depth: usize) {
    match bytes.first().map(|first| first >> 4) {
        Some(6) => v6::show(line, bytes, depth),
        _ => show_ipv4(line, bytes, depth),
    }
}

fn show_arp(line: &mut String, bytes: &[u8]) {
    match arp::Packet::check(bytes) {
        Err(error) => append(line, format_args!("malformed ARP: {error}")),
        Ok(arp) if arp.operation() == arp::Operation::REQUEST => {
            append(line, format_args!("arp who-has {} tell {}", arp.target_ip(), arp.sender_ip()));
        }
        Ok(arp) if arp.operation() == arp::Operation::REPLY => {
            append(line, format_args!("arp {} is-at {}", arp.sender_ip(), arp.sender_mac()));
        }
        Ok(arp) => append(line, format_args!("arp operation={}", arp.operation().0)),
    }
}

/// `depth` is 0 for what a frame carries; deeper packets may be cut, so their transport checksum
/// is not judged where it is.
fn show_ipv4(line: &mut String, bytes: &[u8], depth: usize) {
    let packet = match ipv4::Packet::check_embedded(bytes) {
        Ok(packet) => packet,
        Err(error) => return append(line, format_args!("malformed IPv4: {error}")),
    };
    let header = packet.header;
    let whole = usize::from(header.total_length()) <= bytes.len();
    let inside = Inside {
        source: header.source().into(),
        destination: header.destination().into(),
        protocol: header.protocol(),
        bytes: packet.payload,
        whole: whole && !header.is_fragment(),
        depth,
    };
    let mut good = true;
    if header.is_later_fragment() {
        inside.show_later_fragment(line);
    } else {
        good = inside.show(line);
    }
    append(line, format_args!(" ttl={} len={}", header.ttl(), header.total_length()));
    if header.tos() != 0 {
        append(line, format_args!(" tos={:#04x}", header.tos()));
    }
    if header.is_fragment() {
        let more = if header.more_fragments() { "+" } else { "" };
        append(line, format_args!(" frag={}{more}", header.fragment_offset()));
    }
    if !packet.options.is_empty() {
        append(line, format_args!(" options={}", packet.options.len()));
    }
    if !whole && depth == 0 {
        append(line, format_args!(" CUT-AT={}", bytes.len()));
    }
    if !packet.verify_checksum() {
        line.push_str(" BAD-IP-CSUM");
    }
    if !good {
        line.push_str(" BAD-CSUM");
    }
}

fn append(line: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = line.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::build::{Arp, Icmp, Ip, Link, Tcp, Udp};
    use proptest::prelude::*;

    #[test]
    fn tcp_line() {
        let tcp = Tcp { flags: "S", ttl: 63, ..Tcp::default() };
        assert_eq!(
            show(&tcp.frame(&Link::default())),
            "02:00:00:00:00:01 > 02:00:00:00:00:02 tcp 10.0.1.2:1001 > 10.0.0.100:80 [S] ttl=63 \
             len=40"
        );
    }

    #[test]
    fn vlan_udp_options_and_tos() {
        let udp = Udp {
            payload: b"hello",
            ip: Ip { tos: 0xb8, options: &[1, 1, 1, 0], ..Ip::default() },
            ..Udp::default()
        };
        assert_eq!(
            show(&udp.frame(&Link { vlan: Some(7), ..Link::default() })),
            "02:00:00:00:00:01 > 02:00:00:00:00:02 vlan 7 \
             udp 10.0.1.2:1001 > 10.0.0.100:53 ttl=64 len=37 tos=0xb8 options=4"
        );
    }

    #[test]
    fn bad_checksums_are_marked() {
        let mut packet = Tcp::default().packet();
        packet[8] = 9;
        assert!(show_packet(&packet).ends_with("ttl=9 len=40 BAD-IP-CSUM"));
        let mut packet = Udp::default().packet();
        packet[21] ^= 1;
        assert!(show_packet(&packet).ends_with("len=28 BAD-CSUM"), "{}", show_packet(&packet));
        let mut packet = Icmp::default().packet();
        packet[27] ^= 1;
        assert!(show_packet(&packet).ends_with("BAD-CSUM"));
    }

    #[test]
    fn icmp_errors_show_what_they_are_about() {
        let embedded = &Tcp::default().packet()[..28];
        let icmp = Icmp { kind: (3, 4), rest: 1400, body: embedded, ..Icmp::default() };
        assert_eq!(
            show_packet(&icmp.packet()),
            "icmp 10.0.1.2 > 10.0.0.100 type=3 code=4 mtu=1400 \
             {tcp 10.0.1.2:1001 > 10.0.0.100:80 ttl=64 len=40} ttl=64 len=56"
        );
        let echo = Icmp { rest: 0x0007_0001, ..Icmp::default() };
        assert_eq!(
            show_packet(&echo.packet()),
            "icmp 10.0.1.2 > 10.0.0.100 type=8 code=0 id=7 seq=1 ttl=64 len=28"
        );
    }

    #[test]
    fn arp_lines() {
        let link = Link::default();
        let ask = Arp::who_has("10.0.0.100", "10.0.1.2", link.source);
        assert!(show(&ask.frame(&link)).ends_with(" arp who-has 10.0.0.100 tell 10.0.1.2"));
        let answer = Arp { operation: 2, ..ask };
        assert!(show(&answer.frame(&link)).ends_with(" arp 10.0.1.2 is-at 02:00:00:00:00:01"));
    }

    #[test]
    fn fragments_have_no_ports() {
        let ip = Ip { fragment_offset: 104, more_fragments: true, ..Ip::default() };
        let later = Udp { payload: b"12345678", ip, ..Udp::default() };
        assert_eq!(
            show_packet(&later.packet()),
            "frag proto=17 10.0.1.2 > 10.0.0.100 ttl=64 len=36 frag=104+"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_have_a_line(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..150),
            likely in proptest::collection::vec((0_usize..150, any::<u8>()), 0..4),
            protocol in prop_oneof![
                proptest::sample::select(&[1_u8, 4, 6, 17, 41, 47, 58, 132][..]), any::<u8>(),
            ],
            is_v6: bool,
        ) {
            // Makes most inputs look like IP in Ethernet, so that the deeper parts are reached.
            let v4 = [(12, 8), (13, 0), (14, 0x45), (16, 0), (17, 60), (23, protocol)];
            let v6 = [(12, 0x86), (13, 0xdd), (14, 0x60), (18, 0), (19, 60), (20, protocol)];
            for (at, byte) in if is_v6 { v6 } else { v4 } {
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                }
            }
            for (at, byte) in likely {
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                }
            }
            let line = show(&bytes);
            prop_assert!(!line.is_empty() && !line.contains('\n'));
        }
    }
}
