//! wlc, weighted least connection (`ip_vs_wlc.c`), the default: the smallest load figure relative
//! to the weight. Ties stay with the newest.

use super::least::Ratio;
use crate::settings::Settings;
use crate::slots::DestinationSlot;

/// What wlc compares.
#[inline]
pub(super) fn ratio(slot: &DestinationSlot, settings: &Settings) -> Option<Ratio> {
    let weight = slot.weight();
    slot.is_usable().then(|| Ratio { load: slot.overhead(settings), weight })
}
