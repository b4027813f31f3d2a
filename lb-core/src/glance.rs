//! What a frame is at first glance: the frames that most are, told from all others.

use crate::address::Address;
use crate::flow::{FlowId, FlowTable, Home, client_word_v4, client_word_v6, end_word_v4};
use crate::snapshot::Snapshot;
use crate::transition::Event;
use crate::wire::ethernet::EtherType;
use crate::wire::field::window;
use crate::wire::ipv4::protocol;
use crate::wire::ports::Ports;
use crate::wire::tcp::Flags;
use crate::wire::{MacAddress, ethernet, ipv4, ipv6, tcp, udp};

/// Where the transport header of a plain frame is.
const TRANSPORT_V4: usize = ethernet::HEADER_LEN + ipv4::HEADER_LEN;
const TRANSPORT_V6: usize = ethernet::HEADER_LEN + ipv6::HEADER_LEN;

/// From the start of TCP's header.
const FLAGS: usize = tcp::HEADER_LEN - 7;

/// The shortest frame on Ethernet without FCS: up to there, what is behind a packet is padding.
const FRAME_LEN_MIN: usize = 60;

/// From which end of a connection a frame comes, as far as its destination tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// From a client, to the director, by IPv4.
    Client,
    /// To an address that is not the director's: from a real server of NAT, by IPv4.
    Server,
    /// The same by IPv6.
    ClientV6,
    ServerV6,
    /// Not plain: to be read in full.
    Unknown,
}

impl Side {
    /// Whether it is that of a real server.
    #[inline(always)]
    const fn is_reply(self) -> bool {
        matches!(self, Self::Server | Self::ServerV6)
    }
}

/// What was seen of a frame. It is plain if it is untagged, to this interface, IPv4 without options
/// or IPv6 without extension headers, whole, TCP but for a SYN, or UDP, with nothing behind the
/// packet but padding, its client may be one host, and it is not for the host's kernel by its
/// port. Of others nothing is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Glance {
    pub(crate) side: Side,
    pub(crate) protocol: u8,
    /// Of TCP.
    pub(crate) flags: Flags,
    pub(crate) ttl: u8,
    /// Bytes of the IP packet.
    pub(crate) length: u16,
    /// The entry that is most likely the connection's.
    pub(crate) flow: FlowId,
    /// Of the client's end, and the bucket that it chooses.
    pub(crate) hash: u64,
    pub(crate) home: Home,
    /// What an entry says that is the connection's. IPv4: [`client_word_v4`], and [`end_word_v4`]
    /// of the end that is not the client's. IPv6: [`client_word_v6`], and the port of that end;
    /// the addresses stay in the frame.
    pub(crate) client: u64,
    pub(crate) other: u64,
}

impl Glance {
    /// Of a frame that is not plain.
    pub(crate) const UNKNOWN: Self = Self {
        side: Side::Unknown,
        protocol: 0,
        flags: Flags(0),
        ttl: 0,
        length: 0,
        flow: FlowId::NONE,
        hash: 0,
        home: Home::NONE,
        client: 0,
        other: 0,
    };

    /// Whether the frame is plain.
    #[inline(always)]
    pub(crate) fn is_plain(&self) -> bool {
        self.side != Side::Unknown
    }

    /// The same, of IPv4.
    #[inline(always)]
    pub(crate) fn is_plain_v4(&self) -> bool {
        matches!(self.side, Side::Client | Side::Server)
    }

    /// What of it moves the connection's state.
    #[inline(always)]
    pub(crate) fn event(&self) -> Event {
        let is_reply = self.side.is_reply();
        Event { protocol: self.protocol, is_reply, flags: self.flags, chunk: 0 }
    }

    /// Ports of the two ends of an IPv6 packet.
    #[expect(clippy::cast_possible_truncation, reason = "fields are cut out of words")]
    pub(crate) const fn ports_v6(&self) -> (u16, u16) {
        ((self.client >> 32) as u16, self.other as u16)
    }

    /// Looks at a frame that came in by the interface with this address, and asks for the bucket
    /// of its connection.
    #[inline(always)]
    pub(crate) fn look(
        &mut self,
        frame: &[u8],
        mac: MacAddress,
        snapshot: &Snapshot,
        flows: &FlowTable,
    ) {
        if self.read_v4(frame, mac, snapshot, flows).is_none() {
            self.look_further(frame, mac, snapshot, flows);
        }
    }

    #[inline(never)]
    fn look_further(
        &mut self,
        frame: &[u8],
        mac: MacAddress,
        snapshot: &Snapshot,
        flows: &FlowTable,
    ) {
        if self.read_v6(frame, mac, snapshot, flows).is_none() {
            self.side = Side::Unknown;
        }
    }

    #[inline(always)]
    fn read_v4(
        &mut self,
        frame: &[u8],
        mac: MacAddress,
        snapshot: &Snapshot,
        flows: &FlowTable,
    ) -> Option<()> {
        let head: &[u8; TRANSPORT_V4 + udp::HEADER_LEN] = frame.first_chunk()?;
        let link = ethernet::Header::over(window(head, 0)?);
        let header = ipv4::Header::over(window(head, ethernet::HEADER_LEN)?);
        let (protocol, length) = (header.protocol(), header.total_length());
        let flags = flags(frame, TRANSPORT_V4, protocol)?;
        let is_plain = link.destination() == mac
            && link.ether_type() == EtherType::IPV4
            && header.is_without_options()
            && !header.is_fragment()
            && fits(frame, TRANSPORT_V4, protocol, ethernet::HEADER_LEN + usize::from(length))
            && header.verify_checksum();
        if !is_plain {
            return None;
        }
        let ports = Ports::over(window(head, TRANSPORT_V4)?);
        if snapshot.punt_rules.take(protocol, [ports.source(), ports.destination()]) {
            return None;
        }
        let from = (header.source().to_bits(), ports.source());
        let to = (header.destination().to_bits(), ports.destination());
        let is_reply = snapshot.tells_apart && !snapshot.may_be_local(header.destination().into());
        let (side, client, other) =
            if is_reply { (Side::Server, to, from) } else { (Side::Client, from, to) };
        // No connection has the director itself for its client, nor a group; who says so is told
        // what is wrong with it elsewhere.
        let is_host = client.0.wrapping_sub(1 << 24) < 223 << 24 && client.0 >> 24 != 127;
        if !is_host {
            return None;
        }
        let hash = flows.hash_v4(protocol, client.0, client.1);
        let home = flows.prefetch_bucket(hash);
        *self = Self {
            side,
            protocol,
            flags,
            ttl: header.ttl(),
            length,
            flow: FlowId::NONE,
            hash,
            home,
            client: client_word_v4(protocol, client.0, client.1),
            other: end_word_v4(other.0, other.1),
        };
        Some(())
    }

    #[inline(always)]
    fn read_v6(
        &mut self,
        frame: &[u8],
        mac: MacAddress,
        snapshot: &Snapshot,
        flows: &FlowTable,
    ) -> Option<()> {
        let head: &[u8; TRANSPORT_V6 + udp::HEADER_LEN] = frame.first_chunk()?;
        let link = ethernet::Header::over(window(head, 0)?);
        let header = ipv6::Header::over(window(head, ethernet::HEADER_LEN)?);
        let protocol = header.next_header();
        let length = header.payload_length().checked_add(HEADER_LEN_V6)?;
        let flags = flags(frame, TRANSPORT_V6, protocol)?;
        let (source, destination) = (header.source(), header.destination());
        let is_plain = link.destination() == mac
            && link.ether_type() == EtherType::IPV6
            && header.version() == 6
            && fits(frame, TRANSPORT_V6, protocol, ethernet::HEADER_LEN + usize::from(length))
            && ipv6::is_single_host(source)
            && ipv6::is_single_host(destination);
        if !is_plain {
            return None;
        }
        let ports = Ports::over(window(head, TRANSPORT_V6)?);
        if snapshot.punt_rules.take(protocol, [ports.source(), ports.destination()]) {
            return None;
        }
        let from = (Address::from(source), ports.source());
        let to = (Address::from(destination), ports.destination());
        let is_reply = snapshot.tells_apart && !snapshot.may_be_local(to.0);
        let (side, client, other) =
            if is_reply { (Side::ServerV6, to, from) } else { (Side::ClientV6, from, to) };
        let hash = flows.hash(protocol, client.0, client.1);
        let home = flows.prefetch_bucket(hash);
        *self = Self {
            side,
            protocol,
            flags,
            ttl: header.hop_limit(),
            length,
            flow: FlowId::NONE,
            hash,
            home,
            client: client_word_v6(protocol, client.1),
            other: other.1.into(),
        };
        Some(())
    }
}

#[expect(clippy::cast_possible_truncation, reason = "40")]
const HEADER_LEN_V6: u16 = ipv6::HEADER_LEN as u16;

/// The flags of a plain packet's TCP, none of UDP. A SYN begins connections, so it is not plain.
#[inline(always)]
fn flags(frame: &[u8], transport: usize, protocol: u8) -> Option<Flags> {
    match protocol {
        protocol::TCP => {
            let flags = Flags(*frame.get(transport + FLAGS)?);
            (!flags.contains(Flags::SYN)).then_some(flags)
        }
        protocol::UDP => Some(Flags(0)),
        _ => None,
    }
}

/// Whether a packet that ends at `end` of the frame has its transport header, and is all that is
/// in the frame but for padding.
#[inline(always)]
fn fits(frame: &[u8], transport: usize, protocol: u8, end: usize) -> bool {
    let header = if protocol == protocol::TCP { tcp::HEADER_LEN } else { udp::HEADER_LEN };
    end >= transport + header && end <= frame.len() && frame.len() <= end.max(FRAME_LEN_MIN)
}
