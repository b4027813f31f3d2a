//! Rates per second out of counters, as the kernel smooths them (`ip_vs_est.c`).
//!
//! Every two seconds the average of a counter moves by a quarter of the way to what was counted
//! in these two seconds. Averages are integers, scaled by a power of two: by 2^10 for connections
//! and packets, by 2^5 for bytes.

use crate::operations::{Rates, Stats};

/// Seconds between two estimations.
pub const PERIOD_S: u32 = 2;

/// Bits behind the point of an average: of connections, packets in and out, bytes in and out.
const FRACTION_BITS: [u32; 5] = [10, 10, 10, 5, 5];

/// An average moves by the difference shifted so far: by a quarter of it.
const SMOOTHING: u32 = 2;

/// The estimator of a service, of a real server or of all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimator {
    /// What was counted at the last estimation.
    last: Stats,
    /// Per second, in the order of [`FRACTION_BITS`].
    averages: [i64; 5],
}

impl Estimator {
    /// The next estimation, [`PERIOD_S`] after the one before; `counted` is what the counters
    /// show now.
    pub fn estimate(&mut self, counted: Stats) {
        let grown = fields(counted.since(self.last));
        self.last = counted;
        for ((average, grown), bits) in self.averages.iter_mut().zip(grown).zip(FRACTION_BITS) {
            // Half of what was counted in two seconds, scaled. A worker may take back what it
            // counted too early: that is less than nothing.
            let rate = grown.cast_signed() << (bits - PERIOD_S.ilog2());
            *average = average.wrapping_add(rate.wrapping_sub(*average) >> SMOOTHING);
        }
    }

    /// The counters, which show `counted`, begin at 0 again, and so do the rates. What was counted
    /// since the last estimation is still part of the next one (`ip_vs_zero_estimator`).
    pub fn zero(&mut self, counted: Stats) {
        *self = Self { last: self.last.since(counted), averages: [0; 5] };
    }

    /// The rates as they are shown: rounded.
    pub fn rates(&self) -> Rates {
        let mut shown = self.averages.iter().zip(FRACTION_BITS).map(|(&average, bits)| {
            let half = (1 << (bits - 1)) - 1;
            (average.saturating_add(half) >> bits).max(0).unsigned_abs()
        });
        let mut next = || shown.next().unwrap_or_default();
        Rates {
            connections: next(),
            packets_in: next(),
            packets_out: next(),
            bytes_in: next(),
            bytes_out: next(),
        }
    }
}

/// In the order of [`FRACTION_BITS`].
const fn fields(stats: Stats) -> [u64; 5] {
    let Stats { connections, packets_in, packets_out, bytes_in, bytes_out } = stats;
    [connections, packets_in, packets_out, bytes_in, bytes_out]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn stats(numbers: [u64; 5]) -> Stats {
        let [connections, packets_in, packets_out, bytes_in, bytes_out] = numbers;
        Stats { connections, packets_in, packets_out, bytes_in, bytes_out }
    }

    const fn rates(numbers: [u64; 5]) -> Rates {
        let [connections, packets_in, packets_out, bytes_in, bytes_out] = numbers;
        Rates { connections, packets_in, packets_out, bytes_in, bytes_out }
    }

    /// Recorded of a Linux 6.1: 100 connections of one packet of 40 bytes, 50 replies, silence.
    #[test]
    fn a_burst_fades_as_recorded() {
        let mut estimator = Estimator::default();
        for expected in [
            [12, 12, 6, 500, 250],
            [9, 9, 5, 375, 187],
            [7, 7, 4, 281, 141],
            [5, 5, 3, 211, 105],
            [4, 4, 2, 158, 79],
            [3, 3, 1, 119, 59],
            [2, 2, 1, 89, 44],
            [2, 2, 1, 67, 33],
            [1, 1, 1, 50, 25],
            [1, 1, 0, 37, 19],
            [1, 1, 0, 28, 14],
            [1, 1, 0, 21, 11],
        ] {
            estimator.estimate(stats([100, 100, 50, 4000, 2000]));
            assert_eq!(estimator.rates(), rates(expected));
        }
    }

    #[test]
    fn zeroing_keeps_what_the_next_estimation_is_about() {
        let mut estimator = Estimator::default();
        estimator.estimate(stats([10, 10, 10, 10, 10]));
        assert_ne!(estimator.rates(), Rates::default());
        estimator.zero(stats([14, 14, 14, 64, 64]));
        assert_eq!(estimator.rates(), Rates::default());
        estimator.estimate(stats([4, 4, 4, 10, 10]));
        // 4 more before it was zeroed and 4 after, 54 bytes and 10.
        assert_eq!(estimator.rates(), rates([1, 1, 1, 8, 8]));
    }

    #[test]
    fn what_is_taken_back_is_no_rate() {
        let mut estimator = Estimator::default();
        estimator.estimate(stats([u64::MAX, u64::MAX, 0, u64::MAX, 0]));
        assert_eq!(estimator.rates(), Rates::default());
    }

    proptest! {
        /// A rate never leaves the range of what was counted, whatever was counted before.
        #[test]
        fn rates_stay_between_the_least_and_the_most(
            counts in prop::collection::vec(0_u64..1 << 32, 1..60),
        ) {
            let most = counts.iter().max().map_or(0, |most| most.div_ceil(2));
            let mut estimator = Estimator::default();
            let mut counted = Stats::default();
            for &count in &counts {
                counted = counted.plus(stats([count; 5]));
                estimator.estimate(counted);
                let shown = estimator.rates();
                prop_assert!(shown.connections <= most && shown.bytes_out <= most);
            }
        }

        /// Facts: 99 % after 16 periods. The average stops short of it by less than 4 units of
        /// its scale.
        #[test]
        fn a_steady_rate_is_reached(each in 0_u64..1 << 40) {
            let mut estimator = Estimator::default();
            let mut counted = Stats::default();
            for round in 0..120 {
                counted = counted.plus(stats([each; 5]));
                estimator.estimate(counted);
                let shown = estimator.rates().packets_in;
                prop_assert!(round < 16 || shown >= each / 2 * 98 / 100);
            }
            let shown = estimator.rates();
            prop_assert!(shown.packets_in.abs_diff(each / 2) <= 1);
            prop_assert!(shown.bytes_in.abs_diff(each / 2) <= 1);
        }
    }
}
