//! SIP messages that begin connections: from clients, and from real servers.

use super::call_id;
use crate::burst::Burst;
use crate::connection::{Connections, Decision, count_out};
use crate::destination::ForwardingMethod;
use crate::director::Director;
use crate::drops::DropReason;
use crate::flow::{FlowId, FlowKey, FlowState, NewFlow};
use crate::parse::Packet;
use crate::persistence::{Wanted, find, hold};
use crate::protocol::Protocol;
use crate::schedule::Occasion;
use crate::service::ServiceKey;
use crate::slots::DestinationId;
use crate::state::{State, UdpState};
use crate::virtual_service::{RealServer, VirtualService};
use crate::wire::udp;

impl Connections {
    /// Begins a connection whose service looks into the payload ([`Decision::Inspect`]).
    #[cold]
    pub fn begin_message(
        &mut self,
        burst: &Burst<'_>,
        packet: &mut Packet,
        frame: &[u8],
    ) -> Decision {
        let call = payload(frame, packet).and_then(call_id);
        if packet.is_reply {
            return self.begin_call(burst, packet, call).unwrap_or(Decision::Route);
        }
        self.begin(burst, packet, Occasion::Message(call))
    }

    /// A real server begins a connection (`ip_vs_new_conn_out`): its packet leaves from the
    /// virtual service. `None` where it does not, and the packet is merely routed.
    fn begin_call(
        &mut self,
        burst: &Burst<'_>,
        packet: &mut Packet,
        call: Option<&[u8]>,
    ) -> Option<Decision> {
        let &Burst { director, snapshot, counters, now, .. } = burst;
        let (service, server) =
            snapshot.services.caller(packet.protocol, packet.source, packet.source_port)?;
        // First of all: what is held has to be let go.
        let (virtual_address, virtual_port) = virtual_end(service)?;
        let template = match self.template_of_call(burst, packet, (service, server), call)? {
            Ok(template) => template,
            Err(decision) => return Some(decision),
        };
        let state = State::Udp(UdpState::Normal);
        let first = FlowState::new(state.number(), ForwardingMethod::Masquerading, false);
        let flow = NewFlow {
            key: FlowKey {
                protocol: packet.protocol,
                client: packet.destination,
                client_port: packet.destination_port,
                virtual_address,
                virtual_port,
            },
            state: if service.one_packet { first.alone() } else { first },
            deadline: now.plus_seconds(snapshot.timeouts.of(state)),
            destination: server,
            server: packet.source,
            server_port: packet.source_port,
            created: now,
            controller: template,
            lifetime_s: 0,
            salt: 0,
        };
        let made = if service.one_packet {
            self.make_alone(director, &flow).map(|id| (id, true))
        } else {
            self.insert_newest(burst, packet.hash, &flow)
        };
        let Some((id, is_new)) = made else {
            director.control(template, false);
            return Some(Decision::Drop(DropReason::TableFull));
        };
        if service.one_packet || !is_new {
            director.control(template, false);
        }
        if is_new {
            counters.destination(server).connections.add(1);
        }
        if template.is_some() {
            director.assure(template);
        }
        count_out(counters, server, packet.length);
        packet.flow = id;
        Some(Decision::Return)
    }

    /// Inserts a connection in the place of one that leads the same ends to another server: the
    /// newest wins, as in the kernel, where both stay.
    fn insert_newest(
        &mut self,
        burst: &Burst<'_>,
        hash: u64,
        flow: &NewFlow,
    ) -> Option<(FlowId, bool)> {
        let &Burst { director, counters, .. } = burst;
        let (id, is_new) = self.insert(director, counters, hash, flow)?;
        if is_new || director.flows.entry(id).destination() == flow.destination {
            return Some((id, is_new));
        }
        self.end(director, counters, id);
        self.insert(director, counters, hash, flow)
    }

    /// The template of a real server's message, held; that of nobody, where the service is not
    /// persistent. `None` where it should have one, and has no Call-ID.
    fn template_of_call(
        &mut self,
        burst: &Burst<'_>,
        packet: &Packet,
        (service, server): (&VirtualService, DestinationId),
        call: Option<&[u8]>,
    ) -> Option<Result<FlowId, Decision>> {
        let director: &Director = burst.director;
        let Some(persistence) = service.persistence else { return Some(Ok(FlowId::NONE)) };
        let client = persistence.masked(packet.destination);
        let end = virtual_end(service)?;
        let wanted = Wanted::of_ends(director, packet.protocol, client, end, Some(call?));
        let known = find(director, &wanted, &burst.snapshot.settings, Some(server));
        let held = known.filter(|&id| hold(director, id, &wanted));
        if let Some(id) = held {
            // As the kernel: the message restarts the timer.
            let entry = director.flows.entry(id);
            entry.set_deadline(burst.now.plus_seconds(entry.lifetime_s()));
            return Some(Ok(id));
        }
        let real = RealServer {
            address: packet.source,
            port: packet.source_port,
            method: ForwardingMethod::Masquerading,
        };
        let made = self.make_template(burst, persistence, &wanted, server, &real);
        Some(made.ok_or(Decision::Drop(DropReason::TableFull)))
    }
}

fn virtual_end(service: &VirtualService) -> Option<(crate::address::Address, u16)> {
    match service.key {
        ServiceKey::Address { address, port, .. } => Some((address.into(), port)),
        ServiceKey::Mark { .. } => None,
    }
}

/// The payload of a UDP packet.
fn payload<'a>(frame: &'a [u8], packet: &Packet) -> Option<&'a [u8]> {
    if packet.protocol != Protocol::Udp.number() {
        return None;
    }
    let start = usize::from(packet.transport_offset) + udp::HEADER_LEN;
    let end = usize::from(packet.network_offset) + packet.length as usize;
    frame.get(start..end)
}
