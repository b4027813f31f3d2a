//! Stage 4: what a packet does to its connection, or that it begins one.
//!
//! What a packet of a known connection goes through is always inlined: a program that also
//! rehearses packets (`explain`) has two callers of it, and the compiler would make it calls.

use crate::burst::Burst;
use crate::closings::Ending;
use crate::counters::WorkerCounters;
use crate::destination::ForwardingMethod;
use crate::director::Director;
use crate::drops::DropReason;
use crate::flow::{EntryCache, FlowId, FlowKey, FlowState, Inserted, Limbo, NewFlow};
use crate::overload::Dropper;
use crate::parse::Packet;
use crate::protocol::Protocol;
use crate::schedule::Occasion;
use crate::slots::{DestinationId, DestinationSlot};
use crate::state::{SctpState, TcpState};
use crate::transition::{Event, follow, keeps_established, timeout_s};
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
    /// It begins a connection of which its payload decides: [`Connections::begin_message`].
    Inspect,
}

/// What one worker needs to begin and end connections.
#[derive(Debug, Default)]
pub struct Connections {
    free: EntryCache,
    limbo: Limbo,
    /// Entries of a single packet, which nobody else knows.
    alone: Vec<FlowId>,
    dropper: Dropper,
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
    #[inline(always)]
    pub fn decide(&mut self, burst: &Burst<'_>, packet: &mut Packet) -> Decision {
        let &Burst { director, snapshot, .. } = burst;
        if !snapshot.punt_rules.is_empty() && snapshot.punts(packet) {
            return Decision::Local(DropReason::NoService);
        }
        if packet.is_reply {
            return self.decide_reply(burst, packet);
        }
        match find(director, packet) {
            Some(id) => self.decide_known(burst, packet, id),
            None => self.decide_unknown(burst, packet),
        }
    }

    /// A packet from the client of a connection.
    #[inline(always)]
    fn decide_known(&mut self, burst: &Burst<'_>, packet: &mut Packet, id: FlowId) -> Decision {
        let &Burst { director, snapshot, counters, now, .. } = burst;
        let entry = director.flows.entry(id);
        let state = entry.state();
        let server = entry.destination();
        let slot = director.slots.get(server);
        if director.is_over(id, now) {
            // Its time is over, and the sweeper has not come by yet.
            return self.decide_expired(burst, packet, id);
        }
        if begins_anew(id, state, burst, packet, slot) {
            return self.begin_anew(burst, packet, id);
        }
        if !slot.is_available() {
            return self.without_server(burst, packet, id);
        }
        entry.set_deadline(if keeps_established(state, Event::of(packet)) {
            burst.established_until
        } else {
            let state = follow(burst, id, state, Event::of(packet));
            now.plus_seconds(timeout_s(snapshot, packet.protocol, state.number()))
        });
        entry.count_packet();
        count_in(counters, server, packet.length);
        (packet.flow, packet.server) = (id, server);
        Decision::Forward
    }

    /// A packet that is for nobody here by its destination: from a real server to a client, or
    /// merely on its way.
    #[inline(always)]
    fn decide_reply(&mut self, burst: &Burst<'_>, packet: &mut Packet) -> Decision {
        self.find_way_back(burst, packet).unwrap_or_else(|| self.pass_on(burst, packet))
    }

    /// A packet for another host that is of no NAT connection. One whose mark is intercepted is
    /// taken as if it were for the director.
    #[cold]
    fn pass_on(&mut self, burst: &Burst<'_>, packet: &mut Packet) -> Decision {
        let &Burst { director, snapshot, .. } = burst;
        if !snapshot.intercepts(packet) {
            let is_call = snapshot.services.have_callers() && is_call(burst, packet);
            return if is_call { Decision::Inspect } else { Decision::Route };
        }
        packet.is_reply = false;
        packet.flow = FlowId::NONE;
        let (protocol, client, port) = packet.client();
        packet.hash = director.flows.hash(protocol, client, port);
        match find(director, packet) {
            Some(id) => self.decide_known(burst, packet, id),
            None => self.begin(burst, packet, Occasion::Packet),
        }
    }

    /// The connection of a packet from a NAT server, moved; `None` where there is none.
    #[inline(always)]
    fn find_way_back(&mut self, burst: &Burst<'_>, packet: &mut Packet) -> Option<Decision> {
        let &Burst { director, snapshot, counters, now, .. } = burst;
        if packet.ttl <= 1 {
            // The kernel's router looks before IPVS does.
            return None;
        }
        let id = find_reply(director, packet)?;
        let entry = director.flows.entry(id);
        if entry.way_back(burst.ways.generation()).is_none()
            && burst.ways.to(packet.destination) == Way::None
        {
            // So it does here.
            return None;
        }
        if director.is_over(id, now) {
            let _by_us = director.end_connection(id, &mut self.limbo, counters, Ending::Expired);
            return None;
        }
        let (state, server) = (entry.state(), entry.destination());
        entry.set_deadline(if keeps_established(state, Event::of(packet)) {
            burst.established_until
        } else {
            let state = follow(burst, id, state, Event::of(packet));
            now.plus_seconds(timeout_s(snapshot, packet.protocol, state.number()))
        });
        count_out(counters, server, packet.length);
        packet.flow = id;
        Some(Decision::Return)
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
            // An intercepted packet is a request after all.
            (packet.flow, packet.server, packet.hash) = (reply.flow, reply.server, reply.hash);
            packet.is_reply = reply.is_reply;
            return decision;
        }
        if director.flows.lacking_client_port() > 0
            && let Some(decision) = self.adopt_client_port(burst, packet)
        {
            return decision;
        }
        self.begin(burst, packet, Occasion::Packet)
    }

    fn decide_expired(&mut self, burst: &Burst<'_>, packet: &mut Packet, id: FlowId) -> Decision {
        let ending = if burst.director.is_over(id, burst.now) {
            Ending::Expired
        } else {
            Ending::ServerRemoved
        };
        burst.director.end_connection(id, &mut self.limbo, burst.counters, ending);
        self.decide_unknown(burst, packet)
    }

    /// A SYN gives up the connection that it was found for. The old one counts until the new one
    /// does, for the scheduler and for thresholds: the kernel ends it by its timer, a moment later.
    #[cold]
    fn begin_anew(&mut self, burst: &Burst<'_>, packet: &mut Packet, old: FlowId) -> Decision {
        let &Burst { director, counters, .. } = burst;
        let plan = self.plan(burst, packet, Occasion::Packet);
        let entry = director.flows.entry(old);
        let (server, method) = (entry.destination(), entry.state().method());
        let removed = director.flows.remove(old);
        let decision = match plan {
            Ok(plan) => self.open(burst, packet, &plan),
            Err(refusal) => {
                // The kernel still finds the old one for its error about the packet, and counts
                // that as a reply of its server.
                let is_counted = method != ForwardingMethod::Masquerading;
                (packet.flow, packet.server) =
                    (if is_counted { old } else { FlowId::NONE }, server);
                refusal
            }
        };
        if removed {
            let removed = &counters.flows_removed;
            director.settle_connection(old, &mut self.limbo, removed, Ending::Replaced);
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

    /// Puts a connection or template into the table and into its destination's counts. Returns the
    /// one that is there now, and whether it is this one; `None` where there is no room.
    pub(crate) fn insert(
        &mut self,
        director: &Director,
        counters: &WorkerCounters,
        hash: u64,
        flow: &NewFlow,
    ) -> Option<(FlowId, bool)> {
        let id = self.free.take(&director.flows)?;
        // Counted before others can see it, so that its end never comes before its beginning.
        director.count_connection(flow.destination, flow.state, true);
        match director.flows.insert(hash, flow, id) {
            Inserted::New => {
                counters.flows_inserted.add(1);
                Some((id, true))
            }
            // Another worker was first: the packet belongs to its connection.
            Inserted::Exists(other) => {
                director.count_connection(flow.destination, flow.state, false);
                self.free.put_back(&director.flows, id);
                Some((other, false))
            }
            Inserted::Full => {
                director.count_connection(flow.destination, flow.state, false);
                self.free.put_back(&director.flows, id);
                None
            }
        }
    }

    /// Makes an entry of a single packet, which is gone after the burst.
    pub(crate) fn make_alone(&mut self, director: &Director, flow: &NewFlow) -> Option<FlowId> {
        let id = self.free.take(&director.flows)?;
        director.flows.fill_alone(flow, id);
        self.alone.push(id);
        // It counts for the scheduler and for thresholds no longer than the packet takes.
        director.count_connection(flow.destination, flow.state, true);
        director.count_connection(flow.destination, flow.state, false);
        Some(id)
    }

    /// A packet is to be decided: gives back the entry of the one before, if it was for that alone.
    #[inline]
    pub fn begin_packet(&mut self, director: &Director) {
        while let Some(id) = self.alone.pop() {
            self.free.put_back(&director.flows, id);
        }
    }

    /// Whether a packet that would begin a connection is dropped instead, as room is short.
    pub(crate) fn is_overloaded(&mut self, director: &Director) -> bool {
        self.dropper.drops(director.drop_rate.get())
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
            lifetime_s: 0,
            salt: 0,
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
        director.end_connection(id, &mut self.limbo, counters, Ending::Replaced);
    }
}

/// The entry that stage 3 guessed, or what the table says.
#[inline(always)]
fn find(director: &Director, packet: &Packet) -> Option<FlowId> {
    let key = packet.key();
    if packet.flow.is_some() && director.flows.is(packet.flow, &key) {
        return Some(packet.flow);
    }
    director.flows.find(packet.hash, &key)
}

#[inline(always)]
fn find_reply(director: &Director, packet: &Packet) -> Option<FlowId> {
    let key = packet.reply_key();
    if packet.flow.is_some() && director.flows.is_reply(packet.flow, &key) {
        return Some(packet.flow);
    }
    director.flows.find_reply(packet.hash, &key)
}

/// Whether a packet comes from a NAT server that may begin connections itself
/// (`__ip_vs_rs_conn_out`), and can go on.
fn is_call(burst: &Burst<'_>, packet: &Packet) -> bool {
    packet.protocol == Protocol::Udp.number()
        && packet.ttl > 1
        && burst.ways.to(packet.destination) != Way::None
        && burst
            .snapshot
            .services
            .caller(packet.protocol, packet.source, packet.source_port)
            .is_some()
}

/// Whether the packet is one that begins anew on a connection that is as good as over
/// (`conn_reuse_mode`, `is_new_conn` in `ip_vs_in_hook`).
#[inline(always)]
fn begins_anew(
    id: FlowId,
    state: FlowState,
    burst: &Burst<'_>,
    packet: &Packet,
    slot: &DestinationSlot,
) -> bool {
    if packet.protocol == Protocol::Tcp.number() {
        return packet.tcp_flags.contains(Flags::SYN) && reuses(id, state, burst, packet, slot);
    }
    packet.protocol == Protocol::Sctp.number()
        && packet.chunk == sctp::ChunkType::INIT.0
        && reuses(id, state, burst, packet, slot)
}

#[cold]
fn reuses(
    id: FlowId,
    state: FlowState,
    burst: &Burst<'_>,
    packet: &Packet,
    slot: &DestinationSlot,
) -> bool {
    let (flows, settings) = (&burst.director.flows, &burst.snapshot.settings);
    if settings.expire_nodest_conn
        && slot.weight() == 0
        && state.method() != ForwardingMethod::Bypass
    {
        return true;
    }
    if settings.conn_reuse_mode == 0 || flows.cold(id).controller().is_some() {
        return false;
    }
    match Protocol::from_number(packet.protocol) {
        Some(Protocol::Tcp) => match TcpState::from_number(state.number()) {
            Some(TcpState::TimeWait | TcpState::Close) => true,
            Some(TcpState::FinWait) => settings.conn_reuse_mode & 2 != 0 && state.no_output(),
            _ => false,
        },
        Some(Protocol::Sctp) => {
            SctpState::from_number(state.number()).is_some_and(SctpState::is_closed)
        }
        _ => false,
    }
}

/// A packet of so many bytes came from a client.
#[inline(always)]
pub(crate) fn count_in(counters: &WorkerCounters, server: DestinationId, length: u32) {
    let tally = counters.destination(server);
    tally.packets_in.add(1);
    tally.bytes_in.add(u64::from(length));
}

/// A packet of so many bytes came from a real server.
#[inline(always)]
pub(crate) fn count_out(counters: &WorkerCounters, server: DestinationId, length: u32) {
    let tally = counters.destination(server);
    tally.packets_out.add(1);
    tally.bytes_out.add(u64::from(length));
}
