//! A capture under way: its filter, and for each worker a ring and what was lost there.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use lb_core::interface::InterfaceId;

use super::bpf::Program;
use super::record::Record;
use super::ring::Ring;
use crate::lock::lock;

/// Captures at a time.
pub const TAPS_MAX: usize = 4;
/// Interfaces that there can be.
const INTERFACES_MAX: usize = 256;

/// What a capture wants.
#[derive(Debug)]
pub struct Wanted {
    /// `None`: every frame.
    pub program: Option<Program>,
    /// `None`: of all interfaces.
    pub interfaces: Option<Vec<InterfaceId>>,
    /// Bytes of each frame.
    pub snaplen: usize,
    /// Bytes of each worker's ring.
    pub ring_bytes: usize,
}

/// A capture under way.
#[derive(Debug)]
pub struct Tap {
    program: Option<Program>,
    interfaces: Box<[bool; INTERFACES_MAX]>,
    snaplen: usize,
    lanes: Box<[Lane]>,
}

/// One worker's part.
#[derive(Debug)]
pub struct Lane {
    pub ring: Ring,
    /// Set by the worker when it has begun.
    is_taken_up: AtomicBool,
    /// Frames without room in the ring, by interface; stored by the worker alone.
    lost: Box<[AtomicU64]>,
}

impl Tap {
    /// A capture of what is wanted on so many workers; its memory is allocated now.
    pub fn new(wanted: Wanted, workers: usize) -> Self {
        let mut interfaces = Box::new([wanted.interfaces.is_none(); INTERFACES_MAX]);
        for id in wanted.interfaces.iter().flatten() {
            interfaces[usize::from(id.0)] = true;
        }
        let lane = |_| Lane {
            ring: Ring::new(wanted.ring_bytes),
            is_taken_up: AtomicBool::new(false),
            lost: (0..INTERFACES_MAX).map(|_| AtomicU64::new(0)).collect(),
        };
        Self {
            program: wanted.program,
            interfaces,
            snaplen: wanted.snaplen,
            lanes: (0..workers).map(lane).collect(),
        }
    }

    /// Each worker's part.
    pub fn lanes(&self) -> &[Lane] {
        &self.lanes
    }

    /// Whether all workers have begun.
    pub fn is_taken_up(&self) -> bool {
        self.lanes.iter().all(|lane| lane.is_taken_up.load(Ordering::Acquire))
    }

    /// A worker begins.
    pub fn take_up(&self, worker: usize) {
        self.lanes[worker].is_taken_up.store(true, Ordering::Release);
    }

    /// Frames of an interface that found no room.
    pub fn lost(&self, interface: InterfaceId) -> u64 {
        let of = |lane: &Lane| lane.lost[usize::from(interface.0)].load(Ordering::Relaxed);
        self.lanes.iter().map(of).sum()
    }

    /// Whether the filter takes a frame of `length` bytes that begins so.
    #[inline]
    pub fn takes(&self, frame: &[u8], length: usize) -> bool {
        self.program.as_ref().is_none_or(|program| program.takes(frame, length))
    }

    /// Puts a frame into the worker's ring, if it is of an interface that is wanted.
    pub fn put(&self, worker: usize, record: &Record, frame: &[u8]) {
        let interface = usize::from(record.interface.0);
        if !self.interfaces[interface] {
            return;
        }
        let bytes = &frame[..frame.len().min(self.snaplen)];
        let captured = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let lane = &self.lanes[worker];
        if !(Record { captured, ..*record }).write(bytes, &lane.ring) {
            let lost = &lane.lost[interface];
            // One writer: no read-modify-write is needed.
            lost.store(lost.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
    }
}

/// All captures under way, as workers find them.
#[derive(Debug, Default)]
pub struct Taps {
    taps: Mutex<Vec<Arc<Tap>>>,
    /// Counts changes of the list: all that a worker looks at while there is none.
    generation: AtomicU32,
}

impl Taps {
    /// Begins a capture; back it comes where there are as many as there may be.
    ///
    /// # Errors
    ///
    /// See above.
    pub fn begin(&self, tap: Arc<Tap>) -> Result<(), Arc<Tap>> {
        let mut taps = lock(&self.taps);
        if taps.len() >= TAPS_MAX {
            return Err(tap);
        }
        taps.push(tap);
        self.generation.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Ends a capture. Workers let go of it at their next turn.
    pub fn end(&self, tap: &Arc<Tap>) {
        lock(&self.taps).retain(|it| !Arc::ptr_eq(it, tap));
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// How often the list has changed.
    #[inline]
    pub fn generation(&self) -> u32 {
        self.generation.load(Ordering::Relaxed)
    }

    /// The list becomes `into`, which has room for [`TAPS_MAX`]. Returns its generation; `None`,
    /// and no change, while somebody changes it.
    pub fn read(&self, into: &mut Vec<Arc<Tap>>) -> Option<u32> {
        // A worker waits for nobody: it asks again in its next turn.
        let taps = self.taps.try_lock().ok()?;
        into.clear();
        into.extend(taps.iter().map(Arc::clone));
        Some(self.generation.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::record::Fate;

    fn tap(wanted: Option<Vec<InterfaceId>>) -> Tap {
        let wanted = Wanted { program: None, interfaces: wanted, snaplen: 16, ring_bytes: 16 * 8 };
        Tap::new(wanted, 2)
    }

    const fn record(interface: u8) -> Record {
        Record {
            time_ns: 1,
            number: 1,
            interface: InterfaceId(interface),
            is_sent: false,
            fate: Fate::Made,
            server: None,
            length: 60,
            captured: 0,
        }
    }

    #[test]
    fn what_finds_no_room_is_counted_by_interface() {
        let tap = tap(None);
        for _ in 0..5 {
            tap.put(1, &record(3), &[9; 60]);
        }
        // Four words and two of sixteen bytes each: two records fit.
        assert_eq!((tap.lost(InterfaceId(3)), tap.lost(InterfaceId(2))), (3, 0));
        assert!(tap.lanes()[0].ring.filled() == 0);
        let mut bytes = Vec::new();
        let read = Record::read(&tap.lanes()[1].ring, &mut bytes).unwrap();
        assert_eq!((read.captured, read.length, bytes.len()), (16, 60, 16));
    }

    #[test]
    fn other_interfaces_are_left_out() {
        let tap = tap(Some(vec![InterfaceId(2)]));
        for interface in 0..4 {
            tap.put(0, &record(interface), &[9; 8]);
        }
        let read = Record::read(&tap.lanes()[0].ring, &mut Vec::new()).unwrap();
        assert_eq!(read.interface, InterfaceId(2));
        assert_eq!(tap.lanes()[0].ring.filled(), 0);
    }

    #[test]
    fn captures_begin_and_end() {
        let taps = Taps::default();
        let all: Vec<_> = (0..=TAPS_MAX).map(|_| Arc::new(tap(None))).collect();
        for tap in &all[..TAPS_MAX] {
            taps.begin(Arc::clone(tap)).unwrap();
        }
        assert!(taps.begin(Arc::clone(&all[TAPS_MAX])).is_err());
        let mut seen = Vec::with_capacity(TAPS_MAX);
        assert_eq!(taps.read(&mut seen), Some(taps.generation()));
        assert_eq!(seen.len(), TAPS_MAX);
        taps.end(&all[1]);
        assert_ne!(taps.read(&mut seen), None);
        assert!(seen.iter().all(|tap| !Arc::ptr_eq(tap, &all[1])));
    }
}
