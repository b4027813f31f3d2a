//! Where lblc and lblcr sent connections for an address before: to one server, or to a set.
//!
//! A table for each service, of a size that is fixed when it begins: 24,576 addresses, as the
//! kernel has at most. It is cut into stripes by a keyed hash of the address, so that nobody can
//! make one long; each has a lock, held for a handful of instructions. A worker does not sleep on
//! it: where it is not to be had, the connection is scheduled as if the address were new, and that
//! is not remembered.
//!
//! A remembered server is referred to ([`DestinationSlot::refer`]), so its slot does not become
//! another server's. That makes a removed server resume its addresses when it returns.
//!
//! [`DestinationSlot::refer`]: crate::slots::DestinationSlot::refer

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use crate::address::Address;
use crate::clock::Tick;
use crate::hash::FlowHasher;
use crate::slots::{DestinationId, DestinationSlots};

/// Addresses at which cleaning begins (`max_size`: 16 for each of the kernel's 1,024 buckets).
const COMFORTABLE: usize = 16 * 1024;
/// Addresses above which none is added.
const ENTRIES_MAX: usize = COMFORTABLE + COMFORTABLE / 2;

const STRIPES: usize = 64;
/// A third more than the share of a stripe, which by chance is never reached.
const STRIPE_ENTRIES: u16 = 512;
const STRIPE_CHAINS: usize = 256;
const CHAINS: usize = STRIPES * STRIPE_CHAINS;

/// Seconds between two cleanings (`CHECK_EXPIRE_INTERVAL`).
const CLEANING_S: u32 = 60;
/// Seconds without use after which an entry goes when there are too many (`ENTRY_TIMEOUT`).
const IDLE_S: u32 = 6 * 60;
/// Cleanings without need until all that is expired goes (`COUNT_FOR_FULL_EXPIRATION`).
const FULL_CLEANING: u32 = 30;

/// Tries for a stripe's lock before a worker does without: some microseconds.
const TRIES: u32 = 1000;

/// No entry, no member.
const NIL: u16 = u16::MAX;

/// What is remembered of an address.
#[derive(Clone, Copy, Debug)]
struct Entry {
    address: Address,
    /// The server that came last.
    newest: DestinationId,
    last_used: Tick,
    /// When a server was added or removed last.
    changed: Tick,
    /// The other servers, newest first.
    others: u16,
    /// The next entry of the chain; of a free one the next free one.
    next: u16,
}

/// A further server of an address.
#[derive(Clone, Copy, Debug)]
struct Member {
    server: DestinationId,
    next: u16,
}

#[derive(Clone, Debug)]
struct Stripe {
    chains: Box<[u16]>,
    entries: Box<[Entry]>,
    free_entry: u16,
    members: Box<[Member]>,
    free_member: u16,
    /// The table's time is over: nothing is added any more.
    closed: bool,
}

/// The table.
#[derive(Debug)]
pub(super) struct Affinity {
    stripes: Box<[Mutex<Stripe>]>,
    hasher: FlowHasher,
    entries: AtomicUsize,
    cleaning: Mutex<Cleaning>,
}

/// When and where cleaning goes on. Only the control thread asks.
#[derive(Debug)]
struct Cleaning {
    due: Option<Tick>,
    /// Cleanings since the last one of everything.
    round: u32,
    /// The chain that was cleaned last.
    rover: usize,
}

/// The servers of an address, to look at and to change.
#[derive(Debug)]
pub(super) struct Set<'a> {
    stripe: &'a mut Stripe,
    entry: u16,
    slots: &'a DestinationSlots,
}

impl Affinity {
    /// An empty table with room for so many servers beyond the first of each address.
    pub(super) fn new(hasher: FlowHasher, others_max: u16) -> Self {
        let others = usize::from(others_max).div_ceil(STRIPES).min(usize::from(NIL));
        Self {
            stripes: (0..STRIPES).map(|_| Mutex::new(Stripe::new(others))).collect(),
            hasher,
            entries: AtomicUsize::new(0),
            cleaning: Mutex::new(Cleaning { due: None, round: 1, rover: 0 }),
        }
    }

    /// Another table that has the same in it.
    pub(super) fn twin(&self) -> Self {
        let copy = |stripe: &Mutex<Stripe>| {
            Mutex::new(stripe.lock().unwrap_or_else(PoisonError::into_inner).clone())
        };
        Self {
            stripes: self.stripes.iter().map(copy).collect(),
            hasher: self.hasher,
            entries: AtomicUsize::new(self.entries.load(Ordering::Relaxed)),
            cleaning: Mutex::new(Cleaning { due: None, round: 1, rover: 0 }),
        }
    }

    /// Lets the caller look at the servers of an address, and marks it as used. `None` where
    /// nothing is remembered.
    pub(super) fn with<T>(
        &self,
        address: Address,
        now: Tick,
        slots: &DestinationSlots,
        work: impl FnOnce(&mut Set<'_>) -> T,
    ) -> Option<T> {
        let (stripe, chain) = self.place(address);
        let mut stripe = try_lock(&self.stripes[stripe])?;
        let entry = stripe.find(chain, address)?;
        stripe.entry(entry).last_used = now;
        Some(work(&mut Set { stripe: &mut stripe, entry, slots }))
    }

    /// Remembers a server: as another one of an address that is known if `joins`, else as the
    /// only one.
    pub(super) fn remember(
        &self,
        address: Address,
        server: DestinationId,
        joins: bool,
        now: Tick,
        slots: &DestinationSlots,
    ) {
        let (stripe, chain) = self.place(address);
        let Some(mut stripe) = try_lock(&self.stripes[stripe]) else { return };
        if stripe.closed {
            return;
        }
        if let Some(entry) = stripe.find(chain, address) {
            let mut set = Set { stripe: &mut stripe, entry, slots };
            if joins { set.add(server, now) } else { set.replace(server, now) }
        } else if self.entries.load(Ordering::Relaxed) < ENTRIES_MAX
            && stripe.insert(chain, address, server, now)
        {
            slots.get(server).refer(true);
            self.entries.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Addresses that are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.load(Ordering::Relaxed)
    }

    /// Regular cleaning, every 60 seconds: where there are more than 16,384 entries, those go that
    /// were not used for six minutes, until there are enough fewer; half an hour after the last
    /// time all go that were not used for `expiration_s`.
    pub(super) fn clean(&self, now: Tick, expiration_s: u32, slots: &DestinationSlots) {
        let mut cleaning = self.cleaning.lock().unwrap_or_else(PoisonError::into_inner);
        let due = *cleaning.due.get_or_insert_with(|| now.plus_seconds(CLEANING_S));
        if now.is_before(due) {
            return;
        }
        cleaning.due = Some(now.plus_seconds(CLEANING_S));
        let entries = self.entries.load(Ordering::Relaxed);
        let (idle_s, goal) = if cleaning.round.is_multiple_of(FULL_CLEANING) {
            cleaning.round = 1;
            (expiration_s, usize::MAX)
        } else if entries <= COMFORTABLE {
            cleaning.round += 1;
            return;
        } else {
            (IDLE_S, ((entries - COMFORTABLE) * 4 / 3).min(COMFORTABLE / 2))
        };
        let mut gone = 0;
        for _ in 0..CHAINS {
            cleaning.rover = (cleaning.rover + 1) % CHAINS;
            let is_idle = |entry: &Entry| now.seconds_since(entry.last_used) >= idle_s;
            gone += self.remove_if(cleaning.rover, slots, is_idle);
            if gone >= goal {
                break;
            }
        }
    }

    /// Forgets servers that were removed from the service, although they may return: their slots
    /// are needed.
    pub(super) fn forget_removed(&self, slots: &DestinationSlots) {
        for stripe in &self.stripes {
            lock(stripe).remove_others(slots, |server| !slots.get(server).is_available());
        }
        let is_removed = |entry: &Entry| !slots.get(entry.newest).is_available();
        (0..CHAINS).for_each(|chain| _ = self.remove_if(chain, slots, is_removed));
    }

    /// Forgets everything, and remembers nothing any more: the service has another scheduler.
    pub(super) fn close(&self, slots: &DestinationSlots) {
        self.stripes.iter().for_each(|stripe| lock(stripe).closed = true);
        (0..CHAINS).for_each(|chain| _ = self.remove_if(chain, slots, |_| true));
    }

    /// Removes entries of a chain, counted through all stripes.
    fn remove_if(
        &self,
        chain: usize,
        slots: &DestinationSlots,
        goes: impl Fn(&Entry) -> bool,
    ) -> usize {
        let mut stripe = lock(&self.stripes[chain / STRIPE_CHAINS]);
        let removed = stripe.remove_if(chain % STRIPE_CHAINS, slots, goes);
        self.entries.fetch_sub(removed, Ordering::Relaxed);
        removed
    }

    /// The stripe and the chain in it.
    #[expect(clippy::cast_possible_truncation, reason = "below the number of chains")]
    fn place(&self, address: Address) -> (usize, usize) {
        let chain = (self.hasher.words(&address.halves()) % CHAINS as u64) as usize;
        (chain / STRIPE_CHAINS, chain % STRIPE_CHAINS)
    }
}

/// For the control thread. A panic ends the process, so a lock is never left broken.
fn lock(stripe: &Mutex<Stripe>) -> MutexGuard<'_, Stripe> {
    stripe.lock().unwrap_or_else(PoisonError::into_inner)
}

/// For workers: without sleeping, which the control thread could make long.
fn try_lock(stripe: &Mutex<Stripe>) -> Option<MutexGuard<'_, Stripe>> {
    for _ in 0..TRIES {
        match stripe.try_lock() {
            Ok(guard) => return Some(guard),
            Err(TryLockError::Poisoned(broken)) => return Some(broken.into_inner()),
            Err(TryLockError::WouldBlock) => std::hint::spin_loop(),
        }
    }
    None
}

impl Stripe {
    fn new(others: usize) -> Self {
        let free = |next| Entry {
            address: Address::UNSPECIFIED,
            newest: DestinationId(0),
            last_used: Tick(0),
            changed: Tick(0),
            others: NIL,
            next,
        };
        let after = |place, count| if place + 1 < count { place + 1 } else { NIL };
        let others = u16::try_from(others).unwrap_or(NIL);
        let member = |place| Member { server: DestinationId(0), next: after(place, others) };
        Self {
            chains: vec![NIL; STRIPE_CHAINS].into(),
            entries: (0..STRIPE_ENTRIES).map(|place| free(after(place, STRIPE_ENTRIES))).collect(),
            free_entry: 0,
            members: (0..others).map(member).collect(),
            free_member: if others == 0 { NIL } else { 0 },
            closed: false,
        }
    }

    fn entry(&mut self, entry: u16) -> &mut Entry {
        &mut self.entries[usize::from(entry)]
    }

    fn find(&self, chain: usize, address: Address) -> Option<u16> {
        let mut at = self.chains[chain];
        while let Some(entry) = self.entries.get(usize::from(at)) {
            if entry.address == address {
                return Some(at);
            }
            at = entry.next;
        }
        None
    }

    /// Whether there was room.
    fn insert(&mut self, chain: usize, address: Address, newest: DestinationId, now: Tick) -> bool {
        let at = self.free_entry;
        let Some(entry) = self.entries.get_mut(usize::from(at)) else { return false };
        self.free_entry = entry.next;
        let next = self.chains[chain];
        *entry = Entry { address, newest, last_used: now, changed: now, others: NIL, next };
        self.chains[chain] = at;
        true
    }

    /// Removes entries of a chain; says how many.
    fn remove_if(
        &mut self,
        chain: usize,
        slots: &DestinationSlots,
        goes: impl Fn(&Entry) -> bool,
    ) -> usize {
        let (mut at, mut kept, mut removed) = (self.chains[chain], NIL, 0);
        while at != NIL {
            let entry = *self.entry(at);
            if goes(&entry) {
                match self.entries.get_mut(usize::from(kept)) {
                    Some(kept) => kept.next = entry.next,
                    None => self.chains[chain] = entry.next,
                }
                Set { stripe: self, entry: at, slots }.drop_others();
                slots.get(entry.newest).refer(false);
                self.entry(at).next = self.free_entry;
                self.free_entry = at;
                removed += 1;
            } else {
                kept = at;
            }
            at = entry.next;
        }
        removed
    }

    /// Removes servers from sets, but for the last one of a set.
    fn remove_others(&mut self, slots: &DestinationSlots, goes: impl Fn(DestinationId) -> bool) {
        for chain in 0..self.chains.len() {
            let mut at = self.chains[chain];
            while at != NIL {
                let entry = *self.entry(at);
                let mut set = Set { stripe: self, entry: at, slots };
                let leave: Vec<_> = set.servers().filter(|&server| goes(server)).collect();
                leave.into_iter().for_each(|server| set.remove(server, entry.changed));
                at = entry.next;
            }
        }
    }
}

impl Set<'_> {
    fn entry(&self) -> Entry {
        self.stripe.entries[usize::from(self.entry)]
    }

    /// The servers, newest first.
    pub(super) fn servers(&self) -> impl Iterator<Item = DestinationId> + '_ {
        let entry = self.entry();
        let members = &self.stripe.members;
        let member = |at: u16| members.get(usize::from(at));
        let others = std::iter::successors(member(entry.others), move |it| member(it.next));
        std::iter::once(entry.newest).chain(others.map(|it| it.server))
    }

    /// The server that came last.
    pub(super) fn newest(&self) -> DestinationId {
        self.entry().newest
    }

    /// Whether there is more than one server.
    pub(super) fn has_others(&self) -> bool {
        self.entry().others != NIL
    }

    /// When a server was added or removed last.
    pub(super) fn changed(&self) -> Tick {
        self.entry().changed
    }

    /// Adds a server if it is not there, and if there is room.
    fn add(&mut self, server: DestinationId, now: Tick) {
        if self.servers().any(|member| member == server) {
            return;
        }
        let entry = self.entry();
        let at = self.stripe.free_member;
        let Some(member) = self.stripe.members.get_mut(usize::from(at)) else { return };
        self.stripe.free_member = member.next;
        *member = Member { server: entry.newest, next: entry.others };
        let entry = self.stripe.entry(self.entry);
        (entry.others, entry.newest, entry.changed) = (at, server, now);
        self.slots.get(server).refer(true);
    }

    /// Removes a server; the last one stays.
    pub(super) fn remove(&mut self, server: DestinationId, now: Tick) {
        let entry = self.entry();
        let (mut at, mut before) = (entry.others, NIL);
        if entry.newest == server {
            let Some(next) = self.stripe.members.get(usize::from(at)) else { return };
            self.stripe.entry(self.entry).newest = next.server;
        } else {
            while self.stripe.members.get(usize::from(at)).is_some_and(|it| it.server != server) {
                (before, at) = (at, self.stripe.members[usize::from(at)].next);
            }
        }
        let Some(&Member { next, .. }) = self.stripe.members.get(usize::from(at)) else { return };
        match self.stripe.members.get_mut(usize::from(before)) {
            Some(before) => before.next = next,
            None => self.stripe.entry(self.entry).others = next,
        }
        self.stripe.entry(self.entry).changed = now;
        self.free_member(at);
        self.slots.get(server).refer(false);
    }

    /// Makes a server the only one.
    fn replace(&mut self, server: DestinationId, now: Tick) {
        self.drop_others();
        self.slots.get(server).refer(true);
        self.slots.get(self.newest()).refer(false);
        let entry = self.stripe.entry(self.entry);
        (entry.newest, entry.last_used, entry.changed) = (server, now, now);
    }

    fn drop_others(&mut self) {
        let mut at = self.entry().others;
        self.stripe.entry(self.entry).others = NIL;
        while let Some(&Member { server, next }) = self.stripe.members.get(usize::from(at)) {
            self.slots.get(server).refer(false);
            self.free_member(at);
            at = next;
        }
    }

    fn free_member(&mut self, at: u16) {
        self.stripe.members[usize::from(at)].next = self.stripe.free_member;
        self.stripe.free_member = at;
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::HASHER;
    use super::*;

    fn address(number: usize) -> Address {
        Address::v4(u32::try_from(number).unwrap())
    }

    fn servers(table: &Affinity, number: usize, slots: &DestinationSlots) -> Vec<u32> {
        let ids = |set: &mut Set<'_>| set.servers().map(|id| id.0).collect();
        table.with(address(number), Tick(0), slots, ids).unwrap_or_default()
    }

    /// Everything that a few addresses can live through, against plain lists.
    #[test]
    fn sets_are_lists_without_doubles() {
        let slots = DestinationSlots::new(5);
        let table = Affinity::new(HASHER, 64);
        let mut model = vec![Vec::<u32>::new(); 12];
        let mut random = 1_u64;
        let mut below = |limit: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % limit
        };
        for step in 0..20_000 {
            let number = usize::try_from(below(12)).unwrap();
            let server = DestinationId(u32::try_from(below(5)).unwrap());
            let list = &mut model[number];
            match below(4) {
                0 => {
                    table.remember(address(number), server, false, Tick(1), &slots);
                    *list = vec![server.0];
                }
                1 => {
                    let _known = table.with(address(number), Tick(1), &slots, |set| {
                        set.remove(server, Tick(1));
                    });
                    if list.len() > 1 {
                        list.retain(|&other| other != server.0);
                    }
                }
                _ => {
                    let others: usize = servers(&table, number, &slots).len().saturating_sub(1);
                    table.remember(address(number), server, true, Tick(1), &slots);
                    // A stripe has room for one more server than its addresses in this test.
                    let joined = servers(&table, number, &slots).len().saturating_sub(1) > others;
                    if list.is_empty() || joined {
                        list.insert(0, server.0);
                    }
                }
            }
            assert_eq!(servers(&table, number, &slots), model[number], "step {step}");
        }
        for id in 0..5 {
            let named = model.iter().flatten().any(|&server| server == id);
            assert_eq!(slots.get(DestinationId(id)).is_idle(), !named);
        }
        table.close(&slots);
        assert!((0..5).all(|id| slots.get(DestinationId(id)).is_idle()));
        table.remember(address(1), DestinationId(1), false, Tick(1), &slots);
        assert_eq!(table.len(), 0, "nothing is added any more");
    }

    #[test]
    fn the_table_is_bounded_and_cleaned() {
        let slots = DestinationSlots::new(1);
        let table = Affinity::new(HASHER, 0);
        for number in 0..30_000 {
            table.remember(address(number), DestinationId(0), false, Tick(0), &slots);
        }
        assert_eq!(table.len(), 24_576);
        assert!(servers(&table, 0, &slots) == [0] && servers(&table, 29_999, &slots).is_empty());
        let minute = |minutes: u32| Tick(0).plus_seconds(60 * minutes);
        table.clean(minute(0), 86_400, &slots);
        table.clean(minute(5), 86_400, &slots);
        assert_eq!(table.len(), 24_576, "nothing is idle yet");
        table.clean(minute(6), 86_400, &slots);
        assert!((16_300..=16_384).contains(&table.len()), "{}", table.len());
        table.clean(minute(7), 86_400, &slots);
        assert!((16_300..=16_384).contains(&table.len()), "{}", table.len());
        // Half an hour without need, then all that nobody asked for.
        for minutes in 8..36 {
            table.clean(minute(minutes), 1800, &slots);
        }
        let _used = table.with(address(0), minute(36), &slots, |_| ());
        assert!(table.len() > 16_000);
        table.clean(minute(36), 1800, &slots);
        assert!(table.len() <= 1, "{}", table.len());
    }
}
