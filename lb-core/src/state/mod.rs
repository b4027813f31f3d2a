//! Connection states: what the packets of a connection have told so far.
//!
//! A state decides two things: how long the entry lives without another packet
//! ([`Timeouts`]), and whether it counts as an active or an inactive connection of its real
//! server (`ActiveConn` and `InActConn` of a listing, which the schedulers weigh). States,
//! numbers, names, transitions and times are those of IPVS (`net/netfilter/ipvs/ip_vs_proto*.c`),
//! and tested against captures of it.
//!
//! A director sees both directions of a NAT connection, but of a DR or tunneling connection only
//! what the client sends: see [`Direction`].

pub mod sctp;
pub mod tcp;
pub mod timeouts;
pub mod udp;

pub use sctp::{SctpEvent, SctpState};
pub use tcp::TcpState;
pub use timeouts::Timeouts;
pub use udp::UdpState;

use crate::protocol::Protocol;

/// Which way a packet goes, and what the director can see of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Direction {
    /// From the client; replies pass through the director, too (NAT).
    ClientToServer = 0,
    /// From the real server.
    ServerToClient = 1,
    /// From the client, and no reply has been seen: they go past the director (DR, tunneling;
    /// the kernel's `NOOUTPUT`).
    ClientOnly = 2,
}

impl Direction {
    /// How many there are.
    pub const COUNT: usize = 3;
}

/// The state of a connection of any protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    Tcp(TcpState),
    Udp(UdpState),
    Sctp(SctpState),
}

impl State {
    /// The state that has `number` in `protocol`, as an entry or a sync message holds it; `None`
    /// where there is none.
    #[inline]
    pub const fn from_number(protocol: Protocol, number: u8) -> Option<Self> {
        match protocol {
            Protocol::Tcp => match TcpState::from_number(number) {
                Some(state) => Some(Self::Tcp(state)),
                None => None,
            },
            Protocol::Udp => match UdpState::from_number(number) {
                Some(state) => Some(Self::Udp(state)),
                None => None,
            },
            Protocol::Sctp => match SctpState::from_number(number) {
                Some(state) => Some(Self::Sctp(state)),
                None => None,
            },
        }
    }

    /// The kernel's number; unique within the protocol only.
    #[inline]
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp(state) => state.number(),
            Self::Udp(state) => state.number(),
            Self::Sctp(state) => state.number(),
        }
    }

    /// The name in the `state` column of `-Lnc`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp(state) => state.name(),
            Self::Udp(state) => state.name(),
            Self::Sctp(state) => state.name(),
        }
    }

    /// Whether the connection counts in `ActiveConn`; else it does in `InActConn`.
    #[inline]
    pub const fn is_active(self) -> bool {
        match self {
            Self::Tcp(state) => state.is_active(),
            Self::Udp(state) => state.is_active(),
            Self::Sctp(state) => state.is_active(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_round_trip() {
        for (protocol, count) in [(Protocol::Tcp, 11), (Protocol::Udp, 1), (Protocol::Sctp, 14)] {
            for number in 0..=255 {
                let state = State::from_number(protocol, number);
                assert_eq!(state.is_some(), number < count, "{protocol} {number}");
                assert_eq!(state.map_or(number, State::number), number);
            }
        }
        assert_eq!(State::from_number(Protocol::Udp, 0).unwrap().name(), "UDP");
        assert_eq!(State::from_number(Protocol::Tcp, 1).unwrap().name(), "ESTABLISHED");
        assert_eq!(State::from_number(Protocol::Sctp, 8).unwrap().name(), "ESTABLISHED");
    }
}
