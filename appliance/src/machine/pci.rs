//! NICs on the PCI bus.

use super::Machine;

/// The folder of all PCI devices.
const DEVICES: &str = "/sys/bus/pci/devices";

/// Network controllers, of whatever kind (PCI's class code).
const NETWORK_CLASS: u64 = 0x02;
/// Bridges: they stand in the groups of what is behind them, and need not be given away with it.
const BRIDGE_CLASS: u64 = 0x06;

/// A network controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nic {
    /// `0000:00:04.0`
    pub address: String,
    pub vendor: u16,
    pub device: u16,
    pub subsystem_vendor: u16,
    pub subsystem_device: u16,
    /// The kernel's driver, if any has it.
    pub driver: Option<String>,
    /// Its NUMA node, where that means something.
    pub node: Option<usize>,
    /// The number of its IOMMU group.
    pub group: Option<String>,
    /// The kernel's interfaces on it.
    pub interfaces: Vec<String>,
}

impl Nic {
    /// The folder that describes it.
    pub fn folder(&self) -> String {
        folder(&self.address)
    }

    /// `8086:10d3`, as lspci has it.
    pub fn id(&self) -> String {
        format!("{:04x}:{:04x}", self.vendor, self.device)
    }
}

/// The folder that describes a PCI device.
pub(crate) fn folder(address: &str) -> String {
    format!("{DEVICES}/{address}")
}

impl Machine {
    /// All NICs, in the order of their addresses.
    pub fn nics(&self) -> Vec<Nic> {
        self.names(DEVICES).iter().filter_map(|address| self.nic(address)).collect()
    }

    /// The NIC with that address; `None` where there is none, or another thing.
    pub fn nic(&self, address: &str) -> Option<Nic> {
        let folder = folder(address);
        let id = |name: &str| self.hex(&format!("{folder}/{name}"));
        if self.class(address)? != NETWORK_CLASS {
            return None;
        }
        let id16 = |name: &str| id(name).and_then(|id| u16::try_from(id).ok());
        Some(Nic {
            vendor: id16("vendor")?,
            device: id16("device")?,
            subsystem_vendor: id16("subsystem_vendor").unwrap_or(0),
            subsystem_device: id16("subsystem_device").unwrap_or(0),
            driver: self.link(&format!("{folder}/driver")),
            // -1 where there is but one node.
            node: self.number(&format!("{folder}/numa_node")).and_then(|n| usize::try_from(n).ok()),
            group: self.link(&format!("{folder}/iommu_group")),
            interfaces: self.interfaces_on(address),
            address: address.to_owned(),
        })
    }

    /// Other devices of an IOMMU group that a driver of the kernel's has, so that the group cannot
    /// be given away: (address, driver).
    pub fn in_the_way(&self, nic: &Nic) -> Vec<(String, String)> {
        let Some(group) = &nic.group else { return Vec::new() };
        let devices = self.names(&format!("/sys/kernel/iommu_groups/{group}/devices"));
        let others = devices.into_iter().filter(|address| *address != nic.address);
        others
            .filter(|address| self.class(address) != Some(BRIDGE_CLASS))
            .filter_map(|address| {
                let driver = self.link(&format!("{}/driver", folder(&address)))?;
                (driver != "vfio-pci").then_some((address, driver))
            })
            .collect()
    }

    /// The PCI device that an interface is on.
    pub fn pci_of_interface(&self, interface: &str) -> Option<String> {
        let place = self.path(&format!("/sys/class/net/{interface}/device"));
        // A virtio device hangs below its PCI device.
        let place = place.canonicalize().ok()?;
        let parts = place.components().rev();
        let mut names = parts.map(|part| part.as_os_str().to_string_lossy().into_owned());
        names.find(|name| is_address(name) && self.has(&folder(name)))
    }

    fn interfaces_on(&self, address: &str) -> Vec<String> {
        let names = self.names("/sys/class/net").into_iter();
        names.filter(|name| self.pci_of_interface(name).as_deref() == Some(address)).collect()
    }

    fn class(&self, address: &str) -> Option<u64> {
        Some(self.hex(&format!("{}/class", folder(address)))? >> 16)
    }

    fn hex(&self, path: &str) -> Option<u64> {
        u64::from_str_radix(self.text(path)?.strip_prefix("0x")?, 16).ok()
    }
}

/// Whether a name is a PCI address in its long form.
fn is_address(name: &str) -> bool {
    let shape = "dddd:dd:dd.d";
    name.len() == shape.len()
        && name.bytes().zip(shape.bytes()).all(|(byte, shape)| match shape {
            b'd' => byte.is_ascii_hexdigit(),
            other => byte == other,
        })
}
