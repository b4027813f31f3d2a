//! Names of hosts and of port numbers, in both directions.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use crate::protocol::Protocol;

/// Where names come from. Look-ups may be slow (DNS): never call them under the director's lock.
pub trait Names {
    /// The IPv4 address of a host name. (ipvsadm never looks for an IPv6 one.)
    fn address_of(&self, host: &str) -> Option<Ipv4Addr>;
    /// The port of a service name such as `http`.
    fn port_of(&self, service: &str, protocol: Protocol) -> Option<u16>;
    /// The host name of an address.
    fn host_of(&self, address: IpAddr) -> Option<String>;
    /// The service name of a port.
    fn service_of(&self, port: u16, protocol: Protocol) -> Option<String>;
}

/// Knows no name at all: everything is a number.
#[derive(Clone, Copy, Debug, Default)]
pub struct Numeric;

impl Names for Numeric {
    fn address_of(&self, _: &str) -> Option<Ipv4Addr> {
        None
    }
    fn port_of(&self, _: &str, _: Protocol) -> Option<u16> {
        None
    }
    fn host_of(&self, _: IpAddr) -> Option<String> {
        None
    }
    fn service_of(&self, _: u16, _: Protocol) -> Option<String> {
        None
    }
}

/// Names from a table that is filled beforehand. Host names match without regard to case, as in
/// the resolver; service names match exactly, as in `/etc/services`.
#[derive(Clone, Debug, Default)]
pub struct FixedNames {
    address_by_host: HashMap<String, Ipv4Addr>,
    host_by_address: HashMap<IpAddr, String>,
    port_by_service: HashMap<(String, Protocol), u16>,
    service_by_port: HashMap<(u16, Protocol), String>,
}

impl FixedNames {
    /// Adds a line of `/etc/hosts`. The first entry of a name or an address counts.
    pub fn add_host(&mut self, address: IpAddr, host: &str) {
        self.host_by_address.entry(address).or_insert_with(|| host.to_owned());
        if let IpAddr::V4(address) = address {
            self.address_by_host.entry(host.to_ascii_lowercase()).or_insert(address);
        }
    }

    /// Adds a name of `/etc/services`. The first name of a port is the one that is shown, so an
    /// alias is added after its name.
    pub fn add_service(&mut self, name: &str, port: u16, protocol: Protocol) {
        self.port_by_service.entry((name.to_owned(), protocol)).or_insert(port);
        self.service_by_port.entry((port, protocol)).or_insert_with(|| name.to_owned());
    }
}

impl Names for FixedNames {
    fn address_of(&self, host: &str) -> Option<Ipv4Addr> {
        self.address_by_host.get(&host.to_ascii_lowercase()).copied()
    }
    fn port_of(&self, service: &str, protocol: Protocol) -> Option<u16> {
        self.port_by_service.get(&(service.to_owned(), protocol)).copied()
    }
    fn host_of(&self, address: IpAddr) -> Option<String> {
        self.host_by_address.get(&address).cloned()
    }
    fn service_of(&self, port: u16, protocol: Protocol) -> Option<String> {
        self.service_by_port.get(&(port, protocol)).cloned()
    }
}
