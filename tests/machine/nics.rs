//! Kinds of NICs, and what the director does on each: all forwarding methods in both families, full
//! segments, load, a cable that is pulled, and a start after every kind of end.

use std::time::Duration;

use serde_json::json;

use crate::checks::Checks;
use crate::lab::{Lab, VIP, eventually};
use crate::machine::Hardware;
use crate::network::{self, DIRECT, MASQUERADED, WIRES};
use crate::service::{check_methods, serves};
use crate::small::Small;
use crate::tools::Capture;

/// A kind of NIC under a kind of driver.
#[derive(Debug)]
struct Kind {
    name: &'static str,
    nic: &'static str,
    options: &'static str,
    /// DPDK's driver, as `sluicectl ports` has it.
    driver: &'static str,
    has_iommu: bool,
    queues: u32,
    /// Whether frames of 9000 bytes are its thing.
    is_jumbo: bool,
}

const fn kind(name: &'static str, nic: &'static str, driver: &'static str) -> Kind {
    Kind { name, nic, options: "", driver, has_iommu: false, queues: 1, is_jumbo: false }
}

const VIRTIO_IOMMU: &str = ",disable-legacy=on,iommu_platform=on,host_mtu=9000";

const KINDS: &[Kind] = &[
    Kind {
        options: VIRTIO_IOMMU,
        has_iommu: true,
        is_jumbo: true,
        ..kind("virtio on vfio-pci", "virtio-net-pci", "net_virtio")
    },
    Kind {
        options: ",disable-legacy=on,iommu_platform=on,mq=on,rss=on,vectors=10",
        has_iommu: true,
        queues: 2,
        ..kind("virtio with two queues on vfio-pci", "virtio-net-pci", "net_virtio")
    },
    Kind {
        has_iommu: true,
        is_jumbo: true,
        ..kind("e1000e on vfio-pci", "e1000e", "net_e1000_em")
    },
    Kind {
        has_iommu: true,
        is_jumbo: true,
        ..kind("vmxnet3 on vfio-pci", "vmxnet3", "net_vmxnet3")
    },
    kind("virtio on uio_pci_generic", "virtio-net-pci", "net_virtio"),
    kind("e1000e on uio_pci_generic", "e1000e", "net_e1000_em"),
    kind("vmxnet3 on uio_pci_generic", "vmxnet3", "net_vmxnet3"),
];

/// Every kind whose name has `only`.
pub(crate) fn run(only: &str, checks: &mut Checks) {
    for kind in KINDS.iter().filter(|kind| kind.name.contains(only)) {
        checks.begin(kind.name);
        let before = checks.failures();
        let lab = network::build(kind.queues);
        let driver = if kind.has_iommu { "vfio-pci" } else { "uio_pci_generic" };
        let booted = checks.check("boots", || Small::boot(&lab, &kind.hardware(), driver));
        let Some(mut small) = booted else { continue };
        try_kind(kind, &lab, &mut small, checks);
        if checks.failures() > before {
            small.show_evidence();
        }
    }
}

impl Kind {
    fn hardware(&self) -> Hardware {
        Hardware {
            nic: self.nic.to_owned(),
            nic_options: self.options.to_owned(),
            has_iommu: self.has_iommu,
            has_management: false,
            queues: self.queues,
            cpus: 1 + self.queues,
            memory_mib: 1024,
            arguments: Vec::new(),
        }
    }
}

fn try_kind(kind: &Kind, lab: &Lab, small: &mut Small, checks: &mut Checks) {
    let config = network::config();
    let started = checks.check("the director starts on it", || {
        small.start(&config);
        let ports = small.ctl("ports");
        for wire in WIRES {
            assert!(ports.contains(&format!(": {}\n", wire.pci)), "{ports}");
            assert!(ports.contains(&format!(" mac {} ", wire.mac)), "{ports}");
        }
        let driver = format!("driver {} ", kind.driver);
        assert_eq!(ports.matches(&driver).count(), WIRES.len(), "{ports}");
        let queues = format!("queues rx {0} tx {0}", kind.queues);
        assert_eq!(ports.matches(&queues).count(), WIRES.len(), "{ports}");
    });
    if started.is_none() {
        return;
    }
    check_methods(lab, checks);
    check_load(lab, small, checks);
    checks.check("a pulled cable is noticed, and the addresses are announced behind it", || {
        cable(lab, small);
    });
    for signal in ["TERM", "KILL"] {
        checks.check(&format!("after SIG{signal} it starts again and serves"), || {
            small.end(signal);
            small.start(&config);
            serves(lab);
        });
    }
    if kind.is_jumbo {
        checks.check("frames of 9000 bytes pass", || jumbo(lab, small));
    }
    if kind.has_iommu {
        checks.check(
            "a NIC that is pulled out ends it in words, and it serves with it again",
            || {
                unplug(lab, kind, small);
            },
        );
    }
    checks.check("SIGTERM ends it without a word of complaint", || {
        small.end("TERM");
        let text = small.messages();
        assert!(!text.contains("error"), "{text}");
    });
}

/// Many short connections at once; no counter of trouble may move.
fn check_load(lab: &Lab, small: &mut Small, checks: &mut Checks) {
    checks.check("600 connections, 20 at a time, by direct routing and by masquerading", || {
        for port in [DIRECT, MASQUERADED] {
            let line = format!("timeout 120 ab -q -n 600 -c 20 http://{VIP}:{port}/");
            let text = lab.run("client", &line);
            assert!(text.contains("Failed requests:        0"), "{text}");
            assert!(!text.contains("Non-2xx responses"), "{text}");
        }
        // A frame that finds a ring full may be lost where processors are emulated; broken ones
        // there must not be.
        let ports = small.ctl("ports");
        assert_eq!(ports.matches(" errors 0 no-mbuf 0").count(), WIRES.len(), "{ports}");
        let drops = small.ctl("drops");
        for trouble in ["segmented_frame", "frame_too_short", "malformed", "checksum"] {
            assert!(!drops.contains(trouble), "{drops}");
        }
    });
}

/// Pulls the cable to the clients for a while.
fn cable(lab: &Lab, small: &mut Small) {
    const NOTICED: Duration = Duration::from_secs(15);
    let heard = Capture::start(lab, "client", "eth0", "arp and ether broadcast");
    small.machine.monitor.set_link(WIRES[0].nic, false);
    eventually(NOTICED, "`the link is down`", || {
        small.messages().contains("the link is down").then_some(())
    });
    let is_down = |ports: &str| ports.matches("link down").count();
    assert_eq!(is_down(&small.ctl("ports")), 1, "{}", small.ctl("ports"));
    let before = heard.frames().len();
    small.machine.monitor.set_link(WIRES[0].nic, true);
    eventually(NOTICED, "`the link is up`", || {
        let text = small.messages();
        let (_, after) = text.rsplit_once("the link is down").unwrap_or_default();
        after.contains("the link is up").then_some(())
    });
    assert_eq!(is_down(&small.ctl("ports")), 0, "{}", small.ctl("ports"));
    let announced = |frame: &String| frame.contains(&format!("who-has {VIP}"));
    eventually(NOTICED, "an announcement of the VIP", || {
        heard.frames()[before..].iter().any(announced).then_some(())
    });
    serves(lab);
}

/// The NIC to the clients leaves, and comes back.
fn unplug(lab: &Lab, kind: &Kind, small: &mut Small) {
    let wire = &WIRES[0];
    small.machine.monitor.execute("device_del", json!({ "id": wire.nic }));
    small.wait_for_end();
    let text = small.messages();
    let words = format!("port lan0: device {} is taken out of the machine", wire.pci);
    assert!(text.contains(&words), "{text}");
    eventually(Duration::from_secs(30), "the device is gone", || {
        small
            .run(&format!("ls -d /sys/bus/pci/devices/{} || true", wire.pci))
            .contains("No such")
            .then_some(())
    });
    let hardware = kind.hardware();
    small.machine.monitor.execute("device_add", hardware.nic_as_json(wire));
    eventually(Duration::from_secs(30), "the device is back", || {
        small.run("ls /sys/bus/pci/devices").contains(wire.pci).then_some(())
    });
    small.bind(wire, "vfio-pci");
    small.start(&network::config());
    serves(lab);
}

/// All of the network has large frames, and the director is started anew.
fn jumbo(lab: &Lab, small: &mut Small) {
    small.end("TERM");
    let wires = "for link in $(ls /sys/class/net); do ip link set $link mtu 9000; done";
    for host in ["lan", "backend", "director", "client", "nat1"] {
        lab.run(host, wires);
    }
    let mut config = network::config();
    config.port_keys.push("mtu: 9000".to_owned());
    config.eal = "{ memory: 256M, hugepages: require }".to_owned();
    small.start(&config);
    assert_eq!(small.ctl("ports").matches(" mtu 9000 ").count(), WIRES.len());
    serves(lab);
    // What the client learnt about tunnels is forgotten.
    lab.run("client", "ip route flush cache");
    for size in [1472, 4000, 8972] {
        for from in ["client", "nat1"] {
            let line = format!("ping -n -c 3 -i 0.2 -W 2 -M do -s {size} {VIP}");
            let text = lab.run(from, &line);
            assert!(text.contains(" 3 received"), "{line} in {from}:\n{text}");
        }
        // Through it: routed from one wire to the other.
        let line = format!("ping -n -c 3 -i 0.2 -W 2 -M do -s {size} 10.0.20.83");
        lab.run("client", "ip route replace 10.0.20.0/24 via 10.0.10.61");
        let text = lab.run("client", &line);
        assert!(text.contains(" 3 received"), "{line}:\n{text}");
    }
}
