//! IPv6: neighbour discovery, direct routing and masquerading between real hosts.

use std::time::Duration;

use crate::support::config::{Config, port};
use crate::support::director::Director;
use crate::support::lab::{Lab, eventually};
use crate::support::tools::Capture;

const VIP6: &str = "fd00::100";

/// One segment with both families: client ::1, director ::61, real servers ::83 and ::84.
fn lab() -> Lab {
    let lab = Lab::one_segment().with_web();
    for (host, address) in [("client", "fd00::1"), ("rs1", "fd00::83"), ("rs2", "fd00::84")] {
        lab.sh(&format!("lab_sysctl {host} net/ipv6/conf/all/disable_ipv6=0"));
        lab.run(host, &format!("ip address add {address}/64 dev eth0 nodad"));
    }
    lab
}

fn config(services: &[String]) -> Config {
    let mut config = Config::one_port();
    let device = "net_af_packet0,iface=dir0";
    config.ports = vec![port("lan0", device, "10.0.10.61/24, \"fd00::61/64\"")];
    config.services = services.to_vec();
    config
}

fn pages(lab: &Lab, count: usize) -> Vec<String> {
    let line = format!("curl -sS -g -m 10 'http://[{VIP6}]/'");
    (0..count).map(|_| lab.run("client", &line).trim().to_owned()).collect()
}

/// nginx of the lab listens on IPv4 alone: another one for the other family.
fn serve(lab: &Lab, host: &str) {
    let conf = format!("{}/{host}/nginx.conf", lab.dir().display());
    lab.run(host, &format!("sed -i 's/listen 80 /listen [::]:80 /' {conf}"));
    lab.sh(&format!("lab_stop {host}-nginx"));
    lab.sh(&format!(
        "lab_spawn {host} {host}-nginx6 $(lab_nginx_program) -p {0}/{host} -e stderr -c {conf}",
        lab.dir().display()
    ));
    lab.sh(&format!("lab_wait 10 lab_run {host} curl -sf -g -m 1 'http://[::1]/'"));
}

#[test]
fn direct_routing_alternates_between_servers() {
    let lab = lab();
    for host in ["rs1", "rs2"] {
        serve(&lab, host);
        lab.run(host, &format!("ip address add {VIP6}/128 dev lo nodad"));
    }
    let service = |line: &str| line.replace("VIP", &format!("[{VIP6}]:80"));
    let director = Director::start(
        &lab,
        &config(&[
            service("-A -t VIP -s rr"),
            service("-a -t VIP -r [fd00::83]:80 -g"),
            service("-a -t VIP -r [fd00::84]:80 -g"),
        ]),
    );

    let mut got = pages(&lab, 4);
    got.sort_unstable();
    assert_eq!(got, ["rs1", "rs1", "rs2", "rs2"], "{}", director.ctl("drops"));
    let neighbours = director.ctl("neigh");
    assert!(neighbours.contains("fd00::83 dev lan0 lladdr"), "{neighbours}");
    let text = lab.run("client", &format!("ping -6 -n -c 3 -i 0.2 -W 2 {VIP6}"));
    assert!(text.contains(" 3 received"), "{text}");
}

/// The client is on the director's own link: the way back to it is asked for when a reply wants it.
#[test]
fn masquerading_finds_the_way_back_by_itself() {
    let lab = lab();
    serve(&lab, "rs1");
    // Replies have to pass the director.
    lab.run("rs1", "ip -6 route add fd00::1/128 via fd00::61 dev eth0");
    let service = |line: &str| line.replace("VIP", &format!("[{VIP6}]:80"));
    let director = Director::start(
        &lab,
        &config(&[service("-A -t VIP -s rr"), service("-a -t VIP -r [fd00::83]:80 -m")]),
    );
    assert_eq!(pages(&lab, 3), ["rs1"; 3], "{}", director.ctl("drops"));
    assert!(director.ctl("neigh").contains("fd00::1 dev lan0 lladdr"), "{}", director.ctl("neigh"));
}

#[test]
fn a_taken_address_is_announced_to_all_nodes() {
    let lab = lab();
    let director = Director::start(&lab, &config(&[]));
    // Neighbour advertisements.
    let capture = Capture::start(&lab, "client", "eth0", "icmp6 and ip6[40] == 136");
    director.ctl(&format!("vip add {VIP6}"));
    eventually(Duration::from_secs(5), "an advertisement", || {
        capture.frames().into_iter().find(|frame| frame.contains("tgt is fd00::100"))
    });
    assert!(director.ctl("vip list").contains("fd00::100 taken owned"));
}
