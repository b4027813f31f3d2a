//! Packets that the director originates, made in place from the frame that they answer.
//!
//! Every answer goes back the way its question came: link-layer addresses swapped, VLAN tags
//! kept. `network_offset` is where the network header begins, behind tags
//! ([`crate::wire::vlan::network_offset`]).
//!
//! Who may be answered is decided here, once: see [`Refusal`]. A refused frame is unchanged, with
//! one exception that [`Refusal::NoRoom`] names. Whether an answer is *wanted*, and how many per
//! second, is the caller's decision.

pub mod arp;
pub mod echo;
pub mod echo6;
pub mod icmp6_error;
pub mod icmp_error;
pub mod neighbour;
pub mod options;
pub mod reset;
pub mod reset6;

#[cfg(test)]
mod captured;

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::wire::extension::{self, Chain};
use crate::wire::{Malformed, ethernet, field, ipv4, ipv6};

/// Why a frame is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    #[error("malformed: {0}")]
    Malformed(#[from] Malformed),
    /// Not the kind of packet that has such an answer: no ARP request, no echo request, no TCP.
    #[error("not a packet that has this answer")]
    NotAsked,
    /// The address asked for is not one of the director's.
    #[error("not one of our addresses")]
    NotOurs,
    /// Somebody else says that one of our addresses is theirs (RFC 5227).
    #[error("our address is claimed by another station")]
    AddressConflict,
    /// A checksum is wrong, so nothing in the packet can be believed.
    #[error("wrong checksum")]
    Checksum,
    /// Source or destination, on either layer, does not stand for one host (RFC 1122 section
    /// 3.2.2, RFC 1812 section 4.3.2.7).
    #[error("not from one host to one host")]
    NotUnicast,
    /// A part of a datagram: a later one to an ICMP error, any part to the rest.
    #[error("fragment")]
    Fragment,
    /// An ICMP error, or ICMP of a type that might be one: errors about errors never end.
    #[error("ICMP error")]
    IcmpError,
    /// A TCP reset: resets of resets never end.
    #[error("TCP reset")]
    Reset,
    /// Neighbour discovery with a hop limit below 255: it came from behind a router (RFC 4861
    /// section 7.1).
    #[error("neighbour discovery from beyond the link")]
    OffLink,
    /// The buffer has no head room. The frame may have been changed: drop it.
    #[error("no room in the buffer")]
    NoRoom,
}

/// Checks the network header, its checksum, and that both layers' ends are single hosts.
#[inline]
fn check_unicast(frame: &[u8], network_offset: usize) -> Result<ipv4::Packet<'_>, Refusal> {
    let ethernet = ethernet::Frame::check(frame)?.header;
    let bytes = frame.get(network_offset..).ok_or(Malformed::Truncated)?;
    let packet = ipv4::Packet::check(bytes)?;
    if !packet.verify_checksum() {
        return Err(Refusal::Checksum);
    }
    let ends_are_hosts = ipv4::is_single_host(packet.header.source())
        && ipv4::is_single_host(packet.header.destination())
        && ethernet.source().is_unicast()
        && ethernet.destination().is_unicast();
    if ends_are_hosts { Ok(packet) } else { Err(Refusal::NotUnicast) }
}

/// The same for IPv6, which has no checksum of its own: the packet, and what its chain of headers
/// leads to.
#[inline]
fn check_unicast6(
    frame: &[u8],
    network_offset: usize,
) -> Result<(ipv6::Packet<'_>, Chain), Refusal> {
    let packet = check_hosts6(frame, network_offset)?;
    let chain = extension::walk(packet.header.next_header(), packet.payload)?;
    Ok((packet, chain))
}

/// The same whatever is behind the fixed header.
#[inline]
fn check_hosts6(frame: &[u8], network_offset: usize) -> Result<ipv6::Packet<'_>, Refusal> {
    let ethernet = ethernet::Frame::check(frame)?.header;
    let bytes = frame.get(network_offset..).ok_or(Malformed::Truncated)?;
    let packet = ipv6::Packet::check(bytes)?;
    let ends_are_hosts = ipv6::is_single_host(packet.header.source())
        && ipv6::is_single_host(packet.header.destination())
        && ethernet.source().is_unicast()
        && ethernet.destination().is_unicast();
    if ends_are_hosts { Ok(packet) } else { Err(Refusal::NotUnicast) }
}

/// What the chain of a checked packet's headers leads to.
#[inline]
fn behind<'a>(packet: &ipv6::Packet<'a>, chain: &Chain) -> &'a [u8] {
    packet.payload.get(chain.offset..).unwrap_or_default()
}

/// Swaps the link-layer addresses of a frame that has been checked.
#[inline]
fn turn_round(frame: &mut [u8]) -> Result<(), Malformed> {
    let window = field::window_mut(frame, 0).ok_or(Malformed::Truncated)?;
    ethernet::Header::over(window).swap_addresses();
    Ok(())
}

/// The fields of a header of our own that vary.
#[derive(Clone, Copy)]
struct Originated {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: u8,
    tos: u8,
    identification: u16,
    dont_fragment: bool,
    total_length: u16,
}

impl Originated {
    /// TTL of what the director sends (RFC 1700; the kernel's `ip_default_ttl`).
    const TTL: u8 = 64;

    /// Writes the header.
    #[inline]
    fn write(&self, window: &mut [u8; ipv4::HEADER_LEN]) {
        let mut header = ipv4::Header::over(window);
        let (source, destination) = (self.source, self.destination);
        header.fill(source, destination, self.protocol, Self::TTL, self.total_length);
        header.set_tos(self.tos);
        header.set_identification(self.identification);
        header.set_fragment(self.dont_fragment, false, 0);
        header.fill_checksum(&[]);
    }
}

/// The fields of an IPv6 header of our own that vary. The flow label is 0: "not labelled" (RFC
/// 6437 section 2).
#[derive(Clone, Copy)]
struct Originated6 {
    source: Ipv6Addr,
    destination: Ipv6Addr,
    protocol: u8,
    traffic_class: u8,
    payload_length: u16,
}

impl Originated6 {
    /// Hop limit of what the director sends (the kernel's `hop_limit`).
    const HOP_LIMIT: u8 = 64;

    /// Writes the header.
    #[inline]
    fn write(&self, window: &mut [u8; ipv6::HEADER_LEN]) {
        let mut header = ipv6::Header::over(window);
        let (source, destination) = (self.source, self.destination);
        header.fill(source, destination, self.protocol, Self::HOP_LIMIT, self.payload_length);
        header.set_traffic_class(self.traffic_class);
    }
}
