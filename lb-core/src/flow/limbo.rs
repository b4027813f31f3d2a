//! Removed entries that wait until no worker can hold them any more.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use super::table::{FlowId, FlowTable};
use crate::quiescence::Epochs;

/// Entries removed together, as a chain through their links.
#[derive(Clone, Copy, Debug)]
struct Chain {
    first: u32,
    last: u32,
}

/// The removed entries of one thread. Never allocates after it is made.
#[derive(Debug)]
pub struct Limbo {
    open: Option<Chain>,
    /// Chains that wait for an epoch, oldest first.
    waiting: VecDeque<(u64, Chain)>,
}

/// Chains that may wait at once; more are joined to the newest.
const WAITING_MAX: usize = 16;

impl Default for Limbo {
    fn default() -> Self {
        Self { open: None, waiting: VecDeque::with_capacity(WAITING_MAX) }
    }
}

impl Limbo {
    /// Takes an entry that [`FlowTable::remove`] has removed for this caller.
    pub fn retire(&mut self, table: &FlowTable, id: FlowId) {
        self.open = Some(join(table, self.open, Chain { first: id.0, last: id.0 }));
    }

    /// Gives back what no worker can hold any more. To be called now and then; for a worker, at
    /// its burst boundary.
    pub fn release(&mut self, table: &FlowTable, epochs: &Epochs) {
        if let Some(chain) = self.open.take() {
            let epoch = epochs.advance();
            if self.waiting.len() < WAITING_MAX {
                self.waiting.push_back((epoch, chain));
            } else if let Some(newest) = self.waiting.back_mut() {
                *newest = (epoch, join(table, Some(newest.1), chain));
            }
        }
        if self.waiting.is_empty() {
            return;
        }
        let passed = epochs.passed();
        while let Some(&(epoch, chain)) = self.waiting.front() {
            if passed < epoch {
                break;
            }
            table.free_chain(chain.first, chain.last);
            self.waiting.pop_front();
        }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.open.is_none() && self.waiting.is_empty()
    }
}

fn join(table: &FlowTable, before: Option<Chain>, after: Chain) -> Chain {
    before.map_or(after, |before| {
        table.entry(FlowId(before.last)).link.store(after.first, Ordering::Relaxed);
        Chain { first: before.first, last: after.last }
    })
}
