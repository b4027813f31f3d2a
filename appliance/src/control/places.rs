//! The places of a socket: how many may be connected at once, and that nobody takes them all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::lock::lock;

/// Connections at once.
pub const CONNECTIONS_MAX: usize = 256;
/// Of these, those that only root and the director's own user get.
pub const RESERVED: usize = 32;
/// Connections of one process, and of one user who is neither root nor the director's own.
pub const SHARE_MAX: usize = 64;

/// The connections of a socket, counted.
#[derive(Debug, Default)]
pub struct Places(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_user: HashMap<u32, usize>,
    by_process: HashMap<i32, usize>,
}

/// A place; it is free again when dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    pid: i32,
    uid: u32,
}

impl Places {
    /// A place for a connection of that process and user, if there is one for it.
    pub fn take(self: &Arc<Self>, pid: i32, uid: u32, is_privileged: bool) -> Option<Place> {
        let mut taken = lock(&self.0);
        let of_process = taken.by_process.get(&pid).copied().unwrap_or(0);
        let of_user = taken.by_user.get(&uid).copied().unwrap_or(0);
        let is_free = if is_privileged {
            taken.all < CONNECTIONS_MAX
        } else {
            taken.all < CONNECTIONS_MAX - RESERVED && of_user < SHARE_MAX
        };
        if !is_free || of_process >= SHARE_MAX {
            return None;
        }
        taken.all += 1;
        taken.by_process.insert(pid, of_process + 1);
        taken.by_user.insert(uid, of_user + 1);
        Some(Place { places: Arc::clone(self), pid, uid })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = lock(&self.places.0);
        taken.all -= 1;
        leave(&mut taken.by_process, self.pid);
        leave(&mut taken.by_user, self.uid);
    }
}

fn leave<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: K) {
    if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_all_places() {
        let places = Arc::new(Places::default());
        let mut kept: Vec<_> = (0..).map_while(|_| places.take(1, 0, true)).collect();
        assert_eq!(kept.len(), SHARE_MAX, "one process of root");
        // A user with many processes.
        kept.extend((100..).map_while(|pid| places.take(pid, 1000, false)));
        assert_eq!(kept.len(), 2 * SHARE_MAX);
        // Many users with many processes.
        kept.extend((1000..3000).filter_map(|n| places.take(n, n.unsigned_abs(), false)));
        assert_eq!(kept.len(), CONNECTIONS_MAX - RESERVED);
        // The rest is root's.
        kept.extend((5000..).map_while(|pid| places.take(pid, 0, true)));
        assert_eq!(kept.len(), CONNECTIONS_MAX);
        assert!(places.take(9999, 0, true).is_none());
        kept.clear();
        assert!(places.take(9999, 1000, false).is_some());
        let taken = lock(&places.0);
        assert!(taken.by_process.is_empty() && taken.by_user.is_empty() && taken.all == 0);
    }
}
