//! The interfaces that ports and their VLANs make, and what is wrong between them.

use std::collections::HashMap;
use std::net::IpAddr;

use super::error::{ConfigErrors, Position, shown};
use super::raw::{At, RawPort, RawVlan};
use super::settings::InterfaceAddress;
use super::validate::earlier;
use super::values;

/// Interfaces that the packet path has numbers for.
const INTERFACES_MAX: usize = 256;

/// IPv6 needs links that take packets of this size (RFC 8200 section 5).
const IPV6_MTU_MIN: u16 = 1280;

/// A port or a VLAN of one, as the file described it; their order gives the numbers.
pub(super) struct RawInterface<'a> {
    /// For messages: `ports[0]`, `ports[0].vlans[1]`.
    pub(super) path: String,
    /// For messages: `port` or `VLAN`.
    pub(super) kind: &'static str,
    /// `None`: reported as wrong.
    pub(super) name: Option<At<String>>,
    pub(super) addresses: &'a [At<InterfaceAddress>],
    mtu: Option<u16>,
    pub(super) kernel: bool,
}

impl RawInterface<'_> {
    /// What messages call it.
    pub(super) fn label(&self) -> String {
        let name = self.name.as_ref().map(|name| format!("{} {}", self.kind, shown(&name.value)));
        name.unwrap_or_else(|| self.path.clone())
    }
}

/// All interfaces: first the ports, then all VLANs.
pub(super) fn interfaces(ports: &[RawPort]) -> Vec<RawInterface<'_>> {
    let value = |mtu: &Option<At<u16>>| mtu.as_ref().map(|mtu| mtu.value);
    let untagged = ports.iter().enumerate().map(|(index, port)| RawInterface {
        path: format!("ports[{index}]"),
        kind: "port",
        name: port.name.clone(),
        addresses: &port.addresses,
        mtu: value(&port.mtu),
        kernel: port.kernel.as_ref().is_some_and(|kernel| kernel.value),
    });
    let tagged = ports.iter().enumerate().flat_map(|(index, port)| {
        port.vlans.iter().enumerate().map(move |(place, vlan)| RawInterface {
            path: format!("ports[{index}].vlans[{place}]"),
            kind: "VLAN",
            name: vlan_name(port, vlan),
            addresses: &vlan.addresses,
            mtu: vlan_mtu(port, vlan),
            kernel: vlan.kernel.as_ref().is_some_and(|kernel| kernel.value),
        })
    });
    untagged.chain(tagged).collect()
}

/// The name that was given, or `PORT.ID`.
pub(super) fn vlan_name(port: &RawPort, vlan: &RawVlan) -> Option<At<String>> {
    let given = vlan.name.as_ref()?;
    let made = || Some(format!("{}.{}", port.name.as_ref()?.value, vlan.id.as_ref()?.value));
    let value = given.value.clone().or_else(made)?;
    Some(At { position: given.position, value })
}

/// The MTU that was given, or the port's.
pub(super) fn vlan_mtu(port: &RawPort, vlan: &RawVlan) -> Option<u16> {
    vlan.mtu.as_ref()?.value.or_else(|| port.mtu.as_ref().map(|mtu| mtu.value))
}

/// Reports names that are taken, VLANs that are there twice, and MTUs that do not fit.
pub(super) fn check(ports: &[RawPort], errors: &mut ConfigErrors) {
    let interfaces = interfaces(ports);
    check_count(&interfaces, ports, errors);
    check_names(&interfaces, errors);
    for interface in &interfaces {
        check_ipv6(interface, errors);
    }
    for (index, port) in ports.iter().enumerate() {
        check_vlans(index, port, errors);
    }
    check_kernel_names(&interfaces, ports, errors);
}

fn check_count(interfaces: &[RawInterface<'_>], ports: &[RawPort], errors: &mut ConfigErrors) {
    if interfaces.len() > INTERFACES_MAX {
        let position = ports.first().map_or(Position::START, |port| port.position);
        errors.at(
            position,
            format!(
                "ports: there are {} ports and VLANs together, but {INTERFACES_MAX} at most; \
                 remove some",
                interfaces.len()
            ),
        );
    }
}

fn check_names(interfaces: &[RawInterface<'_>], errors: &mut ConfigErrors) {
    let mut names = HashMap::new();
    for interface in interfaces {
        let Some(name) = &interface.name else { continue };
        let path = format!("{}.name", interface.path);
        if values::port_name(&name.value).is_err() {
            // Only a name that was made can still be too long.
            let problem = format!(
                "{path}: {} would be longer than 15 bytes; give the VLAN a `name`",
                shown(&name.value)
            );
            errors.at(name.position, problem);
        }
        let seen = names.get(name.value.as_str()).copied();
        if let Some((kind, first)) = seen {
            let first: Position = first;
            errors.at(
                name.position,
                format!(
                    "{path}: {} is the name of the {kind} on line {}; choose another",
                    shown(&name.value),
                    first.line
                ),
            );
        } else {
            names.insert(name.value.as_str(), (interface.kind, name.position));
        }
    }
}

fn check_ipv6(interface: &RawInterface<'_>, errors: &mut ConfigErrors) {
    let ipv6 = |address: &&At<InterfaceAddress>| matches!(address.value.address, IpAddr::V6(_));
    let (Some(mtu), Some(address)) = (interface.mtu, interface.addresses.iter().find(ipv6)) else {
        return;
    };
    if mtu < IPV6_MTU_MIN {
        errors.at(
            address.position,
            format!(
                "{}.addresses: {} is IPv6, which needs an MTU of {IPV6_MTU_MIN} or more; {} has \
                 {mtu}, raise its `mtu`",
                interface.path,
                address.value,
                interface.label()
            ),
        );
    }
}

fn check_vlans(index: usize, port: &RawPort, errors: &mut ConfigErrors) {
    let mut ids = HashMap::new();
    for (place, vlan) in port.vlans.iter().enumerate() {
        let path = format!("ports[{index}].vlans[{place}]");
        if let Some(id) = &vlan.id
            && let Some(line) = earlier(&mut ids, id.value, id.position)
        {
            errors.at(
                id.position,
                format!("{path}.id: VLAN {} is on line {line} already; remove one", id.value),
            );
        }
        let mtus = (vlan.mtu.as_ref(), port.mtu.as_ref());
        if let (Some(At { position, value: Some(mtu) }), Some(of_port)) = mtus
            && *mtu > of_port.value
        {
            errors.at(
                *position,
                format!(
                    "{path}.mtu: {mtu} is more than the {} of the port; lower it, or raise the \
                     port's `mtu`",
                    of_port.value
                ),
            );
        }
    }
}

/// A kernel interface cannot have the name of one that a port is made of.
fn check_kernel_names(
    interfaces: &[RawInterface<'_>],
    ports: &[RawPort],
    errors: &mut ConfigErrors,
) {
    for interface in interfaces.iter().filter(|interface| interface.kernel) {
        let Some(name) = &interface.name else { continue };
        let takes = |port: &&RawPort| {
            let device = port.device.as_ref().map_or("", |device| device.value.as_str());
            device.split(',').any(|word| word.strip_prefix("iface=") == Some(&name.value))
        };
        if let Some(device) = ports.iter().find(takes).and_then(|port| port.device.as_ref()) {
            errors.at(
                name.position,
                format!(
                    "{}.name: {} is the interface of the device on line {}; choose another name \
                     for the kernel's interface",
                    interface.path,
                    shown(&name.value),
                    device.position.line
                ),
            );
        }
    }
}
