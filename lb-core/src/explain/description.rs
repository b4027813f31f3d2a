//! A packet in words, and the frame that it is.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::interface::Interface;
use crate::protocol::Protocol;
use crate::wire::ethernet::{self, EtherType};
use crate::wire::field::window_mut;
use crate::wire::vlan::{self, Tag};
use crate::wire::{MacAddress, checksum, ipv4, ipv6, sctp, tcp, udp};

/// The sender's link-layer address: a locally administered one.
const SENDER: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
const TTL: u8 = 64;

/// A packet without a payload.
#[derive(Clone, Copy, Debug)]
pub struct PacketDescription {
    pub protocol: Protocol,
    pub source: SocketAddr,
    pub destination: SocketAddr,
    /// Of TCP.
    pub flags: tcp::Flags,
    /// Of SCTP: the type of its only chunk.
    pub chunk: sctp::ChunkType,
}

/// A packet that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} and {1} are of different families; a packet has addresses of one")]
pub struct MixedFamilies(pub IpAddr, pub IpAddr);

impl PacketDescription {
    /// The packet in a frame to an interface, with all checksums.
    ///
    /// # Errors
    ///
    /// The ends are of different families.
    pub fn frame(&self, interface: &Interface) -> Result<Vec<u8>, MixedFamilies> {
        let (source, destination) = (self.source.ip(), self.destination.ip());
        let number = self.protocol.number();
        let mut frame = vec![0; ethernet::HEADER_LEN];
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let segment =
                    self.segment(|it| checksum::transport_v4(source, destination, number, it));
                let mut header = [0; ipv4::HEADER_LEN];
                let length = length_16(ipv4::HEADER_LEN + segment.len());
                ipv4::Header::over(&mut header).fill(source, destination, number, TTL, length);
                self.link(&mut frame, interface, EtherType::IPV4);
                frame.extend(header);
                frame.extend(segment);
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let segment = self.segment(|it| sum_v6(source, destination, number, it));
                let mut header = [0; ipv6::HEADER_LEN];
                let length = length_16(segment.len());
                ipv6::Header::over(&mut header).fill(source, destination, number, TTL, length);
                self.link(&mut frame, interface, EtherType::IPV6);
                frame.extend(header);
                frame.extend(segment);
            }
            _ => return Err(MixedFamilies(source, destination)),
        }
        Ok(frame)
    }

    fn link(&self, frame: &mut Vec<u8>, interface: &Interface, of: EtherType) {
        if let Some(window) = window_mut(frame, 0) {
            let mut header = ethernet::Header::over(window);
            header.set_source(SENDER);
            header.set_destination(interface.mac);
            header.set_ether_type(if interface.vlan.is_some() { EtherType::VLAN } else { of });
        }
        if let Some(id) = interface.vlan {
            let mut bytes = [0; vlan::TAG_LEN];
            let mut tag = Tag::over(&mut bytes);
            tag.set_id(id);
            tag.set_ether_type(of);
            frame.extend(bytes);
        }
    }

    /// Header and chunk of the transport, with what `sum` says of it as its checksum.
    fn segment(&self, sum: impl Fn(&[u8]) -> u16) -> Vec<u8> {
        let ports = (self.source.port(), self.destination.port());
        match self.protocol {
            Protocol::Tcp => {
                let mut bytes = [0; tcp::HEADER_LEN];
                tcp::Header::over(&mut bytes).fill(ports, 1, 1, self.flags);
                let checksum = sum(&bytes);
                tcp::Header::over(&mut bytes).set_checksum(checksum);
                bytes.to_vec()
            }
            Protocol::Udp => {
                let mut bytes = [0; udp::HEADER_LEN];
                udp::Header::over(&mut bytes).fill(ports, length_16(udp::HEADER_LEN));
                let checksum = udp::nonzero_checksum(sum(&bytes));
                udp::Header::over(&mut bytes).set_checksum(checksum);
                bytes.to_vec()
            }
            Protocol::Sctp => {
                let mut header = [0; sctp::HEADER_LEN];
                sctp::Header::over(&mut header).fill(ports, 0);
                let mut bytes = header.to_vec();
                bytes.extend([self.chunk.0, 0]);
                bytes.extend(length_16(sctp::CHUNK_LEN).to_be_bytes());
                sctp::set_checksum(&mut bytes);
                bytes
            }
        }
    }
}

fn sum_v6(source: Ipv6Addr, destination: Ipv6Addr, protocol: u8, bytes: &[u8]) -> u16 {
    checksum::transport_v6(source, destination, protocol, bytes)
}

/// A length of headers, which are far shorter than that.
fn length_16(bytes: usize) -> u16 {
    u16::try_from(bytes).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::InterfaceId;
    use crate::wire::show;

    fn shown(protocol: Protocol, source: &str, destination: &str, vlan: Option<u16>) -> String {
        let mac = MacAddress([2, 0, 0, 0, 0, 2]);
        let plain = Interface::new("lan0", InterfaceId(0), mac, 1500);
        let packet = PacketDescription {
            protocol,
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            flags: tcp::Flags::SYN,
            chunk: sctp::ChunkType::INIT,
        };
        show(&packet.frame(&Interface { vlan, ..plain }).unwrap())
    }

    #[test]
    fn a_description_is_a_whole_packet() {
        const LINK: &str = "02:00:00:00:00:01 > 02:00:00:00:00:02 ";
        for (protocol, source, destination, vlan, expected) in [
            (
                Protocol::Tcp,
                "10.0.1.2:1001",
                "10.0.0.100:80",
                None,
                "tcp 10.0.1.2:1001 > 10.0.0.100:80 [S] ttl=64 len=40",
            ),
            (
                Protocol::Udp,
                "10.0.1.2:1001",
                "10.0.0.100:53",
                Some(7),
                "vlan 7 udp 10.0.1.2:1001 > 10.0.0.100:53 ttl=64 len=28",
            ),
            (
                Protocol::Tcp,
                "[fd00:1::2]:1001",
                "[fd00::100]:80",
                None,
                "tcp [fd00:1::2]:1001 > [fd00::100]:80 [S] hl=64 plen=20",
            ),
        ] {
            let line = shown(protocol, source, destination, vlan);
            assert_eq!(line, format!("{LINK}{expected}"));
        }
        let line = shown(Protocol::Sctp, "10.0.1.2:1", "10.0.0.100:2", None);
        assert!(line.contains("sctp 10.0.1.2:1 > 10.0.0.100:2") && !line.contains("BAD"), "{line}");
    }
}
