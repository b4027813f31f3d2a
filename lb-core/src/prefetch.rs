//! Asking the CPU for a cache line before it is needed: the only `unsafe` of this crate.

/// Prefetches the cache line that `target` starts in, into all levels.
#[inline(always)]
#[expect(unsafe_code, reason = "the intrinsic is still unsafe to call; see design: one module")]
pub(crate) fn line<T>(target: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch is a hint; it cannot fault and reads nothing that the program sees, and
    // SSE, which brings the instruction, is part of every x86_64 CPU.
    unsafe {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(core::ptr::from_ref(target).cast::<i8>());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = target;
}
