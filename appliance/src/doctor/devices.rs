//! NICs, DPDK's drivers for them, and what gives them away.

use super::{Item, Severity, Subject};
use crate::machine::{Bound, ModuleState, Nic, Pmd};

pub(super) fn look(subject: &Subject<'_>) -> Vec<Item> {
    let mut items = vec![drivers(subject), iommu(subject)];
    items.extend(absent(subject));
    items.extend(subject.nics.iter().map(|nic| self::nic(subject, nic)));
    items
}

fn drivers(subject: &Subject<'_>) -> Item {
    let name = "dpdk drivers";
    match &subject.pmds.folder {
        Some(folder) if !subject.pmds.is_empty() => {
            let (count, folder) = (subject.pmds.len(), folder.display());
            Item::fine(name, format!("{count} for devices on the PCI bus in {folder}"))
        }
        _ => {
            let found = "there are none for devices on the PCI bus";
            match subject.for_nics() {
                Severity::Fine => Item::fine(name, found),
                severity => {
                    let advice = "install DPDK's drivers; on Debian: apt install dpdk";
                    Item::wrong(name, severity, found, advice)
                }
            }
        }
    }
}

fn iommu(subject: &Subject<'_>) -> Item {
    let name = "iommu";
    let iommu = &subject.iommu;
    let given = |nic: &&Nic| {
        subject.pmds.of(nic).is_none_or(|pmd| matches!(pmd.bound(), Bound::Given { .. }))
    };
    let there = match iommu.groups {
        0 => "there is none, or it is off".to_owned(),
        groups => format!("{groups} groups"),
    };
    if subject.needs.is_some() && subject.dedicated().filter(given).count() == 0 {
        return Item::fine(name, format!("{there}; no port is a NIC that has to be given away"));
    }
    match (iommu.groups, iommu.vfio, iommu.uio) {
        (0, _, ModuleState::Missing) => Item::wrong(
            name,
            subject.for_nics(),
            format!("{there}, and this kernel has no uio_pci_generic: no NIC can be given away"),
            format!("{}; or use net_af_packet", switch_on(subject)),
        ),
        (0, ..) => Item::warning(
            name,
            format!(
                "{there}: NICs can only be given away by uio_pci_generic, with which a wrong \
                 or hostile device reaches all memory"
            ),
            switch_on(subject),
        ),
        (_, ModuleState::Missing, _) => Item::wrong(
            name,
            subject.for_nics(),
            format!("{there}, but this kernel has no vfio-pci: NICs cannot be given away safely"),
            "install the kernel's full set of modules (on Debian: linux-image-amd64)",
        ),
        (_, ModuleState::Loadable, _) => {
            Item::fine(name, format!("{there}; vfio-pci can be loaded"))
        }
        (_, ModuleState::Present, _) => Item::fine(name, format!("{there}; vfio-pci is there")),
    }
}

/// How an IOMMU is switched on.
fn switch_on(subject: &Subject<'_>) -> String {
    let argument = match subject.cpus.vendor.as_deref() {
        Some("GenuineIntel") => ", and boot the kernel with intel_iommu=on iommu=pt",
        Some("AuthenticAMD") => ", and boot the kernel with iommu=pt",
        _ => "",
    };
    format!("switch it on in the firmware (VT-d, AMD-Vi, SMMU) or the hypervisor{argument}")
}

/// Ports whose NICs are not there.
fn absent(subject: &Subject<'_>) -> Vec<Item> {
    let named = subject.needs.as_ref().map_or(&[][..], |needs| &needs.nics);
    let is_there = |address: &str| subject.nics.iter().any(|nic| nic.address == address);
    let absent = named.iter().filter(|(_, address)| !is_there(address));
    let there = subject.nics.iter().map(|nic| nic.address.as_str()).collect::<Vec<_>>().join(", ");
    let there = if there.is_empty() { "none".to_owned() } else { there };
    absent
        .map(|(port, address)| {
            Item::error(
                &format!("nic {address}"),
                format!("port {port}: the machine has no such NIC"),
                format!("correct `device`; the machine's NICs: {there}"),
            )
        })
        .collect()
}

fn nic(subject: &Subject<'_>, nic: &Nic) -> Item {
    let name = format!("nic {}", nic.address);
    let pmd = subject.pmds.of(nic);
    let mut found = match subject.port_of(&nic.address) {
        Some(port) => format!("port {port}: {}", about(subject, nic, pmd)),
        None => about(subject, nic, pmd),
    };
    if subject.port_of(&nic.address).is_none() {
        return Item::fine(&name, found);
    }
    match wrong(subject, nic, pmd) {
        None => Item::fine(&name, found),
        Some((severity, problem, advice)) => {
            found.push_str("; ");
            found.push_str(&problem);
            Item::wrong(&name, severity, found, advice)
        }
    }
}

fn about(subject: &Subject<'_>, nic: &Nic, pmd: Option<&Pmd>) -> String {
    let driver = nic
        .driver
        .as_deref()
        .map_or_else(|| "no driver has it".to_owned(), |driver| format!("driver {driver}"));
    let mut text = format!("{}, {driver}", nic.id());
    for interface in nic.interfaces.iter().filter_map(|name| subject.machine.interface(name)) {
        let link = match (interface.is_up, interface.has_link) {
            (false, _) => "down".to_owned(),
            (true, Some(false)) => "no link".to_owned(),
            (true, _) => interface
                .speed_mbps
                .map_or_else(|| "up".to_owned(), |speed| format!("up, {speed} Mbit/s")),
        };
        text.push_str(&format!(", interface {} ({link})", interface.name));
    }
    if let Some(node) = nic.node {
        text.push_str(&format!(", node {node}"));
    }
    match pmd {
        Some(pmd) => text + &format!(", DPDK's {}", pmd.name),
        None => text + ", DPDK has no driver for it",
    }
}

/// What keeps a NIC from being a port, and what to do.
fn wrong(
    subject: &Subject<'_>,
    nic: &Nic,
    pmd: Option<&Pmd>,
) -> Option<(Severity, String, String)> {
    let by_packet_socket = || {
        let interface = nic.interfaces.first().map_or("INTERFACE", String::as_str);
        format!("let the kernel have it: `device: \"net_af_packet0,iface={interface}\"`")
    };
    let error = |problem: &str, advice: String| Some((Severity::Error, problem.into(), advice));
    let warning = |problem: &str, advice: String| Some((Severity::Warning, problem.into(), advice));
    let Some(pmd) = pmd else { return error("it cannot be a port", by_packet_socket()) };
    let driver = nic.driver.as_deref().unwrap_or_default();
    let setup = || super::BIND.to_owned();
    match pmd.bound() {
        Bound::Own(modules) => {
            if matches!(driver, "" | "vfio-pci" | "uio_pci_generic" | "igb_uio") {
                let advice = format!("give it back to its driver ({})", modules.join(", "));
                return error("DPDK works beside the kernel's driver, which it lacks", advice);
            }
            let is_missing =
                |module: &&String| subject.machine.module(module) != ModuleState::Present;
            let missing: Vec<_> = modules.iter().filter(is_missing).map(String::as_str).collect();
            if !missing.is_empty() {
                let advice = format!("modprobe -a {}", missing.join(" "));
                return error("modules are missing that DPDK's driver works with", advice);
            }
            None
        }
        Bound::Given { vfio, uio_generic } => match driver {
            "vfio-pci" => {
                let others = subject.machine.in_the_way(nic);
                let (address, driver) = others.first()?;
                error(
                    "it cannot be had alone",
                    format!("{address} is in its IOMMU group: unbind it from {driver}, too"),
                )
            }
            "uio_pci_generic" | "igb_uio" if subject.iommu.groups > 0 => {
                warning("there is an IOMMU, which does not protect it so", setup())
            }
            "uio_pci_generic" | "igb_uio" => None,
            _ if subject.iommu.groups == 0 && !uio_generic => {
                error("without an IOMMU it cannot be given away", by_packet_socket())
            }
            _ if subject.iommu.groups > 0 && !vfio => {
                error("its driver does not work with vfio-pci", by_packet_socket())
            }
            _ => error("the kernel has it, or nobody", setup()),
        },
    }
}
