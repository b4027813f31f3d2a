//! Which service a packet is for: the lookup of `ip_vs_service_find`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::address::Address;
use crate::destination::ForwardingMethod;
use crate::hash::FlowHasher;
use crate::protocol::Protocol;
use crate::service::{Family, ServiceKey};
use crate::slots::DestinationId;
use crate::virtual_service::VirtualService;

/// The port of FTP's control connections, and the one that its data connections come from.
pub(crate) const FTP_PORT: u16 = 21;
pub(crate) const FTP_DATA_PORT: u16 = 20;

/// The first port that programs without privileges get (`ip_unprivileged_port_start`): passive FTP
/// uses those.
const UNPRIVILEGED_PORT: u16 = 1024;

/// Protocol and port, address.
type AddressKey = (u32, u128);

const fn address_key(protocol: u8, address: Address, port: u16) -> AddressKey {
    ((protocol as u32) << 16 | port as u32, address.bits())
}

/// Ends of NAT servers; of mark services with protocol 0. Pictures share them as long as there are
/// no others.
#[derive(Clone, Debug)]
pub struct NatServers(Arc<HashSet<AddressKey, FlowHasher>>);

impl NatServers {
    fn of(hasher: FlowHasher, services: &[Arc<VirtualService>]) -> Self {
        let nat = services.iter().flat_map(|service| {
            let protocol = protocol_number(service);
            let nat = service.servers.iter().filter(|server| is_nat(server.method));
            nat.map(move |server| address_key(protocol, server.address, server.port))
        });
        let mut ends = HashSet::with_capacity_and_hasher(nat.clone().count(), hasher);
        ends.extend(nat);
        Self(Arc::new(ends))
    }
}

const fn protocol_number(service: &VirtualService) -> u8 {
    match service.key {
        ServiceKey::Address { protocol, .. } => protocol.number(),
        ServiceKey::Mark { .. } => 0,
    }
}

const fn is_nat(method: ForwardingMethod) -> bool {
    matches!(method, ForwardingMethod::Masquerading)
}

/// All services of a picture.
#[derive(Debug)]
pub struct Services {
    by_address: HashMap<AddressKey, Arc<VirtualService>, FlowHasher>,
    by_mark: HashMap<(u32, bool), Arc<VirtualService>, FlowHasher>,
    nat_servers: NatServers,
    /// NAT servers that may begin connections themselves: of services with an engine.
    callers: HashMap<AddressKey, (Arc<VirtualService>, DestinationId), FlowHasher>,
    has_ftp: bool,
    has_port_zero: bool,
    destinations: usize,
}

impl Services {
    /// The index of these services. `nat_servers` are theirs, where those are known.
    pub fn new(
        hasher: FlowHasher,
        services: impl Iterator<Item = Arc<VirtualService>>,
        nat_servers: Option<NatServers>,
    ) -> Self {
        let services: Vec<_> = services.collect();
        let mut all = Self {
            by_address: HashMap::with_capacity_and_hasher(services.len(), hasher),
            by_mark: HashMap::with_hasher(hasher),
            nat_servers: nat_servers.unwrap_or_else(|| NatServers::of(hasher, &services)),
            callers: HashMap::with_hasher(hasher),
            has_ftp: false,
            has_port_zero: false,
            destinations: services.iter().map(|service| service.destinations.len()).sum(),
        };
        services.into_iter().for_each(|service| all.insert(service));
        all
    }

    /// How many destinations they have together.
    #[inline]
    pub const fn destinations(&self) -> usize {
        self.destinations
    }

    /// The NAT servers of all of them.
    pub fn nat_servers(&self) -> NatServers {
        self.nat_servers.clone()
    }

    fn insert(&mut self, service: Arc<VirtualService>) {
        let protocol = protocol_number(&service);
        if service.engine.is_some() && service.mark().is_none() && service.port() != 0 {
            let ends = service.servers.iter().zip(service.destinations.iter());
            let nat = ends.filter(|(server, _)| is_nat(server.method) && server.port != 0);
            self.callers.extend(nat.map(|(server, &id)| {
                let key = address_key(protocol, server.address, server.port);
                (key, (Arc::clone(&service), id))
            }));
        }
        match service.key {
            ServiceKey::Address { protocol, address, port } => {
                self.has_ftp |= port == FTP_PORT && protocol == Protocol::Tcp;
                self.has_port_zero |= port == 0;
                let key = address_key(protocol.number(), address.into(), port);
                self.by_address.insert(key, service);
            }
            ServiceKey::Mark { mark, family } => {
                self.by_mark.insert((mark, family == Family::V4), service);
            }
        }
    }

    /// The service of a packet with that mark to `address` and `port`: the mark's, else the exact
    /// one, else the FTP service whose data connection it may be, else that of all ports.
    pub fn find(
        &self,
        mark: u32,
        protocol: u8,
        address: Address,
        port: u16,
    ) -> Option<&VirtualService> {
        if mark != 0
            && let Some(service) = self.by_mark.get(&(mark, address.is_v4()))
        {
            return Some(service);
        }
        let at = |port| self.by_address.get(&address_key(protocol, address, port));
        let may_be_ftp = || {
            self.has_ftp
                && protocol == Protocol::Tcp.number()
                && (port == FTP_DATA_PORT || port >= UNPRIVILEGED_PORT)
        };
        at(port)
            .or_else(|| may_be_ftp().then(|| at(FTP_PORT)).flatten())
            .or_else(|| self.has_port_zero.then(|| at(0)).flatten())
            .map(Arc::as_ref)
    }

    /// The services of marks, each with its mark.
    pub fn of_marks(&self) -> impl Iterator<Item = (u32, &VirtualService)> {
        self.by_mark.iter().map(|(&(mark, _), service)| (mark, service.as_ref()))
    }

    /// Whether some real server may begin connections itself.
    #[inline]
    pub fn have_callers(&self) -> bool {
        !self.callers.is_empty()
    }

    /// The service of a NAT server that may begin connections itself, by its end.
    pub fn caller(
        &self,
        protocol: u8,
        address: Address,
        port: u16,
    ) -> Option<(&VirtualService, DestinationId)> {
        let (service, id) = self.callers.get(&address_key(protocol, address, port))?;
        Some((service, *id))
    }

    /// Whether this is the end of a NAT server (`ip_vs_has_real_service`).
    pub fn has_nat_server(&self, protocol: u8, address: Address, port: u16) -> bool {
        let NatServers(ends) = &self.nat_servers;
        ends.contains(&address_key(protocol, address, port))
            || ends.contains(&address_key(0, address, port))
    }
}
