//! Where packets to an address leave: connected subnets and configured routes.

use std::net::IpAddr;

use crate::interface::{Interface, InterfaceAddress, InterfaceId};

/// A configured route. `via` lies in the subnet of an interface, or is a link-local address of
/// the interface that is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    pub to: InterfaceAddress,
    pub via: IpAddr,
    /// The interface that the gateway is on, where its address alone does not say so.
    pub interface: Option<InterfaceId>,
}

impl Route {
    /// A route whose gateway lies in the subnet of an interface.
    pub const fn new(to: InterfaceAddress, via: IpAddr) -> Self {
        Self { to, via, interface: None }
    }
}

/// Where a packet goes on the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hop {
    pub interface: InterfaceId,
    /// The neighbour to send to: the address itself or a gateway.
    pub neighbour: IpAddr,
}

/// Longest-prefix lookup. Small: an operator writes it by hand.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    /// Longest prefix first; of equal ones connected subnets come first.
    table: Vec<(InterfaceAddress, InterfaceId, Option<IpAddr>)>,
}

impl Routes {
    /// The routes of these interfaces (whose place is their id) and those that were configured.
    /// A route whose gateway no interface reaches leads nowhere, and is left out.
    pub fn new(interfaces: &[Interface], configured: &[Route]) -> Self {
        let ids = (0..=u8::MAX).map(InterfaceId);
        let connected = interfaces.iter().zip(ids).flat_map(|(interface, id)| {
            let link_local =
                InterfaceAddress { address: interface.link_local().into(), prefix: 64 };
            let own = interface.addresses.iter().copied();
            own.chain(std::iter::once(link_local)).map(move |address| (address, id, None))
        });
        let mut table: Vec<_> = connected.collect();
        for route in configured {
            let direct = |entry: &&(InterfaceAddress, InterfaceId, Option<IpAddr>)| {
                entry.2.is_none() && entry.0.contains(route.via)
            };
            let found = table.iter().filter(direct).max_by_key(|entry| entry.0.prefix);
            if let Some(id) = route.interface.or_else(|| found.map(|entry| entry.1)) {
                table.push((route.to, id, Some(route.via)));
            }
        }
        table.sort_by_key(|(to, _, _)| std::cmp::Reverse(to.prefix));
        Self { table }
    }

    /// Network, interface, gateway, in the order in which they are tried.
    pub fn rows(&self) -> impl Iterator<Item = (InterfaceAddress, InterfaceId, Option<IpAddr>)> {
        self.table.iter().copied()
    }

    /// The way to an address; `None` where no route leads.
    pub fn hop(&self, to: IpAddr) -> Option<Hop> {
        let (_, interface, via) = self.table.iter().find(|(subnet, _, _)| subnet.contains(to))?;
        Some(Hop { interface: *interface, neighbour: via.unwrap_or(to) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::MacAddress;

    fn interface(id: u8, address: &str, prefix: u8) -> Interface {
        let mac = MacAddress([2, 0, 0, 0, 0, id]);
        let address: IpAddr = address.parse().unwrap();
        Interface::new("lan", InterfaceId(id), mac, 1500).with_address(address, prefix)
    }

    fn route(to: &str, prefix: u8, via: &str) -> Route {
        let to = InterfaceAddress { address: to.parse().unwrap(), prefix };
        Route::new(to, via.parse().unwrap())
    }

    fn hop(routes: &Routes, to: &str) -> Option<(u8, String)> {
        routes.hop(to.parse().unwrap()).map(|hop| (hop.interface.0, hop.neighbour.to_string()))
    }

    #[test]
    fn the_longest_prefix_wins() {
        let interfaces = [interface(0, "10.0.10.61", 24), interface(1, "10.0.20.61", 24)];
        let routes = Routes::new(
            &interfaces,
            &[
                route("0.0.0.0", 0, "10.0.10.1"),
                route("10.0.20.128", 25, "10.0.10.2"),
                route("10.9.0.0", 16, "10.0.20.9"),
                route("192.0.2.0", 24, "10.7.0.9"),
            ],
        );
        let hop = |to: &str| hop(&routes, to);
        assert_eq!(hop("10.0.10.83"), Some((0, "10.0.10.83".to_owned())));
        assert_eq!(hop("10.0.20.83"), Some((1, "10.0.20.83".to_owned())));
        assert_eq!(hop("10.0.20.200"), Some((0, "10.0.10.2".to_owned())));
        assert_eq!(hop("10.9.1.1"), Some((1, "10.0.20.9".to_owned())));
        assert_eq!(hop("198.51.100.1"), Some((0, "10.0.10.1".to_owned())));
        assert_eq!(
            hop("192.0.2.1"),
            Some((0, "10.0.10.1".to_owned())),
            "a gateway that is on no interface is no way"
        );
    }

    #[test]
    fn without_a_route_there_is_no_hop() {
        let routes = Routes::new(&[interface(0, "10.0.10.61", 24)], &[]);
        assert_eq!(hop(&routes, "192.0.2.1"), None);
        assert_eq!(hop(&routes, "fd00::1"), None);
    }

    #[test]
    fn families_do_not_mix_and_link_local_gateways_name_their_interface() {
        let interfaces = [interface(0, "10.0.10.61", 24), interface(1, "fd00:2::1", 64)];
        let to = InterfaceAddress { address: "::".parse().unwrap(), prefix: 0 };
        let via = "fe80::1".parse().unwrap();
        let default = Route { to, via, interface: Some(InterfaceId(1)) };
        let routes = Routes::new(&interfaces, &[default]);
        assert_eq!(hop(&routes, "fd00:2::9"), Some((1, "fd00:2::9".to_owned())));
        assert_eq!(hop(&routes, "2001:db8::1"), Some((1, "fe80::1".to_owned())));
        assert_eq!(hop(&routes, "192.0.2.1"), None);
    }
}
