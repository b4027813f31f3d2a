//! What a frame is at first glance: the frames that most are, told from all others.

use crate::flow::{FlowId, FlowTable, client_word_v4, end_word_v4};
use crate::snapshot::Snapshot;
use crate::transition::Event;
use crate::wire::ethernet::EtherType;
use crate::wire::field::window;
use crate::wire::ipv4::protocol;
use crate::wire::ports::Ports;
use crate::wire::tcp::Flags;
use crate::wire::{MacAddress, ethernet, ipv4, tcp, udp};

/// Where the transport header of a plain frame is.
const TRANSPORT: usize = ethernet::HEADER_LEN + ipv4::HEADER_LEN;

/// What of a frame is looked at, but for the flags of TCP.
const HEAD_LEN: usize = TRANSPORT + udp::HEADER_LEN;

/// Where those are.
const FLAGS: usize = TRANSPORT + tcp::HEADER_LEN - 7;

/// The shortest frame on Ethernet without FCS: up to there, what is behind a packet is padding.
const FRAME_LEN_MIN: usize = 60;

/// From which end of a connection a frame comes, as far as its destination tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// From a client, to the director.
    Client,
    /// To an address that is not the director's: from a real server of NAT.
    Server,
    /// Not plain: to be read in full.
    Unknown,
}

/// What was seen of a frame. It is plain if it is untagged, to this interface, IPv4 without
/// options, whole, TCP or UDP, with nothing behind the packet but padding, and its client may be
/// one host. Of others nothing is known.
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
    /// Of the client's end.
    pub(crate) hash: u64,
    /// What an entry says that is the connection's: [`client_word_v4`], and [`end_word_v4`] of
    /// the end that is not the client's.
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
        client: 0,
        other: 0,
    };

    /// Whether the frame is plain.
    #[inline(always)]
    pub(crate) fn is_plain(&self) -> bool {
        self.side != Side::Unknown
    }

    /// What of it moves the connection's state.
    #[inline(always)]
    pub(crate) fn event(&self) -> Event {
        let is_reply = self.side == Side::Server;
        Event { protocol: self.protocol, is_reply, flags: self.flags, chunk: 0 }
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
        if self.read(frame, mac, snapshot, flows).is_none() {
            self.side = Side::Unknown;
        }
    }

    #[inline(always)]
    fn read(
        &mut self,
        frame: &[u8],
        mac: MacAddress,
        snapshot: &Snapshot,
        flows: &FlowTable,
    ) -> Option<()> {
        let head: &[u8; HEAD_LEN] = frame.first_chunk()?;
        let link = ethernet::Header::over(window(head, 0)?);
        let header = ipv4::Header::over(window(head, ethernet::HEADER_LEN)?);
        let ports = Ports::over(window(head, TRANSPORT)?);
        let (protocol, length) = (header.protocol(), header.total_length());
        let least = match protocol {
            protocol::TCP => TRANSPORT + tcp::HEADER_LEN,
            protocol::UDP => HEAD_LEN,
            _ => return None,
        };
        let end = ethernet::HEADER_LEN + usize::from(length);
        let is_plain = link.destination() == mac
            && link.ether_type() == EtherType::IPV4
            && header.is_without_options()
            && !header.is_fragment()
            && end >= least
            && end <= frame.len()
            && frame.len() <= end.max(FRAME_LEN_MIN)
            && header.verify_checksum();
        if !is_plain {
            return None;
        }
        let from = (header.source().to_bits(), ports.source());
        let to = (header.destination().to_bits(), ports.destination());
        let is_reply = snapshot.tells_apart && !snapshot.may_be_local(header.destination().into());
        let (side, client, other) =
            if is_reply { (Side::Server, to, from) } else { (Side::Client, from, to) };
        // No connection has the director itself for its client, nor a group; who says so is told
        // what is wrong with it elsewhere.
        let first = client.0 >> 24;
        if !(1..224).contains(&first) || first == 127 {
            return None;
        }
        let hash = flows.hash_v4(protocol, client.0, client.1);
        flows.prefetch_bucket(hash);
        *self = Self {
            side,
            protocol,
            flags: Flags(frame.get(FLAGS).copied().unwrap_or_default()),
            ttl: header.ttl(),
            length,
            flow: FlowId::NONE,
            hash,
            client: client_word_v4(protocol, client.0, client.1),
            other: end_word_v4(other.0, other.1),
        };
        Some(())
    }
}
