//! A virtual service as the packet path sees it: immutable but for its scheduler's memory.

use std::sync::Arc;

use crate::address::Address;
use crate::destination::ForwardingMethod;
use crate::protocol::Protocol;
use crate::sched::{Candidates, Request, Scheduler};
use crate::service::{Family, SchedulerFlags, Service, ServiceKey};
use crate::slots::{DestinationId, DestinationSlots};

/// A destination as a new connection needs it.
#[derive(Clone, Copy, Debug)]
pub struct RealServer {
    pub address: Address,
    pub port: u16,
    pub method: ForwardingMethod,
}

/// How a service remembers its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Persistence {
    /// Life of a template without a new connection, seconds.
    pub timeout_s: u32,
    /// What of a client's address counts.
    mask: u128,
    /// The connections of its templates are of one packet.
    pub one_packet: bool,
}

impl Persistence {
    /// The persistence of a service; `None` where it has none.
    fn of(service: &Service) -> Option<Self> {
        let timeout_s = service.persistence_timeout_s?;
        let mask = match service.key.family() {
            // The family's mark stays.
            Family::V4 => u128::MAX << 32 | u128::from(service.netmask),
            Family::V6 => u128::MAX.unbounded_shl(128_u32.saturating_sub(service.netmask)),
        };
        Some(Self { timeout_s, mask, one_packet: service.one_packet })
    }

    /// The client as its template has it.
    pub const fn masked(&self, client: Address) -> Address {
        Address::from_bits(client.bits() & self.mask)
    }
}

/// What besides the client decides which template a packet has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// `--pe sip`: the call.
    Sip,
}

impl Engine {
    /// The engine of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        (name == Self::Sip.name()).then_some(Self::Sip)
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sip => "sip",
        }
    }
}

/// A virtual service as the packet path sees it.
#[derive(Debug)]
pub struct VirtualService {
    pub key: ServiceKey,
    /// Shared with the picture before where the scheduler was not told of a change.
    pub scheduler: Arc<Scheduler>,
    pub scheduler_flags: SchedulerFlags,
    pub persistence: Option<Persistence>,
    pub engine: Option<Engine>,
    /// UDP packets are scheduled one by one.
    pub one_packet: bool,
    /// Newest first, as the kernel keeps them.
    pub destinations: Arc<[DestinationId]>,
    /// In the same order.
    pub servers: Arc<[RealServer]>,
    /// Places of the destinations, in the order of their ids.
    places: Arc<[(DestinationId, u32)]>,
}

/// Destinations, the real servers that they are, and their places.
type List = (Arc<[DestinationId]>, Arc<[RealServer]>, Arc<[(DestinationId, u32)]>);

impl VirtualService {
    /// A service with these destinations.
    pub fn new(
        service: &Service,
        scheduler: Arc<Scheduler>,
        destinations: Arc<[DestinationId]>,
        servers: Arc<[RealServer]>,
    ) -> Self {
        let mut places: Vec<_> = destinations.iter().copied().zip(0..).collect();
        places.sort_unstable_by_key(|(id, _)| id.0);
        Self::of_list(service, scheduler, (destinations, servers, places.into()))
    }

    /// A service with the destinations of this one, which the two share.
    #[must_use]
    pub fn with(&self, service: &Service, scheduler: Arc<Scheduler>) -> Self {
        let (ids, servers) = (Arc::clone(&self.destinations), Arc::clone(&self.servers));
        Self::of_list(service, scheduler, (ids, servers, Arc::clone(&self.places)))
    }

    fn of_list(
        service: &Service,
        scheduler: Arc<Scheduler>,
        (destinations, servers, places): List,
    ) -> Self {
        Self {
            key: service.key,
            scheduler,
            scheduler_flags: service.scheduler_flags,
            persistence: Persistence::of(service),
            engine: service.persistence_engine.as_deref().and_then(Engine::from_name),
            one_packet: service.one_packet,
            destinations,
            servers,
            places,
        }
    }

    /// Asks the scheduler for a real server.
    pub fn schedule(
        &self,
        request: &Request<'_>,
        slots: &DestinationSlots,
    ) -> Option<(DestinationId, RealServer)> {
        let candidates = Candidates { ids: &self.destinations, servers: &self.servers, slots };
        let place = if slots.are_a_copy() {
            self.scheduler.twin(candidates).pick(request, candidates)?
        } else {
            self.scheduler.pick(request, candidates)?
        };
        Some((self.destinations[place], self.servers[place]))
    }

    /// The real server of a destination, if it is of this service.
    pub fn server(&self, id: DestinationId) -> Option<RealServer> {
        let found = self.places.binary_search_by_key(&id.0, |(id, _)| id.0).ok()?;
        Some(self.servers[self.places[found].1 as usize])
    }

    /// The service port; 0 is every port, and a mark service's.
    pub const fn port(&self) -> u16 {
        self.key.port()
    }

    /// The mark of a mark service.
    pub const fn mark(&self) -> Option<u32> {
        match self.key {
            ServiceKey::Mark { mark, .. } => Some(mark),
            ServiceKey::Address { .. } => None,
        }
    }

    /// Whether a server of this service may send packets of the protocol.
    pub fn has_protocol(&self, number: u8) -> bool {
        match self.key {
            ServiceKey::Address { protocol, .. } => protocol.number() == number,
            ServiceKey::Mark { .. } => Protocol::from_number(number).is_some(),
        }
    }
}
