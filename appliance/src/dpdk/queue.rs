//! A port's queues, each for one thread at a time.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use super::mbuf::{MBUFS_MAX, MbufArray};
use super::port::OpenPort;

/// How many frames fit into one call; DPDK counts them with 16 bits.
const BURST: u16 = 64;
const _: () = assert!(BURST as usize == MBUFS_MAX);

/// A receive queue. It can move to another thread, but two cannot use it at once: there is one
/// handle for each queue, and the type is not `Sync`.
#[derive(Debug)]
pub struct RxQueue {
    port: Arc<OpenPort>,
    queue: u16,
    _one_thread: PhantomData<Cell<()>>,
}

/// A transmit queue; the same holds.
#[derive(Debug)]
pub struct TxQueue {
    port: Arc<OpenPort>,
    queue: u16,
    _one_thread: PhantomData<Cell<()>>,
}

impl RxQueue {
    pub(super) fn new(port: Arc<OpenPort>, queue: u16) -> Self {
        Self { port, queue, _one_thread: PhantomData }
    }

    /// Its index at the port.
    #[must_use]
    pub fn index(&self) -> u16 {
        self.queue
    }

    /// The name of its port.
    #[must_use]
    pub fn port_name(&self) -> &str {
        self.port.name()
    }

    /// Fills `array`, which has to be empty.
    #[inline]
    pub(super) fn receive(&self, array: &mut MbufArray) {
        debug_assert_eq!(array.len(), 0);
        let (port_id, slots) = (self.port.id(), array.as_mut_ptr());
        // SAFETY: the port is started for as long as a queue handle exists, nobody else uses this
        // queue, and there is room for BURST pointers.
        let count = unsafe { dpdk_sys::rte_eth_rx_burst(port_id, self.queue, slots, BURST) };
        // SAFETY: DPDK wrote that many pointers, to buffers that are ours now.
        unsafe { array.set_len(usize::from(count)) };
    }
}

impl TxQueue {
    pub(super) fn new(port: Arc<OpenPort>, queue: u16) -> Self {
        Self { port, queue, _one_thread: PhantomData }
    }

    /// Its index at the port.
    #[must_use]
    pub fn index(&self) -> u16 {
        self.queue
    }

    /// The name of its port.
    #[must_use]
    pub fn port_name(&self) -> &str {
        self.port.name()
    }

    /// Sends all of `array`, which is empty afterwards; returns how many the device took. It is
    /// asked again up to `retries_max` times while it takes nothing; the rest is freed.
    #[inline]
    fn send(&self, array: &mut MbufArray, retries_max: u32) -> usize {
        let total = array.len();
        let port_id = self.port.id();
        let (mut sent, mut retries) = (0, 0);
        while sent < total {
            // SAFETY: within the array.
            let first = unsafe { array.as_mut_ptr().add(sent) };
            #[expect(clippy::cast_possible_truncation, reason = "64 at most")]
            let count = (total - sent) as u16;
            // SAFETY: `count` buffers of ours; those that the device takes are its own from now on,
            // and are not touched here again. Nobody else uses this queue.
            let taken = unsafe { dpdk_sys::rte_eth_tx_burst(port_id, self.queue, first, count) };
            sent += usize::from(taken);
            if taken == 0 {
                if retries == retries_max {
                    break;
                }
                retries += 1;
                std::hint::spin_loop();
            }
        }
        // SAFETY: the device took the first `sent`; the others are still ours.
        unsafe { array.free_from(sent) };
        sent
    }
}

/// A transmit queue that several workers use in turn, where a device has fewer queues than there
/// are workers.
///
/// The lock is the standard library's mutex: it spins for a moment and then sleeps, which matters
/// where two lcores share a CPU and a spinning one would keep the holder from running.
#[derive(Debug, Clone)]
pub struct SharedTxQueue(Arc<Mutex<TxQueue>>);

impl SharedTxQueue {
    /// Puts a lock around a queue.
    #[must_use]
    pub fn new(queue: TxQueue) -> Self {
        Self(Arc::new(Mutex::new(queue)))
    }

    #[inline]
    fn send(&self, array: &mut MbufArray, retries_max: u32) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).send(array, retries_max)
    }
}

/// The way out of a port: a queue of one's own, or a share of one.
#[derive(Debug)]
pub enum TxPath {
    /// No lock.
    Own(TxQueue),
    /// One lock for each burst.
    Shared(SharedTxQueue),
}

impl TxPath {
    /// Sends all of `array`, see [`TxQueue::send`].
    #[inline]
    pub(super) fn send(&self, array: &mut MbufArray, retries_max: u32) -> usize {
        match self {
            Self::Own(queue) => queue.send(array, retries_max),
            Self::Shared(queue) => queue.send(array, retries_max),
        }
    }
}

impl From<TxQueue> for TxPath {
    fn from(queue: TxQueue) -> Self {
        Self::Own(queue)
    }
}

impl From<SharedTxQueue> for TxPath {
    fn from(queue: SharedTxQueue) -> Self {
        Self::Shared(queue)
    }
}

/// One way out for each of `workers`: queues of their own as long as there are enough for all,
/// else shared ones. Empty where there is no queue.
#[must_use]
pub fn tx_paths(queues: Vec<TxQueue>, workers: usize) -> Vec<TxPath> {
    if queues.len() >= workers {
        return queues.into_iter().take(workers).map(TxPath::Own).collect();
    }
    let shared: Vec<_> = queues.into_iter().map(SharedTxQueue::new).collect();
    shared.iter().cycle().take(workers).cloned().map(TxPath::Shared).collect()
}
