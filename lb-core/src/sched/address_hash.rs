//! The hash of an address that sh, dh, lblc and lblcr share with the kernel (`hash_32` of
//! `include/linux/hash.h`): multiplication by a constant close to 2^32 divided by the golden ratio
//! (Knuth, The Art of Computer Programming, volume 3, section 6.4). It has no secret: clients can
//! foresee their bucket, as they can in the kernel.

use crate::address::Address;

const GOLDEN_RATIO_32: u32 = 0x61c8_8647;

/// A bucket of 2^`bits`, `bits` 1 to 32.
pub(super) const fn hash_32(value: u32, bits: u32) -> u32 {
    value.wrapping_mul(GOLDEN_RATIO_32) >> (32 - bits)
}

/// An address as a number of 32 bits in host order: IPv6 is the exclusive or of its four words.
#[expect(clippy::cast_possible_truncation, reason = "the four words of a number")]
pub(super) const fn fold(address: Address) -> u32 {
    if address.is_v4() {
        return address.low_32();
    }
    let bits = address.bits();
    (bits >> 96) as u32 ^ (bits >> 64) as u32 ^ (bits >> 32) as u32 ^ bits as u32
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    /// Computed by the kernel.
    #[test]
    fn buckets_are_the_kernels() {
        for (address, port, of_8_bits, of_10_bits) in [
            ("10.0.1.2", 0, 82, 328),
            ("10.0.1.2", 40000, 246, 984),
            ("192.168.1.1", 0, 136, 547),
            ("1.2.3.4", 0, 52, 209),
            ("255.255.255.255", 65535, 194, 778),
        ] {
            let address: IpAddr = address.parse().unwrap();
            let number = fold(address.into()).wrapping_add(port);
            assert_eq!((hash_32(number, 8), hash_32(number, 10)), (of_8_bits, of_10_bits));
        }
        let address: IpAddr = "2001:db8::1".parse().unwrap();
        assert_eq!(fold(address.into()), 0x2001_0db9);
        assert_eq!(hash_32(0x2001_0db9, 8), 63);
    }
}
