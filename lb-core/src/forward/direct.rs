//! Direct routing (`ip_vs_dr_xmit`): the packet stays as the client sent it, still for the VIP,
//! which the real server has too; only the link-layer header sends it there.
//!
//! ```text
//! in   client MAC ► director MAC │ CIP ► VIP  TTL n   │ payload
//! out  director MAC ► server MAC │ CIP ► VIP  TTL n-1 │ payload
//! ```
//!
//! The director is a router hop: the TTL goes down by one, as in the kernel.

use super::{Layout, Refusal};
use crate::wire::checksum::Difference;
use crate::wire::{field::window_mut, ipv4, ipv6};

/// Takes a hop off a packet: all that direct routing, and mere routing, change in it. The
/// link-layer header follows in [`super::address_link`].
#[inline]
pub fn hop(frame: &mut [u8], layout: &Layout) -> Result<(), Refusal> {
    let offset = usize::from(layout.network_offset);
    if layout.is_v4 {
        let window = window_mut::<{ ipv4::HEADER_LEN }>(frame, offset).ok_or(Refusal::Malformed)?;
        ipv4::Header::over(window).decrement_ttl();
    } else {
        let window = window_mut::<{ ipv6::HEADER_LEN }>(frame, offset).ok_or(Refusal::Malformed)?;
        ipv6::Header::over(window).decrement_hop_limit();
    }
    Ok(())
}

/// Gives a rewritten packet the hops that it had: what stays on the host loses none.
#[cold]
pub fn set_hops(frame: &mut [u8], layout: &Layout, hops: u8) -> Result<(), Refusal> {
    let offset = usize::from(layout.network_offset);
    if layout.is_v4 {
        let window = window_mut::<{ ipv4::HEADER_LEN }>(frame, offset).ok_or(Refusal::Malformed)?;
        let mut header = ipv4::Header::over(window);
        let now = header.ttl();
        header.set_ttl(hops);
        // The TTL is the high byte of its word; what is in the low byte does not change.
        let difference = Difference::NONE.u16(u16::from(now) << 8, u16::from(hops) << 8);
        header.update_checksum(difference);
    } else {
        let window = window_mut::<{ ipv6::HEADER_LEN }>(frame, offset).ok_or(Refusal::Malformed)?;
        ipv6::Header::over(window).set_hop_limit(hops);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::captured;
    use crate::wire::build::{Link, Tcp};
    use crate::wire::ethernet::HEADER_LEN;

    #[test]
    fn only_the_hop_limit_goes_down_as_in_the_kernel() {
        let (sent, received) = captured::exchanges("IPv6")[0];
        let mut frame = captured::frame(sent);
        let layout = Layout::read(&frame, HEADER_LEN).unwrap();
        hop(&mut frame, &layout).unwrap();
        assert_eq!(frame, captured::frame(received.unwrap()));
        assert_eq!(hop(&mut frame[..53], &layout), Err(Refusal::Malformed));
    }

    #[test]
    fn a_packet_that_gets_its_hops_back_is_as_it_was() {
        let link = Link::default();
        for (src, dst) in [("10.0.1.2:1001", "10.0.0.100:80"), ("[fd00::2]:1001", "[fd00::1]:80")] {
            for ttl in [0, 1, 2, 64, 255] {
                let before = Tcp { src, dst, ttl, ..Tcp::default() }.frame(&link);
                let mut frame = before.clone();
                let layout = Layout::read(&frame, HEADER_LEN).unwrap();
                hop(&mut frame, &layout).unwrap();
                set_hops(&mut frame, &layout, ttl).unwrap();
                assert_eq!(frame, before);
                assert_eq!(set_hops(&mut frame[..20], &layout, ttl), Err(Refusal::Malformed));
            }
        }
    }
}
