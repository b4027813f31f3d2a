//! Cutting an IPv4 packet into fragments that fit a link (RFC 791 section 3.2).

use crate::wire::Malformed;
use crate::wire::field::window_mut;
use crate::wire::ipv4::{HEADER_LEN, Header, Packet};

/// Length of the longest header: the IHL is 15 words.
const HEADER_LEN_MAX: usize = 60;

/// Options of one byte: end of the list, and no operation (RFC 791 section 3.1).
const END: u8 = 0;
const NO_OPERATION: u8 = 1;
/// Set in options that stand in every fragment.
const COPIED: u8 = 0x80;

/// Why a packet is not cut into fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum SplitError {
    /// The packet's lengths do not fit its bytes.
    #[error("IPv4 header is {0}")]
    Malformed(#[from] Malformed),
    /// The packet is itself a fragment and reaches beyond the largest datagram.
    #[error("reaches beyond 65535 bytes")]
    TooFar,
    /// Less than 8 bytes of payload fit beside the header.
    #[error("MTU {mtu} leaves no room beside a header of {header} bytes")]
    Mtu { mtu: u16, header: u8 },
    /// `emit` did not take a fragment.
    #[error("a fragment was not taken")]
    NotTaken,
}

/// Cuts a packet into fragments of at most `mtu` bytes, as the kernel's `ip_do_fragment` does on
/// its slow path. `packet` begins with the IPv4 header; what follows the packet's total length is
/// left out.
///
/// `emit` gets header and payload of each fragment, in order, and says whether it took it; the
/// first refusal ends the work, and fragments before it have been emitted. Returns how many
/// fragments there were: one where the packet fits.
///
/// DF is the caller's to look at; fragments do not have it. Everything else of the header stays,
/// the identification included. Options that are not to be copied become no operations in all
/// fragments but the datagram's first, as in the kernel's `ip_options_fragment`, so that all
/// headers have one length. A packet that is itself a fragment stays a part of its datagram.
pub fn split(
    packet: &[u8],
    mtu: u16,
    mut emit: impl FnMut(&[u8], &[u8]) -> bool,
) -> Result<usize, SplitError> {
    let Packet { header, options, payload } = Packet::check(packet)?;
    let header_length = header.header_length();
    let room = usize::from(mtu).saturating_sub(header_length);
    let full = room & !7;
    if full == 0 {
        // A checked header has 60 bytes at most.
        let header = u8::try_from(header_length).unwrap_or(u8::MAX);
        return Err(SplitError::Mtu { mtu, header });
    }
    if header.fragment_offset() + payload.len() > usize::from(u16::MAX) {
        return Err(SplitError::TooFar);
    }
    let mut bytes = [0; HEADER_LEN_MAX];
    let copy = packet.get(..header_length).zip(bytes.get_mut(..header_length));
    let (from, to) = copy.ok_or(Malformed::HeaderLength)?;
    to.copy_from_slice(from);
    let mut fragments = 0;
    let mut rest = payload;
    let mut offset = header.fragment_offset();
    loop {
        let length = if rest.len() <= room { rest.len() } else { full };
        let (piece, others) = rest.split_at(length);
        let more = !others.is_empty() || header.more_fragments();
        let head = bytes.get_mut(..header_length).ok_or(Malformed::HeaderLength)?;
        write(head, piece.len(), more, offset)?;
        if !emit(head, piece) {
            return Err(SplitError::NotTaken);
        }
        fragments += 1;
        if others.is_empty() {
            return Ok(fragments);
        }
        if offset == 0 && !options.is_empty() {
            keep_copied(head.get_mut(HEADER_LEN..).unwrap_or_default());
        }
        rest = others;
        offset += length;
    }
}

/// Makes the header that of a fragment.
fn write(head: &mut [u8], payload: usize, more: bool, offset: usize) -> Result<(), SplitError> {
    let total = u16::try_from(head.len() + payload).map_err(|_| Malformed::TotalLength)?;
    let offset = u16::try_from(offset).map_err(|_| SplitError::TooFar)?;
    let (fixed, options) = head.split_at_mut_checked(HEADER_LEN).ok_or(Malformed::HeaderLength)?;
    let mut header = Header::over(window_mut(fixed, 0).ok_or(Malformed::HeaderLength)?);
    header.set_total_length(total);
    header.set_fragment(false, more, offset);
    header.fill_checksum(options);
    Ok(())
}

/// Overwrites options that belong only into the first fragment. Where the list is broken the rest
/// of it stays as it is, as in the kernel.
fn keep_copied(options: &mut [u8]) {
    let mut at = 0;
    while let Some((&kind, tail)) = options.get(at..).and_then(<[u8]>::split_first) {
        let length = match kind {
            END => return,
            NO_OPERATION => 1,
            _ => tail.first().map_or(0, |&length| usize::from(length)),
        };
        let is_broken = kind != NO_OPERATION && length < 2;
        let Some(option) = options.get_mut(at..at + length).filter(|_| !is_broken) else { return };
        if kind & COPIED == 0 {
            option.fill(NO_OPERATION);
        }
        at += length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::build::{Ip, Udp};
    use etherparse::Ipv4HeaderSlice;
    use proptest::prelude::*;

    const UDP: u8 = 17;

    fn packet(ip: Ip<'_>, payload: &[u8]) -> Vec<u8> {
        ip.packet(([10, 0, 1, 2].into(), [10, 0, 0, 100].into()), UDP, 63, payload)
    }

    fn fragments(packet: &[u8], mtu: u16) -> Result<Vec<Vec<u8>>, SplitError> {
        let mut fragments = Vec::new();
        let count = split(packet, mtu, |header, piece| {
            fragments.push([header, piece].concat());
            true
        })?;
        assert_eq!(count, fragments.len());
        Ok(fragments)
    }

    /// Puts a datagram together again: a map of bytes by offset, and a length from whoever says
    /// it. The header is the first fragment's.
    fn reassemble<'a>(fragments: impl IntoIterator<Item = &'a Vec<u8>>) -> Option<Vec<u8>> {
        let mut payload = std::collections::BTreeMap::new();
        let (mut first, mut end) = (None, None);
        for fragment in fragments {
            let header = Ipv4HeaderSlice::from_slice(fragment).unwrap().to_header();
            let bytes = &fragment[header.header_len()..];
            let offset = usize::from(header.fragments_offset_bytes());
            for (at, byte) in bytes.iter().enumerate() {
                assert!(payload.insert(offset + at, *byte).is_none(), "byte {at} comes twice");
            }
            if !header.more_fragments {
                assert!(end.replace(offset + bytes.len()).is_none(), "two ends");
            }
            if offset == 0 {
                first = Some(header);
            }
        }
        let (mut header, end) = (first?, end?);
        assert!(payload.keys().copied().eq(0..end), "holes");
        header.more_fragments = false;
        header.total_len = u16::try_from(header.header_len() + end).unwrap();
        header.header_checksum = header.calc_header_checksum();
        Some(header.to_bytes().into_iter().chain(payload.into_values()).collect())
    }

    trait OffsetInBytes {
        fn fragments_offset_bytes(&self) -> u16;
    }

    impl OffsetInBytes for etherparse::Ipv4Header {
        fn fragments_offset_bytes(&self) -> u16 {
            self.fragment_offset.byte_offset()
        }
    }

    proptest! {
        #[test]
        fn fragments_are_sound_and_make_the_packet_again(
            payload in proptest::collection::vec(any::<u8>(), 0..4000),
            words in 0_usize..=10, mtu in 68_u16..2000, tos: u8, identification: u16,
            order in any::<proptest::sample::Index>(), mtu_again in 68_u16..2000,
        ) {
            let options = vec![NO_OPERATION; words * 4];
            let ip = Ip { tos, identification, options: &options, ..Ip::default() };
            let whole = packet(ip, &payload);
            let mut parts = fragments(&whole, mtu).unwrap();
            for part in &parts {
                prop_assert!(part.len() <= usize::from(mtu));
                let header = Ipv4HeaderSlice::from_slice(part).unwrap().to_header();
                prop_assert_eq!(header.header_checksum, header.calc_header_checksum());
                prop_assert_eq!(usize::from(header.total_len), part.len());
                prop_assert_eq!(header.identification, identification);
                prop_assert!(!header.dont_fragment);
            }
            let room = usize::from(mtu) - 20 - options.len();
            let least = if payload.len() <= room { 1 } else { payload.len().div_ceil(room & !7) };
            prop_assert!(parts.len() == least || parts.len() + 1 == least);
            // The next router may have a smaller link, and links may change the order.
            let mut again: Vec<Vec<u8>> =
                parts.iter().flat_map(|part| fragments(part, mtu_again).unwrap()).collect();
            let middle = order.index(again.len());
            again.rotate_left(middle);
            parts.reverse();
            prop_assert_eq!(reassemble(&parts), Some(whole.clone()));
            prop_assert_eq!(reassemble(&again), Some(whole));
        }

        #[test]
        fn nothing_panics_and_what_is_emitted_is_ipv4(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..200), mtu: u16,
            version_ihl in 0x44_u8..0x50, total in 0_u16..220,
        ) {
            if let Some(window) = window_mut::<4>(&mut bytes, 0) {
                window[0] = version_ihl;
                window[2..4].copy_from_slice(&total.to_be_bytes());
            }
            let result = split(&bytes, mtu, |header, piece| {
                let bytes = [header, piece].concat();
                let packet = Packet::check(&bytes).unwrap();
                assert!(packet.verify_checksum());
                assert!(bytes.len() <= usize::from(mtu));
                true
            });
            prop_assert!(result != Err(SplitError::NotTaken));
        }
    }

    #[test]
    fn a_packet_of_1001_bytes_is_cut_as_by_the_kernel() {
        // packet-path.txt, "MTU": 996 bytes with MF at offset 0, then 25 bytes at offset 976.
        let whole = packet(Ip::default(), &[7; 981]);
        let parts = fragments(&whole, 1000).unwrap();
        let seen: Vec<(usize, bool, usize)> = parts
            .iter()
            .map(|part| {
                let header = Packet::check(part).unwrap().header;
                (part.len(), header.more_fragments(), header.fragment_offset())
            })
            .collect();
        assert_eq!(seen, [(996, true, 0), (25, false, 976)]);
    }

    #[test]
    fn the_last_fragment_uses_the_whole_mtu() {
        // 20 + 976 bytes would leave 3, but 20 + 979 bytes fit the MTU of 999 as they are.
        let whole = packet(Ip::default(), &[7; 979]);
        assert_eq!(fragments(&whole, 999).unwrap(), [whole]);
    }

    #[test]
    fn options_that_are_not_copied_become_no_operations() {
        // Record route (7, not copied), no operation, loose source route (131, copied), end.
        let options = [7, 7, 4, 0, 0, 0, 0, 1, 131, 7, 4, 10, 0, 0, 1, 0];
        let later = [1, 1, 1, 1, 1, 1, 1, 1, 131, 7, 4, 10, 0, 0, 1, 0];
        let whole = packet(Ip { options: &options, ..Ip::default() }, &[7; 100]);
        let parts = fragments(&whole, 84).unwrap();
        let seen: Vec<&[u8]> =
            parts.iter().map(|part| Packet::check(part).unwrap().options).collect();
        assert_eq!(seen, [&options[..], &later, &later]);
        for part in &parts {
            assert!(Packet::check(part).unwrap().verify_checksum());
        }
    }

    #[test]
    fn a_broken_list_of_options_stays() {
        for broken in [[7, 1, 7, 3], [7, 0, 7, 3], [7, 5, 7, 3], [0, 7, 3, 0], [1, 1, 1, 7]] {
            let mut options = broken;
            keep_copied(&mut options);
            assert_eq!(options, broken);
        }
        let mut options = [7, 3, 9, 7];
        keep_copied(&mut options);
        assert_eq!(options, [1, 1, 1, 7], "up to where it is broken");
    }

    #[test]
    fn a_fragment_stays_a_part_of_its_datagram() {
        let options = [7, 3, 9, 1];
        let ip = Ip {
            more_fragments: true,
            fragment_offset: 800,
            options: &options,
            dont_fragment: true,
            ..Ip::default()
        };
        let parts = fragments(&packet(ip, &[7; 64]), 56).unwrap();
        let seen: Vec<_> = parts.iter().map(|part| Packet::check(part).unwrap()).collect();
        let offsets: Vec<usize> = seen.iter().map(|part| part.header.fragment_offset()).collect();
        assert_eq!(offsets, [800, 832]);
        for part in seen {
            assert!(part.header.more_fragments() && !part.header.dont_fragment());
            assert_eq!(part.options, options, "options of a later fragment are settled");
        }
    }

    #[test]
    fn refusals_have_their_reasons() {
        let whole = packet(Ip::default(), &[7; 100]);
        assert_eq!(fragments(&whole, 27), Err(SplitError::Mtu { mtu: 27, header: 20 }));
        assert_eq!(fragments(&whole, 28).unwrap().len(), 13);
        assert_eq!(
            fragments(&whole[..119], 100),
            Err(SplitError::Malformed(Malformed::TotalLength))
        );
        let far = Ip { fragment_offset: 65_528, ..Ip::default() };
        assert_eq!(fragments(&packet(far, &[7; 8]), 1500), Err(SplitError::TooFar));
        assert_eq!(fragments(&packet(far, &[7; 7]), 1500).unwrap().len(), 1);
        let mut taken = 0;
        let result = split(&whole, 60, |_, _| {
            taken += 1;
            taken < 2
        });
        assert_eq!((result, taken), (Err(SplitError::NotTaken), 2));
    }

    #[test]
    fn what_follows_the_packet_in_its_frame_is_left_out() {
        let whole = Udp { payload: &[7; 100], ..Udp::default() }.packet();
        let padded = [&whole[..], &[0xee; 9]].concat();
        assert_eq!(fragments(&padded, 60), fragments(&whole, 60));
    }
}
