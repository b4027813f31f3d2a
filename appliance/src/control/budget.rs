//! Memory that clients may make the director hold, all together: what they send and what they do
//! not read.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of inputs that come in and of answers that wait to be read.
pub const MEMORY_MAX: usize = 1 << 30;

/// The memory that is left.
#[derive(Debug)]
pub struct Budget(AtomicUsize);

/// Memory that is taken; it is given back when dropped.
#[derive(Debug)]
pub struct Portion<'a> {
    budget: &'a Budget,
    bytes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self(AtomicUsize::new(MEMORY_MAX))
    }
}

impl Budget {
    /// A portion of nothing.
    pub const fn portion(&self) -> Portion<'_> {
        Portion { budget: self, bytes: 0 }
    }
}

impl Portion<'_> {
    /// Takes more, if there is so much.
    pub fn grow(&mut self, bytes: usize) -> bool {
        let take = |left: usize| left.checked_sub(bytes);
        let is_taken =
            self.budget.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
        if is_taken {
            self.bytes += bytes;
        }
        is_taken
    }
}

impl Drop for Portion<'_> {
    fn drop(&mut self) {
        self.budget.0.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_not_there_for_others() {
        let budget = Budget::default();
        let mut first = budget.portion();
        assert!(first.grow(MEMORY_MAX - 10) && first.grow(5));
        let mut second = budget.portion();
        assert!(!second.grow(6) && second.grow(5) && !second.grow(1));
        drop(first);
        assert!(second.grow(MEMORY_MAX - 5));
        drop(second);
        assert!(budget.portion().grow(MEMORY_MAX));
    }
}
