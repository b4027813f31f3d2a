//! The housekeeping walk that ends connections whose time is over.

use crate::clock::{TICKS_PER_SECOND, Tick};
use crate::director::Director;
use crate::flow::Limbo;

/// Entries that one step looks at, at the least.
const STEP_MIN: usize = 1024;

/// Walks round and round over the flow table. No packet ever re-links anything: it stores a
/// deadline, and this walk, on a thread of its own, compares.
#[derive(Debug, Default)]
pub struct Sweeper {
    position: usize,
    limbo: Limbo,
}

impl Sweeper {
    /// One step, to be called about once per tick: looks at as many entries as it takes to come
    /// round once in a second. Returns how many connections ended.
    pub fn step(&mut self, director: &Director, now: Tick) -> usize {
        let end = director.flows.high_water();
        let budget = (end / TICKS_PER_SECOND as usize + 1).max(STEP_MIN);
        if self.position >= end {
            self.position = 0;
        }
        let upto = self.position.saturating_add(budget).min(end);
        let ended = self.end_expired(director, now, self.position..upto);
        self.position = upto;
        self.limbo.release(&director.flows, &director.epochs);
        ended
    }

    fn end_expired(
        &mut self,
        director: &Director,
        now: Tick,
        range: std::ops::Range<usize>,
    ) -> usize {
        let counters = director.housekeeping_counters();
        let mut ended = 0;
        for (id, _) in director.flows.live(range) {
            if !now.is_before(director.flows.entry(id).deadline())
                && director.end_connection(id, &mut self.limbo, counters)
            {
                ended += 1;
            }
        }
        ended
    }
}
