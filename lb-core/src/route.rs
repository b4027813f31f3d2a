//! Where packets to an address leave: connected subnets and configured routes.

use std::net::Ipv4Addr;

use crate::interface::{Interface, InterfaceAddress, InterfaceId};

/// A configured route. `via` lies in the subnet of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    pub to: InterfaceAddress,
    pub via: Ipv4Addr,
}

/// Where a packet goes on the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hop {
    pub interface: InterfaceId,
    /// The neighbour to send to: the address itself or a gateway.
    pub neighbour: Ipv4Addr,
}

/// Longest-prefix lookup for the control plane, which resolves each real server once; the packet
/// path never looks up a route.
#[derive(Debug, Default)]
pub struct Routes {
    connected: Vec<(InterfaceAddress, InterfaceId)>,
    configured: Vec<Route>,
}

impl Routes {
    /// The routes of these interfaces (whose place is their id) and those that were configured.
    pub fn new(interfaces: &[Interface], configured: Vec<Route>) -> Self {
        let connected = interfaces
            .iter()
            .zip((0..=u8::MAX).map(InterfaceId))
            .flat_map(|(interface, id)| interface.addresses.iter().map(move |&a| (a, id)))
            .collect();
        Self { connected, configured }
    }

    /// The way to an address; `None` where no route leads.
    pub fn hop(&self, to: Ipv4Addr) -> Option<Hop> {
        let connected = self.connected(to);
        let configured = self
            .configured
            .iter()
            .filter(|route| route.to.contains(to))
            .max_by_key(|route| route.to.prefix);
        match (connected, configured) {
            (Some((prefix, interface)), route)
                if route.is_none_or(|route| prefix >= route.to.prefix) =>
            {
                Some(Hop { interface, neighbour: to })
            }
            (_, Some(route)) => {
                let (_, interface) = self.connected(route.via)?;
                Some(Hop { interface, neighbour: route.via })
            }
            _ => None,
        }
    }

    fn connected(&self, to: Ipv4Addr) -> Option<(u8, InterfaceId)> {
        self.connected
            .iter()
            .filter(|(subnet, _)| subnet.contains(to))
            .max_by_key(|(subnet, _)| subnet.prefix)
            .map(|(subnet, id)| (subnet.prefix, *id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::MacAddress;

    fn interface(address: [u8; 4], prefix: u8) -> Interface {
        Interface {
            name: "lan0".to_owned(),
            mac: MacAddress([2, 0, 0, 0, 0, 1]),
            mtu: 1500,
            addresses: vec![InterfaceAddress { address: address.into(), prefix }],
        }
    }

    fn subnet(address: [u8; 4], prefix: u8) -> InterfaceAddress {
        InterfaceAddress { address: address.into(), prefix }
    }

    #[test]
    fn the_longest_prefix_wins() {
        let interfaces = [interface([10, 0, 10, 61], 24), interface([10, 0, 20, 61], 24)];
        let routes = Routes::new(
            &interfaces,
            vec![
                Route { to: subnet([0, 0, 0, 0], 0), via: [10, 0, 10, 1].into() },
                Route { to: subnet([10, 0, 20, 128], 25), via: [10, 0, 10, 2].into() },
                Route { to: subnet([10, 9, 0, 0], 16), via: [10, 0, 20, 9].into() },
                Route { to: subnet([10, 8, 0, 0], 16), via: [10, 7, 0, 9].into() },
            ],
        );
        let hop =
            |to: [u8; 4]| routes.hop(to.into()).map(|h| (h.interface.0, h.neighbour.octets()));
        assert_eq!(hop([10, 0, 10, 83]), Some((0, [10, 0, 10, 83])));
        assert_eq!(hop([10, 0, 20, 83]), Some((1, [10, 0, 20, 83])));
        assert_eq!(hop([10, 0, 20, 200]), Some((0, [10, 0, 10, 2])));
        assert_eq!(hop([10, 9, 1, 1]), Some((1, [10, 0, 20, 9])));
        assert_eq!(hop([192, 0, 2, 1]), Some((0, [10, 0, 10, 1])));
        assert_eq!(hop([10, 8, 0, 1]), None, "its gateway is on no interface");
    }

    #[test]
    fn without_a_route_there_is_no_hop() {
        let routes = Routes::new(&[interface([10, 0, 10, 61], 24)], Vec::new());
        assert_eq!(routes.hop([192, 0, 2, 1].into()), None);
    }
}
