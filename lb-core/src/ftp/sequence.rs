//! TCP sequence numbers behind a payload whose length was changed (`nf_conntrack_seqadj.c`).
//!
//! ```text
//! sender     ...│ 5001: 46 bytes │ 5047: ...        adjust_seq ►
//! receiver   ...│ 5001: 47 bytes │ 5048: ...        ◄ adjust_ack, adjust_sack
//! ```
//!
//! One shift is for one direction of a connection. As conntrack's it remembers the last change
//! and the sum of those before it: numbers up to the last-but-one change come out wrong, where a
//! sender repeats a segment so old. On an FTP control connection, where the server waits for the
//! next command before it replies again, it does not.

use crate::wire::checksum::Difference;

/// The most bytes of options that a TCP header can have (RFC 9293 section 3.1).
const OPTIONS_MAX: usize = 40;

mod option {
    pub(super) const END: u8 = 0;
    pub(super) const NO_OPERATION: u8 = 1;
    /// Selective acknowledgement (RFC 2018 section 3): blocks of two sequence numbers.
    pub(super) const SACK: u8 = 5;
    /// Kind and length.
    pub(super) const HEADER_LEN: usize = 2;
    pub(super) const SACK_BLOCK_LEN: usize = 8;
}

/// How far the numbers of one direction are apart on both sides of the director.
///
/// Everything is modulo 2^32, as sequence numbers are; "after" is less than half of it ahead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SequenceShift {
    /// The sender's sequence number of the payload that was changed last.
    correction_pos: u32,
    /// What is added up to there.
    offset_before: i32,
    /// What is added behind it.
    offset_after: i32,
}

impl SequenceShift {
    /// Whether no length was ever changed: every number may stay.
    pub const fn is_idle(&self) -> bool {
        self.offset_before == 0 && self.offset_after == 0
    }

    /// A payload of the sender's sequence number `seq` became longer by `delta` bytes. A repeated
    /// segment, which is changed again, is noted once (`nf_ct_seqadj_set`).
    pub const fn note(&mut self, seq: u32, delta: i32) {
        if delta == 0 {
            return;
        }
        if self.offset_before == self.offset_after || is_after(seq, self.correction_pos) {
            self.correction_pos = seq;
            self.offset_before = self.offset_after;
            self.offset_after = self.offset_after.wrapping_add(delta);
        }
    }

    /// The receiver's number for the sequence number of a segment from the sender. The changed
    /// segment begins where it began, so this may be asked before or after [`Self::note`].
    #[inline]
    #[must_use]
    pub const fn adjust_seq(&self, seq: u32) -> u32 {
        let is_behind = is_after(seq, self.correction_pos);
        seq.wrapping_add_signed(if is_behind { self.offset_after } else { self.offset_before })
    }

    /// The sender's number for what the receiver acknowledges.
    #[inline]
    #[must_use]
    pub const fn adjust_ack(&self, ack: u32) -> u32 {
        let before = ack.wrapping_add_signed(self.offset_before.wrapping_neg());
        if is_after(before, self.correction_pos) {
            ack.wrapping_add_signed(self.offset_after.wrapping_neg())
        } else {
            before
        }
    }

    /// The same for the selective acknowledgements among the receiver's TCP options, in place
    /// (`nf_ct_sack_adjust`). The difference is for the TCP checksum. `None`, and nothing done,
    /// for options that are malformed: the kernel drops such a segment.
    pub fn adjust_sack(&self, options: &mut [u8]) -> Option<Difference> {
        let mut adjusted = [0; OPTIONS_MAX];
        let adjusted = adjusted.get_mut(..options.len())?;
        adjusted.copy_from_slice(options);
        self.adjust_blocks(adjusted)?;
        // Word by word, as a block may begin at an odd byte.
        let mut difference = Difference::NONE;
        let (old, rest) = options.as_chunks::<4>();
        for (old, new) in old.iter().zip(adjusted.as_chunks::<4>().0) {
            if old != new {
                difference = difference.u32(u32::from_be_bytes(*old), u32::from_be_bytes(*new));
            }
        }
        // The data offset counts words, so there is no rest.
        rest.is_empty().then(|| options.copy_from_slice(adjusted))?;
        Some(difference)
    }

    /// Adjusts the blocks of options; some of them also where it finds an error behind.
    fn adjust_blocks(&self, options: &mut [u8]) -> Option<()> {
        let mut rest = options;
        loop {
            match *rest {
                [] | [option::END, ..] => return Some(()),
                [option::NO_OPERATION, ..] => rest = rest.get_mut(1..)?,
                [kind, length, ..] if usize::from(length) >= option::HEADER_LEN => {
                    let (whole, behind) = rest.split_at_mut_checked(usize::from(length))?;
                    let blocks = whole.get_mut(option::HEADER_LEN..)?;
                    if kind == option::SACK && blocks.len().is_multiple_of(option::SACK_BLOCK_LEN) {
                        for edge in blocks.as_chunks_mut::<4>().0 {
                            *edge = self.adjust_ack(u32::from_be_bytes(*edge)).to_be_bytes();
                        }
                    }
                    rest = behind;
                }
                _ => return None,
            }
        }
    }
}

/// Whether `number` is after `other` (RFC 9293 section 3.4).
const fn is_after(number: u32, other: u32) -> bool {
    other.wrapping_sub(number).cast_signed() < 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::checksum::Sum;
    use proptest::prelude::*;

    #[test]
    fn a_longer_text_moves_what_is_behind_it() {
        let mut shift = SequenceShift::default();
        assert!(shift.is_idle());
        shift.note(5001, 0);
        assert!(shift.is_idle());
        shift.note(5001, 1);
        assert!(!shift.is_idle());
        assert_eq!([5000, 5001, 5047].map(|seq| shift.adjust_seq(seq)), [5000, 5001, 5048]);
        assert_eq!([5000, 5001, 5048].map(|ack| shift.adjust_ack(ack)), [5000, 5001, 5047]);
    }

    #[test]
    fn a_repeated_segment_counts_once() {
        let mut shift = SequenceShift::default();
        shift.note(u32::MAX - 3, -2);
        let once = shift;
        shift.note(u32::MAX - 3, -2);
        assert_eq!(shift, once);
        assert_eq!((shift.adjust_seq(42), shift.adjust_ack(40)), (40, 42));
        shift.note(42, 7);
        let twice = shift;
        shift.note(u32::MAX - 3, -2);
        assert_eq!(shift, twice);
        assert_eq!([42, 90].map(|seq| shift.adjust_seq(seq)), [40, 95]);
        assert_eq!([40, 95].map(|ack| shift.adjust_ack(ack)), [42, 90]);
    }

    #[test]
    fn malformed_options_stay_as_they_are() {
        let mut shift = SequenceShift::default();
        shift.note(0, 1);
        let sack = [5, 10, 0, 0, 1, 0, 0, 0, 2, 0];
        for end in [[2, 4], [2, 1], [2, 0], [1, 2]] {
            let mut options = [&sack[..], &end].concat();
            let before = options.clone();
            assert!(shift.adjust_sack(&mut options).is_none(), "{end:?}");
            assert_eq!(options, before);
        }
        assert!(shift.adjust_sack(&mut [1; 3]).is_none());
        assert!(shift.adjust_sack(&mut [1; 44]).is_none());
        assert_eq!(shift.adjust_sack(&mut []), Some(Difference::NONE));
        // Behind the end there may be anything.
        assert_eq!(shift.adjust_sack(&mut [0, 2, 0, 9]), Some(Difference::NONE));
        // Blocks that are not whole are not blocks.
        let mut options = [5, 7, 0, 0, 1, 0, 0, 0];
        assert_eq!(shift.adjust_sack(&mut options), Some(Difference::NONE));
        assert_eq!(options, [5, 7, 0, 0, 1, 0, 0, 0]);
    }

    /// A segment that a server sends: its length, and the length that the client gets.
    #[derive(Clone, Copy, Debug)]
    struct Sent {
        old: u32,
        new: u32,
    }

    fn sent() -> impl Strategy<Value = Sent> {
        let unchanged = (1_u32..1500).prop_map(|old| Sent { old, new: old });
        let changed = (30_u32..60, 0_u32..30).prop_map(|(old, new)| Sent { old, new: new + 25 });
        prop_oneof![unchanged, changed]
    }

    fn delta(sent: Sent) -> i32 {
        sent.new.cast_signed() - sent.old.cast_signed()
    }

    proptest! {
        /// The server sends segment by segment; the client acknowledges after each, and asks for
        /// any again that the shift still remembers.
        #[test]
        fn both_ends_of_a_stream_agree(
            first: u32, apart_from_wrap in -5000_i32..5000, wraps: bool,
            stream in prop::collection::vec(sent(), 1..40), repeat: prop::sample::Index,
        ) {
            let first = if wraps { 0_u32.wrapping_add_signed(apart_from_wrap) } else { first };
            let mut shift = SequenceShift::default();
            // (server's, client's) number of the byte that each segment begins with.
            let mut begins = vec![(first, first)];
            let mut remembered = 0;
            let mut last_change = 0;
            for (index, &segment) in stream.iter().enumerate() {
                let (server, client) = begins[index];
                shift.note(server, delta(segment));
                prop_assert_eq!(shift.adjust_seq(server), client);
                begins.push((server.wrapping_add(segment.old), client.wrapping_add(segment.new)));
                if segment.new != segment.old {
                    // Behind the change before this one.
                    remembered = if shift_is_first(&stream[..index]) { 0 } else { last_change + 1 };
                    last_change = index;
                }
                // Lost: the server repeats from here, and the director changes it again.
                let from = remembered + repeat.index(index + 1 - remembered);
                let again = stream[from..=index].iter().zip(&begins[from..]);
                for (&segment, &(server, client)) in again {
                    shift.note(server, delta(segment));
                    prop_assert_eq!(shift.adjust_seq(server), client);
                }
                for &(server, client) in &begins[remembered..] {
                    prop_assert_eq!(shift.adjust_ack(client), server);
                }
            }
        }

        #[test]
        fn selective_acknowledgements_follow_and_the_rest_stays(
            pos: u32, delta in -20_i32..20, edges in prop::collection::vec(any::<u32>(), 0..4),
            padding in 0_usize..3, trailing: bool, other: [u8; 2],
        ) {
            let mut shift = SequenceShift::default();
            shift.note(pos, delta);
            let build = |edges: &[u32]| {
                let mut options = vec![option::NO_OPERATION; padding];
                options.extend([8, 4, other[0], other[1]]);
                if !edges.is_empty() {
                    let length = u8::try_from(2 + 8 * edges.len()).unwrap();
                    options.extend([option::SACK, length]);
                    for edge in edges {
                        options.extend(edge.to_be_bytes());
                        options.extend(edge.to_be_bytes());
                    }
                }
                let end = if trailing { option::END } else { option::NO_OPERATION };
                options.resize(options.len().next_multiple_of(4), end);
                options
            };
            let mut options = build(&edges);
            let checksum = Sum::ZERO.add_u32(0x1234).add_bytes(&options).checksum();
            let difference = shift.adjust_sack(&mut options).unwrap();
            let expected: Vec<u32> = edges.iter().map(|&edge| shift.adjust_ack(edge)).collect();
            prop_assert_eq!(&options, &build(&expected));
            let after = Sum::ZERO.add_u32(0x1234).add_bytes(&options).checksum();
            prop_assert_eq!(difference.apply(checksum), after);
        }

        #[test]
        fn options_can_be_anything(mut options in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut shift = SequenceShift::default();
            shift.note(1, 1);
            let before = options.clone();
            if shift.adjust_sack(&mut options).is_none() {
                prop_assert_eq!(options, before);
            }
        }
    }

    fn shift_is_first(earlier: &[Sent]) -> bool {
        earlier.iter().all(|segment| segment.new == segment.old)
    }
}
