//! Pools of packet buffers.

use std::ffi::CString;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::eal::{Eal, Runtime};
use super::errno::Errno;

/// The bytes that a normal buffer has for a frame: enough for an MTU of 1,500 with room to spare.
pub const DATA_ROOM: u16 = 2048;

/// How a pool is made.
#[derive(Debug, Clone)]
pub struct MempoolConfig<'a> {
    /// Its name, unique in the process and shorter than 26 characters.
    pub name: &'a str,
    /// How many buffers it has. `2^n - 1` wastes no memory.
    pub mbufs: u32,
    /// How many buffers each lcore may keep for itself: at most 512, and less than two thirds of
    /// all. Getting a buffer from there costs no atomic operation.
    pub cache: u32,
    /// Bytes for a frame in each buffer; DPDK's head room comes on top.
    pub data_room: u16,
    /// The NUMA node of its memory, or `None` for any.
    pub socket: Option<u16>,
}

/// A pool of packet buffers. Clones are the same pool; it is freed with the last of them.
#[derive(Debug, Clone)]
pub struct Mempool(Arc<Pool>);

/// Why a pool could not be made.
#[derive(Debug, thiserror::Error)]
pub enum MempoolError {
    /// A name that DPDK cannot take.
    #[error("buffer pool {0:?}: a name has no zero byte in it")]
    Name(String),
    /// More room than an mbuf can count.
    #[error("buffer pool {name:?}: {data_room} bytes for a frame are more than {data_room_max}")]
    DataRoom {
        /// The pool.
        name: String,
        /// Bytes asked for.
        data_room: u16,
        /// The most that there can be.
        data_room_max: u16,
    },
    /// Mostly: not enough memory.
    #[error(
        "buffer pool {name:?} of {mbufs} buffers cannot be made: {errno} (about {mib} MiB of \
         DPDK's memory are needed for it)"
    )]
    Create {
        /// The pool.
        name: String,
        /// Buffers asked for.
        mbufs: u32,
        /// About what they take.
        mib: u64,
        /// What DPDK said.
        errno: Errno,
    },
}

impl Mempool {
    /// Makes a pool and all of its buffers.
    ///
    /// # Errors
    ///
    /// Mostly where DPDK was not given enough memory for it.
    pub fn new(eal: &Eal, config: &MempoolConfig<'_>) -> Result<Self, MempoolError> {
        let &MempoolConfig { mbufs, cache, data_room, .. } = config;
        let name = config.name.to_owned();
        let c_name = CString::new(config.name).map_err(|_| MempoolError::Name(name.clone()))?;
        let data_room_max = u16::MAX - dpdk_sys::SHIM_PKTMBUF_HEADROOM;
        if data_room > data_room_max {
            return Err(MempoolError::DataRoom { name, data_room, data_room_max });
        }
        let buffer_bytes = data_room + dpdk_sys::SHIM_PKTMBUF_HEADROOM;
        let socket = config.socket.map_or(dpdk_sys::SHIM_SOCKET_ID_ANY, i32::from);
        // SAFETY: the EAL is set up, and the name is a C string, which is copied.
        let pool = unsafe {
            dpdk_sys::rte_pktmbuf_pool_create(
                c_name.as_ptr(),
                mbufs,
                cache,
                0,
                buffer_bytes,
                socket,
            )
        };
        let Some(pool) = NonNull::new(pool) else {
            // An mbuf and the pool's own header take about 192 bytes.
            let mib = (u64::from(mbufs) * (u64::from(buffer_bytes) + 192)) >> 20;
            return Err(MempoolError::Create { name, mbufs, mib, errno: Errno::last() });
        };
        Ok(Self(Arc::new(Pool { pool, name, data_room, runtime: Arc::clone(&eal.runtime) })))
    }

    /// Buffers that are not in the pool: in a device's rings, or held by somebody. Walks all
    /// lcores' caches, so not for the packet path; and only exact while nobody takes or gives.
    #[must_use]
    pub fn in_use(&self) -> u32 {
        self.0.in_use()
    }

    /// Bytes for a frame in each buffer.
    #[must_use]
    pub fn data_room(&self) -> u16 {
        self.0.data_room
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    pub(super) fn as_ptr(&self) -> *mut dpdk_sys::rte_mempool {
        self.0.pool.as_ptr()
    }
}

#[derive(Debug)]
struct Pool {
    pool: NonNull<dpdk_sys::rte_mempool>,
    name: String,
    data_room: u16,
    runtime: Arc<Runtime>,
}

// SAFETY: a DPDK pool may be used by any thread at any time; it is freed by the last owner.
unsafe impl Send for Pool {}
// SAFETY: as above.
unsafe impl Sync for Pool {}

impl Pool {
    fn in_use(&self) -> u32 {
        // SAFETY: the pool lives as long as `self`.
        unsafe { dpdk_sys::rte_mempool_in_use_count(self.pool.as_ptr()) }
    }
}

impl Drop for Pool {
    /// Frees the pool, unless somebody still holds a buffer: an [`Mbuf`](super::mbuf::Mbuf) does
    /// not keep its pool alive, which would cost the packet path an atomic operation for each.
    fn drop(&mut self) {
        if self.in_use() > 0 {
            self.runtime.is_pinned.store(true, Ordering::Relaxed);
            return;
        }
        // SAFETY: all buffers are home, and without a handle nobody can take another.
        unsafe { dpdk_sys::rte_mempool_free(self.pool.as_ptr()) };
    }
}
