//! Direct routing (`ip_vs_dr_xmit`): the packet stays as the client sent it, still for the VIP,
//! which the real server has too; only the link-layer header sends it there.
//!
//! ```text
//! in   client MAC ► director MAC │ CIP ► VIP  TTL n   │ payload
//! out  director MAC ► server MAC │ CIP ► VIP  TTL n-1 │ payload
//! ```
//!
//! The director is a router hop: the TTL goes down by one, as in the kernel.

use crate::drops::DropReason;
use crate::forward::link::HEADER_LEN;
use crate::parse::Packet;
use crate::wire::{field::window_mut, ipv4};

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
