//! IPv6 packets from short descriptions: the header with extension headers, ICMPv6, neighbour
//! discovery.

use std::net::{IpAddr, Ipv6Addr};

use super::{Ip, Link, length_16};
use crate::wire::ethernet::EtherType;
use crate::wire::extension::fragment_header;
use crate::wire::ipv6::{self, protocol};
use crate::wire::{MacAddress, icmpv6, ndp};

/// What of an IPv6 header a test seldom cares for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ip6<'a> {
    pub traffic_class: u8,
    pub flow_label: u32,
    /// Number and bytes of each extension header. The first byte of each is written over: it
    /// names what follows. Lengths are taken as they are.
    pub extensions: &'a [(u8, &'a [u8])],
    /// Offset in bytes, whether more follow, identification: a fragment header behind the
    /// extension headers.
    pub fragment: Option<(u16, bool, u32)>,
}

impl Ip6<'_> {
    /// The header that is most like an IPv4 header.
    pub(super) fn like(ip: &Ip<'_>) -> Self {
        assert!(ip.options.is_empty(), "IPv4 options in IPv6: want extension headers in an Ip6");
        let is_fragment = ip.more_fragments || ip.fragment_offset != 0;
        let fragment = (ip.fragment_offset, ip.more_fragments, u32::from(ip.identification));
        Self { traffic_class: ip.tos, fragment: is_fragment.then_some(fragment), ..Self::default() }
    }

    /// Puts `payload` into a packet.
    pub fn packet(
        &self,
        (source, destination): (Ipv6Addr, Ipv6Addr),
        protocol: u8,
        hop_limit: u8,
        payload: &[u8],
    ) -> Vec<u8> {
        let mut behind = payload.to_vec();
        let mut next = protocol;
        if let Some((offset, more, identification)) = self.fragment {
            let header = fragment_header(next, offset, more, identification);
            behind.splice(0..0, header);
            next = protocol::FRAGMENT;
        }
        for (number, bytes) in self.extensions.iter().rev() {
            let rest = bytes.iter().skip(1).copied();
            behind.splice(0..0, std::iter::once(next).chain(rest));
            next = *number;
        }
        let mut bytes = [0; ipv6::HEADER_LEN];
        let mut header = ipv6::Header::over(&mut bytes);
        header.fill(source, destination, next, hop_limit, length_16(behind.len()));
        header.set_traffic_class(self.traffic_class);
        header.set_flow_label(self.flow_label);
        [bytes.as_slice(), &behind].concat()
    }
}

/// An ICMPv6 message; an echo request unless said otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Icmp6<'a> {
    pub src: &'a str,
    pub dst: &'a str,
    /// Type and code.
    pub kind: (u8, u8),
    /// The second word of the header: identifier and sequence, or MTU.
    pub rest: u32,
    pub hop_limit: u8,
    /// Of an error: the embedded packet.
    pub body: &'a [u8],
    pub ip: Ip6<'a>,
}

impl Default for Icmp6<'_> {
    fn default() -> Self {
        Self {
            src: "fd00:1::2",
            dst: "fd00::100",
            kind: (128, 0),
            rest: 0x0001_0001,
            hop_limit: 64,
            body: &[],
            ip: Ip6::default(),
        }
    }
}

impl Icmp6<'_> {
    /// The packet.
    pub fn packet(&self) -> Vec<u8> {
        let ends = (address(self.src), address(self.dst));
        let kind = (icmpv6::Type(self.kind.0), self.kind.1);
        let mut bytes = [0; icmpv6::HEADER_LEN];
        icmpv6::Header::over(&mut bytes).fill(kind, self.rest, ends, self.body);
        let message = [&bytes, self.body].concat();
        self.ip.packet(ends, protocol::ICMPV6, self.hop_limit, &message)
    }

    /// The packet in a frame.
    pub fn frame(&self, link: &Link) -> Vec<u8> {
        link.frame(EtherType::IPV6, &self.packet())
    }
}

/// A neighbour solicitation or advertisement.
#[derive(Clone, Copy, Debug)]
pub struct Ndp<'a> {
    pub src: &'a str,
    pub dst: &'a str,
    /// 135 solicitation, 136 advertisement.
    pub kind: u8,
    /// Letters of `RSO`: router, solicited, override.
    pub flags: &'a str,
    pub target: &'a str,
    /// The link-layer address option: of the source in a solicitation, else of the target.
    pub mac: Option<MacAddress>,
    /// Other options, behind it.
    pub options: &'a [u8],
    pub hop_limit: u8,
    pub ip: Ip6<'a>,
}

impl<'a> Ndp<'a> {
    /// A solicitation for `target`, which `src` at `mac` sends to the group `dst`.
    pub fn who_has(target: &'a str, dst: &'a str, src: &'a str, mac: MacAddress) -> Self {
        Self {
            src,
            dst,
            kind: 135,
            flags: "",
            target,
            mac: Some(mac),
            options: &[],
            hop_limit: 255,
            ip: Ip6::default(),
        }
    }

    /// The packet.
    pub fn packet(&self) -> Vec<u8> {
        let letter = |letter, bit| if self.flags.contains(letter) { bit } else { 0 };
        let rest = letter('R', 1 << 31) | letter('S', 1 << 30) | letter('O', 1 << 29);
        let option = if self.kind == 135 { ndp::SOURCE_LINK_LAYER } else { ndp::TARGET_LINK_LAYER };
        let option = self.mac.map(|mac| ndp::link_layer_option(option, mac));
        let option = option.as_ref().map_or(&[][..], |option| option);
        let body = [&address(self.target).octets(), option, self.options].concat();
        Icmp6 {
            src: self.src,
            dst: self.dst,
            kind: (self.kind, 0),
            rest,
            hop_limit: self.hop_limit,
            body: &body,
            ip: self.ip,
        }
        .packet()
    }

    /// The packet in a frame; `link` is taken as it is.
    pub fn frame(&self, link: &Link) -> Vec<u8> {
        link.frame(EtherType::IPV6, &self.packet())
    }
}

/// The addresses, which must both be IPv6.
pub(super) fn both(addresses: (IpAddr, IpAddr)) -> (Ipv6Addr, Ipv6Addr) {
    match addresses {
        (IpAddr::V6(source), IpAddr::V6(destination)) => (source, destination),
        (source, destination) => panic!("{source}, {destination}: want two of IPv6"),
    }
}

fn address(text: &str) -> Ipv6Addr {
    text.parse().unwrap_or_else(|_| panic!("\"{text}\": want an IPv6 address, fd00::1"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::build::{Tcp, Udp};
    use crate::wire::extension;
    use etherparse::{NetSlice, SlicedPacket, TransportSlice};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn oracle_reads_ipv6(
            payload in proptest::collection::vec(any::<u8>(), 0..100), ttl: u8, traffic_class: u8,
            flow_label in 0_u32..1 << 20, vlan in proptest::option::of(1_u16..4096),
        ) {
            let link = Link { vlan, ..Link::default() };
            let (src, dst) = ("[fd00:1::2]:1001", "[fd00::100]:80");
            let ends = ("fd00:1::2".parse().unwrap(), "fd00::100".parse().unwrap());
            let tcp = Tcp { src, dst, ttl, payload: &payload, ..Tcp::default() };
            let hop: &[u8] = &[0, 0, 1, 4, 0, 0, 0, 0];
            let extensions = &[(0, hop), (60, hop)];
            let ip = Ip6 { traffic_class, flow_label, extensions, fragment: None };
            let frame = link.packet(&tcp.packet6(&ip));
            let packet = SlicedPacket::from_ethernet(&frame).unwrap();
            let (Some(NetSlice::Ipv6(net)), Some(TransportSlice::Tcp(segment))) =
                (packet.net, packet.transport) else { panic!("not TCP") };
            let header = net.header();
            prop_assert_eq!((header.source_addr(), header.destination_addr()), ends);
            prop_assert_eq!(header.traffic_class(), traffic_class);
            prop_assert_eq!((header.flow_label().value(), header.hop_limit()), (flow_label, ttl));
            prop_assert_eq!(net.extensions().slice().len(), 16);
            prop_assert_eq!(segment.payload(), &payload);
            let sum = segment.calc_checksum_ipv6(ends.0.octets(), ends.1.octets()).unwrap();
            prop_assert_eq!(sum, segment.checksum());

            let frame = Udp { src, dst, payload: &payload, ..Udp::default() }.frame(&link);
            let packet = SlicedPacket::from_ethernet(&frame).unwrap();
            let Some(TransportSlice::Udp(udp)) = packet.transport else { panic!("not UDP") };
            let header = udp.to_header();
            let sum = header
                .calc_checksum_ipv6_raw(ends.0.octets(), ends.1.octets(), &payload).unwrap();
            prop_assert_eq!(sum, header.checksum);

            let frame = Icmp6 { body: &payload, ..Icmp6::default() }.frame(&link);
            let packet = SlicedPacket::from_ethernet(&frame).unwrap();
            let Some(TransportSlice::Icmpv6(echo)) = packet.transport else { panic!("not ICMP") };
            prop_assert!(echo.is_checksum_valid(ends.0.octets(), ends.1.octets()));
            prop_assert_eq!(echo.payload(), &payload);
        }
    }

    #[test]
    fn an_ipv4_fragment_becomes_an_ipv6_one() {
        let ip = Ip { fragment_offset: 16, more_fragments: true, ..Ip::default() };
        let tcp = Tcp { src: "[fd00::1]:1", dst: "[fd00::2]:2", ip, ..Tcp::default() };
        let packet = tcp.packet();
        let chain = extension::walk(packet[6], &packet[40..]).unwrap();
        let fragment = chain.fragment.unwrap();
        assert_eq!((chain.protocol, fragment.offset, fragment.more), (6, 16, true));
        assert_eq!((chain.offset, fragment.identification), (8, 0x1234));
    }

    #[test]
    #[should_panic(expected = "want two of IPv6")]
    fn mixed_ends_name_themselves() {
        let _ = Tcp { src: "[fd00::1]:1", ..Tcp::default() }.packet();
    }
}
