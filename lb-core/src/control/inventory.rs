//! Services with all that is known of them: what ipvsadm lists, and what it has no word for.

use std::net::IpAddr;

use super::Control;
use super::record::ServiceRecord;
use crate::next_hop::NextHop;
use crate::operations::ServiceRow;
use crate::route::Hop;
use crate::service::ServiceKey;
use crate::slots::DestinationId;
use crate::wire::MacAddress;

/// How packets get to a real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It is the director itself.
    Here,
    /// By a neighbour, whose link-layer address is known or still asked for.
    Link { hop: Hop, mac: Option<MacAddress> },
    /// No route leads to it.
    Nowhere,
}

/// A real server, besides its [`DestinationRow`](crate::operations::DestinationRow).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerDetail {
    /// It takes new connections: its weight is above 0, it is not overloaded, and the way to it is
    /// known to its end.
    pub is_usable: bool,
    /// The upper threshold was reached, and the lower one is not left behind yet.
    pub is_overloaded: bool,
    /// The last weight that was not 0; 0 where there never was one.
    pub last_weight: u32,
    pub reach: Reach,
    /// Bytes of the largest packet that the way to it takes.
    pub mtu: Option<u16>,
}

/// A service, with a detail for each of its destinations in the order of the row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetailedService {
    pub row: ServiceRow,
    pub details: Vec<ServerDetail>,
}

/// A removed real server that something still refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovedServer {
    pub service: ServiceKey,
    pub address: IpAddr,
    pub port: u16,
    pub active: u32,
    pub inactive: u32,
    pub persistent: u32,
}

impl Control {
    /// All services, or those of one key, in the order in which they were added.
    pub fn detailed_services(&self, only: Option<&ServiceKey>) -> Vec<DetailedService> {
        let wanted = self.services.values().filter(|it| only.is_none_or(|key| it.key() == key));
        wanted
            .map(|record| DetailedService {
                row: record.row(&self.director),
                details: record.servers().map(|(_, id, hop)| self.detail(id, hop)).collect(),
            })
            .collect()
    }

    /// Each service with the number of its real servers, and of those that take new connections.
    pub fn usable_servers(&self) -> impl Iterator<Item = (&ServiceKey, usize, usize)> {
        self.services.values().map(|record| {
            let usable = record.servers().filter(|(_, id, _)| self.is_usable(*id)).count();
            (record.key(), record.destinations().len(), usable)
        })
    }

    fn is_usable(&self, id: DestinationId) -> bool {
        let slot = self.director.slots.get(id);
        let is_reached = slot.next_hop().is_some() || slot.is_local();
        slot.weight() > 0 && !slot.is_overloaded() && is_reached
    }

    /// Removed real servers that connections, templates or schedulers still refer to.
    pub fn removed_servers(&self) -> Vec<RemovedServer> {
        let rows = self.trash.rows().map(|(service, address, port, id)| {
            let slot = self.director.slots.get(id);
            (
                slot.is_idle(),
                RemovedServer {
                    service: *service,
                    address,
                    port,
                    active: slot.active(),
                    inactive: slot.inactive(),
                    persistent: slot.persistent(),
                },
            )
        });
        rows.filter(|(is_idle, _)| !is_idle).map(|(_, row)| row).collect()
    }

    /// The slots of a service's real servers, removed ones included; `None` where neither the
    /// service is there nor any that was removed from it.
    pub(super) fn slots_of(&self, service: &ServiceKey) -> Option<Vec<DestinationId>> {
        let present = self.services.values().find(|record| record.key() == service);
        let removed = self.trash.rows().filter(|(key, ..)| *key == service);
        let mut ids: Vec<_> = removed.map(|(.., id)| id).collect();
        if present.is_none() && ids.is_empty() {
            return None;
        }
        ids.extend(present.into_iter().flat_map(ServiceRecord::servers).map(|(_, id, _)| id));
        Some(ids)
    }

    /// The way to the real server in a slot.
    pub fn hop_of(&self, slot: DestinationId) -> Option<Hop> {
        let servers = self.services.values().flat_map(ServiceRecord::servers);
        servers.filter(|(_, id, _)| *id == slot).find_map(|(.., hop)| hop)
    }

    fn detail(&self, id: DestinationId, hop: Option<Hop>) -> ServerDetail {
        let slot = self.director.slots.get(id);
        let reach = match hop {
            _ if slot.is_local() => Reach::Here,
            Some(hop) => Reach::Link { hop, mac: slot.next_hop().map(NextHop::mac) },
            None => Reach::Nowhere,
        };
        ServerDetail {
            is_usable: self.is_usable(id),
            is_overloaded: slot.is_overloaded(),
            last_weight: slot.last_weight(),
            reach,
            mtu: slot.mtu(),
        }
    }
}
