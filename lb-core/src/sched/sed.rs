//! sed, shortest expected delay (`ip_vs_sed.c`): the active connections that a destination would
//! have with this one, relative to its weight. Inactive connections do not count, so for UDP it is
//! always the highest weight. Ties stay with the newest.

use super::least::Ratio;
use crate::slots::DestinationSlot;

/// What sed compares.
#[inline]
pub(super) fn ratio(slot: &DestinationSlot) -> Option<Ratio> {
    let weight = slot.weight();
    slot.is_usable().then(|| Ratio { load: i64::from(slot.active()) + 1, weight })
}
