//! What surrounds the director, changed while it runs: addresses, routes, neighbours. Interfaces
//! stay as they are.

use std::net::IpAddr;

use super::addresses::AddressOrigin;
use super::record::ServiceRecord;
use super::{Control, Network};
use crate::route::{Hop, Route, Routes};

impl Control {
    /// Lets the director live in these surroundings from now on; `network.interfaces` is not
    /// looked at. Connections stay. What was taken and withdrawn by command stays so, what is
    /// known of neighbours stays known, and real servers get the ways that lead to them now.
    pub fn set_surroundings(&mut self, network: Network) {
        self.own_configured(&network.vips, network.own_service_addresses);
        self.routes = Routes::new(&self.interfaces, &network.routes);
        let gateways: Vec<_> = gateways(&self.routes, &network.routes).collect();
        let slots = &self.director.slots;
        self.neighbours.set_patience(network.patience, network.neighbours_max);
        self.neighbours.set_configured(&gateways, &network.permanent_neighbours, slots);
        self.punt_rules = network.punt_rules;
        self.announcements.set_pace(network.announcements, network.announce_interval_ticks);
        let mut services = std::mem::take(&mut self.services);
        for (destination, id, way) in services.values_mut().flat_map(ServiceRecord::ways_mut) {
            if self.way_to(destination) != *way {
                *way = self.find_way(destination, id, *way);
            }
        }
        self.services = services;
        self.changed = true;
    }

    /// Changes the addresses that the director has by its configuration.
    fn own_configured(&mut self, vips: &[IpAddr], own_service_addresses: bool) {
        let before: Vec<_> = self.owned_addresses().collect();
        self.owned.named.retain(|_, origin| *origin != AddressOrigin::Configured);
        for &vip in vips {
            self.owned.named.entry(vip).or_insert(AddressOrigin::Configured);
        }
        self.owned.own_service_addresses = own_service_addresses;
        let after: Vec<_> = self.owned_addresses().collect();
        // Connections of what is gone stay, but packets of them are for another host now.
        self.tells_apart |= before.iter().any(|address| !after.contains(address));
    }
}

/// The neighbours behind which configured routes go on.
pub(super) fn gateways(routes: &Routes, configured: &[Route]) -> impl Iterator<Item = Hop> {
    configured
        .iter()
        .filter_map(|route| routes.hop(route.to.address).filter(|hop| hop.neighbour == route.via))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Tick;
    use crate::control::NeighbourOut;
    use crate::director::{Director, Limits};
    use crate::flow::{FlowTable, Storage};
    use crate::hash::FlowHasher;
    use crate::interface::{Interface, InterfaceAddress, InterfaceId};
    use crate::ipvsadm::{Numeric, execute, restore_words};
    use crate::neighbour::{NeighbourSeen, Patience, State};
    use crate::slots::DestinationId;
    use crate::ways::Way;
    use crate::wire::MacAddress;

    const LAN: InterfaceId = InterfaceId(0);

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn hop(text: &str) -> Hop {
        Hop { interface: LAN, neighbour: address(text) }
    }

    fn via(gateway: &str) -> Network {
        let to = InterfaceAddress { address: address("0.0.0.0"), prefix: 0 };
        Network { routes: vec![Route::new(to, address(gateway))], ..Network::default() }
    }

    /// A director at 10.0.1.1/24 with a real server behind a gateway and one on the link.
    fn control(network: Network) -> Control {
        let hasher = FlowHasher::new([1, 2, 3]);
        let flows = FlowTable::new(64, Storage::leaked(64), hasher);
        let limits = Limits { destinations_max: 16, datagrams_max: 64 };
        let mac = MacAddress([2, 0, 0, 0, 0, 0x61]);
        let lan = Interface::new("lan0", LAN, mac, 1500).with_address([10, 0, 1, 1], 24);
        let network = Network { interfaces: vec![lan], ..network };
        let mut control = Control::new(flows, limits, 1, hasher, network);
        for line in [
            "-A -t 10.0.0.100:80",
            "-a -t 10.0.0.100:80 -r 192.0.2.9 -g",
            "-a -t 10.0.0.100:80 -r 10.0.1.83 -g",
        ] {
            let outcome = execute(&restore_words(line), &[], &mut control, &Numeric);
            assert_eq!((outcome.exit, outcome.stderr.as_str()), (0, ""), "{line}");
        }
        control.publish();
        control
    }

    fn seen(control: &mut Control, neighbour: &str, last: u8) {
        let mac = MacAddress([2, 0, 0, 0, 0, last]);
        let address = address(neighbour);
        control.neighbour_seen(&NeighbourSeen { interface: LAN, address, mac });
        control.publish();
    }

    /// Last byte of the MAC address that packets for a destination go to.
    fn next(control: &Control, id: u32) -> Option<u8> {
        let director: &Director = control.director();
        director.slots.get(DestinationId(id)).next_hop().map(|next| next.mac().0[5])
    }

    fn states(control: &Control) -> Vec<(String, State, usize)> {
        let row = |row: crate::neighbour::NeighbourRow| {
            (row.hop.neighbour.to_string(), row.state, row.users)
        };
        control.neighbours().map(row).collect()
    }

    #[test]
    fn a_new_gateway_takes_the_real_servers_over_and_others_stay_known() {
        let mut control = control(via("10.0.1.254"));
        seen(&mut control, "10.0.1.254", 1);
        seen(&mut control, "10.0.1.83", 2);
        assert_eq!((next(&control, 0), next(&control, 1)), (Some(1), Some(2)));
        control.set_surroundings(via("10.0.1.253"));
        control.publish();
        assert_eq!((next(&control, 0), next(&control, 1)), (None, Some(2)));
        seen(&mut control, "10.0.1.253", 3);
        assert_eq!((next(&control, 0), next(&control, 1)), (Some(3), Some(2)));
        let known = [
            ("10.0.1.83".to_owned(), State::Reachable, 1),
            ("10.0.1.253".to_owned(), State::Reachable, 1),
        ];
        assert_eq!(states(&control), known);
        let ways = control.director().ways.load();
        let Way::Known(out) = ways.to(address("198.51.100.1").into()) else { panic!() };
        assert_eq!(ways.next_hop(out).unwrap().mac().0[5], 3);
        control.set_surroundings(Network::default());
        control.publish();
        assert_eq!((next(&control, 0), next(&control, 1)), (None, Some(2)));
        assert_eq!(states(&control), [("10.0.1.83".to_owned(), State::Reachable, 1)]);
    }

    #[test]
    fn fixed_neighbours_come_and_go() {
        let mut control = control(via("10.0.1.254"));
        let fixed = |last| Network {
            permanent_neighbours: vec![(hop("10.0.1.83"), MacAddress([2, 0, 0, 0, 0, last]))],
            ..via("10.0.1.254")
        };
        control.set_surroundings(fixed(7));
        assert_eq!(next(&control, 1), Some(7));
        control.set_surroundings(fixed(8));
        assert_eq!(next(&control, 1), Some(8));
        control.set_surroundings(via("10.0.1.254"));
        assert_eq!(next(&control, 1), Some(8), "it is used until it was asked in vain");
        let asked = control.tick(Tick(1));
        let questions = asked.iter().filter(|out| matches!(out, NeighbourOut::Ask(_)));
        assert_eq!(questions.count(), 2, "gateway and server: {asked:?}");
        let patience = Patience { retry_ticks: 1, attempts: 1, ..Patience::default() };
        control.set_surroundings(Network { patience, ..via("10.0.1.254") });
        control.tick(Tick(2));
        control.tick(Tick(3));
        assert_eq!(next(&control, 1), None);
    }

    #[test]
    fn what_was_commanded_of_addresses_outlives_a_new_configuration() {
        let mut control = control(Network { vips: vec![address("10.0.1.7")], ..via("10.0.1.254") });
        let owned = |control: &Control| -> Vec<String> {
            control.owned_addresses().map(|address| address.to_string()).collect()
        };
        assert_eq!(owned(&control), ["10.0.0.100", "10.0.1.1", "10.0.1.7"]);
        control.set_owned(address("10.0.0.100"), false).unwrap();
        control.set_owned(address("10.0.1.9"), true).unwrap();
        let vips = vec![address("10.0.1.8"), address("10.0.1.9")];
        control.set_surroundings(Network { vips, ..via("10.0.1.254") });
        control.publish();
        assert_eq!(owned(&control), ["10.0.1.1", "10.0.1.8", "10.0.1.9"]);
        assert!(control.director().snapshot.load().tells_apart);
        control.set_surroundings(via("10.0.1.254"));
        assert_eq!(owned(&control), ["10.0.1.1", "10.0.1.9"], "taken by command");
    }
}
