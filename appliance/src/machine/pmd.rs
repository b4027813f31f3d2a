//! Which devices DPDK has drivers for: what its drivers say of themselves.
//!
//! Each driver (a poll mode driver, PMD) is a library with lines `PMD_INFO_STRING= {...}` in it:
//! its name, the devices that it knows, and the kernel's drivers that leave them to it. They are
//! read as bytes; no library is loaded.

use std::fs;
use std::path::PathBuf;

use serde::Deserialize;

use super::{Machine, Nic};

const MARK: &[u8] = b"PMD_INFO_STRING= ";

/// What any number matches (`PCI_ANY_ID`).
const ANY: u32 = 0xffff;

/// A driver of DPDK's.
#[derive(Clone, Debug, Deserialize)]
pub struct Pmd {
    pub name: String,
    /// Vendor, device, vendor and device of the subsystem.
    #[serde(default)]
    pci_ids: Vec<[u32; 4]>,
    /// The kernel's modules: `* igb_uio | uio_pci_generic | vfio-pci`.
    #[serde(default)]
    kmod: String,
}

/// Which driver of the kernel's a device must have for DPDK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    /// One that gives it away.
    Given { vfio: bool, uio_generic: bool },
    /// Its own, which DPDK works beside: the modules that have to be there.
    Own(Vec<String>),
}

impl Pmd {
    /// Which driver of the kernel's it works with.
    pub fn bound(&self) -> Bound {
        let modules: Vec<&str> = self
            .kmod
            .split(['|', '&', ' ', '*'])
            .map(str::trim)
            .filter(|word| !word.is_empty())
            .collect();
        let has = |names: &[&str]| modules.iter().any(|module| names.contains(module));
        if modules.is_empty() || has(&["vfio-pci", "vfio", "igb_uio", "uio_pci_generic"]) {
            let vfio = modules.is_empty() || has(&["vfio-pci", "vfio"]);
            return Bound::Given { vfio, uio_generic: has(&["uio_pci_generic"]) };
        }
        Bound::Own(modules.into_iter().map(str::to_owned).collect())
    }

    fn knows(&self, nic: &Nic) -> bool {
        let ids = [nic.vendor, nic.device, nic.subsystem_vendor, nic.subsystem_device];
        let fits = |known: &[u32; 4]| {
            known.iter().zip(ids).all(|(known, id)| *known == ANY || *known == u32::from(id))
        };
        self.pci_ids.iter().any(fits)
    }
}

/// All drivers of DPDK's on a machine.
#[derive(Clone, Debug, Default)]
pub struct Pmds {
    /// The folder that they are in; `None` where there is none.
    pub folder: Option<PathBuf>,
    drivers: Vec<Pmd>,
}

impl Pmds {
    /// The driver for a NIC.
    pub fn of(&self, nic: &Nic) -> Option<&Pmd> {
        self.drivers.iter().find(|pmd| pmd.knows(nic))
    }

    /// How many drivers there are for devices on the PCI bus.
    pub fn len(&self) -> usize {
        self.drivers.iter().filter(|pmd| !pmd.pci_ids.is_empty()).count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Machine {
    /// The drivers of the newest DPDK that is installed.
    pub fn pmds(&self) -> Pmds {
        let Some(folder) = self.pmd_folder() else { return Pmds::default() };
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        let is_net = |path: &PathBuf| {
            path.file_name().is_some_and(|it| it.to_string_lossy().starts_with("librte_net_"))
        };
        // Names with and without a version lead to one file.
        let libraries = entries.filter_map(|entry| entry.path().canonicalize().ok());
        let mut libraries: Vec<_> = libraries.filter(is_net).collect();
        libraries.sort();
        libraries.dedup();
        let drivers = libraries.iter().filter_map(|path| fs::read(path).ok());
        Pmds { folder: Some(folder), drivers: drivers.flat_map(|bytes| pmds_in(&bytes)).collect() }
    }

    /// `dpdk/pmds-23.0` of the libraries' folder: DPDK looks into the one of its own version.
    fn pmd_folder(&self) -> Option<PathBuf> {
        let mut found: Vec<(Vec<u32>, PathBuf)> = Vec::new();
        for base in ["/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/local/lib64"] {
            let within = self.names(base).into_iter().map(|name| format!("{base}/{name}"));
            for folder in within.chain([base.to_owned()]).map(|lib| format!("{lib}/dpdk")) {
                for name in self.names(&folder) {
                    let Some(version) = name.strip_prefix("pmds-") else { continue };
                    let numbers = version.split('.').filter_map(|it| it.parse().ok()).collect();
                    found.push((numbers, self.path(&format!("{folder}/{name}"))));
                }
            }
        }
        found.into_iter().max().map(|(_, folder)| folder)
    }
}

/// What stands in the bytes of a library.
fn pmds_in(bytes: &[u8]) -> Vec<Pmd> {
    let mut found = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest.windows(MARK.len()).position(|window| window == MARK) {
        rest = &rest[at + MARK.len()..];
        let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
        found.extend(serde_json::from_slice::<Pmd>(&rest[..end]));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::fixture::{E1000E, Fixture};
    use std::path::Path;

    #[test]
    fn drivers_are_found_by_what_they_say() {
        let fixture = Fixture::new();
        let pmds = fixture.machine().pmds();
        assert_eq!(pmds.len(), 4);
        let nic = fixture.machine().nic(E1000E).unwrap();
        let pmd = pmds.of(&nic).unwrap();
        assert_eq!(pmd.name, "net_e1000_em");
        assert_eq!(pmd.bound(), Bound::Given { vfio: true, uio_generic: true });
        let other = Nic { device: 0xffee, ..nic.clone() };
        assert!(pmds.of(&other).is_none());
        let connect_x = Nic { vendor: 0x15b3, device: 0x1017, ..nic };
        let own = ["ib_uverbs", "mlx5_core", "mlx5_ib"].map(str::to_owned);
        assert_eq!(pmds.of(&connect_x).unwrap().bound(), Bound::Own(own.into()));
    }

    #[test]
    fn bytes_that_are_no_description_are_passed_over() {
        let bytes = b"xPMD_INFO_STRING= {\"name\": 1}\0PMD_INFO_STRING= {\"name\": \"a\"}\0\
            PMD_INFO_STRING= {\"name\": \"cut";
        let names: Vec<_> = pmds_in(bytes).into_iter().map(|pmd| pmd.name).collect();
        assert_eq!(names, ["a"]);
    }

    /// The libraries that this program was built with.
    #[test]
    fn the_installed_dpdk_has_a_driver_for_virtio() {
        let pmds = Machine::under(Path::new("/")).pmds();
        let fixture = Fixture::new();
        let nic = fixture.machine().nic(E1000E).unwrap();
        let virtio = Nic { vendor: 0x1af4, device: 0x1041, ..nic };
        assert_eq!(pmds.of(&virtio).map(|pmd| pmd.name.as_str()), Some("net_virtio"));
    }
}
