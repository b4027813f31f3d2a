//! sh, source hashing (`ip_vs_sh.c`): 256 buckets dealt out in turn, newest first, as many in a row
//! as a destination's weight; the client's address chooses the bucket.
//!
//! `-b sh-port` adds the client's port to the address. `-b sh-fallback` goes on to other buckets
//! where the destination can take no connection; without it there is none then.

use super::address_hash::{fold, hash_32};
use super::{Candidates, Request};
use crate::service::SchedulerFlags;

const BITS: u32 = 8;
const BUCKETS: u32 = 1 << BITS;

const FALLBACK: SchedulerFlags = SchedulerFlags::FLAG_1;
const PORT: SchedulerFlags = SchedulerFlags::FLAG_2;

/// The buckets of sh.
#[derive(Clone, Debug)]
pub struct SourceHash {
    /// Places in the list; empty where the list is.
    buckets: Box<[u32]>,
}

impl SourceHash {
    /// Deals out the buckets, by the weights as they are. Weight 0 gets one.
    pub(super) fn new(candidates: Candidates<'_>) -> Self {
        let in_turn = (0_u32..).zip(candidates.ids).cycle();
        let in_a_row = in_turn.flat_map(|(place, &id)| {
            let weight = candidates.slots.get(id).weight().clamp(1, BUCKETS.cast_signed());
            std::iter::repeat_n(place, weight.unsigned_abs() as usize)
        });
        Self { buckets: in_a_row.take(BUCKETS as usize).collect() }
    }

    /// The destination of the client's bucket, or with `sh-fallback` of the first one that can
    /// take a connection.
    pub(super) fn pick(&self, request: &Request<'_>, candidates: Candidates<'_>) -> Option<usize> {
        let port = if request.flags.contains(PORT) { request.client_port } else { 0 };
        let hash = hash_32(fold(request.client).wrapping_add(u32::from(port)), BITS);
        let usable = |bucket: u32| {
            let place = *self.buckets.get((bucket % BUCKETS) as usize)? as usize;
            candidates.is_usable(place).then_some(place)
        };
        usable(hash).or_else(|| {
            let others = if request.flags.contains(FALLBACK) { 0..BUCKETS } else { 0..0 };
            others.map(|offset| hash + (offset + hash) % BUCKETS).find_map(usable)
        })
    }
}
