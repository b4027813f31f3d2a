//! The last step of every method: the link-layer header towards the next hop.

use crate::drops::DropReason;
use crate::slots::NextHop;
use crate::snapshot::Snapshot;
use crate::wire::{ethernet, field::window_mut};

/// Addresses a frame to its next hop, if it fits the interface that leads there.
#[inline]
pub fn address_link(
    frame: &mut [u8],
    next_hop: NextHop,
    snapshot: &Snapshot,
) -> Result<(), DropReason> {
    let interface = snapshot.interface(next_hop.interface);
    if frame.len() > ethernet::HEADER_LEN + usize::from(interface.mtu) {
        return Err(DropReason::ExceedsMtu);
    }
    let window =
        window_mut::<{ ethernet::HEADER_LEN }>(frame, 0).ok_or(DropReason::FrameTooShort)?;
    let mut header = ethernet::Header::over(window);
    header.set_destination(next_hop.mac);
    header.set_source(interface.mac);
    Ok(())
}
