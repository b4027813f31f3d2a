//! The devices of ports.

use std::fmt;

use lb_core::wire::MacAddress;

/// A device as EAL names it: a PCI address or a virtual device, with its arguments.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Device {
    /// Empty until a NIC that is named otherwise is found.
    eal: String,
    chosen_by: Option<NicName>,
}

/// The name of a NIC that is none of its place on the bus.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NicName {
    Mac(MacAddress),
    /// The kernel's interface on it, or that was on it before it was given away.
    Interface(String),
}

impl fmt::Display for NicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mac(mac) => write!(f, "MAC address {mac}"),
            Self::Interface(name) => write!(f, "interface {name}"),
        }
    }
}

impl Device {
    pub(super) const fn of_eal(eal: String) -> Self {
        Self { eal, chosen_by: None }
    }

    pub(super) const fn of_nic(name: NicName) -> Self {
        Self { eal: String::new(), chosen_by: Some(name) }
    }

    /// The same device, found at a PCI address.
    pub(super) fn at(&self, address: String) -> Self {
        Self { eal: address, chosen_by: self.chosen_by.clone() }
    }

    /// What the NIC was found by, where that is not its address.
    pub const fn chosen_by(&self) -> Option<&NicName> {
        self.chosen_by.as_ref()
    }

    /// The whole text: name, and arguments behind a comma.
    pub fn as_str(&self) -> &str {
        &self.eal
    }

    /// The name without arguments: `0000:00:04.0`, `net_af_packet0`.
    pub fn name(&self) -> &str {
        self.eal.split(',').next().unwrap_or_default()
    }

    /// Whether it is a PCI device and not a virtual one.
    pub fn is_pci(&self) -> bool {
        self.name().contains(':')
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.eal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices() {
        let pci = Device::of_eal("0000:00:04.0".to_owned());
        assert!(pci.is_pci());
        let virtual_device = Device::of_eal("net_af_packet0,iface=dir0".to_owned());
        assert!(!virtual_device.is_pci());
        assert_eq!(virtual_device.name(), "net_af_packet0");
    }
}
