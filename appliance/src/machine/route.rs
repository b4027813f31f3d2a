//! Ways of the kernel's, as far as `/proc/net` has them: the main table.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Machine;

/// Flags of a route that is none: `RTF_REJECT` of `linux/route.h`.
const REJECT: u32 = 0x0200;
/// `RTF_UP`
const UP: u32 = 0x0001;
/// `RTF_GATEWAY`
const GATEWAY: u32 = 0x0002;
/// `RTF_LOCAL` of `linux/ipv6_route.h`: an address of the machine itself.
const LOCAL: u32 = 0x8000_0000;

/// The routes of a machine.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    routes: Vec<Route>,
    /// Addresses of the machine, IPv4.
    local_v4: Vec<Ipv4Addr>,
    /// Addresses of the machine, IPv6, each with its interface.
    local_v6: Vec<(Ipv6Addr, String)>,
}

#[derive(Clone, Debug)]
struct Route {
    network: IpAddr,
    prefix: u8,
    metric: u32,
    has_gateway: bool,
    interface: String,
}

impl Route {
    fn leads_to(&self, address: IpAddr) -> bool {
        match (self.network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                u32::from(address) & mask == u32::from(network)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                u128::from(address) & mask == u128::from(network)
            }
            _ => false,
        }
    }
}

impl Routes {
    /// The interfaces of default routes.
    pub fn defaults(&self) -> Vec<&str> {
        let defaults = self.routes.iter().filter(|route| route.prefix == 0);
        defaults.map(|route| route.interface.as_str()).collect()
    }

    /// The interface by which an address is reached.
    pub fn interface_to(&self, address: IpAddr) -> Option<&str> {
        let leading = self.routes.iter().filter(|route| route.leads_to(address));
        let best = leading.min_by_key(|route| (128 - route.prefix, route.metric))?;
        Some(&best.interface)
    }

    /// Addresses of the machine that belong to an interface. Of IPv4 the kernel's files do not say
    /// whose they are: an address belongs to the interface of its subnet. Link-local ones, which
    /// every interface that is up has, do not count.
    pub fn addresses_of(&self, interface: &str) -> Vec<IpAddr> {
        let direct = |address: &Ipv4Addr| {
            let to = IpAddr::V4(*address);
            let subnets = self.routes.iter().filter(|it| !it.has_gateway && it.prefix > 0);
            let nearest = subnets.filter(|it| it.leads_to(to)).max_by_key(|it| it.prefix);
            nearest.is_some_and(|it| it.interface == interface)
        };
        let v4 = self.local_v4.iter().filter(|it| direct(it)).map(|it| IpAddr::V4(*it));
        let v6 = self.local_v6.iter().filter(|(it, of)| of == interface && !is_link_local(*it));
        v4.chain(v6.map(|(it, _)| IpAddr::V6(*it))).collect()
    }
}

fn is_link_local(address: Ipv6Addr) -> bool {
    address.segments()[0] & 0xffc0 == 0xfe80
}

impl Machine {
    /// Its routes.
    pub fn routes(&self) -> Routes {
        let lines = |path: &str, read: fn(&[&str]) -> Option<Route>| -> Vec<Route> {
            let text = self.text(path).unwrap_or_default();
            let words = |line: &str| read(&line.split_whitespace().collect::<Vec<_>>());
            text.lines().filter_map(words).collect()
        };
        let mut routes = lines("/proc/net/route", route_v4);
        routes.extend(lines("/proc/net/ipv6_route", route_v6));
        let local_v6 = self.text("/proc/net/if_inet6").unwrap_or_default();
        let local_v6 = local_v6.lines().filter_map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            let [address, _, _, _, _, interface] = words[..] else { return None };
            Some((Ipv6Addr::from(u128::from_str_radix(address, 16).ok()?), interface.to_owned()))
        });
        let fib = self.text("/proc/net/fib_trie").unwrap_or_default();
        Routes { routes, local_v4: local_addresses(&fib), local_v6: local_v6.collect() }
    }
}

/// A line of `/proc/net/route`; numbers are in the byte order of the machine.
fn route_v4(words: &[&str]) -> Option<Route> {
    let [interface, network, _, flags, _, _, metric, mask, ..] = *words else { return None };
    let hex = |word: &str| u32::from_str_radix(word, 16).ok();
    let flags = hex(flags)?;
    if flags & UP == 0 || flags & REJECT != 0 {
        return None;
    }
    let prefix = u8::try_from(hex(mask)?.count_ones()).ok()?;
    Some(Route {
        network: IpAddr::V4(Ipv4Addr::from(hex(network)?.to_ne_bytes())),
        prefix,
        metric: metric.parse().ok()?,
        has_gateway: flags & GATEWAY != 0,
        interface: interface.to_owned(),
    })
}

/// A line of `/proc/net/ipv6_route`.
fn route_v6(words: &[&str]) -> Option<Route> {
    let [network, prefix, _, _, _, metric, _, _, flags, interface] = *words else { return None };
    let hex = |word: &str| u32::from_str_radix(word, 16).ok();
    let flags = hex(flags)?;
    if flags & UP == 0 || flags & (REJECT | LOCAL) != 0 || interface == "lo" {
        return None;
    }
    Some(Route {
        network: IpAddr::V6(Ipv6Addr::from(u128::from_str_radix(network, 16).ok()?)),
        prefix: u8::try_from(hex(prefix)?).ok()?,
        metric: hex(metric)?,
        has_gateway: flags & GATEWAY != 0,
        interface: interface.to_owned(),
    })
}

/// The addresses of `/proc/net/fib_trie`: a leaf `|-- ADDRESS`, and under it `/32 host LOCAL`.
fn local_addresses(fib: &str) -> Vec<Ipv4Addr> {
    let mut found = Vec::new();
    let mut leaf = None;
    for line in fib.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse::<Ipv4Addr>().ok();
        } else if line == "/32 host LOCAL"
            && let Some(address) = leaf
            && !address.is_loopback()
            && !found.contains(&address)
        {
            found.push(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::fixture::Fixture;

    #[test]
    fn the_interface_to_an_address_is_that_of_the_longest_prefix() {
        let fixture = Fixture::new();
        let routes = fixture.machine().routes();
        assert_eq!(routes.defaults(), ["eth0", "eth0"]);
        let to = |address: &str| routes.interface_to(address.parse().unwrap());
        assert_eq!(to("192.0.2.9"), Some("eth0"));
        assert_eq!(to("203.0.113.1"), Some("eth0"));
        assert_eq!(to("10.1.2.3"), Some("eth1"));
        assert_eq!(to("2001:db8::7"), Some("eth0"));
        assert_eq!(to("fd00:1::7"), Some("eth1"));
    }

    #[test]
    fn addresses_belong_to_the_interface_of_their_subnet() {
        let fixture = Fixture::new();
        let routes = fixture.machine().routes();
        let of = |name| routes.addresses_of(name).iter().map(IpAddr::to_string).collect::<Vec<_>>();
        assert_eq!(of("eth0"), ["192.0.2.5", "2001:db8::5"]);
        assert_eq!(of("eth1"), [""; 0], "a route is no address");
        fixture.address_v4("eth1", "10.0.10.61", 24);
        let routes = fixture.machine().routes();
        let of_eth1 = routes.addresses_of("eth1");
        assert_eq!(of_eth1, ["10.0.10.61".parse::<IpAddr>().unwrap()]);
    }
}
