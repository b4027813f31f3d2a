//! Matches of ports: `-m tcp`, `-m udp`, `-m sctp` and `-m multiport`.

use crate::parse::{Class, Packet};
use crate::protocol::Protocol;

/// Places for ports that one `multiport` has; a range takes two.
pub const MULTIPORT_MAX: usize = 15;

/// Ports from one to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortRange {
    pub first: u16,
    pub last: u16,
}

impl PortRange {
    /// Every port.
    pub const ALL: Self = Self { first: 0, last: u16::MAX };

    const fn has(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }
}

/// What a rule says of ports. It holds only for packets that have ports.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PortMatch {
    /// `-m tcp`, `-m udp`, `-m sctp`: a range for each end, negated or not.
    Ends {
        protocol: Protocol,
        source: Option<(PortRange, bool)>,
        destination: Option<(PortRange, bool)>,
    },
    /// `-m multiport`: some ports, and ranges of them.
    Multiport { end: End, ranges: Vec<PortRange>, negated: bool },
}

/// Which port a `multiport` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    Source,
    Destination,
    /// One or the other.
    Either,
}

impl End {
    /// The option for it, as it is printed.
    pub(super) const fn option(self) -> &'static str {
        match self {
            Self::Source => "--sports",
            Self::Destination => "--dports",
            Self::Either => "--ports",
        }
    }
}

impl PortMatch {
    /// Whether it holds for a packet with this source and destination port.
    pub(super) fn holds(&self, (from, to): (u16, u16)) -> bool {
        match self {
            Self::Ends { source, destination, .. } => {
                let holds = |end: &Option<(PortRange, bool)>, port| {
                    end.is_none_or(|(range, negated)| range.has(port) != negated)
                };
                holds(source, from) && holds(destination, to)
            }
            Self::Multiport { end, ranges, negated } => {
                let found = match end {
                    End::Source => ranges.iter().any(|range| range.has(from)),
                    End::Destination => ranges.iter().any(|range| range.has(to)),
                    End::Either => ranges.iter().any(|range| range.has(from) || range.has(to)),
                };
                found != *negated
            }
        }
    }
}

/// The ports of a packet: those of a protocol that has them, in a datagram's first part, and if
/// the packet has its transport header.
#[inline]
pub(super) const fn of(packet: &Packet) -> Option<(u16, u16)> {
    let is_later_fragment = packet.is_fragment && packet.part.offset != 0;
    if packet.has_ports() && !is_later_fragment && !matches!(packet.class, Class::Truncated) {
        Some((packet.source_port, packet.destination_port))
    } else {
        None
    }
}
