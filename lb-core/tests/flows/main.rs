//! The flow table and what hangs on it, under load.
//!
//! - `commands`: what `sluicectl` does to connections while workers run
//! - `model`: random operations of simulated workers against a `HashMap`
//! - `schedulers`: real threads that pick, and change the loads that they pick by
//! - `threads`: real threads on one small table
//! - `workers`: whole workers, the sweeper and the control thread on one director

mod commands;
mod model;
mod schedulers;
mod threads;
mod workers;

use lb_core::address::Address;
use lb_core::clock::Tick;
use lb_core::destination::ForwardingMethod;
use lb_core::flow::{FlowId, FlowKey, FlowState, FlowTable, NewFlow};
use lb_core::hash::FlowHasher;
use lb_core::slots::DestinationId;

/// Random numbers from a seed (xorshift64*): the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % limit
    }
}

fn hasher() -> FlowHasher {
    FlowHasher::new([1, 2, 3])
}

/// Every third client speaks IPv6.
fn key(number: u32) -> FlowKey {
    let six = |low: u128| Address::from_bits(0xfd00 << 112 | low);
    let (client, virtual_address) = if number.is_multiple_of(3) {
        (six(u128::from(number)), six(0x100))
    } else {
        (Address::v4(0x0a00_0000 + number), Address::v4(0x0a00_0064))
    };
    FlowKey { protocol: 6, client, client_port: 1024, virtual_address, virtual_port: 80 }
}

/// A connection with that key.
fn flow(key: &FlowKey) -> NewFlow {
    NewFlow {
        key: *key,
        state: FlowState::new(1, ForwardingMethod::DirectRouting, false),
        deadline: Tick(9),
        destination: DestinationId(0),
        server: key.virtual_address,
        server_port: 80,
        created: Tick(1),
        controller: FlowId::NONE,
        lifetime_s: 0,
        salt: 0,
    }
}

fn hash(table: &FlowTable, key: &FlowKey) -> u64 {
    table.hash(key.protocol, key.client, key.client_port)
}

/// `count` keys whose hashes fall into the first `buckets` of a table: long chains.
fn colliding_keys(table: &FlowTable, buckets: u64, count: usize) -> Vec<FlowKey> {
    // The low half of a hash chooses, as a fraction of 2^32.
    let bucket = |key: &FlowKey| ((hash(table, key) & 0xffff_ffff) * table.buckets() as u64) >> 32;
    (0..).map(key).filter(|key| bucket(key) < buckets).take(count).collect()
}
