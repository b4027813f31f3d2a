//! Active and inactive connections of a destination in one word.

/// `active * 2^32 + inactive`, so that a change between them is one operation, and every look sees
/// both as they were together. Two workers may take either through zero for an instant, so both
/// have a sign.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load(pub(crate) i64);

impl Load {
    /// What a connection in an active state, or in another, adds.
    pub(crate) const fn of(active: bool) -> i64 {
        if active { 1 << 32 } else { 1 }
    }

    /// Connections in any state but the active ones. Negative is shown to nobody.
    #[inline]
    pub(crate) fn inactive(self) -> u32 {
        self.low().max(0).unsigned_abs()
    }

    /// Connections in an active state.
    #[inline]
    pub(crate) fn active(self) -> u32 {
        let high = self.0.wrapping_sub(self.low() as i64) >> 32;
        (high as i32).max(0).unsigned_abs()
    }

    /// Active or not: what thresholds count.
    pub(crate) fn total(self) -> u64 {
        u64::from(self.active()) + u64::from(self.inactive())
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the low half, with its sign")]
    const fn low(self) -> i32 {
        self.0 as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two workers may count in the other order than things happened.
    #[test]
    fn counts_survive_going_below_zero() {
        let mut load = Load(0);
        let mut add = |change: i64| {
            load = Load(load.0 + change);
            (load.active(), load.inactive())
        };
        let (active, inactive) = (Load::of(true), Load::of(false));
        assert_eq!(add(active - inactive), (1, 0), "-1 inactive");
        assert_eq!(add(inactive), (1, 0));
        assert_eq!(add(inactive - active), (0, 1));
        assert_eq!(add(-active), (0, 1), "-1 active");
        assert_eq!(add(active - inactive), (0, 0));
        assert_eq!(load.0, 0);
        assert_eq!(Load(5 * active + 7 * inactive).total(), 12);
    }
}
