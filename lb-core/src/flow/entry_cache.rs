//! Free entries at a worker's hand.

use super::table::{FlowId, FlowTable};

/// Free entries at a worker's hand, so that a new connection touches no shared line for one.
#[derive(Debug)]
pub struct EntryCache {
    free: Vec<u32>,
}

/// Entries that a cache takes at once.
const REFILL: usize = 32;

impl Default for EntryCache {
    fn default() -> Self {
        Self { free: Vec::with_capacity(REFILL + 1) }
    }
}

impl EntryCache {
    /// An entry that only the caller knows; `None` when the table is full.
    pub fn take(&mut self, table: &FlowTable) -> Option<FlowId> {
        if self.free.is_empty() {
            table.take_free(REFILL, |index| self.free.push(index));
        }
        self.free.pop().map(FlowId)
    }

    /// Puts back an entry that was taken but not inserted.
    pub fn put_back(&mut self, table: &FlowTable, id: FlowId) {
        table.entry(id).kill();
        if self.free.len() < self.free.capacity() {
            self.free.push(id.0);
        } else {
            table.free_chain(id.0, id.0);
        }
    }

    /// Returns everything, when the worker stops.
    pub fn drain(&mut self, table: &FlowTable) {
        for index in self.free.drain(..) {
            table.free_chain(index, index);
        }
    }
}
