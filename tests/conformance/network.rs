//! The network that both directors are in, the same for each.
//!
//! ```text
//! clients 10.0.1.2 ... fd00:1::2 ... ── lan0 ── director ── lan1 ── servers 10.0.2.2 ... fd00:2::2
//! clients 10.1.0.0/16 fd00:a::/48 ── router 10.0.1.254 ┘
//! ```
//!
//! The director has 10.0.1.1 and fd00:1::1 on `lan0` (02:00:00:00:00:61), 10.0.2.1 and fd00:2::1 on
//! `lan1` (02:00:00:00:01:61), and the virtual addresses [`vips`]. Host N of a link is N in both
//! families (hex in IPv6) and has the MAC address 02:00:00:00:01:N or 02:00:00:00:02:N; all are
//! known to the director from the start, so nobody asks for anybody.

use std::net::IpAddr;

use lb_core::interface::{Interface, InterfaceId};
use lb_core::wire::MacAddress;

use crate::lab::Lab;

/// A frame that left a director, and by which wire.
pub(crate) type Left = (String, Vec<u8>);

/// The wires, by the name of the director's interface.
pub(crate) const WIRES: [&str; 2] = ["lan0", "lan1"];

/// The virtual addresses: 10.0.0.100 to 115 and fd00::100 to fd00::10f.
pub(crate) fn vips() -> impl Iterator<Item = String> {
    let v4 = (100..=115).map(|last| format!("10.0.0.{last}"));
    v4.chain((0x100..=0x10f).map(|last| format!("fd00::{last:x}")))
}

/// Networks of clients behind the router, and the router.
pub(crate) const BEHIND: [(&str, &str); 2] =
    [("10.1.0.0/16", "10.0.1.254"), ("fd00:a::/48", "fd00:1::fe")];

/// The last numbers of the hosts.
pub(crate) fn hosts() -> impl Iterator<Item = u8> {
    (2..=30).chain([77, 99, 254])
}

/// Addresses and MAC address of a host on the wire of that number.
pub(crate) fn host(wire: usize, last: u8) -> ([String; 2], MacAddress) {
    let group = u8::try_from(wire + 1).expect("two wires");
    let addresses = [format!("10.0.{group}.{last}"), format!("fd00:{group}::{last:x}")];
    (addresses, MacAddress([2, 0, 0, 0, group, last]))
}

/// The director's interfaces.
pub(crate) fn interfaces() -> [Interface; 2] {
    [0, 1].map(|number| {
        let mac = MacAddress([2, 0, 0, 0, number, 0x61]);
        Interface::new(WIRES[usize::from(number)], InterfaceId(number), mac, 1500)
    })
}

/// Who probes on a wire, what it asks, and the director's MAC address there.
pub(crate) fn prober(wire: &str) -> (&'static str, &'static str, MacAddress) {
    match wire {
        "lan0" => ("10.0.1.30", "10.0.1.1", MacAddress([2, 0, 0, 0, 0, 0x61])),
        _ => ("10.0.2.30", "10.0.2.1", MacAddress([2, 0, 0, 0, 1, 0x61])),
    }
}

/// On which wire a sender is, and the MAC address that its frames have there.
pub(crate) fn mac_of(address: &str) -> (usize, MacAddress) {
    let router = (0, MacAddress([2, 0, 0, 0, 1, 254]));
    match address.parse() {
        Ok(IpAddr::V4(address)) => match address.octets() {
            [10, 0, 1, last] => (0, MacAddress([2, 0, 0, 0, 1, last])),
            [10, 0, 2, last] => (1, MacAddress([2, 0, 0, 0, 2, last])),
            _ => router,
        },
        Ok(IpAddr::V6(address)) => match address.segments() {
            [0xfd00, 1, 0, 0, 0, 0, 0, last] => (0, MacAddress([2, 0, 0, 0, 1, low(last)])),
            [0xfd00, 2, 0, 0, 0, 0, 0, last] => (1, MacAddress([2, 0, 0, 0, 2, low(last)])),
            _ => router,
        },
        Err(_) => router,
    }
}

fn low(word: u16) -> u8 {
    word.to_be_bytes()[1]
}

/// Makes a host of the lab with two wires, whose near ends are `dir0` and `dir1`.
pub(crate) fn make(lab: &Lab, host: &str) {
    lab.sh(&format!("lab_director {host}"));
    for (number, wire) in WIRES.iter().enumerate() {
        let near = format!("dir{number}");
        lab.sh(&format!("ip -n $LAB-{host} link add {wire} type veth peer name {near}"));
        for end in [wire, near.as_str()] {
            lab.sh(&format!(
                "lab_run {host} ethtool -K {end} rx off tx off sg off tso off gso off gro off \
                 >/dev/null"
            ));
        }
        lab.sh(&format!("ip -n $LAB-{host} link set {near} address 02:00:00:00:0{number}:61"));
        lab.sh(&format!("ip -n $LAB-{host} link set {near} mtu 9000 promisc on up"));
        lab.sh(&format!("ip -n $LAB-{host} link set {wire} mtu 9000 promisc on up"));
    }
}
