//! wlc, weighted least connection (`ip_vs_wlc.c`), the default: the smallest load figure relative
//! to the weight. Ties stay with the newest.

use super::least::Ratio;
use crate::settings::Settings;
use crate::slots::DestinationSlot;

/// What wlc compares.
#[inline]
pub(super) fn ratio(slot: &DestinationSlot, settings: &Settings) -> Option<Ratio> {
    slot.is_usable().then(|| ratio_of(slot, settings))
}

/// The same where the weight is known to be above 0, and an overload does not matter.
#[inline]
pub(super) fn ratio_of(slot: &DestinationSlot, settings: &Settings) -> Ratio {
    Ratio { load: slot.overhead(settings), weight: slot.weight() }
}
