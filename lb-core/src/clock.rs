//! Time as the core sees it: an argument, in coarse ticks.

/// Ticks in a second. Coarse on purpose: a packet stores its connection's deadline only when it
/// changed, so a connection's line is written at most this often, and timeouts of whole seconds
/// (the shortest is 2 s) are still met to an eighth of one.
pub const TICKS_PER_SECOND: u32 = 8;

/// A point in time: ticks since the director started. Wraps after 17 years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tick(pub u32);

impl Tick {
    /// The tick of a monotonic clock that shows `nanoseconds` since start.
    #[expect(clippy::cast_possible_truncation, reason = "17 years fit, see Tick")]
    pub const fn from_nanoseconds(nanoseconds: u64) -> Self {
        Self((nanoseconds / (1_000_000_000 / TICKS_PER_SECOND as u64)) as u32)
    }

    /// This point moved into the future by whole seconds.
    #[inline]
    pub const fn plus_seconds(self, seconds: u32) -> Self {
        Self(self.0.wrapping_add(seconds.saturating_mul(TICKS_PER_SECOND)))
    }

    /// Whether this point lies before `other`, across the wrap.
    #[inline]
    pub const fn is_before(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0).cast_signed() < 0
    }

    /// Seconds from `earlier` to this point, rounded down; 0 if it lies before `earlier`.
    pub const fn seconds_since(self, earlier: Self) -> u32 {
        if self.is_before(earlier) { 0 } else { self.0.wrapping_sub(earlier.0) / TICKS_PER_SECOND }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_survives_the_wrap() {
        let late = Tick(u32::MAX - 3);
        assert!(late.is_before(late.plus_seconds(1)));
        assert!(!late.plus_seconds(1).is_before(late));
        assert_eq!(late.plus_seconds(900).seconds_since(late), 900);
        assert_eq!(late.seconds_since(late.plus_seconds(900)), 0);
    }

    #[test]
    fn a_tick_is_an_eighth_of_a_second() {
        assert_eq!(Tick::from_nanoseconds(999_999_999), Tick(7));
        assert_eq!(Tick::from_nanoseconds(3_000_000_000), Tick(24));
    }
}
