//! Real servers that are the director itself: by an address of its own, as the kernel finds out by
//! its routes, whatever method was asked for.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::Control;
use super::record::ServiceRecord;
use crate::destination::{Destination, ForwardingMethod};
use crate::route::Hop;
use crate::slots::DestinationId;

impl Control {
    /// Whether a real server is the director itself.
    pub(super) fn is_local(&self, destination: &Destination) -> bool {
        destination.method == ForwardingMethod::Local
            || destination.address.is_loopback()
            || self.own_addresses.contains(&destination.address)
    }

    /// The way to a real server; `None` where no route leads, or where none is needed.
    pub(super) fn way_to(&self, destination: &Destination) -> Option<Hop> {
        if self.is_local(destination) { None } else { self.routes.hop(destination.address) }
    }

    /// The director has these addresses from now on: real servers become the director itself, or
    /// are it no more.
    pub(super) fn set_own_addresses(&mut self, addresses: BTreeSet<IpAddr>) {
        let before = std::mem::replace(&mut self.own_addresses, addresses);
        let changed: BTreeSet<IpAddr> =
            before.symmetric_difference(&self.own_addresses).copied().collect();
        if changed.is_empty() {
            return;
        }
        let mut services = std::mem::take(&mut self.services);
        let servers = services.values_mut().flat_map(ServiceRecord::ways_mut);
        for (destination, id, way) in servers {
            if changed.contains(&destination.address) {
                *way = self.find_way(destination, id, *way);
            }
        }
        self.services = services;
    }

    /// Finds the way to a real server anew, and publishes it. Who is on the old one is not asked
    /// for any more.
    pub(super) fn find_way(
        &mut self,
        destination: &Destination,
        id: DestinationId,
        before: Option<Hop>,
    ) -> Option<Hop> {
        let way = self.way_to(destination);
        if let Some(hop) = before.filter(|_| way != before) {
            self.neighbours.remove_user(hop, id);
        }
        self.publish_path(destination, id, way);
        match way {
            Some(hop) if way != before => {
                self.neighbours.add_user(hop, id, &self.director.slots);
            }
            Some(_) => {}
            None => self.director.slots.get(id).set_next_hop(None),
        }
        way
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::control::Network;
    use crate::director::{Director, Limits};
    use crate::flow::{FlowTable, Storage};
    use crate::hash::FlowHasher;
    use crate::interface::{Interface, InterfaceId};
    use crate::ipvsadm::{Numeric, execute, restore_words};
    use crate::wire::MacAddress;

    /// A director at 10.0.1.1/24 that does not take addresses of services by itself.
    fn control(own_service_addresses: bool) -> Control {
        let hasher = FlowHasher::new([1, 2, 3]);
        let flows = FlowTable::new(64, Storage::leaked(64), hasher);
        let limits = Limits { destinations_max: 16, datagrams_max: 64 };
        let mac = MacAddress([2, 0, 0, 0, 0, 0x61]);
        let lan = Interface::new("lan0", InterfaceId(0), mac, 1500).with_address([10, 0, 1, 1], 24);
        let network =
            Network { interfaces: vec![lan], own_service_addresses, ..Network::default() };
        Control::new(flows, limits, 1, hasher, network)
    }

    fn run(control: &mut Control, line: &str) {
        let outcome = execute(&restore_words(line), &[], control, &Numeric);
        assert_eq!((outcome.exit, outcome.stderr.as_str()), (0, ""), "{line}");
        control.publish();
    }

    /// Whether the first destination is the director itself, what fits its way, and who is asked.
    fn first(control: &Control) -> (bool, Option<u16>, usize) {
        let director: &Arc<Director> = control.director();
        let slot = director.slots.get(DestinationId(0));
        (slot.is_local(), slot.mtu(), control.neighbours().count())
    }

    #[test]
    fn own_and_loopback_addresses_need_no_way_and_nobody_is_asked() {
        for server in ["127.0.0.1", "10.0.1.1", "10.0.0.100", "127.9.9.9"] {
            let mut control = control(true);
            assert!(!control.director().snapshot.load().has_local_servers);
            run(&mut control, "-A -t 10.0.0.100:80");
            run(&mut control, &format!("-a -t 10.0.0.100:80 -r {server} -g"));
            assert_eq!(first(&control), (true, None, 0), "{server}");
            assert!(control.director().snapshot.load().has_local_servers);
        }
        let mut control = control(true);
        run(&mut control, "-A -t 10.0.0.100:80");
        run(&mut control, "-a -t 10.0.0.100:80 -r 10.0.1.11 -g");
        assert_eq!(first(&control), (false, Some(1500), 1));
        assert!(!control.director().snapshot.load().has_local_servers);
    }

    #[test]
    fn a_server_becomes_the_director_and_another_host_again_with_its_address() {
        let mut control = control(false);
        run(&mut control, "-A -t 10.0.1.100:80");
        run(&mut control, "-a -t 10.0.1.100:80 -r 10.0.1.100 -g");
        assert_eq!(first(&control), (false, Some(1500), 1), "the other director has it");
        for _ in 0..2 {
            control.set_owned([10, 0, 1, 100].into(), true).unwrap();
            control.publish();
            assert_eq!(first(&control), (true, None, 0));
            control.set_owned([10, 0, 1, 100].into(), false).unwrap();
            control.publish();
            assert_eq!(first(&control), (false, Some(1500), 1));
        }
        // An edit keeps what holds, and so does another life.
        run(&mut control, "-e -t 10.0.1.100:80 -r 10.0.1.100 -g -w 3");
        assert_eq!(first(&control), (false, Some(1500), 1));
        run(&mut control, "-d -t 10.0.1.100:80 -r 10.0.1.100");
        control.set_owned([10, 0, 1, 100].into(), true).unwrap();
        control.publish();
        run(&mut control, "-a -t 10.0.1.100:80 -r 10.0.1.100 -m");
        assert_eq!(first(&control), (true, None, 0));
    }

    /// What no option of ipvsadm can ask for, and netlink can.
    #[test]
    fn the_method_local_makes_any_address_the_director_itself_for_as_long_as_it_is_asked_for() {
        use crate::operations::Operations;
        let mut control = control(true);
        run(&mut control, "-A -t 10.0.0.100:80");
        run(&mut control, "-a -t 10.0.0.100:80 -r 10.0.1.11 -g");
        let row = control.services().remove(0);
        let mut server = row.destinations[0].destination;
        for (method, expected) in [
            (ForwardingMethod::Local, (true, None, 0)),
            (ForwardingMethod::DirectRouting, (false, Some(1500), 1)),
        ] {
            server.method = method;
            control.edit_destination(&row.service.key, server).unwrap();
            control.publish();
            assert_eq!(first(&control), expected);
        }
        server.method = ForwardingMethod::Bypass;
        let refused = control.edit_destination(&row.service.key, server).unwrap_err();
        assert!(refused.to_string().contains("Bypass is not one to ask for"), "{refused}");
    }
}
