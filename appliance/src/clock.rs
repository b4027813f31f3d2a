//! The director's clock: coarse ticks, read off the CPU's cycle counter once per burst.

use std::time::Duration;

use lb_core::clock::{TICKS_PER_SECOND, Tick};

use crate::dpdk::clock::{cycles, hz};

/// Ticks since the director started; copies on all threads show the same time.
#[derive(Clone, Copy, Debug)]
pub struct TickClock {
    start: u64,
    cycles_per_tick: u64,
}

impl TickClock {
    /// A clock that starts now. The EAL has to be up: it measures the counter's frequency.
    pub fn start() -> Self {
        let cycles_per_tick = (hz() / u64::from(TICKS_PER_SECOND)).max(1);
        Self { start: cycles(), cycles_per_tick }
    }

    /// The current tick.
    #[inline]
    pub fn now(&self) -> Tick {
        self.at(cycles())
    }

    /// The tick of a moment, as the cycle counter tells it.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "ticks wrap after 17 years, see Tick")]
    pub const fn at(&self, cycles: u64) -> Tick {
        Tick((cycles.wrapping_sub(self.start) / self.cycles_per_tick) as u32)
    }

    /// Time since the start.
    pub fn uptime(&self) -> Duration {
        let cycles = cycles().wrapping_sub(self.start);
        let per_second = self.cycles_per_tick * u64::from(TICKS_PER_SECOND);
        Duration::from_secs(cycles / per_second)
    }
}
