//! What goes to the host's kernel although a virtual service would take it: the operator's list.

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

    /// Whether a packet of this protocol and these ports is on the list. The port may be either
    /// end's: the host's daemons are servers of some peers and clients of others.
    #[inline]
    pub fn take(&self, protocol: u8, ports: [u16; 2]) -> bool {
        !self.is_empty() && self.search(protocol, ports)
    }

    #[inline(never)]
    fn search(&self, protocol: u8, ports: [u16; 2]) -> bool {
        self.0
            .iter()
            .any(|rule| rule.protocol == protocol && (rule.port == 0 || ports.contains(&rule.port)))
    }
}
