//! Packets of every kind that is rewritten, built with the oracle, all checksums worked out in
//! full.

use std::net::{IpAddr, SocketAddr};

use etherparse::{Ipv4Header, Ipv6Header, TcpHeader, UdpHeader};
use proptest::prelude::*;

use super::{End, Layout};
use crate::wire::checksum::Difference;
use crate::wire::field::window_mut;

/// A whole packet between two ends of one family.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) protocol: u8,
    pub(super) source: End,
    pub(super) destination: End,
    pub(super) ttl: u8,
    pub(super) payload: Vec<u8>,
    /// Words of IPv4 options, or destination options headers of IPv6.
    pub(super) extra: usize,
    /// `false`: UDP without a checksum.
    pub(super) has_checksum: bool,
    /// The payload is all there is behind the network header.
    pub(super) raw: bool,
}

impl Sample {
    pub(super) fn packet(&self) -> Vec<u8> {
        self.network(&self.transport())
    }

    /// The packet in a frame without link-layer addresses.
    pub(super) fn frame(&self) -> Vec<u8> {
        in_frame(&self.packet())
    }

    pub(super) fn layout(&self) -> Layout {
        Layout::read(&self.frame(), 14).unwrap()
    }

    fn transport(&self) -> Vec<u8> {
        match self.protocol {
            _ if self.raw => self.payload.clone(),
            6 => {
                let mut header = TcpHeader::new(self.source.1, self.destination.1, 1000, 8192);
                header.checksum = match (self.source.0, self.destination.0) {
                    (IpAddr::V4(s), IpAddr::V4(d)) => {
                        header.calc_checksum_ipv4_raw(s.octets(), d.octets(), &self.payload)
                    }
                    (IpAddr::V6(s), IpAddr::V6(d)) => {
                        header.calc_checksum_ipv6_raw(s.octets(), d.octets(), &self.payload)
                    }
                    _ => panic!("two families: {self:?}"),
                }
                .unwrap();
                [&header.to_bytes(), &self.payload[..]].concat()
            }
            17 => {
                let mut header = UdpHeader {
                    source_port: self.source.1,
                    destination_port: self.destination.1,
                    length: u16::try_from(8 + self.payload.len()).unwrap(),
                    checksum: 0,
                };
                let checksum = match (self.source.0, self.destination.0) {
                    (IpAddr::V4(s), IpAddr::V4(d)) => {
                        header.calc_checksum_ipv4_raw(s.octets(), d.octets(), &self.payload)
                    }
                    (IpAddr::V6(s), IpAddr::V6(d)) => {
                        header.calc_checksum_ipv6_raw(s.octets(), d.octets(), &self.payload)
                    }
                    _ => panic!("two families: {self:?}"),
                };
                header.checksum = if self.has_checksum { checksum.unwrap() } else { 0 };
                [&header.to_bytes(), &self.payload[..]].concat()
            }
            132 => {
                let ports = [self.source.1, self.destination.1].map(u16::to_be_bytes).concat();
                let mut bytes = [&ports[..], &[1, 2, 3, 4, 0, 0, 0, 0], &self.payload].concat();
                let crc = slow_crc32c(&bytes).to_le_bytes();
                bytes[8..12].copy_from_slice(&crc);
                bytes
            }
            _ => self.payload.clone(),
        }
    }

    fn network(&self, transport: &[u8]) -> Vec<u8> {
        match (self.source.0, self.destination.0) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let length = u16::try_from(transport.len()).unwrap();
                let (source, destination) = (source.octets(), destination.octets());
                let mut header =
                    Ipv4Header::new(length, self.ttl, self.protocol.into(), source, destination)
                        .unwrap();
                header.options = vec![1; self.extra * 4].as_slice().try_into().unwrap();
                header.total_len = u16::try_from(header.header_len()).unwrap() + length;
                header.header_checksum = header.calc_header_checksum();
                [&header.to_bytes(), transport].concat()
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let mut payload = Vec::new();
                for number in 1..=self.extra {
                    let next = if number == self.extra { self.protocol } else { 60 };
                    // Six bytes of padding (RFC 8200 section 4.2).
                    payload.extend([next, 0, 1, 4, 0, 0, 0, 0]);
                }
                payload.extend(transport);
                let next = if self.extra == 0 { self.protocol } else { 60 };
                let header = Ipv6Header {
                    payload_length: u16::try_from(payload.len()).unwrap(),
                    next_header: next.into(),
                    hop_limit: self.ttl,
                    source: source.octets(),
                    destination: destination.octets(),
                    ..Ipv6Header::default()
                };
                [&header.to_bytes(), &payload[..]].concat()
            }
            _ => panic!("two families: {self:?}"),
        }
    }
}

/// A packet in a frame without link-layer addresses.
pub(super) fn in_frame(packet: &[u8]) -> Vec<u8> {
    let ether_type: [u8; 2] = if packet[0] >> 4 == 6 { [0x86, 0xdd] } else { [8, 0] };
    [&[0; 12], &ether_type[..], packet].concat()
}

/// Makes the checksum of an ICMP message right, so that hostile bytes come further than to it.
pub(super) fn mend_icmp(frame: &mut [u8], layout: &Layout) {
    let Ok(payload) = layout.payload(frame) else { return };
    let length = u16::try_from(payload.len()).unwrap();
    let pseudo = if layout.is_v4 { None } else { layout.pseudo_header(frame, 58, length) };
    let sum = pseudo.unwrap_or_default().add_bytes(payload);
    if let Some(field) = window_mut::<2>(frame, layout.transport() + 2) {
        let difference = Difference::NONE.u16(0, sum.checksum());
        *field = (!difference.apply(!u16::from_be_bytes(*field))).to_be_bytes();
    }
}

/// `10.0.0.100:80` or `[fd00::100]:80`.
pub(super) fn end(text: &str) -> End {
    let end: SocketAddr = text.parse().unwrap();
    (end.ip(), end.port())
}

/// CRC32c bit by bit (RFC 9260 appendix A), as the reflected number.
pub(super) fn slow_crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}

pub(super) fn any_end(is_v4: bool) -> impl Strategy<Value = End> {
    (any::<[u8; 16]>(), any::<u16>()).prop_map(move |(bytes, port)| {
        let [a, b, c, d, ..] = bytes;
        let address = if is_v4 { IpAddr::from([a, b, c, d]) } else { IpAddr::from(bytes) };
        (address, port)
    })
}

/// A packet, and another end of its family.
pub(super) fn any_sample() -> impl Strategy<Value = (Sample, End)> {
    any::<bool>()
        .prop_flat_map(|is_v4| {
            let extra = prop_oneof![Just(0), 0..=if is_v4 { 10_usize } else { 3 }];
            let protocol = prop_oneof![Just(6), Just(17), Just(132), Just(50)];
            let payload = proptest::collection::vec(any::<u8>(), 0..100);
            let ends = [any_end(is_v4), any_end(is_v4), any_end(is_v4)];
            (protocol, ends, 2_u8.., payload, extra, any::<bool>())
        })
        .prop_map(|(protocol, [source, destination, other], ttl, payload, extra, is_plain)| {
            let has_checksum = is_plain || source.0.is_ipv6();
            let sample = Sample {
                protocol,
                source,
                destination,
                ttl,
                payload,
                extra,
                has_checksum,
                raw: false,
            };
            (sample, other)
        })
}

/// A layout that says anything, mostly something near the truth.
pub(super) fn any_layout() -> impl Strategy<Value = Layout> {
    let network = prop_oneof![Just(14_u16), 0_u16..60, any::<u16>()];
    let transport = prop_oneof![Just(34_u16), Just(54), 0_u16..100, any::<u16>()];
    let protocol = prop_oneof![Just(6_u8), Just(17), Just(132), Just(1), Just(58), any::<u8>()];
    (network, transport, protocol, any::<[bool; 3]>()).prop_map(
        |(network_offset, transport_offset, protocol, flags)| Layout {
            network_offset,
            transport_offset,
            protocol,
            is_v4: flags[0],
            is_fragment: flags[1],
            is_later_fragment: flags[1] && flags[2],
        },
    )
}
