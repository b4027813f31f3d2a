//! Who is where on the links: gateways and neighbours, by the interfaces' subnets and names.

use std::collections::HashMap;
use std::net::IpAddr;

use super::addresses::Addresses;
use super::error::{ConfigErrors, shown};
use super::interfaces::{RawInterface, interfaces};
use super::raw::{At, RawConfig, RawNeighbour, RawRoute};
use super::settings::{Route, StaticNeighbour};
use super::validate::earlier;
use super::values::is_link_local;

/// The links of the director.
pub(super) struct Links<'a> {
    interfaces: Vec<RawInterface<'a>>,
    addresses: Addresses,
}

impl<'a> Links<'a> {
    /// The links of a file; reports what is wrong with their addresses.
    pub(super) fn of(raw: &'a RawConfig, errors: &mut ConfigErrors) -> Self {
        let interfaces = interfaces(&raw.ports);
        let addresses = Addresses::collect(&interfaces, &raw.vips, raw.ports_whole, errors);
        Self { interfaces, addresses }
    }

    /// The routes, each with the interface that its gateway is on.
    pub(super) fn routes(&self, raw: &[RawRoute], errors: &mut ConfigErrors) -> Vec<Route> {
        let mut seen = HashMap::new();
        let mut routes = Vec::new();
        for (index, route) in raw.iter().enumerate() {
            let label = format!("routes[{index}]");
            if let Some(to) = &route.to
                && let Some(line) = earlier(&mut seen, to.value, to.position)
            {
                errors.at(
                    to.position,
                    format!("{label}.to: {} has a route from line {line}; keep one", to.value),
                );
            }
            let interface = self.gateway(route, &label, errors);
            let (Some(to), Some(via), Some(interface)) = (&route.to, &route.via, interface) else {
                continue;
            };
            if to.value.network.is_ipv4() == via.value.is_ipv4() {
                routes.push(Route { to: to.value, via: via.value, interface });
            } else {
                errors.at(
                    via.position,
                    format!(
                        "{label}.via: {} is of the other address family than {}; name a gateway \
                         of the same",
                        via.value, to.value
                    ),
                );
            }
        }
        routes
    }

    /// The interface that the gateway of a route is on.
    fn gateway(&self, route: &RawRoute, label: &str, errors: &mut ConfigErrors) -> Option<usize> {
        let via = route.via.as_ref()?;
        let named = match route.port.as_ref()? {
            At { value: None, .. } => None,
            At { position, value: Some(name) } => {
                let name = At { position: *position, value: name.clone() };
                Some(self.named(&name, label, errors)?)
            }
        };
        let problem = match (self.addresses.own_problem(via.value), named) {
            (Some(problem), _) => Some(problem),
            (None, Some(interface)) => self.addresses.not_reached(via.value, interface),
            (None, None) if is_link_local(via.value) => Some(format!(
                "{} is a link-local address, which may be on any link; name the `port` that it \
                 is on",
                via.value
            )),
            (None, None) => self.addresses.unreachable_problem(via.value),
        };
        if let Some(problem) = problem {
            errors.at(via.position, format!("{label}.via: {problem}"));
        }
        named.or_else(|| self.addresses.interface_to(via.value))
    }

    /// The neighbours, each on its interface.
    pub(super) fn neighbours(
        &self,
        raw: &[RawNeighbour],
        errors: &mut ConfigErrors,
    ) -> Vec<StaticNeighbour> {
        let mut seen = HashMap::new();
        let mut neighbours = Vec::new();
        for (index, neighbour) in raw.iter().enumerate() {
            let label = format!("neighbours[{index}]");
            let name = neighbour.port.as_ref();
            let interface = name.and_then(|name| self.named(name, &label, errors));
            let Some(address) = &neighbour.address else { continue };
            // The same link-local address may be on several links.
            let link = interface.filter(|_| is_link_local(address.value));
            if let Some(line) = earlier(&mut seen, (link, address.value), address.position) {
                errors.at(
                    address.position,
                    format!(
                        "{label}.address: {} is given on line {line} already; keep one",
                        address.value
                    ),
                );
            }
            if let Some(problem) = self.neighbour_problem(address.value, interface) {
                errors.at(address.position, format!("{label}.address: {problem}"));
            }
            if let (Some(interface), Some(mac)) = (interface, &neighbour.mac) {
                let (address, mac) = (address.value, mac.value);
                neighbours.push(StaticNeighbour { interface, address, mac });
            }
        }
        neighbours
    }

    fn neighbour_problem(&self, address: IpAddr, interface: Option<usize>) -> Option<String> {
        let own = self.addresses.own_problem(address);
        own.or_else(|| self.addresses.not_reached(address, interface?))
    }

    /// The interface of a name.
    fn named(&self, name: &At<String>, label: &str, errors: &mut ConfigErrors) -> Option<usize> {
        let is_named = |interface: &RawInterface<'_>| {
            interface.name.as_ref().is_some_and(|other| other.value == name.value)
        };
        let found = self.interfaces.iter().position(is_named);
        let all_named = self.interfaces.iter().all(|interface| interface.name.is_some());
        // One whose own name is wrong may be the one that is meant.
        if found.is_none() && self.addresses.is_whole() && all_named {
            let names = self.interfaces.iter().filter_map(|interface| interface.name.as_ref());
            let names: Vec<&str> = names.map(|name| name.value.as_str()).collect();
            errors.at(
                name.position,
                format!(
                    "{label}.port: there is no port {}; the ports are: {}",
                    shown(&name.value),
                    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
                ),
            );
        }
        found
    }
}
