//! FTP control connections on the packet path: what the ends say is read, and rewritten where it
//! names an address (`ip_vs_ftp_in`, `ip_vs_ftp_out`, `tcp_snat_handler`).

use std::net::IpAddr;

use super::data::{Control, DataConnection};
use super::message::{ClientCommand, Mode, client_command, server_reply};
use super::rewrite::{Replacement, TEXT_MAX};
use crate::burst::Burst;
use crate::destination::ForwardingMethod;
use crate::flow::{FlowId, FlowState, NewFlow};
use crate::forward;
use crate::frame::Frame;
use crate::parse::Packet;
use crate::protocol::Protocol;
use crate::service::Family;
use crate::state::TcpState;
use crate::wire::checksum;
use crate::wire::field::window_mut;
use crate::wire::tcp;
use crate::workbench::Workbench;

/// The port of control connections (the kernel's `ip_vs_ftp.ports`).
const CONTROL_PORT: u16 = 21;

/// Whether a new connection is one whose payload has to be read.
pub(crate) fn is_control(packet: &Packet, method: ForwardingMethod) -> bool {
    method == ForwardingMethod::Masquerading
        && packet.protocol == Protocol::Tcp.number()
        && packet.destination_port == CONTROL_PORT
        && !packet.is_fragment
}

impl Burst<'_> {
    /// Reads what the client says, and puts its acknowledgements right. `None` for a segment that
    /// has to be dropped.
    #[cold]
    pub(crate) fn ftp_command<F: Frame>(
        &self,
        frame: &mut F,
        packet: &Packet,
        bench: &mut Workbench,
    ) -> Option<()> {
        let segment = Segment::of(frame.bytes(), packet)?;
        let payload = segment.payload(frame.bytes())?;
        if self.is_established(packet.flow)
            && let Some(command) = client_command(payload, family(packet))
        {
            self.director.ftp.with(packet.flow, |session| session.mode = command.mode());
            if let ClientCommand::DataPort(endpoint) = command {
                let data = DataConnection::active(&self.control(packet.flow)?, &endpoint);
                self.expect(&data, packet, bench);
            }
        }
        let shift = self.director.ftp.with(packet.flow, |session| session.shift);
        if shift.is_idle() {
            return Some(());
        }
        let bytes = frame.bytes_mut();
        let options = bytes.get_mut(segment.start + tcp::HEADER_LEN..segment.payload_start)?;
        shift.adjust_sack(options)?;
        let mut header = tcp::Header::over(window_mut(bytes, segment.start)?);
        header.set_acknowledgement(shift.adjust_ack(header.acknowledgement()));
        segment.fill_checksum(bytes, packet)
    }

    /// Reads what the server says: an address of its own becomes the virtual one, and sequence
    /// numbers follow the length. `None` for a segment that has to be dropped.
    #[cold]
    pub(crate) fn ftp_reply<F: Frame>(
        &self,
        frame: &mut F,
        packet: &mut Packet,
        bench: &mut Workbench,
    ) -> Option<()> {
        if forward::is_dressed(frame.bytes(), packet) {
            forward::strip(frame, packet);
        }
        let mut segment = Segment::of(frame.bytes(), packet)?;
        let payload = segment.payload(frame.bytes())?;
        let sequence = segment.sequence(frame.bytes())?;
        let director = self.director;
        let mode = director.ftp.with(packet.flow, |session| session.mode);
        if mode != Mode::Active
            && self.is_established(packet.flow)
            && let Some(endpoint) = server_reply(payload, mode, family(packet))
        {
            let control = self.control(packet.flow)?;
            let data = DataConnection::passive(&control, &endpoint);
            self.expect(&data, packet, bench);
            let text = Replacement::of(&endpoint, data.virtual_end)?;
            let length = payload.len();
            let room = segment.payload_start + length + TEXT_MAX;
            let old_end = segment.payload_start + length;
            let length = frame.resize(room).then(|| {
                let buffer = frame.bytes_mut().get_mut(segment.payload_start..)?;
                text.apply(buffer, length)
            })??;
            let end = segment.payload_start + length;
            let _shorter = frame.resize(end.max(60));
            debug_assert!(old_end.abs_diff(end) <= TEXT_MAX);
            segment.end = end;
            packet.set_length(frame.bytes_mut(), end)?;
            director.ftp.with(packet.flow, |session| session.shift.note(sequence, text.delta()));
        }
        let shift = director.ftp.with(packet.flow, |session| session.shift);
        if shift.is_idle() {
            return Some(());
        }
        let bytes = frame.bytes_mut();
        let mut header = tcp::Header::over(window_mut(bytes, segment.start)?);
        header.set_sequence(shift.adjust_seq(sequence));
        segment.fill_checksum(bytes, packet)
    }

    fn is_established(&self, id: FlowId) -> bool {
        self.director.flows.entry(id).state().number() == TcpState::Established.number()
    }

    fn control(&self, id: FlowId) -> Option<Control> {
        let flows = &self.director.flows;
        let key = flows.key(id)?;
        Some(Control {
            client: key.client.to_ip(),
            virtual_end: (key.virtual_address.to_ip(), key.virtual_port),
            server: (flows.server(id).to_ip(), flows.entry(id).server_port()),
        })
    }

    /// Makes the entry of a data connection that is to come.
    fn expect(&self, data: &DataConnection, packet: &Packet, bench: &mut Workbench) {
        let director = self.director;
        let state =
            FlowState::new(TcpState::Listen.number(), ForwardingMethod::Masquerading, false);
        let state = if data.client_port.is_some() { state } else { state.without_client_port() };
        let key = crate::flow::FlowKey {
            protocol: Protocol::Tcp.number(),
            client: data.client.into(),
            client_port: data.client_port.unwrap_or(0),
            virtual_address: data.virtual_end.0.into(),
            virtual_port: data.virtual_end.1,
        };
        let flow = NewFlow {
            key,
            state,
            deadline: self.now.plus_seconds(self.snapshot.timeouts.tcp(TcpState::Listen)),
            destination: director.flows.entry(packet.flow).destination(),
            server: data.server.0.into(),
            server_port: data.server.1,
            created: self.now,
            controller: packet.flow,
            lifetime_s: 0,
            salt: 0,
        };
        let hash = director.flows.hash(key.protocol, key.client, key.client_port);
        let inserted = bench.connections.insert(director, self.counters, hash, &flow);
        if let Some((_, true)) = inserted {
            director.control(packet.flow, true);
        }
    }
}

const fn family(packet: &Packet) -> Family {
    if packet.is_v4() { Family::V4 } else { Family::V6 }
}

/// Where a whole TCP segment is in its frame.
struct Segment {
    start: usize,
    payload_start: usize,
    end: usize,
}

impl Segment {
    /// Of a segment whose checksum is right: with a wrong one nothing in it can be believed.
    fn of(frame: &[u8], packet: &Packet) -> Option<Self> {
        let start = usize::from(packet.transport_offset);
        let end = usize::from(packet.network_offset) + packet.length as usize;
        let bytes = frame.get(start..end)?;
        let segment = tcp::Segment::check(bytes).ok()?;
        let payload_start = end - segment.payload.len();
        let is_right = match (packet.source.to_ip(), packet.destination.to_ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                checksum::verify_transport_v4(from, to, packet.protocol, bytes)
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                checksum::verify_transport_v6(from, to, packet.protocol, bytes)
            }
            _ => false,
        };
        is_right.then_some(Self { start, payload_start, end })
    }

    fn payload<'a>(&self, frame: &'a [u8]) -> Option<&'a [u8]> {
        frame.get(self.payload_start..self.end)
    }

    fn sequence(&self, frame: &[u8]) -> Option<u32> {
        Some(tcp::Header::over(crate::wire::field::window(frame, self.start)?).sequence())
    }

    /// Works out the checksum anew, with the addresses that the packet has now.
    fn fill_checksum(&self, frame: &mut [u8], packet: &Packet) -> Option<()> {
        let bytes = frame.get_mut(self.start..self.end)?;
        tcp::Header::over(window_mut(bytes, 0)?).set_checksum(0);
        let sum = match (packet.source.to_ip(), packet.destination.to_ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                checksum::transport_v4(from, to, packet.protocol, bytes)
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                checksum::transport_v6(from, to, packet.protocol, bytes)
            }
            _ => return None,
        };
        tcp::Header::over(window_mut(bytes, 0)?).set_checksum(sum);
        Some(())
    }
}

impl Packet {
    /// The packet ends elsewhere in its frame now: its header says so.
    fn set_length(&mut self, frame: &mut [u8], end: usize) -> Option<()> {
        use crate::wire::checksum::Difference;
        use crate::wire::{ipv4, ipv6};
        let offset = usize::from(self.network_offset);
        let length = u16::try_from(end - offset).ok()?;
        self.length = u32::from(length);
        if self.is_v4() {
            let mut header = ipv4::Header::over(window_mut(frame, offset)?);
            let old = header.total_length();
            header.set_total_length(length);
            header.update_checksum(Difference::NONE.u16(old, length));
        } else {
            let mut header = ipv6::Header::over(window_mut(frame, offset)?);
            let headers = u16::try_from(ipv6::HEADER_LEN).ok()?;
            header.set_payload_length(length.checked_sub(headers)?);
        }
        Some(())
    }
}
