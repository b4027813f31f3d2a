//! lc, least connection (`ip_vs_lc.c`): the usable destination with the smallest load figure. Ties
//! stay with the newest. A weight only matters as zero or not.

use super::least::Ratio;
use crate::settings::Settings;
use crate::slots::DestinationSlot;

/// What lc compares.
#[inline]
pub(super) fn ratio(slot: &DestinationSlot, settings: &Settings) -> Option<Ratio> {
    slot.is_usable().then(|| Ratio { load: slot.overhead(settings), weight: 1 })
}
