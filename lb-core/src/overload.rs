//! The defence against more connections than there is room for (`update_defense_level` and
//! `ip_vs_todrop`).
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

/// Which of the packets that would begin a connection are dropped. Each worker counts its own: the
/// share is the same, and nobody waits for a counter.
#[derive(Debug, Default)]
pub(crate) struct Dropper {
    left: i32,
}

impl Dropper {
    /// Whether this packet is dropped, with one in `rate` of them.
    pub(crate) fn drops(&mut self, rate: i32) -> bool {
        if rate == 0 {
            return false;
        }
        // The rate may have fallen since: what is left of a long wait ends with it.
        self.left = self.left.min(rate).saturating_sub(1);
        if self.left > 0 {
            return false;
        }
        self.left = rate;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `packet-path.txt`, "drop_packet=3 am_droprate=3".
    #[test]
    fn one_packet_in_so_many_is_dropped_and_the_first_is_one() {
        let dropped = |rates: &[i32]| {
            let mut dropper = Dropper::default();
            rates.iter().map(|&rate| dropper.drops(rate)).map(u8::from).collect::<Vec<_>>()
        };
        assert_eq!(dropped(&[3; 12]), [1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0]);
        assert_eq!(dropped(&[1; 3]), [1; 3], "rate 1 drops all");
        assert_eq!(dropped(&[-7; 3]), [1; 3], "and so does what is less");
        assert_eq!(dropped(&[0; 3]), [0; 3], "without a rate nothing is dropped");
        assert_eq!(dropped(&[1000, 2, 2, 2]), [1, 0, 1, 0], "a new rate counts at once");
        assert_eq!(dropped(&[i32::MIN; 2]), [1; 2]);
    }

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
