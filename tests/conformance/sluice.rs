//! The director under test: the real `sluiced` between two wires, told what to do by the real
//! `sluiceadm` and `sluicectl`.

use crate::config::{Config, port};
use crate::director::{Director, Reply};
use crate::kernel::Answer;
use crate::lab::Lab;
use crate::network::{self, BEHIND, hosts, vips};

/// The host of the lab that the director is in.
pub(crate) const HOST: &str = "sluice";

/// Makes the wires of [`HOST`].
pub(crate) fn make_wires(lab: &Lab) {
    network::make(lab, HOST);
}

/// Starts a director that knows nothing but its network.
pub(crate) fn start(lab: &Lab) -> Director<'_> {
    Director::start_in(lab, HOST, &config())
}

/// Has `sluiceadm` or `sluicectl` run.
pub(crate) fn ask(director: &Director<'_>, program: &str, line: &str) -> Answer {
    let Reply { code, stdout, stderr } = director.ask(program, line);
    Answer { code: code.unwrap_or(-1), text: stdout + &stderr }
}

fn config() -> Config {
    let mut config = Config::one_port();
    config.workers = "[0]".to_owned();
    config.ports = [0, 1]
        .map(|n| {
            let addresses = format!("10.0.{}.1/24, \"fd00:{}::1/64\"", n + 1, n + 1);
            port(&format!("lan{n}"), &format!("net_af_packet{n},iface=dir{n}"), &addresses)
        })
        .to_vec();
    config.owns_vip = false;
    let vips: Vec<_> = vips().map(|vip| format!("\"{vip}\"")).collect();
    config = config
        .with_key(&format!("vips: [{}]", vips.join(", ")))
        .with_key("flows: { max: 65536 }")
        .with_key("destinations: { max: 4096 }")
        .with_key("settings: { icmp_msgs_per_sec: 10000000 }");
    for (network, router) in BEHIND {
        config = config.with_route(network, router);
    }
    for wire in 0..2 {
        for (addresses, mac) in hosts().map(|last| network::host(wire, last)) {
            for address in addresses {
                let name = format!("lan{wire}");
                config.neighbours.push((name, format!("\"{address}\""), mac.to_string()));
            }
        }
    }
    config
}
