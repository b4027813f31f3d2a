//! Stage 4: what a packet does to its connection, or that it begins one.

use crate::burst::Burst;
use crate::counters::WorkerCounters;
use crate::director::Director;
use crate::drops::DropReason;
use crate::flow::{Entry, EntryCache, FlowId, FlowKey, FlowState, Inserted, Limbo};
use crate::parse::Packet;
use crate::protocol::Protocol;
use crate::slots::{DestinationId, DestinationSlot};
use crate::snapshot::{RealServer, Snapshot};
use crate::state::{Direction, State, TcpState, UdpState};
use crate::wire::tcp::Flags;

/// What is to become of a TCP or UDP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It goes to this destination.
    Forward(DestinationId),
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
    pub fn decide(&mut self, burst: &Burst<'_>, packet: &Packet) -> Decision {
        let &Burst { director, snapshot, counters, now, .. } = burst;
        let Some(id) = find(director, packet) else {
            return self.begin(burst, packet);
        };
        let entry = director.flows.entry(id);
        let state = entry.state();
        let server = entry.destination();
        let slot = director.slots.get(server);
        if !now.is_before(entry.deadline()) {
            // Its time is over, and the sweeper has not come by yet.
            director.end_connection(id, &mut self.limbo, counters);
            return self.begin(burst, packet);
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
            now.plus_seconds(timeout_s(snapshot, packet.protocol, state.number()))
        });
        count_packet(counters, server, packet);
        Decision::Forward(server)
    }

    /// A SYN gives up the connection that it was found for. The old one counts until the new one
    /// does, for the scheduler and for thresholds: the kernel ends it by its timer, a moment later.
    #[cold]
    fn begin_anew(&mut self, burst: &Burst<'_>, packet: &Packet, old: FlowId) -> Decision {
        let &Burst { director, counters, .. } = burst;
        let picked = pick(burst, packet);
        let removed = director.flows.remove(old);
        let decision = self.insert(burst, packet, picked);
        if removed {
            director.settle_connection(old, &mut self.limbo, counters);
        }
        decision
    }

    /// The server of the connection was removed: the packet is dropped and the connection waits
    /// for the server's return, or, with `expire_nodest_conn`, the connection ends.
    #[cold]
    fn without_server(&mut self, burst: &Burst<'_>, packet: &Packet, id: FlowId) -> Decision {
        if !burst.snapshot.settings.expire_nodest_conn {
            return Decision::Drop(DropReason::DestinationRemoved);
        }
        burst.director.end_connection(id, &mut self.limbo, burst.counters);
        self.begin(burst, packet)
    }

    /// Begins a connection, if the packet may and a service wants it.
    #[inline(never)]
    fn begin(&mut self, burst: &Burst<'_>, packet: &Packet) -> Decision {
        let picked = pick(burst, packet);
        self.insert(burst, packet, picked)
    }

    fn insert(&mut self, burst: &Burst<'_>, packet: &Packet, picked: Picked) -> Decision {
        let &Burst { director, snapshot, counters, now, .. } = burst;
        let (server, real) = match picked {
            Ok(picked) => picked,
            Err(reason) => return Decision::Drop(reason),
        };
        let Some(id) = self.free.take(&director.flows) else {
            return Decision::Drop(DropReason::TableFull);
        };
        let key = packet.key();
        let state = first_state(packet);
        let deadline = now.plus_seconds(timeout_s(snapshot, packet.protocol, state.number()));
        let port = if real.port == 0 { packet.destination_port } else { real.port };
        director.flows.entry(id).fill(&key, state, deadline, server, (real.address, port));
        director.flows.cold(id).fill(now);
        // Counted before others can see it, so that its end never comes before its beginning.
        let slot = director.slots.get(server);
        slot.bind(state.is_active());
        let server = match director.flows.insert(packet.hash, key.words(), id) {
            Inserted::New => {
                counters.flows_inserted.add(1);
                counters.destination(server).connections.add(1);
                server
            }
            Inserted::Exists(other) => {
                // Another worker was first: the packet belongs to its connection.
                slot.unbind(state.is_active());
                self.free.put_back(&director.flows, id);
                director.flows.entry(other).destination()
            }
            Inserted::Full => {
                slot.unbind(state.is_active());
                self.free.put_back(&director.flows, id);
                return Decision::Drop(DropReason::TableFull);
            }
        };
        count_packet(counters, server, packet);
        Decision::Forward(server)
    }
}

/// A real server for a new connection, or why there is none.
type Picked = Result<(DestinationId, RealServer), DropReason>;

impl Packet {
    /// The connection that a packet from a client belongs to.
    #[inline]
    pub const fn key(&self) -> FlowKey {
        FlowKey {
            protocol: self.protocol,
            client: self.source,
            client_port: self.source_port,
            virtual_address: self.destination,
            virtual_port: self.destination_port,
        }
    }
}

/// The entry that stage 3 guessed, or what the table says.
#[inline]
fn find(director: &Director, packet: &Packet) -> Option<FlowId> {
    let words = packet.key().words();
    let guess = packet.candidate;
    if guess.is_some() && director.flows.entry(guess).is(words) {
        return Some(guess);
    }
    director.flows.find(packet.hash, words)
}

/// The real server for a packet without a connection, or why there is none
/// (`ip_vs_try_to_schedule`).
fn pick(burst: &Burst<'_>, packet: &Packet) -> Picked {
    let &Burst { director, snapshot, .. } = burst;
    let address = packet.destination;
    let service = snapshot
        .service(packet.protocol, address.to_bits(), packet.destination_port)
        .ok_or_else(|| {
            if snapshot.is_local(address) { DropReason::NoService } else { DropReason::NotLocal }
        })?;
    if snapshot.is_local(packet.source) {
        return Err(DropReason::MartianSource);
    }
    if !may_begin(packet) {
        return Err(DropReason::NoConnection);
    }
    service.schedule(&director.slots).ok_or(DropReason::NoDestination)
}

/// Whether the packet is a SYN that begins anew on a connection that is as good as over
/// (`conn_reuse_mode`, `is_new_conn` in `ip_vs_in_hook`).
#[inline]
fn begins_anew(
    state: FlowState,
    snapshot: &Snapshot,
    packet: &Packet,
    slot: &DestinationSlot,
) -> bool {
    packet.protocol == Protocol::Tcp.number()
        && packet.tcp_flags.contains(Flags::SYN)
        && reuses(state, snapshot, slot)
}

#[cold]
fn reuses(state: FlowState, snapshot: &Snapshot, slot: &DestinationSlot) -> bool {
    let settings = &snapshot.settings;
    if settings.expire_nodest_conn && slot.weight() == 0 {
        return true;
    }
    if settings.conn_reuse_mode == 0 {
        return false;
    }
    match TcpState::from_number(state.number()) {
        Some(TcpState::TimeWait | TcpState::Close) => true,
        Some(TcpState::FinWait) => settings.conn_reuse_mode & 2 != 0 && state.no_output(),
        _ => false,
    }
}

/// Whether a packet may begin a connection (facts of `tcp_conn_schedule`, `udp_conn_schedule`):
/// UDP always, TCP with SYN and without RST; never from the FTP data port.
fn may_begin(packet: &Packet) -> bool {
    const FTP_DATA: u16 = 20;
    if packet.source_port == FTP_DATA {
        return false;
    }
    packet.protocol != Protocol::Tcp.number()
        || (packet.tcp_flags.contains(Flags::SYN) && !packet.tcp_flags.contains(Flags::RST))
}

/// The state that the first packet of a connection puts it into.
fn first_state(packet: &Packet) -> FlowState {
    let state = if packet.protocol == Protocol::Tcp.number() {
        State::Tcp(TcpState::None.next(Direction::ClientOnly, packet.tcp_flags, false))
    } else {
        State::Udp(UdpState::Normal)
    };
    FlowState::new(state.number(), true, state.is_active())
}

/// Whether this is the packet that most are: one that leaves a TCP connection established
/// (`TcpState::next` with the event ACK, in every direction).
#[inline]
fn keeps_established(state: FlowState, packet: &Packet) -> bool {
    const EVENTS: u8 = Flags::SYN.0 | Flags::FIN.0 | Flags::RST.0 | Flags::ACK.0;
    packet.protocol == Protocol::Tcp.number()
        && state.number() == TcpState::Established.number()
        && packet.tcp_flags.0 & EVENTS == Flags::ACK.0
}

/// Moves the state by a packet from the client, and the destination's counts with it.
#[inline]
fn follow(
    entry: &Entry,
    mut state: FlowState,
    slot: &DestinationSlot,
    packet: &Packet,
) -> FlowState {
    if packet.protocol != Protocol::Tcp.number() {
        return state;
    }
    loop {
        let Some(now) = TcpState::from_number(state.number()) else { return state };
        let next = now.next(direction(state), packet.tcp_flags, false);
        if next == now || state.is_ended() {
            return state;
        }
        let new = FlowState::new(next.number(), state.no_output(), next.is_active());
        if entry.exchange_state(state, new) {
            if new.is_active() != state.is_active() {
                slot.set_active(new.is_active());
            }
            return new;
        }
        state = entry.state();
    }
}

/// Which column of the state table a packet from the client takes.
#[inline]
const fn direction(state: FlowState) -> Direction {
    if state.no_output() { Direction::ClientOnly } else { Direction::ClientToServer }
}

#[inline]
fn timeout_s(snapshot: &Snapshot, protocol: u8, state: u8) -> u32 {
    if protocol == Protocol::Tcp.number() {
        TcpState::from_number(state).map_or(0, |state| snapshot.timeouts.tcp(state))
    } else {
        snapshot.timeouts.udp(UdpState::Normal)
    }
}

#[inline]
fn count_packet(counters: &WorkerCounters, server: DestinationId, packet: &Packet) {
    let tally = counters.destination(server);
    tally.packets_in.add(1);
    tally.bytes_in.add(u64::from(packet.length));
}
