//! A bound on what the director says of its own accord, so that nobody can use it as a mirror.

use crate::clock::{TICKS_PER_SECOND, Tick};

/// A token bucket, refilled with the coarse clock.
#[derive(Debug)]
pub struct Limiter {
    tokens: u32,
    filled: Tick,
    identification: u16,
    punts: u32,
    punts_filled: Tick,
}

impl Default for Limiter {
    fn default() -> Self {
        Self {
            tokens: 0,
            filled: Tick(u32::MAX),
            identification: 0,
            punts: 0,
            punts_filled: Tick(u32::MAX),
        }
    }
}

impl Limiter {
    /// An identification for the IP header of the next message.
    pub const fn identification(&mut self) -> u16 {
        self.identification = self.identification.wrapping_add(1);
        self.identification
    }

    /// Whether one more message may be sent, at `per_second` of them. What was sent is told by
    /// [`Limiter::spend`]: a message that could not be made costs nothing, or packets that have
    /// no answer would take the answers of those that have one.
    pub const fn allows(&mut self, now: Tick, per_second: u32) -> bool {
        if now.0 != self.filled.0 {
            self.tokens = per_second.div_ceil(TICKS_PER_SECOND);
            self.filled = now;
        }
        self.tokens > 0
    }

    /// Whether one more packet may go to the host's kernel, at `per_second` of them; counts it.
    pub const fn allows_punt(&mut self, now: Tick, per_second: u32) -> bool {
        if now.0 != self.punts_filled.0 {
            self.punts = per_second.div_ceil(TICKS_PER_SECOND);
            self.punts_filled = now;
        }
        let allowed = self.punts > 0;
        self.punts = self.punts.saturating_sub(1);
        allowed
    }

    /// A message was sent.
    pub const fn spend(&mut self) {
        self.tokens = self.tokens.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_allows_its_rate_and_no_more() {
        let mut limiter = Limiter::default();
        let second = Tick(80).0..Tick(80).plus_seconds(1).0;
        let mut allow = |&tick: &Tick| {
            let allows = limiter.allows(tick, 1000);
            limiter.spend();
            allows
        };
        let allowed = second.flat_map(|tick| [Tick(tick); 500]).filter(|tick| allow(tick)).count();
        assert_eq!(allowed, 1000);
    }

    #[test]
    fn the_kernel_gets_its_rate() {
        let mut limiter = Limiter::default();
        let ticks = Tick(80).0..Tick(80).plus_seconds(1).0;
        let asked = ticks.flat_map(|tick| [Tick(tick); 100]);
        assert_eq!(asked.filter(|&tick| limiter.allows_punt(tick, 160)).count(), 160);
        assert!(!limiter.allows_punt(Tick(1), 0));
    }
}
