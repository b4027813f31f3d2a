//! Numbers by chance, the same for the same seed.

/// A generator of numbers (`splitmix64` by Sebastiano Vigna, in the public domain).
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of a range.
    pub(crate) fn within(&mut self, range: std::ops::Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start)
    }

    /// Whether something happens that does so `percent` times of 100.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.within(0..100) < percent
    }

    /// One of some.
    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        let at = self.within(0..u64::try_from(of.len()).expect("few"));
        &of[usize::try_from(at).expect("few")]
    }

    /// The place of one of `count`.
    pub(crate) fn place(&mut self, count: usize) -> usize {
        usize::try_from(self.within(0..u64::try_from(count).expect("few"))).expect("few")
    }
}
