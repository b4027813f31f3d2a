//! NICs that somebody needs: the one that the machine is reached by is not taken by accident.

use crate::machine::{Machine, Nic, Routes};

/// What is known of who uses the kernel's interfaces.
#[derive(Debug)]
pub(super) struct Guard<'a> {
    machine: &'a Machine,
    routes: Routes,
    /// Interfaces, and what they rest on.
    of_default_routes: Vec<String>,
    of_ssh: Vec<String>,
}

impl<'a> Guard<'a> {
    pub(super) fn new(machine: &'a Machine, ssh_connection: Option<&str>) -> Self {
        let routes = machine.routes();
        let with_lower = |names: Vec<String>| -> Vec<String> {
            names.iter().flat_map(|name| machine.with_lower(name)).collect()
        };
        let defaults = routes.defaults().into_iter().map(str::to_owned).collect();
        Self {
            machine,
            of_default_routes: with_lower(defaults),
            of_ssh: with_lower(machine.ssh_interfaces(&routes, ssh_connection)),
            routes,
        }
    }

    /// Why a NIC must not be taken from the kernel: the machine is reached by it.
    pub(super) fn is_vital(&self, nic: &Nic) -> Option<String> {
        let has = |names: &[String]| nic.interfaces.iter().find(|it| names.contains(it)).cloned();
        if let Some(name) = has(&self.of_default_routes) {
            return Some(format!("{name} carries the machine's default route"));
        }
        let name = has(&self.of_ssh)?;
        Some(format!("{name} carries an ssh session"))
    }

    /// Why a NIC had better not be taken: it, or what rests on it, is up and has addresses.
    pub(super) fn is_used(&self, nic: &Nic) -> Option<String> {
        let all = self.machine.names("/sys/class/net").into_iter();
        let mut resting = all.filter(|name| {
            let lower = self.machine.with_lower(name);
            nic.interfaces.iter().any(|interface| lower.contains(interface))
        });
        resting.find_map(|name| {
            let is_up = self.machine.interface(&name).is_some_and(|it| it.is_up);
            let address = *self.routes.addresses_of(&name).first().filter(|_| is_up)?;
            Some(format!("{name} is up and has the address {address}"))
        })
    }
}
