//! CRC32c (Castagnoli), as SCTP (RFC 9260 appendix A) and iSCSI (RFC 3720) use it.
//!
//! Eight bytes a step, by tables ("slicing by 8"). x86-64 and Arm have an instruction that is
//! several times faster, which safe code cannot reach; only packets whose port is rewritten need
//! the CRC at all.

/// The polynomial 0x1edc6f41 with its bits reversed.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// `TABLES[n][b]` is what byte `b` does to the remainder when `n` zero bytes follow it.
static TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut remainder = byte;
        let mut bit = 0;
        while bit < 8 {
            remainder =
                if remainder & 1 == 1 { remainder >> 1 ^ POLYNOMIAL } else { remainder >> 1 };
            bit += 1;
        }
        tables[0][byte as usize] = remainder;
        byte += 1;
    }
    let mut zeros = 1;
    while zeros < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[zeros - 1][byte];
            tables[zeros][byte] = before >> 8 ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        zeros += 1;
    }
    tables
}

/// A CRC in the making: parts one after another give that of the whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crc(u32);

impl Crc {
    pub(super) const START: Self = Self(u32::MAX);

    #[inline]
    #[must_use]
    pub(super) fn add_bytes(self, bytes: &[u8]) -> Self {
        let (eights, rest) = bytes.as_chunks::<8>();
        let mut remainder = self.0;
        for eight in eights {
            let [a, b, c, d, e, f, g, h] = *eight;
            let [r0, r1, r2, r3] = remainder.to_le_bytes();
            remainder = TABLES[7][usize::from(a ^ r0)]
                ^ TABLES[6][usize::from(b ^ r1)]
                ^ TABLES[5][usize::from(c ^ r2)]
                ^ TABLES[4][usize::from(d ^ r3)]
                ^ TABLES[3][usize::from(e)]
                ^ TABLES[2][usize::from(f)]
                ^ TABLES[1][usize::from(g)]
                ^ TABLES[0][usize::from(h)];
        }
        for byte in rest {
            let [low, ..] = remainder.to_le_bytes();
            remainder = remainder >> 8 ^ TABLES[0][usize::from(low ^ byte)];
        }
        Self(remainder)
    }

    #[inline]
    pub(super) const fn value(self) -> u32 {
        !self.0
    }
}

/// The CRC32c of `bytes`.
#[inline]
pub fn crc32c(bytes: &[u8]) -> u32 {
    Crc::START.add_bytes(bytes).value()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn examples_of_rfc_3720() {
        // Appendix B.4.
        let up: Vec<u8> = (0..32).collect();
        let down: Vec<u8> = (0..32).rev().collect();
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(&up), 0x46dd_794e);
        assert_eq!(crc32c(&down), 0x113f_db5c);
        // The check value of the catalogues.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    proptest! {
        #[test]
        fn steps_of_eight_are_bit_by_bit(
            bytes in proptest::collection::vec(any::<u8>(), 0..100), cut: prop::sample::Index,
        ) {
            let mut slow = u32::MAX;
            for byte in &bytes {
                slow ^= u32::from(*byte);
                for _ in 0..8 {
                    slow = slow >> 1 ^ if slow & 1 == 1 { POLYNOMIAL } else { 0 };
                }
            }
            prop_assert_eq!(crc32c(&bytes), !slow);
            let (head, tail) = bytes.split_at(cut.index(bytes.len() + 1));
            prop_assert_eq!(Crc::START.add_bytes(head).add_bytes(tail).value(), !slow);
        }
    }
}
