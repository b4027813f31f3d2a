//! A lock-free stack of indices, linked through the free objects themselves: no memory of its own.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use crossbeam::utils::CachePadded;

/// Free objects of a fixed array. Objects that were never used are handed out in order, so that
/// memory is touched only when it is needed; returned ones form a stack. Index 0 is never free.
#[derive(Debug)]
pub(super) struct FreeList {
    /// Generation (against ABA) and index of the first free object.
    head: CachePadded<AtomicU64>,
    /// The lowest index that was never used.
    fresh: CachePadded<AtomicUsize>,
    end: usize,
}

impl FreeList {
    /// The objects `first..end` are free and never used. `first` is at least 1.
    pub(super) const fn new(first: usize, end: usize) -> Self {
        Self {
            head: CachePadded::new(AtomicU64::new(0)),
            fresh: CachePadded::new(AtomicUsize::new(first)),
            end,
        }
    }

    /// All indices below this one may have been used.
    pub(super) fn high_water(&self) -> usize {
        self.fresh.load(Ordering::Acquire).min(self.end)
    }

    /// Takes up to `wanted` objects and gives each to `take`; returns how many there were.
    pub(super) fn pop<'a>(
        &self,
        wanted: usize,
        link: impl Fn(u32) -> &'a AtomicU32,
        mut take: impl FnMut(u32),
    ) -> usize {
        let recycled = self.pop_recycled(wanted, &link, &mut take);
        recycled + self.pop_fresh(wanted - recycled, take)
    }

    fn pop_recycled<'a>(
        &self,
        wanted: usize,
        link: &impl Fn(u32) -> &'a AtomicU32,
        take: &mut impl FnMut(u32),
    ) -> usize {
        if wanted == 0 {
            return 0;
        }
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            let first = index_of(head);
            let (mut after, mut count) = (first, 0);
            while after != 0 && count < wanted {
                after = link(after).load(Ordering::Relaxed);
                count += 1;
            }
            if count == 0 {
                return 0;
            }
            // Had anyone taken or returned an object during the walk, the generation would differ.
            let new = next_generation(head) | u64::from(after);
            match self.head.compare_exchange_weak(head, new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    let mut object = first;
                    for _ in 0..count {
                        let next = link(object).load(Ordering::Relaxed);
                        take(object);
                        object = next;
                    }
                    return count;
                }
                Err(now) => head = now,
            }
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "tables have less than 2^32 objects")]
    fn pop_fresh(&self, wanted: usize, mut take: impl FnMut(u32)) -> usize {
        if wanted == 0 || self.fresh.load(Ordering::Relaxed) >= self.end {
            return 0;
        }
        let first = self.fresh.fetch_add(wanted, Ordering::AcqRel).min(self.end);
        let count = wanted.min(self.end - first);
        for object in first..first + count {
            take(object as u32);
        }
        count
    }

    /// Returns a chain of objects that is already linked from `first` to `last`.
    pub(super) fn push_chain(&self, first: u32, last: &AtomicU32) {
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            last.store(index_of(head), Ordering::Relaxed);
            let new = next_generation(head) | u64::from(first);
            match self.head.compare_exchange_weak(head, new, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is the index")]
const fn index_of(head: u64) -> u32 {
    head as u32
}

const fn next_generation(head: u64) -> u64 {
    ((head >> 32).wrapping_add(1)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hands_out_each_object_once_and_again_after_its_return() {
        let links: Vec<AtomicU32> = (0..6).map(|_| AtomicU32::new(0)).collect();
        let link = |index: u32| &links[index as usize];
        let list = FreeList::new(1, 6);
        let mut got = Vec::new();
        assert_eq!(list.pop(2, link, |object| got.push(object)), 2);
        assert_eq!(list.high_water(), 3);
        assert_eq!(list.pop(9, link, |object| got.push(object)), 3);
        assert_eq!(got, [1, 2, 3, 4, 5]);
        assert_eq!(list.pop(1, link, |_| panic!("nothing is left")), 0);
        link(4).store(2, Ordering::Relaxed);
        list.push_chain(4, link(2));
        got.clear();
        assert_eq!(list.pop(9, link, |object| got.push(object)), 2);
        assert_eq!(got, [4, 2]);
    }
}
