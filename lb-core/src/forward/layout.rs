//! Where the headers of a packet are in its frame.

use super::Refusal;
use crate::protocol::Protocol;
use crate::wire::checksum::Sum;
use crate::wire::field::window;
use crate::wire::{extension, ipv4, ipv6};

/// Where the headers of a packet are in its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// From the start of the frame.
    pub network_offset: u16,
    /// From the start of the frame; behind options and extension headers.
    pub transport_offset: u16,
    /// What is at `transport_offset`.
    pub protocol: u8,
    pub is_v4: bool,
    /// A part of a datagram, first or later.
    pub is_fragment: bool,
    /// A later part: there is no transport header.
    pub is_later_fragment: bool,
}

impl Layout {
    /// Of a packet as most are: IPv4 without options, whole, in an untagged frame.
    pub const fn plain_v4(protocol: u8) -> Self {
        Self {
            network_offset: 14,
            transport_offset: 34,
            protocol,
            is_v4: true,
            is_fragment: false,
            is_later_fragment: false,
        }
    }

    /// The same of IPv6: without extension headers.
    pub const fn plain_v6(protocol: u8) -> Self {
        Self {
            network_offset: 14,
            transport_offset: 54,
            protocol,
            is_v4: false,
            is_fragment: false,
            is_later_fragment: false,
        }
    }

    /// Of a packet as most are, by its family.
    #[inline(always)]
    pub(crate) const fn plain<const V4: bool>(protocol: u8) -> Self {
        if V4 { Self::plain_v4(protocol) } else { Self::plain_v6(protocol) }
    }

    /// Reads the headers of a whole packet. `None` where they do not fit the bytes.
    pub fn read(frame: &[u8], network_offset: usize) -> Option<Self> {
        let bytes = frame.get(network_offset..)?;
        match bytes.first()? >> 4 {
            4 => Self::of_v4(&ipv4::Packet::check(bytes).ok()?, network_offset),
            6 => Self::of_v6(&ipv6::Packet::check(bytes).ok()?, network_offset),
            _ => None,
        }
    }

    /// The same of a packet that may be cut at its end, as in an ICMP error.
    pub fn read_embedded(bytes: &[u8], network_offset: usize) -> Option<Self> {
        let packet = bytes.get(network_offset..)?;
        match packet.first()? >> 4 {
            4 => Self::of_v4(&ipv4::Packet::check_embedded(packet).ok()?, network_offset),
            6 => Self::of_v6(&ipv6::Packet::check_embedded(packet).ok()?, network_offset),
            _ => None,
        }
    }

    fn of_v4(packet: &ipv4::Packet<'_>, network_offset: usize) -> Option<Self> {
        let transport_offset = network_offset + ipv4::HEADER_LEN + packet.options.len();
        Some(Self {
            network_offset: u16::try_from(network_offset).ok()?,
            transport_offset: u16::try_from(transport_offset).ok()?,
            protocol: packet.header.protocol(),
            is_v4: true,
            is_fragment: packet.header.is_fragment(),
            is_later_fragment: packet.header.is_later_fragment(),
        })
    }

    fn of_v6(packet: &ipv6::Packet<'_>, network_offset: usize) -> Option<Self> {
        let chain = extension::walk(packet.header.next_header(), packet.payload).ok()?;
        let transport_offset = network_offset + ipv6::HEADER_LEN + chain.offset;
        Some(Self {
            network_offset: u16::try_from(network_offset).ok()?,
            transport_offset: u16::try_from(transport_offset).ok()?,
            protocol: chain.protocol,
            is_v4: false,
            is_fragment: chain.is_fragment(),
            is_later_fragment: chain.is_later_fragment(),
        })
    }

    #[inline]
    pub(super) fn network(&self) -> usize {
        self.network_offset.into()
    }

    #[inline]
    pub(super) fn transport(&self) -> usize {
        self.transport_offset.into()
    }

    /// Whether there are ports at the transport offset: all of TCP, UDP and SCTP but later parts.
    #[inline]
    pub(crate) fn has_ports(&self) -> bool {
        Protocol::from_number(self.protocol).is_some() && !self.is_later_fragment
    }

    /// Where the packet ends in its frame, by its own length; what follows is padding.
    pub(super) fn end(&self, frame: &[u8]) -> Option<usize> {
        let length = if self.is_v4 {
            ipv4::Header::over(window(frame, self.network())?).total_length().into()
        } else {
            let header = ipv6::Header::over(window(frame, self.network())?);
            ipv6::HEADER_LEN + usize::from(header.payload_length())
        };
        Some(self.network() + length)
    }

    /// The transport header and all behind it.
    pub(super) fn payload<'a>(&self, frame: &'a [u8]) -> Result<&'a [u8], Refusal> {
        let end = self.end(frame).ok_or(Refusal::Malformed)?;
        frame.get(self.transport()..end).ok_or(Refusal::Malformed)
    }

    /// The sum of the pseudo-header of what is `length` bytes long.
    pub(super) fn pseudo_header(&self, frame: &[u8], protocol: u8, length: u16) -> Option<Sum> {
        Some(if self.is_v4 {
            let header = ipv4::Header::over(window(frame, self.network())?);
            Sum::pseudo_v4(header.source(), header.destination(), protocol, length)
        } else {
            let header = ipv6::Header::over(window(frame, self.network())?);
            Sum::pseudo_v6(header.source(), header.destination(), protocol, length.into())
        })
    }
}
