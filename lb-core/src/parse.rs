//! Stage 1: what a frame is, in one pass over its first line.

use std::net::Ipv4Addr;

use crate::drops::DropReason;
use crate::flow::FlowId;
use crate::interface::Interface;
use crate::slots::DestinationId;
use crate::wire::field::window;
use crate::wire::{MacAddress, ethernet, ipv4, ports::Ports, tcp, vlan};

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

    /// Reads a frame that came in by `interface`.
    #[inline]
    pub fn parse(frame: &[u8], interface: &Interface) -> Self {
        match Self::read(frame, interface) {
            Ok(packet) => packet,
            Err(reason) => Self::dropped(reason),
        }
    }

    #[inline]
    fn read(frame: &[u8], interface: &Interface) -> Result<Self, DropReason> {
        let window14 = window::<{ ethernet::HEADER_LEN }>(frame, 0);
        let link = ethernet::Header::over(window14.ok_or(DropReason::FrameTooShort)?);
        let to_us = link.destination() == interface.mac;
        if to_us && link.ether_type() == ethernet::EtherType::IPV4 {
            return Self::read_ipv4(frame, ethernet::HEADER_LEN);
        }
        Self::read_uncommon(frame, to_us, link.destination())
    }

    /// Frames that are not plain IPv4 to this interface.
    #[cold]
    fn read_uncommon(frame: &[u8], to_us: bool, to: MacAddress) -> Result<Self, DropReason> {
        let (ether_type, offset) = vlan::network_offset(frame).ok_or(DropReason::FrameTooShort)?;
        // VLAN 0 is no VLAN, only a priority (IEEE 802.1Q); any other is somebody else's network.
        let tag = window::<{ vlan::TAG_LEN }>(frame, ethernet::HEADER_LEN - 2);
        if offset != ethernet::HEADER_LEN && tag.is_none_or(|tag| vlan::Tag::over(tag).id() != 0) {
            return Err(DropReason::VlanUnknown);
        }
        match ether_type {
            ethernet::EtherType::ARP if to_us || to.is_multicast() => Ok(Self::of_arp(offset)),
            ethernet::EtherType::IPV4 if to_us => Self::read_ipv4(frame, offset),
            ethernet::EtherType::IPV4 if to.is_multicast() => Err(DropReason::Broadcast),
            ethernet::EtherType::ARP | ethernet::EtherType::IPV4 => Err(DropReason::OtherHost),
            _ => Err(DropReason::NotIpv4),
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "an offset within an Ethernet header")]
    const fn of_arp(offset: usize) -> Self {
        Self {
            class: Class::Arp,
            network_offset: offset as u16,
            ..Self::dropped(DropReason::ArpMalformed)
        }
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "an offset within an Ethernet header")]
    fn read_ipv4(frame: &[u8], offset: usize) -> Result<Self, DropReason> {
        let bytes = frame.get(offset..).ok_or(DropReason::FrameTooShort)?;
        let packet = ipv4::Packet::check(bytes).map_err(|_| DropReason::Ipv4Malformed)?;
        let header = &packet.header;
        if !packet.verify_checksum() {
            return Err(DropReason::Ipv4Checksum);
        }
        if !ipv4::is_single_host(header.source()) {
            return Err(DropReason::MartianSource);
        }
        if !ipv4::is_single_host(header.destination()) {
            return Err(DropReason::Broadcast);
        }
        if header.is_fragment() {
            return Err(DropReason::Fragment);
        }
        let mut read = Self {
            protocol: header.protocol(),
            ttl: header.ttl(),
            network_offset: offset as u16,
            length: header.total_length(),
            source: header.source(),
            destination: header.destination(),
            ..Self::dropped(DropReason::ProtocolUnknown)
        };
        read.read_transport(packet.payload)?;
        Ok(read)
    }

    #[inline]
    fn read_transport(&mut self, payload: &[u8]) -> Result<(), DropReason> {
        match self.protocol {
            ipv4::protocol::TCP => {
                let segment = window::<{ tcp::HEADER_LEN }>(payload, 0)
                    .ok_or(DropReason::TransportTruncated)?;
                let header = tcp::Header::over(segment);
                self.tcp_flags = header.flags();
                self.source_port = header.source_port();
                self.destination_port = header.destination_port();
                self.class = Class::Flow;
            }
            ipv4::protocol::UDP => {
                // The kernel looks at the eight bytes of the header before it looks at ports.
                let datagram = window::<8>(payload, 0).ok_or(DropReason::TransportTruncated)?;
                let ports = Ports::over(window::<4>(datagram, 0).ok_or(DropReason::FrameTooShort)?);
                self.source_port = ports.source();
                self.destination_port = ports.destination();
                self.class = Class::Flow;
            }
            ipv4::protocol::ICMP => self.class = Class::Icmp,
            _ => {}
        }
        Ok(())
    }
}
