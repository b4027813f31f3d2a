//! What an operator says of a real server (destination): the words of `ipvsadm -a`.

use std::net::IpAddr;

/// Forwarding method: how a packet gets to the real server. The values are the kernel's
/// (`IP_VS_CONN_F_*` in `include/uapi/linux/ip_vs.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ForwardingMethod {
    /// `-m`: NAT.
    Masquerading = 0,
    /// The real server is the director itself (the kernel chooses this, ipvsadm cannot).
    Local = 1,
    /// `-i`: encapsulation, see [`Tunnel`].
    Tunneling = 2,
    /// `-g`, the default: direct routing (DR), only the link-layer header changes.
    DirectRouting = 3,
    /// Transparent cache bypass: no server at all.
    Bypass = 4,
}

impl ForwardingMethod {
    /// The word in the `Forward` column of a listing.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Masquerading => "Masq",
            Self::Local => "Local",
            Self::Tunneling => "Tunnel",
            Self::DirectRouting => "Route",
            Self::Bypass => "Bypass",
        }
    }
}

/// Checksum of the outer header of a GUE or GRE tunnel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TunnelChecksum {
    /// `--tun-nocsum`
    #[default]
    None,
    /// `--tun-csum`
    Full,
    /// `--tun-remcsum`, GUE only
    Remote,
}

/// Encapsulation of a tunneling destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tunnel {
    /// `--tun-type ipip`
    #[default]
    Ipip,
    /// `--tun-type gue --tun-port PORT`
    Gue { port: u16, checksum: TunnelChecksum },
    /// `--tun-type gre`; [`TunnelChecksum::Remote`] is not possible
    Gre { checksum: TunnelChecksum },
}

/// Everything that `-a` and `-e` set. What a command line does not give is at the defaults of
/// [`Destination::new`]: `-e` does not merge with what was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    pub address: IpAddr,
    /// 0 is "the port the client asked for" (masquerading, marks, persistent `:0` services).
    pub port: u16,
    pub method: ForwardingMethod,
    /// 0 takes no new connections (quiesced); at most `i32::MAX`.
    pub weight: i32,
    /// `-x`: connections at which the server counts as overloaded; 0 is no limit.
    pub upper_threshold: u32,
    /// `-y`: connections below which it is usable again; 0 is 3/4 of the upper threshold.
    pub lower_threshold: u32,
    pub tunnel: Tunnel,
}

impl Destination {
    /// The destination that `-a` makes when only `-r` is given.
    pub const fn new(address: IpAddr, port: u16) -> Self {
        Self {
            address,
            port,
            method: ForwardingMethod::DirectRouting,
            weight: 1,
            upper_threshold: 0,
            lower_threshold: 0,
            tunnel: Tunnel::Ipip,
        }
    }
}
