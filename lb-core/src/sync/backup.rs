//! The backup: takes over what a master tells (`ip_vs_process_message`, `ip_vs_proc_conn`).

use super::master::THRESHOLD;
use super::message::{self, Flags, Record};
use crate::clock::Tick;
use crate::connection::Connections;
use crate::destination::ForwardingMethod as Method;
use crate::director::Director;
use crate::flow::{FlowId, FlowState, NewFlow};
use crate::protocol::Protocol;
use crate::slots::DestinationId;
use crate::snapshot::Snapshot;
use crate::state::State;
use crate::virtual_service::{Engine, RealServer, VirtualService};

/// Seconds that a template lives whose message does not say (`IP_VS_SYNC_CONN_TIMEOUT`).
const TEMPLATE_S: u32 = 180;

/// Longest timeout that is believed, seconds: that of `-p` and `--set`.
const TIMEOUT_MAX_S: u32 = 31 * 24 * 60 * 60;

/// What becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    New,
    Updated,
    /// It says nothing that can be used.
    Ignored,
}

/// Takes datagrams, on a thread that is no worker.
#[derive(Debug, Default)]
pub(super) struct Backup {
    sync_id: u8,
    records: Vec<Record>,
    /// Connections and templates that were taken over or updated.
    pub(super) taken: u64,
    /// Records that were not.
    pub(super) ignored: u64,
    /// Datagrams that were malformed.
    pub(super) malformed: u64,
}

impl Backup {
    pub(super) fn new(sync_id: u8) -> Self {
        Self { sync_id, ..Self::default() }
    }

    /// Takes over what a datagram says.
    pub(super) fn take(
        &mut self,
        director: &Director,
        connections: &mut Connections,
        datagram: &[u8],
        now: Tick,
    ) {
        let mut records = std::mem::take(&mut self.records);
        let tally = message::read(datagram, self.sync_id, &mut records);
        self.ignored += u64::from(tally.skipped);
        self.malformed += u64::from(tally.is_malformed);
        let snapshot = director.snapshot.load();
        for record in records.drain(..) {
            match take_record(director, connections, &snapshot, &record, now) {
                Taken::New | Taken::Updated => self.taken += 1,
                Taken::Ignored => self.ignored += 1,
            }
        }
        self.records = records;
    }
}

fn take_record(
    director: &Director,
    connections: &mut Connections,
    snapshot: &Snapshot,
    record: &Record,
    now: Tick,
) -> Taken {
    let Some(number) = state_number(record) else { return Taken::Ignored };
    let hash = hash(director, record);
    let salt = record.engine.as_ref().map_or(0, |(_, data)| director.flows.salt_of(data));
    let found = server(snapshot, record);
    let mut flow = new_flow(director, snapshot, record, number, found, now);
    flow.salt = salt;
    let counters = director.housekeeping_counters();
    let is_template = record.flags.has(Flags::TEMPLATE);
    let update = |id: FlowId| {
        let entry = director.flows.entry(id);
        let is_other =
            director.flows.server(id) != record.server || entry.server_port() != record.server_port;
        if is_other && !is_template {
            return Err(id);
        }
        update(director, id, &flow);
        Ok(())
    };
    match director.flows.visit(hash, &flow, update) {
        Some(Ok(())) => return Taken::Updated,
        // A connection to another server: an ended one says nothing, a running one is right.
        Some(Err(_)) if record.flags.has(Flags::INACTIVE) => return Taken::Ignored,
        Some(Err(id)) => connections.end(director, counters, id),
        None => {}
    }
    let Some((server, _)) = found else { return Taken::Ignored };
    flow.destination = server;
    let Some((id, _)) = connections.insert(director, counters, hash, &flow) else {
        return Taken::Ignored;
    };
    if let Some((name, data)) = &record.engine
        && name == Engine::Sip.name()
    {
        director.calls.remember(id, data);
    }
    let entry = director.flows.entry(id);
    for _ in 0..THRESHOLD {
        entry.count_packet();
    }
    Taken::New
}

/// The number of the state, if there is such a state.
fn state_number(record: &Record) -> Option<u8> {
    let number = u8::try_from(record.state).ok()?;
    if record.flags.has(Flags::TEMPLATE) {
        return (number <= FlowState::ASSURED).then_some(number);
    }
    let protocol = Protocol::from_number(record.key.protocol)?;
    State::from_number(protocol, number).map(|_| number)
}

/// The hash by which packets, or clients of the template, find it.
fn hash(director: &Director, record: &Record) -> u64 {
    let key = &record.key;
    let hash = director.flows.hash(key.protocol, key.client, key.client_port);
    let salt = record.engine.as_ref().map_or(0, |(_, data)| director.flows.salt_of(data));
    director.flows.salted(hash, salt)
}

/// The real server that a record names, if a service has it (`ip_vs_find_dest`): by the port, or
/// as one of all ports.
fn server(snapshot: &Snapshot, record: &Record) -> Option<(DestinationId, RealServer)> {
    let key = &record.key;
    let service =
        snapshot.services.find(record.mark, key.protocol, key.virtual_address, key.virtual_port)?;
    let at = |port| server_at(service, record, port);
    at(record.server_port).or_else(|| at(0))
}

fn server_at(
    service: &VirtualService,
    record: &Record,
    port: u16,
) -> Option<(DestinationId, RealServer)> {
    let mut pairs = service.destinations.iter().zip(service.servers.iter());
    let (id, server) =
        pairs.find(|(_, server)| server.address == record.server && server.port == port)?;
    Some((*id, *server))
}

/// The entry that a record asks for; without a server it is only good to find one by.
fn new_flow(
    director: &Director,
    snapshot: &Snapshot,
    record: &Record,
    number: u8,
    found: Option<(DestinationId, RealServer)>,
    now: Tick,
) -> NewFlow {
    let is_template = record.flags.has(Flags::TEMPLATE);
    let method = found.map_or_else(|| method_of(record), |(_, server)| server.method);
    let mut state = if is_template {
        FlowState::template(method)
    } else {
        FlowState::new(number, method, false)
    };
    if record.flags.has(Flags::NO_CLIENT_PORT) {
        state = state.without_client_port();
    }
    let no_output = record.flags.has(Flags::NO_OUTPUT) || is_template && state.no_output();
    let is_active = !record.flags.has(Flags::INACTIVE);
    let state = state.moved(number, no_output, is_active).synced();
    let own_s = || {
        let protocol = Protocol::from_number(record.key.protocol).unwrap_or(Protocol::Udp);
        let state = State::from_number(protocol, number);
        state.map_or(TEMPLATE_S, |state| snapshot.timeouts.of(state))
    };
    let timeout_s = match record.timeout_s {
        0 if is_template => TEMPLATE_S,
        0 => own_s(),
        given => given.min(TIMEOUT_MAX_S),
    };
    NewFlow {
        key: record.key,
        state,
        deadline: now.plus_seconds(timeout_s),
        destination: found.map_or_else(|| director.slots.nobody(), |(id, _)| id),
        server: record.server,
        server_port: record.server_port,
        created: now,
        controller: FlowId::NONE,
        lifetime_s: if is_template { timeout_s } else { 0 },
        salt: 0,
    }
}

fn method_of(record: &Record) -> Method {
    match record.flags.0 & 7 {
        0 => Method::Masquerading,
        1 => Method::Local,
        2 => Method::Tunneling,
        3 => Method::DirectRouting,
        _ => Method::Bypass,
    }
}

/// Moves a connection that is there to the state of the record, and restarts its timer.
fn update(director: &Director, id: FlowId, flow: &NewFlow) {
    let entry = director.flows.entry(id);
    loop {
        let old = entry.state();
        let new = old.moved(flow.state.number(), old.no_output(), flow.state.is_active());
        if old.is_ended() {
            return;
        }
        // A worker may be moving it, too.
        if entry.exchange_state(old, new) {
            if old.is_active() != new.is_active() {
                director.slots.set_active(entry.destination(), new.is_active());
            }
            break;
        }
    }
    entry.set_deadline(flow.deadline);
    if flow.lifetime_s != 0 {
        entry.set_lifetime_s(flow.lifetime_s);
    }
}
