//! The control plane's side of the director: what is configured, and its publication.
//!
//! ```text
//! a command ─► Operations (services.rs): the table of services, as IPVS would change it
//!                 │ slots, next hops            │ marks the picture as old
//!                 ▼                             ▼
//!           DestinationSlots              publish(): a new Snapshot for the workers
//! ```
//!
//! One thread at a time works here (the caller holds a lock); workers only ever see snapshots.
//! Changes become visible with [`Control::publish`], so that a batch of commands costs one
//! snapshot.

mod addresses;
mod announce;
mod checks;
mod defence;
mod departures;
mod drain;
mod flow_filter;
pub(crate) mod flows;
mod inventory;
mod local_servers;
mod ordered_map;
mod paths;
mod record;
mod services;
mod support;
mod surroundings;
mod sync;
mod totals;
mod transaction;
mod trash;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use crate::clock::{TICKS_PER_SECOND, Tick};
use crate::director::{Director, Limits};
use crate::expiry::Sweeper;
use crate::flow::{FlowTable, Limbo};
use crate::hash::FlowHasher;
use crate::interface::{Interface, InterfaceId};
use crate::marks::{MarkRules, Marks};
use crate::neighbour::{NeighbourRow, NeighbourSeen, Neighbours, Patience, Question};
use crate::punt::PuntRules;
use crate::route::{Hop, Route, Routes};
use crate::service::ServiceKey;
use crate::settings::Settings;
use crate::slots::DestinationId;
use crate::snapshot::{Contents, Snapshot};
use crate::state::Timeouts;
use crate::sync::Daemons;
use crate::ways::Ways;
use crate::wire::MacAddress;

use addresses::Owned;
use announce::Announcements;
use departures::Departures;
use ordered_map::OrderedMap;
use paths::PathMtus;
use record::ServiceRecord;
use totals::RunningTotals;
use trash::Trash;

pub use addresses::{AddressOrigin, AddressRow, NotOwnable};
pub use drain::{DrainError, DrainRow};
pub use flow_filter::{
    Clients, FilterError, FlowFilter, FlowMatcher, FlowProtocol, ServerEnd, StateName,
};
pub use flows::{FlowGroup, FlowKill, FlowPage, FlowRow, FlowWalk, Killed, SlotOwner};
pub use inventory::{DetailedService, Reach, RemovedServer, ServerDetail};
pub use support::Acceptance;

/// What surrounds a director. Its interfaces are fixed while it runs; the rest can be changed
/// ([`Control::set_surroundings`]).
#[derive(Debug)]
pub struct Network {
    pub interfaces: Vec<Interface>,
    /// Further addresses that the director answers for.
    pub vips: Vec<IpAddr>,
    /// Whether the director answers for the address of every service; else only for `vips` and
    /// what it is told to take ([`Control::set_owned`]).
    pub own_service_addresses: bool,
    pub routes: Vec<Route>,
    pub permanent_neighbours: Vec<(Hop, MacAddress)>,
    pub patience: Patience,
    /// Neighbours that packets may want, besides those that the configuration needs.
    pub neighbours_max: usize,
    /// What goes to the host's kernel although a service would take it.
    pub punt_rules: PuntRules,
    /// Announcements of an address that the director begins to have.
    pub announcements: u32,
    pub announce_interval_ticks: u32,
}

impl Default for Network {
    /// No interfaces; patience and announcements as they are without a configuration.
    fn default() -> Self {
        Self {
            interfaces: Vec::new(),
            vips: Vec::new(),
            own_service_addresses: true,
            routes: Vec::new(),
            permanent_neighbours: Vec::new(),
            patience: Patience::default(),
            neighbours_max: 4096,
            punt_rules: PuntRules::default(),
            announcements: 3,
            announce_interval_ticks: 2 * TICKS_PER_SECOND,
        }
    }
}

/// A frame's worth of ARP or neighbour discovery that the control plane wants to have sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NeighbourOut {
    /// Who has that address?
    Ask(Question),
    /// An address of ours is here: gratuitous ARP (RFC 5227 section 3), unsolicited neighbour
    /// advertisement (RFC 4861 section 7.2.6).
    Announce { interface: InterfaceId, address: IpAddr },
}

/// The control plane.
#[derive(Debug)]
pub struct Control {
    director: Arc<Director>,
    acceptance: Acceptance,
    hasher: FlowHasher,
    interfaces: Arc<[Interface]>,
    owned: Owned,
    routes: Routes,
    neighbours: Neighbours,
    path_mtus: PathMtus,
    punt_rules: PuntRules,
    mark_rules: MarkRules,
    /// What workers see of them.
    marks: Arc<Marks>,
    /// The rules differ from that.
    marks_changed: bool,
    announcements: Announcements,
    timeouts: Timeouts,
    settings: Settings,
    services: OrderedMap<ServiceKey, ServiceRecord>,
    services_made: u64,
    trash: Trash,
    departures: Departures,
    totals: RunningTotals,
    /// Connections that commands ended, until no worker can hold them any more.
    limbo: Limbo,
    now: Tick,
    /// When the room for connections is looked at next.
    defence_due: Tick,
    /// What is configured differs from the snapshot that workers see.
    changed: bool,
    /// A NAT destination was there at some time, or an address was withdrawn: connections outlive
    /// both. See [`Snapshot::tells_apart`].
    tells_apart: bool,
    /// The addresses of the director as the workers were told last. A real server that has one is
    /// the director itself.
    own_addresses: BTreeSet<IpAddr>,
    /// There was such a real server at some time.
    has_local_servers: bool,
    ways_made: u32,
    /// Shared with the housekeeping thread, which does their work.
    daemons: Arc<Mutex<Daemons>>,
    /// Pictures that a worker may still look at. They are freed here, never on a worker.
    retired: Vec<Arc<Snapshot>>,
    retired_ways: Vec<Arc<Ways>>,
}

impl Control {
    /// A director with its control plane: no services yet. `hasher` should have random secrets.
    pub fn new(
        flows: FlowTable,
        limits: Limits,
        workers: usize,
        hasher: FlowHasher,
        network: Network,
    ) -> Self {
        let interfaces: Arc<[Interface]> = network.interfaces.into();
        let routes = Routes::new(&interfaces, &network.routes);
        let mut neighbours = Neighbours::new(network.patience, network.neighbours_max);
        for gateway in surroundings::gateways(&routes, &network.routes) {
            neighbours.keep_gateway(gateway);
        }
        let permanent = network.permanent_neighbours.into_iter();
        permanent.for_each(|(hop, mac)| neighbours.set_permanent(hop, mac));
        let announcements =
            Announcements::new(network.announcements, network.announce_interval_ticks);
        let (timeouts, settings) = (Timeouts::default(), Settings::default());
        let empty = Contents {
            services: std::iter::empty(),
            nat_servers: None,
            local: std::iter::empty(),
            interfaces: Arc::clone(&interfaces),
            timeouts,
            settings,
            punt_rules: PuntRules::default(),
            marks: Arc::default(),
            tells_apart: false,
            has_local_servers: false,
        };
        let snapshot = Arc::new(Snapshot::new(hasher, empty));
        let ways = Arc::new(Ways::new(hasher, routes.clone(), std::iter::empty(), 1));
        let director = Director::new(flows, limits, workers, snapshot, ways, hasher);
        let mut control = Self {
            director: Arc::new(director),
            acceptance: Acceptance::default(),
            hasher,
            owned: Owned::new(&interfaces, &network.vips, network.own_service_addresses),
            interfaces,
            routes,
            neighbours,
            path_mtus: PathMtus::default(),
            punt_rules: network.punt_rules,
            mark_rules: MarkRules::default(),
            marks: Arc::default(),
            marks_changed: false,
            announcements,
            timeouts,
            settings,
            services: OrderedMap::default(),
            services_made: 0,
            trash: Trash::new(limits.destinations_max),
            departures: Departures::default(),
            totals: RunningTotals::default(),
            limbo: Limbo::default(),
            now: Tick::default(),
            defence_due: Tick::default(),
            changed: true,
            tells_apart: false,
            own_addresses: BTreeSet::new(),
            has_local_servers: false,
            ways_made: 1,
            daemons: Arc::default(),
            retired: Vec::new(),
            retired_ways: Vec::new(),
        };
        control.publish();
        control
    }

    /// What this control plane shares with workers.
    pub const fn director(&self) -> &Arc<Director> {
        &self.director
    }

    /// What commands may ask for; see [`Acceptance`].
    pub const fn set_acceptance(&mut self, acceptance: Acceptance) {
        self.acceptance = acceptance;
    }

    /// The rules that mark packets.
    pub const fn mark_rules(&self) -> &MarkRules {
        &self.mark_rules
    }

    /// Changes the rules that mark packets, knowing the interfaces.
    ///
    /// # Errors
    ///
    /// Those of the change, which then has to have changed nothing.
    pub fn change_marks<T, E>(
        &mut self,
        change: impl FnOnce(&mut MarkRules, &[Interface]) -> Result<T, E>,
    ) -> Result<T, E> {
        let done = change(&mut self.mark_rules, &self.interfaces)?;
        self.changed = true;
        self.marks_changed = true;
        Ok(done)
    }

    /// Makes all changes since the last call visible to the workers, from their next burst on.
    pub fn publish(&mut self) {
        let mut same_servers = !self.settle_departures();
        self.publish_ways();
        if !std::mem::take(&mut self.changed) {
            return;
        }
        if std::mem::take(&mut self.marks_changed) {
            self.marks = Arc::new(Marks::new(&self.mark_rules, &self.interfaces, self.hasher));
        }
        let director = &self.director;
        for record in self.services.values_mut() {
            same_servers &= !record.refresh(director);
        }
        let before = same_servers.then(|| director.snapshot.load().services.nat_servers());
        let addresses: BTreeSet<_> = self.owned_addresses().collect();
        self.set_own_addresses(addresses);
        let link_locals = self.interfaces.iter().map(|interface| interface.link_local().into());
        let contents = Contents {
            services: self.services.values().filter_map(ServiceRecord::on_the_path),
            nat_servers: before,
            local: self.own_addresses.iter().map(|&address| address.into()).chain(link_locals),
            interfaces: Arc::clone(&self.interfaces),
            timeouts: self.timeouts,
            settings: self.settings,
            punt_rules: self.punt_rules.clone(),
            marks: Arc::clone(&self.marks),
            // Fragments of intercepted datagrams have to be followed, too.
            tells_apart: self.tells_apart || self.marks.intercepts(),
            has_local_servers: self.has_local_servers,
        };
        let snapshot = Arc::new(Snapshot::new(self.hasher, contents));
        self.announcements.set_addresses(self.own_addresses.iter().copied(), self.now);
        self.retired.push(self.director.snapshot.swap(snapshot));
    }

    fn publish_ways(&mut self) {
        if !self.neighbours.take_changed() {
            return;
        }
        self.ways_made = self.ways_made.wrapping_add(1).max(1);
        let known = self.neighbours.known();
        let ways = Ways::new(self.hasher, self.routes.clone(), known, self.ways_made);
        self.retired_ways.push(self.director.ways.swap(Arc::new(ways)));
    }

    /// Regular work, about once per tick: returns what is to be asked and announced now.
    /// Publishes.
    pub fn tick(&mut self, now: Tick) -> Vec<NeighbourOut> {
        self.now = now;
        let questions = self.neighbours.questions(now, &self.director.slots);
        self.path_mtus.expire(now, &self.director.slots);
        if !now.is_before(self.defence_due) {
            self.defence_due = now.plus_seconds(1);
            self.adapt_defence();
        }
        self.estimate_if_due(now);
        self.publish();
        self.retired.retain(|snapshot| Arc::strong_count(snapshot) > 1);
        self.retired_ways.retain(|ways| Arc::strong_count(ways) > 1);
        for scheduler in self.services.values().filter_map(ServiceRecord::scheduler) {
            scheduler.tick(now, &self.settings, &self.director.slots);
        }
        self.limbo.release(&self.director.flows, &self.director.epochs);
        self.trash.empty(now, &self.director);
        let mut out: Vec<_> = questions.into_iter().map(NeighbourOut::Ask).collect();
        for address in self.announcements.due(now) {
            out.extend(
                self.announced_on(address)
                    .map(|interface| NeighbourOut::Announce { interface, address }),
            );
        }
        out
    }

    /// Announces all addresses anew: a link came up, and the switches behind it may know nothing of
    /// them, or where they were before.
    pub fn announce_again(&mut self) {
        self.announcements.begin_again(self.now);
    }

    /// The interfaces in whose subnet an address is; all of them if it is in none.
    fn announced_on(&self, address: IpAddr) -> impl Iterator<Item = InterfaceId> + '_ {
        let within =
            move |interface: &Interface| interface.addresses.iter().any(|a| a.contains(address));
        let nowhere = !self.interfaces.iter().any(within);
        (0..=u8::MAX)
            .map(InterfaceId)
            .zip(self.interfaces.iter())
            .filter(move |(_, interface)| nowhere || within(interface))
            .map(|(id, _)| id)
    }

    /// A worker saw ARP or neighbour discovery.
    pub fn neighbour_seen(&mut self, seen: &NeighbourSeen) {
        self.neighbours.seen(seen, self.now, &self.director.slots);
    }

    /// A packet waits for a neighbour.
    pub fn neighbour_wanted(&mut self, hop: Hop) {
        self.neighbours.want(hop);
    }

    /// A router said what the way to a tunneling destination takes.
    pub fn path_mtu_seen(&mut self, server: DestinationId, mtu: u16) {
        self.path_mtus.learn(server, mtu, self.now, &self.director.slots);
    }

    /// All neighbours.
    pub fn neighbours(&self) -> impl Iterator<Item = NeighbourRow> {
        self.neighbours.rows()
    }

    /// The ways to other networks.
    pub const fn routes(&self) -> &Routes {
        &self.routes
    }

    /// The interfaces.
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// An address of ours on an interface, to ask with.
    pub fn source_address(&self, interface: InterfaceId, target: IpAddr) -> Option<IpAddr> {
        self.interfaces.get(usize::from(interface.0))?.source_for(target)
    }

    /// Virtual services.
    pub fn services_count(&self) -> usize {
        self.services.len()
    }

    /// Real servers of all services.
    pub fn destinations_count(&self) -> usize {
        self.services.values().map(|record| record.destinations().len()).sum()
    }

    /// A sweeper for this director's connections, for the housekeeping thread.
    pub fn sweeper(&self) -> Sweeper {
        Sweeper::default()
    }
}
