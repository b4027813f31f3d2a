//! IPv6 and ICMPv6 with neighbour discovery.

use super::append;
use super::transport::{Inside, show_inner};
use crate::wire::icmpv6::{self, Type};
use crate::wire::{extension, ipv6, ndp};

/// `depth` is 0 for what a frame carries; deeper packets may be cut.
pub(super) fn show(line: &mut String, bytes: &[u8], depth: usize) {
    let packet = match ipv6::Packet::check_embedded(bytes) {
        Ok(packet) => packet,
        Err(error) => return append(line, format_args!("malformed IPv6: {error}")),
    };
    let header = packet.header;
    let chain = match extension::walk(header.next_header(), packet.payload) {
        Ok(chain) => chain,
        Err(error) => {
            let (from, to) = (header.source(), header.destination());
            return append(line, format_args!("malformed IPv6 {from} > {to}: {error}"));
        }
    };
    let whole = usize::from(header.payload_length()) <= packet.payload.len();
    let inside = Inside {
        source: header.source().into(),
        destination: header.destination().into(),
        protocol: chain.protocol,
        bytes: packet.payload.get(chain.offset..).unwrap_or_default(),
        whole: whole && !chain.is_fragment(),
        depth,
    };
    let mut good = true;
    if chain.is_later_fragment() {
        inside.show_later_fragment(line);
    } else {
        good = inside.show(line);
    }
    append(line, format_args!(" hl={} plen={}", header.hop_limit(), header.payload_length()));
    if header.traffic_class() != 0 {
        append(line, format_args!(" tc={:#04x}", header.traffic_class()));
    }
    if header.flow_label() != 0 {
        append(line, format_args!(" flow={:#07x}", header.flow_label()));
    }
    if let Some(fragment) = chain.fragment {
        let more = if fragment.more { "+" } else { "" };
        append(line, format_args!(" frag={}{more}", fragment.offset));
    }
    if chain.offset != 0 {
        append(line, format_args!(" ext={}", chain.offset));
    }
    if !whole && depth == 0 {
        append(line, format_args!(" CUT-AT={}", bytes.len()));
    }
    if !good {
        line.push_str(" BAD-CSUM");
    }
}

/// An ICMPv6 message; whether its checksum is right, or cannot be told.
pub(super) fn show_icmp(line: &mut String, inside: &Inside<'_>) -> bool {
    let message = match icmpv6::Message::check(inside.bytes) {
        Ok(message) => message,
        Err(error) => {
            append(line, format_args!(" malformed ICMPv6: {error}"));
            return true;
        }
    };
    let header = message.header;
    if let Ok(message) = ndp::Message::check(inside.bytes) {
        show_ndp(line, &message);
        return inside.verify();
    }
    append(line, format_args!(" type={} code={}", header.message_type().0, header.code()));
    match header.message_type() {
        Type::ECHO_REQUEST | Type::ECHO_REPLY => {
            append(line, format_args!(" id={} seq={}", header.identifier(), header.sequence()));
        }
        Type::PACKET_TOO_BIG => append(line, format_args!(" mtu={}", header.mtu())),
        _ => {}
    }
    if header.message_type().is_error() {
        show_inner(line, message.body, inside.depth);
    }
    inside.verify()
}

/// In the words of ARP.
fn show_ndp(line: &mut String, message: &ndp::Message<'_>) {
    let header = message.header;
    let target = header.target();
    if header.message_type() == Type::NEIGHBOUR_SOLICITATION {
        append(line, format_args!(" who-has {target}"));
        if let Some(mac) = message.source_mac {
            append(line, format_args!(" tell {mac}"));
        }
        return;
    }
    append(line, format_args!(" {target}"));
    match message.target_mac {
        Some(mac) => append(line, format_args!(" is-at {mac}")),
        None => line.push_str(" is-there"),
    }
    let flags = header.flags();
    let letter = |set, letter| if set { letter } else { "" };
    let (router, solicited) = (letter(flags.router, "R"), letter(flags.solicited, "S"));
    append(line, format_args!(" [{router}{solicited}{}]", letter(flags.overriding, "O")));
}

#[cfg(test)]
mod tests {
    use crate::wire::build::{Icmp6, Ip, Ip6, Link, Ndp, Sctp, Tcp, Udp};
    use crate::wire::extension::fragment_header;
    use crate::wire::{MacAddress, gre, show, show_packet};

    const SYN: (&str, &str) = ("[fd00:1::2]:1001", "[fd00::100]:80");

    fn syn() -> Tcp<'static> {
        Tcp { src: SYN.0, dst: SYN.1, ..Tcp::default() }
    }

    #[test]
    fn tcp_line() {
        assert_eq!(
            show(&syn().frame(&Link { vlan: Some(7), ..Link::default() })),
            "02:00:00:00:00:01 > 02:00:00:00:00:02 vlan 7 \
             tcp [fd00:1::2]:1001 > [fd00::100]:80 [S] hl=64 plen=20"
        );
    }

    #[test]
    fn what_is_unusual_stands_at_the_end() {
        let extensions: &[(u8, &[u8])] = &[(0, &[0, 0, 1, 4, 0, 0, 0, 0])];
        let ip = Ip6 { traffic_class: 0xb8, flow_label: 0x345, extensions, fragment: None };
        assert_eq!(
            show_packet(&syn().packet6(&ip)),
            "tcp [fd00:1::2]:1001 > [fd00::100]:80 [S] hl=64 plen=28 tc=0xb8 flow=0x00345 ext=8"
        );
        let ip = Ip6 { fragment: Some((104, true, 1)), ..Ip6::default() };
        assert_eq!(
            show_packet(&syn().packet6(&ip)),
            "frag proto=6 fd00:1::2 > fd00::100 hl=64 plen=28 frag=104+ ext=8"
        );
        let mut packet = syn().packet();
        packet[45] ^= 1;
        assert!(show_packet(&packet).ends_with("plen=20 BAD-CSUM"));
        packet.truncate(56);
        assert!(show_packet(&packet).ends_with("plen=20 CUT-AT=56"), "{}", show_packet(&packet));
        let many = [fragment_header(44, 0, true, 1); 2].concat();
        let packet = Ip6::default().packet(
            ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap()),
            44,
            64,
            &many,
        );
        assert_eq!(
            show_packet(&packet),
            "malformed IPv6 fd00::1 > fd00::2: too many extension headers"
        );
    }

    #[test]
    fn icmp_lines() {
        let body = syn().packet();
        let error = Icmp6 { kind: (2, 0), rest: 1400, body: &body, ..Icmp6::default() };
        assert_eq!(
            show_packet(&error.packet()),
            "icmp6 fd00:1::2 > fd00::100 type=2 code=0 mtu=1400 \
             {tcp [fd00:1::2]:1001 > [fd00::100]:80 [S] hl=64 plen=20} hl=64 plen=68"
        );
        assert_eq!(
            show_packet(&Icmp6::default().packet()),
            "icmp6 fd00:1::2 > fd00::100 type=128 code=0 id=1 seq=1 hl=64 plen=8"
        );
    }

    #[test]
    fn neighbour_lines() {
        let mac = MacAddress([2, 0, 0, 0, 0, 1]);
        let ask = Ndp::who_has("fd00::100", "ff02::1:ff00:100", "fd00:1::2", mac);
        assert_eq!(
            show_packet(&ask.packet()),
            "icmp6 fd00:1::2 > ff02::1:ff00:100 who-has fd00::100 tell 02:00:00:00:00:01 hl=255 \
             plen=32"
        );
        let told = Ndp { kind: 136, flags: "RSO", ..ask };
        assert!(show_packet(&told.packet()).contains(" fd00::100 is-at 02:00:00:00:00:01 [RSO] "));
        let told = Ndp { flags: "S", mac: None, ..told };
        assert!(show_packet(&told.packet()).contains(" fd00::100 is-there [S] "));
    }

    #[test]
    fn sctp_lines_of_both_versions() {
        let sctp = Sctp::default();
        assert_eq!(
            show_packet(&sctp.packet()),
            "sctp 10.0.1.2:1001 > 10.0.0.100:9 [INIT] ttl=64 len=52"
        );
        let abort = Sctp { chunks: &[(10, 0, &[1]), (6, 0, &[])], src: SYN.0, dst: SYN.1, ..sctp };
        let mut packet = abort.packet();
        assert_eq!(
            show_packet(&packet),
            "sctp [fd00:1::2]:1001 > [fd00::100]:80 [ABORT] hl=64 plen=24"
        );
        packet[50] ^= 1;
        assert!(show_packet(&packet).ends_with(" BAD-CSUM"));
    }

    #[test]
    fn tunnels_show_what_they_carry() {
        let inner = syn().packet();
        let line = "{tcp [fd00:1::2]:1001 > [fd00::100]:80 [S] hl=64 plen=20}";
        let ends = ([10, 0, 2, 1].into(), [10, 0, 2, 12].into());
        assert_eq!(
            show_packet(&Ip::default().packet(ends, 41, 63, &inner)),
            format!("ipip 10.0.2.1 > 10.0.2.12 {line} ttl=63 len=80")
        );
        let mut carried = [&[0; 8], inner.as_slice()].concat();
        gre::write(&mut carried, crate::wire::ethernet::EtherType::IPV6, true).unwrap();
        assert_eq!(
            show_packet(&Ip::default().packet(ends, 47, 63, &carried)),
            format!("gre 10.0.2.1 > 10.0.2.12 {line} ttl=63 len=88")
        );
        carried[4] ^= 1;
        let broken = show_packet(&Ip::default().packet(ends, 47, 63, &carried));
        assert!(broken.ends_with(" BAD-CSUM"), "{broken}");
        let payload = [&[0, 41, 0, 0], inner.as_slice()].concat();
        let udp = Udp { src: "[fd00::1]:44449", dst: "[fd00::2]:6080", ..Udp::default() };
        assert_eq!(
            show_packet(&Udp { payload: &payload, checksum: false, ..udp }.packet()),
            format!("udp [fd00::1]:44449 > [fd00::2]:6080 gue {line} hl=64 plen=72")
        );
    }
}
