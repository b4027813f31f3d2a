//! Stage 1: what a frame is, in one pass over its first line.

use std::net::Ipv4Addr;

use crate::drops::DropReason;
use crate::flow::FlowId;
use crate::interface::Interface;
use crate::slots::DestinationId;
use crate::wire::field::window;
use crate::wire::{MacAddress, ethernet, ipv4, ports::Ports, tcp, udp, vlan};

/// What is to be done with a packet, as far as stages have found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// TCP or UDP for one host: may belong to a connection or a service.
    Flow,
    /// Belongs to a connection; goes to its destination.
    Forward,
    Arp,
    /// ICMP to the link-layer address of the director.
    Icmp,
    /// No connection and no service; what the director itself makes of it.
    Drop(DropReason),
}

/// What the stages know of one frame.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    pub class: Class,
    /// IP protocol number.
    pub protocol: u8,
    pub tcp_flags: tcp::Flags,
    pub ttl: u8,
    /// Where the IP header starts.
    pub network_offset: u16,
    /// Bytes of the IP packet, header included; what statistics count.
    pub length: u16,
    pub source: Ipv4Addr,
    pub destination: Ipv4Addr,
    pub source_port: u16,
    pub destination_port: u16,
    /// Stage 2: hash of the client's end.
    pub hash: u64,
    /// Stage 3: the entry that is most likely the connection's.
    pub candidate: FlowId,
    /// Stage 4: where it goes.
    pub server: DestinationId,
}

impl Packet {
    /// A packet of which nothing is known but that it is dropped.
    pub const fn dropped(reason: DropReason) -> Self {
        Self {
            class: Class::Drop(reason),
            protocol: 0,
            tcp_flags: tcp::Flags(0),
            ttl: 0,
            network_offset: 0,
            length: 0,
            source: Ipv4Addr::UNSPECIFIED,
            destination: Ipv4Addr::UNSPECIFIED,
            source_port: 0,
            destination_port: 0,
            hash: 0,
            candidate: FlowId::NONE,
            server: DestinationId(0),
        }
    }

    /// Reads a frame that came in by `interface`. In place, field by field: what a dropped frame
    /// has not told stays as it was.
    #[inline]
    pub fn parse(&mut self, frame: &[u8], interface: &Interface) {
        self.class = match self.read_plain(frame, interface) {
            Some(class) => class,
            None => self.read(frame, interface).unwrap_or_else(Class::Drop),
        };
    }

    /// The frames that most are: untagged and to this interface, IPv4 without options, whole, TCP
    /// or UDP. One look at one window of constant length; of all others `read` says what they are.
    #[inline]
    fn read_plain(&mut self, frame: &[u8], interface: &Interface) -> Option<Class> {
        const TRANSPORT: usize = ethernet::HEADER_LEN + ipv4::HEADER_LEN;
        const FLAGS: usize = TRANSPORT + tcp::HEADER_LEN - 7;
        let head: &[u8; TRANSPORT + udp::HEADER_LEN] = frame.first_chunk()?;
        let link = ethernet::Header::over(window(head, 0)?);
        let header = ipv4::Header::over(window(head, ethernet::HEADER_LEN)?);
        let ports = Ports::over(window(head, TRANSPORT)?);
        let (source, destination) = (header.source(), header.destination());
        let length = usize::from(header.total_length());
        let is_plain = link.destination() == interface.mac
            && link.ether_type() == ethernet::EtherType::IPV4
            && header.is_without_options()
            && header.verify_checksum()
            && !header.is_fragment()
            && length <= frame.len() - ethernet::HEADER_LEN
            && ipv4::is_single_host(source)
            && ipv4::is_single_host(destination);
        let least = match header.protocol() {
            ipv4::protocol::TCP => ipv4::HEADER_LEN + tcp::HEADER_LEN,
            ipv4::protocol::UDP => ipv4::HEADER_LEN + udp::HEADER_LEN,
            _ => return None,
        };
        if !is_plain || length < least {
            return None;
        }
        self.protocol = header.protocol();
        self.tcp_flags = tcp::Flags(frame.get(FLAGS).copied().unwrap_or_default());
        self.ttl = header.ttl();
        self.set_network_offset(ethernet::HEADER_LEN);
        self.length = header.total_length();
        (self.source, self.destination) = (source, destination);
        (self.source_port, self.destination_port) = (ports.source(), ports.destination());
        Some(Class::Flow)
    }

    #[cold]
    fn read(&mut self, frame: &[u8], interface: &Interface) -> Result<Class, DropReason> {
        let window14 = window::<{ ethernet::HEADER_LEN }>(frame, 0);
        let link = ethernet::Header::over(window14.ok_or(DropReason::FrameTooShort)?);
        let to_us = link.destination() == interface.mac;
        if to_us && link.ether_type() == ethernet::EtherType::IPV4 {
            return self.read_ipv4(frame, ethernet::HEADER_LEN);
        }
        self.read_uncommon(frame, to_us, link.destination())
    }

    /// Frames that are not plain IPv4 to this interface.
    #[cold]
    fn read_uncommon(
        &mut self,
        frame: &[u8],
        to_us: bool,
        to: MacAddress,
    ) -> Result<Class, DropReason> {
        let (ether_type, offset) = vlan::network_offset(frame).ok_or(DropReason::FrameTooShort)?;
        // VLAN 0 is no VLAN, only a priority (IEEE 802.1Q); any other is somebody else's network.
        let is_foreign = |at| window(frame, at).is_none_or(|tag| vlan::Tag::over(tag).id() != 0);
        if (ethernet::HEADER_LEN..offset).step_by(vlan::TAG_LEN).any(is_foreign) {
            return Err(DropReason::VlanUnknown);
        }
        match ether_type {
            ethernet::EtherType::ARP if to_us || to.is_multicast() => {
                self.set_network_offset(offset);
                Ok(Class::Arp)
            }
            ethernet::EtherType::IPV4 if to_us => self.read_ipv4(frame, offset),
            ethernet::EtherType::IPV4 if to.is_multicast() => Err(DropReason::Broadcast),
            ethernet::EtherType::ARP | ethernet::EtherType::IPV4 => Err(DropReason::OtherHost),
            _ => Err(DropReason::NotIpv4),
        }
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "an offset within an Ethernet header")]
    pub(crate) const fn set_network_offset(&mut self, offset: usize) {
        self.network_offset = offset as u16;
    }

    #[inline]
    fn read_ipv4(&mut self, frame: &[u8], offset: usize) -> Result<Class, DropReason> {
        let bytes = frame.get(offset..).ok_or(DropReason::FrameTooShort)?;
        let packet = ipv4::Packet::check(bytes).map_err(|_| DropReason::Ipv4Malformed)?;
        let header = &packet.header;
        if !packet.verify_checksum() {
            return Err(DropReason::Ipv4Checksum);
        }
        self.source = header.source();
        self.destination = header.destination();
        if !ipv4::is_single_host(self.source) {
            return Err(DropReason::MartianSource);
        }
        if !ipv4::is_single_host(self.destination) {
            return Err(DropReason::Broadcast);
        }
        if header.is_fragment() {
            return Err(DropReason::Fragment);
        }
        self.protocol = header.protocol();
        self.ttl = header.ttl();
        self.set_network_offset(offset);
        self.length = header.total_length();
        self.read_transport(packet.payload)
    }

    #[inline]
    fn read_transport(&mut self, payload: &[u8]) -> Result<Class, DropReason> {
        match self.protocol {
            ipv4::protocol::TCP => {
                let segment = window::<{ tcp::HEADER_LEN }>(payload, 0)
                    .ok_or(DropReason::TransportTruncated)?;
                let header = tcp::Header::over(segment);
                self.tcp_flags = header.flags();
                self.source_port = header.source_port();
                self.destination_port = header.destination_port();
                Ok(Class::Flow)
            }
            ipv4::protocol::UDP => {
                // The kernel looks at the eight bytes of the header before it looks at ports.
                let datagram = window::<8>(payload, 0).ok_or(DropReason::TransportTruncated)?;
                let ports = Ports::over(window::<4>(datagram, 0).ok_or(DropReason::FrameTooShort)?);
                self.source_port = ports.source();
                self.destination_port = ports.destination();
                Ok(Class::Flow)
            }
            ipv4::protocol::ICMP => Ok(Class::Icmp),
            _ => Err(DropReason::ProtocolUnknown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::build::{Link, Tcp};

    fn class(frame: &[u8]) -> Class {
        let mac = Link::default().destination;
        let interface = Interface { name: "lan0".to_owned(), mac, mtu: 1500, addresses: vec![] };
        let mut packet = Packet::dropped(DropReason::FrameTooShort);
        packet.parse(frame, &interface);
        packet.class
    }

    #[test]
    fn a_priority_tag_is_no_vlan() {
        let tagged = |vlan| Tcp::default().frame(&Link { vlan, ..Link::default() });
        assert_eq!(class(&tagged(None)), Class::Flow);
        assert_eq!(class(&tagged(Some(0))), Class::Flow);
        assert_eq!(class(&tagged(Some(1))), Class::Drop(DropReason::VlanUnknown));
        assert_eq!(class(&tagged(Some(256))), Class::Drop(DropReason::VlanUnknown));
        // A second tag behind the priority: 0x8100, VLAN 7.
        let mut twice = tagged(Some(0));
        twice.splice(16..16, [0x81, 0, 0, 7]);
        assert_eq!(class(&twice), Class::Drop(DropReason::VlanUnknown));
        twice[19] = 0;
        assert_eq!(class(&twice), Class::Flow);
    }
}
