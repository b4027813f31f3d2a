//! Which connections are meant: by client, service, real server, state, protocol.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use super::Control;
use super::flows::state_name;
use crate::address::Address;
use crate::director::Director;
use crate::flow::{FlowId, FlowKey, FlowState};
use crate::operations::OperationError;
use crate::protocol::Protocol;
use crate::service::ServiceKey;
use crate::slots::DestinationId;
use crate::state::State;

/// Why words are no filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    #[error(
        "`{0}' are no clients; write ADDRESS, ADDRESS/LENGTH or ADDRESS:PORT \\
         (IPv6 with a port: [ADDRESS]:PORT)"
    )]
    Clients(String),
    #[error("`{0}' is no real server; write ADDRESS or ADDRESS:PORT (IPv6: [ADDRESS]:PORT)")]
    Server(String),
    #[error("`{0}' is no state; there are {list}", list = state_names().join(", "))]
    State(String),
    #[error("`{0}' is no protocol; there are tcp, udp, sctp, and ip for templates of marks")]
    Protocol(String),
}

/// Clients: those of a network, perhaps of one port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clients {
    address: Address,
    mask: u128,
    port: Option<u16>,
}

/// A real server, with its port or whatever its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerEnd {
    pub address: IpAddr,
    pub port: Option<u16>,
}

impl fmt::Display for ServerEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.address, port).fmt(f),
            None => self.address.fmt(f),
        }
    }
}

/// The name of a state, as listings have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateName(&'static str);

/// An IP protocol of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowProtocol(u8);

/// What an operator says of the connections that are meant. All of it has to be true.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowFilter {
    pub clients: Option<Clients>,
    pub service: Option<ServiceKey>,
    pub server: Option<ServerEnd>,
    pub state: Option<StateName>,
    pub protocol: Option<FlowProtocol>,
}

/// The same, once it is known which slots the real servers of the service have.
#[derive(Clone, Debug)]
pub struct FlowMatcher {
    filter: FlowFilter,
    /// In the order of their numbers; `None`: of any service.
    slots: Option<Vec<u32>>,
}

impl FlowFilter {
    /// Whether it leaves nothing out.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }
}

impl Control {
    /// Makes a filter ready for use.
    ///
    /// # Errors
    ///
    /// There is no such service, and none was removed of which a connection is left.
    pub fn matcher(&self, filter: &FlowFilter) -> Result<FlowMatcher, OperationError> {
        let slots = match &filter.service {
            None => None,
            Some(key) => {
                let ids = self.slots_of(key).ok_or(OperationError::NoSuchService)?;
                let mut slots: Vec<_> = ids.into_iter().map(|DestinationId(id)| id).collect();
                slots.sort_unstable();
                Some(slots)
            }
        };
        Ok(FlowMatcher { filter: filter.clone(), slots })
    }
}

impl FlowMatcher {
    /// Whether the connection or template is meant. To be asked by whoever holds it, or again
    /// under the lock of its bucket before anything is done to it.
    pub(super) fn takes(&self, director: &Director, id: FlowId, key: &FlowKey) -> bool {
        let FlowFilter { clients, server, state, protocol, .. } = &self.filter;
        let entry = director.flows.entry(id);
        let is_server = |wanted: &ServerEnd| {
            director.flows.server(id) == wanted.address.into()
                && wanted.port.is_none_or(|port| port == entry.server_port())
        };
        protocol.is_none_or(|FlowProtocol(number)| number == key.protocol)
            && clients.is_none_or(|clients| clients.have(key))
            && self
                .slots
                .as_ref()
                .is_none_or(|slots| slots.binary_search(&entry.destination().0).is_ok())
            && server.as_ref().is_none_or(is_server)
            && state.is_none_or(|StateName(name)| name == state_name(key.protocol, entry.state()))
    }
}

impl Clients {
    const fn have(&self, key: &FlowKey) -> bool {
        let is_port = match self.port {
            Some(port) => port == key.client_port,
            None => true,
        };
        is_port
            && key.client.is_v4() == self.address.is_v4()
            && (key.client.bits() ^ self.address.bits()) & self.mask == 0
    }
}

/// `ADDRESS`, `ADDRESS:PORT`, `[ADDRESS]:PORT`; the address may be followed by `/LENGTH`.
fn end(text: &str) -> Option<(&str, Option<u16>)> {
    if let Some((inside, rest)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        return match rest.strip_prefix(':') {
            Some(port) => Some((inside, Some(port.parse().ok()?))),
            None => rest.is_empty().then_some((inside, None)),
        };
    }
    match text.split_once(':') {
        // A second colon: IPv6 without a port.
        Some((address, port)) if !port.contains(':') => Some((address, Some(port.parse().ok()?))),
        _ => Some((text, None)),
    }
}

impl FromStr for Clients {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        let read = || {
            let (network, port) = end(text)?;
            let (address, length) = match network.split_once('/') {
                Some((address, length)) => (address, Some(length.parse::<u32>().ok()?)),
                None => (network, None),
            };
            let address: IpAddr = address.parse().ok()?;
            let width: u32 = if address.is_ipv4() { 32 } else { 128 };
            let host_bits = width.checked_sub(length.unwrap_or(width))?;
            let mask = u128::MAX.unbounded_shl(host_bits);
            Some(Self { address: address.into(), mask, port })
        };
        read().ok_or_else(|| FilterError::Clients(text.to_owned()))
    }
}

impl FromStr for ServerEnd {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        let read = || {
            let (address, port) = end(text)?;
            Some(Self { address: address.parse().ok()?, port })
        };
        read().ok_or_else(|| FilterError::Server(text.to_owned()))
    }
}

/// The names of all states, each once.
fn state_names() -> Vec<&'static str> {
    let of = |protocol| {
        (0..=u8::MAX).map_while(move |number| State::from_number(protocol, number)).map(State::name)
    };
    let all = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].into_iter().flat_map(of);
    let mut names: Vec<_> = all.chain([state_name(0, ASSURED)]).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// A template of which a connection was established.
const ASSURED: FlowState = FlowState::template(crate::destination::ForwardingMethod::DirectRouting)
    .moved(FlowState::ASSURED, true, false);

impl FromStr for StateName {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        let found = state_names().into_iter().find(|name| name.eq_ignore_ascii_case(text));
        found.map(Self).ok_or_else(|| FilterError::State(text.to_owned()))
    }
}

impl FromStr for FlowProtocol {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        let all = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
        let found = all.into_iter().find(|it| it.name().eq_ignore_ascii_case(text));
        match (found, text.eq_ignore_ascii_case("ip")) {
            (Some(protocol), _) => Ok(Self(protocol.number())),
            (None, true) => Ok(Self(0)),
            (None, false) => Err(FilterError::Protocol(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(client: &str, client_port: u16) -> FlowKey {
        let address = |text: &str| text.parse::<IpAddr>().unwrap().into();
        FlowKey {
            protocol: 6,
            client: address(client),
            client_port,
            virtual_address: address("10.0.0.100"),
            virtual_port: 80,
        }
    }

    #[test]
    fn clients_are_addresses_networks_and_ports() {
        for (text, client, port, expected) in [
            ("10.0.1.2", "10.0.1.2", 1000, true),
            ("10.0.1.2", "10.0.1.3", 1000, false),
            ("10.0.1.2:1000", "10.0.1.2", 1000, true),
            ("10.0.1.2:1001", "10.0.1.2", 1000, false),
            ("10.0.0.0/23", "10.0.1.255", 1, true),
            ("10.0.0.0/23", "10.0.2.0", 1, false),
            ("10.0.0.0/23:7", "10.0.1.2", 7, true),
            ("0.0.0.0/0", "255.1.1.1", 1, true),
            ("0.0.0.0/0", "::1", 1, false),
            ("fd00:1::/64", "fd00:1::ffff", 1, true),
            ("fd00:1::/64", "fd00:2::1", 1, false),
            ("[fd00:1::/64]:80", "fd00:1::2", 80, true),
            ("fd00:1::2", "fd00:1::2", 80, true),
            ("::/0", "fd00::1", 80, true),
            ("::/0", "10.0.0.1", 80, false),
        ] {
            let clients: Clients = text.parse().unwrap();
            assert_eq!(clients.have(&key(client, port)), expected, "{text} {client}:{port}");
        }
        for text in ["", "x", "10.0.0.1/33", "10.0.0.1:", "fd00::/129", "[fd00::1", "10.0.0.1/x"] {
            let refusal = text.parse::<Clients>().unwrap_err().to_string();
            assert!(refusal.starts_with(&format!("`{text}' are no clients; write")), "{refusal}");
        }
    }

    #[test]
    fn servers_states_and_protocols_are_known_or_refused_by_name() {
        let server: ServerEnd = "[fd00:2::11]:8080".parse().unwrap();
        assert_eq!((server.address, server.port), ("fd00:2::11".parse().unwrap(), Some(8080)));
        let server: ServerEnd = "fd00:2::11".parse().unwrap();
        assert_eq!(server.port, None);
        assert!("10.0.0.1/24".parse::<ServerEnd>().is_err());
        assert_eq!("established".parse(), Ok(StateName("ESTABLISHED")));
        assert_eq!("ASSURED".parse(), Ok(StateName("ASSURED")));
        let refusal = "OPEN".parse::<StateName>().unwrap_err().to_string();
        assert!(
            refusal.starts_with("`OPEN' is no state; there are ASSURED, C-ECHOED,"),
            "{refusal}"
        );
        assert_eq!("Udp".parse(), Ok(FlowProtocol(17)));
        assert_eq!("ip".parse(), Ok(FlowProtocol(0)));
        assert!("icmp".parse::<FlowProtocol>().is_err());
    }
}
