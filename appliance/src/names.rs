//! Host and service names as this machine knows them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs};

use lb_core::ipvsadm::Names;
use lb_core::protocol::Protocol;

/// Hosts by the system's resolver, services by `/etc/services`.
#[derive(Debug, Default)]
pub struct SystemNames {
    ports: HashMap<(String, u8), u16>,
    services: HashMap<(u16, u8), String>,
}

impl SystemNames {
    /// Reads `/etc/services`; without it, port numbers have no names.
    pub fn load() -> Self {
        Self::of_services(&std::fs::read_to_string("/etc/services").unwrap_or_default())
    }

    /// The names in a text of the form of services(5).
    fn of_services(text: &str) -> Self {
        let mut names = Self::default();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_ascii_whitespace();
            let (Some(name), Some(end)) = (words.next(), words.next()) else { continue };
            let Some((port, protocol)) = end.split_once('/') else { continue };
            let (Ok(port), Some(protocol)) = (port.parse(), protocol_of(protocol)) else {
                continue;
            };
            names.services.entry((port, protocol)).or_insert_with(|| name.to_owned());
            for name in std::iter::once(name).chain(words) {
                names.ports.entry((name.to_owned(), protocol)).or_insert(port);
            }
        }
        names
    }
}

fn protocol_of(name: &str) -> Option<u8> {
    [Protocol::Tcp, Protocol::Udp, Protocol::Sctp]
        .into_iter()
        .find(|protocol| protocol.name().eq_ignore_ascii_case(name))
        .map(Protocol::number)
}

impl Names for SystemNames {
    fn address_of(&self, host: &str) -> Option<Ipv4Addr> {
        (host, 0).to_socket_addrs().ok()?.find_map(|address| match address.ip() {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        })
    }

    fn port_of(&self, service: &str, protocol: Protocol) -> Option<u16> {
        self.ports.get(&(service.to_owned(), protocol.number())).copied()
    }

    fn host_of(&self, address: IpAddr) -> Option<String> {
        let name = dns_lookup::lookup_addr(&address).ok()?;
        // Without a name the resolver gives the number back.
        (name.parse::<IpAddr>().is_err()).then_some(name)
    }

    fn service_of(&self, port: u16, protocol: Protocol) -> Option<String> {
        self.services.get(&(port, protocol.number())).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_of_a_port_is_shown_and_aliases_are_found() {
        let names = SystemNames::of_services(
            "# comment\nhttp\t80/tcp\twww # WorldWideWeb\ndomain 53/udp\nwww-dup 80/tcp\nbad\n\
             x 99999/tcp\n",
        );
        assert_eq!(names.service_of(80, Protocol::Tcp).as_deref(), Some("http"));
        assert_eq!(names.port_of("www", Protocol::Tcp), Some(80));
        assert_eq!(names.port_of("www", Protocol::Udp), None);
        assert_eq!(names.service_of(53, Protocol::Udp).as_deref(), Some("domain"));
        assert_eq!(names.port_of("x", Protocol::Tcp), None);
    }

    #[test]
    fn localhost_has_an_address() {
        assert_eq!(SystemNames::default().address_of("localhost"), Some(Ipv4Addr::LOCALHOST));
    }
}
