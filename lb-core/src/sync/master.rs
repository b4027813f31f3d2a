//! The master: which connections are told to others, and when.
//!
//! The kernel decides with each packet of a client (`ip_vs_sync_conn`). Here a walk over the flow
//! table decides, once a second for each connection, by the same states: a packet costs nothing.

use std::collections::HashMap;

use super::message::{Batch, Flags, Record};
use crate::clock::{TICKS_PER_SECOND, Tick};
use crate::destination::ForwardingMethod;
use crate::director::Director;
use crate::flow::{Entry, FlowId, FlowKey, FlowState};
use crate::protocol::Protocol;
use crate::slots::DestinationId;
use crate::snapshot::Snapshot;
use crate::state::{SctpState, State, TcpState};
use crate::virtual_service::Engine;

/// Packets of a client before its connection is worth telling (`sync_threshold`).
pub(super) const THRESHOLD: u16 = 3;
/// Shortest time in which what is told of a connection grows old, seconds.
const REFRESH_MIN_S: u32 = 10;
/// Ticks for which a connection waits for others to fill its datagram.
const WAIT_TICKS: u32 = TICKS_PER_SECOND;
/// Entries that one step looks at, at the least.
const STEP_MIN: usize = 1024;

/// What was told of the connection of an entry. All zero: nothing.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    /// Tells the connection from others that the entry had; not 0.
    tag: u32,
    deadline: u32,
    state: u8,
}

/// The walk, and the datagram that it fills.
#[derive(Debug)]
pub(super) struct Master {
    batch: Batch,
    /// When the first connection came into it.
    since: Tick,
    position: usize,
    told: Vec<Told>,
    /// Connections and templates that were sent.
    pub(super) records: u64,
}

impl Master {
    pub(super) fn new(sync_id: u8, length_max: u16, flows_max: usize) -> Self {
        Self {
            batch: Batch::new(sync_id, length_max),
            since: Tick::default(),
            position: 0,
            told: vec![Told::default(); flows_max + 1],
            records: 0,
        }
    }

    /// Looks at as many entries as it takes to come round once in a second; to be called about
    /// once per tick.
    pub(super) fn step(&mut self, director: &Director, now: Tick, send: &mut dyn FnMut(&[u8])) {
        let end = director.flows.high_water();
        if self.position >= end {
            self.position = 0;
        }
        let budget = (end / TICKS_PER_SECOND as usize + 1).max(STEP_MIN);
        let upto = self.position.saturating_add(budget).min(end);
        let snapshot = director.snapshot.load();
        let marks = marks(&snapshot);
        for (id, key) in director.flows.live(self.position..upto) {
            if self.is_due(director, &snapshot, id, &key) {
                let record = record(director, &snapshot, &marks, id, key);
                self.add(&record, now, send);
            }
        }
        self.position = upto;
        if now.0.wrapping_sub(self.since.0) >= WAIT_TICKS {
            self.batch.take(send);
        }
    }

    fn add(&mut self, record: &Record, now: Tick, send: &mut dyn FnMut(&[u8])) {
        if self.batch.is_empty() {
            self.since = now;
        }
        if !self.batch.push(record) {
            self.batch.take(&mut *send);
            self.since = now;
            // What does not fit alone is told to nobody.
            let _ = self.batch.push(record);
        }
        self.records += 1;
    }

    /// Whether something of a connection is to be told, which it then is.
    fn is_due(
        &mut self,
        director: &Director,
        snapshot: &Snapshot,
        id: FlowId,
        key: &FlowKey,
    ) -> bool {
        let entry = director.flows.entry(id);
        let state = entry.state();
        let now =
            Told { tag: tag(key, state), deadline: entry.deadline().0, state: state.number() };
        let Some(told) = self.told.get_mut(id.index()) else { return false };
        let is_new = told.tag != now.tag;
        let is_moved = is_new || told.state != now.state;
        let old_s = (timeout_s(snapshot, entry, key, state) / 2).max(REFRESH_MIN_S);
        let is_old = is_new || now.deadline.wrapping_sub(told.deadline) >= old_s * TICKS_PER_SECOND;
        let is_due = match stage(key.protocol, state) {
            Stage::Template => is_moved || is_old,
            Stage::Running => entry.packets() >= THRESHOLD && (is_moved || is_old),
            Stage::Ending => is_moved,
            Stage::Beginning => false,
        };
        if is_due {
            *told = now;
        }
        is_due
    }
}

/// What the kernel's rules tell apart.
enum Stage {
    Template,
    /// Told from its third packet on, and again before it is forgotten.
    Running,
    /// Told at once.
    Ending,
    /// Not told.
    Beginning,
}

fn stage(protocol: u8, state: FlowState) -> Stage {
    if state.is_template() {
        return Stage::Template;
    }
    let number = state.number();
    match Protocol::from_number(protocol) {
        Some(Protocol::Tcp) => match TcpState::from_number(number) {
            Some(TcpState::Established) => Stage::Running,
            Some(
                TcpState::FinWait | TcpState::Close | TcpState::CloseWait | TcpState::TimeWait,
            ) => Stage::Ending,
            _ => Stage::Beginning,
        },
        Some(Protocol::Sctp) => match SctpState::from_number(number) {
            Some(SctpState::Established) => Stage::Running,
            Some(
                SctpState::ShutdownSent
                | SctpState::ShutdownReceived
                | SctpState::ShutdownAckSent
                | SctpState::Closed,
            ) => Stage::Ending,
            _ => Stage::Beginning,
        },
        _ => Stage::Running,
    }
}

/// A number for a key and what of the state stays; never 0.
fn tag(key: &FlowKey, state: FlowState) -> u32 {
    let [first, second] = key.words();
    let mixed = first ^ second.rotate_left(23) ^ u64::from(state.is_template());
    (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32 | 1
}

/// Seconds that a connection lives without a packet.
fn timeout_s(snapshot: &Snapshot, entry: &Entry, key: &FlowKey, state: FlowState) -> u32 {
    if state.is_template() {
        return entry.lifetime_s();
    }
    let protocol = Protocol::from_number(key.protocol).unwrap_or(Protocol::Udp);
    let state = State::from_number(protocol, state.number());
    state.map_or(0, |state| snapshot.timeouts.of(state))
}

/// Servers of services by mark, with the mark: entries do not remember it.
fn marks(snapshot: &Snapshot) -> HashMap<DestinationId, u32> {
    let services = snapshot.services.of_marks();
    services
        .flat_map(|(mark, service)| service.destinations.iter().map(move |&id| (id, mark)))
        .collect()
}

fn record(
    director: &Director,
    snapshot: &Snapshot,
    marks: &HashMap<DestinationId, u32>,
    id: FlowId,
    key: FlowKey,
) -> Record {
    let entry = director.flows.entry(id);
    let state = entry.state();
    let method = match state.method() {
        ForwardingMethod::Masquerading => 0,
        ForwardingMethod::Local => 1,
        ForwardingMethod::Tunneling => 2,
        ForwardingMethod::DirectRouting => 3,
        ForwardingMethod::Bypass => 4,
    };
    let flags = Flags(method)
        .with(Flags::NO_OUTPUT, state.no_output() && !state.is_template())
        .with(Flags::INACTIVE, !state.is_active())
        .with(Flags::NO_CLIENT_PORT, state.lacks_client_port())
        .with(Flags::TEMPLATE, state.is_template());
    let call = director.flows.is_salted(id).then(|| director.calls.text(id)).flatten();
    Record {
        key,
        server: director.flows.server(id),
        server_port: entry.server_port(),
        flags,
        state: state.number().into(),
        mark: marks.get(&entry.destination()).copied().unwrap_or(0),
        timeout_s: timeout_s(snapshot, entry, &key, state),
        engine: call.map(|call| (Engine::Sip.name().to_owned(), call.into_bytes())),
    }
}
