//! Random operations of simulated workers against a `HashMap`, on tables so small that chains
//! overflow and entries run out.

use std::collections::{HashMap, HashSet};

use lb_core::flow::{EntryCache, FlowId, FlowKey, FlowTable, Inserted, Limbo, Storage};
use lb_core::quiescence::Epochs;

use super::{Random, colliding_keys, flow, hash, hasher};

/// What one simulated worker has at hand.
#[derive(Default)]
struct Hands {
    free: EntryCache,
    limbo: Limbo,
    /// Entries (by their addresses) that it found since its last burst boundary.
    held: HashSet<usize>,
}

/// The table, the model, and who holds what.
struct Model {
    table: FlowTable,
    epochs: Epochs,
    workers: Vec<Hands>,
    flows: HashMap<FlowKey, FlowId>,
    full: usize,
    overflow_most: usize,
}

impl Model {
    fn new(flows_max: usize, workers: usize) -> Self {
        let table = FlowTable::new(flows_max, Storage::leaked(flows_max), hasher());
        let epochs = Epochs::new(workers);
        (0..workers).for_each(|worker| epochs.online(worker));
        let workers = (0..workers).map(|_| Hands::default()).collect();
        Self { table, epochs, workers, flows: HashMap::new(), full: 0, overflow_most: 0 }
    }

    fn place(&self, id: FlowId) -> usize {
        std::ptr::from_ref(self.table.entry(id)).addr()
    }

    fn insert(&mut self, worker: usize, key: &FlowKey) {
        let Some(id) = self.workers[worker].free.take(&self.table) else {
            self.full += 1;
            return;
        };
        let place = self.place(id);
        let is_held = self.workers.iter().any(|hands| hands.held.contains(&place));
        assert!(!is_held, "an entry is used again while a worker may hold it");
        match self.table.insert(hash(&self.table, key), &flow(key), id) {
            Inserted::New => {
                assert_eq!(self.flows.insert(*key, id), None, "inserted twice: {key:?}");
            }
            Inserted::Exists(other) => {
                assert_eq!(self.flows.get(key), Some(&other));
                self.workers[worker].free.put_back(&self.table, id);
            }
            Inserted::Full => {
                self.full += 1;
                self.workers[worker].free.put_back(&self.table, id);
            }
        }
    }

    fn find(&mut self, worker: usize, key: &FlowKey) {
        let found = self.table.find(hash(&self.table, key), key);
        assert_eq!(found, self.flows.get(key).copied(), "{key:?}");
        if let Some(id) = found {
            let place = self.place(id);
            self.workers[worker].held.insert(place);
        }
    }

    fn remove(&mut self, worker: usize, key: &FlowKey) {
        self.find(worker, key);
        let Some(id) = self.flows.remove(key) else { return };
        assert!(self.table.remove(id));
        assert!(!self.table.remove(id), "removed twice: {key:?}");
        self.workers[worker].limbo.retire(&self.table, id);
    }

    fn boundary(&mut self, worker: usize) {
        self.epochs.announce(worker);
        let hands = &mut self.workers[worker];
        hands.held.clear();
        hands.limbo.release(&self.table, &self.epochs);
    }

    fn check_whole(&mut self) {
        let live: Vec<_> = self.table.live(0..usize::MAX).collect();
        assert_eq!(live.len(), self.flows.len());
        assert!(live.iter().all(|(id, key)| self.flows.get(key) == Some(id)));
        self.overflow_most = self.overflow_most.max(self.table.overflow_used());
    }

    /// Removes everything; all entries and overflow buckets must be there again.
    fn finish(mut self) {
        for key in self.flows.keys().copied().collect::<Vec<_>>() {
            self.remove(0, &key);
        }
        for _ in 0..2 {
            (0..self.workers.len()).for_each(|worker| self.boundary(worker));
        }
        self.check_whole();
        assert_eq!(self.table.overflow_used(), 0);
        for hands in &mut self.workers {
            assert!(hands.limbo.is_empty());
            hands.free.drain(&self.table);
        }
        let mut one = EntryCache::default();
        let free = std::iter::from_fn(|| one.take(&self.table)).count();
        assert_eq!(free, self.table.flows_max(), "entries that are free in the end");
    }
}

#[test]
fn agrees_with_a_hash_map() {
    let (mut full, mut overflow_most) = (0, 0);
    for seed in 1..=24 {
        let mut random = Random(seed);
        let workers = 1 + random.below(3);
        // From tables where entries run out to tables where chains do.
        let flows_max = [1, 7, 40, 100, 200][random.below(5)];
        let mut model = Model::new(flows_max, workers);
        let keys = colliding_keys(&model.table, 1 + seed % 3, 220);
        let inserting = 1 + random.below(3);
        for step in 0..6000 {
            let (worker, key) = (random.below(workers), keys[random.below(keys.len())]);
            match random.below(6) {
                0 => model.find(worker, &key),
                1 => model.boundary(worker),
                choice if choice - 2 < inserting => model.insert(worker, &key),
                _ => model.remove(worker, &key),
            }
            if step % 500 == 0 {
                model.check_whole();
            }
        }
        model.check_whole();
        full += model.full;
        overflow_most = overflow_most.max(model.overflow_most);
        model.finish();
    }
    assert!(
        full > 1000 && overflow_most > 8,
        "full {full} times, {overflow_most} overflow buckets"
    );
}
