//! One side of a packet, source or destination: its address and its port become others.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Refusal;
use crate::wire::checksum::Difference;
use crate::wire::field::window_mut;
use crate::wire::ports::{PORTS_LEN, Ports};
use crate::wire::{ipv4, ipv6};

/// Which side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Source,
    Destination,
}

/// Views of network headers that can be written.
pub(super) type HeaderV4<'a> = ipv4::Header<&'a mut [u8; ipv4::HEADER_LEN]>;
pub(super) type HeaderV6<'a> = ipv6::Header<&'a mut [u8; ipv6::HEADER_LEN]>;

impl Side {
    /// Rewrites the address in a packet that goes on, one hop less to go. What comes back is the
    /// change of the address alone, which every checksum with a pseudo-header has to follow.
    #[inline]
    pub(super) fn forward(
        self,
        frame: &mut [u8],
        network_offset: usize,
        address: IpAddr,
    ) -> Result<Difference, Refusal> {
        match address {
            IpAddr::V4(address) => {
                let window = window_mut(frame, network_offset).ok_or(Refusal::Malformed)?;
                Ok(self.forward_v4(&mut ipv4::Header::over(window), address))
            }
            IpAddr::V6(address) => {
                let window = window_mut(frame, network_offset).ok_or(Refusal::Malformed)?;
                let mut header = ipv6::Header::over(window);
                header.decrement_hop_limit();
                let old = self.replace_v6(&mut header, address);
                Ok(Difference::NONE.address6(old, address))
            }
        }
    }

    /// The same for IPv4, whose header has a checksum.
    #[inline]
    pub(super) fn forward_v4(self, header: &mut HeaderV4<'_>, address: Ipv4Addr) -> Difference {
        let difference = Difference::NONE.address(self.replace_v4(header, address), address);
        let ttl = header.ttl();
        let lower = ttl.saturating_sub(1);
        header.set_ttl(lower);
        // The TTL is the high byte of its word; what is in the low byte does not change.
        header.update_checksum(difference.u16(u16::from(ttl) << 8, u16::from(lower) << 8));
        difference
    }

    /// Writes the address, without any checksum, and returns the one that was there.
    #[inline]
    pub(super) fn replace_v4(self, header: &mut HeaderV4<'_>, address: Ipv4Addr) -> Ipv4Addr {
        match self {
            Self::Source => {
                let old = header.source();
                header.set_source(address);
                old
            }
            Self::Destination => {
                let old = header.destination();
                header.set_destination(address);
                old
            }
        }
    }

    /// The same for IPv6.
    #[inline]
    pub(super) fn replace_v6(self, header: &mut HeaderV6<'_>, address: Ipv6Addr) -> Ipv6Addr {
        match self {
            Self::Source => {
                let old = header.source();
                header.set_source(address);
                old
            }
            Self::Destination => {
                let old = header.destination();
                header.set_destination(address);
                old
            }
        }
    }

    /// Writes the port, without any checksum, and returns the one that was there.
    #[inline]
    pub(super) fn replace_port(self, window: &mut [u8; PORTS_LEN], port: u16) -> u16 {
        let mut ports = Ports::over(window);
        match self {
            Self::Source => {
                let old = ports.source();
                ports.set_source(port);
                old
            }
            Self::Destination => {
                let old = ports.destination();
                ports.set_destination(port);
                old
            }
        }
    }
}
