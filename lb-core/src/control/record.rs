//! A service and its real servers as the control plane keeps them, and what workers see of it.

use std::net::IpAddr;
use std::sync::Arc;

use super::ordered_map::OrderedMap;
use super::support;
use crate::counters::sum_destination;
use crate::destination::Destination;
use crate::director::Director;
use crate::estimator::Estimator;
use crate::hash::FlowHasher;
use crate::operations::{DestinationRow, ServiceRow, Stats};
use crate::route::Hop;
use crate::sched::{Candidates, Change, Rounds, Scheduler, Weights};
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
    destinations: OrderedMap<End, DestinationRecord>,
    weights: Weights,
    /// What workers see of it.
    path: Option<Arc<VirtualService>>,
    pending: Pending,
    /// What removed destinations had counted, less what returned ones had.
    departed: Stats,
    estimator: Estimator,
}

/// The address and port of a real server.
pub(super) type End = (IpAddr, u16);

/// What workers do not see yet. The scheduler is told of each change when they will.
#[derive(Debug, Default)]
struct Pending {
    /// Something changed.
    is_any: bool,
    /// The list of real servers did, or where they are, or how packets get there.
    is_list: bool,
    /// A scheduler begins, with these weights.
    start: Option<Rounds>,
    /// Destinations were added, removed or edited since then, or since workers saw it last.
    changes: Vec<Change>,
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
    const fn end(&self) -> End {
        (self.destination.address, self.destination.port)
    }

    pub(super) fn stats(&self, director: &Director) -> Stats {
        sum_destination(&director.counters, self.id).since(self.baseline)
    }
}

impl ServiceRecord {
    /// A service without real servers.
    pub(super) fn new(service: Service, number: u64) -> Self {
        let mut record = Self {
            service,
            number,
            destinations: OrderedMap::default(),
            weights: Weights::default(),
            path: None,
            pending: Pending::default(),
            departed: Stats::default(),
            estimator: Estimator::default(),
        };
        record.start_scheduler();
        record
    }

    pub(super) const fn key(&self) -> &ServiceKey {
        &self.service.key
    }

    /// What workers see of the service, if packets can be for it.
    pub(super) fn on_the_path(&self) -> Option<Arc<VirtualService>> {
        self.path.clone()
    }

    /// Its real servers, each with the way to it.
    pub(super) fn ways_mut(
        &mut self,
    ) -> impl Iterator<Item = (&Destination, DestinationId, &mut Option<Hop>)> {
        let records = self.destinations.values_mut();
        records.map(|record| (&record.destination, record.id, &mut record.hop))
    }

    /// Its real servers in the order of its row: newest first.
    pub(super) fn servers(
        &self,
    ) -> impl Iterator<Item = (&Destination, DestinationId, Option<Hop>)> {
        let records = self.destinations.values().rev();
        records.map(|record| (&record.destination, record.id, record.hop))
    }

    /// Its real servers, oldest first.
    pub(super) const fn destinations(&self) -> &OrderedMap<End, DestinationRecord> {
        &self.destinations
    }

    /// A real server, of which what is said to the scheduler is not changed.
    pub(super) fn destination_mut(&mut self, end: End) -> Option<&mut DestinationRecord> {
        self.destinations.get_mut(&end)
    }

    /// `-a`
    pub(super) fn add(&mut self, record: DestinationRecord, director: &Director) {
        // What a returned destination had counted is counted by itself again.
        self.departed = self.departed.since(record.stats(director));
        if support::is_reachable(&record.destination) {
            self.weights.add(record.destination.weight);
        }
        self.destinations.insert(record.end(), record);
        self.pending.is_list = true;
        self.note(None);
    }

    /// `-e`: returns the slot, and the way that led to it.
    pub(super) fn edit(&mut self, to: Destination) -> Option<(DestinationId, Option<Hop>)> {
        let record = self.destinations.get_mut(&(to.address, to.port))?;
        for (destination, is_new) in [(record.destination, false), (to, true)] {
            match (support::is_reachable(&destination), is_new) {
                (false, _) => {}
                (true, false) => self.weights.remove(destination.weight),
                (true, true) => self.weights.add(destination.weight),
            }
        }
        self.pending.is_list |= record.destination.method != to.method;
        record.destination = to;
        let (id, hop) = (record.id, record.hop);
        self.note(None);
        Some((id, hop))
    }

    /// `-d`
    pub(super) fn remove(&mut self, end: End, director: &Director) -> Option<DestinationRecord> {
        let mut newer = self.destinations.after(&end);
        let before = newer.find(|other| support::is_reachable(&other.destination)).map(|it| it.id);
        drop(newer);
        let record = self.destinations.remove(&end)?;
        if support::is_reachable(&record.destination) {
            self.weights.remove(record.destination.weight);
        }
        self.departed = self.departed.plus(record.stats(director));
        self.pending.is_list = true;
        self.note(Some((record.id, before)));
        Some(record)
    }

    /// `-E`: a scheduler that stays is not told.
    pub(super) fn set(&mut self, service: Service, director: &Director) {
        let same_scheduler = self.service.scheduler == service.scheduler;
        self.service = service;
        self.pending.is_any = true;
        if !same_scheduler {
            self.close_scheduler(director);
            self.start_scheduler();
        }
    }

    fn start_scheduler(&mut self) {
        self.pending.is_any = true;
        self.pending.start = Some(self.weights.rounds());
        self.pending.changes.clear();
    }

    /// The scheduler is to learn of a change.
    fn note(&mut self, removed: Option<(DestinationId, Option<DestinationId>)>) {
        self.pending.is_any = true;
        self.pending.changes.push(Change { removed, rounds: self.weights.rounds() });
    }

    /// Makes what workers are to see, if something changed. Says whether its real servers did.
    pub(super) fn refresh(&mut self, director: &Director) -> bool {
        let pending = std::mem::take(&mut self.pending);
        if !pending.is_any {
            return false;
        }
        let same = self.path.as_deref().filter(|_| !pending.is_list);
        let (ids, servers) = match same {
            Some(path) => (Arc::clone(&path.destinations), Arc::clone(&path.servers)),
            None => self.list(),
        };
        let candidates = Candidates { ids: &ids, servers: &servers, slots: &director.slots };
        let scheduler = self.scheduler_after(&pending, candidates, director.hasher);
        // With the same list and the same scheduler every destination knows its place.
        if same.is_none() || pending.start.is_some() {
            candidates.arrange(scheduler.is_indexed());
        }
        let path = match same {
            Some(path) => path.with(&self.service, scheduler),
            None => VirtualService::new(&self.service, scheduler, ids, servers),
        };
        self.path = Some(Arc::new(path));
        pending.is_list
    }

    /// The real servers that connections can be scheduled to, newest first.
    fn list(&self) -> (Arc<[DestinationId]>, Arc<[RealServer]>) {
        let newest_first = self.destinations.values().rev();
        let (ids, servers): (Vec<_>, Vec<_>) = newest_first
            .filter(|record| support::is_reachable(&record.destination))
            .map(|record| {
                let Destination { address, port, method, .. } = record.destination;
                (record.id, RealServer { address: address.into(), port, method })
            })
            .unzip();
        (ids.into(), servers.into())
    }

    fn scheduler_after(
        &self,
        pending: &Pending,
        now: Candidates<'_>,
        hasher: FlowHasher,
    ) -> Arc<Scheduler> {
        let changes = pending.changes.as_slice();
        match (self.path.as_deref(), pending.start) {
            (Some(path), None) if changes.is_empty() => Arc::clone(&path.scheduler),
            (Some(path), None) => {
                Arc::new(path.scheduler.changed(changes, &path.destinations, now))
            }
            (_, start) => {
                let history = (start.unwrap_or_else(|| self.weights.rounds()), changes);
                let scheduler = Scheduler::begin(&self.service.scheduler, history, now, hasher);
                Arc::new(scheduler.unwrap_or(Scheduler::None))
            }
        }
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
        let present = self.destinations.values().map(|record| record.stats(director));
        present.fold(self.departed, Stats::plus)
    }

    pub(super) fn row(&self, director: &Director) -> ServiceRow {
        let destinations = self.destinations.values().rev().map(|record| {
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
        for record in self.destinations.values_mut() {
            record.estimator.zero(record.stats(director));
            record.baseline = sum_destination(&director.counters, record.id);
        }
    }

    /// Moves the rates on; returns what its real servers counted since the director started.
    pub(super) fn estimate(&mut self, director: &Director) -> Stats {
        let (mut counted, mut shown) = (Stats::default(), self.departed);
        for record in self.destinations.values_mut() {
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
        let sums = self.destinations.values().map(|it| sum_destination(&director.counters, it.id));
        sums.fold(Stats::default(), Stats::plus)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::address::Address;
    use crate::clock::Tick;
    use crate::control::{Control, Network};
    use crate::director::Limits;
    use crate::flow::{FlowTable, Storage};
    use crate::hash::FlowHasher;
    use crate::ipvsadm::{Numeric, execute, restore_words};
    use crate::sched::{Candidates, NAMES, Request};
    use crate::settings::Settings;

    fn control() -> Control {
        let hasher = FlowHasher::new([1, 2, 3]);
        let flows = FlowTable::new(64, Storage::leaked(64), hasher);
        let limits = Limits { destinations_max: 16, datagrams_max: 64 };
        Control::new(flows, limits, 1, hasher, Network::default())
    }

    #[derive(Clone, Debug)]
    enum Step {
        Command(String),
        Picks(u32),
    }

    fn step() -> impl Strategy<Value = Step> {
        const SERVICE: &str = "-t 10.0.0.100:80";
        let server = || 1_u8..7;
        let weight = || prop::sample::select(vec![0, 1, 1, 2, 3, 6, 10]);
        let command = prop_oneof![
            6 => (server(), weight()).prop_map(|(server, weight)| {
                format!("-a {SERVICE} -r 10.0.2.{server} -w {weight}")
            }),
            3 => (server(), weight()).prop_map(|(server, weight)| {
                format!("-e {SERVICE} -r 10.0.2.{server} -w {weight}")
            }),
            4 => server().prop_map(|server| format!("-d {SERVICE} -r 10.0.2.{server}")),
            1 => prop::sample::select(NAMES).prop_map(|name| format!("-E {SERVICE} -s {name}")),
            1 => Just(format!("-D {SERVICE}")),
            2 => prop::sample::select(NAMES).prop_map(|name| format!("-A {SERVICE} -s {name}")),
        ];
        prop_oneof![
            5 => command.prop_map(Step::Command),
            1 => (1_u32..12).prop_map(Step::Picks),
        ]
    }

    /// The servers of that many new connections.
    fn picks(control: &Control, count: u32) -> Vec<Option<Address>> {
        let snapshot = control.director.snapshot.load();
        let vip = Address::v4(0x0a00_0064);
        let Some(service) = snapshot.services.find(0, 6, vip, 80) else { return Vec::new() };
        let settings = Settings::default();
        let (ids, servers) = (&service.destinations, &service.servers);
        let candidates = Candidates { ids, servers, slots: &control.director.slots };
        let pick = |number| {
            let request = Request {
                client: Address::v4(0x0a00_0100 + number),
                client_port: 40000,
                destination: Address::v4(0x0a32_0000 + number % 5),
                flags: service.scheduler_flags,
                now: Tick(8),
                settings: &settings,
            };
            let place = service.scheduler.pick(&request, candidates)?;
            Some(servers[place].address)
        };
        (0..count).map(pick).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Schedulers are told of each change by itself, and do what they would do if workers had
        /// seen each change by itself.
        #[test]
        fn a_batch_does_to_schedulers_what_its_commands_do_one_by_one(
            first in prop::sample::select(NAMES),
            steps in prop::collection::vec(step(), 0..40),
        ) {
            let (mut at_once, mut one_by_one) = (control(), control());
            let begin = Step::Command(format!("-A -t 10.0.0.100:80 -s {first}"));
            for step in [begin].into_iter().chain(steps) {
                match step {
                    Step::Command(line) => {
                        let run = |control: &mut Control| {
                            execute(&restore_words(&line), &[], control, &Numeric)
                        };
                        prop_assert_eq!(run(&mut at_once), run(&mut one_by_one));
                        one_by_one.publish();
                    }
                    Step::Picks(count) => {
                        at_once.publish();
                        prop_assert_eq!(picks(&at_once, count), picks(&one_by_one, count));
                    }
                }
            }
        }
    }

    /// Pictures share the index of NAT servers only as long as it is right.
    #[test]
    fn nat_servers_are_those_of_the_services_there_are() {
        let mut control = control();
        let mut after = |line: &str| {
            let outcome = execute(&restore_words(line), &[], &mut control, &Numeric);
            assert_eq!((outcome.exit, outcome.stderr.as_str()), (0, ""), "{line}");
            control.publish();
            let services = &control.director.snapshot.load_full().services;
            let is_known =
                |last: u32| services.has_nat_server(6, Address::v4(0x0a00_0200 + last), 80);
            (is_known(1), is_known(2))
        };
        let web = "-t 10.0.0.100:80";
        assert_eq!(after(&format!("-A {web}")), (false, false));
        assert_eq!(after(&format!("-a {web} -r 10.0.2.1 -m")), (true, false));
        assert_eq!(after(&format!("-a {web} -r 10.0.2.2 -g")), (true, false));
        assert_eq!(after(&format!("-e {web} -r 10.0.2.2 -g -w 5")), (true, false));
        assert_eq!(after(&format!("-e {web} -r 10.0.2.2 -m -w 5")), (true, true));
        assert_eq!(after(&format!("-E {web} -s rr")), (true, true));
        assert_eq!(after(&format!("-e {web} -r 10.0.2.1 -i")), (false, true));
        assert_eq!(after(&format!("-d {web} -r 10.0.2.2")), (false, false));
        assert_eq!(after(&format!("-a {web} -r 10.0.2.2 -m")), (false, true));
        assert_eq!(after("-C"), (false, false));
    }
}
