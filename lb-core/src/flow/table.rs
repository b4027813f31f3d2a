//! The table itself: find, insert, remove, and the walk that expires.

mod original;

use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use self::original::Original;
use super::bucket::{Bucket, SLOTS, tag_of};
use super::entry::{self, Cold, Entry, NewFlow};
use super::flow_state::FlowState;
use super::free_list::FreeList;
use super::key::{FlowKey, ReplyKey, kind};
use super::storage::{Home, HomeBuckets, Storage};
use crate::address::Address;
use crate::hash::FlowHasher;
use crate::prefetch;

/// Index of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowId(pub(super) u32);

impl FlowId {
    /// No entry; index 0 is never handed out.
    pub const NONE: Self = Self(0);

    /// The place of the entry in its table, from 1 to the number of flows.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// Whether this is an entry.
    #[inline]
    pub const fn is_some(self) -> bool {
        self.0 != 0
    }
}

/// Overflow buckets that may hang on one bucket: bounds every walk, whoever chose the keys.
pub(super) const CHAIN_MAX: usize = 8;

/// What [`FlowTable::insert`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// The entry is in the table now.
    New,
    /// A connection with that key was there already; the caller's entry was not inserted.
    Exists(FlowId),
    /// The bucket's chain is at its limit, or overflow buckets are used up.
    Full,
}

/// The connections of all workers.
#[derive(Debug)]
pub struct FlowTable {
    storage: Storage,
    homes: HomeBuckets,
    hasher: FlowHasher,
    free_entries: FreeList,
    free_overflow: FreeList,
    overflow_used: AtomicUsize,
    lacking_client_port: AtomicUsize,
    flows_max: usize,
    /// Of a copy: whose.
    original: Option<Box<Original>>,
}

impl FlowTable {
    /// A table for `flows_max` flows in zero-filled storage of the size [`Storage::needed`] says.
    ///
    /// # Panics
    ///
    /// When the storage is too small or `flows_max` is not in `1..=2^31`.
    pub fn new(flows_max: usize, storage: Storage, hasher: FlowHasher) -> Self {
        let (buckets, entries) = Storage::needed(flows_max);
        assert!((1..=1 << 31).contains(&flows_max), "{flows_max} flows: 1 to 2^31 are possible");
        assert!(
            storage.buckets.len() >= buckets
                && storage.entries.len() >= entries
                && storage.cold.len() >= entries,
            "storage is too small for {flows_max} flows"
        );
        let homes = HomeBuckets::of(flows_max);
        Self {
            storage,
            homes,
            hasher,
            free_entries: FreeList::new(1, flows_max + 1),
            free_overflow: FreeList::new(homes.count(), buckets),
            overflow_used: AtomicUsize::new(0),
            lacking_client_port: AtomicUsize::new(0),
            flows_max,
            original: None,
        }
    }

    /// Connections that the table can hold.
    pub const fn flows_max(&self) -> usize {
        self.flows_max
    }

    /// Buckets that a hash chooses from.
    pub const fn buckets(&self) -> usize {
        self.homes.count()
    }

    /// Overflow buckets in use.
    pub fn overflow_used(&self) -> usize {
        self.overflow_used.load(Ordering::Relaxed)
    }

    /// Hash of a client end.
    #[inline]
    pub const fn hash(&self, protocol: u8, client: Address, client_port: u16) -> u64 {
        self.hasher.end(protocol, client, client_port)
    }

    /// The same of an IPv4 client.
    #[inline]
    pub const fn hash_v4(&self, protocol: u8, client: u32, client_port: u16) -> u64 {
        self.hasher.ipv4(protocol, client, client_port)
    }

    /// What a template's engine data makes of the hash; never 0.
    #[expect(clippy::cast_possible_truncation, reason = "a piece of a hash")]
    pub fn salt_of(&self, data: &[u8]) -> u32 {
        self.hasher.hash_one(data) as u32 | 1
    }

    /// A number that nobody can foresee, another one for each `place`.
    pub fn random(&self, place: u64) -> u64 {
        self.hasher.words(&[place])
    }

    /// Hash of a client end with what a template's engine makes of it besides.
    pub const fn salted(&self, hash: u64, salt: u32) -> u64 {
        hash ^ (salt as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    /// Whether an entry is a template with engine data.
    pub fn is_salted(&self, id: FlowId) -> bool {
        self.cold(id).salt() != 0
    }

    /// The hash by which an entry of that key is in the table.
    fn hash_of(&self, id: FlowId, key: &FlowKey) -> u64 {
        let hash = self.hash(key.protocol, key.client, key.client_port);
        self.salted(hash, self.cold(id).salt())
    }

    #[inline]
    fn home(&self, hash: u64) -> &'static Bucket {
        &self.storage.buckets[self.homes.choose(hash).place()]
    }

    /// Stage 2: chooses the bucket of a hash, and asks for it.
    #[inline]
    pub fn prefetch_bucket(&self, hash: u64) -> Home {
        let home = self.homes.choose(hash);
        prefetch::line(&self.storage.buckets[home.place()]);
        home
    }

    /// Stage 3: the entry that is most likely the one of a hash with that bucket, by its tag alone,
    /// and asks for its line. Whether it is must be seen by its key; if not, [`FlowTable::find`]
    /// decides.
    #[inline(always)]
    pub fn candidate(&self, home: Home, hash: u64) -> FlowId {
        let bucket = &self.storage.buckets[home.place()];
        let index = bucket.entry(bucket.matches(tag_of(hash)).first_or_any());
        prefetch::line(&self.storage.entries[index as usize]);
        FlowId(index)
    }

    /// Asks for the line of a candidate that only IPv6 needs.
    #[inline]
    pub fn prefetch_cold(&self, id: FlowId) {
        prefetch::line(self.cold(id));
    }

    /// The entry of an id.
    #[inline]
    pub fn entry(&self, id: FlowId) -> &'static Entry {
        &self.storage.entries[id.0 as usize]
    }

    /// The cold line of an id.
    #[inline]
    pub fn cold(&self, id: FlowId) -> &'static Cold {
        &self.storage.cold[id.0 as usize]
    }

    /// The key of a connection, if the entry is in use.
    pub fn key(&self, id: FlowId) -> Option<FlowKey> {
        entry::key(self.entry(id), self.cold(id))
    }

    /// The key that an entry had when it was removed; until it is in use again.
    pub(crate) fn last_key(&self, id: FlowId) -> FlowKey {
        entry::last_key(self.entry(id), self.cold(id))
    }

    /// Address of a connection's real server.
    #[inline]
    pub fn server(&self, id: FlowId) -> Address {
        entry::server(self.entry(id), self.cold(id))
    }

    /// Address and port of a connection's virtual service.
    #[inline]
    pub fn virtual_end(&self, id: FlowId) -> (Address, u16) {
        entry::virtual_end(self.entry(id), self.cold(id))
    }

    /// How many connections lack their client's port, so that they are found by none.
    #[inline]
    pub fn lacking_client_port(&self) -> usize {
        self.lacking_client_port.load(Ordering::Relaxed)
    }

    /// Whether this is the connection of a packet from the client.
    #[inline]
    pub fn is(&self, id: FlowId, key: &FlowKey) -> bool {
        entry::is(self.entry(id), self.cold(id), key, key.words())
    }

    /// Whether this is the NAT connection of a packet from a real server.
    #[inline]
    pub fn is_reply(&self, id: FlowId, key: &ReplyKey) -> bool {
        entry::is_reply(self.entry(id), self.cold(id), key)
    }

    /// Looks for the connection of a packet from the client, without taking a lock; `None` is
    /// certain at the time of the call.
    pub fn find(&self, hash: u64, key: &FlowKey) -> Option<FlowId> {
        self.find_by(hash, |id| self.is(id, key))
    }

    /// Looks for the NAT connection of a packet from a real server, in the same way.
    pub fn find_reply(&self, hash: u64, key: &ReplyKey) -> Option<FlowId> {
        self.find_by(hash, |id| self.is_reply(id, key))
    }

    /// Looks for the persistence template of a key. `is_it` says of one with that key whether its
    /// engine's data is what is looked for.
    pub fn find_template(
        &self,
        hash: u64,
        key: &FlowKey,
        is_it: impl Fn(FlowId) -> bool,
    ) -> Option<FlowId> {
        self.find_by(hash, |id| self.is_template(id, key) && is_it(id))
    }

    fn is_template(&self, id: FlowId, key: &FlowKey) -> bool {
        let [first, second] = key.words();
        entry::is(self.entry(id), self.cold(id), key, [first | kind::TEMPLATE, second])
    }

    /// One more connection depends on a template, which therefore stays: `false` if it has gone
    /// since it was found.
    pub fn hold_template(&self, id: FlowId, hash: u64, key: &FlowKey) -> bool {
        let _guard = self.home(hash).lock();
        let is_there = self.is_template(id, key);
        if is_there {
            self.cold(id).count_controlled(true);
        }
        is_there
    }

    /// Makes a template one that no new connection finds: its virtual and its server's port
    /// become [`super::TOMBSTONE_PORT`].
    pub fn bury_template(&self, id: FlowId, hash: u64, key: &FlowKey) {
        let _guard = self.home(hash).lock();
        if self.is_template(id, key) {
            self.entry(id).bury();
        }
    }

    /// Makes an entry of the caller's one of a single packet, which nobody finds.
    pub fn fill_alone(&self, flow: &NewFlow, id: FlowId) {
        entry::fill(self.entry(id), self.cold(id), flow);
    }

    fn find_by(&self, hash: u64, is_it: impl Fn(FlowId) -> bool) -> Option<FlowId> {
        if let Some(original) = &self.original {
            self.recall(original, hash);
        }
        let home = self.home(hash);
        // What was found is right whatever writers do: its key was compared, and an entry is not
        // reused during the burst. Only "nothing" needs to be read consistently.
        self.find_in_chain(home, hash, &is_it)
            .or_else(|| home.read_consistently(|| self.find_in_chain(home, hash, &is_it)))
    }

    fn find_in_chain(
        &self,
        home: &Bucket,
        hash: u64,
        is_it: &impl Fn(FlowId) -> bool,
    ) -> Option<FlowId> {
        self.chain(home).find_map(|bucket| {
            bucket.matches(tag_of(hash)).find_map(|slot| {
                let id = FlowId(bucket.entry(slot));
                (id.is_some() && is_it(id)).then_some(id)
            })
        })
    }

    /// The bucket and its overflow buckets.
    fn chain<'a>(&self, home: &'a Bucket) -> impl Iterator<Item = &'a Bucket> + use<'a> {
        chain(self.storage, home)
    }

    /// Shows the entry with the key (and, of templates, the salt) of `flow` under the lock of its
    /// bucket: it is not removed meanwhile. For who is no worker, on whom an entry may be used
    /// again at any time.
    pub fn visit<T>(&self, hash: u64, flow: &NewFlow, show: impl FnOnce(FlowId) -> T) -> Option<T> {
        let home = self.home(hash);
        let _guard = home.lock();
        self.find_in_chain(home, hash, &self.matches(flow)).map(show)
    }

    /// Whether an entry has the key and the salt of a flow.
    fn matches(&self, flow: &NewFlow) -> impl Fn(FlowId) -> bool {
        let (words, key, salt) = (flow.words(), flow.key, flow.salt);
        move |id| {
            let cold = self.cold(id);
            entry::is(self.entry(id), cold, &key, words) && cold.salt() == salt
        }
    }

    /// Makes an entry of the caller's the connection or template `flow`, unless there is one with
    /// its key (and, of templates, its salt). `hash` is that of the key's client end, salted.
    pub fn insert(&self, hash: u64, flow: &NewFlow, id: FlowId) -> Inserted {
        if let Some(original) = &self.original {
            self.recall(original, hash);
        }
        entry::fill(self.entry(id), self.cold(id), flow);
        let home = self.home(hash);
        let _guard = home.lock();
        if let Some(existing) = self.find_in_chain(home, hash, &self.matches(flow)) {
            return Inserted::Exists(existing);
        }
        if !self.put(home, hash, id) {
            return Inserted::Full;
        }
        self.count_lacking(flow.state, true);
        Inserted::New
    }

    /// Puts an entry into the chain of a bucket whose lock the caller holds; `false` where there is
    /// no room.
    fn put(&self, home: &Bucket, hash: u64, id: FlowId) -> bool {
        let (mut length, mut last) = (0, home);
        for bucket in self.chain(home) {
            if let Some(slot) = bucket.empty_slot() {
                bucket.fill(slot, tag_of(hash), id.0);
                return true;
            }
            (length, last) = (length + 1, bucket);
        }
        if length > CHAIN_MAX {
            return false;
        }
        let Some((index, bucket)) = self.take_overflow() else { return false };
        bucket.fill(0, tag_of(hash), id.0);
        last.next.store(index, Ordering::Release);
        true
    }

    fn count_lacking(&self, state: FlowState, more: bool) {
        if state.lacks_client_port() {
            let amount = if more { 1 } else { usize::MAX };
            self.lacking_client_port.fetch_add(amount, Ordering::Relaxed);
        }
    }

    fn take_overflow(&self) -> Option<(u32, &'static Bucket)> {
        let mut taken = None;
        let link = |index: u32| &self.storage.buckets[index as usize].next;
        self.free_overflow.pop(1, link, |index| taken = Some(index));
        let index = taken?;
        let bucket = &self.storage.buckets[index as usize];
        bucket.next.store(0, Ordering::Relaxed);
        self.overflow_used.fetch_add(1, Ordering::Relaxed);
        Some((index, bucket))
    }

    /// Removes a connection. `true` if this call did it: of several callers exactly one gets to
    /// undo what the connection stood for and to retire the entry.
    pub fn remove(&self, id: FlowId) -> bool {
        self.remove_if(id, |_| true)
    }

    /// Removes a connection that `is_over` says is, asked under the lock of its bucket: also right
    /// for a caller that is no worker, on whom an entry may be used again at any time.
    pub fn remove_if(&self, id: FlowId, is_over: impl FnOnce(&Entry) -> bool) -> bool {
        let entry = self.entry(id);
        let Some(key) = self.key(id) else { return false };
        let hash = self.hash_of(id, &key);
        let home = self.home(hash);
        let _guard = home.lock();
        let mut before: Option<&Bucket> = None;
        for bucket in self.chain(home) {
            let slot = bucket.matches(tag_of(hash)).find(|&slot| bucket.entry(slot) == id.0);
            if let Some(slot) = slot {
                if !is_over(entry) {
                    return false;
                }
                entry.kill();
                bucket.clear(slot);
                self.count_lacking(entry.state(), false);
                if let Some(before) = before.filter(|_| bucket.is_empty()) {
                    self.unlink_overflow(before, bucket);
                }
                return true;
            }
            before = Some(bucket);
        }
        false
    }

    /// Takes an empty overflow bucket out of its chain. Readers on it notice by the sequence of
    /// the home bucket, which the caller has locked.
    fn unlink_overflow(&self, before: &Bucket, bucket: &Bucket) {
        let index = before.next.load(Ordering::Relaxed);
        before.next.store(bucket.next.load(Ordering::Relaxed), Ordering::Release);
        self.free_overflow.push_chain(index, &bucket.next);
        self.overflow_used.fetch_sub(1, Ordering::Relaxed);
    }

    /// Takes up to `wanted` entries that nobody uses, and gives each to `take`.
    pub(super) fn take_free(&self, wanted: usize, take: impl FnMut(u32)) {
        if self.original.as_ref().is_none_or(|original| original.has_room) {
            self.pop_free(wanted, take);
        }
    }

    fn pop_free(&self, wanted: usize, take: impl FnMut(u32)) {
        let link = |index: u32| &self.entry(FlowId(index)).link;
        self.free_entries.pop(wanted, link, take);
    }

    pub(super) fn free_chain(&self, first: u32, last: u32) {
        self.free_entries.push_chain(first, &self.entry(FlowId(last)).link);
    }

    /// All live connections with an index in `range`; indices end at [`FlowTable::high_water`].
    #[expect(clippy::cast_possible_truncation, reason = "tables have at most 2^31 entries")]
    pub fn live(&self, range: std::ops::Range<usize>) -> impl Iterator<Item = (FlowId, FlowKey)> {
        let end = range.end.min(self.high_water());
        (range.start.max(1)..end).filter_map(|index| {
            let id = FlowId(index as u32);
            self.key(id).map(|key| (id, key))
        })
    }

    /// Every entry that was ever used lies below this index.
    pub fn high_water(&self) -> usize {
        self.free_entries.high_water()
    }

    /// How many buckets have 0, 1, ... flows; chains count as one bucket. The last count is of
    /// that many and more.
    pub fn chain_lengths(&self) -> [usize; 2 * SLOTS + 1] {
        self.chain_lengths_of(0..self.buckets())
    }

    /// The same of some buckets alone, by their numbers: a sample.
    pub fn chain_lengths_of(
        &self,
        buckets: impl IntoIterator<Item = usize>,
    ) -> [usize; 2 * SLOTS + 1] {
        let mut counts = [0; 2 * SLOTS + 1];
        for number in buckets {
            let home = &self.storage.buckets[number % self.buckets()];
            let flows: usize = self.chain(home).map(Bucket::used).sum();
            counts[flows.min(2 * SLOTS)] += 1;
        }
        counts
    }
}

/// A bucket and its overflow buckets. Bounded even if a writer relinks them meanwhile.
fn chain(storage: Storage, home: &Bucket) -> impl Iterator<Item = &Bucket> {
    let mut next = Some(home);
    std::iter::from_fn(move || {
        let bucket = next?;
        let index = bucket.next.load(Ordering::Acquire) as usize;
        next = (index != 0).then(|| &storage.buckets[index]);
        Some(bucket)
    })
    .take(CHAIN_MAX + 1)
}
