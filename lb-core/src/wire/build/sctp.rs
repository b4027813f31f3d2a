//! SCTP packets from short descriptions.

use super::{Ip, Ip6, Link, ends, length_16, v6};
use crate::wire::ipv4::protocol;
use crate::wire::sctp;

/// An SCTP packet; an INIT without its parameters unless said otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Sctp<'a> {
    pub src: &'a str,
    pub dst: &'a str,
    pub tag: u32,
    /// Type, flags and value of each chunk; padding is added.
    pub chunks: &'a [(u8, u8, &'a [u8])],
    pub ttl: u8,
    pub ip: Ip<'a>,
}

impl Default for Sctp<'_> {
    fn default() -> Self {
        Self {
            src: "10.0.1.2:1001",
            dst: "10.0.0.100:9",
            tag: 0,
            chunks: &[(1, 0, &[0; 16])],
            ttl: 64,
            ip: Ip::default(),
        }
    }
}

impl Sctp<'_> {
    /// Common header and chunks, with the checksum.
    pub fn message(&self) -> Vec<u8> {
        let (_, ports) = ends(self.src, self.dst);
        let mut header = [0; sctp::HEADER_LEN];
        sctp::Header::over(&mut header).fill(ports, self.tag);
        let mut bytes = header.to_vec();
        for (chunk_type, flags, value) in self.chunks {
            bytes.extend([*chunk_type, *flags]);
            bytes.extend(length_16(sctp::CHUNK_LEN + value.len()).to_be_bytes());
            bytes.extend(*value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        sctp::set_checksum(&mut bytes);
        bytes
    }

    /// The packet.
    pub fn packet(&self) -> Vec<u8> {
        let (addresses, _) = ends(self.src, self.dst);
        self.ip.packet_of_any(addresses, protocol::SCTP, self.ttl, &self.message())
    }

    /// The packet, with another IPv6 header than [`Sctp::ip`] describes.
    pub fn packet6(&self, ip: &Ip6<'_>) -> Vec<u8> {
        let (addresses, _) = ends(self.src, self.dst);
        ip.packet(v6::both(addresses), protocol::SCTP, self.ttl, &self.message())
    }

    /// The packet in a frame.
    pub fn frame(&self, link: &Link) -> Vec<u8> {
        link.packet(&self.packet())
    }
}
