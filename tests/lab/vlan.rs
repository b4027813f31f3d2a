//! VLANs: hosts whose frames are tagged, and a director between two of them.
//!
//! The hosts tag by directors of their own, which do nothing but give their kernel a VLAN: so the
//! test needs no VLAN devices of the machine's kernel.

use std::time::Duration;

use crate::support::config::{Config, port};
use crate::support::director::{Director, program};
use crate::support::lab::{Lab, eventually};
use crate::support::tools::{Capture, curl_pages};

/// Clients in VLAN 10, real servers in VLAN 20, masquerading between them.
#[test]
fn masquerading_between_two_vlans() {
    let lab = Lab::new();
    lab.sh("lab_switch lan");
    tagged_host(&lab, "client", 10, "10.0.10.1/24");
    tagged_host(&lab, "rs1", 20, "10.0.20.83/24");
    lab.run("rs1", "ip route add default via 10.0.20.61 dev vlan");
    lab.sh("lab_nginx rs1 rs1");
    lab.sh("lab_director director");
    lab.sh("lab_attach_director director dir0 lan");
    let mut config = Config::one_port();
    config.ports = vec![port("lan0", "net_af_packet0,iface=dir0", "")];
    config.port_keys.push(
        "vlans: [ { id: 10, addresses: [10.0.10.61/24] }, { id: 20, addresses: [10.0.20.61/24] } ]"
            .to_owned(),
    );
    config.services.push("-A -t 10.0.10.100:80 -s rr".to_owned());
    config.services.push("-a -t 10.0.10.100:80 -r 10.0.20.83:80 -m".to_owned());
    let director = Director::start(&lab, &config);
    let wire = Capture::start(&lab, "director", "dir0", "vlan and ip and tcp");

    assert_eq!(curl_pages(&lab, 3), ["rs1"; 3], "{}", director.ctl("drops"));

    let frames = eventually(Duration::from_secs(5), "frames on the wire", || {
        Some(wire.frames()).filter(|frames| frames.len() >= 30)
    });
    let tagged = |id: &str| frames.iter().filter(|frame| frame.contains(id)).count();
    assert_eq!(tagged("vlan 10,") + tagged("vlan 20,"), frames.len(), "{frames:#?}");
    let neighbours = director.ctl("neigh");
    assert!(neighbours.contains("10.0.20.83 dev lan0.20 lladdr"), "{neighbours}");
    let ports = director.ctl("ports");
    assert!(
        ports.contains("    vlan 20: lan0.20 mtu 1500\n        address 10.0.20.61/24"),
        "{ports}"
    );
}

/// A host whose only address is on a VLAN.
pub(crate) fn tagged_host(lab: &Lab, name: &str, vlan: u16, address: &str) {
    lab.sh(&format!("lab_director {name}"));
    lab.sh(&format!("lab_attach_director {name} eth0 lan"));
    let socket = lab.dir().join(format!("{name}.sock"));
    let mut config = Config::one_port();
    config.ports = vec![port("untagged", "net_af_packet0,iface=eth0", "")];
    config.port_keys.push(format!(
        "vlans: [ {{ id: {vlan}, name: vlan, kernel: true, addresses: [{address}] }} ]"
    ));
    config.keys.push("flows: { max: 1024 }".to_owned());
    config.keys.push("own_service_addresses: false".to_owned());
    config.owns_vip = false;
    let yaml = config.yaml(&socket);
    let path = lab.dir().join(format!("{name}.yaml"));
    std::fs::write(&path, yaml).expect("the lab's folder is writable");
    let program = program("sluiced");
    let command = format!("{} --config {}", program.display(), path.display());
    lab.sh(&format!("lab_spawn {name} {name}-sluiced {command}"));
    let log = lab.dir().join(format!("{name}-sluiced.log"));
    eventually(Duration::from_secs(30), "the tagging host", || {
        std::fs::read_to_string(&log).ok().filter(|text| text.contains("sluiced: ready"))
    });
}
