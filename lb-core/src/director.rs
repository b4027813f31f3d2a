//! What all workers and the control thread share.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::counters::WorkerCounters;
use crate::drops::DropReason;
use crate::flow::{FlowId, FlowTable, Limbo};
use crate::quiescence::Epochs;
use crate::slots::DestinationSlots;
use crate::snapshot::Snapshot;

/// The shared state of a director.
#[derive(Debug)]
pub struct Director {
    pub flows: FlowTable,
    pub slots: DestinationSlots,
    /// One block for each worker, and a last one for the housekeeping thread.
    pub counters: Box<[WorkerCounters]>,
    pub epochs: Epochs,
    pub snapshot: Arc<ArcSwap<Snapshot>>,
}

impl Director {
    /// A director with `workers` workers that does nothing yet.
    pub fn new(
        flows: FlowTable,
        destinations_max: usize,
        workers: usize,
        snapshot: Arc<Snapshot>,
    ) -> Self {
        Self {
            flows,
            slots: DestinationSlots::new(destinations_max),
            counters: (0..=workers).map(|_| WorkerCounters::new(destinations_max)).collect(),
            epochs: Epochs::new(workers),
            snapshot: Arc::new(ArcSwap::new(snapshot)),
        }
    }

    /// The counters of the housekeeping thread.
    pub fn housekeeping_counters(&self) -> &WorkerCounters {
        &self.counters[self.counters.len() - 1]
    }

    /// Removes a connection and takes it out of its destination's counts. `false` if another
    /// thread did.
    pub fn end_connection(&self, id: FlowId, limbo: &mut Limbo, counters: &WorkerCounters) -> bool {
        if !self.flows.remove(id) {
            return false;
        }
        let entry = self.flows.entry(id);
        let last = entry.end_state();
        self.slots.get(entry.destination()).unbind(last.is_active());
        limbo.retire(&self.flows, id);
        counters.flows_removed.add(1);
        true
    }

    /// Connections in the table.
    pub fn flows_used(&self) -> u64 {
        let sum = |counter: fn(&WorkerCounters) -> u64| {
            self.counters.iter().map(counter).fold(0, u64::wrapping_add)
        };
        // Removals first: a connection that comes and goes in between is not counted as negative.
        let removed = sum(|counters| counters.flows_removed.get());
        sum(|counters| counters.flows_inserted.get()).saturating_sub(removed)
    }

    /// Packets that all workers dropped for a reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.counters.iter().map(|counters| counters.dropped(reason)).sum()
    }
}
