//! Packets of kernel IPVS as captures describe them: read back into bytes, and described again.
//!
//! A capture has lines such as
//! `IP tos=0x00 len=40 id=0x1234 DF off=0 ttl=64 proto=6 csum=ok 10.0.1.2>10.0.0.100 TCP 1>2 [S]
//! seq=1000 ack=0 csum=ok data=b''`. Descriptions are made with the oracle's parser, not ours.

use etherparse::{Ipv4HeaderSlice, TcpSlice};

use super::Refusal;
use crate::frame::Frame as _;
use crate::wire::build::{Icmp, Ip, Link, MemoryFrame, Tcp, Udp};
use crate::wire::show;

/// Sends the packet of line `sent` through `answer` and compares the answer with line `expected`.
pub(super) fn check(
    sent: &str,
    expected: &str,
    answer: impl Fn(&mut MemoryFrame) -> Result<(), Refusal>,
) {
    let link = Link::default();
    let mut frame = MemoryFrame::new(&packet(sent, &link));
    assert_eq!(describe(&frame.bytes()[14..]), sent, "the description is read as written");
    answer(&mut frame).unwrap();
    assert_eq!(describe(&frame.bytes()[14..]), expected);
    let way_back = format!("{} > {} ", link.destination, link.source);
    assert!(show(frame.bytes()).starts_with(&way_back), "{}", show(frame.bytes()));
}

/// The same for packets that were captured as hex digits. The kernel labels IPv6 flows by a hash
/// of its own, so the flow label of `expected` is taken as 0.
pub(super) fn check_bytes(
    sent: &str,
    expected: &str,
    answer: impl Fn(&mut MemoryFrame) -> Result<(), Refusal>,
) {
    let link = Link::default();
    let mut frame = MemoryFrame::new(&link.packet(&bytes(sent)));
    answer(&mut frame).unwrap();
    let mut expected = bytes(expected);
    if expected[0] >> 4 == 6 {
        expected[1] &= 0xf0;
        expected[2..4].fill(0);
    }
    assert_eq!(frame.bytes()[14..], expected, "{}", show(frame.bytes()));
    let way_back = format!("{} > {} ", link.destination, link.source);
    assert!(show(frame.bytes()).starts_with(&way_back), "{}", show(frame.bytes()));
}

/// What hex digits say.
pub(super) fn bytes(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// The value of `key=` in a line.
fn value<'a>(line: &'a str, key: &str) -> &'a str {
    line.split(' ')
        .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
        .unwrap_or_else(|| panic!("no {key}= in {line}"))
}

fn packet(line: &str, link: &Link) -> Vec<u8> {
    let words: Vec<&str> = line.split(' ').collect();
    let at = words.iter().position(|word| ["TCP", "UDP", "ICMP"].contains(word)).unwrap();
    let (source, destination) = words[at - 1].split_once('>').unwrap();
    let ends = words[at + 1]
        .split_once('>')
        .map(|(from, to)| (format!("{source}:{from}"), format!("{destination}:{to}")));
    let id = value(line, "id").strip_prefix("0x").unwrap();
    let ip = Ip {
        identification: u16::from_str_radix(id, 16).unwrap(),
        dont_fragment: words.contains(&"DF"),
        ..Ip::default()
    };
    let ttl = value(line, "ttl").parse().unwrap();
    let length: usize = value(line, "len").parse().unwrap();
    match words[at] {
        "TCP" => {
            let (src, dst) = ends.unwrap();
            Tcp {
                src: &src,
                dst: &dst,
                flags: words[at + 2].trim_matches(['[', ']']),
                sequence: value(line, "seq").parse().unwrap(),
                acknowledgement: value(line, "ack").parse().unwrap(),
                ttl,
                payload: &vec![b'x'; length - 40],
                ip,
            }
            .frame(link)
        }
        "UDP" => {
            let (src, dst) = ends.unwrap();
            let payload = value(line, "data").as_bytes().chunks(2).map(|digits| {
                u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap()
            });
            let payload: Vec<u8> = payload.collect();
            Udp { src: &src, dst: &dst, ttl, payload: &payload, ip, checksum: true }.frame(link)
        }
        _ => {
            let (src, dst) = (source, destination);
            let number = |key| value(line, key).parse().unwrap();
            let kind = (number("type"), number("code"));
            let rest = u32::from_str_radix(value(line, "rest"), 16).unwrap();
            Icmp { src, dst, kind, rest, ttl, body: &vec![b'x'; length - 28], ip }.frame(link)
        }
    }
}

fn describe(bytes: &[u8]) -> String {
    let ip = Ipv4HeaderSlice::from_slice(bytes).unwrap();
    assert_eq!(usize::from(ip.total_len()), bytes.len());
    let payload = &bytes[ip.slice().len()..];
    let tos = ip.slice()[1];
    format!(
        "IP tos={tos:#04x} len={} id={:#06x} {}off={} ttl={} proto={} csum={} {}>{} {}",
        ip.total_len(),
        ip.identification(),
        if ip.dont_fragment() { "DF " } else { "" },
        ip.fragments_offset().byte_offset(),
        ip.ttl(),
        ip.protocol().0,
        good(ip.to_header().calc_header_checksum() == ip.header_checksum()),
        ip.source_addr(),
        ip.destination_addr(),
        transport(&ip, payload),
    )
}

fn transport(ip: &Ipv4HeaderSlice<'_>, payload: &[u8]) -> String {
    match ip.protocol().0 {
        6 => {
            let tcp = TcpSlice::from_slice(payload).unwrap();
            let sum = tcp.calc_checksum_ipv4(ip.source(), ip.destination()).unwrap();
            assert_eq!(tcp.header_slice().len(), 20);
            let letters = [tcp.fin(), tcp.syn(), tcp.rst(), tcp.psh(), tcp.ack(), tcp.urg()];
            let letters: String = letters
                .iter()
                .zip("FSRPAU".chars())
                .filter(|(set, _)| **set)
                .map(|(_, l)| l)
                .collect();
            let data = match tcp.payload().len() {
                0 => "b''".to_owned(),
                length => format!("<{length} bytes>"),
            };
            format!(
                "TCP {}>{} [{letters}] seq={} ack={} csum={} data={data}",
                tcp.source_port(),
                tcp.destination_port(),
                tcp.sequence_number(),
                tcp.acknowledgment_number(),
                good(sum == tcp.checksum()),
            )
        }
        17 => {
            let udp = etherparse::UdpSlice::from_slice(payload).unwrap();
            let header = udp.to_header();
            let sum = header
                .calc_checksum_ipv4_raw(ip.source(), ip.destination(), udp.payload())
                .unwrap();
            let data: String = udp.payload().iter().map(|byte| format!("{byte:02x}")).collect();
            format!(
                "UDP {}>{} len={} csum={}({:#06x}) data={data}",
                header.source_port,
                header.destination_port,
                header.length,
                good(sum == header.checksum),
                header.checksum,
            )
        }
        _ => icmp(payload),
    }
}

fn icmp(payload: &[u8]) -> String {
    let (head, body) = payload.split_at(8);
    let rest = [head[4], head[5], head[6], head[7]];
    let kind =
        etherparse::Icmpv4Type::Unknown { type_u8: head[0], code_u8: head[1], bytes5to8: rest };
    let sum = u16::from_be_bytes([head[2], head[3]]);
    let rest = u32::from_be_bytes(rest);
    let mut text = format!(
        "ICMP type={} code={} rest={rest:08x} csum={} len={}",
        head[0],
        head[1],
        good(kind.calc_checksum(body) == sum),
        payload.len(),
    );
    if [3, 11].contains(&head[0]) {
        let ip = Ipv4HeaderSlice::from_slice(body).unwrap();
        let ports = &body[ip.slice().len()..];
        text += &format!(
            " {{IP len={} ttl={} proto={} csum={} {}>{} ports={}>{} avail={}}}",
            ip.total_len(),
            ip.ttl(),
            ip.protocol().0,
            good(ip.to_header().calc_header_checksum() == ip.header_checksum()),
            ip.source_addr(),
            ip.destination_addr(),
            u16::from_be_bytes([ports[0], ports[1]]),
            u16::from_be_bytes([ports[2], ports[3]]),
            body.len(),
        );
    }
    text
}

fn good(right: bool) -> &'static str {
    if right { "ok" } else { "BAD" }
}
