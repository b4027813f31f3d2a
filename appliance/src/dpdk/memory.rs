//! Large tables: zero-filled memory that lives as long as the process, on huge pages where there
//! are any.
//!
//! A table of hundreds of megabytes is touched at random, so with 4 KiB pages each access costs a
//! TLB miss on top of the cache miss. The pages are all made at once: a worker never waits for the
//! kernel to clear one.

use lb_core::flow::{Bucket, Cold, Entry};
use std::sync::atomic::{
    AtomicBool, AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize, AtomicU8, AtomicU16,
    AtomicU32, AtomicU64, AtomicUsize,
};
use std::{io, ptr, slice};

use super::eal::Hugepages;

/// The size, in bytes, of the huge pages used here, and the alignment of every region.
pub const HUGEPAGE_BYTES: usize = 2 << 20;

/// Types that may be shared among threads, are never dropped, and for which zero bytes are a
/// valid value.
///
/// # Safety
///
/// All-zero bytes must be a valid value of the type. (Padding may hold anything.)
pub unsafe trait Zeroed: Sync + 'static {}

/// One line for each type that tables are made of.
macro_rules! zeroed {
    ($($type:ty: $why:literal;)*) => { $(
        // SAFETY: as the list says for each type.
        unsafe impl Zeroed for $type {}
        const _: () = assert!(!std::mem::needs_drop::<$type>(), $why);
    )* };
}

zeroed! {
    AtomicBool: "zero is false";
    AtomicU8: "an integer";
    AtomicU16: "an integer";
    AtomicU32: "an integer";
    AtomicU64: "an integer";
    AtomicUsize: "an integer";
    AtomicI8: "an integer";
    AtomicI16: "an integer";
    AtomicI32: "an integer";
    AtomicI64: "an integer";
    AtomicIsize: "an integer";
    Bucket: "its documentation says so: atomic integers, zero is an empty bucket";
    Entry: "its documentation says so: atomic integers, zero is no connection";
    Cold: "its documentation says so: atomic integers";
}

// SAFETY: an array is its elements side by side.
unsafe impl<T: Zeroed, const N: usize> Zeroed for [T; N] {}

/// What kind of pages a region lies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pages {
    /// 2 MiB pages from the kernel's reserve.
    Huge,
    /// Normal memory, which the kernel was asked to put on huge pages where it finds any.
    Transparent,
}

/// Zero-filled memory, aligned to [`HUGEPAGE_BYTES`].
#[derive(Debug)]
pub struct Region<T: 'static> {
    /// The memory itself; it is never given back.
    pub slots: &'static [T],
    /// What it lies on.
    pub pages: Pages,
}

/// Why a region could not be made.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// Longer than an address space.
    #[error("{count} slots of {slot_bytes} bytes are more than this machine can address")]
    TooLarge {
        /// Slots asked for.
        count: usize,
        /// The size of one.
        slot_bytes: usize,
    },
    /// `Hugepages::Require`, and there are too few.
    #[error(
        "{mib} MiB of 2 MiB hugepages cannot be had ({source}): reserve more with \
         `sysctl -w vm.nr_hugepages=N`, or allow normal pages"
    )]
    Hugepages {
        /// Megabytes asked for.
        mib: usize,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel has no memory.
    #[error("{mib} MiB of memory cannot be had: {source}")]
    Exhausted {
        /// Megabytes asked for.
        mib: usize,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Memory for `count` values of `T`, all zero, for the life of the process.
///
/// # Errors
///
/// Where the machine has not that much memory, or not that many hugepages and `hugepages` requires
/// them.
pub fn zeroed_region<T: Zeroed>(
    count: usize,
    hugepages: Hugepages,
) -> Result<Region<T>, MemoryError> {
    const { assert!(align_of::<T>() <= HUGEPAGE_BYTES) };
    const { assert!(!std::mem::needs_drop::<T>()) };
    let slot_bytes = size_of::<T>();
    let bytes = count
        .checked_mul(slot_bytes)
        .and_then(|bytes| bytes.max(1).checked_next_multiple_of(HUGEPAGE_BYTES))
        .filter(|bytes| *bytes <= isize::MAX.unsigned_abs() - HUGEPAGE_BYTES)
        .ok_or(MemoryError::TooLarge { count, slot_bytes })?;
    let mib = bytes >> 20;
    let huge = match hugepages {
        Hugepages::Off => None,
        Hugepages::Auto => map_huge(bytes).ok(),
        Hugepages::Require => {
            Some(map_huge(bytes).map_err(|source| MemoryError::Hugepages { mib, source })?)
        }
    };
    let (start, pages) = match huge {
        Some(start) => (start, Pages::Huge),
        None => {
            let start =
                map_normal(bytes).map_err(|source| MemoryError::Exhausted { mib, source })?;
            (start, Pages::Transparent)
        }
    };
    // SAFETY: the mapping is at least `count * size_of::<T>()` bytes long, aligned for T (asserted
    // above), zero-filled, which `Zeroed` says is a value of T, and never unmapped.
    let slots = unsafe { slice::from_raw_parts(start.cast::<T>(), count) };
    Ok(Region { slots, pages })
}

/// Maps `bytes`, a multiple of the page size, from the kernel's reserve of 2 MiB pages.
fn map_huge(bytes: usize) -> io::Result<*mut libc::c_void> {
    // Without MAP_NORESERVE the kernel sets the pages aside now: touching them cannot fail later.
    let flags = libc::MAP_HUGETLB | libc::MAP_HUGE_2MB | libc::MAP_POPULATE;
    map(bytes, flags)
}

/// Maps `bytes` of normal memory, aligned so that the kernel can put it on huge pages.
fn map_normal(bytes: usize) -> io::Result<*mut libc::c_void> {
    let mapped = map(bytes + HUGEPAGE_BYTES, 0)?;
    let lead = mapped.cast::<u8>().align_offset(HUGEPAGE_BYTES);
    // SAFETY: `lead` is less than HUGEPAGE_BYTES, by which the mapping is longer than `bytes`.
    let start = unsafe { mapped.byte_add(lead) };
    unmap(mapped, lead);
    // SAFETY: `lead + bytes` is within the mapping, see above.
    unmap(unsafe { start.byte_add(bytes) }, HUGEPAGE_BYTES - lead);
    // SAFETY: the range is ours. The advice may be refused (a kernel without transparent huge
    // pages): then the memory is slower, not wrong.
    unsafe { libc::madvise(start, bytes, libc::MADV_HUGEPAGE) };
    populate(start, bytes)?;
    Ok(start)
}

fn map(bytes: usize, flags: libc::c_int) -> io::Result<*mut libc::c_void> {
    let flags = flags | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new anonymous mapping at an address of the kernel's choice touches nothing of ours.
    let start = unsafe { libc::mmap(ptr::null_mut(), bytes, access, flags, -1, 0) };
    if start == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(start) }
}

/// Gives a part of a mapping back. A refusal wastes address space and nothing else.
fn unmap(start: *mut libc::c_void, bytes: usize) {
    if bytes > 0 {
        // SAFETY: only called by `map_normal`, for ends that nobody has a pointer to.
        unsafe { libc::munmap(start, bytes) };
    }
}

/// Makes all pages now, rather than at the first packet that needs each.
fn populate(start: *mut libc::c_void, bytes: usize) -> io::Result<()> {
    // SAFETY: the range is ours, and the call changes no byte of it.
    if unsafe { libc::madvise(start, bytes, libc::MADV_POPULATE_WRITE) } == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() != Some(libc::EINVAL) {
        return Err(error);
    }
    // A kernel before 5.14 does not know the advice.
    for offset in (0..bytes).step_by(4096) {
        // SAFETY: within the mapping, which is zero-filled and not shared yet.
        let byte = unsafe { start.cast::<u8>().add(offset) };
        // SAFETY: as above; volatile, or the store of what is there already would be left out.
        unsafe { byte.write_volatile(0) };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn normal_memory_is_zero_aligned_and_writable() {
        let region = zeroed_region::<AtomicU64>(1_000_000, Hugepages::Off).unwrap();
        assert_eq!(region.pages, Pages::Transparent);
        assert_eq!(region.slots.len(), 1_000_000);
        assert!(region.slots.as_ptr().addr().is_multiple_of(HUGEPAGE_BYTES));
        assert!(region.slots.iter().all(|slot| slot.load(Ordering::Relaxed) == 0));
        region.slots[999_999].store(7, Ordering::Relaxed);
        assert_eq!(region.slots[999_999].load(Ordering::Relaxed), 7);
    }

    #[test]
    fn auto_takes_what_there_is_and_an_empty_region_is_fine() {
        let region = zeroed_region::<[AtomicU32; 16]>(100, Hugepages::Auto).unwrap();
        assert!(region.slots.as_ptr().addr().is_multiple_of(HUGEPAGE_BYTES));
        assert!(region.slots.iter().flatten().all(|slot| slot.load(Ordering::Relaxed) == 0));
        assert!(zeroed_region::<AtomicU8>(0, Hugepages::Auto).unwrap().slots.is_empty());
    }

    #[test]
    fn impossible_sizes_are_refused_in_words() {
        let error = zeroed_region::<AtomicU64>(usize::MAX, Hugepages::Auto).unwrap_err();
        assert!(matches!(error, MemoryError::TooLarge { .. }), "{error}");
        // More than any reserve of hugepages, less than the address space.
        let error = zeroed_region::<AtomicU64>(1 << 42, Hugepages::Require).unwrap_err();
        assert!(error.to_string().contains("vm.nr_hugepages"), "{error}");
    }
}
