//! The addresses that the director answers for: by configuration, by its services, by command.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::Control;
use crate::interface::Interface;
use crate::service::ServiceKey;

/// Why the director has an address, or has it not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressOrigin {
    /// An interface has it.
    Interface,
    /// It stands under `vips`.
    Configured,
    /// It was taken by command.
    Taken,
    /// A service has it.
    Service,
    /// It was withdrawn by command.
    Withdrawn,
}

impl AddressOrigin {
    /// The word in listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Interface => "interface",
            Self::Configured => "configured",
            Self::Taken => "taken",
            Self::Service => "service",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// A line of `sluicectl vip list`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRow {
    pub address: IpAddr,
    pub origin: AddressOrigin,
    /// Whether the director answers for it now.
    pub is_owned: bool,
}

/// Why an address cannot be taken or withdrawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOwnable {
    #[error("{0} is not a unicast address; name one that a host can have")]
    NotUnicast(IpAddr),
    #[error("{0} is the address of an interface, which the director keeps; change `ports`")]
    OfInterface(IpAddr),
    #[error("{0} is no address of the director; `sluicectl vip list` shows them")]
    Unknown(IpAddr),
}

/// What was configured and what was commanded.
#[derive(Debug)]
pub(super) struct Owned {
    of_interfaces: BTreeSet<IpAddr>,
    /// Under `vips` or taken by command, in this order of precedence.
    pub(super) named: BTreeMap<IpAddr, AddressOrigin>,
    withdrawn: BTreeSet<IpAddr>,
    pub(super) own_service_addresses: bool,
}

impl Owned {
    /// The addresses of these interfaces and these VIPs.
    pub(super) fn new(interfaces: &[Interface], vips: &[IpAddr], of_services: bool) -> Self {
        let of_interfaces = interfaces.iter().flat_map(|interface| &interface.addresses);
        Self {
            of_interfaces: of_interfaces.map(|address| address.address).collect(),
            named: vips.iter().map(|&vip| (vip, AddressOrigin::Configured)).collect(),
            withdrawn: BTreeSet::new(),
            own_service_addresses: of_services,
        }
    }

    fn row(&self, address: IpAddr) -> AddressRow {
        if self.of_interfaces.contains(&address) {
            return AddressRow { address, origin: AddressOrigin::Interface, is_owned: true };
        }
        if self.withdrawn.contains(&address) {
            return AddressRow { address, origin: AddressOrigin::Withdrawn, is_owned: false };
        }
        match self.named.get(&address) {
            Some(&origin) => AddressRow { address, origin, is_owned: true },
            None => {
                let is_owned = self.own_service_addresses;
                AddressRow { address, origin: AddressOrigin::Service, is_owned }
            }
        }
    }
}

impl Control {
    /// Takes an address, or gives it up. `false`: nothing changed. What is taken is announced at
    /// the next tick.
    ///
    /// # Errors
    ///
    /// Addresses of interfaces stay; what no host can have cannot be taken.
    pub fn set_owned(&mut self, address: IpAddr, is_owned: bool) -> Result<bool, NotOwnable> {
        if super::support::check_unicast(address).is_err() || address.is_loopback() {
            return Err(NotOwnable::NotUnicast(address));
        }
        if self.owned.of_interfaces.contains(&address) {
            return Err(NotOwnable::OfInterface(address));
        }
        let before = self.address_rows().into_iter().find(|row| row.address == address);
        let was_owned = before.is_some_and(|row| row.is_owned);
        if was_owned == is_owned {
            return if before.is_some() { Ok(false) } else { Err(NotOwnable::Unknown(address)) };
        }
        if is_owned {
            self.owned.withdrawn.remove(&address);
            if !self.owned.row(address).is_owned || before.is_none() {
                self.owned.named.insert(address, AddressOrigin::Taken);
            }
        } else if self.owned.named.get(&address) == Some(&AddressOrigin::Taken) {
            self.owned.named.remove(&address);
            if self.address_rows().iter().any(|row| row.address == address && row.is_owned) {
                self.owned.withdrawn.insert(address);
            }
        } else {
            self.owned.withdrawn.insert(address);
        }
        // Its connections stay, but packets of them are for another host now.
        self.tells_apart |= !is_owned;
        self.changed = true;
        Ok(true)
    }

    /// All addresses that are known, owned or not, in their order.
    pub fn address_rows(&self) -> Vec<AddressRow> {
        let Owned { of_interfaces, named, withdrawn, .. } = &self.owned;
        let of_services = self.services.iter().filter_map(|(key, _)| match key {
            ServiceKey::Address { address, .. } => Some(*address),
            ServiceKey::Mark { .. } => None,
        });
        let all: BTreeSet<IpAddr> = of_interfaces
            .iter()
            .chain(named.keys())
            .chain(withdrawn)
            .copied()
            .chain(of_services)
            .collect();
        all.into_iter().map(|address| self.owned.row(address)).collect()
    }

    /// The addresses that the director answers for.
    pub(super) fn owned_addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.address_rows().into_iter().filter(|row| row.is_owned).map(|row| row.address)
    }
}
