//! fo, weighted failover (`ip_vs_fo.c`): the highest weight among those not overloaded. Ties stay
//! with the newest.

use super::least::Ratio;
use crate::slots::DestinationSlot;

/// What fo compares: the highest weight is the least part of it.
#[inline]
pub(super) fn ratio(slot: &DestinationSlot) -> Option<Ratio> {
    slot.is_usable().then(|| Ratio { load: 1, weight: slot.weight() })
}
