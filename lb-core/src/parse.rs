//! Stage 1: what a frame is, in one pass over its first line.

use crate::address::Address;
use crate::drops::DropReason;
use crate::flow::{FlowId, FlowKey, Home, ReplyKey};
use crate::forward::Layout;
use crate::interface::{Interface, InterfaceId};
use crate::options::Misread;
use crate::slots::DestinationId;
use crate::snapshot::Snapshot;
use crate::wire::ethernet::EtherType;
use crate::wire::field::window;
use crate::wire::ipv4::protocol;
use crate::wire::ports::Ports;
use crate::wire::{ethernet, icmpv6, ipv4, ipv6, sctp, tcp, udp, vlan};

/// Length of the IPv6 header, as a part of a packet's length.
const HEADER_LEN_V6: u32 = 40;
const _: () = assert!(HEADER_LEN_V6 as usize == ipv6::HEADER_LEN);

/// What is to be done with a packet, as far as stages have found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Of a transport protocol, for one host: may belong to a connection or a service.
    Flow,
    /// Belongs to a connection; goes to its destination.
    Forward,
    /// Belongs to a NAT connection; goes back to its client.
    Return,
    /// For another host: to be routed on.
    Route,
    Arp,
    /// Neighbour solicitation or advertisement.
    NeighbourDiscovery,
    /// ICMP or ICMPv6 of any other kind.
    Icmp,
    /// A part of a datagram without its transport header.
    LaterFragment,
    /// For a group of hosts or all on the link.
    Group,
    /// For one host, of a protocol that has no connections.
    Other,
    /// The same, of a protocol that has: but the packet ends before its header does.
    Truncated,
    /// For the director, and no service wants it; the reason counts if nobody else does either.
    Local(DropReason),
    Drop(DropReason),
}

/// Where a part of a datagram belongs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    pub identification: u32,
    /// In bytes.
    pub offset: u32,
    /// Bytes of it.
    pub length: u32,
    pub more: bool,
}

/// What the stages know of one frame.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    pub class: Class,
    /// IP protocol number of the upper layer.
    pub protocol: u8,
    pub tcp_flags: tcp::Flags,
    /// TTL or hop limit.
    pub ttl: u8,
    /// From a real server, as far as the destination tells: the client is who it goes to.
    pub is_reply: bool,
    /// IPv4's "don't fragment"; IPv6 packets are never fragmented by routers.
    pub dont_fragment: bool,
    /// A part of a datagram, see `part`.
    pub is_fragment: bool,
    /// Type of the SCTP chunk that says what the packet is for.
    pub chunk: u8,
    /// By which interface it came.
    pub interface: InterfaceId,
    /// Where the IP header starts.
    pub network_offset: u16,
    /// Where the upper layer's header starts.
    pub transport_offset: u16,
    /// Bytes of the IP packet, header included; what statistics count.
    pub length: u32,
    pub source: Address,
    pub destination: Address,
    pub source_port: u16,
    pub destination_port: u16,
    /// Where it belongs, if `is_fragment`.
    pub part: Part,
    /// Of IPv6: there is a fragment header, but the packet is whole. See `is_atomic()`.
    pub(crate) is_atomic: bool,
    /// Of IPv6 with extension headers: what moves the connection's state.
    pub(crate) misread: Misread,
    /// Stage 2: hash of the client's end.
    pub hash: u64,
    /// Stage 2: the bucket that it chooses.
    pub(crate) home: Home,
    /// Stage 3: the entry that is most likely the connection's; stage 4: the one that it is.
    pub flow: FlowId,
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
            is_reply: false,
            dont_fragment: false,
            is_fragment: false,
            chunk: 0,
            interface: InterfaceId(0),
            network_offset: 0,
            transport_offset: 0,
            length: 0,
            source: Address::UNSPECIFIED,
            destination: Address::UNSPECIFIED,
            source_port: 0,
            destination_port: 0,
            part: Part { identification: 0, offset: 0, length: 0, more: false },
            is_atomic: false,
            misread: Misread { tcp_flags: tcp::Flags(0), chunk: 0 },
            hash: 0,
            home: Home::NONE,
            flow: FlowId::NONE,
            server: DestinationId(0),
        }
    }

    /// Whether it is an IPv4 packet.
    #[inline]
    pub const fn is_v4(&self) -> bool {
        self.destination.is_v4()
    }

    /// The protocol that its connection has: AH and ESP go with their key exchange.
    #[inline]
    const fn flow_protocol(&self) -> u8 {
        if self.has_ports() { self.protocol } else { protocol::UDP }
    }

    /// The connection that a packet from a client belongs to.
    #[inline]
    pub const fn key(&self) -> FlowKey {
        FlowKey {
            protocol: self.flow_protocol(),
            client: self.source,
            client_port: self.source_port,
            virtual_address: self.destination,
            virtual_port: self.destination_port,
        }
    }

    /// The connection that a packet from a real server belongs to.
    #[inline]
    pub const fn reply_key(&self) -> ReplyKey {
        ReplyKey {
            protocol: self.flow_protocol(),
            client: self.destination,
            client_port: self.destination_port,
            server: self.source,
            server_port: self.source_port,
        }
    }

    /// The client's end: protocol, address, port.
    #[inline]
    pub const fn client(&self) -> (u8, Address, u16) {
        if self.is_reply {
            (self.flow_protocol(), self.destination, self.destination_port)
        } else {
            (self.flow_protocol(), self.source, self.source_port)
        }
    }

    /// Whether its protocol has ports: not so AH and ESP.
    #[inline]
    pub const fn has_ports(&self) -> bool {
        matches!(self.protocol, protocol::TCP | protocol::UDP | protocol::SCTP)
    }

    /// Where its headers are.
    #[inline]
    pub const fn layout(&self) -> Layout {
        Layout {
            network_offset: self.network_offset,
            transport_offset: self.transport_offset,
            protocol: self.protocol,
            is_v4: self.is_v4(),
            is_fragment: self.is_fragment,
            is_later_fragment: self.is_fragment && self.part.offset != 0,
        }
    }

    /// Reads a frame that came in by a port. In place, field by field: what a dropped frame has
    /// not told stays as it was.
    #[inline]
    pub fn parse(&mut self, frame: &[u8], port: InterfaceId, snapshot: &Snapshot) {
        self.interface = port;
        let interface = snapshot.interface(port);
        self.class = match self.read_plain(frame, interface) {
            Some(class) => class,
            None => self.read(frame, snapshot).unwrap_or_else(Class::Drop),
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
            && link.ether_type() == EtherType::IPV4
            && header.is_without_options()
            && header.verify_checksum()
            && !header.is_fragment()
            && length <= frame.len() - ethernet::HEADER_LEN
            && ipv4::is_single_host(source)
            && ipv4::is_single_host(destination);
        let least = match header.protocol() {
            protocol::TCP => ipv4::HEADER_LEN + tcp::HEADER_LEN,
            protocol::UDP => ipv4::HEADER_LEN + udp::HEADER_LEN,
            _ => return None,
        };
        if !is_plain || length < least {
            return None;
        }
        self.protocol = header.protocol();
        self.tcp_flags = tcp::Flags(frame.get(FLAGS).copied().unwrap_or_default());
        self.ttl = header.ttl();
        self.dont_fragment = header.dont_fragment();
        self.is_fragment = false;
        self.set_offsets(ethernet::HEADER_LEN, TRANSPORT);
        self.length = u32::from(header.total_length());
        (self.source, self.destination) = (source.into(), destination.into());
        (self.source_port, self.destination_port) = (ports.source(), ports.destination());
        Some(Class::Flow)
    }

    /// Reads the packet at `offset` of a frame that the host sends by an interface, whoever it is
    /// for on the link.
    #[cold]
    pub(crate) fn parse_from_host(&mut self, frame: &[u8], from: InterfaceId, offset: usize) {
        self.interface = from;
        self.is_fragment = false;
        self.is_atomic = false;
        let ether_type = offset
            .checked_sub(2)
            .and_then(|at| window(frame, at))
            .map(|&bytes| EtherType(u16::from_be_bytes(bytes)));
        let class = match ether_type {
            Some(EtherType::IPV4) => self.read_ipv4(frame, offset),
            Some(EtherType::IPV6) => self.read_ipv6(frame, offset),
            _ => Err(DropReason::NotIp),
        };
        self.class = class.unwrap_or_else(Class::Drop);
    }

    fn read(&mut self, frame: &[u8], snapshot: &Snapshot) -> Result<Class, DropReason> {
        let window14 = window::<{ ethernet::HEADER_LEN }>(frame, 0);
        let link = ethernet::Header::over(window14.ok_or(DropReason::FrameTooShort)?);
        let (mut ether_type, mut offset) = (link.ether_type(), ethernet::HEADER_LEN);
        if matches!(ether_type, EtherType::VLAN | EtherType::SERVICE_VLAN) {
            (ether_type, offset) = self.read_tags(frame, snapshot)?;
        }
        let interface = snapshot.interface(self.interface);
        let to = link.destination();
        let to_us = to == interface.mac;
        if !to_us && !to.is_multicast() {
            return Err(DropReason::OtherHost);
        }
        self.set_offsets(offset, offset);
        self.is_fragment = false;
        self.is_atomic = false;
        let class = match ether_type {
            EtherType::ARP => {
                self.length = u32::try_from(frame.len().saturating_sub(offset)).unwrap_or(0);
                return Ok(Class::Arp);
            }
            EtherType::IPV4 => self.read_ipv4(frame, offset)?,
            EtherType::IPV6 => self.read_ipv6(frame, offset)?,
            _ => return Err(DropReason::NotIp),
        };
        let is_for_groups = matches!(class, Class::Group | Class::NeighbourDiscovery);
        if to_us || is_for_groups { Ok(class) } else { Err(DropReason::Broadcast) }
    }

    /// Tags of VLAN 0 are no VLAN, only a priority (IEEE 802.1Q); another tag is that of an
    /// interface on this port, or of somebody else's network.
    #[cold]
    fn read_tags(
        &mut self,
        frame: &[u8],
        snapshot: &Snapshot,
    ) -> Result<(EtherType, usize), DropReason> {
        let (ether_type, offset) = vlan::network_offset(frame).ok_or(DropReason::FrameTooShort)?;
        let mut found = None;
        for at in (ethernet::HEADER_LEN..offset).step_by(vlan::TAG_LEN) {
            let tag = vlan::Tag::over(window(frame, at).ok_or(DropReason::FrameTooShort)?);
            if tag.id() != 0 && found.replace(tag.id()).is_some() {
                return Err(DropReason::VlanUnknown);
            }
        }
        if let Some(id) = found {
            self.interface = snapshot.vlan(self.interface, id).ok_or(DropReason::VlanUnknown)?;
        }
        Ok((ether_type, offset))
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "offsets within a frame's headers")]
    pub(crate) const fn set_offsets(&mut self, network: usize, transport: usize) {
        self.network_offset = network as u16;
        self.transport_offset = transport as u16;
    }

    #[cold]
    fn read_ipv4(&mut self, frame: &[u8], offset: usize) -> Result<Class, DropReason> {
        let bytes = frame.get(offset..).ok_or(DropReason::FrameTooShort)?;
        let packet = ipv4::Packet::check(bytes).map_err(|_| DropReason::Ipv4Malformed)?;
        let header = &packet.header;
        if !packet.verify_checksum() {
            return Err(DropReason::Ipv4Checksum);
        }
        (self.source, self.destination) = (header.source().into(), header.destination().into());
        self.protocol = header.protocol();
        self.ttl = header.ttl();
        self.dont_fragment = header.dont_fragment();
        self.length = u32::from(header.total_length());
        self.set_offsets(offset, offset + header.header_length());
        if header.is_fragment() {
            self.is_fragment = true;
            self.part = Part {
                identification: u32::from(header.identification()),
                offset: u32::try_from(header.fragment_offset()).unwrap_or(u32::MAX),
                length: u32::try_from(packet.payload.len()).unwrap_or(u32::MAX),
                more: header.more_fragments(),
            };
        }
        if !ipv4::is_single_host(header.source()) {
            // A host that has no address yet speaks to all (DHCP).
            let is_for_all =
                header.source().is_unspecified() && header.destination().is_broadcast();
            return if is_for_all { Ok(Class::Group) } else { Err(DropReason::MartianSource) };
        }
        if header.destination().is_multicast() || header.destination().is_broadcast() {
            return Ok(Class::Group);
        }
        if !ipv4::is_single_host(header.destination()) {
            return Err(DropReason::Broadcast);
        }
        let class = self.read_transport(packet.payload);
        if packet.options.is_empty() { class } else { self.judge_options(packet.options, class) }
    }

    fn read_ipv6(&mut self, frame: &[u8], offset: usize) -> Result<Class, DropReason> {
        let bytes = frame.get(offset..).ok_or(DropReason::FrameTooShort)?;
        let packet = ipv6::Packet::check(bytes).map_err(|_| DropReason::Ipv6Malformed)?;
        let header = &packet.header;
        let (source, destination) = (header.source(), header.destination());
        (self.source, self.destination) = (source.into(), destination.into());
        self.protocol = header.next_header();
        self.ttl = header.hop_limit();
        self.dont_fragment = true;
        self.length = HEADER_LEN_V6 + u32::from(header.payload_length());
        let mut end = Some(0);
        if !matches!(self.protocol, protocol::TCP | protocol::UDP | ipv6::protocol::ICMPV6) {
            end = self.read_extensions(&packet);
        }
        let transport = end.unwrap_or_default();
        self.set_offsets(offset, offset + ipv6::HEADER_LEN + transport);
        let payload = packet.payload.get(transport..).unwrap_or_default();
        let is_icmp = self.protocol == ipv6::protocol::ICMPV6 && !self.is_fragment;
        let kind = icmpv6::Type(payload.first().copied().unwrap_or_default());
        if is_icmp
            && matches!(
                kind,
                icmpv6::Type::NEIGHBOUR_SOLICITATION | icmpv6::Type::NEIGHBOUR_ADVERTISEMENT
            )
        {
            return Ok(Class::NeighbourDiscovery);
        }
        if destination.is_multicast() {
            return if source.is_multicast() {
                Err(DropReason::MartianSource)
            } else {
                Ok(Class::Group)
            };
        }
        if !ipv6::is_single_host(source) {
            return Err(DropReason::MartianSource);
        }
        if !ipv6::is_single_host(destination) {
            return Err(DropReason::Broadcast);
        }
        // IPVS does not see what is behind headers that lead nowhere.
        let class = if end.is_some() { self.read_transport(payload) } else { Ok(Class::Other) };
        self.judge_hops(&packet, class)
    }

    #[inline]
    fn read_transport(&mut self, payload: &[u8]) -> Result<Class, DropReason> {
        const ISAKMP: u16 = 500;
        if self.is_fragment && self.part.offset != 0 {
            return Ok(Class::LaterFragment);
        }
        let truncated = if self.is_fragment {
            DropReason::FragmentTiny
        } else {
            DropReason::TransportTruncated
        };
        // The kernel looks at the eight bytes of UDP's header before it looks at ports.
        let least = match self.protocol {
            protocol::TCP => tcp::HEADER_LEN,
            protocol::UDP => udp::HEADER_LEN,
            protocol::SCTP => sctp::HEADER_LEN + sctp::CHUNK_LEN,
            // They match the connection of their key exchange (`ah_esp_conn_fill_param_proto`).
            ipv6::protocol::AH | ipv6::protocol::ESP => {
                (self.source_port, self.destination_port) = (ISAKMP, ISAKMP);
                return Ok(Class::Flow);
            }
            protocol::ICMP if self.is_v4() => return Ok(Class::Icmp),
            ipv6::protocol::ICMPV6 if !self.is_v4() => return Ok(Class::Icmp),
            _ => return Ok(Class::Other),
        };
        let Some(ports) = window(payload, 0).map(Ports::over) else {
            // Of no connection, whoever it is for.
            (self.source_port, self.destination_port) = (0, 0);
            return Ok(Class::Truncated);
        };
        (self.source_port, self.destination_port) = (ports.source(), ports.destination());
        if payload.len() < least {
            return if self.is_fragment { Err(truncated) } else { Ok(Class::Truncated) };
        }
        match self.protocol {
            protocol::TCP => {
                let header = tcp::Header::over(window(payload, 0).ok_or(truncated)?);
                self.tcp_flags = header.flags();
            }
            protocol::SCTP => {
                let packet = sctp::Packet::check(payload).map_err(|_| truncated)?;
                self.chunk = packet.deciding_chunk().ok_or(truncated)?.0;
            }
            _ => {}
        }
        Ok(Class::Flow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::build::{Link, Tcp};

    fn class(frame: &[u8]) -> (Class, u8) {
        let mac = Link::default().destination;
        let lan = Interface::new("lan0", InterfaceId(0), mac, 1500);
        let tagged = Interface { vlan: Some(7), ..lan.clone() };
        let snapshot = Snapshot::of_interfaces([lan, tagged]);
        let mut packet = Packet::dropped(DropReason::FrameTooShort);
        packet.parse(frame, InterfaceId(0), &snapshot);
        (packet.class, packet.interface.0)
    }

    #[test]
    fn a_tag_is_an_interface_or_a_priority_or_unknown() {
        let tagged = |vlan| Tcp::default().frame(&Link { vlan, ..Link::default() });
        assert_eq!(class(&tagged(None)), (Class::Flow, 0));
        assert_eq!(class(&tagged(Some(0))), (Class::Flow, 0));
        assert_eq!(class(&tagged(Some(7))), (Class::Flow, 1));
        let unknown = Class::Drop(DropReason::VlanUnknown);
        assert_eq!(class(&tagged(Some(1))), (unknown, 0));
        assert_eq!(class(&tagged(Some(256))), (unknown, 0));
        // A second tag behind the priority: 0x8100, VLAN 7.
        let mut twice = tagged(Some(0));
        twice.splice(16..16, [0x81, 0, 0, 7]);
        assert_eq!(class(&twice), (Class::Flow, 1));
        twice[15] = 7;
        assert_eq!(class(&twice).0, unknown, "two networks at once");
    }

    #[test]
    fn both_families_are_read_alike() {
        let link = Link::default();
        let v4 = Tcp { src: "10.0.1.2:1001", dst: "10.0.0.100:80", ..Tcp::default() }.frame(&link);
        let v6 =
            Tcp { src: "[fd00:1::2]:1001", dst: "[fd00::100]:80", ..Tcp::default() }.frame(&link);
        for (frame, is_v4, headers) in [(v4, true, 20), (v6, false, 40)] {
            let mac = link.destination;
            let lan = Interface::new("lan0", InterfaceId(0), mac, 1500);
            let mut packet = Packet::dropped(DropReason::FrameTooShort);
            packet.parse(&frame, InterfaceId(0), &Snapshot::of_interfaces([lan]));
            assert_eq!((packet.class, packet.is_v4()), (Class::Flow, is_v4));
            assert_eq!((packet.source_port, packet.destination_port), (1001, 80));
            assert_eq!(usize::from(packet.transport_offset), 14 + headers);
            assert_eq!(packet.length as usize, headers + 20);
        }
    }
}
