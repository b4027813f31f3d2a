//! ovf, weighted overflow (`ip_vs_ovf.c`): the highest weight among those whose active connections
//! are not more than their weight, so that each gets one more than its weight. Ties stay with the
//! newest; if all are full there is none.

use super::least::Ratio;
use crate::slots::DestinationSlot;

/// What ovf compares: the highest weight is the least part of it.
#[inline]
pub(super) fn ratio(slot: &DestinationSlot) -> Option<Ratio> {
    let weight = slot.weight();
    let has_room = i64::from(slot.active()) <= i64::from(weight);
    (has_room && slot.is_usable()).then_some(Ratio { load: 1, weight })
}
