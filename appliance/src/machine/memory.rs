//! Memory.

use super::Machine;

/// Memory in KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    pub total_kib: u64,
    /// What programs can have without anything being swapped out; without huge pages.
    pub available_kib: u64,
}

impl Machine {
    /// Its memory.
    pub fn memory(&self) -> Memory {
        let of = |name| {
            let text = self.field("/proc/meminfo", name)?;
            text.split_whitespace().next()?.parse().ok()
        };
        Memory {
            total_kib: of("MemTotal").unwrap_or_default(),
            available_kib: of("MemAvailable").unwrap_or_default(),
        }
    }
}
