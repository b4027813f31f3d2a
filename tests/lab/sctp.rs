//! SCTP, by the user-space stack usrsctp and its programs: the lab's kernel need not have it.

use crate::support::config::Config;
use crate::support::director::Director;
use crate::support::lab::{Lab, VIP, VIP6, eventually};
use crate::support::sockets::PATIENCE;

const TOOLS: &str = "/usr/lib/usrsctp";

/// From the handshake to the shutdown, with another port at the server.
#[test]
fn an_association_passes_nat() {
    let lab = Lab::two_segments();
    lab.sh(&format!("lab_spawn rs1 echo {TOOLS}/echo_server 0 0"));
    let config = Config::two_ports()
        .with(&format!("--sctp-service {VIP}:7000"), "rr", &["10.0.20.83:7 -m"])
        .with(&format!("--sctp-service [{VIP6}]:7000"), "rr", &["[fd00:20::83]:7 -m"]);
    let director = Director::start(&lab, &config);
    for vip in [VIP, VIP6] {
        echo(&lab, vip, 7000);
    }
    let connections = director.connections();
    assert_eq!(connections.len(), 2, "{connections:?}");
    for line in &connections {
        assert_eq!((line.protocol.as_str(), line.state.as_str()), ("SCTP", "CLOSED"), "{line:?}");
        assert!(line.server.ends_with(":7"), "{line:?}");
    }
}

/// The stack keeps addresses on lo within its host, so the VIP is on a device of its own.
#[test]
fn an_association_passes_direct_routing() {
    let lab = Lab::one_segment();
    lab.sh("lab_run rs1 ip tuntap add dev vip0 mode tun");
    lab.sh("lab_run rs1 ip link set vip0 up");
    lab.sh(&format!("lab_run rs1 ip addr del {VIP}/32 dev lo"));
    lab.sh(&format!("lab_run rs1 ip addr add {VIP}/32 dev vip0"));
    lab.sh(&format!("lab_spawn rs1 echo {TOOLS}/echo_server 0 0"));
    let config =
        Config::one_port().with(&format!("--sctp-service {VIP}:7"), "rr", &["10.0.10.83 -g"]);
    let director = Director::start(&lab, &config);
    echo(&lab, VIP, 7);
    assert_eq!(director.connections()[0].protocol, "SCTP");
}

#[test]
fn a_long_sctp_transfer() {
    let lab = Lab::two_segments();
    lab.sh(&format!("lab_spawn rs1 tsctp {TOOLS}/tsctp -p 5002"));
    let config = Config::two_ports().with(
        &format!("--sctp-service {VIP}:5001"),
        "rr",
        &["10.0.20.83:5002 -m"],
    );
    let director = Director::start(&lab, &config);
    lab.run(
        "client",
        &format!("timeout 30 {TOOLS}/tsctp -n 3000 -l 1400 -p 5001 {VIP} >/dev/null"),
    );
    // Message length, messages asked for (0: no limit), received, bytes, ...
    let path = lab.dir().join("tsctp.log");
    let counted = eventually(PATIENCE, "its count", || {
        let text = String::from_utf8_lossy(&std::fs::read(&path).ok()?).into_owned();
        text.lines().find(|line| line.starts_with("1400, ")).map(str::to_owned)
    });
    assert!(counted.contains(", 4200000, "), "{counted}");
    assert_eq!(director.drops("no_service"), 0);
}

/// The client prints what comes back, and its association goes up and down in order.
fn echo(lab: &Lab, vip: &str, port: u16) {
    let client = format!("timeout 20 {TOOLS}/client {vip} {port} 0 0 0");
    let text = lab.run("client", &format!("(echo there and back; sleep 1) | {client} 2>&1"));
    let said = |what: &str| text.contains(what);
    assert!(text.lines().any(|line| line.ends_with("there and back")), "{vip}: {text}");
    assert!(said("SCTP_COMM_UP") && said("SCTP_SHUTDOWN_COMP"), "{vip}: {text}");
}
