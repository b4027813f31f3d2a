//! NICs by name: by MAC address, or by the kernel's interface on them. One that was given away has
//! no interface any more; `sluicectl setup` has remembered what it had.

use crate::config::NicName;
use crate::machine::{Interface, Machine};
use crate::setup::{Remembered, TakenNic};

/// The PCI address of a NIC.
///
/// # Errors
///
/// Where there is none, more than one, or no PCI device behind the name: what there is instead.
pub fn find(machine: &Machine, name: &NicName) -> Result<String, String> {
    if let Some(taken) = taken(machine, name)? {
        return Ok(taken);
    }
    let interfaces: Vec<Interface> = machine
        .names("/sys/class/net")
        .iter()
        .filter_map(|interface| machine.interface(interface))
        .collect();
    let named: Vec<_> =
        interfaces.iter().filter(|it| fits(name, &it.name, it.mac.as_deref())).collect();
    // Virtual interfaces (VLANs, bonds) share the address of the NIC that they are on.
    let mut found: Vec<_> =
        named.iter().filter_map(|it| machine.pci_of_interface(&it.name)).collect();
    found.sort();
    found.dedup();
    match (&found[..], &named[..]) {
        ([address], _) => Ok(address.clone()),
        ([], [interface, ..]) => Err(format!(
            "{} is no NIC on the PCI bus; write `device: \"net_af_packet0,iface={}\"`",
            interface.name, interface.name
        )),
        ([], []) => Err(format!("no NIC has the {name}; {}", there(machine, &interfaces))),
        _ => Err(format!(
            "the {name} is that of several NICs: write the PCI address of one of {}",
            found.join(", ")
        )),
    }
}

/// A NIC that was given away, if the name was its own, and it is still there.
fn taken(machine: &Machine, name: &NicName) -> Result<Option<String>, String> {
    let remembered = Remembered::read(machine).map_err(|problem| problem.to_string())?;
    let is_there = |taken: &&TakenNic| {
        machine
            .nic(&taken.address)
            .is_some_and(|nic| nic.id() == taken.id && nic.interfaces.is_empty())
    };
    let mut named = remembered.nics.iter().filter(|taken| {
        fits(name, taken.interface.as_deref().unwrap_or_default(), taken.mac.as_deref())
    });
    Ok(named.find(is_there).map(|taken| taken.address.clone()))
}

fn fits(name: &NicName, interface: &str, mac: Option<&str>) -> bool {
    match name {
        NicName::Interface(name) => name == interface,
        NicName::Mac(wanted) => mac.and_then(|mac| mac.parse().ok()) == Some(*wanted),
    }
}

/// The NICs that have names.
fn there(machine: &Machine, interfaces: &[Interface]) -> String {
    let nics = interfaces.iter().filter_map(|it| {
        let address = machine.pci_of_interface(&it.name)?;
        Some(format!("{} {} ({address})", it.name, it.mac.as_deref().unwrap_or_default()))
    });
    let nics = nics.collect::<Vec<_>>().join(", ");
    if nics.is_empty() { "no NIC has a name here".to_owned() } else { format!("there are {nics}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::fixture::{E1000E, Fixture};
    use crate::setup::FILE;

    fn mac(text: &str) -> NicName {
        NicName::Mac(text.parse().unwrap())
    }

    fn interface(name: &str) -> NicName {
        NicName::Interface(name.to_owned())
    }

    #[test]
    fn a_nic_is_found_by_what_the_kernel_says_of_it() {
        let fixture = Fixture::new();
        let machine = fixture.machine();
        assert_eq!(find(&machine, &interface("eth1")).unwrap(), E1000E);
        assert_eq!(find(&machine, &mac("52:54:00:00:00:04")).unwrap(), E1000E);
        // A VLAN has the address of its NIC, and no PCI device of its own.
        fixture.write("/sys/class/net/eth1.7/address", "52:54:00:00:00:04\n");
        assert_eq!(find(&machine, &mac("52:54:00:00:00:04")).unwrap(), E1000E);
        let problem = find(&machine, &interface("eth1.7")).unwrap_err();
        assert!(problem.contains("net_af_packet0,iface=eth1.7"), "{problem}");
        let problem = find(&machine, &mac("52:54:00:00:00:09")).unwrap_err();
        assert!(problem.starts_with("no NIC has the MAC address 52:54:00:00:00:09"), "{problem}");
        assert!(problem.contains("eth1 52:54:00:00:00:04 (0000:00:04.0)"), "{problem}");
        fixture.write("/sys/class/net/eth2/address", "52:54:00:00:00:04\n");
        let problem = find(&machine, &mac("52:54:00:00:00:04")).unwrap_err();
        assert!(problem.contains("one of 0000:00:04.0, 0000:00:05.0"), "{problem}");
    }

    #[test]
    fn a_nic_that_was_given_away_is_found_by_what_it_was() {
        let fixture = Fixture::new();
        let machine = fixture.machine();
        fixture.remove("/sys/class/net/eth1");
        fixture.bind(E1000E, Some("vfio-pci"));
        assert!(find(&machine, &interface("eth1")).is_err());
        let nic = r#"{"address":"0000:00:04.0","id":"8086:10d3","mac":"52:54:00:00:00:04",
            "interface":"eth1","before":"e1000e","forced":false}"#;
        let file = format!(r#"{{"version":1,"nics":[{nic}],"hugepages":[],"modules":[]}}"#);
        fixture.write(FILE, &file);
        assert_eq!(find(&machine, &interface("eth1")).unwrap(), E1000E);
        assert_eq!(find(&machine, &mac("52:54:00:00:00:04")).unwrap(), E1000E);
        // Another NIC is in its place.
        fixture.write("/sys/bus/pci/devices/0000:00:04.0/device", "0x100e");
        assert!(find(&machine, &interface("eth1")).is_err());
        fixture.write(FILE, "{");
        let problem = find(&machine, &interface("eth0")).unwrap_err();
        assert!(problem.contains("setup.json"), "{problem}");
    }
}
