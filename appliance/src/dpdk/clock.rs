//! Clocks: the cycle counter for the packet path, the monotonic clock for everything else.

/// The CPU's time stamp counter: a few nanoseconds to read, the same on all CPUs of a machine with
/// an invariant counter. Not ordered with the instructions around it.
#[inline]
#[must_use]
pub fn cycles() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 CPU has the instruction.
    unsafe {
        core::arch::x86_64::_rdtsc()
    }
    #[cfg(not(target_arch = "x86_64"))]
    // SAFETY: reads a counter register.
    unsafe {
        dpdk_sys::rte_rdtsc()
    }
}

/// How many [`cycles`] a second has. 0 before the EAL is set up, which measures it.
#[must_use]
pub fn hz() -> u64 {
    // SAFETY: reads a variable that the EAL writes once, while it starts.
    unsafe { dpdk_sys::rte_get_tsc_hz() }
}

/// Nanoseconds of `CLOCK_MONOTONIC`, which neither jumps nor goes back.
#[must_use]
pub fn monotonic_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes to a timespec that is ours; this clock exists on every Linux, so it
    // cannot fail.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_clocks_advance() {
        let (cycles_before, ns_before) = (cycles(), monotonic_ns());
        std::thread::sleep(std::time::Duration::from_millis(2));
        assert!(cycles() > cycles_before);
        assert!(monotonic_ns() - ns_before >= 2_000_000);
    }
}
