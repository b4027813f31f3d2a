//! The network that a machine is in: clients and servers on two wires, and one for its management.
//!
//! On `lan` the host client (10.0.10.1, fd00:10::1) and the real servers rs1 and rs2 (.83, .84),
//! which have the VIP and unpack tunnels; on `backend` nat1 and nat2 (10.0.20.83, .84), whose
//! gateway is the director at .61.

use crate::config::Config;
use crate::lab::{Lab, VIP, VIP6};

/// A NIC of the machine, and where it goes.
#[derive(Debug)]
pub(crate) struct Wire {
    /// Its interface in the lab's host `director`, and the tap beside that.
    interface: &'static str,
    pub(crate) tap: &'static str,
    /// The lab's switch.
    switch: &'static str,
    /// QEMU's names of the NIC, of its end of the wire, and of the slot that it is in.
    pub(crate) nic: &'static str,
    pub(crate) net: &'static str,
    pub(crate) slot: &'static str,
    pub(crate) mac: &'static str,
    /// Where the guest finds it: the only device behind a port of its own.
    pub(crate) pci: &'static str,
}

/// Those of the director.
pub(crate) const WIRES: [Wire; 2] = [
    Wire {
        interface: "dir0",
        tap: "tap0",
        switch: "lan",
        nic: "nic0",
        net: "net0",
        slot: "slot0",
        mac: "52:54:00:00:10:61",
        pci: "0000:01:00.0",
    },
    Wire {
        interface: "dir1",
        tap: "tap1",
        switch: "backend",
        nic: "nic1",
        net: "net1",
        slot: "slot1",
        mac: "52:54:00:00:20:61",
        pci: "0000:02:00.0",
    },
];

/// The NIC that the guest's kernel keeps, in the images that have one, and the hosts on its wire:
/// the machine, and who administers it.
pub(crate) const MANAGEMENT_TAP: &str = "tap2";
pub(crate) const MANAGEMENT_MAC: &str = "52:54:00:00:30:61";
pub(crate) const MANAGEMENT: &str = "10.0.30.61";
pub(crate) const ADMIN: &str = "10.0.30.1";

/// Where the VIP serves by each method, as services of ipvsadm have it.
pub(crate) const DIRECT: u16 = 80;
pub(crate) const TUNNEL: u16 = 81;
pub(crate) const MASQUERADED: u16 = 82;

/// The network, with web servers, whose pages are their names.
pub(crate) fn build(queues: u32) -> Lab {
    let lab = Lab::new();
    for switch in ["lan", "backend"] {
        lab.sh(&format!("lab_switch {switch}"));
    }
    lab.sh("lab_host client lan 10.0.10.1/24");
    lab.sh("lab_address6 client eth0 fd00:10::1/64");
    for (host, number) in [("rs1", 83), ("rs2", 84)] {
        lab.sh(&format!("lab_real_server {host} lan 10.0.10.{number}/24 - {VIP} {VIP6}"));
        lab.sh(&format!("lab_address6 {host} eth0 fd00:10::{number}/64"));
        lab.sh(&format!("lab_nginx {host} {host} {DIRECT} {TUNNEL}"));
        lab.sh(&format!("lab_decapsulate {host}"));
    }
    for (host, number) in [("nat1", 83), ("nat2", 84)] {
        lab.sh(&format!("lab_host {host} backend 10.0.20.{number}/24 10.0.20.61"));
        lab.sh(&format!("lab_address6 {host} eth0 fd00:20::{number}/64 fd00:20::61"));
        lab.sh(&format!("lab_nginx {host} {host} 8080"));
    }
    for (first, second) in [("rs1", "rs2"), ("nat1", "nat2")] {
        // A file is the same on both, whichever the scheduler picks.
        lab.sh(&format!("rmdir $LAB_DIR/{second}/www/up"));
        for name in ["up", "file"] {
            lab.sh(&format!("ln -s $LAB_DIR/{first}/www/{name} $LAB_DIR/{second}/www/{name}"));
        }
    }
    lab.sh("lab_director director");
    let several = if queues > 1 { "several" } else { "" };
    for Wire { interface, tap, switch, .. } in WIRES {
        lab.sh(&format!("lab_attach_director director {interface} {switch}"));
        lab.sh(&format!("lab_tap director {interface} {tap} {several}"));
    }
    lab.sh("lab_switch office");
    lab.sh(&format!("lab_host admin office {ADMIN}/24"));
    lab.sh("lab_attach_director director dir2 office");
    lab.sh(&format!("lab_tap director dir2 {MANAGEMENT_TAP}"));
    lab
}

/// A director of both families on both wires, with a service of each method.
pub(crate) fn config() -> Config {
    let mut config = Config::two_ports().with_key("flows: { max: 65536 }");
    config.eal = "{ memory: 128M, hugepages: require }".to_owned();
    for (port, wire) in config.ports.iter_mut().zip(&WIRES) {
        port.1 = wire.pci.to_owned();
    }
    let service = |port: u16| [format!("-t {VIP}:{port}"), format!("-t [{VIP6}]:{port}")];
    let servers: [(u16, [[&str; 2]; 2]); 3] = [
        (
            DIRECT,
            [["10.0.10.83 -g", "10.0.10.84 -g"], ["[fd00:10::83]:80 -g", "[fd00:10::84]:80 -g"]],
        ),
        (
            TUNNEL,
            [["10.0.10.83 -i", "10.0.10.84 -i"], ["[fd00:10::83]:81 -i", "[fd00:10::84]:81 -i"]],
        ),
        (
            MASQUERADED,
            [
                ["10.0.20.83:8080 -m", "10.0.20.84:8080 -m"],
                ["[fd00:20::83]:8080 -m", "[fd00:20::84]:8080 -m"],
            ],
        ),
    ];
    for (port, families) in servers {
        for (service, servers) in service(port).iter().zip(&families) {
            config = config.with(service, "rr", servers);
        }
    }
    config
}
