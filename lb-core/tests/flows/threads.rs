//! Real threads on one small table.

use std::collections::HashSet;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use lb_core::flow::{EntryCache, FlowId, FlowKey, FlowTable, Inserted, Limbo, Storage};
use lb_core::quiescence::Epochs;

use super::{Random, colliding_keys, flow, hash, hasher};

const THREADS: usize = 4;
const FLOWS_MAX: usize = 400;
/// Keys that all threads use, and those that each has for itself.
const SHARED: usize = 80;
const OWN: usize = 20;

struct Contest {
    table: FlowTable,
    epochs: Epochs,
    keys: Vec<FlowKey>,
    inserted: AtomicUsize,
    removed: AtomicUsize,
    all_done: Barrier,
}

impl Contest {
    fn run(&self, number: usize) {
        let mut random = Random(number as u64 + 1);
        let (mut free, mut limbo) = (EntryCache::default(), Limbo::default());
        let mut held: Vec<(FlowId, FlowKey)> = Vec::new();
        self.epochs.online(number);
        for step in 0..60_000 {
            let own = random.below(2) == 0;
            let place =
                if own { SHARED + number * OWN + random.below(OWN) } else { random.below(SHARED) };
            let key = self.keys[place];
            let found = self.table.find(hash(&self.table, &key), &key);
            held.extend(found.map(|id| (id, key)));
            match (found, random.below(3)) {
                (Some(id), 0) => self.remove(id, &key, own, &mut limbo),
                (None, 1) => self.insert(&key, own, &mut free),
                _ => {}
            }
            if step % 8 == 0 {
                for (id, key) in held.drain(..) {
                    let now = self.table.key(id);
                    assert!(now.is_none() || now == Some(key), "{now:?} was {key:?} in this burst");
                }
                self.epochs.announce(number);
                limbo.release(&self.table, &self.epochs);
            }
        }
        self.epochs.offline(number);
        self.all_done.wait();
        limbo.release(&self.table, &self.epochs);
        assert!(limbo.is_empty());
        free.drain(&self.table);
    }

    fn remove(&self, id: FlowId, key: &FlowKey, own: bool, limbo: &mut Limbo) {
        let removed = self.table.remove(id);
        if removed {
            limbo.retire(&self.table, id);
            self.removed.fetch_add(1, Ordering::Relaxed);
        }
        if own {
            assert!(removed, "nobody else has that key");
            assert_eq!(self.table.find(hash(&self.table, key), key), None);
        }
    }

    fn insert(&self, key: &FlowKey, own: bool, free: &mut EntryCache) {
        // Entries in limbo can be many while a thread does not get its CPU.
        let Some(id) = free.take(&self.table) else { return };
        match self.table.insert(hash(&self.table, key), &flow(key), id) {
            Inserted::New => {
                self.inserted.fetch_add(1, Ordering::Relaxed);
                let found = self.table.find(hash(&self.table, key), key);
                assert!(!own || found == Some(id));
            }
            Inserted::Exists(_) => {
                assert!(!own, "nobody else has that key");
                free.put_back(&self.table, id);
            }
            Inserted::Full => panic!("{} keys fit", self.keys.len()),
        }
    }
}

/// Nothing is lost or doubled, and what a thread found stays that connection, or none, until its
/// burst boundary.
#[test]
fn threads_lose_and_double_nothing() {
    let table = FlowTable::new(FLOWS_MAX, Storage::leaked(FLOWS_MAX), hasher());
    let keys = colliding_keys(&table, 8, SHARED + THREADS * OWN);
    let contest = Contest {
        table,
        epochs: Epochs::new(THREADS),
        keys,
        inserted: AtomicUsize::new(0),
        removed: AtomicUsize::new(0),
        all_done: Barrier::new(THREADS),
    };
    thread::scope(|scope| {
        for number in 0..THREADS {
            let contest = &contest;
            scope.spawn(move || contest.run(number));
        }
    });
    let Contest { table, inserted, removed, .. } = contest;
    let (inserted, removed) = (inserted.into_inner(), removed.into_inner());
    let live: Vec<_> = table.live(0..usize::MAX).collect();
    let distinct: HashSet<_> = live.iter().map(|(_, key)| *key).collect();
    assert_eq!(live.len(), distinct.len(), "a key is there twice");
    assert_eq!(live.len(), inserted - removed);
    assert!(removed > 100, "{removed}: hardly anything was contested");
    for (id, key) in &live {
        assert_eq!(table.find(hash(&table, key), key), Some(*id));
        assert!(table.remove(*id));
    }
    assert_eq!(table.overflow_used(), 0);
    let mut one = EntryCache::default();
    let free = std::iter::from_fn(|| one.take(&table)).count();
    assert_eq!(free, FLOWS_MAX - live.len(), "entries that are free in the end");
}
