//! What all workers and the control thread share.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arc_swap::ArcSwap;

use crate::clock::Tick;
use crate::closings::{Closings, Ending};
use crate::counters::{Counter, WorkerCounters};
use crate::course::Course;
use crate::drops::DropReason;
use crate::flow::{FlowId, FlowState, FlowTable, Limbo};
use crate::fragment::Tracker;
use crate::ftp::Sessions;
use crate::hash::FlowHasher;
use crate::overload::DropRate;
use crate::quiescence::Epochs;
use crate::sip::Calls;
use crate::slots::{DestinationId, DestinationSlots};
use crate::snapshot::Snapshot;
use crate::ways::Ways;

/// Seconds that a connection whose time is over lives on at a time while others depend on it.
const POSTPONED_S: u32 = 60;

/// What is fixed at start besides the flow table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Real servers, removed ones with connections included.
    pub destinations_max: usize,
    /// Datagrams of which fragments are under way.
    pub datagrams_max: usize,
}

impl Limits {
    /// Datagrams that are tracked unless somebody says otherwise.
    pub const DATAGRAMS: usize = 4096;

    /// The limits of so many real servers.
    pub const fn of_destinations(destinations_max: usize) -> Self {
        Self { destinations_max, datagrams_max: Self::DATAGRAMS }
    }
}

/// The shared state of a director.
#[derive(Debug)]
pub struct Director {
    pub flows: FlowTable,
    pub slots: DestinationSlots,
    /// One block for each worker, and a last one for the housekeeping thread.
    pub counters: Box<[WorkerCounters]>,
    pub epochs: Epochs,
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    pub ways: Arc<ArcSwap<Ways>>,
    /// Datagrams of which fragments are under way.
    pub fragments: Tracker<Course>,
    /// FTP control connections under NAT.
    pub ftp: Arc<Sessions>,
    /// Templates of SIP calls.
    pub calls: Arc<Calls>,
    /// Of how many packets that would begin a connection one is dropped.
    pub drop_rate: DropRate,
    /// Connections that have ended, if somebody writes them down.
    pub closings: Closings,
    /// Entries that commands ended; counted by who holds the control plane's lock.
    pub(crate) flows_ended: Counter,
    /// Set when a server is removed whose connections are to end, until the sweeper sees it.
    pub(crate) has_orphans: AtomicBool,
    /// With secrets of this process.
    pub(crate) hasher: FlowHasher,
}

impl Director {
    /// A director with `workers` workers that does nothing yet.
    pub fn new(
        flows: FlowTable,
        limits: Limits,
        workers: usize,
        snapshot: Arc<Snapshot>,
        ways: Arc<Ways>,
        hasher: FlowHasher,
    ) -> Self {
        let destinations_max = limits.destinations_max;
        Self {
            flows,
            slots: DestinationSlots::new(destinations_max),
            // One more than there are destinations: see `DestinationSlots::nobody`.
            counters: (0..=workers).map(|_| WorkerCounters::new(destinations_max + 1)).collect(),
            epochs: Epochs::new(workers),
            snapshot: Arc::new(ArcSwap::new(snapshot)),
            ways: Arc::new(ArcSwap::new(ways)),
            fragments: Tracker::new(limits.datagrams_max, hasher),
            ftp: Arc::default(),
            calls: Arc::default(),
            drop_rate: DropRate::default(),
            closings: Closings::default(),
            flows_ended: Counter::default(),
            has_orphans: AtomicBool::new(false),
            hasher,
        }
    }

    /// The counters of the housekeeping thread.
    pub fn housekeeping_counters(&self) -> &WorkerCounters {
        &self.counters[self.counters.len() - 1]
    }

    /// Removes a connection and takes it out of its destination's counts. `false` if another
    /// thread did.
    pub fn end_connection(
        &self,
        id: FlowId,
        limbo: &mut Limbo,
        counters: &WorkerCounters,
        ending: Ending,
    ) -> bool {
        let removed = self.flows.remove(id);
        if removed {
            self.settle_connection(id, limbo, &counters.flows_removed, ending);
        }
        removed
    }

    /// Ends a connection whose time is over, or, with `if_orphaned`, whose destination was
    /// removed. For the housekeeping thread, which is no worker: the entry may have become another
    /// connection since it was looked at, so it is looked at again under the bucket's lock.
    pub fn expire_connection(
        &self,
        id: FlowId,
        now: Tick,
        if_orphaned: bool,
        limbo: &mut Limbo,
        counters: &WorkerCounters,
    ) -> bool {
        let is_over = |_: &_| self.is_over(id, now) || if_orphaned && self.is_orphaned(id);
        let removed = is_over(self.flows.entry(id)) && self.flows.remove_if(id, is_over);
        if removed {
            let ending = if if_orphaned && now.is_before(self.flows.entry(id).deadline()) {
                Ending::ServerRemoved
            } else {
                Ending::Expired
            };
            self.settle_connection(id, limbo, &counters.flows_removed, ending);
        }
        removed
    }

    /// Whether a connection's time is over. One that controls others lives on in steps of a minute
    /// until nobody depends on it (`ip_vs_conn_expire`).
    #[inline]
    pub fn is_over(&self, id: FlowId, now: Tick) -> bool {
        let entry = self.flows.entry(id);
        if now.is_before(entry.deadline()) {
            return false;
        }
        let is_needed = self.is_needed(id);
        if is_needed {
            entry.set_deadline(now.plus_seconds(POSTPONED_S));
            entry.set_lifetime_s(POSTPONED_S);
        }
        !is_needed
    }

    /// Whether other connections depend on one.
    pub(crate) fn is_needed(&self, id: FlowId) -> bool {
        self.flows.entry(id).state().may_control() && self.flows.cold(id).controlled() > 0
    }

    /// Whether a connection's destination was removed, and nobody depends on it
    /// (`ip_vs_expire_nodest_conn_flush`).
    fn is_orphaned(&self, id: FlowId) -> bool {
        let destination = self.flows.entry(id).destination();
        !self.slots.get(destination).is_available() && !self.is_needed(id)
    }

    /// A connection begins or ends that another one controls.
    pub(crate) fn control(&self, controller: FlowId, begins: bool) {
        if controller.is_some() {
            self.flows.cold(controller).count_controlled(begins);
        }
    }

    /// Takes a connection that the caller has removed from the table out of the counts. `removed`
    /// is the caller's own.
    pub(crate) fn settle_connection(
        &self,
        id: FlowId,
        limbo: &mut Limbo,
        removed: &Counter,
        ending: Ending,
    ) {
        let entry = self.flows.entry(id);
        let last = entry.end_state();
        self.closings.note(self, id, last, ending);
        self.count_connection(entry.destination(), last, false);
        self.control(self.flows.cold(id).controller(), false);
        if last.is_ftp() {
            self.ftp.forget(id);
        }
        if self.flows.is_salted(id) {
            self.calls.forget(id);
        }
        limbo.retire(&self.flows, id);
        removed.add(1);
    }

    /// A connection or template in that state begins or ends: its destination counts it.
    pub(crate) fn count_connection(&self, of: DestinationId, state: FlowState, begins: bool) {
        match (state.is_template(), begins) {
            (true, true) => self.slots.get(of).bind_template(),
            (true, false) => self.slots.get(of).unbind_template(),
            (false, true) => self.slots.bind(of, state.is_active()),
            (false, false) => self.slots.unbind(of, state.is_active()),
        }
    }

    /// Connections and templates in the table.
    pub fn flows_used(&self) -> u64 {
        let sum = |counter: fn(&WorkerCounters) -> u64| {
            self.counters.iter().map(counter).fold(0, u64::wrapping_add)
        };
        // Removals first: a connection that comes and goes in between is not counted as negative.
        let removed = self.flows_removed();
        sum(|counters| counters.flows_inserted.get()).saturating_sub(removed)
    }

    /// Connections and templates that were taken out of the table.
    pub fn flows_removed(&self) -> u64 {
        let by_threads = self.counters.iter().map(|counters| counters.flows_removed.get());
        by_threads.fold(self.flows_ended.get(), u64::wrapping_add)
    }

    /// A connection got somewhere: its template is told.
    pub(crate) fn assure_template(&self, id: FlowId) {
        self.assure(self.flows.cold(id).controller());
        let entry = self.flows.entry(id);
        let state = entry.state();
        // Who loses against another worker comes here again.
        entry.exchange_state(state, state.assured());
    }

    /// A connection under a template got somewhere: it outlives the connection when memory runs
    /// short (`ip_vs_control_assure_ct`).
    pub(crate) fn assure(&self, template: FlowId) {
        let entry = self.flows.entry(template);
        let state = entry.state();
        if state.is_template() && state.number() != FlowState::ASSURED {
            // Who loses against another worker has the same to say.
            let assured = state.moved(FlowState::ASSURED, state.no_output(), false);
            entry.exchange_state(state, assured);
        }
    }

    /// Packets that all workers dropped for a reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.counters.iter().map(|counters| counters.dropped(reason)).sum()
    }
}
