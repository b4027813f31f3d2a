//! The memory of a flow table.

use super::bucket::Bucket;
use super::entry::{Cold, Entry};
use super::table::CHAIN_MAX;

/// Flows that a bucket holds on average when the table is full.
const LOAD: usize = 4;

/// Memory of a table, given by the caller: zero-filled, living as long as the process, so that
/// it can be huge pages or a shared memory file.
#[derive(Clone, Copy, Debug)]
pub struct Storage {
    pub buckets: &'static [Bucket],
    pub entries: &'static [Entry],
    pub cold: &'static [Cold],
}

impl Storage {
    /// How many buckets and entries (hot and cold each) a table for `flows_max` flows needs.
    pub const fn needed(flows_max: usize) -> (usize, usize) {
        let home = Self::home_buckets(flows_max);
        (home + home / 8 + CHAIN_MAX, flows_max + 1)
    }

    /// Buckets that a hash chooses from.
    pub(super) const fn home_buckets(flows_max: usize) -> usize {
        let wanted = flows_max.div_ceil(LOAD).next_power_of_two();
        if wanted < 16 { 16 } else { wanted }
    }

    /// Storage from the heap that is never freed: for tests and tools.
    pub fn leaked(flows_max: usize) -> Self {
        fn zeroed<T: Default>(count: usize) -> &'static [T] {
            Box::leak((0..count).map(|_| T::default()).collect())
        }
        let (buckets, entries) = Self::needed(flows_max);
        Self { buckets: zeroed(buckets), entries: zeroed(entries), cold: zeroed(entries) }
    }
}
