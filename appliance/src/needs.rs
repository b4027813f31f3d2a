//! What a configuration needs of a machine.

use crate::assemble;
use crate::config::{Config, Hugepages, IdleMode};
use crate::machine::HUGEPAGE_KIB;

/// Memory that the director takes besides packets and flows, in KiB: roughly.
pub const OTHER_KIB: u64 = 64 << 10;

/// The needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needs {
    pub hugepages: Hugepages,
    /// Memory for packets, in KiB; on pages of any size.
    pub packet_kib: u64,
    /// Huge pages for the flow table.
    pub flow_pages: u64,
    /// Ports that are NICs: (name of the port, PCI address).
    pub nics: Vec<(String, String)>,
    /// Whether the host's kernel gets interfaces.
    pub tun: bool,
    /// Whether workers never sleep.
    pub polls: bool,
}

impl Needs {
    /// Those of a configuration.
    pub fn of(config: &Config) -> Self {
        let page_bytes = HUGEPAGE_KIB << 10;
        let nics = config.ports.iter().filter(|port| port.device.is_pci());
        let nics: Vec<_> =
            nics.map(|port| (port.name.clone(), port.device.name().to_owned())).collect();
        let is_tap = |device: &str| device.starts_with("net_tap");
        Self {
            hugepages: config.eal.hugepages,
            packet_kib: config.eal.memory_bytes >> 10,
            flow_pages: assemble::flow_bytes(config.flows_max).iter().sum::<u64>() / page_bytes,
            tun: config.interfaces().any(|interface| interface.kernel)
                || config.ports.iter().any(|port| is_tap(port.device.name())),
            polls: match config.idle.mode {
                IdleMode::Poll => true,
                IdleMode::Sleep => false,
                IdleMode::Auto => !nics.is_empty(),
            },
            nics,
        }
    }

    /// Huge pages in all, where they are all of the size that the flow table wants.
    pub fn pages(&self) -> u64 {
        self.packet_kib.div_ceil(HUGEPAGE_KIB) + self.flow_pages
    }
}
