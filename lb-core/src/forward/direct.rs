//! Direct routing (`ip_vs_dr_xmit`): the packet stays as the client sent it, still for the VIP,
//! which the real server has too; only the link-layer header sends it there.
//!
//! ```text
//! in   client MAC ► director MAC │ CIP ► VIP  TTL n   │ payload
//! out  director MAC ► server MAC │ CIP ► VIP  TTL n-1 │ payload
//! ```
//!
//! The director is a router hop: the TTL goes down by one, as in the kernel.

use super::Refusal;
use crate::drops::DropReason;
use crate::forward::link::HEADER_LEN;
use crate::parse::Packet;
use crate::wire::{field::window_mut, ipv4, ipv6};

/// Rewrites the IP header of a packet for direct routing, in a frame without tags. The link-layer
/// header follows in [`super::address_link`].
#[inline]
pub fn direct(frame: &mut [u8], packet: &Packet) -> Result<(), DropReason> {
    debug_assert_eq!(usize::from(packet.network_offset), HEADER_LEN);
    let window =
        window_mut::<{ ipv4::HEADER_LEN }>(frame, HEADER_LEN).ok_or(DropReason::Ipv4Malformed)?;
    ipv4::Header::over(window).decrement_ttl();
    Ok(())
}

/// The same for IPv6: the hop limit goes down, and there is no checksum.
#[inline]
pub fn direct_v6(frame: &mut [u8], network_offset: usize) -> Result<(), Refusal> {
    let window =
        window_mut::<{ ipv6::HEADER_LEN }>(frame, network_offset).ok_or(Refusal::Malformed)?;
    ipv6::Header::over(window).decrement_hop_limit();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::captured;

    #[test]
    fn only_the_hop_limit_goes_down_as_in_the_kernel() {
        let (sent, received) = captured::exchanges("IPv6")[0];
        let mut frame = captured::frame(sent);
        direct_v6(&mut frame, HEADER_LEN).unwrap();
        assert_eq!(frame, captured::frame(received.unwrap()));
        assert_eq!(direct_v6(&mut frame[..53], HEADER_LEN), Err(Refusal::Malformed));
    }
}
