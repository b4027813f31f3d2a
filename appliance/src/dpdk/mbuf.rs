//! One packet buffer, owned.

use std::mem;
use std::ptr::NonNull;
use std::slice;

use dpdk_sys::rte_mbuf;
use lb_core::frame::Frame;

use super::mempool::Mempool;

/// A packet buffer with a frame in it. Dropping it gives it back to its pool; where there are many
/// to drop, [`DropList`](super::burst::DropList) does that in bulk.
///
/// As a [`Frame`] it is its first segment. Ports are set up so that frames have one segment; who
/// gets frames from a driver that does not keep to that looks at [`Mbuf::segments`].
#[derive(Debug)]
#[repr(transparent)]
pub struct Mbuf(NonNull<rte_mbuf>);

// Arrays of these are handed to DPDK as arrays of pointers.
const _: () = assert!(size_of::<Mbuf>() == size_of::<*mut rte_mbuf>());

// SAFETY: a buffer belongs to whoever holds the pointer; no thread is special to it.
unsafe impl Send for Mbuf {}

impl Mbuf {
    /// An empty buffer with DPDK's usual head room; `None` where the pool has none left.
    #[must_use]
    pub fn alloc(pool: &Mempool) -> Option<Self> {
        let mut mbuf = std::ptr::null_mut();
        // SAFETY: the pool lives, and there is a place for one pointer.
        let result = unsafe { dpdk_sys::rte_pktmbuf_alloc_bulk(pool.as_ptr(), &raw mut mbuf, 1) };
        if result == 0 { NonNull::new(mbuf).map(Self) } else { None }
    }

    /// Makes the frame of `parts`, one behind the other; `false` where they do not fit.
    #[must_use]
    pub fn copy_parts(&mut self, parts: &[&[u8]]) -> bool {
        let length = parts.iter().map(|part| part.len()).sum();
        if !self.resize(length) {
            return false;
        }
        let mut rest = self.bytes_mut();
        for part in parts {
            let Some((place, behind)) = rest.split_at_mut_checked(part.len()) else { return false };
            place.copy_from_slice(part);
            rest = behind;
        }
        true
    }

    /// Of how many buffers the frame is made.
    #[inline]
    #[must_use]
    pub fn segments(&self) -> u16 {
        self.read(dpdk_sys::SHIM_MBUF_NB_SEGS)
    }

    /// Bytes that can be put in front of the frame.
    #[inline]
    #[must_use]
    pub fn head_room(&self) -> usize {
        usize::from(self.read::<u16>(dpdk_sys::SHIM_MBUF_DATA_OFF))
    }

    #[inline]
    fn data(&self) -> *mut u8 {
        let buffer: *mut u8 = self.read(dpdk_sys::SHIM_MBUF_BUF_ADDR);
        // SAFETY: DPDK keeps data_off within the buffer, and so does `prepend`.
        unsafe { buffer.add(self.head_room()) }
    }

    #[inline]
    fn data_bytes(&self) -> u16 {
        self.read(dpdk_sys::SHIM_MBUF_DATA_LEN)
    }

    /// Reads the field at `offset`, one of `dpdk_sys::SHIM_MBUF_*`.
    #[inline]
    fn read<T: Copy>(&self, offset: usize) -> T {
        const { assert!(size_of::<T>() <= 8) };
        // SAFETY: the field is within the mbuf.
        let field = unsafe { self.0.as_ptr().byte_add(offset) }.cast::<T>();
        // SAFETY: wrapper.h asserts the width of each field; the mbuf is ours.
        unsafe { field.read() }
    }

    /// Writes the field at `offset`, one of `dpdk_sys::SHIM_MBUF_*`.
    #[inline]
    fn write<T: Copy>(&mut self, offset: usize, value: T) {
        const { assert!(size_of::<T>() <= 8) };
        // SAFETY: as in `read`.
        let field = unsafe { self.0.as_ptr().byte_add(offset) }.cast::<T>();
        // SAFETY: as in `read`, and nobody else may read it meanwhile.
        unsafe { field.write(value) }
    }
}

impl Frame for Mbuf {
    #[inline]
    fn is_whole(&self) -> bool {
        self.segments() == 1
    }

    #[inline(always)]
    fn bytes(&self) -> &[u8] {
        // SAFETY: DPDK keeps data_len bytes from there on within the buffer, which is ours. They
        // were all written at some time: pools are made of zero-filled memory.
        unsafe { slice::from_raw_parts(self.data(), usize::from(self.data_bytes())) }
    }

    #[inline(always)]
    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`. Nothing here makes two mbufs of one buffer (no clones).
        unsafe { slice::from_raw_parts_mut(self.data(), usize::from(self.data_bytes())) }
    }

    #[inline]
    fn prepend(&mut self, bytes: usize) -> Option<&mut [u8]> {
        let more = u16::try_from(bytes).ok()?;
        let data_off = self.read::<u16>(dpdk_sys::SHIM_MBUF_DATA_OFF).checked_sub(more)?;
        let data_len = self.data_bytes().checked_add(more)?;
        let pkt_len = self.read::<u32>(dpdk_sys::SHIM_MBUF_PKT_LEN) + u32::from(more);
        self.write(dpdk_sys::SHIM_MBUF_DATA_OFF, data_off);
        self.write(dpdk_sys::SHIM_MBUF_DATA_LEN, data_len);
        self.write(dpdk_sys::SHIM_MBUF_PKT_LEN, pkt_len);
        self.bytes_mut().get_mut(..bytes)
    }

    #[inline]
    fn resize(&mut self, bytes: usize) -> bool {
        let room = self.read::<u16>(dpdk_sys::SHIM_MBUF_BUF_LEN);
        let room = usize::from(room).saturating_sub(self.head_room());
        let Ok(data_len) = u16::try_from(bytes) else {
            return false;
        };
        if bytes > room || self.segments() != 1 {
            return false;
        }
        self.write(dpdk_sys::SHIM_MBUF_DATA_LEN, data_len);
        self.write(dpdk_sys::SHIM_MBUF_PKT_LEN, u32::from(data_len));
        true
    }

    #[inline]
    fn prefetch(&self) {
        #[cfg(target_arch = "x86_64")]
        {
            use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: a hint to the CPU, which ignores addresses that it cannot read.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(self.data().cast()) };
        }
    }
}

impl Drop for Mbuf {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: ours until here, and all of its segments.
        unsafe { dpdk_sys::rte_pktmbuf_free(self.0.as_ptr()) };
    }
}

/// Up to `MBUFS_MAX` buffers side by side, as DPDK's bulk functions want them.
#[derive(Debug)]
pub(super) struct MbufArray {
    len: usize,
    slots: [mem::MaybeUninit<Mbuf>; MBUFS_MAX],
}

/// How many buffers are received, sent and freed at once at most.
pub const MBUFS_MAX: usize = 64;

impl MbufArray {
    pub(super) const fn new() -> Self {
        Self { len: 0, slots: [const { mem::MaybeUninit::uninit() }; MBUFS_MAX] }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn as_slice(&self) -> &[Mbuf] {
        // SAFETY: the first `len` slots hold buffers.
        unsafe { slice::from_raw_parts(self.slots.as_ptr().cast(), self.len) }
    }

    #[inline]
    pub(super) fn as_mut_slice(&mut self) -> &mut [Mbuf] {
        // SAFETY: the first `len` slots hold buffers.
        unsafe { slice::from_raw_parts_mut(self.slots.as_mut_ptr().cast(), self.len) }
    }

    /// Appends. The caller looks at `len` before: a full array takes no more.
    #[inline]
    pub(super) fn push(&mut self, mbuf: Mbuf) {
        self.slots[self.len].write(mbuf);
        self.len += 1;
    }

    /// Where DPDK writes pointers to received buffers, `MBUFS_MAX` at most; to be followed by
    /// `set_len`. The array has to be empty, or what it holds is lost.
    #[inline]
    pub(super) fn as_mut_ptr(&mut self) -> *mut *mut rte_mbuf {
        self.slots.as_mut_ptr().cast()
    }

    /// # Safety
    ///
    /// The first `len` slots hold buffers, and they are the array's own.
    #[inline]
    pub(super) unsafe fn set_len(&mut self, len: usize) {
        debug_assert!(len <= MBUFS_MAX);
        self.len = len;
    }

    /// Frees all from `from` on, in bulk, and leaves the array empty: those before `from` must
    /// have been given away.
    ///
    /// # Safety
    ///
    /// The slots `from..len` hold buffers of the array's own.
    #[inline]
    pub(super) unsafe fn free_from(&mut self, from: usize) {
        let count = self.len.saturating_sub(from);
        self.len = 0;
        if count > 0 {
            let first = self.slots[from..].as_mut_ptr().cast();
            // `count` is at most MBUFS_MAX.
            #[expect(clippy::cast_possible_truncation, reason = "64 at most")]
            let count = count as u32;
            // SAFETY: `count` pointers to buffers that the caller says are ours.
            unsafe { dpdk_sys::rte_pktmbuf_free_bulk(first, count) };
        }
    }

    /// Frees all, in bulk.
    #[inline]
    pub(super) fn free_all(&mut self) {
        // SAFETY: the first `len` slots hold buffers.
        unsafe { self.free_from(0) };
    }
}

impl Drop for MbufArray {
    fn drop(&mut self) {
        self.free_all();
    }
}
