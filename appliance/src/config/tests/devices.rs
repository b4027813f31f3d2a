//! NICs that are named by their MAC addresses, or the kernel's interfaces.

use super::*;

/// A machine with one NIC.
fn parse_with_nic(text: &str) -> Result<Config, ConfigErrors> {
    let find_nic = &|name: &NicName| match name {
        NicName::Mac(mac) if mac.to_string() == "52:54:00:00:00:04" => Ok("0000:00:04.0".into()),
        NicName::Interface(name) if name == "eth1" => Ok("0000:00:04.0".to_owned()),
        other => Err(format!("no NIC has the {other}")),
    };
    parse("sluice.yaml", text, &Environment { find_nic, ..environment() })
}

#[track_caller]
fn assert_device_mistake(device: &str, expected: &str) {
    let text = format!("ports: [ {{ name: lan0, device: {device} }} ]\n");
    let problem = parse_with_nic(&text).unwrap_err().to_string();
    assert_eq!(problem, format!("sluice.yaml:{expected}"), "{device}");
}

#[test]
fn a_nic_is_found_by_its_mac_address_or_interface() {
    for device in ["{ mac: \"52:54:00:00:00:04\" }", "{ interface: eth1 }"] {
        let text = format!("ports: [ {{ name: lan0, device: {device} }} ]\n");
        let config = parse_with_nic(&text).unwrap();
        let device = &config.ports[0].device;
        assert!(device.is_pci() && device.chosen_by().is_some());
        assert_eq!(
            (device.as_str(), device.to_string().as_str()),
            ("0000:00:04.0", "0000:00:04.0")
        );
    }
}

#[test]
fn a_nic_has_one_name_that_is_right() {
    assert_device_mistake(
        "{ interface: eth9 }",
        "1:32: ports[0].device: no NIC has the interface eth9",
    );
    assert_device_mistake(
        "{}",
        "1:32: ports[0].device: name the NIC by its `mac` or its `interface`",
    );
    assert_device_mistake(
        "{ mac: \"52:54:00:00:00:04\", interface: eth1 }",
        "1:32: ports[0].device: name the NIC by its `mac` or its `interface`, not by both",
    );
    assert_device_mistake(
        "{ interface: eth 1 }",
        "1:45: ports[0].device.interface: `eth 1` cannot be the name of an interface; write 1 to \
         15 characters without blanks and `/`, for example `eth1`",
    );
    let problem = parse_with_nic("ports: [ { name: lan0, device: { pci: x } } ]").unwrap_err();
    assert!(problem.to_string().contains("ports[0].device: unknown key `pci`"), "{problem}");
}

#[test]
fn a_nic_that_is_missing_may_come() {
    let port = |name, device| format!("{{ name: {name}, device: {device} }}");
    let (absent, wrong) = (port("lan0", "{ interface: eth9 }"), port("lan1", "{}"));
    let may_pass = |ports: &[&str]| {
        parse_with_nic(&format!("ports: [ {} ]", ports.join(", "))).unwrap_err().may_pass()
    };
    assert!(may_pass(&[&absent]));
    assert!(!may_pass(&[&wrong]));
    assert!(!may_pass(&[&absent, &wrong]));
}

#[test]
fn two_names_of_one_nic_are_one_device() {
    let text = "\
ports:
- { name: lan0, device: { interface: eth1 } }
- { name: wan0, device: \"0000:00:04.0\" }
";
    let problem = parse_with_nic(text).unwrap_err().to_string();
    let expected = "sluice.yaml:3:25: ports[1].device: `0000:00:04.0` is the device of the port on \
                    line 2; each port needs its own";
    assert_eq!(problem, expected);
}
