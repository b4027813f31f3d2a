//! What made destinations of a group more eligible for new connections: less load, a higher weight,
//! the end of an overload.

/// How often it happened, in the upper half, and in the lower one to whom: the last bytes of the
/// places of the last four, the latest one in the lowest byte. One word, so that any number of
/// readers can tell what they have missed. The count wraps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Falls(pub(crate) u64);

impl Falls {
    /// How many of the last ones are known by place.
    const REMEMBERED: u32 = 4;

    /// With one more, of the destination at a place.
    pub(crate) const fn and(self, place: u32) -> Self {
        let count = (self.0 >> 32).wrapping_add(1) << 32;
        Self(count | (self.0 << 8) & 0xffff_ff00 | (place & 0xff) as u64)
    }

    /// How often it happened.
    pub(crate) const fn count(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The last bytes of the places since the count was `seen`; `None` if there were too many.
    pub(crate) fn since(self, seen: u32) -> Option<impl Iterator<Item = u8>> {
        let missed = self.count().wrapping_sub(seen);
        let bytes = self.0.to_le_bytes().into_iter();
        (missed <= Self::REMEMBERED).then(|| bytes.take(missed as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_missed_is_known_if_it_is_little() {
        let falls = (0x1f0..0x1f6).fold(Falls(0xffff_fffd << 32), Falls::and);
        assert_eq!(falls.count(), 3);
        let since = |seen| falls.since(seen).map(Iterator::collect::<Vec<_>>);
        assert_eq!(since(3), Some(vec![]));
        assert_eq!(since(1), Some(vec![0xf5, 0xf4]));
        assert_eq!(since(u32::MAX), Some(vec![0xf5, 0xf4, 0xf3, 0xf2]));
        assert_eq!(since(u32::MAX - 1), None);
    }
}
