//! lc, least connection (`ip_vs_lc.c`): the usable destination with the smallest load figure.
//! Ties stay with the first, that is the newest. A weight only matters as zero or not.

use super::Candidates;

/// The place of the least loaded destination.
pub(super) fn pick(candidates: Candidates<'_>) -> Option<usize> {
    // `min_by_key` keeps the first of equal ones.
    (0..candidates.ids.len())
        .filter(|&place| candidates.is_usable(place))
        .min_by_key(|&place| candidates.slot(place).overhead())
}
