//! State of a connection and its flags.

use crate::destination::ForwardingMethod;

/// State of a connection and its flags in one word, so that a change of both is one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowState(pub(super) u32);

impl FlowState {
    /// IPVS's `NOOUTPUT`: no packet from the real server was seen (always so for DR and TUN).
    const NO_OUTPUT: u32 = 1 << 8;
    /// Counted in the destination's ActiveConn (else in InActConn).
    const ACTIVE: u32 = 1 << 9;
    /// The forwarding method, copied from the destination when the connection begins.
    const METHOD_SHIFT: u32 = 10;
    const METHOD: u32 = 7 << Self::METHOD_SHIFT;
    /// The control connection of FTP under NAT: its payload is read.
    const FTP: u32 = 1 << 13;
    /// IPVS's `NO_CPORT`: the client's port is not known yet (FTP data).
    const NO_CLIENT_PORT: u32 = 1 << 14;
    /// The real server has an address of the other family than the client (tunneling).
    pub(super) const MIXED: u32 = 1 << 15;
    /// A persistence template. Its state is 0, or [`FlowState::ASSURED`].
    const TEMPLATE: u32 = 1 << 16;
    /// One-packet scheduling: nobody will look for it.
    const ONE_PACKET: u32 = 1 << 17;
    /// Its template has to be told once it gets somewhere.
    const UNASSURED: u32 = 1 << 18;
    /// Another director told of it.
    const SYNCED: u32 = 1 << 19;
    /// What a change of state leaves as it is.
    const FIXED: u32 = Self::METHOD
        | Self::FTP
        | Self::NO_CLIENT_PORT
        | Self::MIXED
        | Self::TEMPLATE
        | Self::ONE_PACKET
        | Self::UNASSURED
        | Self::SYNCED;
    /// The connection is over; a worker may still hold it until its burst is done.
    pub(super) const ENDED: u32 = 1 << 31;

    /// A state of the protocol's own numbering, of a connection of that method.
    #[inline]
    pub const fn new(number: u8, method: ForwardingMethod, active: bool) -> Self {
        let no_output = !matches!(method, ForwardingMethod::Masquerading);
        Self((method as u32) << Self::METHOD_SHIFT).moved(number, no_output, active)
    }

    /// The same connection in another state.
    #[inline]
    #[must_use]
    pub const fn moved(self, number: u8, no_output: bool, active: bool) -> Self {
        Self(
            self.0 & Self::FIXED
                | number as u32
                | if no_output { Self::NO_OUTPUT } else { 0 }
                | if active { Self::ACTIVE } else { 0 },
        )
    }

    /// State of a template of which a connection was established (`IP_VS_CTPL_S_ASSURED`).
    pub const ASSURED: u8 = 1;

    /// A new persistence template for connections of that method.
    pub const fn template(method: ForwardingMethod) -> Self {
        let state = Self::new(0, method, false);
        Self(state.0 | Self::TEMPLATE)
    }

    /// The same, under one-packet scheduling.
    #[must_use]
    pub const fn alone(self) -> Self {
        Self(self.0 | Self::ONE_PACKET)
    }

    /// The same, under a template that has to be told once the connection gets somewhere.
    #[must_use]
    pub const fn unassured(self) -> Self {
        Self(self.0 | Self::UNASSURED)
    }

    /// The same, now that its template was told.
    #[must_use]
    pub const fn assured(self) -> Self {
        Self(self.0 & !Self::UNASSURED)
    }

    /// Whether its template has to be told once the connection gets somewhere.
    #[inline]
    pub const fn is_unassured(self) -> bool {
        self.0 & Self::UNASSURED != 0
    }

    /// Whether it is a persistence template.
    #[inline]
    pub const fn is_template(self) -> bool {
        self.0 & Self::TEMPLATE != 0
    }

    /// Whether nobody will look for it.
    #[inline]
    pub const fn is_alone(self) -> bool {
        self.0 & Self::ONE_PACKET != 0
    }

    /// Whether other connections can depend on it.
    #[inline]
    pub const fn may_control(self) -> bool {
        self.0 & (Self::TEMPLATE | Self::FTP) != 0
    }

    /// The same, as the control connection of FTP.
    #[must_use]
    pub const fn with_ftp(self) -> Self {
        Self(self.0 | Self::FTP)
    }

    /// The same, of a client whose port is not known yet.
    #[must_use]
    pub const fn without_client_port(self) -> Self {
        Self(self.0 | Self::NO_CLIENT_PORT)
    }

    /// The same, now that the client's port is known.
    #[must_use]
    pub const fn with_client_port(self) -> Self {
        Self(self.0 & !Self::NO_CLIENT_PORT)
    }

    /// Whether its payload is FTP's control dialogue.
    #[inline]
    pub const fn is_ftp(self) -> bool {
        self.0 & Self::FTP != 0
    }

    /// Whether the client's port is not known yet.
    #[inline]
    pub const fn lacks_client_port(self) -> bool {
        self.0 & Self::NO_CLIENT_PORT != 0
    }

    /// The same, of another director.
    #[must_use]
    pub const fn synced(self) -> Self {
        Self(self.0 | Self::SYNCED)
    }

    /// Whether another director told of it.
    pub const fn is_synced(self) -> bool {
        self.0 & Self::SYNCED != 0
    }

    /// Whether nothing is to be known of a connection but its state and method before its packets
    /// can be rewritten: neither is its payload read, nor is its server of another family.
    #[inline]
    pub(crate) const fn is_plain(self) -> bool {
        self.0 & (Self::FTP | Self::MIXED | Self::ENDED) == 0
    }

    /// How its packets get to the real server.
    #[inline]
    pub const fn method(self) -> ForwardingMethod {
        match (self.0 & Self::METHOD) >> Self::METHOD_SHIFT {
            0 => ForwardingMethod::Masquerading,
            1 => ForwardingMethod::Local,
            2 => ForwardingMethod::Tunneling,
            3 => ForwardingMethod::DirectRouting,
            _ => ForwardingMethod::Bypass,
        }
    }

    /// Number of the state in its protocol.
    #[inline]
    pub const fn number(self) -> u8 {
        (self.0 & 0xff) as u8
    }

    /// Whether no packet from the real server was seen.
    #[inline]
    pub const fn no_output(self) -> bool {
        self.0 & Self::NO_OUTPUT != 0
    }

    /// Whether the connection is over.
    #[inline]
    pub const fn is_ended(self) -> bool {
        self.0 & Self::ENDED != 0
    }

    /// Whether the connection is counted as active.
    #[inline]
    pub const fn is_active(self) -> bool {
        self.0 & Self::ACTIVE != 0
    }
}
