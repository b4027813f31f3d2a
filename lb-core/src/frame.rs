//! What the core sees of a frame: bytes with head room, nothing else.

/// An Ethernet frame in some buffer: an mbuf under DPDK, a `Vec` in tests, a fuzzer's input.
///
/// Static dispatch only; the packet path is compiled once for each kind of buffer.
pub trait Frame {
    /// The whole frame from the destination MAC on, without FCS.
    fn bytes(&self) -> &[u8];

    /// The same bytes, to rewrite in place.
    fn bytes_mut(&mut self) -> &mut [u8];

    /// Grows the frame by `bytes` at its front, for encapsulation. The new bytes hold anything.
    /// `None`, and no change, where the head room is too small.
    fn prepend(&mut self, bytes: usize) -> Option<&mut [u8]>;

    /// Cuts or grows the frame at its end to `bytes`. New bytes hold anything. `false`, and no
    /// change, where the buffer is too small.
    #[must_use]
    fn resize(&mut self, bytes: usize) -> bool;

    /// Whether [`Frame::bytes`] is all of the frame: a buffer that is a chain of pieces is not
    /// forwarded.
    #[inline]
    fn is_whole(&self) -> bool {
        true
    }

    /// Asks the CPU for the first line of the frame. Buffers that are hot anyway need not.
    #[inline]
    fn prefetch(&self) {}
}
