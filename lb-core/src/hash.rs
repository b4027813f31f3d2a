//! The keyed hash of a flow's client end.
//!
//! Only the client's end of a flow is hashed (protocol, address, port): for a packet to a VIP that
//! is the source, for a packet from a real server it is the destination, so both directions of a
//! connection meet in one bucket. Clients choose these values, therefore the hash is keyed with
//! secrets drawn at start. The mixing is folded 64x64 -> 128 bit multiplication, the primitive of
//! wyhash and of ahash's fallback: two multiplications for an IPv4 end.

use std::hash::{BuildHasher, Hasher};

use crate::address::Address;

/// A hash function with its secrets.
#[derive(Clone, Copy, Debug)]
pub struct FlowHasher {
    keys: [u64; 3],
}

impl FlowHasher {
    /// A hasher with the given secrets. They should come from the system's random source.
    pub const fn new(secrets: [u64; 3]) -> Self {
        // A multiplier of zero would fold everything to zero, hence the odd constants.
        Self {
            keys: [
                secrets[0] ^ 0x9e37_79b9_7f4a_7c15,
                secrets[1] | 1,
                secrets[2] ^ 0xd1b5_4a32_d192_ed03,
            ],
        }
    }

    /// Hash of an IPv4 client end.
    #[inline]
    pub const fn ipv4(&self, protocol: u8, address: u32, port: u16) -> u64 {
        self.word(address as u64 | (port as u64) << 32 | (protocol as u64) << 48)
    }

    /// Hash of a client end of either family.
    #[inline]
    pub const fn end(&self, protocol: u8, address: Address, port: u16) -> u64 {
        if address.is_v4() {
            return self.ipv4(protocol, address.low_32(), port);
        }
        let [high, low] = address.halves();
        let ports = (port as u64) << 32 | (protocol as u64) << 48;
        self.word(ports ^ self.word(high ^ self.word(low)))
    }

    /// Hash of several words, each mixed into what came before it.
    #[inline]
    pub fn words(&self, words: &[u64]) -> u64 {
        words.iter().fold(0, |state: u64, word| self.word(word ^ state.rotate_left(23)))
    }

    /// Hash of one word.
    #[inline]
    const fn word(&self, word: u64) -> u64 {
        let once = fold(word ^ self.keys[0], self.keys[1]);
        fold(once ^ self.keys[2], 0xa076_1d64_78bd_642f)
    }
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the two halves of a product")]
const fn fold(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    product as u64 ^ (product >> 64) as u64
}

/// The same hash for `HashMap`s with short integer keys (the service index).
impl BuildHasher for FlowHasher {
    type Hasher = WordHasher;

    fn build_hasher(&self) -> WordHasher {
        WordHasher { hasher: *self, state: 0 }
    }
}

/// [`Hasher`] over words; see [`FlowHasher`].
#[derive(Clone, Copy, Debug)]
pub struct WordHasher {
    hasher: FlowHasher,
    state: u64,
}

impl Hasher for WordHasher {
    fn finish(&self) -> u64 {
        self.state
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }

    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    fn write_u128(&mut self, word: u128) {
        self.write_u64((word >> 64) as u64);
        self.write_u64(word as u64);
    }

    fn write_u64(&mut self, word: u64) {
        self.state = self.hasher.word(word ^ self.state.rotate_left(23));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Clients of one subnet and of consecutive ports must spread: the fullest of 4,096 buckets
    /// with 16 expected in each stays far below what a clustering hash would pile up.
    #[test]
    fn neighbours_spread() {
        let hasher = FlowHasher::new([1, 2, 3]);
        for shift in [0, 20, 48] {
            let mut buckets = [0_u32; 4096];
            for client in 0..256_u32 {
                for port in 0..256_u16 {
                    let hash = hasher.ipv4(6, 0x0a00_0000 + client, 1024 + port);
                    buckets[usize::try_from(hash >> shift & 4095).unwrap()] += 1;
                }
            }
            let fullest = buckets.iter().max().copied().unwrap_or(0);
            assert!(fullest < 48, "{fullest} of 65,536 flows share a bucket, 16 expected");
        }
    }

    #[test]
    fn keys_protocol_and_ports_matter() {
        let one = FlowHasher::new([1, 2, 3]);
        let other = FlowHasher::new([4, 5, 6]);
        assert_ne!(one.ipv4(6, 1, 1), other.ipv4(6, 1, 1));
        assert_ne!(one.ipv4(6, 1, 1), one.ipv4(17, 1, 1));
        assert_ne!(one.ipv4(6, 1, 1), one.ipv4(6, 1, 2));
        let v6 = |high: u64, low: u64| one.end(6, Address::from_halves([high, low]), 1);
        assert_ne!(v6(1, 2), v6(2, 1));
        assert_ne!(v6(1, 2), v6(1, 3));
        assert_eq!(one.end(6, Address::v4(1), 1), one.ipv4(6, 1, 1));
    }
}
