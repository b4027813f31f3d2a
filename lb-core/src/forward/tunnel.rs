//! Tunnels (`ip_vs_tunnel_xmit`): the packet stays as it is, one hop less to go, behind a second
//! network header that leads to the real server.
//!
//! ```text
//! ipip  │ outer IP │ inner IP ...                                RFC 2003, 2473, 4213
//! gue   │ outer IP │ UDP sport ► tun-port │ GUE │ inner IP ...   draft-ietf-intarea-gue
//! gre   │ outer IP │ GRE [checksum] │ inner IP ...               RFC 2784
//! ```
//!
//! | outer field | is |
//! | --- | --- |
//! | DSCP | the inner one |
//! | ECN | the inner one; ECT(0) for "congestion experienced", which is no news of this path |
//! | TTL | the inner one, after the hop was taken off |
//! | DF (IPv4) | the inner IPv4 packet's, if `pmtu_disc` is on |
//! | identification (IPv4) | 0 with DF, since then it says nothing (RFC 6864) |
//! | flow label (IPv6) | 0 |

use std::net::IpAddr;

use super::Refusal;
use crate::address::Address;
use crate::destination::{Tunnel, TunnelChecksum};
use crate::frame::Frame;
use crate::wire::checksum::Sum;
use crate::wire::ethernet::EtherType;
use crate::wire::field::{window, window_mut};
use crate::wire::ipv4::protocol;
use crate::wire::{ethernet, gre, gue, ipv4, ipv6, udp};

/// The smallest MTU of IPv4 (RFC 791 section 3.1).
const MTU_MIN_V4: usize = 68;

/// Source ports of GUE: the kernel's default `ip_local_port_range`.
const SOURCE_PORTS: std::ops::Range<u16> = 32_768..60_999;

const ECN_MASK: u8 = 0x03;
const ECN_CONGESTION_EXPERIENCED: u8 = 0x03;
const ECN_CAPABLE_0: u8 = 0x02;

/// What the outer headers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outer {
    pub tunnel: Tunnel,
    /// The director's address; of the same family as `destination`.
    pub source: IpAddr,
    /// The real server's.
    pub destination: IpAddr,
    /// Of the outer IPv4 header where DF is clear.
    pub identification: u16,
    /// Of GUE, see [`gue_source_port`].
    pub source_port: u16,
    /// Whether the inner DF is the outer one, too (sysctl `pmtu_disc`, 1 by default).
    pub pmtu_disc: bool,
}

impl Outer {
    /// Whether the outer header is IPv4's.
    #[inline]
    pub const fn is_v4(&self) -> bool {
        self.destination.is_ipv4()
    }
}

/// How a packet fits into a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It fits as it is.
    Whole,
    /// The outer packet has to be fragmented.
    Fragmented,
    /// Not to be sent; its sender is to be told of this MTU (ICMP 3/4, ICMPv6 "too big").
    TooLarge { mtu: u16 },
    /// What could go through is less than the smallest MTU of the outer family: drop.
    Never,
}

/// Bytes that a tunnel puts in front of a packet.
#[inline]
pub const fn overhead(tunnel: Tunnel, outer_is_v4: bool) -> usize {
    let network = if outer_is_v4 { ipv4::HEADER_LEN } else { ipv6::HEADER_LEN };
    network + header_length(tunnel)
}

/// Bytes between the outer network header and the inner packet.
#[inline]
const fn header_length(tunnel: Tunnel) -> usize {
    match tunnel {
        Tunnel::Ipip => 0,
        Tunnel::Gue { .. } => udp::HEADER_LEN + gue::HEADER_LEN,
        Tunnel::Gre { checksum } => gre::header_len(!matches!(checksum, TunnelChecksum::None)),
    }
}

/// The longest packet that goes through a tunnel whole, over a path of that MTU.
#[inline]
pub const fn largest_inner(mtu: u16, tunnel: Tunnel, outer_is_v4: bool) -> usize {
    (mtu as usize).saturating_sub(overhead(tunnel, outer_is_v4))
}

/// How a packet of `length` bytes fits. `may_fragment`: the inner packet is IPv4, and its DF is
/// clear or `pmtu_disc` is off (`ensure_mtu_is_adequate`).
#[inline]
pub fn fit(length: u16, may_fragment: bool, mtu: u16, tunnel: Tunnel, outer_is_v4: bool) -> Fit {
    let largest = largest_inner(mtu, tunnel, outer_is_v4);
    let least = if outer_is_v4 { MTU_MIN_V4 } else { ipv6::MTU_MIN };
    if largest < least {
        Fit::Never
    } else if usize::from(length) <= largest {
        Fit::Whole
    } else if may_fragment {
        Fit::Fragmented
    } else {
        // Below an MTU, so it fits.
        Fit::TooLarge { mtu: u16::try_from(largest).unwrap_or(mtu) }
    }
}

/// The source port of GUE for a flow: always the same, and different ones spread over the
/// receiver's queues (`udp_flow_src_port`).
#[inline]
pub fn gue_source_port(hash: u64) -> u16 {
    let span = u64::from(SOURCE_PORTS.end - SOURCE_PORTS.start);
    // Below the span, which is of 16 bits.
    SOURCE_PORTS.start + u16::try_from(((hash >> 32) * span) >> 32).unwrap_or_default()
}

/// An outer source that varies with the flow, in the last 16 bits of an IPv4 address and the last
/// 32 of an IPv6 one, so that RSS spreads the flows of one director over a receiver's queues
/// (Katran does the same). Replies to it do not find us: there are none but ICMP errors.
pub const fn spread(source: Address, hash: u64) -> Address {
    let span = if source.is_v4() { 0xffff } else { 0xffff_ffff };
    Address::from_bits(source.bits() & !span | (hash >> 32) as u128 & span)
}

/// Takes a hop off a packet and puts it into a tunnel. The frame becomes one with an Ethernet
/// header of the right type but without addresses, see [`super::address_link`]. Tags and padding
/// are gone; where it fails, of a frame without tags nothing else is.
///
/// Remote checksum offload (`--tun-remcsum`) is for packets whose own checksum is not worked out
/// yet. Those that are forwarded have theirs: they get a whole one, as in the kernel.
#[inline(always)]
pub fn encapsulate(
    frame: &mut impl Frame,
    network_offset: usize,
    inner_is_v4: bool,
    outer: &Outer,
) -> Result<(), Refusal> {
    let outer_is_v4 = outer.is_v4();
    let inner = Inner::read(frame.bytes(), network_offset, inner_is_v4)?;
    let end = network_offset + usize::from(inner.length);
    let front = (ethernet::HEADER_LEN + overhead(outer.tunnel, outer_is_v4))
        .checked_sub(network_offset)
        .ok_or(Refusal::Malformed)?;
    if end > frame.bytes().len() {
        return Err(Refusal::Malformed);
    }
    if !frame.resize(end) {
        return Err(Refusal::NoRoom);
    }
    frame.prepend(front).ok_or(Refusal::NoRoom)?;
    inner.hop(frame.bytes_mut(), network_offset + front)?;

    let (link, packet) = frame.bytes_mut().split_first_chunk_mut().ok_or(Refusal::Malformed)?;
    *link = [0; ethernet::HEADER_LEN];
    let ether_type = if outer_is_v4 { EtherType::IPV4 } else { EtherType::IPV6 };
    ethernet::Header::over(link).set_ether_type(ether_type);
    match (outer.source, outer.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let total = u16::try_from(packet.len()).map_err(|_| Refusal::TooLong)?;
            let (window, payload) = packet.split_first_chunk_mut().ok_or(Refusal::Malformed)?;
            let pseudo = |length| Sum::pseudo_v4(source, destination, protocol::UDP, length);
            let protocol = write_header(payload, &inner, outer, pseudo)?;
            let dont_fragment = inner.dont_fragment && outer.pmtu_disc;
            ipv4::Header::over(window).write(&ipv4::Fields {
                tos: inner.outer_tos(),
                total_length: total,
                identification: if dont_fragment { 0 } else { outer.identification },
                dont_fragment,
                ttl: inner.ttl,
                protocol,
                source,
                destination,
            });
            Ok(())
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let (window, payload) = packet.split_first_chunk_mut().ok_or(Refusal::Malformed)?;
            let length = u16::try_from(payload.len()).map_err(|_| Refusal::TooLong)?;
            let pseudo =
                |length: u16| Sum::pseudo_v6(source, destination, protocol::UDP, length.into());
            let protocol = write_header(payload, &inner, outer, pseudo)?;
            let mut header = ipv6::Header::over(window);
            header.fill(source, destination, protocol, inner.ttl, length);
            header.set_traffic_class(inner.outer_tos());
            Ok(())
        }
        _ => Err(Refusal::Family),
    }
}

/// What the outer headers take from the inner packet.
#[derive(Clone, Copy, Debug)]
struct Inner {
    is_v4: bool,
    /// Of the whole packet.
    length: u16,
    tos: u8,
    ttl: u8,
    dont_fragment: bool,
}

impl Inner {
    /// Reads a packet that has one hop less to go than it says.
    #[inline(always)]
    fn read(frame: &[u8], offset: usize, is_v4: bool) -> Result<Self, Refusal> {
        if is_v4 {
            let header = ipv4::Header::over(window(frame, offset).ok_or(Refusal::Malformed)?);
            Ok(Self {
                is_v4,
                length: header.total_length(),
                tos: header.tos(),
                ttl: header.ttl().saturating_sub(1),
                dont_fragment: header.dont_fragment(),
            })
        } else {
            let header = ipv6::Header::over(window(frame, offset).ok_or(Refusal::Malformed)?);
            let length = ipv6::HEADER_LEN + usize::from(header.payload_length());
            Ok(Self {
                is_v4,
                length: u16::try_from(length).map_err(|_| Refusal::TooLong)?,
                tos: header.traffic_class(),
                ttl: header.hop_limit().saturating_sub(1),
                dont_fragment: false,
            })
        }
    }

    /// Takes the hop off the packet itself.
    #[inline(always)]
    fn hop(&self, frame: &mut [u8], offset: usize) -> Result<(), Refusal> {
        if self.is_v4 {
            let window = window_mut(frame, offset).ok_or(Refusal::Malformed)?;
            ipv4::Header::over(window).decrement_ttl();
        } else {
            let window = window_mut(frame, offset).ok_or(Refusal::Malformed)?;
            ipv6::Header::over(window).decrement_hop_limit();
        }
        Ok(())
    }

    /// DSCP and ECN of the outer header (RFC 3168 section 9.1.1).
    #[inline]
    const fn outer_tos(&self) -> u8 {
        if self.tos & ECN_MASK == ECN_CONGESTION_EXPERIENCED {
            self.tos & !ECN_MASK | ECN_CAPABLE_0
        } else {
            self.tos
        }
    }

    /// The protocol number of the packet as a payload.
    #[inline]
    const fn protocol(&self) -> u8 {
        if self.is_v4 { protocol::IPIP } else { ipv6::protocol::IPV6 }
    }
}

/// Writes what is between the network headers: the front of `payload`. Returns the protocol
/// number of it.
#[inline]
fn write_header(
    payload: &mut [u8],
    inner: &Inner,
    outer: &Outer,
    pseudo: impl Fn(u16) -> Sum,
) -> Result<u8, Refusal> {
    match outer.tunnel {
        Tunnel::Ipip => Ok(inner.protocol()),
        Tunnel::Gue { port, checksum } => {
            let length = u16::try_from(payload.len()).map_err(|_| Refusal::TooLong)?;
            let window = window_mut(payload, 0).ok_or(Refusal::Malformed)?;
            udp::Header::over(window).fill((outer.source_port, port), length);
            let window = window_mut(payload, udp::HEADER_LEN).ok_or(Refusal::Malformed)?;
            gue::Header::over(window).fill(inner.protocol());
            if checksum != TunnelChecksum::None {
                let sum = pseudo(length).add_bytes(payload).checksum();
                let window = window_mut(payload, 0).ok_or(Refusal::Malformed)?;
                udp::Header::over(window).set_checksum(udp::nonzero_checksum(sum));
            }
            Ok(protocol::UDP)
        }
        Tunnel::Gre { checksum } => {
            let kind = if inner.is_v4 { EtherType::IPV4 } else { EtherType::IPV6 };
            gre::write(payload, kind, checksum != TunnelChecksum::None)
                .ok_or(Refusal::Malformed)?;
            Ok(protocol::GRE)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::captured::{self, value};
    use crate::forward::samples::{any_sample, in_frame};
    use crate::wire::build::{Link, MemoryFrame, Tcp};
    use etherparse::checksum::Sum16BitWords;
    use etherparse::{Ipv4HeaderSlice, Ipv6HeaderSlice, UdpHeaderSlice};
    use proptest::prelude::*;

    const GUE_PORT: u16 = 6080;

    /// A tunnel by its name in the capture.
    fn tunnel(name: &str) -> Tunnel {
        match name {
            "ipip" => Tunnel::Ipip,
            "gue-nocsum" => Tunnel::Gue { port: GUE_PORT, checksum: TunnelChecksum::None },
            "gue-csum" => Tunnel::Gue { port: GUE_PORT, checksum: TunnelChecksum::Full },
            "gue-remcsum" => Tunnel::Gue { port: GUE_PORT, checksum: TunnelChecksum::Remote },
            "gre-nocsum" => Tunnel::Gre { checksum: TunnelChecksum::None },
            "gre-csum" => Tunnel::Gre { checksum: TunnelChecksum::Full },
            other => panic!("unknown tunnel {other}"),
        }
    }

    /// The packet inside of what the kernel sent, as it was before: one hop more to go.
    fn before(outer: &[u8], overhead: usize) -> Vec<u8> {
        let mut inner = outer[overhead..].to_vec();
        if inner[0] >> 4 == 4 {
            let mut header = Ipv4HeaderSlice::from_slice(&inner).unwrap().to_header();
            header.time_to_live += 1;
            header.header_checksum = header.calc_header_checksum();
            inner[..20].copy_from_slice(&header.to_bytes());
        } else {
            inner[7] += 1;
        }
        inner
    }

    /// Encapsulates what is in the kernel's packet, and compares.
    fn check(kernels: &[u8], tunnel: Tunnel, source_port: u16) {
        let (source, destination, identification): (IpAddr, IpAddr, u16) = if kernels[0] >> 4 == 4 {
            let header = Ipv4HeaderSlice::from_slice(kernels).unwrap();
            let id = if header.dont_fragment() { 0x7777 } else { header.identification() };
            (header.source_addr().into(), header.destination_addr().into(), id)
        } else {
            let header = Ipv6HeaderSlice::from_slice(kernels).unwrap();
            (header.source_addr().into(), header.destination_addr().into(), 0x7777)
        };
        let inner = before(kernels, overhead(tunnel, source.is_ipv4()));
        let mut frame = MemoryFrame::new(&in_frame(&inner));
        let pmtu_disc = true;
        let outer = Outer { tunnel, source, destination, identification, source_port, pmtu_disc };
        encapsulate(&mut frame, 14, inner[0] >> 4 == 4, &outer).unwrap();
        assert_eq!(frame.bytes(), in_frame(kernels), "{tunnel:?}");
    }

    #[test]
    fn as_the_kernel_encapsulates() {
        let lines = captured::section("tunnel encapsulations");
        let mut kernels: Vec<u8> = Vec::new();
        let mut current = (Tunnel::Ipip, 0);
        let mut seen = (0, 0);
        for line in lines {
            if let Some(digits) = line.strip_prefix("hex: ") {
                assert_eq!(captured::from_hex(digits), kernels, "the capture is read rightly");
                check(&captured::from_hex(digits), current.0, current.1);
                seen.1 += 1;
                continue;
            }
            let (head, packet) = line.split_once(" : ").unwrap();
            kernels = captured::packet(packet);
            let source_port = packet
                .split_once(" UDP ")
                .map_or(0, |(_, rest)| rest.split_once('>').unwrap().0.parse().unwrap());
            current = (tunnel(head.split(' ').next().unwrap()), source_port);
            check(&kernels, current.0, current.1);
            seen.0 += 1;
        }
        assert_eq!(seen, (36, 6));
    }

    #[test]
    fn as_the_kernel_encapsulates_icmp_errors_and_ipv6() {
        let mut seen = 0;
        let exchanges = captured::exchanges("ICMP error about TUN");
        for (sent, received) in exchanges.into_iter().chain(captured::exchanges("IPv6")) {
            let Some(received) = received else { continue };
            let kind = match received {
                line if line.contains("ENCAP") => "ipip",
                line if line.contains(">6080") => "gue-nocsum",
                line if line.contains("GRE") => "gre-csum",
                _ => continue,
            };
            let kernels = captured::packet(received);
            let tunnel = tunnel(kind);
            let overhead = overhead(tunnel, kernels[0] >> 4 == 4);
            assert_eq!(before(&kernels, overhead), captured::packet(sent), "{sent}");
            check(&kernels, tunnel, 44449);
            seen += 1;
        }
        assert_eq!(seen, 7);
    }

    #[test]
    fn as_long_as_the_kernel_lets_through() {
        let mut seen = 0;
        for line in captured::section("MTU of tunnel") {
            let tunnel = tunnel(line.split(' ').next().unwrap());
            let refused: u16 =
                line.split_once("length ").unwrap().1.split(' ').next().unwrap().parse().unwrap();
            let told = u16::from_str_radix(value(line, "rest"), 16).unwrap();
            let fit = |length, may_fragment| fit(length, may_fragment, 1500, tunnel, true);
            assert_eq!(fit(refused, false), Fit::TooLarge { mtu: told });
            assert_eq!(fit(refused, true), Fit::Fragmented);
            assert_eq!(fit(refused - 1, false), Fit::Whole);
            assert_eq!(largest_inner(1500, tunnel, true), usize::from(told));
            assert_eq!(largest_inner(1500, tunnel, false), usize::from(told) - 20);
            seen += 1;
        }
        assert_eq!(seen, 6);
    }

    #[test]
    fn nothing_goes_where_less_than_the_smallest_mtu_does() {
        assert_eq!(fit(40, false, 87, Tunnel::Ipip, true), Fit::Never);
        assert_eq!(fit(40, false, 88, Tunnel::Ipip, true), Fit::Whole);
        assert_eq!(fit(40, false, 1319, Tunnel::Ipip, false), Fit::Never);
        assert_eq!(fit(40, false, 1320, Tunnel::Ipip, false), Fit::Whole);
        assert_eq!(fit(40, true, 0, Tunnel::Ipip, true), Fit::Never);
    }

    #[test]
    fn without_pmtu_discovery_df_is_clear() {
        let line = captured::exchanges("ICMP error about TUN")[0].0;
        assert!(line.contains(" DF "));
        let mut frame = MemoryFrame::new(&captured::frame(line));
        let outer = Outer {
            tunnel: Tunnel::Ipip,
            source: IpAddr::from([10, 0, 2, 1]),
            destination: IpAddr::from([10, 0, 2, 13]),
            identification: 7,
            source_port: 0,
            pmtu_disc: false,
        };
        encapsulate(&mut frame, 14, true, &outer).unwrap();
        let header = Ipv4HeaderSlice::from_slice(&frame.bytes()[14..]).unwrap();
        assert_eq!((header.dont_fragment(), header.identification()), (false, 7));
        assert_eq!(header.to_header().calc_header_checksum(), header.header_checksum());
    }

    #[test]
    fn tags_and_padding_go() {
        let tcp = Tcp { dst: "10.0.0.100:80", ..Tcp::default() };
        let outer = Outer {
            tunnel: Tunnel::Ipip,
            source: IpAddr::from([10, 0, 2, 1]),
            destination: IpAddr::from([10, 0, 2, 13]),
            identification: 7,
            source_port: 0,
            pmtu_disc: true,
        };
        let encapsulated = |mut bytes: Vec<u8>, offset, padding| {
            bytes.resize(bytes.len() + padding, 0xaa);
            let mut frame = MemoryFrame::with_room(&bytes, 20, 0);
            encapsulate(&mut frame, offset, true, &outer).unwrap();
            frame.bytes().to_vec()
        };
        let plain = encapsulated(tcp.frame(&Link::default()), 14, 0);
        assert_eq!(plain.len(), 74);
        assert_eq!(encapsulated(tcp.frame(&Link::default()), 14, 6), plain);
        let tagged = Link { vlan: Some(0), ..Link::default() };
        assert_eq!(encapsulated(tcp.frame(&tagged), 18, 2), plain);
        let mut frame = MemoryFrame::with_room(&tcp.frame(&Link::default()), 19, 9);
        assert_eq!(encapsulate(&mut frame, 14, true, &outer), Err(Refusal::NoRoom));
    }

    /// Tunnels of all kinds.
    fn any_tunnel() -> impl Strategy<Value = Tunnel> {
        let names = ["ipip", "gue-nocsum", "gue-csum", "gue-remcsum", "gre-nocsum", "gre-csum"];
        proptest::sample::select(names.to_vec()).prop_map(tunnel)
    }

    fn any_outer() -> impl Strategy<Value = Outer> {
        (any_tunnel(), any::<[u8; 32]>(), any::<[bool; 2]>(), any::<[u16; 2]>()).prop_map(
            |(tunnel, bytes, [is_v4, pmtu_disc], [identification, source_port])| {
                let [source, destination] = [0, 16].map(|at| {
                    let sixteen: [u8; 16] = bytes[at..at + 16].try_into().unwrap();
                    let [a, b, c, d, ..] = sixteen;
                    if is_v4 { IpAddr::from([a, b, c, d]) } else { IpAddr::from(sixteen) }
                });
                Outer { tunnel, source, destination, identification, source_port, pmtu_disc }
            },
        )
    }

    proptest! {
        #[test]
        fn outer_headers_are_right_to_the_oracle(
            (mut inner, _) in any_sample(), outer in any_outer(),
        ) {
            let mut frame = MemoryFrame::new(&inner.frame());
            let is_v4 = inner.source.0.is_ipv4();
            encapsulate(&mut frame, 14, is_v4, &outer).unwrap();
            let overhead = overhead(outer.tunnel, outer.source.is_ipv4());
            let packet = &frame.bytes()[14..];
            inner.ttl -= 1;
            prop_assert_eq!(&packet[overhead..], inner.packet());
            let mut pseudo = Vec::new();
            let (number, payload) = if outer.source.is_ipv4() {
                let header = Ipv4HeaderSlice::from_slice(packet).unwrap();
                prop_assert_eq!(usize::from(header.total_len()), packet.len());
                let checksum = header.to_header().calc_header_checksum();
                prop_assert_eq!(checksum, header.header_checksum());
                prop_assert_eq!(header.ttl(), inner.ttl);
                pseudo.extend([header.source(), header.destination()].concat());
                (header.protocol().0, &packet[20..])
            } else {
                let header = Ipv6HeaderSlice::from_slice(packet).unwrap();
                prop_assert_eq!(usize::from(header.payload_length()) + 40, packet.len());
                prop_assert_eq!(header.hop_limit(), inner.ttl);
                pseudo.extend([header.source(), header.destination()].concat());
                (header.next_header().0, &packet[40..])
            };
            let length = u16::try_from(payload.len()).unwrap();
            pseudo.extend([0, number]);
            pseudo.extend(length.to_be_bytes());
            pseudo.extend(payload);
            // A right checksum makes the sum of all words 0.
            let sum = |bytes| Sum16BitWords::new().add_slice(bytes).ones_complement();
            match outer.tunnel {
                Tunnel::Ipip => prop_assert_eq!(number, if is_v4 { 4 } else { 41 }),
                Tunnel::Gue { checksum, port } => {
                    prop_assert_eq!(number, 17);
                    let udp = UdpHeaderSlice::from_slice(payload).unwrap();
                    prop_assert_eq!(udp.source_port(), outer.source_port);
                    prop_assert_eq!((udp.destination_port(), udp.length()), (port, length));
                    prop_assert_eq!(udp.checksum() == 0, checksum == TunnelChecksum::None);
                    prop_assert!(udp.checksum() == 0 || sum(&pseudo) == 0);
                    prop_assert_eq!(&payload[8..12], &[0, if is_v4 { 4 } else { 41 }, 0, 0]);
                }
                Tunnel::Gre { checksum } => {
                    prop_assert_eq!(number, 47);
                    prop_assert_eq!(payload[0] == 0x80, checksum != TunnelChecksum::None);
                    prop_assert!(checksum == TunnelChecksum::None || sum(payload) == 0);
                }
            }
        }

        #[test]
        fn any_bytes_are_an_answer(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..120), offset in 0_usize..130,
            is_v4: bool, outer in any_outer(), head_room in 0_usize..90, length in 0_u8..120,
        ) {
            if let Some(bytes) = bytes.get_mut(offset.saturating_add(2)..offset.saturating_add(6)) {
                bytes.copy_from_slice(&[0, length, 0, length]);
            }
            let mut frame = MemoryFrame::with_room(&bytes, head_room, 0);
            let _ = encapsulate(&mut frame, offset, is_v4, &outer);
        }

        #[test]
        fn source_ports_are_local_and_spread(hash: u64) {
            let port = gue_source_port(hash);
            prop_assert!(SOURCE_PORTS.contains(&port));
            prop_assert_eq!(port, gue_source_port(hash));
            prop_assert_ne!(port, gue_source_port(hash ^ 1 << 63));
        }
    }

    #[test]
    fn the_whole_range_of_source_ports_is_used() {
        assert_eq!(gue_source_port(0), 32_768);
        assert_eq!(gue_source_port(u64::MAX), 60_998);
    }
}
