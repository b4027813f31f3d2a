//! The defence against more connections than there is room for (`update_defense_level`).
//!
//! The kernel looks at free memory. Here all memory is taken at start, so what runs out is room in
//! the flow table, and that is what is looked at.

use std::sync::atomic::{AtomicI32, Ordering};

use crate::settings::{Defence, Settings};

/// Whether room for connections is short, with so many that still fit.
pub fn is_low(settings: &Settings, available: u64) -> bool {
    i64::try_from(available).is_ok_and(|available| available < i64::from(settings.amemthresh))
}

/// Of how many packets that would begin a connection one is dropped; 0: none is.
pub fn drop_rate(settings: &Settings, available: u64) -> i32 {
    match settings.drop_packet {
        Defence::Off | Defence::AutomaticOff => 0,
        Defence::On => settings.am_droprate,
        Defence::AutomaticOn => {
            let enough = settings.amemthresh;
            let lacking = enough.saturating_sub(i32::try_from(available).unwrap_or(i32::MAX));
            enough / lacking.max(1)
        }
    }
}

/// The rate in force: written by the control plane, read by workers.
#[derive(Debug, Default)]
pub struct DropRate(AtomicI32);

impl DropRate {
    /// The rate; see [`drop_rate`].
    #[inline]
    pub fn get(&self) -> i32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Sets the rate.
    pub(crate) fn set(&self, rate: i32) {
        self.0.store(rate, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_less_room_there_is_the_more_is_dropped() {
        let settings = Settings { drop_packet: Defence::AutomaticOn, ..Settings::default() };
        let rates = [1023, 1022, 900, 512, 511, 1, 0].map(|left| drop_rate(&settings, left));
        assert_eq!(rates, [1024, 512, 8, 2, 1, 1, 1]);
        assert!(is_low(&settings, 1023) && !is_low(&settings, 1024));
        assert!(!is_low(&settings, u64::MAX));
        let never = Settings { amemthresh: -1, ..settings };
        assert!(!is_low(&never, 0));
        let always = Settings { drop_packet: Defence::On, ..settings };
        assert_eq!(drop_rate(&always, 0), 10);
        assert_eq!(drop_rate(&Settings::default(), 0), 0);
        let least = Settings { amemthresh: i32::MIN, ..settings };
        assert_eq!(drop_rate(&least, u64::MAX), i32::MIN);
    }
}
