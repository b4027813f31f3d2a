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
use crate::schedule::{Plan, request};
use crate::services::FTP_PORT;
use crate::settings::Settings;
use crate::slots::DestinationId;
use crate::virtual_service::{Persistence, RealServer, VirtualService};

/// What a template is looked for by.
struct Wanted {
    key: FlowKey,
    hash: u64,
    salt: u32,
}

impl Connections {
    /// Where the client's template leads, or a new one that the scheduler chose for; `None` where
    /// no real server can take it.
    pub(crate) fn plan_by_template(
        &mut self,
        burst: &Burst<'_>,
        packet: &Packet,
        service: &VirtualService,
        persistence: Persistence,
    ) -> Result<Option<Plan>, Decision> {
        let director = burst.director;
        let wanted = wanted(director, packet, service, persistence);
        let known = find(director, &wanted, &burst.snapshot.settings);
        let held = known.filter(|&id| hold(director, id, &wanted));
        let (template, server, real) = match held {
            Some(id) => {
                let (server, real) = destination_of(director, id, service);
                (id, server, real)
            }
            None => {
                let request = request(burst, packet, service);
                let Some((server, real)) = service.schedule(&request, &director.slots) else {
                    return Ok(None);
                };
                let made = self.make_template(
                    burst,
                    packet,
                    service,
                    persistence,
                    &wanted,
                    (server, real),
                );
                // Another worker may have made it first, for another real server.
                let id = made.ok_or(Decision::Drop(DropReason::TableFull))?;
                let (server, real) = destination_of(director, id, service);
                (id, server, real)
            }
        };
        let entry = director.flows.entry(template);
        entry.set_deadline(burst.now.plus_seconds(entry.lifetime_s()));
        let is_service_port = packet.destination_port == service.port();
        let port =
            if is_service_port && real.port != 0 { real.port } else { packet.destination_port };
        Ok(Some(Plan { template, ..Plan::to(server, &real, port, service, packet) }))
    }

    /// Makes a template and holds it; `None` where there is no room.
    fn make_template(
        &mut self,
        burst: &Burst<'_>,
        packet: &Packet,
        service: &VirtualService,
        persistence: Persistence,
        wanted: &Wanted,
        (server, real): (DestinationId, RealServer),
    ) -> Option<FlowId> {
        let &Burst { director, counters, now, .. } = burst;
        let has_port = packet.destination_port == service.port() && service.port() != FTP_PORT;
        let flow = NewFlow {
            key: wanted.key,
            state: FlowState::template(real.method),
            deadline: now.plus_seconds(persistence.timeout_s),
            destination: server,
            server: real.address,
            server_port: if has_port { real.port } else { 0 },
            created: now,
            controller: FlowId::NONE,
            lifetime_s: persistence.timeout_s,
            salt: wanted.salt,
        };
        let (id, _) = self.insert(director, counters, wanted.hash, &flow)?;
        hold(director, id, wanted).then_some(id)
    }
}

/// The template of a packet: of one port, of all ports of an address, or of a mark.
fn wanted(
    director: &Director,
    packet: &Packet,
    service: &VirtualService,
    persistence: Persistence,
) -> Wanted {
    let is_service_port = packet.destination_port == service.port();
    let (protocol, virtual_address, virtual_port) = match service.mark() {
        Some(mark) if !is_service_port => (0, mark_address(mark, packet), 0),
        _ if is_service_port && service.port() != FTP_PORT => {
            (packet.protocol, packet.destination, packet.destination_port)
        }
        _ => (packet.protocol, packet.destination, 0),
    };
    let client = persistence.masked(packet.source);
    let key = FlowKey { protocol, client, client_port: 0, virtual_address, virtual_port };
    let hash = director.flows.hash(protocol, client, 0);
    Wanted { key, hash, salt: 0 }
}

/// A mark in the place of the virtual address: in its first 32 bits.
const fn mark_address(mark: u32, packet: &Packet) -> Address {
    if packet.is_v4() { Address::v4(mark) } else { Address::from_bits((mark as u128) << 96) }
}

/// A usable template. One that is not becomes a tombstone, which nobody finds again.
fn find(director: &Director, wanted: &Wanted, settings: &Settings) -> Option<FlowId> {
    let Wanted { key, hash, .. } = wanted;
    let id = director.flows.find_template(*hash, key, |_| true)?;
    let slot = director.slots.get(director.flows.entry(id).destination());
    let is_quiescent = settings.expire_quiescent_template && slot.weight() == 0;
    if slot.is_available() && !is_quiescent {
        return Some(id);
    }
    director.flows.bury_template(id, *hash, key);
    None
}

/// Holds a template for a connection, if it is still there.
fn hold(director: &Director, id: FlowId, wanted: &Wanted) -> bool {
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
