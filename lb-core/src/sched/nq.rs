//! nq, never queue (`ip_vs_nq.c`): the newest destination without active connections, whatever its
//! weight; if there is none, as sed.

use super::least::Ratio;
use crate::slots::DestinationSlot;

/// What nq compares: being idle is less than any delay.
#[inline]
pub(super) fn ratio(slot: &DestinationSlot) -> Option<Ratio> {
    let (weight, active) = (slot.weight(), slot.active());
    let load = if active == 0 { 0 } else { i64::from(active) + 1 };
    slot.is_usable().then_some(Ratio { load, weight })
}
