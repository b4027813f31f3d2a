//! Buffers by the dozen: a burst as it was received, and what shall be dropped.

use super::mbuf::{Mbuf, MbufArray};
use super::queue::RxQueue;

pub use super::mbuf::MBUFS_MAX;

/// Up to [`MBUFS_MAX`] frames that were received at once. What nobody takes out is freed, in bulk,
/// by the next [`Burst::rx`] or with the burst.
#[derive(Debug)]
pub struct Burst(MbufArray);

impl Default for Burst {
    fn default() -> Self {
        Self::new()
    }
}

impl Burst {
    /// An empty burst.
    #[must_use]
    pub const fn new() -> Self {
        Self(MbufArray::new())
    }

    /// Receives what waits at `queue`, and returns how many frames that are. Frames left over from
    /// before are freed.
    #[inline]
    pub fn rx(&mut self, queue: &RxQueue) -> usize {
        self.0.free_all();
        queue.receive(&mut self.0);
        self.0.len()
    }

    /// The frames, in the order of their arrival.
    #[inline]
    #[must_use]
    pub fn frames(&self) -> &[Mbuf] {
        self.0.as_slice()
    }

    /// The same, to rewrite.
    #[inline]
    #[must_use]
    pub fn frames_mut(&mut self) -> &mut [Mbuf] {
        self.0.as_mut_slice()
    }

    /// For who sends it as a whole.
    #[inline]
    pub(super) fn array_mut(&mut self) -> &mut MbufArray {
        &mut self.0
    }

    /// Takes all frames out, one after the other, in order. What the iterator does not yield is
    /// freed in bulk.
    #[inline]
    pub fn drain(&mut self) -> Drain<'_> {
        let end = self.0.len();
        // SAFETY: no slot is claimed. Should the iterator be forgotten, its frames are lost, and
        // never freed twice.
        unsafe { self.0.set_len(0) };
        Drain { array: &mut self.0, next: 0, end }
    }

    /// Frees all frames, in bulk.
    #[inline]
    pub fn clear(&mut self) {
        self.0.free_all();
    }
}

/// See [`Burst::drain`].
#[derive(Debug)]
pub struct Drain<'a> {
    array: &'a mut MbufArray,
    next: usize,
    end: usize,
}

impl Iterator for Drain<'_> {
    type Item = Mbuf;

    #[inline]
    fn next(&mut self) -> Option<Mbuf> {
        if self.next == self.end {
            return None;
        }
        let slot = self.next;
        self.next += 1;
        // SAFETY: within the array, as `end` was its length.
        let place = unsafe { self.array.as_mut_ptr().add(slot) }.cast::<Mbuf>();
        // SAFETY: the slots `next..end` hold buffers; this one is given away once, as `next` moved.
        Some(unsafe { place.read() })
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.end - self.next, Some(self.end - self.next))
    }
}

impl ExactSizeIterator for Drain<'_> {}

impl Drop for Drain<'_> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the slots `next..end` hold buffers that were not given away.
        unsafe { self.array.set_len(self.end) };
        // SAFETY: as above; those before `next` were given away.
        unsafe { self.array.free_from(self.next) };
    }
}

/// Frames that are to be dropped: freed by [`MBUFS_MAX`] at once rather than one by one, which
/// saves about 3 ns for each.
#[derive(Debug)]
pub struct DropList(MbufArray);

impl Default for DropList {
    fn default() -> Self {
        Self::new()
    }
}

impl DropList {
    /// An empty list.
    #[must_use]
    pub const fn new() -> Self {
        Self(MbufArray::new())
    }

    /// Takes a frame, to be freed with others.
    #[inline]
    pub fn push(&mut self, mbuf: Mbuf) {
        if self.0.len() == MBUFS_MAX {
            self.0.free_all();
        }
        self.0.push(mbuf);
    }

    /// Frees all, and returns how many they were. To be called at the end of each burst, or the
    /// last frames wait for the next ones.
    #[inline]
    pub fn flush(&mut self) -> usize {
        let count = self.0.len();
        self.0.free_all();
        count
    }
}
