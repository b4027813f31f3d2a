//! Connections and templates to look at, to count, and to end.
//!
//! The flow table is shared and may be large. Whoever looks at it here walks it in pieces and
//! without the control plane's lock; who ends connections takes the lock for a piece at a time.
//! What is read of an entry holds for a moment only: before one is ended, it is asked again under
//! the lock of its bucket whether it is still meant.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use super::Control;
use super::flow_filter::FlowMatcher;
use super::record::ServiceRecord;
use crate::clock::Tick;
use crate::closings::Ending;
use crate::destination::ForwardingMethod;
use crate::director::Director;
use crate::flow::{FlowId, FlowKey, FlowState};
use crate::protocol::Protocol;
use crate::service::ServiceKey;
use crate::slots::DestinationId;
use crate::state::State;

/// Entries of the table that one step looks at.
const PIECE: usize = 4096;

/// A connection or persistence template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowRow {
    /// IP protocol number; 0 is the template of a mark service.
    pub protocol: u8,
    pub client: (IpAddr, u16),
    pub virtual_end: (IpAddr, u16),
    pub server: (IpAddr, u16),
    pub method: ForwardingMethod,
    pub state: &'static str,
    pub is_template: bool,
    pub is_active: bool,
    /// The slot of its real server, by which its service is known.
    pub destination: DestinationId,
    /// Seconds until it ends if no packet comes.
    pub expires_s: u32,
    /// Seconds since its first packet.
    pub age_s: u32,
    /// Connections that depend on it.
    pub controlled: u32,
    /// Its persistence engine's data.
    pub call: Option<String>,
}

/// A part of the connections that are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowPage {
    pub rows: Vec<FlowRow>,
    /// How many more there are behind these.
    pub more: u64,
    /// Where to begin for the next ones.
    pub next: Option<usize>,
}

/// What connections have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlowGroup {
    pub protocol: u8,
    pub state: &'static str,
    pub server: (IpAddr, u16),
    pub is_template: bool,
}

/// The real server that a slot belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotOwner {
    pub service: ServiceKey,
    pub address: IpAddr,
    pub port: u16,
}

/// What an attempt to end connections has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Killed {
    pub connections: u64,
    pub templates: u64,
    /// Templates and control connections of FTP that stay, as connections that were not meant
    /// depend on them.
    pub needed: u64,
}

/// A walk over the connections of a director.
#[derive(Debug)]
pub struct FlowWalk<'a> {
    director: &'a Director,
    matcher: &'a FlowMatcher,
    now: Tick,
}

impl<'a> FlowWalk<'a> {
    /// A walk over what `matcher` takes.
    pub const fn new(director: &'a Director, matcher: &'a FlowMatcher, now: Tick) -> Self {
        Self { director, matcher, now }
    }

    /// At most `limit` of them from a place of the table on.
    pub fn page(&self, from: usize, limit: usize) -> FlowPage {
        let mut page = FlowPage::default();
        for place in from..self.director.flows.high_water() {
            let Some((id, key)) = self.matching(place..place + 1).next() else { continue };
            if page.rows.len() < limit {
                page.rows.extend(self.row(id, &key));
            } else {
                page.next.get_or_insert(place);
                page.more += 1;
            }
        }
        page
    }

    /// How many there are of each group.
    pub fn count(&self) -> BTreeMap<FlowGroup, u64> {
        let mut groups = BTreeMap::new();
        for (id, key) in self.matching(0..self.director.flows.high_water()) {
            let entry = self.director.flows.entry(id);
            let state = entry.state();
            let group = FlowGroup {
                protocol: key.protocol,
                state: state_name(key.protocol, state),
                server: (self.director.flows.server(id).to_ip(), entry.server_port()),
                is_template: state.is_template(),
            };
            *groups.entry(group).or_default() += 1;
        }
        groups
    }

    fn matching(&self, range: Range<usize>) -> impl Iterator<Item = (FlowId, FlowKey)> {
        let live = self.director.flows.live(range);
        live.filter(|(id, key)| self.matcher.takes(self.director, *id, key))
    }

    /// The row of an entry, if it is still what it was.
    fn row(&self, id: FlowId, key: &FlowKey) -> Option<FlowRow> {
        let flows = &self.director.flows;
        let (entry, cold) = (flows.entry(id), flows.cold(id));
        let state = entry.state();
        let row = FlowRow {
            protocol: key.protocol,
            client: (key.client.to_ip(), key.client_port),
            virtual_end: (key.virtual_address.to_ip(), key.virtual_port),
            server: (flows.server(id).to_ip(), entry.server_port()),
            method: state.method(),
            state: state_name(key.protocol, state),
            is_template: state.is_template(),
            is_active: state.is_active(),
            destination: entry.destination(),
            expires_s: entry.deadline().seconds_since(self.now),
            age_s: self.now.seconds_since(cold.created()),
            controlled: cold.controlled(),
            call: self.director.calls.text(id),
        };
        (flows.key(id) == Some(*key)).then_some(row)
    }
}

/// In which order connections end: those that others depend on, last.
const PASSES: [fn(FlowState) -> bool; 3] = [
    |state| !state.may_control(),
    |state| state.may_control() && !state.is_template(),
    FlowState::is_template,
];

/// Ends connections and templates that a filter takes, piece by piece.
#[derive(Debug)]
pub struct FlowKill {
    director: Arc<Director>,
    matcher: FlowMatcher,
    pass: usize,
    place: usize,
    killed: Killed,
}

impl FlowKill {
    /// Nothing has ended yet.
    pub const fn new(director: Arc<Director>, matcher: FlowMatcher) -> Self {
        Self {
            director,
            matcher,
            pass: 0,
            place: 0,
            killed: Killed { connections: 0, templates: 0, needed: 0 },
        }
    }

    /// Looks at the next piece of the table, without a lock, and returns those of it that are
    /// meant; `None` when the walk is over. They are to be given to [`FlowKill::end`].
    pub fn find(&mut self) -> Option<Vec<FlowId>> {
        let end = self.director.flows.high_water();
        if self.place >= end {
            (self.pass, self.place) = (self.pass + 1, 0);
        }
        let is_meant = PASSES.get(self.pass)?;
        let upto = (self.place + PIECE).min(end);
        let found = self.director.flows.live(self.place..upto).filter(|(id, key)| {
            is_meant(self.director.flows.entry(*id).state())
                && self.matcher.takes(&self.director, *id, key)
        });
        let found = found.map(|(id, _)| id).collect();
        self.place = upto.max(1);
        Some(found)
    }

    /// Ends what was found, if it is still there and meant.
    pub fn end(&mut self, control: &mut Control, found: &[FlowId]) {
        let Self { director, matcher, killed, .. } = self;
        for &id in found {
            let entry = director.flows.entry(id);
            let mut is_needed = false;
            let mut is_template = false;
            let is_over = |_: &_| {
                is_template = entry.state().is_template();
                let is_meant =
                    director.flows.key(id).is_some_and(|key| matcher.takes(director, id, &key));
                is_needed = is_meant && director.is_needed(id);
                is_meant && !is_needed
            };
            if director.flows.remove_if(id, is_over) {
                control.settle(id);
                *(if is_template { &mut killed.templates } else { &mut killed.connections }) += 1;
            }
            killed.needed += u64::from(is_needed);
        }
    }

    /// What was done so far.
    pub const fn killed(&self) -> Killed {
        self.killed
    }
}

impl Control {
    /// The time, as of the last tick.
    pub const fn now(&self) -> Tick {
        self.now
    }

    /// The service of each slot in use.
    pub fn services_of_slots(&self) -> HashMap<DestinationId, ServiceKey> {
        let removed = self.trash.rows().map(|(key, _, _, id)| (id, *key));
        let present = self.services.values().flat_map(|record: &ServiceRecord| {
            record.servers().map(|(_, id, _)| (id, *record.key()))
        });
        removed.chain(present).collect()
    }

    /// The real server of each slot in use, and its service.
    pub fn owners_of_slots(&self) -> HashMap<DestinationId, SlotOwner> {
        let removed = self
            .trash
            .rows()
            .map(|(key, address, port, id)| (id, SlotOwner { service: *key, address, port }));
        let present = self.services.values().flat_map(|record: &ServiceRecord| {
            record.servers().map(|(server, id, _)| {
                let (address, port) = (server.address, server.port);
                (id, SlotOwner { service: *record.key(), address, port })
            })
        });
        removed.chain(present).collect()
    }

    /// Takes a connection that was removed from the table out of the counts.
    fn settle(&mut self, id: FlowId) {
        let director = &self.director;
        let ended = &director.flows_ended;
        director.settle_connection(id, &mut self.limbo, ended, Ending::Killed);
    }
}

/// The name of a state, as listings have it.
pub(crate) fn state_name(protocol: u8, state: FlowState) -> &'static str {
    if state.is_template() {
        return if state.number() == FlowState::ASSURED { "ASSURED" } else { "NONE" };
    }
    Protocol::from_number(protocol)
        .and_then(|protocol| State::from_number(protocol, state.number()))
        .map_or("?", State::name)
}
