//! Error numbers of Linux, as replies carry them.

use crate::operations::OperationError;

/// An error number of `asm-generic/errno.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

impl Errno {
    pub const EPERM: Self = Self(1);
    pub const ENOENT: Self = Self(2);
    pub const ESRCH: Self = Self(3);
    pub const ENOMEM: Self = Self(12);
    pub const EFAULT: Self = Self(14);
    pub const EBUSY: Self = Self(16);
    pub const EEXIST: Self = Self(17);
    pub const ENODEV: Self = Self(19);
    pub const EINVAL: Self = Self(22);
    pub const ERANGE: Self = Self(34);
    pub const EPROTONOSUPPORT: Self = Self(93);
    pub const EOPNOTSUPP: Self = Self(95);
    pub const EAFNOSUPPORT: Self = Self(97);
}

impl From<OperationError> for Errno {
    fn from(error: OperationError) -> Self {
        match error {
            OperationError::ServiceExists
            | OperationError::DestinationExists
            | OperationError::DaemonRunning => Self::EEXIST,
            OperationError::SchedulerNotFound | OperationError::NoSuchDestination => Self::ENOENT,
            OperationError::NoSuchService
            | OperationError::ServiceNotDefined
            | OperationError::NoDaemon => Self::ESRCH,
            OperationError::Range => Self::ERANGE,
            OperationError::Invalid => Self::EINVAL,
            OperationError::NoSuchDevice => Self::ENODEV,
            OperationError::Limit(_) => Self::ENOMEM,
            OperationError::NotSupported(_) => Self::EOPNOTSUPP,
        }
    }
}
