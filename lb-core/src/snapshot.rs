//! What the workers see of the configuration: an immutable picture, replaced as a whole.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::destination::ForwardingMethod;
use crate::hash::FlowHasher;
use crate::interface::{Interface, InterfaceId};
use crate::protocol::Protocol;
use crate::sched::{Candidates, Scheduler};
use crate::settings::Settings;
use crate::slots::{DestinationId, DestinationSlots};
use crate::state::Timeouts;

/// A destination as a new connection needs it.
#[derive(Clone, Copy, Debug)]
pub struct RealServer {
    pub address: Ipv4Addr,
    pub port: u16,
    pub method: ForwardingMethod,
}

/// A virtual service as the packet path sees it.
#[derive(Debug)]
pub struct VirtualService {
    pub protocol: Protocol,
    pub address: Ipv4Addr,
    pub port: u16,
    pub scheduler: Scheduler,
    /// Newest first, as the kernel keeps them.
    pub destinations: Box<[DestinationId]>,
    /// In the same order.
    pub servers: Box<[RealServer]>,
}

impl VirtualService {
    /// Asks the scheduler for a real server.
    pub fn schedule(&self, slots: &DestinationSlots) -> Option<(DestinationId, RealServer)> {
        let place = self.scheduler.pick(Candidates { ids: &self.destinations, slots })?;
        Some((self.destinations[place], self.servers[place]))
    }
}

/// Key of the service index: protocol, address and port in one word.
const fn service_key(protocol: u8, address: u32, port: u16) -> u64 {
    (protocol as u64) << 48 | (port as u64) << 32 | address as u64
}

/// The picture. Built by the control thread, read by workers for the length of a burst.
#[derive(Debug)]
pub struct Snapshot {
    services: HashMap<u64, Arc<VirtualService>, FlowHasher>,
    /// Addresses that the director answers for.
    local: HashSet<u32, FlowHasher>,
    pub interfaces: Arc<[Interface]>,
    pub timeouts: Timeouts,
    pub settings: Settings,
}

impl Snapshot {
    /// A picture of these services and addresses.
    pub fn new(
        hasher: FlowHasher,
        services: impl Iterator<Item = Arc<VirtualService>>,
        local: impl Iterator<Item = Ipv4Addr>,
        interfaces: Arc<[Interface]>,
        timeouts: Timeouts,
        settings: Settings,
    ) -> Self {
        let mut by_key = HashMap::with_hasher(hasher);
        let mut addresses = HashSet::with_hasher(hasher);
        addresses.extend(local.map(Ipv4Addr::to_bits));
        for service in services {
            let address = service.address.to_bits();
            addresses.insert(address);
            by_key.insert(service_key(service.protocol.number(), address, service.port), service);
        }
        Self { services: by_key, local: addresses, interfaces, timeouts, settings }
    }

    /// The service of a packet to `address` and `port`.
    ///
    /// Order of the lookup: `ip_vs_service_find` in the kernel. Marks, FTP data ports and port 0
    /// come before and after the exact match once services can have them.
    pub fn service(&self, protocol: u8, address: u32, port: u16) -> Option<&VirtualService> {
        self.services.get(&service_key(protocol, address, port)).map(Arc::as_ref)
    }

    /// Whether the director answers for an address.
    pub fn is_local(&self, address: Ipv4Addr) -> bool {
        self.local.contains(&address.to_bits())
    }

    /// All addresses that the director answers for.
    pub fn local_addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.local.iter().copied().map(Ipv4Addr::from_bits)
    }

    /// An interface.
    #[inline]
    pub fn interface(&self, id: InterfaceId) -> &Interface {
        &self.interfaces[usize::from(id.0)]
    }
}
