//! Quiescent-state reclamation: when may something that was removed be used again?
//!
//! A worker holds references (indices of flow entries, a configuration snapshot) only within a
//! burst. At each burst boundary it announces the newest epoch it knows. Who removes something
//! advances the epoch afterwards; once every worker has announced that epoch, no worker can hold
//! what was removed before it. Nothing here blocks: the remover asks again later.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use crossbeam::utils::CachePadded;

/// A worker that is not running counts as having passed every epoch.
const OFFLINE: u64 = u64::MAX;

/// The epoch and what each worker has announced of it.
#[derive(Debug)]
pub struct Epochs {
    current: CachePadded<AtomicU64>,
    announced: Box<[CachePadded<AtomicU64>]>,
}

impl Epochs {
    /// Epochs for `workers` workers, all offline.
    pub fn new(workers: usize) -> Self {
        Self {
            current: CachePadded::new(AtomicU64::new(1)),
            announced: (0..workers).map(|_| CachePadded::new(AtomicU64::new(OFFLINE))).collect(),
        }
    }

    /// A worker starts (or starts again) to take references.
    pub fn online(&self, worker: usize) {
        self.announce(worker);
        // Pairs with the fence in `passed`: either the remover sees this worker online, or this
        // worker sees what was removed as gone.
        fence(Ordering::SeqCst);
    }

    /// Burst boundary: the worker holds no reference from before this call.
    #[inline]
    pub fn announce(&self, worker: usize) {
        let current = self.current.load(Ordering::Acquire);
        self.announced[worker].store(current, Ordering::Release);
    }

    /// A worker stops; it holds nothing.
    pub fn offline(&self, worker: usize) {
        self.announced[worker].store(OFFLINE, Ordering::Release);
    }

    /// Begins a new epoch after a removal; what was removed may be used again once
    /// [`Epochs::passed`] is at least the returned value.
    pub fn advance(&self) -> u64 {
        self.current.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// The epoch that every running worker has announced.
    pub fn passed(&self) -> u64 {
        fence(Ordering::SeqCst);
        let slowest = self.announced.iter().map(|epoch| epoch.load(Ordering::Acquire)).min();
        slowest.unwrap_or(OFFLINE)
    }

    /// The running workers that have not announced this epoch yet.
    pub fn behind(&self, epoch: u64) -> impl Iterator<Item = usize> {
        let announced = self.announced.iter().enumerate();
        announced
            .filter(move |(_, announced)| announced.load(Ordering::Acquire) < epoch)
            .map(|(worker, _)| worker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_passes_when_every_running_worker_announced_it() {
        let epochs = Epochs::new(2);
        epochs.online(0);
        let removed = epochs.advance();
        assert!(epochs.passed() < removed);
        epochs.online(1);
        assert!(epochs.passed() < removed, "worker 0 has not come to a burst boundary yet");
        epochs.announce(0);
        assert!(epochs.passed() >= removed);
        let again = epochs.advance();
        epochs.announce(0);
        assert!(epochs.passed() < again);
        assert_eq!(epochs.behind(again).collect::<Vec<_>>(), [1]);
        epochs.offline(1);
        assert!(epochs.passed() >= again && epochs.behind(again).next().is_none());
    }
}
