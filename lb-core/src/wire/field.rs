//! Windows of fixed size, and big-endian numbers in them.
//!
//! An index that is a constant below the array's length costs no bounds check. That is why the
//! views are over arrays, and why these helpers are generic over the array's length.

/// `N` bytes from `offset` on, if they are there.
#[inline]
pub fn window<const N: usize>(bytes: &[u8], offset: usize) -> Option<&[u8; N]> {
    bytes.get(offset..)?.first_chunk()
}

/// `N` bytes from `offset` on, to write.
#[inline]
pub fn window_mut<const N: usize>(bytes: &mut [u8], offset: usize) -> Option<&mut [u8; N]> {
    bytes.get_mut(offset..)?.first_chunk_mut()
}

/// A big-endian 16-bit field. `at` is a constant of the caller, at most `N` - 2.
#[inline]
pub(super) const fn be16<const N: usize>(bytes: &[u8; N], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// A big-endian 32-bit field. `at` is a constant of the caller, at most `N` - 4.
#[inline]
pub(super) const fn be32<const N: usize>(bytes: &[u8; N], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Six bytes of a link-layer address. `at` is a constant of the caller, at most `N` - 6.
#[inline]
pub(super) fn six<const N: usize>(bytes: &[u8; N], at: usize) -> [u8; 6] {
    let mut value = [0; 6];
    value.copy_from_slice(&bytes[at..at + 6]);
    value
}

/// Sixteen bytes of an IPv6 address. `at` is a constant of the caller, at most `N` - 16.
#[inline]
pub(super) fn sixteen<const N: usize>(bytes: &[u8; N], at: usize) -> [u8; 16] {
    let mut value = [0; 16];
    value.copy_from_slice(&bytes[at..at + 16]);
    value
}

/// Writes `value` from `at` on; both are constants of the caller and fit.
#[inline]
pub(super) fn put<const N: usize, const M: usize>(bytes: &mut [u8; N], at: usize, value: [u8; M]) {
    bytes[at..at + M].copy_from_slice(&value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn window_needs_all_its_bytes() {
        let bytes = [1, 2, 3, 4];
        assert_eq!(window::<2>(&bytes, 2), Some(&[3, 4]));
        assert_eq!(window::<2>(&bytes, 3), None);
        assert_eq!(window::<2>(&bytes, 5), None);
        assert_eq!(window::<2>(&bytes, usize::MAX), None);
        assert_eq!(window_mut::<3>(&mut [0; 2], 0), None);
    }

    #[test]
    fn numbers_are_big_endian() {
        let mut bytes = [0; 8];
        put(&mut bytes, 1, 0x1234_u16.to_be_bytes());
        put(&mut bytes, 4, 0x5678_9abc_u32.to_be_bytes());
        assert_eq!(bytes, [0, 0x12, 0x34, 0, 0x56, 0x78, 0x9a, 0xbc]);
        assert_eq!(be16(&bytes, 1), 0x1234);
        assert_eq!(be32(&bytes, 4), 0x5678_9abc);
    }
}
