//! Pieces of text that listings and the save format share.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::names::Names;
use super::rules::SCHEDULER_FLAGS;
use crate::protocol::Protocol;
use crate::service::{Family, SchedulerFlags, Service};

/// ipvsadm's buffer for an address with its port is one byte larger.
const END_MAX: usize = 59;

/// How addresses and ports are written: as numbers, or with names where there are any.
#[derive(Clone, Copy)]
pub(super) struct Style<'a> {
    names: Option<&'a dyn Names>,
}

impl<'a> Style<'a> {
    pub(super) fn new(numeric: bool, names: &'a dyn Names) -> Self {
        Self { names: if numeric { None } else { Some(names) } }
    }

    /// `address:port`, at most 59 bytes long. Ports have names only where the protocol is known.
    pub(super) fn end(&self, address: IpAddr, port: u16, protocol: Option<Protocol>) -> String {
        let host = self.names.and_then(|names| names.host_of(address));
        let service = self.names.and_then(|names| names.service_of(port, protocol?));
        let mut text = match (host, address) {
            (Some(host), IpAddr::V4(_)) => host,
            (Some(host), IpAddr::V6(_)) => format!("[{host}]"),
            (None, IpAddr::V4(address)) => address.to_string(),
            (None, IpAddr::V6(address)) => format!("[{}]", ipv6(address)),
        };
        text.push(':');
        match service {
            Some(service) => text.push_str(&service),
            None => push(&mut text, format_args!("{port}")),
        }
        truncate(&mut text, END_MAX);
        text
    }
}

/// Appends formatted text.
pub(super) fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = text.write_fmt(arguments);
}

/// Cuts a text to `max` bytes, or a little less where a character would be cut apart.
pub(super) fn truncate(text: &mut String, max: usize) {
    let end = (0..=max.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    text.truncate(end.unwrap_or(0));
}

/// An IPv6 address as the C library prints it: as Rust does, but for the addresses `::a.b.c.d`.
pub(crate) fn ipv6(address: Ipv6Addr) -> String {
    match address.segments() {
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => {
            let [a, b] = high.to_be_bytes();
            let [c, d] = low.to_be_bytes();
            format!("::{a}.{b}.{c}.{d}")
        }
        _ => address.to_string(),
    }
}

/// The flags of a scheduler by their names, or `None` where no flag is set. A flag for which the
/// scheduler has no name is left out: `flag-3` of sh is an empty text.
pub fn scheduler_flags(service: &Service) -> Option<String> {
    if service.scheduler_flags == SchedulerFlags::default() {
        return None;
    }
    let own = |owner: Option<&str>| owner == Some(service.scheduler.as_str());
    let has_own = SCHEDULER_FLAGS.iter().any(|(_, owner, _)| own(*owner));
    let names: Vec<&str> = SCHEDULER_FLAGS
        .iter()
        .filter(|(_, owner, _)| if has_own { own(*owner) } else { owner.is_none() })
        .filter(|(.., flag)| service.scheduler_flags.contains(*flag))
        .map(|(name, ..)| *name)
        .collect();
    Some(names.join(","))
}

/// The netmask of a service where it is not a single client: dotted for IPv4.
pub fn netmask(service: &Service) -> Option<String> {
    let family = service.key.family();
    if service.netmask == Service::full_netmask(family) {
        return None;
    }
    Some(match family {
        Family::V4 => Ipv4Addr::from(service.netmask).to_string(),
        Family::V6 => service.netmask.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_addresses_print_as_inet_ntop_does() {
        for text in ["::1.2.3.4", "::0.1.0.2", "::1", "::", "::ffff:1.2.3.4", "2001:db8::1"] {
            assert_eq!(ipv6(text.parse().unwrap()), text);
        }
        assert_eq!(ipv6("::102".parse().unwrap()), "::102");
    }
}
