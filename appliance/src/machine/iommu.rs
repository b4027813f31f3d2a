//! The IOMMU, which keeps a device to the memory that it was given.

use super::{Machine, ModuleState};

/// What there is of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Iommu {
    /// Groups of devices that it can tell apart; none: it is not there, or off.
    pub groups: usize,
    /// The module by which a program gets a device under it.
    pub vfio: ModuleState,
    /// The module that gives devices away without it.
    pub uio: ModuleState,
    /// Whether interrupts may be injected by devices (`allow_unsafe_interrupts`).
    pub allows_unsafe_interrupts: bool,
}

impl Machine {
    /// Its IOMMU.
    pub fn iommu(&self) -> Iommu {
        let unsafe_interrupts = "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts";
        Iommu {
            groups: self.names("/sys/kernel/iommu_groups").len(),
            vfio: self.module("vfio-pci"),
            uio: self.module("uio_pci_generic"),
            allows_unsafe_interrupts: self.text(unsafe_interrupts).as_deref() == Some("Y"),
        }
    }
}
