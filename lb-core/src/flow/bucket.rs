//! A bucket: one cache line that says where the flows of a hash are, and the lock over them.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use crossbeam::utils::Backoff;
use wide::i16x8;

/// Slots of a bucket.
pub(super) const SLOTS: usize = 8;

/// Tags packed into one word.
const TAGS_PER_WORD: usize = 4;

/// A bucket of the flow table. All zero bytes are an empty bucket.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Bucket {
    /// Odd while a writer is at work on this bucket or on its overflow chain.
    sequence: AtomicU32,
    /// The next bucket of the overflow chain, 0 for none; in a free overflow bucket, the next
    /// free one.
    pub(super) next: AtomicU32,
    /// A 16-bit piece of the hash of each slot; 0 is an empty slot.
    tags: [AtomicU64; SLOTS / TAGS_PER_WORD],
    /// The entry of each slot; 0 where the slot is empty.
    entries: [AtomicU32; SLOTS],
}

const _: () = assert!(size_of::<Bucket>() == 64);

/// The tag of a hash: its top bits (the bucket is chosen by the low ones), never 0.
#[inline]
pub(super) const fn tag_of(hash: u64) -> u16 {
    (hash >> 48) as u16 | 1
}

/// Slots whose tag is equal to a given one, lowest first: a bit for each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Matches(u32);

impl Matches {
    /// The lowest slot, whatever it is where there is none: for who compares what is there anyway,
    /// and would rather not branch.
    #[inline]
    pub(super) const fn first_or_any(self) -> usize {
        self.0.trailing_zeros() as usize % SLOTS
    }
}

impl Iterator for Matches {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        let slot = self.0.trailing_zeros() as usize;
        self.0 &= self.0.wrapping_sub(1);
        (slot < SLOTS).then_some(slot)
    }
}

impl Bucket {
    /// The slots with this tag. Acquire: the entries they name are seen as they were published.
    #[inline]
    pub(super) fn matches(&self, tag: u16) -> Matches {
        let tags = self.tags.each_ref().map(|word| word.load(Ordering::Acquire));
        let tags: i16x8 = bytemuck::cast(tags.map(u64::to_le));
        Matches(tags.simd_eq(i16x8::splat(tag.cast_signed())).to_bitmask())
    }

    /// The entry in `slot`, 0 for none.
    #[inline]
    pub(super) fn entry(&self, slot: usize) -> u32 {
        self.entries[slot].load(Ordering::Relaxed)
    }

    /// The first empty slot.
    pub(super) fn empty_slot(&self) -> Option<usize> {
        self.matches(0).next()
    }

    /// Whether no slot is used.
    pub(super) fn is_empty(&self) -> bool {
        self.tags.iter().all(|word| word.load(Ordering::Relaxed) == 0)
    }

    /// Number of used slots.
    pub(super) fn used(&self) -> usize {
        SLOTS - self.matches(0).count()
    }

    /// Puts an entry into an empty slot. The caller holds the lock of the chain.
    pub(super) fn fill(&self, slot: usize, tag: u16, entry: u32) {
        self.entries[slot].store(entry, Ordering::Relaxed);
        self.set_tag(slot, tag);
    }

    /// Empties a slot. The caller holds the lock of the chain.
    pub(super) fn clear(&self, slot: usize) {
        self.set_tag(slot, 0);
        self.entries[slot].store(0, Ordering::Relaxed);
    }

    /// Makes it an empty bucket that nobody uses.
    pub(super) fn reset(&self) {
        self.next.store(0, Ordering::Relaxed);
        (0..SLOTS).for_each(|slot| self.clear(slot));
    }

    fn set_tag(&self, slot: usize, tag: u16) {
        let (word, shift) = (&self.tags[slot / TAGS_PER_WORD], slot % TAGS_PER_WORD * 16);
        let others = word.load(Ordering::Relaxed) & !(0xffff << shift);
        word.store(others | u64::from(tag) << shift, Ordering::Release);
    }

    /// Takes the lock. Held for a few dozen instructions; a holder that lost its CPU is waited
    /// for without burning it.
    pub(super) fn lock(&self) -> BucketGuard<'_> {
        let backoff = Backoff::new();
        loop {
            let sequence = self.sequence.load(Ordering::Relaxed);
            if sequence & 1 == 0
                && self
                    .sequence
                    .compare_exchange_weak(
                        sequence,
                        sequence.wrapping_add(1),
                        Ordering::Acquire,
                        Ordering::Relaxed,
                    )
                    .is_ok()
            {
                // The odd sequence must be visible before any change under the lock is.
                fence(Ordering::Release);
                return BucketGuard { bucket: self, unlocked: sequence.wrapping_add(2) };
            }
            backoff.snooze();
        }
    }

    /// Runs `read` until no writer was at work during it.
    pub(super) fn read_consistently<T>(&self, read: impl Fn() -> T) -> T {
        let backoff = Backoff::new();
        loop {
            let before = self.sequence.load(Ordering::Acquire);
            if before & 1 == 0 {
                let found = read();
                fence(Ordering::Acquire);
                if self.sequence.load(Ordering::Relaxed) == before {
                    return found;
                }
            }
            backoff.snooze();
        }
    }
}

/// The lock over a bucket and its overflow chain; released when dropped.
#[derive(Debug)]
pub(super) struct BucketGuard<'a> {
    bucket: &'a Bucket,
    unlocked: u32,
}

impl Drop for BucketGuard<'_> {
    fn drop(&mut self) {
        self.bucket.sequence.store(self.unlocked, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_match_exactly() {
        let bucket = Bucket::default();
        let filled = [(0, 0x8001, 10), (1, 0x0001, 11), (3, 0x8000, 13), (4, 0xffff, 14)];
        for (slot, tag, entry) in filled.into_iter().chain([(7, 0x8001, 17)]) {
            bucket.fill(slot, tag, entry);
        }
        assert_eq!(bucket.matches(0x8001).collect::<Vec<_>>(), [0, 7]);
        assert_eq!(bucket.matches(0x0001).collect::<Vec<_>>(), [1]);
        assert_eq!(bucket.matches(0x8000).collect::<Vec<_>>(), [3]);
        assert_eq!(bucket.matches(0x7fff).count(), 0);
        assert!(bucket.matches(0x7fff).first_or_any() < SLOTS);
        assert_eq!(bucket.matches(0xffff).first_or_any(), 4);
        assert_eq!(bucket.matches(0).collect::<Vec<_>>(), [2, 5, 6]);
        assert_eq!(bucket.used(), 5);
        bucket.clear(0);
        assert_eq!(bucket.matches(0x8001).collect::<Vec<_>>(), [7]);
        assert_eq!((bucket.entry(0), bucket.entry(7)), (0, 17));
    }

    #[test]
    fn the_lock_leaves_an_even_sequence() {
        let bucket = Bucket::default();
        drop(bucket.lock());
        drop(bucket.lock());
        assert_eq!(bucket.sequence.load(Ordering::Relaxed), 4);
        assert_eq!(bucket.read_consistently(|| 7), 7);
    }
}
