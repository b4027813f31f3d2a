//! The table that another one repeats, as far as it is asked: for rehearsals
//! ([`crate::rehearsal`]).
//!
//! Before the copy says that it does not know somebody, it takes over what the original has under
//! the same hash. The original is only read, without a lock.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::AtomicUsize;
use std::sync::{Mutex, PoisonError};

use super::super::bucket::{Bucket, tag_of};
use super::super::entry::{Cold, Entry};
use super::{FlowId, FlowTable, HomeBuckets, Storage};

/// Who wants to know that an entry of the original was taken over: its number there, and here.
type Told = Box<dyn Fn(FlowId, FlowId) + Send + Sync>;

/// The original of a table.
pub(super) struct Original {
    storage: Storage,
    homes: HomeBuckets,
    /// The copies, by the numbers of their originals.
    copies: Mutex<HashMap<FlowId, FlowId>>,
    told: Told,
    /// Whether there is room for a new connection.
    pub(super) has_room: bool,
}

impl fmt::Debug for Original {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Original").field("copies", &self.copies).finish_non_exhaustive()
    }
}

impl Storage {
    /// Makes it as new. No table may be using it.
    pub(crate) fn clear(&self) {
        self.buckets.iter().for_each(Bucket::reset);
        self.entries.iter().for_each(Entry::kill);
    }
}

impl FlowTable {
    /// An empty table that takes over entries of this one when it is asked for them, and has room
    /// for new ones where this one has. `storage` is for so many flows, and clear.
    pub(crate) fn copy(
        &self,
        (flows_max, storage): (usize, Storage),
        has_room: bool,
        told: Told,
    ) -> Self {
        let original = Original {
            storage: self.storage,
            homes: self.homes,
            copies: Mutex::default(),
            told,
            has_room,
        };
        Self {
            original: Some(Box::new(original)),
            // Whether to ask for such connections is asked before any is taken over.
            lacking_client_port: AtomicUsize::new(self.lacking_client_port()),
            ..Self::new(flows_max, storage, self.hasher)
        }
    }

    /// Of a copy: the entry of the original that one was taken over from.
    pub(crate) fn original_of(&self, id: FlowId) -> Option<FlowId> {
        let copies = self.original.as_ref()?.copies.lock().unwrap_or_else(PoisonError::into_inner);
        copies.iter().find(|(_, copy)| **copy == id).map(|(original, _)| *original)
    }

    /// Takes over what the original has under a hash.
    #[cold]
    pub(super) fn recall(&self, original: &Original, hash: u64) {
        let mut copies = original.copies.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = |id: &FlowId| !copies.contains_key(id);
        let images = original.images(hash, is_new);
        for (id, image) in images {
            self.take_over(original, &mut copies, hash, id, &image);
        }
    }

    fn take_over(
        &self,
        original: &Original,
        copies: &mut HashMap<FlowId, FlowId>,
        hash: u64,
        id: FlowId,
        (entry, cold): &(Entry, Cold),
    ) {
        let mut taken = None;
        self.pop_free(1, |index| taken = Some(FlowId(index)));
        let Some(copy) = taken else { return };
        self.entry(copy).copy_from(entry);
        self.cold(copy).copy_from(cold);
        copies.insert(id, copy);
        let controller = self.copy_controller(original, copies, cold.controller());
        self.cold(copy).set_controller(controller);
        let home = self.home(hash);
        let is_in = {
            let _guard = home.lock();
            self.put(home, hash, copy)
        };
        if !is_in {
            self.entry(copy).kill();
        }
        (original.told)(id, copy);
    }

    /// The copy of a connection that controls another one, which keeps it where it is.
    fn copy_controller(
        &self,
        original: &Original,
        copies: &mut HashMap<FlowId, FlowId>,
        controller: FlowId,
    ) -> FlowId {
        if !controller.is_some() {
            return FlowId::NONE;
        }
        if let Some(copy) = copies.get(&controller) {
            return *copy;
        }
        let (entry, cold) = original.entry(controller);
        let Some(key) = super::entry::key(entry, cold) else { return FlowId::NONE };
        let hash = self.hash(key.protocol, key.client, key.client_port);
        let hash = self.salted(hash, cold.salt());
        let found = original.images(hash, |id| *id == controller).pop();
        let Some((id, image)) = found else { return FlowId::NONE };
        self.take_over(original, copies, hash, id, &image);
        copies.get(&id).copied().unwrap_or(FlowId::NONE)
    }
}

impl Original {
    fn entry(&self, id: FlowId) -> (&'static Entry, &'static Cold) {
        (&self.storage.entries[id.0 as usize], &self.storage.cold[id.0 as usize])
    }

    /// Entries under a hash as they are at one moment, with those of other hashes that have the
    /// same tag.
    fn images(
        &self,
        hash: u64,
        is_wanted: impl Fn(&FlowId) -> bool,
    ) -> Vec<(FlowId, (Entry, Cold))> {
        let home = &self.storage.buckets[self.homes.choose(hash).place()];
        let image = |id: FlowId| {
            let (entry, cold) = self.entry(id);
            (id, (Entry::image(entry), Cold::image(cold)))
        };
        home.read_consistently(|| {
            let buckets = super::chain(self.storage, home);
            let slots = buckets.flat_map(|bucket| {
                bucket.matches(tag_of(hash)).map(|slot| FlowId(bucket.entry(slot)))
            });
            slots.filter(|id| id.is_some() && is_wanted(id)).map(image).collect()
        })
    }
}
