//! What goes to the host's kernel although a virtual service would take it: the operator's list.

use crate::parse::Packet;

/// Packets to the director's own addresses that the kernel gets before any service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PuntRule {
    /// IP protocol number.
    pub protocol: u8,
    /// Destination or source port, of protocols that have ports; 0 is any.
    pub port: u16,
}

/// The list. Empty, as it mostly is, it costs a packet one comparison.
#[derive(Clone, Debug, Default)]
pub struct PuntRules(Box<[PuntRule]>);

impl PuntRules {
    /// The list of these rules.
    pub fn new(rules: impl IntoIterator<Item = PuntRule>) -> Self {
        Self(rules.into_iter().collect())
    }

    /// Whether there is nothing to match.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a packet is on the list. The port may be either end's: the host's daemons are
    /// servers of some peers and clients of others.
    pub fn take(&self, packet: &Packet) -> bool {
        self.0.iter().any(|rule| {
            rule.protocol == packet.protocol
                && (rule.port == 0
                    || rule.port == packet.destination_port
                    || rule.port == packet.source_port)
        })
    }
}
