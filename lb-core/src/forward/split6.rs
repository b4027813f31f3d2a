//! Cutting an IPv6 packet of our own into fragments that fit a link (RFC 8200 section 4.5): the
//! outer packet of a tunnel. Others' packets are never fragmented on their way.

use crate::wire::Malformed;
use crate::wire::extension::{FRAGMENT_LEN, fragment_header};
use crate::wire::field::window_mut;
use crate::wire::ipv6::{HEADER_LEN, Header, Packet, protocol};

/// Headers of each fragment.
const HEADERS_LEN: usize = HEADER_LEN + FRAGMENT_LEN;

/// Cuts a packet without extension headers into fragments of at most `mtu` bytes. `emit` gets
/// headers and payload of each, in order, and says whether it took it; the first refusal ends the
/// work. Returns how many there were. `mtu` is the smallest of IPv6 or more.
pub fn split6(
    packet: &[u8],
    mtu: u16,
    identification: u32,
    mut emit: impl FnMut(&[u8], &[u8]) -> bool,
) -> Result<usize, Malformed> {
    let Packet { header, payload } = Packet::check(packet)?;
    let next = header.next_header();
    let full = usize::from(mtu).saturating_sub(HEADERS_LEN) & !7;
    if full == 0 {
        return Err(Malformed::TotalLength);
    }
    let mut bytes = [0; HEADERS_LEN];
    bytes.iter_mut().zip(packet).take(HEADER_LEN).for_each(|(to, from)| *to = *from);
    let mut offset = 0;
    let mut fragments = 0;
    for piece in payload.chunks(full) {
        let more = offset + piece.len() < payload.len();
        let mut head = Header::over(window_mut(&mut bytes, 0).ok_or(Malformed::Truncated)?);
        head.set_next_header(protocol::FRAGMENT);
        let length = u16::try_from(FRAGMENT_LEN + piece.len());
        head.set_payload_length(length.map_err(|_| Malformed::TotalLength)?);
        let at = u16::try_from(offset).map_err(|_| Malformed::TotalLength)?;
        let fragment = fragment_header(next, at, more, identification);
        bytes[HEADER_LEN..].copy_from_slice(&fragment);
        if !emit(&bytes, piece) {
            break;
        }
        offset += piece.len();
        fragments += 1;
    }
    Ok(fragments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::build::{Ip6, Link, Udp};
    use crate::wire::extension::walk;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn fragments_put_together_are_the_packet(length in 0_usize..4000, mtu in 1280_u16..1600) {
            let payload: Vec<u8> = (0..length).map(|n| n.to_be_bytes()[7]).collect();
            let udp = Udp {
                src: "[fd00:2::1]:1", dst: "[fd00:2::b]:2", payload: &payload, ..Udp::default()
            };
            let packet = udp.packet6(&Ip6::default());
            prop_assert!(Link::default().packet(&packet).len() == 14 + packet.len());
            let (mut whole, mut last) = (Vec::<u8>::new(), false);
            let count = split6(&packet, mtu, 7, |header, piece| {
                assert!(header.len() + piece.len() <= usize::from(mtu));
                let cut = [header, piece].concat();
                let read = Packet::check(&cut).unwrap();
                let chain = walk(read.header.next_header(), read.payload).unwrap();
                let fragment = chain.fragment.unwrap();
                assert_eq!(fragment.offset, whole.len());
                assert_eq!((fragment.identification, fragment.next_header), (7, 17));
                assert!(!last);
                last = !fragment.more;
                whole.extend(piece);
                true
            });
            prop_assert!(last);
            prop_assert_eq!(whole.as_slice(), &packet[HEADER_LEN..]);
            prop_assert_eq!(count.unwrap(), whole.len().div_ceil((usize::from(mtu) - 48) & !7));
        }
    }
}
