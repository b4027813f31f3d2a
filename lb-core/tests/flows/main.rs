//! The flow table and what hangs on it, under load.
//!
//! - `model`: random operations of simulated workers against a `HashMap`
//! - `threads`: real threads on one small table
//! - `workers`: whole workers, the sweeper and the control thread on one director

mod model;
mod threads;
mod workers;

use std::net::Ipv4Addr;

use lb_core::flow::{FlowKey, FlowTable};
use lb_core::hash::FlowHasher;

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

fn key(number: u32) -> FlowKey {
    FlowKey {
        protocol: 6,
        client: Ipv4Addr::from_bits(0x0a00_0000 + number),
        client_port: 1024,
        virtual_address: Ipv4Addr::new(10, 0, 0, 100),
        virtual_port: 80,
    }
}

fn hash(table: &FlowTable, key: &FlowKey) -> u64 {
    table.hash(key.protocol, key.client.to_bits(), key.client_port)
}

/// `count` keys whose hashes fall into the first `buckets` of a table: long chains.
fn colliding_keys(table: &FlowTable, buckets: u64, count: usize) -> Vec<FlowKey> {
    let mask = table.buckets() as u64 - 1;
    (0..).map(key).filter(|key| hash(table, key) & mask < buckets).take(count).collect()
}
