//! A frame from the words of a case.
//!
//! ```text
//! tcp 10.0.1.2:1001 > 10.0.0.100:80 [S]        udp 10.0.1.2:1001 > 10.0.0.100:53
//! sctp 10.0.1.2:1001 > 10.0.0.100:80           proto=47 10.0.1.2 > 10.0.0.100
//! icmp 10.0.1.2 > 10.0.0.100 type=8 code=0     icmp6 fd00:1::2 > fd00::100 type=128 code=0
//! arp who-has 10.0.0.100 tell 10.0.1.2         arp 10.0.2.30 is-at 02:00:00:00:02:30
//! nd who-has fd00::100 tell fd00:1::2          nd fd00:2::40 is-at 02:00:00:00:02:40
//! type=0x86dd                                  another Ethernet type
//! hex 02 00 00 00 00 61
//! ```
//!
//! In front, where it matters: `in=lan1` (else the first interface), `MAC > MAC` (else from the
//! client to the interface; who-has is broadcast), `vlan N`. Both ends of `tcp`, `udp`, `sctp` and
//! `proto=` may be IPv6: `[fd00:1::2]:1001`. Behind:
//!
//! | word | |
//! | --- | --- |
//! | `ttl=64` `tos=0x10` `df` `more` `frag=104` `options=01010100` | IP header |
//! | `id=7` `id=7+` | identification of IPv4, and of IPv6's fragments; with `+` one more each time |
//! | `data=100` | bytes of payload, 0, 1, 2, ... |
//! | `text=PASV\r\n` | payload; `\s` is a blank |
//! | `seq=1` `ack=1` | TCP's numbers |
//! | `chunk=1` | type of SCTP's one chunk, INIT unless said otherwise |
//! | `about tcp ...` | the payload is this packet, to the end of the line |
//! | `rest=0x00010001` | ICMP's second word |
//! | `nocsum` | UDP without checksum |
//! | `pad=6` | bytes 0xaa behind the packet |
//! | `set=14:46` | overwrites bytes of the frame, checksums stay |
//! | `cut=20` | only so many bytes of the frame |
//! | `times=40` | the frame so often |

use std::net::IpAddr;

use lb_core::interface::{Interface, InterfaceId};
use lb_core::wire::MacAddress;
use lb_core::wire::build::{Arp, Icmp, Icmp6, Ip, Ip6, Link, Ndp, Sctp, Tcp, Udp};
use lb_core::wire::ethernet::EtherType;

/// A frame to put in.
pub(crate) struct Input {
    pub(crate) from: InterfaceId,
    pub(crate) frame: Vec<u8>,
    pub(crate) times: usize,
}

/// Whether a line of a case is about a frame.
pub(crate) fn is_frame(line: &str) -> bool {
    let first = line.split_whitespace().next().unwrap_or_default();
    let kinds = ["tcp", "udp", "sctp", "icmp", "icmp6", "arp", "nd", "hex", "vlan"];
    kinds.contains(&first)
        || first.starts_with("proto=")
        || first.starts_with("type=")
        || first.starts_with("in=")
        || first.parse::<MacAddress>().is_ok()
}

/// The words of a line, with what was not used yet.
struct Words<'a> {
    line: &'a str,
    rest: Vec<&'a str>,
}

impl<'a> Words<'a> {
    fn next(&mut self) -> &'a str {
        assert!(!self.rest.is_empty(), "`{}`: ends too early", self.line);
        self.rest.remove(0)
    }

    /// Takes `name=value` from anywhere.
    fn value(&mut self, name: &str) -> Option<&'a str> {
        let place = self
            .rest
            .iter()
            .position(|word| word.strip_prefix(name).is_some_and(|rest| rest.starts_with('=')))?;
        self.rest.remove(place).split_once('=').map(|(_, value)| value)
    }

    fn number<T: TryFrom<u64>>(&mut self, name: &str, default: T) -> T {
        self.value(name).map_or(default, |text| {
            number(text)
                .and_then(|value| T::try_from(value).ok())
                .unwrap_or_else(|| panic!("`{}`: {name}={text} is no number for it", self.line))
        })
    }

    /// `id=7`, or `id=7+` for one that goes up.
    fn identification(&mut self, round: u16) -> u16 {
        let Some(text) = self.value("id") else { return 0x1234 };
        match text.strip_suffix('+') {
            Some(first) => small::<u16>(first) + round,
            None => small(text),
        }
    }

    /// What the packet carries.
    fn payload(&mut self, about: &[u8]) -> Vec<u8> {
        if let Some(text) = self.value("text") {
            let text = text.replace("\\s", " ").replace("\\r", "\r").replace("\\n", "\n");
            return text.into_bytes();
        }
        let data = (0..=255).cycle().take(self.number("data", 0));
        about.iter().copied().chain(data).collect()
    }

    fn flag(&mut self, name: &str) -> bool {
        let place = self.rest.iter().position(|word| *word == name);
        place.map(|place| self.rest.remove(place)).is_some()
    }

    fn mac(&mut self) -> MacAddress {
        let text = self.next();
        text.parse().unwrap_or_else(|error| panic!("`{}`: {error}", self.line))
    }

    /// `A > B`
    fn ends(&mut self) -> (&'a str, &'a str) {
        let source = self.next();
        assert_eq!(self.next(), ">", "`{}`: want SOURCE > DESTINATION", self.line);
        (source, self.next())
    }
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

fn small<T: TryFrom<u64>>(text: &str) -> T {
    let value = number(text).and_then(|value| T::try_from(value).ok());
    value.unwrap_or_else(|| panic!("{text}: no number, or too large"))
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16);
    digits
        .chunks(2)
        .map(|pair| byte(pair).unwrap_or_else(|_| panic!("\"{text}\": no hex")))
        .collect()
}

/// The frame that a line describes, at its `round`th time.
pub(crate) fn parse(line: &str, interfaces: &[Interface], round: u16) -> Input {
    let (outer, about) = line.split_once(" about ").unwrap_or((line, ""));
    let mut words = Words { line, rest: outer.split_whitespace().collect() };
    let name = words.value("in").unwrap_or(&interfaces[0].name);
    let place = interfaces.iter().position(|interface| interface.name == name);
    let place = place.unwrap_or_else(|| panic!("`{line}`: no interface {name}"));
    let times = words.number("times", 1_usize);
    let (pad, cut) = (words.number("pad", 0_usize), words.number("cut", usize::MAX));
    let mut sets = Vec::new();
    while let Some(set) = words.value("set") {
        let (at, bytes) = set.split_once(':').unwrap_or_else(|| panic!("`{line}`: set=AT:HEX"));
        sets.push((small(at), hex(bytes)));
    }
    let about = embedded(about, interfaces[place].mac);
    let mut frame = built(&mut words, interfaces[place].mac, round, &about);
    frame.resize(frame.len() + pad, 0xaa);
    for (at, bytes) in sets {
        frame[at..at + bytes.len()].copy_from_slice(&bytes);
    }
    frame.truncate(cut);
    assert!(words.rest.is_empty(), "`{line}`: left over: {:?}", words.rest);
    Input { from: InterfaceId(u8::try_from(place).unwrap_or_default()), frame, times }
}

/// The packet of such words, without its link-layer header; none of no words.
fn embedded(line: &str, to: MacAddress) -> Vec<u8> {
    if line.is_empty() {
        return Vec::new();
    }
    let (outer, about) = line.split_once(" about ").unwrap_or((line, ""));
    let mut words = Words { line, rest: outer.split_whitespace().collect() };
    let about = embedded(about, to);
    let packet = built(&mut words, to, 0, &about).split_off(14);
    assert!(words.rest.is_empty(), "`{line}`: left over: {:?}", words.rest);
    packet
}

fn built(words: &mut Words<'_>, to: MacAddress, round: u16, about: &[u8]) -> Vec<u8> {
    let mut link = Link { source: MacAddress([2, 0, 0, 0, 1, 2]), destination: to, vlan: None };
    let addressed = words.rest[0].parse::<MacAddress>().is_ok();
    if addressed {
        link.source = words.mac();
        assert_eq!(words.next(), ">", "`{}`: want MAC > MAC", words.line);
        link.destination = words.mac();
    }
    if words.flag("vlan") {
        link.vlan = Some(small(words.next()));
    }
    let options = words.value("options").map(hex).unwrap_or_default();
    let ip = Ip {
        tos: words.number("tos", 0),
        identification: words.identification(round),
        dont_fragment: words.flag("df"),
        more_fragments: words.flag("more"),
        fragment_offset: words.number("frag", 0),
        options: &options,
    };
    let ttl = words.number("ttl", 64_u8);
    let data = words.payload(about);
    if let Some(protocol) = words.value("proto").map(small) {
        return other_protocol(words, &link, &ip, (protocol, ttl, &data));
    }
    if words.rest[0].starts_with("type=0x") {
        let ether_type = words.value("type").unwrap_or_default();
        return link.frame(EtherType(small(ether_type)), &data);
    }
    match words.next() {
        "tcp" => {
            let (sequence, acknowledgement) = (words.number("seq", 1000), words.number("ack", 0));
            let (src, dst) = words.ends();
            let flags = words.next().trim_matches(['[', ']']);
            Tcp { src, dst, flags, sequence, acknowledgement, ttl, payload: &data, ip }.frame(&link)
        }
        "udp" => {
            let checksum = !words.flag("nocsum");
            let (src, dst) = words.ends();
            Udp { src, dst, checksum, ttl, payload: &data, ip }.frame(&link)
        }
        "sctp" => {
            let chunks: [(u8, u8, &[u8]); 1] = [(words.number("chunk", 1), 0, &data)];
            let (src, dst) = words.ends();
            Sctp { src, dst, chunks: &chunks, ttl, ip, ..Sctp::default() }.frame(&link)
        }
        "icmp" => {
            let kind = (words.number("type", 8), words.number("code", 0));
            let rest = words.number("rest", 0x0001_0001);
            let (src, dst) = words.ends();
            Icmp { src, dst, kind, rest, ttl, body: &data, ip }.frame(&link)
        }
        "icmp6" => {
            let kind = (words.number("type", 128), words.number("code", 0));
            let rest = words.number("rest", 0x0001_0001);
            let (src, dst) = words.ends();
            let ip = Ip6 { traffic_class: ip.tos, ..Ip6::default() };
            Icmp6 { src, dst, kind, rest, hop_limit: ttl, body: &data, ip }.frame(&link)
        }
        "arp" => arp(words, &mut link, addressed),
        "nd" => neighbour(words, &mut link, addressed),
        "hex" => hex(&std::mem::take(&mut words.rest).concat()),
        other => panic!("`{}`: {other} is no kind of frame", words.line),
    }
}

/// A packet of a protocol by its number.
fn other_protocol(
    words: &mut Words<'_>,
    link: &Link,
    ip: &Ip<'_>,
    (protocol, ttl, data): (u8, u8, &[u8]),
) -> Vec<u8> {
    let (src, dst) = words.ends();
    let parsed = |text: &str| text.parse().expect("an address");
    match (parsed(src), parsed(dst)) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            link.packet(&ip.packet((from, to), protocol, ttl, data))
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let is_fragment = ip.more_fragments || ip.fragment_offset != 0;
            let part = (ip.fragment_offset, ip.more_fragments, ip.identification.into());
            let ip = Ip6 { fragment: is_fragment.then_some(part), ..Ip6::default() };
            link.packet(&ip.packet((from, to), protocol, ttl, data))
        }
        _ => panic!("`{}`: two families", words.line),
    }
}

fn arp(words: &mut Words<'_>, link: &mut Link, addressed: bool) -> Vec<u8> {
    let first = words.next();
    if first == "who-has" {
        let target = words.next();
        assert_eq!(words.next(), "tell", "`{}`: who-has TARGET tell SENDER", words.line);
        if !addressed {
            link.destination = MacAddress::BROADCAST;
        }
        return Arp::who_has(target, words.next(), link.source).frame(link);
    }
    assert_eq!(words.next(), "is-at", "`{}`: ADDRESS is-at MAC", words.line);
    let sender = (words.mac(), first);
    if !addressed {
        link.source = sender.0;
    }
    Arp { operation: 2, sender, target: (link.destination, "10.0.2.1") }.frame(link)
}

/// The same for neighbour discovery. A solicitation goes to its target's group (RFC 4291 section
/// 2.7.1).
fn neighbour(words: &mut Words<'_>, link: &mut Link, addressed: bool) -> Vec<u8> {
    let first = words.next();
    if first != "who-has" {
        assert_eq!(words.next(), "is-at", "`{}`: ADDRESS is-at MAC", words.line);
        let mac = words.mac();
        if !addressed {
            link.source = mac;
        }
        let answer = Ndp::who_has(first, "fd00:2::1", first, mac);
        return Ndp { kind: 136, flags: "SO", ..answer }.frame(link);
    }
    let target = words.next();
    assert_eq!(words.next(), "tell", "`{}`: who-has TARGET tell SENDER", words.line);
    let [.., a, b, c] = target.parse::<std::net::Ipv6Addr>().expect("an address").octets();
    if !addressed {
        link.destination = MacAddress([0x33, 0x33, 0xff, a, b, c]);
    }
    let group = format!("ff02::1:ff{a:02x}:{b:02x}{c:02x}");
    Ndp::who_has(target, &group, words.next(), link.source).frame(link)
}
