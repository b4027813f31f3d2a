//! What a process may do (capabilities(7)).

use super::Machine;

/// A right that the director needs for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    NetAdmin = 12,
    NetRaw = 13,
    IpcLock = 14,
    SysRawio = 17,
    SysAdmin = 21,
}

impl Capability {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NetAdmin => "CAP_NET_ADMIN",
            Self::NetRaw => "CAP_NET_RAW",
            Self::IpcLock => "CAP_IPC_LOCK",
            Self::SysRawio => "CAP_SYS_RAWIO",
            Self::SysAdmin => "CAP_SYS_ADMIN",
        }
    }
}

/// The rights of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    effective: u64,
    /// Memory that it may lock, in bytes; `None`: as much as it wants.
    pub locked_max: Option<u64>,
}

impl Rights {
    /// Whether it has one.
    pub const fn has(self, capability: Capability) -> bool {
        self.effective >> (capability as u64) & 1 == 1
    }
}

impl Machine {
    /// What this process may do.
    pub fn rights(&self) -> Rights {
        let effective = self.field("/proc/self/status", "CapEff");
        let limits = self.text("/proc/self/limits").unwrap_or_default();
        let locked = limits.lines().find_map(|line| line.strip_prefix("Max locked memory"));
        let locked = locked.and_then(|rest| rest.split_whitespace().next());
        Rights {
            effective: effective.and_then(|hex| u64::from_str_radix(&hex, 16).ok()).unwrap_or(0),
            locked_max: locked.and_then(|word| word.parse().ok()),
        }
    }
}
