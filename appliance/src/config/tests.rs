//! Configurations and what is wrong with them.

mod devices;
mod files;
mod interfaces;
mod ipv6;
mod marks;
mod metrics;
mod switches;

use lb_core::wire::MacAddress;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use files::configs;

/// A stand-in for the ipvsadm grammar: every command begins with a lower- or upper-case `-A`.
fn check_services(lines: &[&str]) -> Vec<(usize, String)> {
    let wrong = |line: &str| !(line.starts_with("-A ") || line.starts_with("-a "));
    let lines = lines.iter().enumerate().filter(|(_, line)| wrong(line));
    lines.map(|(index, _)| (index, "unknown command; write -A or -a".to_owned())).collect()
}

fn environment() -> Environment<'static> {
    Environment {
        cpus: vec![0, 1, 2, 3, 8],
        check_services: &check_services,
        names: &lb_core::ipvsadm::Numeric,
        find_nic: &no_nics,
    }
}

fn parse_text(text: &str) -> Result<Config, ConfigErrors> {
    parse("sluice.yaml", text, &environment())
}

/// The messages of a text, one a line.
fn mistakes(text: &str) -> String {
    parse_text(text).map_or_else(|errors| errors.to_string(), |_| "no mistake".to_owned())
}

const PORT: &str = "ports: [ { name: lan0, device: net_tap0, addresses: [10.0.10.61/24] } ]\n";

/// Asserts that lines after a valid `ports` line (line 1) have just this one mistake.
#[track_caller]
fn assert_mistake(lines: &str, expected: &str) {
    assert_eq!(mistakes(&format!("{PORT}{lines}")), format!("sluice.yaml:{expected}"), "{lines}");
}

/// Asserts that keys in the one item of `ports` (from line 4 on) have just this one mistake.
#[track_caller]
fn assert_port_mistake(lines: &str, expected: &str) {
    let text = format!("ports:\n  - name: lan0\n    device: net_tap0\n    {lines}\n");
    assert_eq!(mistakes(&text), format!("sluice.yaml:{expected}"), "{lines}");
}

#[test]
fn the_example_of_the_documentation_is_read() {
    let text = r#"
control: { socket: /run/sluice/control.sock, netlink_socket: /run/sluice/netlink.sock }
eal: { memory: 512M, hugepages: require, extra: ["--log-level=8"] }
workers: [1, 2]
idle: { mode: sleep, sleep: 1ms }
flows: { max: 4096 }
destinations: { max: 16 }
ports:
  - name: lan0
    device: "net_af_packet0,iface=dir0"
    addresses: [10.0.10.61/24]
    mac: "02:00:00:00:00:61"
    mbufs: 8191
  - { name: wan0, device: "00:04.0", addresses: [192.0.2.1/30, 192.0.2.5/30], mtu: 9000 }
vips: [10.0.10.100]
routes: [ { to: 0.0.0.0/0, via: 192.0.2.6 } ]
neighbours: [ { port: lan0, address: 10.0.10.83, mac: "02:00:00:00:00:83" } ]
services: |
  # web
  -A -t 10.0.10.100:80 -s wlc

  -a -t 10.0.10.100:80 -r 10.0.10.83 -g -w 2
"#;
    let config = parse_text(text).unwrap();
    assert_eq!(config.eal.memory_bytes, 512 << 20);
    assert_eq!(config.eal.hugepages, Hugepages::Require);
    assert_eq!(config.eal.extra, ["--log-level=8"]);
    assert_eq!(config.workers, Workers::Cpus(vec![1, 2]));
    let idle = IdleConfig { mode: IdleMode::Sleep, sleep: Duration::from_millis(1) };
    assert_eq!(config.idle, idle);
    assert_eq!((config.flows_max, config.destinations_max), (4096, 16));
    let [lan, wan] = config.ports.as_slice() else { panic!("{:?}", config.ports) };
    assert_eq!((lan.name.as_str(), lan.device.as_str()), ("lan0", "net_af_packet0,iface=dir0"));
    assert_eq!(lan.addresses[0].to_string(), "10.0.10.61/24");
    assert_eq!(lan.mac, Some(MacAddress([2, 0, 0, 0, 0, 0x61])));
    assert_eq!(lan.mbufs, Mbufs::Count(8191));
    assert_eq!((wan.device.as_str(), wan.mtu, wan.mac), ("0000:00:04.0", 9000, None));
    assert_eq!(config.vips, [IpAddr::from([10, 0, 10, 100])]);
    let [route] = config.routes.as_slice() else { panic!("{:?}", config.routes) };
    assert_eq!((route.to.to_string().as_str(), route.interface), ("0.0.0.0/0", 1));
    let [neighbour] = config.neighbours.as_slice() else { panic!("{:?}", config.neighbours) };
    let found = (neighbour.interface, neighbour.mac.to_string());
    assert_eq!(found, (0, "02:00:00:00:00:83".to_owned()));
    let services = ["-A -t 10.0.10.100:80 -s wlc", "-a -t 10.0.10.100:80 -r 10.0.10.83 -g -w 2"];
    assert_eq!(config.services, services);
}

#[test]
fn what_is_absent_or_empty_has_its_default() {
    let config = parse_text(PORT).unwrap();
    assert_eq!(config.control.socket, PathBuf::from("/run/sluice/control.sock"));
    assert_eq!(config.eal.memory_bytes, 256 << 20);
    assert_eq!(config.workers, Workers::Auto);
    assert_eq!(config.idle.sleep, Duration::from_micros(100));
    assert_eq!(config.flows_max, 1_048_576);
    let arp = ArpConfig {
        max: 4096,
        queue: 64,
        retry: Duration::from_secs(1),
        attempts: 3,
        reachable: Duration::from_secs(30),
        announce: Duration::from_secs(1),
        announcements: 3,
    };
    assert_eq!(config.arp, arp);
    assert_eq!((config.ports[0].mtu, config.ports[0].rx_descriptors), (1500, 1024));
    assert_eq!(config.ports[0].mbufs, Mbufs::Auto);
    let empty = "control:\neal: {}\nworkers:\nvips:\nroutes: ~\nneighbours: []\nservices:\n";
    assert_eq!(parse_text(&format!("{PORT}{empty}")), Ok(config));
}

#[test]
fn keys_are_known_given_once_and_not_forgotten() {
    let required = "it is required: ";
    assert_eq!(
        mistakes(""),
        format!("sluice.yaml:1:1: ports: is missing; {required}the network ports, at least one")
    );
    assert_eq!(
        mistakes("ports:\n"),
        format!("sluice.yaml:1:6: ports: has no value; {required}the network ports, at least one")
    );
    assert_eq!(
        mistakes("ports: []\n"),
        "sluice.yaml:1:8: ports: is an empty list; a director needs at least one port"
    );
    assert_eq!(
        mistakes("ports:\n  -\n"),
        "sluice.yaml:2:4: ports[0]: is empty; remove it or fill it in"
    );
    assert_eq!(
        mistakes("ports:\n  - device: net_tap0\n"),
        format!(
            "sluice.yaml:2:5: ports[0].name: is missing; {required}name of the port, 1 to 15 of \
             `A-Z a-z 0-9 . _ -`"
        )
    );
    assert_mistake("prots: []\n", "2:1: unknown key `prots`; did you mean `ports`?");
    assert_mistake("mtu: 1\n", "2:1: unknown key `mtu`; it belongs to `ports[]`");
    assert_mistake(
        "eal:\n  sockets: 1\n",
        "3:3: eal: unknown key `sockets`; known here: `memory`, `hugepages`, `attach`, `extra`",
    );
    assert_mistake(
        "eal: { vips: 1 }\n",
        "2:8: eal: unknown key `vips`; it belongs to the top level",
    );
    assert_port_mistake(
        "adresses: [10.0.0.1/24]",
        "4:5: ports[0]: unknown key `adresses`; did you mean `addresses`?",
    );
    assert_mistake("ports: []\n", "2:1: key `ports` is given twice; the first is on line 1");
    assert_mistake(
        "eal:\n  memory: 1G\n  \"memory\": 2G\n",
        "4:3: key `memory` is given twice; the first is on line 3",
    );
}

#[test]
fn types_are_those_of_the_keys() {
    assert_mistake(
        "eal: 5\n",
        "2:6: eal: the number `5` stands where keys should; write `key: value`",
    );
    assert_mistake(
        "vips: 10.0.10.100\n",
        "2:7: vips: `10.0.10.100` is not a list; write `[10.0.10.100]`",
    );
    assert_mistake(
        "vips: { a: b }\n",
        "2:7: vips: a mapping (`key: value`) is not a list; write `[first, second]`",
    );
    assert_mistake(
        "routes: { a: b }\n",
        "2:9: routes: a mapping (`key: value`) is not a list; begin each item with `- `",
    );
    assert_mistake(
        "routes: [x]\n",
        "2:10: routes[0]: `x` stands where keys should; write `key: value`",
    );
    assert_mistake(
        "flows: { max: 1M }\n",
        "2:15: flows.max: `1M` has a unit, but counts have none; write a number from 1 to 268435456",
    );
    assert_mistake(
        "flows: { max: many }\n",
        "2:15: flows.max: `many` is not a whole number; write a number from 1 to 268435456",
    );
    assert_mistake(
        "flows: { max: \"7\" }\n",
        "2:15: flows.max: `7` in quotes is text; write the number without",
    );
    assert_mistake(
        "flows: { max: 1.5 }\n",
        "2:15: flows.max: the number `1.5` is not a whole number; write a number from 1 to 268435456",
    );
    assert_mistake(
        "flows: { max: -1 }\n",
        "2:15: flows.max: -1 is out of range; write a number from 1 to 268435456",
    );
    assert_mistake(
        "flows: { max: 0 }\n",
        "2:15: flows.max: 0 is out of range; write a number from 1 to 268435456",
    );
    assert_mistake(
        "flows: { max: [] }\n",
        "2:15: flows.max: a list is not a whole number; write a number from 1 to 268435456",
    );
    assert_port_mistake(
        "mtu: 65536",
        "4:10: ports[0].mtu: 65536 is out of range; write a number from 68 to 9600",
    );
    assert_port_mistake(
        "mbufs: 1",
        "4:12: ports[0].mbufs: 1 is out of range; write a number from 64 to 67108864",
    );
    assert_mistake(
        "eal: { hugepages: no }\n",
        "2:19: eal.hugepages: `no` is not a choice; write one of `auto`, `require`, `off`",
    );
    assert_mistake(
        "eal: { extra: [-m, 256] }\n",
        "2:20: eal.extra[1]: `256` is a number, not text; write it in quotes: \"256\"",
    );
    assert_mistake(
        "control: { socket: true }\n",
        "2:20: control.socket: `true` is a truth value, not text; write it in quotes: \"true\"",
    );
    assert_mistake("control: { socket: \"\" }\n", "2:20: control.socket: is empty; write a text");
    assert_mistake(
        "control: { socket: \"a\\nb\" }\n",
        "2:20: control.socket: `a\\nb` has control characters; write plain text on one line",
    );
    assert_mistake(
        "services: [x]\n",
        "2:11: services: a list stands where a block should; write `services: |` and one command per line below",
    );
    let long = "x".repeat(108);
    let shown = "x".repeat(60);
    assert_mistake(
        &format!("control: {{ socket: {long} }}\n"),
        &format!(
            "2:20: control.socket: `{shown}...` is 108 bytes long, but the path of a socket has at most 107; choose a shorter one"
        ),
    );
}

#[test]
fn sizes_and_durations_carry_units() {
    assert_mistake(
        "eal: { memory: 256 }\n",
        "2:16: eal.memory: the number `256` has no unit; write for example `256M`",
    );
    assert_mistake(
        "eal: { memory: 256MB }\n",
        "2:16: eal.memory: `256MB` is not a size; write a whole number with K, M, G or T, for example `256M`",
    );
    assert_mistake(
        "eal: { memory: 1M }\n",
        "2:16: eal.memory: `1M` is out of range; write 16M to 1T, in steps of 1M",
    );
    assert_mistake(
        "eal: { memory: 65537K }\n",
        "2:16: eal.memory: `65537K` is out of range; write 16M to 1T, in steps of 1M",
    );
    assert_mistake(
        "idle: { sleep: 100 }\n",
        "2:16: idle.sleep: the number `100` has no unit; write for example `100us`",
    );
    assert_mistake(
        "idle: { sleep: 1m }\n",
        "2:16: idle.sleep: `1m` is not a duration; write a whole number with us, ms, s, min or h, for example `100us`",
    );
    assert_mistake(
        "idle: { sleep: 2s }\n",
        "2:16: idle.sleep: `2s` is out of range; write 1us to 1s",
    );
    assert_mistake(
        "arp: { reachable: [] }\n",
        "2:19: arp.reachable: a list stands where a value should; write for example `100us`",
    );
}

#[test]
fn workers_run_on_cpus_that_exist_and_once() {
    assert_mistake(
        "workers: 2\n",
        "2:10: workers: `2` is not a list of CPUs; write `[2]` or `auto`",
    );
    assert_mistake(
        "workers: all\n",
        "2:10: workers: `all` is neither `auto` nor a list of CPUs; write for example `[1, 2]`",
    );
    assert_mistake(
        "workers: []\n",
        "2:10: workers: no CPU is left to forward packets; name one, or `auto`",
    );
    assert_mistake(
        "workers: [1, 4]\n",
        "2:14: workers[1]: CPU 4 does not exist or may not be used; there are 0-3, 8",
    );
    assert_mistake(
        "workers: [1, 1]\n",
        "2:14: workers[1]: CPU 1 has a worker from line 2; remove one",
    );
    assert_mistake(
        "workers: [1, x]\n",
        "2:14: workers[1]: `x` is not a whole number; write a number from 0 to 65535",
    );
}

#[test]
fn ports_do_not_share_names_devices_addresses_or_subnets() {
    let two = |second: &str| {
        mistakes(&format!(
            "ports:\n- {{ name: a, device: net_tap0, addresses: [10.0.0.1/24, 10.0.0.2/24] }}\n- {second}\n"
        ))
    };
    assert_eq!(
        two("{ name: a, device: net_tap1 }"),
        "sluice.yaml:3:11: ports[1].name: `a` is the name of the port on line 2; choose another"
    );
    assert_eq!(
        two("{ name: b, device: \"net_tap0,iface=x\" }"),
        "sluice.yaml:3:22: ports[1].device: `net_tap0` is the device of the port on line 2; each port needs its own"
    );
    assert_eq!(
        two("{ name: b, device: net_tap1, addresses: [10.0.0.3/24] }"),
        "sluice.yaml:3:44: ports[1].addresses[0]: subnet 10.0.0.0/24 is reached through port `a` already, by line 2; one subnet is on one port"
    );
    assert_eq!(
        two("{ name: b, device: net_tap1, addresses: [10.0.0.1/16] }"),
        "sluice.yaml:3:44: ports[1].addresses[0]: 10.0.0.1 is an address of port `a` already, on line 2; remove one"
    );
    assert_port_mistake(
        "addresses: [10.0.0.1/24, 10.0.0.1/24]",
        "4:30: ports[0].addresses[1]: 10.0.0.1 is an address of port `lan0` already, on line 4; remove one",
    );
    assert_port_mistake(
        "mac: \"01:00:5e:00:00:01\"",
        "4:10: ports[0].mac: `01:00:5e:00:00:01` is a group address or zero; write the address of one station",
    );
    assert_port_mistake(
        "mac: 02-00",
        "4:10: ports[0].mac: `02-00` is not a MAC address; write six pairs of hexadecimal digits, for example 02:00:00:00:00:83",
    );
    let many: String =
        (0..33).map(|n| format!("- {{ name: p{n}, device: net_tap{n} }}\n")).collect();
    assert_eq!(
        mistakes(&format!("ports:\n{many}")),
        "sluice.yaml:34:3: ports: there are 33, but DPDK is built for 32; remove this and the rest"
    );
    assert_eq!(
        mistakes("ports: [ { name: a b, device: eth 0 } ]"),
        "sluice.yaml:1:18: ports[0].name: `a b` cannot be the name of a port; write 1 to 15 of `A-Z a-z 0-9 . _ -`, for example `lan0`\nsluice.yaml:1:31: ports[0].device: `eth 0` is not a device; write a PCI address (`0000:00:04.0`) or a virtual device with its arguments (`net_af_packet0,iface=eth0`), without spaces"
    );
}

#[test]
fn routes_lead_to_gateways_on_a_subnet() {
    assert_mistake(
        "routes: [ { to: 0.0.0.0/0, via: 10.0.11.1 } ]\n",
        "2:33: routes[0].via: 10.0.11.1 is on no port's subnet; choose a gateway on one of them (10.0.10.0/24)",
    );
    assert_mistake(
        "routes: [ { to: 0.0.0.0/0, via: 10.0.10.61 } ]\n",
        "2:33: routes[0].via: 10.0.10.61 is an address of the director itself (port `lan0`); name another host",
    );
    assert_mistake(
        "routes: [ { to: 10.1.0.1/16, via: 10.0.10.1 } ]\n",
        "2:17: routes[0].to: `10.1.0.1/16` has bits set behind its prefix; write `10.1.0.0/16`, or `10.1.0.1/32` for the one host",
    );
    assert_mistake(
        "routes:\n- { to: 10.1.0.0/16, via: 10.0.10.1 }\n- { to: 10.1.0.0/16, via: 10.0.10.2 }\n",
        "4:9: routes[1].to: 10.1.0.0/16 has a route from line 3; keep one",
    );
    assert_mistake(
        "routes:\n- to: 10.1.0.0/16\n",
        "3:3: routes[0].via: is missing; it is required: the gateway, on the subnet of a port, or a link-local address with `port`",
    );
}

#[test]
fn neighbours_are_on_a_subnet_of_their_port() {
    let neighbour = |port: &str, address: &str| {
        format!(
            "neighbours: [ {{ port: {port}, address: {address}, mac: \"02:00:00:00:00:83\" }} ]\n"
        )
    };
    assert_mistake(
        &neighbour("lan1", "10.0.10.83"),
        "2:23: neighbours[0].port: there is no port `lan1`; the ports are: lan0",
    );
    assert_mistake(
        &neighbour("lan0", "10.0.11.83"),
        "2:38: neighbours[0].address: 10.0.11.83 is on no subnet of port `lan0`; its subnets are: 10.0.10.0/24",
    );
    assert_mistake(
        &neighbour("lan0", "10.0.10.61"),
        "2:38: neighbours[0].address: 10.0.10.61 is an address of the director itself (port `lan0`); name another host",
    );
    let two = "ports:\n- { name: a, device: net_tap0, addresses: [10.0.0.1/8] }\n- { name: b, device: net_tap1, addresses: [10.1.0.1/16] }\n";
    assert_eq!(
        mistakes(&format!("{two}{}", neighbour("a", "10.1.0.2"))),
        "sluice.yaml:4:35: neighbours[0].address: 10.1.0.2 is reached through port `b`, not \
         through port `a`; name that port"
    );
    let item = "- { port: lan0, address: 10.0.10.83, mac: \"02:00:00:00:00:83\" }\n";
    assert_mistake(
        &format!("neighbours:\n{item}{item}"),
        "4:26: neighbours[1].address: 10.0.10.83 is given on line 3 already; keep one",
    );
}

/// What cannot be judged because its ground is missing is not called wrong as well.
#[test]
fn one_mistake_does_not_make_others() {
    let text = "ports:\n- name: lan0\n  device: net_tap0\n  addresses: [10.0.10/24]\nroutes: [ { to: 0.0.0.0/0, via: 10.0.10.1 } ]\nneighbours: [ { port: lan0, address: 10.0.10.2, mac: \"02:00:00:00:00:83\" } ]\n";
    let address = "4:15: ports[0].addresses[0]: `10.0.10` is not an IP address; write for example `10.0.10.61`";
    assert_eq!(mistakes(text), format!("sluice.yaml:{address}"));
    let mistyped = text.replace("addresses", "adresses");
    let key = "4:3: ports[0]: unknown key `adresses`; did you mean `addresses`?";
    assert_eq!(mistakes(&mistyped), format!("sluice.yaml:{key}"));
}

#[test]
fn service_lines_have_their_own_positions() {
    let problem = |command: &str| format!("services: `{command}`: unknown command; write -A or -a");
    assert_mistake(
        "services: |\n  # -x is a comment\n\n  -A -t 1\n    -x y\n",
        &format!("6:5: {}", problem("-x y")),
    );
    assert_mistake(
        "services: |-  # strip\n\n\n   -A -t 1\n   -x\n",
        &format!("6:4: {}", problem("-x")),
    );
    assert_mistake("services: |1\n    -A -t 1\n  -x\n", &format!("4:3: {}", problem("-x")));
    assert_mistake("services: |1\n    \n  -x\n", &format!("4:3: {}", problem("-x")));
    assert_mistake("services: |\r\n  -A -t 1\r\n  -x\r\n", &format!("4:3: {}", problem("-x")));
    assert_mistake("services:\n  |\n  -A -t 1\n  -x", &format!("5:3: {}", problem("-x")));
    // Other scalars have no lines of their own in the file: the scalar's place is named.
    assert_mistake("services: -x y\n", &format!("2:11: {}", problem("-x y")));
    assert_mistake("services: \"-A 1\\n-x\\n\"\n", &format!("2:11: {}", problem("-x")));
    assert_mistake("services: >\n  -A 1\n\n  -x\n", &format!("3:3: {}", problem("-x")));
    assert_mistake("services: |\n  -x\n", &format!("3:3: {}", problem("-x")));
    let fine = parse_text(&format!("{PORT}services: |\n\n\n")).unwrap();
    assert_eq!(fine.services, [""; 0]);
}

#[test]
fn a_byte_order_mark_means_nothing() {
    assert_eq!(parse_text(&format!("\u{feff}{PORT}")), parse_text(PORT));
    assert_eq!(
        mistakes("\u{feff}x: 1\nports: 5").lines().next(),
        mistakes("x: 1\nports: 5").lines().next()
    );
}

#[test]
fn text_that_is_not_plain_yaml_is_refused() {
    assert_mistake(
        "eal:\n\tmemory: 1G\n",
        "3:1: a tab in the indentation, which YAML does not allow; use spaces",
    );
    assert_mistake(
        "vips: [10.0.0.1\n",
        "3:1: not valid YAML: while parsing a flow sequence, expected ',' or ']'",
    );
    assert_mistake(
        "a: b: c\n",
        "2:5: not valid YAML: mapping values are not allowed in this context",
    );
    assert_mistake(
        "vips: &v []\n",
        "2:7: YAML anchors (`&name`) are not supported; remove it and write values out where they are used",
    );
    assert_mistake(
        "vips: *v\n",
        "2:7: YAML aliases (`*name`) are not supported; write the value out here",
    );
    assert_mistake("vips: !x []\n", "2:7: YAML tags (`!name`) are not supported; remove it");
    assert_mistake(
        "---\nvips: []\n",
        "2:1: a second YAML document begins here; keep one, without further `---`",
    );
    assert_mistake("? [a]\n: b\n", "2:3: a list cannot be a key; a key is a word");
    let deep = "nested more than 16 levels deep; no key is as deep as that";
    assert_mistake(&format!("vips: {}\n", "[".repeat(20)), &format!("2:22: {deep}"));
    assert_eq!(
        mistakes("- a\n"),
        "sluice.yaml:1:1: a list stands where keys should; write `key: value`"
    );
    assert_eq!(
        mistakes("text"),
        "sluice.yaml:1:1: `text` stands where keys should; write `key: value`"
    );
    assert_eq!(mistakes(&"[".repeat(1 << 20)).rsplit(": ").next(), Some(deep));
    assert_eq!(mistakes(&"- ".repeat(1 << 20)).rsplit(": ").next(), Some(deep));
}

#[test]
fn aliases_of_aliases_are_never_expanded() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..200 {
        let alias = format!("*a{}", level - 1);
        text += &format!("a{level}: &a{level} [{}]\n", [alias.as_str(); 10].join(", "));
    }
    let errors = parse_text(&text).unwrap_err();
    assert!(errors.to_string().contains("YAML aliases (`*name`) are not supported"));
    assert!(errors.errors().len() < 200 * 12 + 2);
}

#[test]
fn a_huge_number_of_values_is_refused() {
    let text = format!("vips: [{}]\n", "1,".repeat((1 << 20) + 1));
    let expected = "more than 1048576 keys and values; is it the right file?";
    assert_eq!(mistakes(&text).split_once(": ").unwrap().1, expected);
}

#[test]
fn files_that_cannot_be_read_say_why() {
    let directory = TestDirectory::new("files");
    let at = |name: &str| directory.0.join(name);
    let message = |name: &str| {
        let path = at(name);
        let errors = load(&path, &environment()).unwrap_err().to_string();
        errors.strip_prefix(&path.display().to_string()).unwrap().to_owned()
    };
    assert_eq!(message("none"), ": does not exist; name an existing file");
    assert_eq!(message(""), ": is a directory; name the configuration file in it");
    fs::write(at("latin1"), b"# ok\n# caf\xe9\n").unwrap();
    assert_eq!(message("latin1"), ":2:6: byte 0xe9 is not UTF-8; save the file as UTF-8 text");
    fs::write(at("utf16"), b"\xff\xfep\0o\0").unwrap();
    assert_eq!(message("utf16"), ":1:1: byte 0xff is not UTF-8; save the file as UTF-8 text");
    File::create(at("huge")).unwrap().set_len(FILE_BYTES_MAX + 1).unwrap();
    let huge = message("huge");
    assert!(huge.starts_with(": is longer than 16 MiB; is it the right file?"), "{huge}");
    let device = load(Path::new("/dev/zero"), &environment()).unwrap_err();
    assert!(device.to_string().starts_with("/dev/zero: is not a regular file"), "{device}");
    fs::write(at("good"), PORT).unwrap();
    assert_eq!(load(&at("good"), &environment()), parse_text(PORT));
}

/// A directory that is removed when the test is over.
struct TestDirectory(PathBuf);

impl TestDirectory {
    fn new(name: &str) -> Self {
        let unique = format!("sluice-config-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(unique);
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for TestDirectory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn every_mistake_of_a_file_is_reported_in_order() {
    let text = "\
control: { sokcet: /run/x.sock }
eal:
  memory: 256
  hugepages: sometimes
workers: [1, 1, 99]
flows: { max: 1M }
ports:
  - name: lan0
    device: net_tap0
    addresses: [10.0.10.61/24]
    mtu: 100000
  - name: lan0
    device: net_tap0
    addresses: [10.0.10.62/24, 10.0.10.61/16]
vips: [10.0.10.61, 10.0.10.100, 10.0.10.100, \"::1\"]
routes:
  - { to: 0.0.0.0/0, via: 192.0.2.1 }
neighbours:
  - { port: lan7, address: 10.0.10.83, mac: \"02:00:00:00:00:83\" }
  - { port: lan0, address: 172.16.0.1, mac: 02:00 }
services: |
  -A -t 10.0.10.100:80 -s wlc
  -Q -t 10.0.10.100:80
vips: []
";
    let expected = "\
1:12: control: unknown key `sokcet`; did you mean `socket`?
3:11: eal.memory: the number `256` has no unit; write for example `256M`
4:14: eal.hugepages: `sometimes` is not a choice; write one of `auto`, `require`, `off`
5:14: workers[1]: CPU 1 has a worker from line 5; remove one
5:17: workers[2]: CPU 99 does not exist or may not be used; there are 0-3, 8
6:15: flows.max: `1M` has a unit, but counts have none; write a number from 1 to 268435456
11:10: ports[0].mtu: 100000 is out of range; write a number from 68 to 9600
12:11: ports[1].name: `lan0` is the name of the port on line 8; choose another
13:13: ports[1].device: `net_tap0` is the device of the port on line 9; each port needs its own
14:17: ports[1].addresses[0]: subnet 10.0.10.0/24 is reached through port `lan0` already, by line 10; one subnet is on one port
14:32: ports[1].addresses[1]: 10.0.10.61 is an address of port `lan0` already, on line 10; remove one
15:8: vips[0]: 10.0.10.61 is an address of port `lan0` already, on line 10; remove one
15:33: vips[2]: 10.0.10.100 is an address of `vips` already, on line 15; remove one
15:46: vips[3]: `::1` is a loopback address; write the unicast address of a host
17:27: routes[0].via: 192.0.2.1 is on no port's subnet; choose a gateway on one of them (10.0.0.0/16, 10.0.10.0/24)
19:13: neighbours[0].port: there is no port `lan7`; the ports are: lan0, lan0
20:28: neighbours[1].address: 172.16.0.1 is on no subnet of port `lan0`; its subnets are: 10.0.10.0/24
20:45: neighbours[1].mac: `02:00` is not a MAC address; write six pairs of hexadecimal digits, for example 02:00:00:00:00:83
23:3: services: `-Q -t 10.0.10.100:80`: unknown command; write -A or -a
24:1: key `vips` is given twice; the first is on line 15";
    let expected: Vec<String> =
        expected.lines().map(|line| format!("sluice.yaml:{line}")).collect();
    assert_eq!(mistakes(text), expected.join("\n"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        // What `load` does with the bytes of a file.
        if let Ok(text) = text_of(&bytes) {
            let _ = parse_text(text);
        }
        let _ = parse_text(&String::from_utf8_lossy(&bytes));
    }

    /// Text made of the signs that YAML and our keys are made of gets far deeper than bytes.
    #[test]
    fn arbitrary_yaml_never_panics(pieces in prop::collection::vec(piece(), 0..60)) {
        let text = pieces.concat();
        if let Err(errors) = parse_text(&text) {
            prop_assert!(!errors.errors().is_empty());
            // A carriage return alone ends a line of YAML, too.
            let lines = text.matches(['\n', '\r']).count() + 2;
            let positions: Vec<_> = errors.errors().iter().map(|error| error.position).collect();
            prop_assert!(positions.is_sorted());
            for position in positions.into_iter().flatten() {
                prop_assert!(position.line >= 1 && position.line <= lines && position.column >= 1);
            }
        }
    }

    /// A valid file with one character replaced.
    #[test]
    fn damaged_files_never_panic(at in any::<prop::sample::Index>(), with in piece()) {
        let text = fs::read_to_string(configs().join("sluice.yaml")).unwrap();
        let at = text.char_indices().map(|(at, _)| at).nth(at.index(text.chars().count())).unwrap();
        let _ = parse_text(&format!("{}{with}{}", &text[..at], &text[at..]));
    }
}

fn piece() -> impl Strategy<Value = String> {
    let signs = [
        "\n",
        "\n  ",
        "\n    ",
        "- ",
        ": ",
        ", ",
        "{",
        "}",
        "[",
        "]",
        "|",
        ">",
        "|2-\n",
        "&a ",
        "*a",
        "!t ",
        "? ",
        "#",
        "\"",
        "'",
        "\\",
        "\t",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
        "\r",
        "~",
        "é",
        "\u{feff}",
        "\u{85}",
        "\0",
        "<<",
        "@",
        "`",
        "-",
        "1",
        "-1",
        "99999999999999999999",
        "10.0.0.1",
        "10.0.0.1/24",
        "10.0.0.0/0",
        "::1",
        "fd00::1/64",
        "02:00:00:00:00:01",
        "lan0",
        "1s",
        "16M",
        "auto",
        "net_tap0",
        "-A -t x",
    ];
    let names: Vec<String> = keys().map(|key| format!("{}: ", key.name())).collect();
    let signs = signs.into_iter().map(str::to_owned).chain(names);
    prop::sample::select(signs.collect::<Vec<_>>())
}
