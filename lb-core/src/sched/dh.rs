//! dh, destination hashing (`ip_vs_dh.c`): 256 buckets dealt out to the destinations in turn,
//! newest first, whatever their weight; the address that the client asked for chooses the bucket.
//! For caches behind a mark: a service with one address sends everything to one server.

use super::address_hash::{fold, hash_32};
use super::{Candidates, Request};

const BITS: u32 = 8;

/// The buckets of dh: how many there are to be dealt out. Which one is whose follows from the
/// place in the list.
#[derive(Clone, Copy, Debug)]
pub struct DestinationHash;

impl DestinationHash {
    /// The destination of the bucket, if it can take a connection: there is no second choice.
    pub(super) fn pick(request: &Request<'_>, candidates: Candidates<'_>) -> Option<usize> {
        let bucket = hash_32(fold(request.destination), BITS) as usize;
        let place = bucket.checked_rem(candidates.ids.len())?;
        candidates.is_usable(place).then_some(place)
    }
}
