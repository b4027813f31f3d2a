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

mod announce;
mod services;
mod support;
mod trash;

use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::clock::{TICKS_PER_SECOND, Tick};
use crate::director::Director;
use crate::expiry::Sweeper;
use crate::flow::FlowTable;
use crate::hash::FlowHasher;
use crate::interface::{Interface, InterfaceId};
use crate::neighbour::{ArpSeen, NeighbourRow, Neighbours, Patience, Question};
use crate::route::{Hop, Route, Routes};
use crate::settings::Settings;
use crate::snapshot::Snapshot;
use crate::state::Timeouts;
use crate::wire::MacAddress;

use announce::Announcements;
use services::ServiceRecord;
use trash::Trash;

pub use support::Acceptance;

/// What surrounds a director; fixed while it runs.
#[derive(Debug)]
pub struct Network {
    pub interfaces: Vec<Interface>,
    /// Further addresses that the director answers for.
    pub vips: Vec<Ipv4Addr>,
    pub routes: Vec<Route>,
    pub permanent_neighbours: Vec<(Hop, MacAddress)>,
    pub patience: Patience,
    /// Gratuitous announcements of an address that the director begins to have.
    pub announcements: u32,
    pub announce_interval_ticks: u32,
}

impl Default for Network {
    /// No interfaces; patience and announcements as they are without a configuration.
    fn default() -> Self {
        Self {
            interfaces: Vec::new(),
            vips: Vec::new(),
            routes: Vec::new(),
            permanent_neighbours: Vec::new(),
            patience: Patience::default(),
            announcements: 3,
            announce_interval_ticks: 2 * TICKS_PER_SECOND,
        }
    }
}

/// A frame's worth of ARP that the control plane wants to have sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArpOut {
    /// Who has that address?
    Ask(Question),
    /// An address of ours is here: gratuitous ARP (RFC 5227 section 3).
    Announce { interface: InterfaceId, address: Ipv4Addr },
}

/// The control plane.
#[derive(Debug)]
pub struct Control {
    director: Arc<Director>,
    acceptance: Acceptance,
    hasher: FlowHasher,
    interfaces: Arc<[Interface]>,
    vips: Vec<Ipv4Addr>,
    routes: Routes,
    neighbours: Neighbours,
    announcements: Announcements,
    timeouts: Timeouts,
    settings: Settings,
    services: Vec<ServiceRecord>,
    services_made: u64,
    trash: Trash,
    now: Tick,
    /// What is configured differs from the snapshot that workers see.
    changed: bool,
    /// Snapshots that a worker may still look at. They are freed here, never on a worker.
    retired: Vec<Arc<Snapshot>>,
}

impl Control {
    /// A director with its control plane: no services yet. `hasher` should have random secrets.
    pub fn new(
        flows: FlowTable,
        destinations_max: usize,
        workers: usize,
        hasher: FlowHasher,
        network: Network,
    ) -> Self {
        let interfaces: Arc<[Interface]> = network.interfaces.into();
        let routes = Routes::new(&interfaces, network.routes);
        let mut neighbours = Neighbours::new(network.patience);
        for (hop, mac) in network.permanent_neighbours {
            neighbours.set_permanent(hop, mac);
        }
        let (timeouts, settings) = (Timeouts::default(), Settings::default());
        let empty = Snapshot::new(
            hasher,
            std::iter::empty(),
            std::iter::empty(),
            Arc::clone(&interfaces),
            timeouts,
            settings,
        );
        let director = Director::new(flows, destinations_max, workers, Arc::new(empty));
        let mut control = Self {
            director: Arc::new(director),
            acceptance: Acceptance::default(),
            hasher,
            interfaces,
            vips: network.vips,
            routes,
            neighbours,
            announcements: Announcements::new(
                network.announcements,
                network.announce_interval_ticks,
            ),
            timeouts,
            settings,
            services: Vec::new(),
            services_made: 0,
            trash: Trash::new(destinations_max),
            now: Tick::default(),
            changed: true,
            retired: Vec::new(),
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

    /// Switches of the connection handling.
    pub fn set_settings(&mut self, settings: Settings) {
        self.changed |= settings != self.settings;
        self.settings = settings;
    }

    /// Makes all changes since the last call visible to the workers, from their next burst on.
    pub fn publish(&mut self) {
        if !std::mem::take(&mut self.changed) {
            return;
        }
        let snapshot = Arc::new(Snapshot::new(
            self.hasher,
            self.services.iter().filter_map(ServiceRecord::on_the_path),
            self.own_addresses(),
            Arc::clone(&self.interfaces),
            self.timeouts,
            self.settings,
        ));
        self.announcements.set_addresses(snapshot.local_addresses(), self.now);
        self.retired.push(self.director.snapshot.swap(snapshot));
    }

    /// The addresses that the configuration gives to the director.
    fn own_addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        let of_interfaces = self.interfaces.iter().flat_map(|interface| &interface.addresses);
        of_interfaces.map(|address| address.address).chain(self.vips.iter().copied())
    }

    /// Regular work, about once per tick: returns the ARP that is to be sent now. Publishes.
    pub fn tick(&mut self, now: Tick) -> Vec<ArpOut> {
        self.now = now;
        self.publish();
        self.retired.retain(|snapshot| Arc::strong_count(snapshot) > 1);
        self.trash.empty(now, &self.director);
        let questions = self.neighbours.questions(now, &self.director.slots);
        let mut out: Vec<_> = questions.into_iter().map(ArpOut::Ask).collect();
        for address in self.announcements.due(now) {
            out.extend(
                self.announced_on(address).map(|interface| ArpOut::Announce { interface, address }),
            );
        }
        out
    }

    /// The interfaces in whose subnet an address is; all of them if it is in none.
    fn announced_on(&self, address: Ipv4Addr) -> impl Iterator<Item = InterfaceId> + '_ {
        let within =
            move |interface: &Interface| interface.addresses.iter().any(|a| a.contains(address));
        let nowhere = !self.interfaces.iter().any(within);
        (0..=u8::MAX)
            .map(InterfaceId)
            .zip(self.interfaces.iter())
            .filter(move |(_, interface)| nowhere || within(interface))
            .map(|(id, _)| id)
    }

    /// A worker saw an ARP packet.
    pub fn arp_seen(&mut self, seen: &ArpSeen) {
        self.neighbours.seen(seen, self.now, &self.director.slots);
    }

    /// All neighbours.
    pub fn neighbours(&self) -> impl Iterator<Item = NeighbourRow> {
        self.neighbours.rows()
    }

    /// The interfaces.
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// An address of ours on an interface, to ask with: one in the subnet of `target` if there is
    /// one.
    pub fn source_address(&self, interface: InterfaceId, target: Ipv4Addr) -> Option<Ipv4Addr> {
        let addresses = &self.interfaces.get(usize::from(interface.0))?.addresses;
        let within = addresses.iter().find(|address| address.contains(target));
        within.or_else(|| addresses.first()).map(|address| address.address)
    }

    /// Virtual services.
    pub fn services_count(&self) -> usize {
        self.services.len()
    }

    /// Real servers of all services.
    pub fn destinations_count(&self) -> usize {
        self.services.iter().map(ServiceRecord::destinations_count).sum()
    }

    /// A sweeper for this director's connections, for the housekeeping thread.
    pub fn sweeper(&self) -> Sweeper {
        Sweeper::default()
    }
}
