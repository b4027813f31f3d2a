//! The flow table against the obvious alternatives, `dashmap` and the standard library's `HashMap`
//! (which no second thread could change meanwhile): the same keys in random order, one lookup at a
//! time and in bursts of 32 whose lines are asked for beforehand, as the packet path does; alone
//! and beside a second thread that does the same. `bench/parts/rte_hash.c` is DPDK's own.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dashmap::DashMap;
use lb_core::address::Address;
use lb_core::clock::Tick;
use lb_core::destination::ForwardingMethod;
use lb_core::flow::{
    EntryCache, FlowId, FlowKey, FlowState, FlowTable, Inserted, Limbo, NewFlow, Storage,
};
use lb_core::hash::FlowHasher;
use lb_core::quiescence::Epochs;
use lb_core::slots::DestinationId;

const BURST: usize = 32;
const SIZES: [usize; 2] = [8192, 1_000_000];

/// What a `dashmap` of connections would hold.
#[derive(Clone, Copy)]
struct Connection {
    state: FlowState,
    deadline: Tick,
    destination: DestinationId,
    _server: (Address, u16),
}

fn hasher() -> FlowHasher {
    FlowHasher::new([1, 2, 3])
}

fn hash(table: &FlowTable, key: &FlowKey) -> u64 {
    table.hash(key.protocol, key.client, key.client_port)
}

/// Keys of different clients, in an order that no prefetcher foresees.
fn keys(count: usize) -> Vec<FlowKey> {
    keys_from(0x0a00_0000, count)
}

fn keys_from(clients: u32, count: usize) -> Vec<FlowKey> {
    let key = |number: u32| FlowKey {
        protocol: 6,
        client: Address::v4(clients + number / 64),
        client_port: u16::try_from(1024 + number % 64).unwrap_or_default(),
        virtual_address: Address::v4(0x0a00_0064),
        virtual_port: 80,
    };
    let mut keys: Vec<_> = (0..).map(key).take(count).collect();
    let mut random = 88_172_645_463_325_252_usize;
    for place in (1..count).rev() {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        keys.swap(place, random % (place + 1));
    }
    keys
}

fn fill(table: &FlowTable, key: &FlowKey, free: &mut EntryCache) {
    let Some(id) = free.take(table) else { panic!("the table has room for all keys") };
    assert_eq!(table.insert(hash(table, key), &flow(key), id), Inserted::New);
}

const fn flow(key: &FlowKey) -> NewFlow {
    NewFlow {
        key: *key,
        state: FlowState::new(1, ForwardingMethod::DirectRouting, true),
        deadline: Tick(9),
        destination: DestinationId(1),
        server: Address::v4(0x0a00_020b),
        server_port: 80,
        created: Tick(1),
        controller: FlowId::NONE,
        lifetime_s: 0,
        salt: 0,
    }
}

/// What a packet reads of its connection.
fn read(table: &FlowTable, hash: u64, key: &FlowKey) -> u32 {
    table.find(hash, key).map_or(0, |id| {
        let entry = table.entry(id);
        entry.destination().0 + entry.deadline().0 + u32::from(entry.state().number())
    })
}

fn one_by_one(table: &FlowTable, burst: &[FlowKey]) -> u32 {
    burst.iter().map(|key| read(table, hash(table, key), key)).sum()
}

fn staged(table: &FlowTable, burst: &[FlowKey]) -> u32 {
    let hashes: [u64; BURST] = std::array::from_fn(|place| hash(table, &burst[place]));
    let homes = hashes.map(|hash| table.prefetch_bucket(hash));
    let candidates: [_; BURST] =
        std::array::from_fn(|place| table.candidate(homes[place], hashes[place]));
    let mut sum = 0;
    for ((key, hash), candidate) in burst.iter().zip(hashes).zip(candidates) {
        let entry = table.entry(candidate);
        sum += if table.is(candidate, key) {
            entry.destination().0 + entry.deadline().0 + u32::from(entry.state().number())
        } else {
            read(table, hash, key)
        };
    }
    sum
}

fn from_dashmap(map: &DashMap<FlowKey, Connection, FlowHasher>, burst: &[FlowKey]) -> u32 {
    burst
        .iter()
        .filter_map(|key| map.get(key))
        .map(|found| found.destination.0 + found.deadline.0 + u32::from(found.state.number()))
        .sum()
}

fn from_hashmap(map: &HashMap<FlowKey, Connection, FlowHasher>, burst: &[FlowKey]) -> u32 {
    burst
        .iter()
        .filter_map(|key| map.get(key))
        .map(|found| found.destination.0 + found.deadline.0 + u32::from(found.state.number()))
        .sum()
}

/// Measures a lookup of bursts, alone and beside a second thread.
fn lookup(
    c: &mut Criterion,
    name: &str,
    keys: &[FlowKey],
    find: impl Fn(&[FlowKey]) -> u32 + Sync,
) {
    for threads in [1, 2] {
        let mut group = c.benchmark_group(format!("find/{}/{threads} threads", keys.len()));
        group.throughput(Throughput::Elements(BURST as u64));
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(|| {
                    let mut bursts = keys.chunks_exact(BURST).rev().cycle();
                    while !stop.load(Ordering::Relaxed) {
                        black_box(bursts.next().map(&find));
                    }
                });
            }
            let mut bursts = keys.chunks_exact(BURST).cycle();
            group.bench_function(name, |b| b.iter(|| bursts.next().map(&find)));
            stop.store(true, Ordering::Relaxed);
        });
        group.finish();
    }
}

fn finds(c: &mut Criterion) {
    for size in SIZES {
        let keys = keys(size);
        let table = FlowTable::new(size, Storage::leaked(size), hasher());
        let mut free = EntryCache::default();
        keys.iter().for_each(|key| fill(&table, key, &mut free));
        lookup(c, "one by one", &keys, |burst| one_by_one(&table, burst));
        lookup(c, "staged", &keys, |burst| staged(&table, burst));
        let strangers = keys_from(0x0b00_0000, size);
        lookup(c, "one by one, not there", &strangers, |burst| one_by_one(&table, burst));
        lookup(c, "staged, not there", &strangers, |burst| staged(&table, burst));

        let connection = Connection {
            state: FlowState::new(1, ForwardingMethod::DirectRouting, true),
            deadline: Tick(9),
            destination: DestinationId(1),
            _server: (Address::v4(0x0a00_020b), 80),
        };
        let map = DashMap::with_capacity_and_hasher(size, hasher());
        keys.iter().for_each(|key| _ = map.insert(*key, connection));
        lookup(c, "dashmap", &keys, |burst| from_dashmap(&map, burst));
        lookup(c, "dashmap, not there", &strangers, |burst| from_dashmap(&map, burst));
        drop(map);

        let mut map = HashMap::with_capacity_and_hasher(size, hasher());
        keys.iter().for_each(|key| _ = map.insert(*key, connection));
        lookup(c, "HashMap", &keys, |burst| from_hashmap(&map, burst));
        lookup(c, "HashMap, not there", &strangers, |burst| from_hashmap(&map, burst));
    }
}

/// What a new connection does to its client's template, and its end: found, held, its time begun
/// anew, let go.
fn templates(c: &mut Criterion) {
    for size in SIZES {
        let keys: Vec<_> = keys(size * 64)
            .into_iter()
            .filter(|key| key.client_port == 1024)
            .map(|key| FlowKey { client_port: 0, ..key })
            .collect();
        let table = FlowTable::new(size, Storage::leaked(size), hasher());
        let mut free = EntryCache::default();
        for key in &keys {
            let Some(id) = free.take(&table) else { panic!("the table has room for all keys") };
            let state = FlowState::template(ForwardingMethod::DirectRouting);
            let template = NewFlow { state, lifetime_s: 300, ..flow(key) };
            assert_eq!(table.insert(hash(&table, key), &template, id), Inserted::New);
        }
        lookup(c, "templates of the table", &keys, |burst| {
            let of = |key: &FlowKey| {
                let hash = hash(&table, key);
                let id = table.find_template(hash, key, |_| true)?;
                let is_held = table.hold_template(id, hash, key);
                let entry = table.entry(id);
                entry.set_deadline(Tick(9).plus_seconds(entry.lifetime_s()));
                table.cold(id).count_controlled(false);
                Some(entry.destination().0 + u32::from(is_held))
            };
            burst.iter().filter_map(of).sum()
        });

        let map = DashMap::with_capacity_and_hasher(size, hasher());
        for key in &keys {
            map.insert(*key, (DestinationId(1), Tick(9), 0_u32));
        }
        lookup(c, "templates of a dashmap", &keys, |burst| {
            let of = |key: &FlowKey| {
                let mut template = map.get_mut(key)?;
                template.1 = Tick(9).plus_seconds(300);
                template.2 += 1;
                let destination = template.0;
                drop(template);
                map.get_mut(key)?.2 -= 1;
                Some(destination.0)
            };
            burst.iter().filter_map(of).sum()
        });
    }
}

/// The same with a `dashmap`, which needs no wait.
fn changes_of_dashmap(c: &mut Criterion) {
    let mut group = c.benchmark_group("insert and remove, dashmap");
    for size in SIZES {
        let keys = keys(size);
        let map = DashMap::with_capacity_and_hasher(size * 2, hasher());
        let half = size / 2;
        keys[..half].iter().for_each(|key| _ = map.insert(*key, flow(key)));
        let mut bursts = keys[half..].chunks_exact(BURST).cycle();
        group.throughput(Throughput::Elements(BURST as u64));
        group.bench_function(format!("{size}"), |b| {
            b.iter(|| {
                let burst = bursts.next().unwrap_or_default();
                burst.iter().for_each(|key| _ = map.insert(*key, flow(key)));
                burst.iter().for_each(|key| _ = map.remove(key));
            });
        });
    }
    group.finish();
}

/// A connection begins and ends, with the wait for the burst boundary in between.
fn changes(c: &mut Criterion) {
    let mut group = c.benchmark_group("insert and remove");
    for size in SIZES {
        let keys = keys(size);
        let table = FlowTable::new(size * 2, Storage::leaked(size * 2), hasher());
        let (mut free, mut limbo) = (EntryCache::default(), Limbo::default());
        let epochs = Epochs::new(1);
        epochs.online(0);
        let half = size / 2;
        keys[..half].iter().for_each(|key| fill(&table, key, &mut free));
        let mut bursts = keys[half..].chunks_exact(BURST).cycle();
        group.throughput(Throughput::Elements(BURST as u64));
        group.bench_function(format!("{size}"), |b| {
            b.iter(|| {
                let burst = bursts.next().unwrap_or_default();
                burst.iter().for_each(|key| fill(&table, key, &mut free));
                for key in burst {
                    if let Some(id) = table.find(hash(&table, key), key)
                        && table.remove(id)
                    {
                        limbo.retire(&table, id);
                    }
                }
                epochs.announce(0);
                limbo.release(&table, &epochs);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, finds, templates, changes, changes_of_dashmap);
criterion_main!(benches);
