//! Locks of the control plane.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes a lock. A thread that panicked under it (which ends the process in release builds) leaves
/// data that is still whole: every operation applies wholly or not at all.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
