//! The housekeeping walk that ends connections whose time is over.

use std::sync::atomic::Ordering;

use crate::clock::{TICKS_PER_SECOND, Tick};
use crate::director::Director;
use crate::drop_entry::Thinner;
use crate::flow::Limbo;

/// Entries that one step looks at, at the least.
const STEP_MIN: usize = 1024;

/// Walks round and round over the flow table. No packet ever re-links anything: it stores a
/// deadline, and this walk, on a thread of its own, compares.
#[derive(Debug, Default)]
pub struct Sweeper {
    position: usize,
    /// How many entries more are asked whether their server was removed.
    orphans_left: usize,
    thinner: Thinner,
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
        if director.has_orphans.swap(false, Ordering::AcqRel) {
            // Twice round: a template goes after the connections that depend on it.
            self.orphans_left = 2 * end;
        }
        let upto = self.position.saturating_add(budget).min(end);
        let mut ended = self.end_expired(director, now, self.position..upto);
        self.orphans_left = self.orphans_left.saturating_sub(upto - self.position);
        self.position = upto;
        if director.snapshot.load().settings.drop_entry.is_on() {
            ended += self.thinner.step(director, now, &mut self.limbo);
        }
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
        // With `expire_nodest_conn` the removal of a server has the kernel sweep, too
        // (`ip_vs_expire_nodest_conn_flush`).
        let if_orphaned = self.orphans_left > 0;
        let limbo = &mut self.limbo;
        director
            .flows
            .live(range)
            .filter(|&(id, _)| director.expire_connection(id, now, if_orphaned, limbo, counters))
            .count()
    }
}
