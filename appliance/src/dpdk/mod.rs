//! DPDK's nouns, safe to use.
//!
//! # Who owns what
//!
//! - **A frame has one owner.** [`Mbuf`] is the pointer and the duty to free it. A [`Burst`] owns
//!   what it received until it is drained; a [`TxBuffer`] owns what was pushed until the device
//!   takes it; a [`DropList`] frees in bulk. Nothing here clones a buffer, so `&mut` to a frame's
//!   bytes is what it says.
//! - **DPDK lives as long as anything made from it.** Ports, queues and pools hold on to the
//!   [`Eal`] and to each other in the order in which they must go. Buffers do not hold on to their
//!   pool, since that would cost an atomic operation for each packet: a pool that is let go while
//!   buffers are out stays allocated instead, and DPDK's memory with it. Keep the pools until all
//!   ports are gone, as a buffer of one port's pool may wait in another port's ring.
//!
//! # Which thread may call what
//!
//! - [`Eal`] stays on the thread that made it, DPDK's main lcore, which alone starts workers.
//! - [`RxQueue`] and [`TxQueue`] may move to another thread but are not `Sync`, and there is one
//!   handle for each queue: so no two threads can use a queue at once. Workers that have to share
//!   a transmit queue do so through [`SharedTxQueue`].
//! - A queue handle exists only while its port is started, and [`Port::stop`] refuses while there
//!   is one: so no burst runs into a stopped device.
//! - [`Mempool`] and buffers may be used from any thread. On a worker's lcore that is fast, as
//!   each has a cache of buffers; elsewhere each buffer costs some 7 ns more.
//!
//! # A worker
//!
//! ```no_run
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicBool, Ordering};
//!
//! use appliance::dpdk::{
//!     Burst, DropList, Eal, EalConfig, Mempool, MempoolConfig, Port, PortConfig, TxBuffer, lcore,
//!     mempool, queue,
//! };
//! use lb_core::frame::Frame;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let eal = Eal::init(&EalConfig {
//!     memory_mib: 256,
//!     vdevs: vec!["net_af_packet0,iface=lan0".to_owned()],
//!     worker_cpus: vec![0, 1],
//!     ..EalConfig::default()
//! })?;
//! let pool = Mempool::new(&eal, &MempoolConfig {
//!     name: "frames",
//!     mbufs: 16_383,
//!     cache: 256,
//!     data_room: mempool::DATA_ROOM,
//!     socket: None,
//! })?;
//! let workers = eal.worker_count();
//! let mut port = Port::configure(&eal, &PortConfig {
//!     name: "lan",
//!     device: "net_af_packet0",
//!     rx_queues: 2,
//!     tx_queues: 2,
//!     rx_descriptors: 1024,
//!     tx_descriptors: 1024,
//!     mtu: 1500,
//!     promiscuous: false,
//!     pool: pool.clone(),
//! })?;
//! let queues = port.start()?;
//! let is_stopping = Arc::new(AtomicBool::new(false));
//! // This port got one queue of each kind, perhaps: worker 0 receives, both may send.
//! let mut rx_queues = queues.rx.into_iter();
//! for (worker, path) in queue::tx_paths(queues.tx, workers).into_iter().enumerate() {
//!     let rx_queue = rx_queues.next();
//!     let is_stopping = Arc::clone(&is_stopping);
//!     lcore::launch(&eal, worker, Box::new(move || {
//!         let (mut burst, mut tx, mut dropped) =
//!             (Burst::new(), TxBuffer::new(path), DropList::new());
//!         while !is_stopping.load(Ordering::Relaxed) {
//!             let Some(queue) = &rx_queue else { break };
//!             burst.rx(queue);
//!             for frame in burst.frames() {
//!                 frame.prefetch();
//!             }
//!             // ... stages over `burst.frames_mut()` write a verdict for each frame ...
//!             for mbuf in burst.drain() {
//!                 if mbuf.segments() == 1 && mbuf.bytes().len() >= 14 {
//!                     tx.push(mbuf);
//!                 } else {
//!                     dropped.push(mbuf);
//!                 }
//!             }
//!             let _counts = tx.flush();
//!             dropped.flush();
//!         }
//!     }))?;
//! }
//! // ... until it is time to go ...
//! is_stopping.store(true, Ordering::Relaxed);
//! lcore::wait_all(&eal);
//! port.stop()?;
//! # Ok(())
//! # }
//! ```

mod attach;
pub mod burst;
pub mod clock;
pub mod device;
pub mod eal;
pub mod errno;
pub mod lcore;
pub mod mbuf;
pub mod memory;
pub mod mempool;
pub mod port;
pub mod queue;
pub mod queue_stats;
pub mod tx_buffer;
pub mod unplug;

pub use attach::Attach;
pub use burst::{Burst, Drain, DropList};
pub use eal::{Eal, EalConfig, EalError, Hugepages};
pub use errno::Errno;
pub use mbuf::{MBUFS_MAX, Mbuf};
pub use memory::{MemoryError, Pages, Region, Zeroed, zeroed_region};
pub use mempool::{Mempool, MempoolConfig, MempoolError};
pub use port::{Link, Port, PortConfig, PortError, PortStats, Queues, RxFilter};
pub use queue::{RxQueue, SharedTxQueue, TxPath, TxQueue};
pub use queue_stats::QueueStats;
pub use tx_buffer::{TxBuffer, TxCounts};
