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

/// The buckets that a hash chooses from, the first ones of a table: any number of them, as a power
/// of two would leave up to half of them idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HomeBuckets(u32);

impl HomeBuckets {
    /// Those of a table for so many flows, 2^31 at most.
    #[expect(clippy::cast_possible_truncation, reason = "2^29 at most")]
    pub(super) const fn of(flows_max: usize) -> Self {
        let wanted = flows_max.div_ceil(LOAD);
        Self(if wanted < 16 { 16 } else { wanted as u32 })
    }

    /// How many there are.
    #[inline]
    pub(super) const fn count(self) -> usize {
        self.0 as usize
    }

    /// The one of a hash, by its low half as a fraction of 2^32.
    #[inline]
    pub(super) const fn choose(self, hash: u64) -> Home {
        Home((((hash & 0xffff_ffff) * self.0 as u64) >> 32) as u32)
    }
}

/// The bucket that a hash chose, as its place in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Home(u32);

impl Home {
    /// Of no hash: the first one.
    pub(crate) const NONE: Self = Self(0);

    #[inline]
    pub(super) const fn place(self) -> usize {
        self.0 as usize
    }
}

impl Storage {
    /// How many buckets and entries (hot and cold each) a table for `flows_max` flows needs.
    pub const fn needed(flows_max: usize) -> (usize, usize) {
        let home = HomeBuckets::of(flows_max).count();
        (home + home / 8 + CHAIN_MAX, flows_max + 1)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_home_bucket_is_chosen_and_no_other() {
        for flows_max in [1, 64, 100, 4 * 37] {
            let homes = HomeBuckets::of(flows_max);
            let mut seen = vec![0_u32; homes.count()];
            // High halves that have nothing to say.
            (0..1 << 16).for_each(|low: u64| seen[homes.choose(low << 16 | 7 << 48).place()] += 1);
            let expected = (1 << 16) / u32::try_from(homes.count()).unwrap();
            assert!(seen.iter().all(|&count| count.abs_diff(expected) <= 1), "{seen:?}");
            assert_eq!(homes.choose(u64::MAX).place(), homes.count() - 1);
        }
        assert_eq!(Storage::needed(1_000_000).0, 250_000 * 9 / 8 + CHAIN_MAX);
    }
}
