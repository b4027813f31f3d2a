//! Which addresses the director owns, and which it reaches through which interface.

use std::collections::HashMap;
use std::net::IpAddr;

use super::error::{ConfigErrors, Position};
use super::interfaces::RawInterface;
use super::raw::At;
use super::settings::Subnet;
use super::values::is_link_local;

/// What the director owns and what it reaches directly.
pub(super) struct Addresses {
    /// What owns an address, for messages, and its place.
    owned: HashMap<IpAddr, (String, Position)>,
    /// Interface of each subnet that one is on.
    subnets: HashMap<Subnet, (usize, Position)>,
    /// The name of each interface for messages.
    names: Vec<String>,
    /// Whether `subnets` is all that the file meant.
    whole: bool,
    /// The subnets of all interfaces and of each for messages; made once, as there can be many of
    /// both.
    all_subnets: String,
    own_subnets: Vec<String>,
}

impl Addresses {
    /// Reports addresses that are owned twice and subnets that are on two interfaces. `whole`:
    /// these interfaces are all that the file meant.
    pub(super) fn collect(
        interfaces: &[RawInterface<'_>],
        vips: &[At<IpAddr>],
        whole: bool,
        errors: &mut ConfigErrors,
    ) -> Self {
        let mut all = Self {
            owned: HashMap::new(),
            subnets: HashMap::new(),
            names: interfaces.iter().map(RawInterface::label).collect(),
            whole,
            all_subnets: String::new(),
            own_subnets: Vec::new(),
        };
        for (number, interface) in interfaces.iter().enumerate() {
            for (index, address) in interface.addresses.iter().enumerate() {
                let label = format!("{}.addresses[{index}]", interface.path);
                let owner = all.names[number].clone();
                all.own(address.value.address, owner, address.position, &label, errors);
                let subnet = address.value.subnet();
                all.reach(subnet, number, address.position, &label, errors);
            }
        }
        for (index, vip) in vips.iter().enumerate() {
            let label = format!("vips[{index}]");
            all.own(vip.value, "`vips`".to_owned(), vip.position, &label, errors);
        }
        all.all_subnets = show(all.subnets.keys());
        all.own_subnets = (0..interfaces.len())
            .map(|number| {
                let own = all.subnets.iter().filter(|(_, (owner, _))| *owner == number);
                show(own.map(|(subnet, _)| subnet))
            })
            .collect();
        all
    }

    fn own(
        &mut self,
        address: IpAddr,
        owner: String,
        position: Position,
        label: &str,
        errors: &mut ConfigErrors,
    ) {
        match self.owned.get(&address) {
            None => {
                self.owned.insert(address, (owner, position));
            }
            Some((owner, first)) => errors.at(
                position,
                format!(
                    "{label}: {address} is an address of {owner} already, on line {}; remove one",
                    first.line
                ),
            ),
        }
    }

    fn reach(
        &mut self,
        subnet: Subnet,
        interface: usize,
        position: Position,
        label: &str,
        errors: &mut ConfigErrors,
    ) {
        match self.subnets.get(&subnet) {
            None => {
                self.subnets.insert(subnet, (interface, position));
            }
            Some((other, first)) if *other != interface => errors.at(
                position,
                format!(
                    "{label}: subnet {subnet} is reached through {} already, by line {}; one \
                     subnet is on one port",
                    self.names[*other], first.line
                ),
            ),
            // An interface may have any number of addresses in one subnet.
            Some(_) => {}
        }
    }

    /// The interface that reaches an address directly, by its longest prefix; `None` for
    /// link-local addresses, which all of them reach.
    pub(super) fn interface_to(&self, address: IpAddr) -> Option<usize> {
        let longest: u8 = if address.is_ipv4() { 32 } else { 128 };
        let mut prefixes = (0..=longest).rev();
        prefixes
            .find_map(|prefix| self.subnets.get(&Subnet::of(address, prefix)))
            .map(|(interface, _)| *interface)
    }

    /// Why an address cannot be that of another host; `None` where it can.
    pub(super) fn own_problem(&self, address: IpAddr) -> Option<String> {
        let (owner, _) = self.owned.get(&address)?;
        Some(format!("{address} is an address of the director itself ({owner}); name another host"))
    }

    /// That no port reaches an address; `None` where one does, or where that is not known.
    pub(super) fn unreachable_problem(&self, address: IpAddr) -> Option<String> {
        if !self.whole || self.interface_to(address).is_some() {
            return None;
        }
        Some(format!(
            "{address} is on no port's subnet; choose a gateway on one of them ({})",
            self.all_subnets
        ))
    }

    /// Why an address is not reached through an interface; `None` where it is, or that is not
    /// known.
    pub(super) fn not_reached(&self, address: IpAddr, interface: usize) -> Option<String> {
        let (name, subnets) = (&self.names[interface], &self.own_subnets[interface]);
        match self.interface_to(address) {
            _ if !self.whole || is_link_local(address) => None,
            Some(through) if through == interface => None,
            Some(through) => Some(format!(
                "{address} is reached through {}, not through {name}; name that port",
                self.names[through]
            )),
            None => {
                Some(format!("{address} is on no subnet of {name}; its subnets are: {subnets}"))
            }
        }
    }

    /// Whether ports and their addresses were read without a mistake.
    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }
}

/// Subnets for messages, at most a few.
fn show<'a>(subnets: impl Iterator<Item = &'a Subnet>) -> String {
    const SHOWN_MAX: usize = 8;
    let mut subnets: Vec<&Subnet> = subnets.collect();
    subnets.sort_unstable();
    let shown: Vec<String> = subnets.iter().take(SHOWN_MAX).map(ToString::to_string).collect();
    match subnets.len() {
        0 => "none".to_owned(),
        count if count > SHOWN_MAX => format!("{}, ...", shown.join(", ")),
        _ => shown.join(", "),
    }
}
