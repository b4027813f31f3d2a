//! What went wrong inside of DPDK, as a number with a text.

use std::fmt;

/// An errno value, positive. DPDK uses the C library's numbers and two of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Errno(i32);

impl Errno {
    /// From what a DPDK function returned: those that fail answer with a negative errno.
    pub(super) fn from_return(value: i32) -> Self {
        Self(value.saturating_abs())
    }

    /// `rte_errno` of the calling thread, for functions that answer with a null pointer.
    pub(super) fn last() -> Self {
        // SAFETY: reads a thread-local variable.
        Self::from_return(unsafe { dpdk_sys::shim_errno() })
    }

    /// The number.
    #[must_use]
    pub fn code(self) -> i32 {
        self.0
    }

    /// True where a device does not have what was asked for, rather than failing to do it.
    pub(super) fn is_unsupported(self) -> bool {
        matches!(self.0, libc::ENOTSUP | libc::ENOSYS)
    }
}

/// `Err` for a negative answer.
pub(super) fn check(value: i32) -> Result<(), Errno> {
    if value < 0 { Err(Errno::from_return(value)) } else { Ok(()) }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            // rte_errno.h: RTE_MIN_ERRNO is 1000
            1001 => f.write_str("not possible in a secondary process"),
            1002 => f.write_str("the EAL is not set up"),
            code => std::io::Error::from_raw_os_error(code).fmt(f),
        }
    }
}

impl std::error::Error for Errno {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sign_is_dropped_and_the_text_is_the_c_librarys() {
        let errno = Errno::from_return(-libc::ENODEV);
        assert_eq!(errno.code(), libc::ENODEV);
        assert!(errno.to_string().starts_with("No such device"), "{errno}");
        assert_eq!(Errno::from_return(i32::MIN).code(), i32::MAX);
    }

    #[test]
    fn only_absent_features_are_unsupported() {
        assert!(Errno::from_return(-libc::ENOTSUP).is_unsupported());
        assert!(!Errno::from_return(-libc::EINVAL).is_unsupported());
        assert_eq!(check(0), Ok(()));
        assert_eq!(check(-libc::EIO), Err(Errno(libc::EIO)));
    }
}
