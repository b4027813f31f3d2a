//! Which bytes of a datagram have been seen.

use std::ops::Range;

use super::FragmentError;

/// Ranges that are kept apart at most. Fragments that come in order, in either direction, need
/// one; two paths that take turns and of which one lags need one for each fragment of the lag.
const SPANS_MAX: usize = 8;

/// Fragments of one datagram at most. The largest datagram has 119 over links with an MTU of 576,
/// and 241 with 296, the smallest that RFC 1191 (section 7.1) knows of in use.
const FRAGMENTS_MAX: u8 = u8::MAX;

/// A fragment whose place in the datagram is possible.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    start: u16,
    end: u16,
    is_last: bool,
}

impl Piece {
    /// Checks what can be seen of a fragment alone. `range` is in bytes, and `end_max` is where a
    /// datagram ends at the latest. The kernel cuts a length that is no multiple of 8 (RFC 791
    /// wants one in all fragments but the last); here nothing is cut, so it is refused.
    pub(super) fn check(
        range: Range<u32>,
        is_last: bool,
        end_max: u32,
    ) -> Result<Self, FragmentError> {
        let is_possible = range.start < range.end
            && range.end <= end_max
            && range.start.is_multiple_of(8)
            && (is_last || range.end.is_multiple_of(8));
        let bounds = (u16::try_from(range.start), u16::try_from(range.end));
        match bounds {
            (Ok(start), Ok(end)) if is_possible => Ok(Self { start, end, is_last }),
            _ => Err(FragmentError::Malformed),
        }
    }

    /// Whether the datagram begins with it.
    pub(super) const fn is_first(&self) -> bool {
        self.start == 0
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: u16,
    end: u16,
}

/// The bytes of one datagram that have been seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Received {
    /// Ascending, with gaps between them; the first `spans_len` count.
    spans: [Span; SPANS_MAX],
    spans_len: u8,
    fragments: u8,
    is_spoilt: bool,
    /// Where the last fragment ends; 0 before it has been seen.
    end: u16,
}

impl Received {
    /// Nothing yet.
    pub(super) const NONE: Self = Self {
        spans: [Span { start: 0, end: 0 }; SPANS_MAX],
        spans_len: 0,
        fragments: 0,
        is_spoilt: false,
        end: 0,
    };

    /// Whether fragments contradicted each other.
    pub(super) const fn is_spoilt(&self) -> bool {
        self.is_spoilt
    }

    /// Whether all bytes have been seen.
    pub(super) fn is_complete(&self) -> bool {
        let [span, ..] = self.spans;
        !self.is_spoilt
            && self.end != 0
            && self.spans_len == 1
            && (span.start, span.end) == (0, self.end)
    }

    /// Adds a fragment. In the order of the kernel: a second end, then a repeated fragment, then
    /// an overlap (`ip_frag_queue`, `inet_frag_queue_insert`).
    pub(super) fn add(&mut self, piece: Piece) -> Result<(), FragmentError> {
        if self.is_spoilt {
            return Err(FragmentError::Overlap);
        }
        let added = self.check_end(piece).and_then(|()| self.add_span(piece));
        match added {
            Ok(()) if piece.is_last => self.end = piece.end,
            Err(FragmentError::Overlap) => self.is_spoilt = true,
            _ => {}
        }
        added
    }

    fn check_end(&self, piece: Piece) -> Result<(), FragmentError> {
        let is_end_known = self.end != 0;
        let seen_upto = self.spans().last().map_or(0, |span| span.end);
        let contradicts = piece.is_last
            && (piece.end < seen_upto || is_end_known && piece.end != self.end)
            || is_end_known && piece.end > self.end;
        if contradicts { Err(FragmentError::Overlap) } else { Ok(()) }
    }

    fn add_span(&mut self, Piece { start, end, .. }: Piece) -> Result<(), FragmentError> {
        let spans = self.spans();
        // Spans before this one end where the piece begins, or earlier.
        let at = spans.iter().take_while(|span| span.end <= start).count();
        let (before, after) = spans.split_at(at);
        let joins_before = before.last().is_some_and(|span| span.end == start);
        let joins_after = after.first().is_some_and(|span| span.start == end);
        if let Some(next) = after.first().filter(|next| next.start < end) {
            let is_inside = next.start <= start && end <= next.end;
            let error = if is_inside { FragmentError::Duplicate } else { FragmentError::Overlap };
            return Err(error);
        }
        if self.fragments == FRAGMENTS_MAX {
            return Err(FragmentError::Scattered);
        }
        let len = spans.len();
        match (joins_before, joins_after) {
            (true, true) => {
                self.spans[at - 1].end = self.spans[at].end;
                self.spans.copy_within(at + 1..len, at);
                self.spans_len -= 1;
            }
            (true, false) => self.spans[at - 1].end = end,
            (false, true) => self.spans[at].start = start,
            (false, false) if len == SPANS_MAX => return Err(FragmentError::Scattered),
            (false, false) => {
                self.spans.copy_within(at..len, at + 1);
                self.spans[at] = Span { start, end };
                self.spans_len += 1;
            }
        }
        self.fragments += 1;
        Ok(())
    }

    fn spans(&self) -> &[Span] {
        self.spans.get(..usize::from(self.spans_len)).unwrap_or(&self.spans)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn piece(range: Range<u32>, is_last: bool) -> Piece {
        Piece::check(range, is_last, 65_535).unwrap()
    }

    fn spans(received: &Received) -> Vec<Range<u16>> {
        received.spans().iter().map(|span| span.start..span.end).collect()
    }

    #[test]
    fn impossible_places_are_refused() {
        let malformed = Err(FragmentError::Malformed);
        let check = |range, is_last, end_max| Piece::check(range, is_last, end_max).map(|_| ());
        assert_eq!(check(0..8, false, 65_515), Ok(()));
        assert_eq!(check(0..9, false, 65_515), malformed, "no multiple of 8, and not the last");
        assert_eq!(check(8..17, true, 65_515), Ok(()));
        assert_eq!(check(8..8, true, 65_515), malformed, "empty");
        #[expect(clippy::reversed_empty_ranges, reason = "what a caller's overflow could make")]
        let reversed = 16..8;
        assert_eq!(check(reversed, true, 65_515), malformed);
        assert_eq!(check(4..8, true, 65_515), malformed, "no offset that a header can say");
        assert_eq!(check(65_512..65_515, true, 65_515), Ok(()));
        assert_eq!(check(65_512..65_516, true, 65_515), malformed, "the ping of death");
        assert_eq!(check(65_528..65_536, false, 65_535), malformed);
        assert_eq!(check(u32::MAX - 7..u32::MAX, true, u32::MAX), malformed);
    }

    #[test]
    fn a_repeated_fragment_is_a_duplicate_and_spoils_nothing() {
        let mut received = Received::NONE;
        received.add(piece(8..24, false)).unwrap();
        for range in [8..24, 8..16, 16..24] {
            assert_eq!(received.add(piece(range, false)), Err(FragmentError::Duplicate));
        }
        received.add(piece(24..30, true)).unwrap();
        assert_eq!(received.add(piece(24..30, true)), Err(FragmentError::Duplicate));
        received.add(piece(0..8, false)).unwrap();
        assert!(received.is_complete());
    }

    #[test]
    fn a_partial_overlap_spoils_the_datagram() {
        for range in [0..16, 16..32, 0..32] {
            let mut received = Received::NONE;
            received.add(piece(8..24, false)).unwrap();
            assert_eq!(received.add(piece(range, false)), Err(FragmentError::Overlap));
            assert!(received.is_spoilt());
            assert_eq!(received.add(piece(800..808, false)), Err(FragmentError::Overlap));
        }
    }

    #[test]
    fn a_second_end_spoils_the_datagram() {
        let cases = [
            (16..24, true, "an end behind the end"),
            (8..16, false, "more bytes behind the end"),
            (0..7, true, "an end before the end, though its bytes are known"),
        ];
        for (range, is_last, why) in cases {
            let mut received = Received::NONE;
            received.add(piece(0..8, true)).unwrap();
            assert_eq!(received.add(piece(range, is_last)), Err(FragmentError::Overlap), "{why}");
            assert!(received.is_spoilt());
        }
        let mut received = Received::NONE;
        received.add(piece(16..24, false)).unwrap();
        let early_end = received.add(piece(0..8, true));
        assert_eq!(early_end, Err(FragmentError::Overlap), "an end before bytes that were seen");
    }

    #[test]
    fn nine_islands_are_too_many_and_bridges_make_room() {
        let mut received = Received::NONE;
        for island in 0..8 {
            received.add(piece(island * 16..island * 16 + 8, false)).unwrap();
        }
        let far = piece(800..808, false);
        assert_eq!(received.add(far), Err(FragmentError::Scattered));
        assert!(!received.is_spoilt(), "too many is no contradiction");
        received.add(piece(8..16, false)).unwrap();
        received.add(far).unwrap();
        let expected = [0..24, 32..40, 48..56, 64..72, 80..88, 96..104, 112..120, 800..808];
        assert_eq!(spans(&received), expected);
    }

    #[test]
    fn a_datagram_of_the_smallest_links_fits_and_more_does_not() {
        let mut received = Received::NONE;
        for number in 0..255 {
            received.add(piece(number * 8..number * 8 + 8, false)).unwrap();
        }
        assert_eq!(received.add(piece(2040..2048, false)), Err(FragmentError::Scattered));
        assert_eq!(received.add(piece(0..8, false)), Err(FragmentError::Duplicate));
    }

    proptest! {
        /// Units of 8 bytes against a set of numbers.
        #[test]
        fn spans_are_the_bytes_that_were_added(
            pieces in proptest::collection::vec((0_u16..40, 1_u16..4), 0..40)
        ) {
            let mut received = Received::NONE;
            let mut model = std::collections::BTreeSet::new();
            for (start, units) in pieces {
                let range = start..start + units;
                let seen = range.clone().filter(|unit| model.contains(unit)).count();
                let added = received
                    .add(piece(u32::from(range.start) * 8..u32::from(range.end) * 8, false));
                match added {
                    Ok(()) => {
                        prop_assert_eq!(seen, 0);
                        model.extend(range);
                    }
                    Err(FragmentError::Duplicate) => prop_assert_eq!(seen, usize::from(units)),
                    Err(FragmentError::Scattered) => {
                        prop_assert_eq!(seen, 0);
                        let is_edge = |unit: &&u16| !model.contains(&(**unit + 1));
                        prop_assert_eq!(model.iter().filter(is_edge).count(), SPANS_MAX);
                    }
                    Err(error) => {
                        prop_assert_eq!(error, FragmentError::Overlap);
                        // Wholly known, but not in one piece, cannot be: neighbours are joined.
                        prop_assert!(seen > 0 && seen < usize::from(units));
                        return Ok(());
                    }
                }
                let covered: Vec<u16> = spans(&received)
                    .into_iter()
                    .flat_map(|span| span.start / 8..span.end / 8)
                    .collect();
                prop_assert_eq!(covered, model.iter().copied().collect::<Vec<_>>());
            }
        }
    }
}
