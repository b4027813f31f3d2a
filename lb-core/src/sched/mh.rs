//! mh, Maglev hashing (`ip_vs_mh.c`; Eisenbud and others, "Maglev: A Fast and Reliable Software
//! Network Load Balancer", NSDI 2016, section 3.4): a table of 4,093 slots which the destinations
//! fill in turn, each along its own permutation of the slots. A change of the destinations moves
//! few of the other destinations' clients.
//!
//! A destination that is set to weight 0 keeps its slots by the weight that it had, and gets no
//! connection; so it finds its clients again. `-b mh-port` hashes the client's port too.
//! `-b mh-fallback` goes on to other slots where the destination can take no connection.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

use super::address_hash::fold;
use super::{Candidates, Request};
use crate::address::Address;
use crate::service::SchedulerFlags;

/// Slots: the prime that the kernel is built with by default (`CONFIG_IP_VS_MH_TAB_INDEX` 12).
const SLOTS: u32 = 4093;

/// Most turns that a destination has in a row are below 2^6: what the kernel has for that size.
const TURNS_BITS: u32 = 6;

const FALLBACK: SchedulerFlags = SchedulerFlags::FLAG_1;
const PORT: SchedulerFlags = SchedulerFlags::FLAG_2;

/// Misses after which a fallback first asks whether there is anything to be found.
const PATIENCE: u32 = 32;

/// The kernel's keys of its two hashes.
const KEY_OF_OFFSET: u64 = 2_654_435_761;
const KEY_OF_SKIP: u64 = 2_654_446_892;

/// The kernel's `hsiphash_1u32` on 64-bit machines: SipHash-1-3 of the four bytes of the sum.
#[expect(clippy::cast_possible_truncation, reason = "the low half is what the kernel takes")]
fn hash(key: u64, address: Address, port: u16, offset: u32) -> u32 {
    let sum = offset.wrapping_add(u32::from(port)).wrapping_add(fold(address));
    let mut sip = SipHasher13::new_with_keys(key, key);
    sip.write(&sum.to_le_bytes());
    sip.finish() as u32
}

/// The table of mh.
#[derive(Clone, Debug)]
pub struct Maglev {
    /// Places in the list; empty where no destination ever had a weight.
    slots: Box<[u32]>,
}

/// Where a destination stands in its permutation.
struct Walk {
    place: u32,
    at: u32,
    skip: u32,
    /// Slots in a row that it takes when it is its turn.
    turns: u32,
}

impl Maglev {
    /// Most destinations that a service can have when it gets this scheduler.
    pub const DESTINATIONS_MAX: usize = SLOTS as usize;

    /// Fills the table, by the weights as they are. Destinations beyond the 4,093 oldest have no
    /// slot.
    pub(super) fn new(candidates: Candidates<'_>) -> Self {
        let mut walks = walks(candidates);
        let mut slots = vec![u32::MAX; SLOTS as usize];
        let mut free = if walks.is_empty() { 0 } else { SLOTS };
        while free > 0 {
            for walk in &mut walks {
                for _ in 0..walk.turns.min(free) {
                    while slots[walk.at as usize] != u32::MAX {
                        walk.at = (walk.at + walk.skip) % SLOTS;
                    }
                    slots[walk.at as usize] = walk.place;
                    free -= 1;
                }
            }
        }
        if walks.is_empty() {
            slots.clear();
        }
        Self { slots: slots.into() }
    }

    /// The destination of the client's slot, or with `mh-fallback` of the first one that can take
    /// a connection.
    pub(super) fn pick(&self, request: &Request<'_>, candidates: Candidates<'_>) -> Option<usize> {
        let port = if request.flags.contains(PORT) { request.client_port } else { 0 };
        let slot = |offset| hash(KEY_OF_OFFSET, request.client, port, offset) % SLOTS;
        let usable = |slot: u32| {
            let place = *self.slots.get(slot as usize)? as usize;
            candidates.is_usable(place).then_some(place)
        };
        let first = slot(0);
        if let Some(place) = usable(first) {
            return Some(place);
        }
        if !request.flags.contains(FALLBACK) || self.slots.is_empty() {
            return None;
        }
        (0..SLOTS)
            .take_while(|&offset| offset != PATIENCE || candidates.any_usable())
            .find_map(|offset| usable(slot((offset + first) % SLOTS)))
    }
}

/// The destinations that take part in filling the table.
fn walks(candidates: Candidates<'_>) -> Vec<Walk> {
    let beyond = candidates.ids.len().saturating_sub(SLOTS as usize);
    let ids = candidates.ids.iter().skip(beyond);
    let weights = || ids.clone().map(|&id| candidates.slots.get(id).last_weight());
    let divisor = weights().filter(|&weight| weight > 0).fold(0, greatest_common_divisor);
    if divisor == 0 {
        return Vec::new();
    }
    let highest = weights().max().unwrap_or(0) / divisor;
    let shift = (u32::BITS - highest.leading_zeros()).saturating_sub(TURNS_BITS);
    let places = (0..=u32::MAX).skip(beyond);
    places
        .zip(weights())
        .zip(&candidates.servers[beyond..])
        .filter(|((_, weight), _)| *weight > 0)
        .map(|((place, weight), server)| Walk {
            place,
            at: hash(KEY_OF_OFFSET, server.address, server.port, 0) % SLOTS,
            skip: hash(KEY_OF_SKIP, server.address, server.port, 0) % (SLOTS - 1) + 1,
            turns: ((weight / divisor) >> shift).max(1),
        })
        .collect()
}

fn greatest_common_divisor(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn address(text: &str) -> Address {
        text.parse::<IpAddr>().unwrap().into()
    }

    /// Computed by the kernel.
    #[test]
    fn hashes_are_the_kernels() {
        for (client, port, of_offset, of_skip) in [
            ("10.0.1.2", 0, 3_943_296_838, 280_455_126),
            ("10.0.1.2", 40000, 1_654_488_484, 2_134_447_669),
            ("192.168.1.1", 0, 3_555_833_043, 4_187_996_631),
            ("1.2.3.4", 0, 1_146_279_591, 314_603_690),
            ("255.255.255.255", 65535, 3_087_192_935, 2_986_291_875),
        ] {
            assert_eq!(hash(KEY_OF_OFFSET, address(client), port, 0), of_offset, "{client}");
            assert_eq!(hash(KEY_OF_SKIP, address(client), port, 0), of_skip, "{client}");
        }
        for (server, offset, skip) in
            [("10.0.2.11", 1561, 961), ("10.0.2.12", 1906, 1027), ("10.0.2.13", 3552, 825)]
        {
            assert_eq!(hash(KEY_OF_OFFSET, address(server), 80, 0) % SLOTS, offset);
            assert_eq!(hash(KEY_OF_SKIP, address(server), 80, 0) % (SLOTS - 1) + 1, skip);
        }
    }
}
