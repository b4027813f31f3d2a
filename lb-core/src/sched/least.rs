//! The search that lc, wlc, sed, nq, fo, ovf, lblc and lblcr share: the destination with the least
//! load for its weight.

use super::Candidates;
use crate::slots::DestinationSlot;

/// A load relative to a weight, compared by cross multiplication in 64 bits, as the kernel does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ratio {
    pub(super) load: i64,
    /// Above 0.
    pub(super) weight: i32,
}

impl Ratio {
    /// Whether this is strictly the smaller one: ties stay with what was there first.
    #[inline]
    pub(super) fn is_below(self, other: Self) -> bool {
        let load_here = self.load.wrapping_mul(i64::from(other.weight));
        load_here < other.load.wrapping_mul(i64::from(self.weight))
    }
}

/// The first of the places with the smallest ratio; `ratio` is `None` where no connection may go.
#[inline]
pub(super) fn first_least(
    candidates: Candidates<'_>,
    ratio: impl Fn(&DestinationSlot) -> Option<Ratio>,
) -> Option<usize> {
    let mut best: Option<(usize, Ratio)> = None;
    for place in 0..candidates.ids.len() {
        if let Some(found) = ratio(candidates.slot(place))
            && best.is_none_or(|(_, best)| found.is_below(best))
        {
            best = Some((place, found));
        }
    }
    best.map(|(place, _)| place)
}
