//! Packets larger than 1500 bytes.

use crate::support::config::{Config, port};
use crate::support::director::{Director, run_sluiced, socket_of};
use crate::support::lab::{Lab, VIP};

const MTU_9000: &str = "mtu: 9000";

#[test]
fn jumbo_frames_pass_where_the_ring_holds_them() {
    let lab = Lab::one_segment();
    lab.run(
        "lan",
        "for port in client-eth0 director-dir0 br0; do ip link set $port mtu 9000; done",
    );
    lab.run("client", "ip link set eth0 mtu 9000");
    let mut config = Config::web("rr");
    let device = "net_af_packet0,iface=dir0,framesz=9216,blocksz=36864";
    config.ports = vec![port("lan0", device, "10.0.10.61/24")];
    config.port_keys.push(MTU_9000.to_owned());
    let director = Director::start(&lab, &config);
    for size in [1472, 1473, 8972] {
        let line = format!("ping -n -c 3 -i 0.2 -W 2 -M do -s {size} {VIP}");
        let text = lab.run("client", &line);
        assert!(text.contains(" 3 received"), "{line}:\n{text}");
    }
    assert!(director.ctl("ports").contains(" mtu 9000 "), "{}", director.ctl("ports"));
}

/// The message says what there is, and what to write instead.
#[test]
fn an_mtu_that_the_device_cannot_have_is_refused() {
    let lab = Lab::one_segment();
    let refused = |device: &str, words: &[&str]| {
        let mut config = Config::web("rr");
        config.ports = vec![port("lan0", device, "10.0.10.61/24")];
        config.port_keys.push(MTU_9000.to_owned());
        let reply = run_sluiced(&lab, &config.yaml(&socket_of(&lab)), &[]);
        assert_eq!(reply.code, Some(1), "{device}: {reply:?}");
        for word in words {
            assert!(reply.stderr.contains(word), "no {word:?} in {}", reply.stderr);
        }
    };
    refused("net_af_packet0,iface=dir0", &["lan0", "9000", "`framesz=9216,blocksz=36864`"]);
    refused("net_tap0,iface=other", &["lan0: the device cannot have an MTU of 9000, only 1504"]);
}
