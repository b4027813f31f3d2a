//! Stage 4: what a packet does to its connection, or that it begins one.

use crate::burst::Burst;
use crate::counters::WorkerCounters;
use crate::destination::ForwardingMethod;
use crate::director::Director;
use crate::drops::DropReason;
use crate::flow::{EntryCache, FlowId, FlowKey, FlowState, Inserted, Limbo, NewFlow};
use crate::parse::Packet;
use crate::protocol::Protocol;
use crate::sched::Request;
use crate::slots::{DestinationId, DestinationSlot};
use crate::snapshot::Snapshot;
use crate::state::{Direction, SctpEvent, SctpState, TcpState};
use crate::transition::{first_state, follow, keeps_established, timeout_s};
use crate::virtual_service::RealServer;
use crate::ways::Way;
use crate::wire::sctp;
use crate::wire::tcp::Flags;

/// What is to become of a packet that may belong to a connection: which one, and where it goes, is
/// in the packet then (`flow`, `server`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It goes to the destination of its connection.
    Forward,
    /// It goes back to the client of its connection.
    Return,
    /// It is for another host.
    Route,
    /// It is for the director, and no service wants it.
    Local(DropReason),
    Drop(DropReason),
}

/// What one worker needs to begin and end connections.
#[derive(Debug, Default)]
pub struct Connections {
    free: EntryCache,
    limbo: Limbo,
}

impl Connections {
    /// Burst boundary: gives back ended entries that nobody holds any more.
    #[inline]
    pub fn release(&mut self, director: &Director) {
        if !self.limbo.is_empty() {
            self.limbo.release(&director.flows, &director.epochs);
        }
    }

    /// The worker stops.
    pub fn stop(&mut self, director: &Director) {
        self.free.drain(&director.flows);
        self.limbo.release(&director.flows, &director.epochs);
    }

    /// Finds the packet's connection, or begins one, and moves its state.
    ///
    /// The order of questions is `ip_vs_in_hook`'s.
    #[inline]
    pub fn decide(&mut self, burst: &Burst<'_>, packet: &mut Packet) -> Decision {
        let &Burst { director, snapshot, counters, now, .. } = burst;
        if !snapshot.punt_rules.is_empty() && snapshot.punts(packet) {
            return Decision::Local(DropReason::NoService);
        }
        if packet.is_reply {
            return self.decide_reply(burst, packet);
        }
        let Some(id) = find(director, packet) else {
            return self.decide_unknown(burst, packet);
        };
        let entry = director.flows.entry(id);
        let state = entry.state();
        let server = entry.destination();
        let slot = director.slots.get(server);
        if director.is_over(id, now) {
            // Its time is over, and the sweeper has not come by yet.
            return self.decide_expired(burst, packet, id);
        }
        if begins_anew(state, snapshot, packet, slot) {
            return self.begin_anew(burst, packet, id);
        }
        if !slot.is_available() {
            return self.without_server(burst, packet, id);
        }
        entry.set_deadline(if keeps_established(state, packet) {
            burst.established_until
        } else {
            let state = follow(entry, state, slot, packet);
            now.plus_seconds(timeout_s(snapshot, packet, state.number()))
        });
        count_in(counters, server, packet);
        (packet.flow, packet.server) = (id, server);
        Decision::Forward
    }

    /// A packet that is for nobody here by its destination: from a real server to a client, or
    /// merely on its way.
    #[inline]
    fn decide_reply(&mut self, burst: &Burst<'_>, packet: &mut Packet) -> Decision {
        let &Burst { director, snapshot, counters, now, .. } = burst;
        if packet.ttl <= 1 {
            // The kernel's router looks before IPVS does.
            return Decision::Route;
        }
        let Some(id) = find_reply(director, packet) else { return Decision::Route };
        let entry = director.flows.entry(id);
        if entry.way_back(burst.ways.generation()).is_none()
            && burst.ways.to(packet.destination) == Way::None
        {
            // So it does here.
            return Decision::Route;
        }
        if director.is_over(id, now) {
            let _by_us = director.end_connection(id, &mut self.limbo, counters);
            return Decision::Route;
        }
        let (state, server) = (entry.state(), entry.destination());
        entry.set_deadline(if keeps_established(state, packet) {
            burst.established_until
        } else {
            let state = follow(entry, state, director.slots.get(server), packet);
            now.plus_seconds(timeout_s(snapshot, packet, state.number()))
        });
        let tally = counters.destination(server);
        tally.packets_out.add(1);
        tally.bytes_out.add(u64::from(packet.length));
        packet.flow = id;
        Decision::Return
    }

    /// No connection by its source. Where the director is asked, a new one may begin.
    #[inline(never)]
    fn decide_unknown(&mut self, burst: &Burst<'_>, packet: &mut Packet) -> Decision {
        let &Burst { director, snapshot, .. } = burst;
        if !snapshot.is_local(packet.destination) {
            // Taken for a packet to the director by mistake: see `Snapshot::may_be_local`.
            let mut reply = *packet;
            reply.is_reply = true;
            reply.flow = FlowId::NONE;
            let (protocol, client, port) = reply.client();
            reply.hash = director.flows.hash(protocol, client, port);
            let decision = self.decide_reply(burst, &mut reply);
            packet.flow = reply.flow;
            return decision;
        }
        if director.flows.lacking_client_port() > 0
            && let Some(decision) = self.adopt_client_port(burst, packet)
        {
            return decision;
        }
        self.begin(burst, packet)
    }

    fn decide_expired(&mut self, burst: &Burst<'_>, packet: &mut Packet, id: FlowId) -> Decision {
        burst.director.end_connection(id, &mut self.limbo, burst.counters);
        self.decide_unknown(burst, packet)
    }

    /// A SYN gives up the connection that it was found for. The old one counts until the new one
    /// does, for the scheduler and for thresholds: the kernel ends it by its timer, a moment later.
    #[cold]
    fn begin_anew(&mut self, burst: &Burst<'_>, packet: &mut Packet, old: FlowId) -> Decision {
        let &Burst { director, counters, .. } = burst;
        let picked = pick(burst, packet);
        let removed = director.flows.remove(old);
        let decision = self.schedule(burst, packet, picked);
        if removed {
            director.settle_connection(old, &mut self.limbo, counters);
        }
        decision
    }

    /// The server of the connection was removed: the packet is dropped and the connection waits
    /// for the server's return, or, with `expire_nodest_conn`, the connection ends.
    #[cold]
    fn without_server(&mut self, burst: &Burst<'_>, packet: &mut Packet, id: FlowId) -> Decision {
        if !burst.snapshot.settings.expire_nodest_conn {
            return Decision::Drop(DropReason::DestinationRemoved);
        }
        self.decide_expired(burst, packet, id)
    }

    /// Begins a connection, if the packet may and a service wants it.
    fn begin(&mut self, burst: &Burst<'_>, packet: &mut Packet) -> Decision {
        let picked = pick(burst, packet);
        self.schedule(burst, packet, picked)
    }

    fn schedule(&mut self, burst: &Burst<'_>, packet: &mut Packet, picked: Picked) -> Decision {
        let &Burst { director, snapshot, counters, now, .. } = burst;
        let (server, real) = match picked {
            Ok(picked) => picked,
            Err(decision) => return decision,
        };
        let direction = match real.method {
            ForwardingMethod::Masquerading => Direction::ClientToServer,
            _ => Direction::ClientOnly,
        };
        let state = first_state(packet, direction);
        let mut flags = FlowState::new(state.number(), real.method, state.is_active());
        if crate::ftp::is_control(packet, real.method) {
            flags = flags.with_ftp();
        }
        let flow = NewFlow {
            key: packet.key(),
            state: flags,
            deadline: now.plus_seconds(timeout_s(snapshot, packet, state.number())),
            destination: server,
            server: real.address,
            server_port: if real.port == 0 { packet.destination_port } else { real.port },
            created: now,
            controller: FlowId::NONE,
        };
        let inserted = self.insert(director, counters, packet.hash, &flow);
        let Some((id, is_new)) = inserted else {
            return Decision::Drop(DropReason::TableFull);
        };
        let server = director.flows.entry(id).destination();
        if is_new {
            counters.destination(server).connections.add(1);
        }
        count_in(counters, server, packet);
        (packet.flow, packet.server) = (id, server);
        Decision::Forward
    }

    /// Puts a connection into the table and into its destination's counts. Returns the one that is
    /// there now, and whether it is this one; `None` where there is no room.
    pub(crate) fn insert(
        &mut self,
        director: &Director,
        counters: &WorkerCounters,
        hash: u64,
        flow: &NewFlow,
    ) -> Option<(FlowId, bool)> {
        let id = self.free.take(&director.flows)?;
        // Counted before others can see it, so that its end never comes before its beginning.
        let slot = director.slots.get(flow.destination);
        slot.bind(flow.state.is_active());
        match director.flows.insert(hash, flow, id) {
            Inserted::New => {
                counters.flows_inserted.add(1);
                Some((id, true))
            }
            // Another worker was first: the packet belongs to its connection.
            Inserted::Exists(other) => {
                slot.unbind(flow.state.is_active());
                self.free.put_back(&director.flows, id);
                Some((other, false))
            }
            Inserted::Full => {
                slot.unbind(flow.state.is_active());
                self.free.put_back(&director.flows, id);
                None
            }
        }
    }

    /// A packet of an FTP data connection whose client's port nobody knew before
    /// (`ip_vs_conn_fill_cport`): the connection takes its port.
    #[cold]
    fn adopt_client_port(&mut self, burst: &Burst<'_>, packet: &mut Packet) -> Option<Decision> {
        let &Burst { director, counters, now, .. } = burst;
        let flows = &director.flows;
        let unknown = FlowKey { client_port: 0, ..packet.key() };
        let hash = flows.hash(unknown.protocol, unknown.client, 0);
        let old = flows.find(hash, &unknown)?;
        let (entry, cold) = (flows.entry(old), flows.cold(old));
        let state = entry.state();
        if !state.lacks_client_port() || director.is_over(old, now) {
            return None;
        }
        let flow = NewFlow {
            key: packet.key(),
            state: state.with_client_port(),
            deadline: entry.deadline(),
            destination: entry.destination(),
            server: flows.server(old),
            server_port: entry.server_port(),
            created: cold.created(),
            controller: cold.controller(),
        };
        let (id, is_new) = self.insert(director, counters, packet.hash, &flow)?;
        if is_new {
            director.control(flow.controller, true);
        }
        self.end(director, counters, old);
        packet.flow = id;
        Some(self.decide(burst, packet))
    }

    /// Ends a connection of the table.
    pub(crate) fn end(&mut self, director: &Director, counters: &WorkerCounters, id: FlowId) {
        director.end_connection(id, &mut self.limbo, counters);
    }
}

/// A real server for a new connection, or what becomes of the packet without one.
type Picked = Result<(DestinationId, RealServer), Decision>;

/// The entry that stage 3 guessed, or what the table says.
#[inline]
fn find(director: &Director, packet: &Packet) -> Option<FlowId> {
    let key = packet.key();
    if packet.flow.is_some() && director.flows.is(packet.flow, &key) {
        return Some(packet.flow);
    }
    director.flows.find(packet.hash, &key)
}

#[inline]
fn find_reply(director: &Director, packet: &Packet) -> Option<FlowId> {
    let key = packet.reply_key();
    if packet.flow.is_some() && director.flows.is_reply(packet.flow, &key) {
        return Some(packet.flow);
    }
    director.flows.find_reply(packet.hash, &key)
}

/// The real server for a packet without a connection, or why there is none
/// (`ip_vs_try_to_schedule`).
fn pick(burst: &Burst<'_>, packet: &Packet) -> Picked {
    let &Burst { director, snapshot, now, .. } = burst;
    if snapshot.is_martian(packet) {
        return Err(Decision::Drop(DropReason::MartianSource));
    }
    let service = snapshot
        .services
        .find(0, packet.protocol, packet.destination, packet.destination_port)
        .ok_or(Decision::Local(DropReason::NoService))?;
    if !may_begin(packet, snapshot) {
        return Err(Decision::Local(DropReason::NoConnection));
    }
    let request = Request {
        client: packet.source,
        client_port: packet.source_port,
        destination: packet.destination,
        flags: service.scheduler_flags,
        now,
        settings: &snapshot.settings,
    };
    service.schedule(&request, &director.slots).ok_or(Decision::Drop(DropReason::NoDestination))
}

/// Whether the packet is one that begins anew on a connection that is as good as over
/// (`conn_reuse_mode`, `is_new_conn` in `ip_vs_in_hook`).
#[inline]
fn begins_anew(
    state: FlowState,
    snapshot: &Snapshot,
    packet: &Packet,
    slot: &DestinationSlot,
) -> bool {
    if packet.protocol == Protocol::Tcp.number() {
        return packet.tcp_flags.contains(Flags::SYN) && reuses(state, snapshot, packet, slot);
    }
    packet.protocol == Protocol::Sctp.number()
        && packet.chunk == sctp::ChunkType::INIT.0
        && reuses(state, snapshot, packet, slot)
}

#[cold]
fn reuses(state: FlowState, snapshot: &Snapshot, packet: &Packet, slot: &DestinationSlot) -> bool {
    let settings = &snapshot.settings;
    if settings.expire_nodest_conn && slot.weight() == 0 {
        return true;
    }
    if settings.conn_reuse_mode == 0 {
        return false;
    }
    if packet.protocol == Protocol::Sctp.number() {
        return SctpState::from_number(state.number()).is_some_and(SctpState::is_closed);
    }
    match TcpState::from_number(state.number()) {
        Some(TcpState::TimeWait | TcpState::Close) => true,
        Some(TcpState::FinWait) => settings.conn_reuse_mode & 2 != 0 && state.no_output(),
        _ => false,
    }
}

/// Whether a packet may begin a connection (facts of `tcp_conn_schedule`, `udp_conn_schedule`,
/// `sctp_conn_schedule`): UDP always, TCP with SYN and without RST, SCTP with INIT; never from the
/// FTP data port, and never AH and ESP.
fn may_begin(packet: &Packet, snapshot: &Snapshot) -> bool {
    const FTP_DATA: u16 = 20;
    if packet.source_port == FTP_DATA {
        return false;
    }
    match Protocol::from_number(packet.protocol) {
        Some(Protocol::Tcp) => {
            let flags = packet.tcp_flags;
            (flags.contains(Flags::SYN) || snapshot.settings.sloppy_tcp)
                && !flags.contains(Flags::RST)
        }
        Some(Protocol::Sctp) => SctpEvent::may_begin(packet.chunk, snapshot.settings.sloppy_sctp),
        Some(Protocol::Udp) => true,
        None => false,
    }
}

#[inline]
fn count_in(counters: &WorkerCounters, server: DestinationId, packet: &Packet) {
    let tally = counters.destination(server);
    tally.packets_in.add(1);
    tally.bytes_in.add(u64::from(packet.length));
}
