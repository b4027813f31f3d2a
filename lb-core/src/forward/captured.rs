//! Packets of kernel IPVS as the capture `icmp-and-tunnels.txt` describes them, read back into
//! bytes.
//!
//! Everything is built with the oracle. What a line does not say is the same in all packets, so
//! that a packet before and one after a rewrite differ in what the lines say, and in nothing else.

use std::net::IpAddr;

use etherparse::{Icmpv4Type, Ipv4Header, Ipv6Header, TcpHeader, UdpHeader};

const CAPTURE: &str = include_str!("../../../tests/captures/kernel/icmp-and-tunnels.txt");

/// The lines of a section of the capture, by the beginning of its title.
pub(super) fn section(title: &str) -> Vec<&'static str> {
    let section = CAPTURE
        .split("## ")
        .find(|section| section.starts_with(title))
        .unwrap_or_else(|| panic!("no section {title}"));
    section.lines().skip(1).map(str::trim).filter(|line| !line.is_empty()).collect()
}

/// What was sent in a section and what came out of the director, if anything.
pub(super) fn exchanges(title: &str) -> Vec<(&'static str, Option<&'static str>)> {
    let lines = section(title);
    let mut exchanges = Vec::new();
    for (place, line) in lines.iter().enumerate() {
        if let Some((_, sent)) = line.split_once("=> ") {
            let next = lines.get(place + 1).and_then(|next| next.strip_prefix("at "));
            exchanges.push((sent, next.and_then(|next| Some(next.split_once(": ")?.1))));
        }
    }
    exchanges
}

/// The packet in a frame. Link-layer addresses are 0.
pub(super) fn frame(line: &str) -> Vec<u8> {
    let ether_type: [u8; 2] = if line.starts_with("IP6") { [0x86, 0xdd] } else { [8, 0] };
    [&[0; 12], &ether_type[..], &packet(line)].concat()
}

/// The bytes of a line that begins with `IP` or `IP6`.
pub(super) fn packet(line: &str) -> Vec<u8> {
    let ends = line.split(' ').find(|word| word.contains('>')).unwrap();
    let (head, rest) = line.split_once(ends).unwrap();
    let (source, destination) = ends.split_once('>').unwrap();
    let ends = (source.parse().unwrap(), destination.parse().unwrap());
    let payload = transport(rest.trim_start(), ends);
    network(head, ends, payload.len(), &payload)
}

/// Of the packet `{IP len=... avail=...}` that an ICMP error embeds.
fn embedded(line: &str) -> Vec<u8> {
    let ends = line.split(' ').find(|word| word.contains('>')).unwrap();
    let (source, destination) = ends.split_once('>').unwrap();
    let ends = (source.parse().unwrap(), destination.parse().unwrap());
    let (source, destination) = value(line, "ports").split_once('>').unwrap();
    let ports: [u16; 2] = [source.parse().unwrap(), destination.parse().unwrap()];
    let [a, b] = ports.map(u16::to_be_bytes);
    let mut payload = [a, b].concat();
    payload.resize(number::<usize>(line, "avail") - 20, b'x');
    let line = format!("tos=0 id=0x1234 DF off=0 {line}");
    network(&line, ends, number::<usize>(&line, "len") - 20, &payload)
}

fn network(head: &str, ends: (IpAddr, IpAddr), length: usize, payload: &[u8]) -> Vec<u8> {
    match ends {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let length = u16::try_from(length).unwrap();
            let mut header = Ipv4Header::new(
                length,
                number(head, "ttl"),
                number::<u8>(head, "proto").into(),
                source.octets(),
                destination.octets(),
            )
            .unwrap();
            header.identification = hexadecimal(value(head, "id"));
            header.dont_fragment = head.split(' ').any(|word| word == "DF");
            let tos = u8::try_from(hexadecimal(value(head, "tos"))).unwrap();
            header.dscp = (tos >> 2).try_into().unwrap();
            header.ecn = (tos & 3).try_into().unwrap();
            header.header_checksum = header.calc_header_checksum();
            [&header.to_bytes(), payload].concat()
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let header = Ipv6Header {
                payload_length: u16::try_from(length).unwrap(),
                next_header: number::<u8>(head, "nh").into(),
                hop_limit: number(head, "hl"),
                source: source.octets(),
                destination: destination.octets(),
                ..Ipv6Header::default()
            };
            [&header.to_bytes(), payload].concat()
        }
        _ => panic!("one address of each family: {ends:?}"),
    }
}

fn transport(rest: &str, ends: (IpAddr, IpAddr)) -> Vec<u8> {
    match rest.split_once([' ', '{']).unwrap() {
        ("TCP", rest) => tcp(rest, ends),
        ("UDP", rest) => udp(rest),
        ("ICMP", rest) => icmp(rest),
        ("ENCAP", rest) => packet(rest.strip_suffix('}').unwrap()),
        ("GRE", rest) => {
            let (head, inner) = rest.split_once('{').unwrap();
            let mut bytes = [value(head, "flags"), value(head, "proto")]
                .map(hexadecimal)
                .map(u16::to_be_bytes)
                .concat();
            if let Some((_, sum)) = head.split_once("gcsum=") {
                bytes.extend(from_hex(&sum[..8]));
            }
            bytes.extend(packet(inner.strip_suffix('}').unwrap()));
            bytes
        }
        other => panic!("unknown transport {other:?}"),
    }
}

fn tcp(rest: &str, ends: (IpAddr, IpAddr)) -> Vec<u8> {
    let words: Vec<&str> = rest.split(' ').collect();
    let (source, destination) = words[0].split_once('>').unwrap();
    let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
    let mut header = TcpHeader::new(source, destination, number(rest, "seq"), 8192);
    header.acknowledgment_number = number(rest, "ack");
    header.syn = words[1].contains('S');
    header.ack = words[1].contains('A');
    let data = rest.split_once("data=").unwrap().1;
    let length = data
        .strip_prefix('<')
        .map_or(0, |data| data.split_once(' ').unwrap().0.parse::<usize>().unwrap());
    let payload = vec![b'x'; length];
    header.checksum = match ends {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            header.calc_checksum_ipv4_raw(source.octets(), destination.octets(), &payload)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            header.calc_checksum_ipv6_raw(source.octets(), destination.octets(), &payload)
        }
        _ => panic!("one address of each family: {ends:?}"),
    }
    .unwrap();
    [&header.to_bytes(), &payload[..]].concat()
}

/// With the checksum that the line says.
fn udp(rest: &str) -> Vec<u8> {
    let (source, destination) = rest.split(' ').next().unwrap().split_once('>').unwrap();
    let checksum = value(rest, "csum").split_once('(').unwrap().1.trim_end_matches(')');
    let header = UdpHeader {
        source_port: source.parse().unwrap(),
        destination_port: destination.parse().unwrap(),
        length: number(rest, "len"),
        checksum: hexadecimal(checksum),
    };
    [&header.to_bytes(), &from_hex(value(rest, "data"))[..]].concat()
}

fn icmp(rest: &str) -> Vec<u8> {
    let (head, body) = rest.split_once('{').unwrap();
    let body = embedded(body.strip_suffix('}').unwrap());
    let word = u32::from_str_radix(value(head, "rest"), 16).unwrap();
    let kind = Icmpv4Type::Unknown {
        type_u8: number(head, "type"),
        code_u8: number(head, "code"),
        bytes5to8: word.to_be_bytes(),
    };
    let mut header = etherparse::Icmpv4Header::with_checksum(kind, &body);
    if value(head, "csum") == "BAD" {
        header.checksum ^= 0x0101;
    }
    [&header.to_bytes(), &body[..]].concat()
}

/// The value of `key=` in a line, up to a blank or the end of a packet.
pub(super) fn value<'a>(line: &'a str, key: &str) -> &'a str {
    line.split([' ', '{'])
        .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
        .unwrap_or_else(|| panic!("no {key}= in {line}"))
        .trim_end_matches('}')
}

fn number<T: std::str::FromStr>(line: &str, key: &str) -> T {
    let value = value(line, key);
    value.parse().unwrap_or_else(|_| panic!("{key}={value} in {line}"))
}

fn hexadecimal(text: &str) -> u16 {
    u16::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
}

/// Bytes of hexadecimal digits.
pub(super) fn from_hex(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}
