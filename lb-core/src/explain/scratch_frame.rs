//! A frame in ordinary memory, with room in front as an mbuf has.

use crate::frame::Frame;

/// Head room of an mbuf (`RTE_PKTMBUF_HEADROOM`).
const HEAD_ROOM: usize = 128;
/// The largest frame: more than any mbuf has room for.
const LENGTH_MAX: usize = 1 << 16;

/// A frame that is rewritten for nobody.
#[derive(Debug)]
pub(super) struct ScratchFrame {
    buffer: Vec<u8>,
    start: usize,
}

impl ScratchFrame {
    /// A copy of a frame.
    pub(super) fn new(bytes: &[u8]) -> Self {
        let mut buffer = vec![0; HEAD_ROOM];
        buffer.extend(bytes);
        Self { buffer, start: HEAD_ROOM }
    }
}

impl Frame for ScratchFrame {
    fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[self.start..]
    }

    fn prepend(&mut self, bytes: usize) -> Option<&mut [u8]> {
        self.start = self.start.checked_sub(bytes)?;
        self.buffer.get_mut(self.start..self.start + bytes)
    }

    fn resize(&mut self, bytes: usize) -> bool {
        let fits = bytes <= LENGTH_MAX;
        if fits {
            self.buffer.resize(self.start + bytes, 0);
        }
        fits
    }
}
