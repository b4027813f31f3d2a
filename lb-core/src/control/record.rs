//! A service and its real servers as the control plane keeps them, and what workers see of it.

use std::net::IpAddr;
use std::sync::Arc;

use super::support;
use crate::counters::sum_destination;
use crate::destination::Destination;
use crate::director::Director;
use crate::estimator::Estimator;
use crate::operations::{DestinationRow, ServiceRow, Stats};
use crate::route::Hop;
use crate::sched::{Candidates, Scheduler};
use crate::service::{Service, ServiceKey};
use crate::slots::DestinationId;
use crate::virtual_service::{RealServer, VirtualService};

/// A virtual service.
#[derive(Debug)]
pub(super) struct ServiceRecord {
    pub(super) service: Service,
    /// Tells it from an earlier service with the same key.
    pub(super) number: u64,
    /// Oldest first: `-a` appends. The kernel's order is the reverse.
    pub(super) destinations: Vec<DestinationRecord>,
    /// What workers see of it; remade by every change, from the scheduler's memory of before.
    path: Option<Arc<VirtualService>>,
    /// What removed destinations had counted, less what returned ones had.
    pub(super) departed: Stats,
    estimator: Estimator,
}

/// What a scheduler is told when its service is remade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tell {
    /// Nothing: it goes on.
    Nothing,
    /// Destinations were added, removed or edited.
    Changed,
    /// It begins anew.
    Start,
}

/// A real server of a service.
#[derive(Debug)]
pub(super) struct DestinationRecord {
    pub(super) destination: Destination,
    pub(super) id: DestinationId,
    /// The way to it; `None` where no route leads.
    pub(super) hop: Option<Hop>,
    /// What its counters showed when it was zeroed last.
    pub(super) baseline: Stats,
    pub(super) estimator: Estimator,
}

impl DestinationRecord {
    pub(super) const fn is_at(&self, address: IpAddr, port: u16) -> bool {
        let same = match (self.destination.address, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => a.to_bits() == b.to_bits(),
            (IpAddr::V6(a), IpAddr::V6(b)) => a.to_bits() == b.to_bits(),
            _ => false,
        };
        same && self.destination.port == port
    }

    pub(super) fn stats(&self, director: &Director) -> Stats {
        sum_destination(&director.counters, self.id).since(self.baseline)
    }
}

impl ServiceRecord {
    /// A service without real servers.
    pub(super) fn new(service: Service, number: u64) -> Self {
        Self {
            service,
            number,
            destinations: Vec::new(),
            path: None,
            departed: Stats::default(),
            estimator: Estimator::default(),
        }
    }

    /// What workers see of the service, if packets can be for it.
    pub(super) fn on_the_path(&self) -> Option<Arc<VirtualService>> {
        self.path.clone()
    }

    pub(super) const fn key(&self) -> &ServiceKey {
        &self.service.key
    }

    /// Its real servers, each with the way to it.
    pub(super) fn ways_mut(
        &mut self,
    ) -> impl Iterator<Item = (&Destination, DestinationId, &mut Option<Hop>)> {
        self.destinations.iter_mut().map(|record| (&record.destination, record.id, &mut record.hop))
    }

    /// Its real servers.
    pub(super) fn destinations(&self) -> impl Iterator<Item = &DestinationRecord> {
        self.destinations.iter()
    }

    pub(super) fn destinations_count(&self) -> usize {
        self.destinations.len()
    }

    /// Remakes what workers see. `tell` says whether the scheduler learns of a change.
    pub(super) fn rebuild(&mut self, director: &Director, tell: Tell) {
        if tell == Tell::Start {
            self.close_scheduler(director);
        }
        let (ids, servers): (Vec<_>, Vec<_>) = self
            .destinations
            .iter()
            .rev()
            .filter(|record| support::is_reachable(&record.destination))
            .map(|record| {
                let Destination { address, port, method, .. } = record.destination;
                (record.id, RealServer { address: address.into(), port, method })
            })
            .unzip();
        let candidates = Candidates { ids: &ids, servers: &servers, slots: &director.slots };
        let scheduler = match (&self.path, tell) {
            (Some(path), Tell::Nothing) => Arc::clone(&path.scheduler),
            (Some(path), Tell::Changed) => {
                Arc::new(path.scheduler.changed(&path.destinations, candidates))
            }
            _ => {
                let name = &self.service.scheduler;
                let scheduler = Scheduler::start(name, candidates, director.hasher);
                Arc::new(scheduler.unwrap_or(Scheduler::None))
            }
        };
        candidates.arrange(scheduler.is_indexed());
        let path = VirtualService::new(&self.service, scheduler, ids.into(), servers.into());
        self.path = Some(Arc::new(path));
    }

    /// The service's scheduler.
    pub(super) fn scheduler(&self) -> Option<&Scheduler> {
        self.path.as_deref().map(|path| path.scheduler.as_ref())
    }

    /// The scheduler's time is over.
    pub(super) fn close_scheduler(&self, director: &Director) {
        if let Some(scheduler) = self.scheduler() {
            scheduler.close(&director.slots);
        }
    }

    fn stats(&self, director: &Director) -> Stats {
        let present = self.destinations.iter().map(|record| record.stats(director));
        present.fold(self.departed, Stats::plus)
    }

    pub(super) fn row(&self, director: &Director) -> ServiceRow {
        let destinations = self.destinations.iter().rev().map(|record| {
            let slot = director.slots.get(record.id);
            DestinationRow {
                destination: record.destination,
                active: slot.active(),
                inactive: slot.inactive(),
                persistent: slot.persistent(),
                stats: record.stats(director),
                rates: record.estimator.rates(),
            }
        });
        ServiceRow {
            service: self.service.clone(),
            stats: self.stats(director),
            rates: self.estimator.rates(),
            destinations: destinations.collect(),
        }
    }

    /// Statistics begin at 0 again.
    pub(super) fn zero(&mut self, director: &Director) {
        self.estimator.zero(self.stats(director));
        self.departed = Stats::default();
        for record in &mut self.destinations {
            record.estimator.zero(record.stats(director));
            record.baseline = sum_destination(&director.counters, record.id);
        }
    }

    /// Moves the rates on; returns what its real servers counted since the director started.
    pub(super) fn estimate(&mut self, director: &Director) -> Stats {
        let (mut counted, mut shown) = (Stats::default(), self.departed);
        for record in &mut self.destinations {
            let sum = sum_destination(&director.counters, record.id);
            let stats = sum.since(record.baseline);
            record.estimator.estimate(stats);
            (counted, shown) = (counted.plus(sum), shown.plus(stats));
        }
        self.estimator.estimate(shown);
        counted
    }

    /// What its real servers counted since the director started, zeroed or not.
    pub(super) fn counted(&self, director: &Director) -> Stats {
        let sums = self.destinations.iter().map(|it| sum_destination(&director.counters, it.id));
        sums.fold(Stats::default(), Stats::plus)
    }
}
