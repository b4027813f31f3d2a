//! VLANs and kernel interfaces of ports.

use super::*;

/// Asserts that lines in the one item of `ports` (from line 5 on) have just this one mistake.
#[track_caller]
fn assert_mistake(lines: &str, expected: &str) {
    let text = format!(
        "ports:\n  - name: lan0\n    device: \"net_af_packet0,iface=eth1\"\n    addresses: [10.0.10.61/24]\n    {lines}\n"
    );
    assert_eq!(mistakes(&text), format!("sluice.yaml:{expected}"), "{lines}");
}

#[test]
fn vlans_are_interfaces_behind_the_ports() {
    let text = "\
ports:
- name: lan0
  device: net_tap0
  mtu: 9000
  vlans:
  - { id: 100, addresses: [10.0.100.61/24] }
  - { id: 200, name: storage, mtu: 1500, kernel: true }
- { name: wan0, device: net_tap1, kernel: true, vlans: [ { id: 100 } ] }
routes: [ { to: 0.0.0.0/0, via: 10.0.100.1 } ]
neighbours: [ { port: lan0.100, address: 10.0.100.2, mac: \"02:00:00:00:00:02\" } ]
";
    let config = parse_text(text).unwrap();
    let shown: Vec<_> =
        config.interfaces().map(|i| (i.name, i.port, i.vlan, i.mtu, i.kernel)).collect();
    let expected = [
        ("lan0", 0, None, 9000, false),
        ("wan0", 1, None, 1500, true),
        ("lan0.100", 0, Some(100), 9000, false),
        ("storage", 0, Some(200), 1500, true),
        ("wan0.100", 1, Some(100), 1500, false),
    ];
    assert_eq!(shown, expected);
    assert_eq!(config.routes[0].interface, 2);
    assert_eq!(config.neighbours[0].interface, 2);
}

#[test]
fn vlans_have_numbers_names_and_mtus_that_fit() {
    assert_mistake(
        "vlans: [ { name: x } ]",
        "5:14: ports[0].vlans[0].id: is missing; it is required: number of the VLAN",
    );
    assert_mistake(
        "vlans: [ { id: 4095 } ]",
        "5:20: ports[0].vlans[0].id: 4095 is out of range; write a number from 1 to 4094",
    );
    assert_mistake(
        "vlans: [ { id: 7 }, { id: 7, name: x } ]",
        "5:31: ports[0].vlans[1].id: VLAN 7 is on line 5 already; remove one",
    );
    assert_mistake(
        "vlans: [ { id: 7, name: lan0 } ]",
        "5:29: ports[0].vlans[0].name: `lan0` is the name of the port on line 2; choose another",
    );
    assert_mistake(
        "vlans: [ { id: 7, name: x }, { id: 8, name: x } ]",
        "5:49: ports[0].vlans[1].name: `x` is the name of the VLAN on line 5; choose another",
    );
    assert_mistake(
        "vlans: [ { id: 7, mtu: 9000 } ]",
        "5:28: ports[0].vlans[0].mtu: 9000 is more than the 1500 of the port; lower it, or raise the port's `mtu`",
    );
    assert_mistake(
        "vlans: [ { id: 7, addresses: [10.0.10.62/24] } ]",
        "5:35: ports[0].vlans[0].addresses[0]: subnet 10.0.10.0/24 is reached through port `lan0` already, by line 4; one subnet is on one port",
    );
    assert_mistake(
        "vlans: [ 7 ]",
        "5:14: ports[0].vlans[0]: the number `7` stands where keys should; write `key: value`",
    );
    assert_eq!(
        mistakes("ports: [ { name: verylongname, device: net_tap0, vlans: [ { id: 1000 } ] } ]"),
        "sluice.yaml:1:59: ports[0].vlans[0].name: `verylongname.1000` would be longer than 15 bytes; give the VLAN a `name`"
    );
    let many: String = (1..=256).map(|id| format!("{{ id: {id} }}, ")).collect();
    assert_eq!(
        mistakes(&format!("ports: [ {{ name: a, device: net_tap0, vlans: [ {many} ] }} ]")),
        "sluice.yaml:1:10: ports: there are 257 ports and VLANs together, but 256 at most; remove some"
    );
}

#[test]
fn kernel_interfaces_have_names_that_are_free() {
    assert_mistake(
        "kernel: yes",
        "5:13: ports[0].kernel: `yes` is no truth value; write `true` or `false`",
    );
    assert_mistake(
        "vlans: [ { id: 7, name: eth1, kernel: true } ]",
        "5:29: ports[0].vlans[0].name: `eth1` is the interface of the device on line 3; choose another name for the kernel's interface",
    );
    assert_mistake(
        "vlans: [ { id: 7, name: eth1 } ]\n    kernel: 1",
        "6:13: ports[0].kernel: the number `1` is no truth value; write `true` or `false`",
    );
    let same = "ports: [ { name: eth1, device: \"net_af_packet0,iface=eth1\", kernel: true } ]";
    assert_eq!(
        mistakes(same),
        "sluice.yaml:1:18: ports[0].name: `eth1` is the interface of the device on line 1; choose another name for the kernel's interface"
    );
    let many: String = (1..=32).map(|id| format!("{{ id: {id}, kernel: true }}, ")).collect();
    assert_eq!(
        mistakes(&format!("ports: [ {{ name: a, device: net_tap0, vlans: [ {many} ] }} ]")),
        "sluice.yaml:1:10: ports: 1 ports and 32 kernel interfaces are too many: DPDK is built for 32 together; set `kernel: false` on some"
    );
}

#[test]
fn vips_are_addresses_of_their_own() {
    super::assert_mistake(
        "vips: [10.0.10.61]\n",
        "2:8: vips[0]: 10.0.10.61 is an address of port `lan0` already, on line 1; remove one",
    );
    super::assert_mistake(
        "vips:\n- 10.0.0.7\n- 10.0.0.7\n",
        "4:3: vips[1]: 10.0.0.7 is an address of `vips` already, on line 3; remove one",
    );
    super::assert_mistake(
        "vips: [10.0.0.7/32]\n",
        "2:8: vips[0]: `10.0.0.7/32` is not an IP address; write for example `10.0.10.61`",
    );
    super::assert_mistake("vips: [[]]\n", "2:8: vips[0]: a list stands where one value should");
}
