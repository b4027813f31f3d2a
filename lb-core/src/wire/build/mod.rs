//! Frames from short descriptions, for tests and benches.
//!
//! ```
//! use lb_core::wire::{build::{Link, Tcp}, show};
//!
//! let syn = Tcp { src: "10.0.1.2:1001", dst: "10.0.0.100:80", flags: "S", ..Tcp::default() };
//! assert!(show(&syn.frame(&Link::default())).contains("tcp 10.0.1.2:1001 > 10.0.0.100:80 [S]"));
//! ```
//!
//! Ends such as `[fd00::100]:80` make an IPv6 packet of the same description: [`Ip::tos`] is its
//! traffic class, what makes an IPv4 fragment puts a fragment header into it, and the TTL is its
//! hop limit. For more of IPv6 there are `packet6` and [`Ip6`].
//!
//! Every checksum is right; a test that wants a wrong one breaks it. Descriptions are literals of
//! a test: one that cannot be read panics and names itself.

mod sctp;
mod v6;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

pub use sctp::Sctp;
pub use v6::{Icmp6, Ip6, Ndp};

use super::ethernet::{self, EtherType};
use super::field::window_mut;
use super::ipv4::protocol;
use super::vlan::{self, Tag};
use super::{MacAddress, arp, checksum, icmp, ipv4, tcp, udp};
use crate::frame::Frame;

/// The link-layer envelope.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    pub source: MacAddress,
    pub destination: MacAddress,
    pub vlan: Option<u16>,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            source: MacAddress([2, 0, 0, 0, 0, 1]),
            destination: MacAddress([2, 0, 0, 0, 0, 2]),
            vlan: None,
        }
    }
}

impl Link {
    /// Puts `payload` into a frame, without padding to the Ethernet minimum.
    pub fn frame(&self, ether_type: EtherType, payload: &[u8]) -> Vec<u8> {
        let mut bytes = [0; ethernet::HEADER_LEN];
        let mut header = ethernet::Header::over(&mut bytes);
        header.set_source(self.source);
        header.set_destination(self.destination);
        header.set_ether_type(if self.vlan.is_some() { EtherType::VLAN } else { ether_type });
        let mut frame = bytes.to_vec();
        if let Some(id) = self.vlan {
            let mut tag = [0; vlan::TAG_LEN];
            let mut view = Tag::over(&mut tag);
            view.set_id(id);
            view.set_ether_type(ether_type);
            frame.extend(tag);
        }
        frame.extend(payload);
        frame
    }

    /// Puts a packet into a frame of the Ethernet type of its version.
    pub fn packet(&self, packet: &[u8]) -> Vec<u8> {
        let is_v6 = packet.first().is_some_and(|first| first >> 4 == 6);
        self.frame(if is_v6 { EtherType::IPV6 } else { EtherType::IPV4 }, packet)
    }
}

/// What of an IPv4 header a test seldom cares for.
#[derive(Clone, Copy, Debug)]
pub struct Ip<'a> {
    pub tos: u8,
    pub identification: u16,
    pub dont_fragment: bool,
    pub more_fragments: bool,
    /// In bytes, a multiple of 8.
    pub fragment_offset: u16,
    /// A multiple of 4 bytes, at most 40.
    pub options: &'a [u8],
}

impl Default for Ip<'_> {
    fn default() -> Self {
        Self {
            tos: 0,
            identification: 0x1234,
            dont_fragment: false,
            more_fragments: false,
            fragment_offset: 0,
            options: &[],
        }
    }
}

impl Ip<'_> {
    /// Puts `payload` into a packet of the addresses' version.
    fn packet_of_any(
        &self,
        addresses: (IpAddr, IpAddr),
        protocol: u8,
        ttl: u8,
        payload: &[u8],
    ) -> Vec<u8> {
        match addresses {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                self.packet((source, destination), protocol, ttl, payload)
            }
            _ => Ip6::like(self).packet(v6::both(addresses), protocol, ttl, payload),
        }
    }

    /// Puts `payload` into an IPv4 packet.
    pub fn packet(
        &self,
        (source, destination): (Ipv4Addr, Ipv4Addr),
        protocol: u8,
        ttl: u8,
        payload: &[u8],
    ) -> Vec<u8> {
        assert!(
            self.options.len() <= 40 && self.options.len().is_multiple_of(4),
            "IPv4 options of {} bytes: want a multiple of 4, at most 40",
            self.options.len()
        );
        let length = length_16(ipv4::HEADER_LEN + self.options.len() + payload.len());
        let mut bytes = [0; ipv4::HEADER_LEN];
        let mut header = ipv4::Header::over(&mut bytes);
        header.fill(source, destination, protocol, ttl, length);
        header.set_tos(self.tos);
        header.set_identification(self.identification);
        header.set_fragment(self.dont_fragment, self.more_fragments, self.fragment_offset);
        // The IHL counts words of 4 bytes in the low half of the first byte.
        bytes[0] += u8::try_from(self.options.len() / 4).unwrap_or_default();
        ipv4::Header::over(&mut bytes).fill_checksum(self.options);
        [&bytes, self.options, payload].concat()
    }
}

/// A TCP segment.
#[derive(Clone, Copy, Debug)]
pub struct Tcp<'a> {
    pub src: &'a str,
    pub dst: &'a str,
    /// Letters, `SA` for example.
    pub flags: &'a str,
    pub sequence: u32,
    pub acknowledgement: u32,
    pub ttl: u8,
    pub payload: &'a [u8],
    pub ip: Ip<'a>,
}

impl Default for Tcp<'_> {
    fn default() -> Self {
        Self {
            src: "10.0.1.2:1001",
            dst: "10.0.0.100:80",
            flags: "S",
            sequence: 1000,
            acknowledgement: 0,
            ttl: 64,
            payload: &[],
            ip: Ip::default(),
        }
    }
}

impl Tcp<'_> {
    /// The segment alone, with its checksum for these ends.
    pub fn segment(&self) -> Vec<u8> {
        let (addresses, ports) = ends(self.src, self.dst);
        let flags = tcp::Flags::from_letters(self.flags)
            .unwrap_or_else(|| panic!("TCP flags \"{}\": want letters of FSRPAUEC", self.flags));
        let mut bytes = [0; tcp::HEADER_LEN];
        let mut header = tcp::Header::over(&mut bytes);
        header.fill(ports, self.sequence, self.acknowledgement, flags);
        header.set_window(8192);
        let mut segment = [&bytes, self.payload].concat();
        let sum = transport_checksum(addresses, protocol::TCP, &segment);
        if let Some(window) = window_mut(&mut segment, 0) {
            tcp::Header::over(window).set_checksum(sum);
        }
        segment
    }

    /// The packet.
    pub fn packet(&self) -> Vec<u8> {
        let (addresses, _) = ends(self.src, self.dst);
        self.ip.packet_of_any(addresses, protocol::TCP, self.ttl, &self.segment())
    }

    /// The packet, with another IPv6 header than [`Tcp::ip`] describes.
    pub fn packet6(&self, ip: &Ip6<'_>) -> Vec<u8> {
        let (addresses, _) = ends(self.src, self.dst);
        ip.packet(v6::both(addresses), protocol::TCP, self.ttl, &self.segment())
    }

    /// The packet in a frame.
    pub fn frame(&self, link: &Link) -> Vec<u8> {
        link.packet(&self.packet())
    }
}

/// A UDP datagram.
#[derive(Clone, Copy, Debug)]
pub struct Udp<'a> {
    pub src: &'a str,
    pub dst: &'a str,
    /// `false` writes checksum 0: none.
    pub checksum: bool,
    pub ttl: u8,
    pub payload: &'a [u8],
    pub ip: Ip<'a>,
}

impl Default for Udp<'_> {
    fn default() -> Self {
        Self {
            src: "10.0.1.2:1001",
            dst: "10.0.0.100:53",
            checksum: true,
            ttl: 64,
            payload: &[],
            ip: Ip::default(),
        }
    }
}

impl Udp<'_> {
    /// The datagram alone, with its checksum for these ends.
    pub fn datagram(&self) -> Vec<u8> {
        let (addresses, ports) = ends(self.src, self.dst);
        let mut bytes = [0; udp::HEADER_LEN];
        let length = length_16(udp::HEADER_LEN + self.payload.len());
        udp::Header::over(&mut bytes).fill(ports, length);
        let mut datagram = [&bytes, self.payload].concat();
        if self.checksum {
            let sum = transport_checksum(addresses, protocol::UDP, &datagram);
            if let Some(window) = window_mut(&mut datagram, 0) {
                udp::Header::over(window).set_checksum(udp::nonzero_checksum(sum));
            }
        }
        datagram
    }

    /// The packet.
    pub fn packet(&self) -> Vec<u8> {
        let (addresses, _) = ends(self.src, self.dst);
        self.ip.packet_of_any(addresses, protocol::UDP, self.ttl, &self.datagram())
    }

    /// The packet, with another IPv6 header than [`Udp::ip`] describes.
    pub fn packet6(&self, ip: &Ip6<'_>) -> Vec<u8> {
        let (addresses, _) = ends(self.src, self.dst);
        ip.packet(v6::both(addresses), protocol::UDP, self.ttl, &self.datagram())
    }

    /// The packet in a frame.
    pub fn frame(&self, link: &Link) -> Vec<u8> {
        link.packet(&self.packet())
    }
}

/// An ICMP message; an echo request unless said otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Icmp<'a> {
    pub src: &'a str,
    pub dst: &'a str,
    /// Type and code.
    pub kind: (u8, u8),
    /// The second word of the header: identifier and sequence, or MTU.
    pub rest: u32,
    pub ttl: u8,
    /// Of an error: the embedded packet.
    pub body: &'a [u8],
    pub ip: Ip<'a>,
}

impl Default for Icmp<'_> {
    fn default() -> Self {
        Self {
            src: "10.0.1.2",
            dst: "10.0.0.100",
            kind: (8, 0),
            rest: 0x0001_0001,
            ttl: 64,
            body: &[],
            ip: Ip::default(),
        }
    }
}

impl Icmp<'_> {
    /// The IPv4 packet.
    pub fn packet(&self) -> Vec<u8> {
        let mut bytes = [0; icmp::HEADER_LEN];
        let (message_type, code) = self.kind;
        icmp::Header::over(&mut bytes).fill(icmp::Type(message_type), code, self.rest, self.body);
        let message = [&bytes, self.body].concat();
        let addresses = (address(self.src), address(self.dst));
        self.ip.packet(addresses, protocol::ICMP, self.ttl, &message)
    }

    /// The packet in a frame.
    pub fn frame(&self, link: &Link) -> Vec<u8> {
        link.frame(EtherType::IPV4, &self.packet())
    }
}

/// An ARP packet.
#[derive(Clone, Copy, Debug)]
pub struct Arp<'a> {
    /// 1 request, 2 reply.
    pub operation: u16,
    pub sender: (MacAddress, &'a str),
    pub target: (MacAddress, &'a str),
}

impl<'a> Arp<'a> {
    /// A request for `target`'s MAC address by `sender` at `mac`.
    pub const fn who_has(target: &'a str, sender: &'a str, mac: MacAddress) -> Self {
        Self { operation: 1, sender: (mac, sender), target: (MacAddress::ZERO, target) }
    }

    /// The packet in a frame; `link` is taken as it is, a request is not broadcast by itself.
    pub fn frame(&self, link: &Link) -> Vec<u8> {
        let mut bytes = [0; arp::PACKET_LEN];
        arp::Packet::over(&mut bytes).fill(
            arp::Operation(self.operation),
            (self.sender.0, address(self.sender.1)),
            (self.target.0, address(self.target.1)),
        );
        link.frame(EtherType::ARP, &bytes)
    }
}

/// A frame in ordinary memory, with head and tail room like an mbuf's.
#[derive(Clone, Debug)]
pub struct MemoryFrame {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl MemoryFrame {
    /// Head room of an mbuf (`RTE_PKTMBUF_HEADROOM`).
    pub const HEAD_ROOM: usize = 128;
    /// Room of an mbuf behind its head room (`RTE_MBUF_DEFAULT_DATAROOM`).
    pub const DATA_ROOM: usize = 2048;

    /// Copies `bytes` behind the usual head room.
    pub fn new(bytes: &[u8]) -> Self {
        Self::with_room(bytes, Self::HEAD_ROOM, Self::DATA_ROOM.saturating_sub(bytes.len()))
    }

    /// Copies `bytes` between rooms of the given sizes, which hold 0xee.
    pub fn with_room(bytes: &[u8], head_room: usize, tail_room: usize) -> Self {
        let mut buffer = vec![0xee; head_room];
        buffer.extend(bytes);
        let end = buffer.len();
        buffer.resize(end + tail_room, 0xee);
        Self { buffer, start: head_room, end }
    }

    /// Copies `bytes` behind the usual head room of the same buffer, as a device does.
    ///
    /// # Panics
    ///
    /// If the buffer is too small.
    pub fn refill(&mut self, bytes: &[u8]) {
        (self.start, self.end) = (Self::HEAD_ROOM, Self::HEAD_ROOM + bytes.len());
        self.buffer[self.start..self.end].copy_from_slice(bytes);
    }
}

impl Frame for MemoryFrame {
    #[inline(always)]
    fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    #[inline(always)]
    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[self.start..self.end]
    }

    #[inline]
    fn prepend(&mut self, bytes: usize) -> Option<&mut [u8]> {
        self.start = self.start.checked_sub(bytes)?;
        Some(&mut self.buffer[self.start..self.start + bytes])
    }

    #[inline]
    fn resize(&mut self, bytes: usize) -> bool {
        let fits = self.buffer.len() - self.start >= bytes;
        if fits {
            self.end = self.start + bytes;
        }
        fits
    }
}

/// Addresses and ports of both ends.
fn ends(source: &str, destination: &str) -> ((IpAddr, IpAddr), (u16, u16)) {
    let [source, destination] = [source, destination].map(|text| {
        text.parse::<SocketAddr>().unwrap_or_else(|_| {
            panic!("\"{text}\": want ADDRESS:PORT, 10.0.1.2:1001 or [fd00::1]:1001")
        })
    });
    ((source.ip(), destination.ip()), (source.port(), destination.port()))
}

fn transport_checksum(addresses: (IpAddr, IpAddr), protocol: u8, bytes: &[u8]) -> u16 {
    match addresses {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            checksum::transport_v4(source, destination, protocol, bytes)
        }
        _ => {
            let (source, destination) = v6::both(addresses);
            checksum::transport_v6(source, destination, protocol, bytes)
        }
    }
}

fn address(text: &str) -> Ipv4Addr {
    text.parse().unwrap_or_else(|_| panic!("\"{text}\": want an IPv4 address, 10.0.1.2"))
}

fn length_16(bytes: usize) -> u16 {
    u16::try_from(bytes).unwrap_or_else(|_| panic!("{bytes} bytes: a packet has 65535"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{InternetSlice, SlicedPacket, TransportSlice};
    use proptest::prelude::*;
    use std::net::SocketAddrV4;

    fn oracle(frame: &[u8]) -> SlicedPacket<'_> {
        SlicedPacket::from_ethernet(frame).unwrap()
    }

    proptest! {
        #[test]
        fn oracle_reads_tcp(
            source: ([u8; 4], u16), destination: ([u8; 4], u16), flags: u8,
            payload in proptest::collection::vec(any::<u8>(), 0..100), vlan in 0_u16..4096,
        ) {
            let src = SocketAddrV4::new(source.0.into(), source.1).to_string();
            let dst = SocketAddrV4::new(destination.0.into(), destination.1).to_string();
            let flags = tcp::Flags(flags).to_string();
            let vlan = (vlan > 0).then_some(vlan);
            let tcp = Tcp {
                src: &src, dst: &dst, flags: &flags, payload: &payload, ..Tcp::default()
            };
            let frame = tcp.frame(&Link { vlan, ..Link::default() });
            let packet = oracle(&frame);
            prop_assert_eq!(
                packet.vlan_ids().first().map(|id| id.value()), vlan
            );
            let (Some(InternetSlice::Ipv4(ip)), Some(TransportSlice::Tcp(segment))) =
                (packet.net, packet.transport) else { panic!("not TCP") };
            prop_assert_eq!(ip.header().source(), source.0);
            prop_assert_eq!(ip.header().destination(), destination.0);
            prop_assert_eq!(
                ip.header().to_header().calc_header_checksum(), ip.header().header_checksum()
            );
            prop_assert_eq!(segment.source_port(), source.1);
            prop_assert_eq!(segment.destination_port(), destination.1);
            prop_assert_eq!(segment.payload(), payload);
            prop_assert_eq!(
                segment.calc_checksum_ipv4(source.0, destination.0).unwrap(), segment.checksum()
            );
        }

        #[test]
        fn oracle_reads_udp_and_icmp(
            payload in proptest::collection::vec(any::<u8>(), 0..100), words in 0_usize..=10,
        ) {
            let options = vec![1; words * 4];
            let ip = Ip { options: &options, ..Ip::default() };
            let udp = Udp { payload: &payload, ip, ..Udp::default() }.frame(&Link::default());
            let Some(TransportSlice::Udp(udp)) = oracle(&udp).transport else { panic!("not UDP") };
            prop_assert_eq!(udp.payload(), &payload);
            let header = udp.to_header();
            prop_assert_eq!(
                header.calc_checksum_ipv4_raw([10, 0, 1, 2], [10, 0, 0, 100], &payload).unwrap(),
                header.checksum
            );
            let echo = Icmp { body: &payload, ip, ..Icmp::default() }.frame(&Link::default());
            let Some(TransportSlice::Icmpv4(echo)) = oracle(&echo).transport
                else { panic!("not ICMP") };
            prop_assert_eq!(echo.payload(), &payload);
            prop_assert_eq!(echo.icmp_type().calc_checksum(&payload), echo.checksum());
        }
    }

    #[test]
    fn memory_frame_has_its_rooms() {
        let mut frame = MemoryFrame::with_room(&[1, 2, 3], 2, 1);
        assert!(frame.prepend(3).is_none());
        assert_eq!(frame.bytes(), [1, 2, 3]);
        frame.prepend(2).unwrap().copy_from_slice(&[8, 9]);
        assert_eq!(frame.bytes(), [8, 9, 1, 2, 3]);
        assert!(!frame.resize(7));
        assert!(frame.resize(4));
        assert_eq!(frame.bytes(), [8, 9, 1, 2]);
        assert!(frame.resize(6));
        assert_eq!(frame.bytes_mut().len(), 6);
    }
}
