//! Persistence: a client's next connection goes to the real server of the one before.
//!
//! A **template** is an entry of the flow table that no packet finds: protocol, masked client with
//! port 0, virtual end (which of them, depends on the service), real server. Connections under it
//! hold it; it ends when its timer has run out and none is left. In the kernel:
//! `ip_vs_sched_persist`, `ip_vs_check_template`.

use crate::address::Address;
use crate::burst::Burst;
use crate::connection::{Connections, Decision};
use crate::director::Director;
use crate::drops::DropReason;
use crate::flow::{FlowId, FlowKey, FlowState, NewFlow};
use crate::parse::Packet;
use crate::protocol::Protocol;
use crate::schedule::{Occasion, Plan, request};
use crate::services::FTP_PORT;
use crate::settings::Settings;
use crate::slots::DestinationId;
use crate::virtual_service::{Engine, Persistence, RealServer, VirtualService};

impl Connections {
    /// Where the client's template leads, or a new one that the scheduler chose for; `None` where
    /// no real server can take it.
    pub(crate) fn plan_by_template(
        &mut self,
        burst: &Burst<'_>,
        packet: &Packet,
        service: &VirtualService,
        persistence: Persistence,
        occasion: Occasion<'_>,
    ) -> Result<Option<Plan>, Decision> {
        let director = burst.director;
        let call = call_of(packet, service, occasion)?;
        let wanted = Wanted::of_request(director, packet, service, persistence, call);
        let known = find(director, &wanted, &burst.snapshot.settings, None);
        let held = known.filter(|&id| hold(director, id, &wanted));
        let template = match held {
            Some(id) => id,
            None => {
                let request = request(burst, packet, service);
                let Some((server, real)) = service.schedule(&request, &director.slots) else {
                    return Ok(None);
                };
                let has_port =
                    packet.destination_port == service.port() && service.port() != FTP_PORT;
                let real = RealServer { port: if has_port { real.port } else { 0 }, ..real };
                let made = self.make_template(burst, persistence, &wanted, server, &real);
                made.ok_or(Decision::Drop(DropReason::TableFull))?
            }
        };
        // Also of a new one: another worker may have made it first, for another real server.
        let (server, real) = destination_of(director, template, service);
        let entry = director.flows.entry(template);
        entry.set_deadline(burst.now.plus_seconds(entry.lifetime_s()));
        let is_service_port = packet.destination_port == service.port();
        let port =
            if is_service_port && real.port != 0 { real.port } else { packet.destination_port };
        Ok(Some(Plan { template, ..Plan::to(server, &real, port, service, packet) }))
    }

    /// Makes a template and holds it; `None` where there is no room.
    pub(crate) fn make_template(
        &mut self,
        burst: &Burst<'_>,
        persistence: Persistence,
        wanted: &Wanted<'_>,
        server: DestinationId,
        real: &RealServer,
    ) -> Option<FlowId> {
        let &Burst { director, counters, now, .. } = burst;
        let template = FlowState::template(real.method);
        let flow = NewFlow {
            key: wanted.key,
            state: if persistence.one_packet { template.alone() } else { template },
            deadline: now.plus_seconds(persistence.timeout_s),
            destination: server,
            server: real.address,
            server_port: real.port,
            created: now,
            controller: FlowId::NONE,
            lifetime_s: persistence.timeout_s,
            salt: wanted.salt,
        };
        let (id, is_new) = self.insert(director, counters, wanted.hash, &flow)?;
        if let Some(call) = wanted.call.filter(|_| is_new) {
            director.calls.remember(id, call);
        }
        hold(director, id, wanted).then_some(id)
    }
}

/// The Call-ID that a packet needs, if its service has the engine.
fn call_of<'a>(
    packet: &Packet,
    service: &VirtualService,
    occasion: Occasion<'a>,
) -> Result<Option<&'a [u8]>, Decision> {
    match (service.engine, occasion) {
        (None, _) => Ok(None),
        (Some(Engine::Sip), Occasion::Message(Some(call))) => Ok(Some(call)),
        (Some(Engine::Sip), Occasion::Packet) if packet.protocol == Protocol::Udp.number() => {
            Err(Decision::Inspect)
        }
        (Some(Engine::Sip), _) => Err(Decision::Drop(DropReason::NoCallId)),
    }
}

/// What a template is looked for by.
pub(crate) struct Wanted<'a> {
    key: FlowKey,
    hash: u64,
    salt: u32,
    call: Option<&'a [u8]>,
}

impl<'a> Wanted<'a> {
    /// The template of these ends.
    pub(crate) fn of_ends(
        director: &Director,
        protocol: u8,
        client: Address,
        (virtual_address, virtual_port): (Address, u16),
        call: Option<&'a [u8]>,
    ) -> Self {
        let key = FlowKey { protocol, client, client_port: 0, virtual_address, virtual_port };
        let hash = director.flows.hash(protocol, client, 0);
        let salt = call.map_or(0, |call| director.flows.salt_of(call));
        Self { key, hash: director.flows.salted(hash, salt), salt, call }
    }

    /// The template of a client's packet: of one port, of all ports of an address, or of a mark.
    fn of_request(
        director: &Director,
        packet: &Packet,
        service: &VirtualService,
        persistence: Persistence,
        call: Option<&'a [u8]>,
    ) -> Self {
        let is_service_port = packet.destination_port == service.port();
        let (protocol, virtual_end) = match service.mark() {
            Some(mark) if !is_service_port => (0, (mark_address(mark, packet), 0)),
            _ if is_service_port && service.port() != FTP_PORT => {
                (packet.protocol, (packet.destination, packet.destination_port))
            }
            _ => (packet.protocol, (packet.destination, 0)),
        };
        Self::of_ends(director, protocol, persistence.masked(packet.source), virtual_end, call)
    }
}

/// A mark in the place of the virtual address: in its first 32 bits.
const fn mark_address(mark: u32, packet: &Packet) -> Address {
    if packet.is_v4() { Address::v4(mark) } else { Address::from_bits((mark as u128) << 96) }
}

/// A usable template; with `only`, of that destination alone. One that is not becomes a tombstone,
/// which nobody finds again.
pub(crate) fn find(
    director: &Director,
    wanted: &Wanted<'_>,
    settings: &Settings,
    only: Option<DestinationId>,
) -> Option<FlowId> {
    let Wanted { key, hash, call, .. } = wanted;
    let is_call = |id| call.is_none_or(|call| director.calls.is(id, call));
    let id = director.flows.find_template(*hash, key, is_call)?;
    let destination = director.flows.entry(id).destination();
    let slot = director.slots.get(destination);
    let is_quiescent = settings.expire_quiescent_template && slot.weight() == 0;
    let is_other = only.is_some_and(|only| only != destination);
    if slot.is_available() && !is_quiescent && !is_other {
        return Some(id);
    }
    director.flows.bury_template(id, *hash, key);
    None
}

/// Holds a template for a connection, if it is still there.
pub(crate) fn hold(director: &Director, id: FlowId, wanted: &Wanted<'_>) -> bool {
    director.flows.hold_template(id, wanted.hash, &wanted.key)
}

/// Where a template leads. Its real server may be of another service than the packet's: one on the
/// same address has the same templates.
fn destination_of(
    director: &Director,
    id: FlowId,
    service: &VirtualService,
) -> (DestinationId, RealServer) {
    let entry = director.flows.entry(id);
    let server = entry.destination();
    let real = service.server(server).unwrap_or_else(|| RealServer {
        address: director.flows.server(id),
        port: entry.server_port(),
        method: entry.state().method(),
    });
    (server, real)
}
