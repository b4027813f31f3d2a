//! Frames that wait to leave through one queue, so that they leave together.

use super::burst::Burst;
use super::mbuf::{MBUFS_MAX, Mbuf, MbufArray};
use super::queue::TxPath;

/// How often a device that takes nothing is asked again before the frames are dropped. A device
/// whose ring is full sends a frame in some tens of nanoseconds, so a few tries ride out a short
/// jam; more would only stall the receiving side, where the loss would happen instead.
const RETRIES_MAX: u32 = 3;

/// What became of frames since it was last asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TxCounts {
    /// Taken by the device.
    pub sent: u64,
    /// Not taken by the device, and dropped.
    pub failed: u64,
}

/// Frames for one egress queue.
#[derive(Debug)]
pub struct TxBuffer {
    path: TxPath,
    waiting: MbufArray,
    counts: TxCounts,
}

impl TxBuffer {
    /// An empty buffer in front of a queue, a worker's own or a shared one.
    #[must_use]
    pub fn new(path: impl Into<TxPath>) -> Self {
        Self { path: path.into(), waiting: MbufArray::new(), counts: TxCounts::default() }
    }

    /// Takes a frame; sends all at once when [`MBUFS_MAX`] wait.
    #[inline]
    pub fn push(&mut self, mbuf: Mbuf) {
        self.waiting.push(mbuf);
        if self.waiting.len() == MBUFS_MAX {
            self.send();
        }
    }

    /// Sends a whole burst, behind what waits.
    #[inline]
    pub fn send_all(&mut self, burst: &mut Burst) {
        if self.waiting.len() > 0 {
            self.send();
        }
        let frames = burst.array_mut();
        let total = frames.len();
        let sent = self.path.send(frames, RETRIES_MAX);
        self.counts.sent += sent as u64;
        self.counts.failed += (total - sent) as u64;
    }

    /// Sends what waits, and returns what became of all frames since the last call. To be called
    /// at the end of each burst.
    #[inline]
    pub fn flush(&mut self) -> TxCounts {
        if self.waiting.len() > 0 {
            self.send();
        }
        std::mem::take(&mut self.counts)
    }

    /// Frames that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn send(&mut self) {
        let waiting = self.waiting.len();
        let sent = self.path.send(&mut self.waiting, RETRIES_MAX);
        self.counts.sent += sent as u64;
        self.counts.failed += (waiting - sent) as u64;
    }
}

impl Drop for TxBuffer {
    /// What still waits was meant to be sent.
    fn drop(&mut self) {
        self.flush();
    }
}
