//! IPv6 where addresses stand.

use super::*;

/// A port with both families; the lines after it begin on line 2.
const BOTH: &str = "ports: [ { name: lan0, device: net_tap0, addresses: [10.0.10.61/24, \"fd00::61/64\"] }, { name: wan0, device: net_tap1 } ]\n";

#[track_caller]
fn assert_mistake(lines: &str, expected: &str) {
    assert_eq!(mistakes(&format!("{BOTH}{lines}")), format!("sluice.yaml:{expected}"), "{lines}");
}

#[test]
fn addresses_routes_and_neighbours_are_of_either_family() {
    let text = format!(
        "{BOTH}vips: [\"fd00::99\"]\nroutes:\n- {{ to: \"::/0\", via: \"fd00::1\" }}\n- {{ to: \"fd01::/16\", via: \"fe80::1\", port: wan0 }}\nneighbours: [ {{ port: wan0, address: \"fe80::1\", mac: \"02:00:00:00:00:01\" }} ]\n"
    );
    let config = parse_text(&text).unwrap();
    assert_eq!(config.ports[0].addresses[1].to_string(), "fd00::61/64");
    assert_eq!(config.vips[0].to_string(), "fd00::99");
    let routes: Vec<_> =
        config.routes.iter().map(|r| (r.to.to_string(), r.via.to_string(), r.interface)).collect();
    let expected = [("::/0", "fd00::1", 0), ("fd01::/16", "fe80::1", 1)];
    assert_eq!(routes, expected.map(|(to, via, at)| (to.to_owned(), via.to_owned(), at)));
    assert_eq!(config.neighbours[0].interface, 1);
}

#[test]
fn a_link_local_gateway_names_its_link() {
    assert_mistake(
        "routes: [ { to: \"::/0\", via: \"fe80::1\" } ]\n",
        "2:30: routes[0].via: fe80::1 is a link-local address, which may be on any link; name the `port` that it is on",
    );
    assert_mistake(
        "routes: [ { to: \"::/0\", via: \"fe80::1\", port: lan1 } ]\n",
        "2:47: routes[0].port: there is no port `lan1`; the ports are: lan0, wan0",
    );
    assert_mistake(
        "routes: [ { to: \"::/0\", via: \"fd00::1\", port: wan0 } ]\n",
        "2:30: routes[0].via: fd00::1 is reached through port `lan0`, not through port `wan0`; name that port",
    );
    assert_mistake(
        "routes: [ { to: 0.0.0.0/0, via: \"fd00::1\" } ]\n",
        "2:33: routes[0].via: fd00::1 is of the other address family than 0.0.0.0/0; name a gateway of the same",
    );
}

#[test]
fn addresses_of_ipv6_are_those_of_one_host() {
    let port = |address: &str| {
        mistakes(&format!(
            "ports: [ {{ name: lan0, device: net_tap0, addresses: [\"{address}\"] }} ]\n"
        ))
    };
    let at = "sluice.yaml:1:54: ports[0].addresses[0]";
    assert_eq!(
        port("fe80::1/64"),
        format!(
            "{at}: `fe80::1` is a link-local address, which each interface makes of its MAC address; write another"
        )
    );
    assert_eq!(
        port("fd00::/64"),
        format!(
            "{at}: `fd00::/64` is the address of all routers of the subnet, which no port can have; choose one between"
        )
    );
    assert_mistake(
        "vips: [\"fd00::61\"]\n",
        "2:8: vips[0]: fd00::61 is an address of port `lan0` already, on line 1; remove one",
    );
    assert_mistake(
        "vips: [\"::ffff:10.0.0.1\"]\n",
        "2:8: vips[0]: `::ffff:10.0.0.1` is an IPv4 address in IPv6's clothes; write the unicast address of a host",
    );
    let small =
        "ports: [ { name: lan0, device: net_tap0, mtu: 1000, addresses: [\"fd00::1/64\"] } ]\n";
    assert_eq!(
        mistakes(small),
        "sluice.yaml:1:65: ports[0].addresses: fd00::1/64 is IPv6, which needs an MTU of 1280 or more; port `lan0` has 1000, raise its `mtu`"
    );
}
