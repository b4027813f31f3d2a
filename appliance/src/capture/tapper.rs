//! What a worker does for captures. While there is none, that is one look at a number that nobody
//! writes, once in a turn. Nothing is allocated on the worker, nothing waits.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use lb_core::drops::DropReason;
use lb_core::frame::Frame;
use lb_core::interface::InterfaceId;
use lb_core::parse::{Class, Packet};
use lb_core::worker::{BURST_MAX, Verdict};

use super::FRAME_MAX;
use super::record::{Fate, Record, server_of};
use super::tap::{TAPS_MAX, Tap, Taps};

/// A worker's end of all captures.
#[derive(Debug)]
pub struct Tapper {
    all: Arc<Taps>,
    worker: usize,
    generation: u32,
    taps: Vec<Arc<Tap>>,
    /// The frames of a burst as they were received, one behind the other.
    copies: Vec<u8>,
    /// Where each ends in `copies`, and how long it was.
    ends: [(usize, usize); BURST_MAX],
    time_ns: u64,
    number: u64,
}

impl Tapper {
    /// Of that worker. Memory for the copies is set aside, and not touched before it is needed.
    pub fn new(all: Arc<Taps>, worker: usize) -> Self {
        Self {
            all,
            worker,
            generation: 0,
            taps: Vec::with_capacity(TAPS_MAX),
            copies: Vec::with_capacity(BURST_MAX * FRAME_MAX),
            ends: [(0, 0); BURST_MAX],
            time_ns: 0,
            number: 0,
        }
    }

    /// Takes up captures that have begun, and lets go of those that have ended: once in a turn.
    /// Returns whether there were any.
    #[inline]
    pub fn look(&mut self) -> bool {
        let is_changed = self.all.generation() != self.generation;
        if is_changed {
            self.take_up();
        }
        is_changed
    }

    #[cold]
    fn take_up(&mut self) {
        if let Some(generation) = self.all.read(&mut self.taps) {
            self.generation = generation;
            self.taps.iter().for_each(|tap| tap.take_up(self.worker));
        }
    }

    /// Whether anybody captures.
    #[inline]
    pub const fn is_on(&self) -> bool {
        !self.taps.is_empty()
    }

    /// Keeps a burst as it was received, before it is rewritten in place.
    #[cold]
    pub fn keep<'a>(&mut self, frames: impl Iterator<Item = &'a [u8]>) {
        self.time_ns = now_ns();
        self.copies.clear();
        for (frame, end) in frames.zip(&mut self.ends) {
            let bytes = &frame[..frame.len().min(FRAME_MAX)];
            // Within the capacity, so nothing is allocated.
            self.copies.extend_from_slice(bytes);
            *end = (self.copies.len(), frame.len());
        }
    }

    /// The frames of the burst that was kept have their verdicts, and are what they leave as.
    /// `from` is the port that they came in by.
    #[cold]
    pub fn judge<'a, F: Frame + 'a>(
        &mut self,
        from: InterfaceId,
        frames: impl Iterator<Item = (&'a Packet, &'a F)>,
        verdicts: &[Verdict],
    ) {
        for (place, ((packet, frame), verdict)) in frames.zip(verdicts).enumerate() {
            self.judge_one(place, from, packet, verdict, frame.bytes());
        }
    }

    /// What a filter takes in either form is captured in both.
    fn judge_one(
        &mut self,
        place: usize,
        from: InterfaceId,
        packet: &Packet,
        verdict: &Verdict,
        frame: &[u8],
    ) {
        let begin = place.checked_sub(1).map_or(0, |before| self.ends[before].0);
        let (end, length) = self.ends[place];
        let received = &self.copies[begin..end];
        self.number += 1;
        let sent = match *verdict {
            Verdict::Send(interface) | Verdict::Answer(interface, _) => Some(interface),
            _ => None,
        };
        // A frame in several buffers is not read.
        let is_read = packet.class != Class::Drop(DropReason::SegmentedFrame);
        let record = Record {
            time_ns: self.time_ns,
            number: self.number,
            interface: if is_read { packet.interface } else { from },
            is_sent: false,
            fate: Fate::of(verdict, packet.class),
            server: server_of(verdict, packet),
            length: u32::try_from(length).unwrap_or(u32::MAX),
            captured: 0,
        };
        for tap in &self.taps {
            let is_wanted =
                tap.takes(received, length) || sent.is_some() && tap.takes(frame, frame.len());
            if !is_wanted {
                continue;
            }
            tap.put(self.worker, &record, received);
            if let Some(interface) = sent {
                let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
                let record = Record { interface, is_sent: true, length, ..record };
                tap.put(self.worker, &record, frame);
            }
        }
    }

    /// A frame leaves that is none of the burst as it was received.
    #[cold]
    pub fn sent(&self, interface: InterfaceId, fate: Fate, frame: &[u8]) {
        let record = Record {
            time_ns: now_ns(),
            number: 0,
            interface,
            is_sent: true,
            fate,
            server: None,
            length: u32::try_from(frame.len()).unwrap_or(u32::MAX),
            captured: 0,
        };
        for tap in &self.taps {
            if tap.takes(frame, frame.len()) {
                tap.put(self.worker, &record, frame);
            }
        }
    }
}

/// Nanoseconds since 1970.
fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
