//! Real servers on the director itself: who comes gets the page of a web server beside `sluiced`.

use crate::support::config::{Config, port};
use crate::support::director::Director;
use crate::support::lab::{Lab, VIP, VIP6};
use crate::support::tools::{curl_once, curl_pages, pages};
use crate::vlan::tagged_host;

/// A lab in whose director's host a web server says "sorry" on the ports 80 and 8080, and has the
/// VIPs.
fn lab() -> Lab {
    let lab = Lab::both_families();
    // The kernel also hears what arrives at `dir0`; it is to take nothing from there.
    lab.sh("lab_sysctl director net/ipv4/conf/dir0/rp_filter=1");
    lab.sh("lab_sysctl director net/ipv6/conf/default/disable_ipv6=0");
    lab.sh("lab_sysctl director net/ipv6/conf/dir0/disable_ipv6=1");
    lab.sh(&format!("lab_run director ip addr add {VIP}/32 dev lo"));
    lab.sh(&format!("lab_address6 director lo {VIP6}/128"));
    lab.sh("lab_nginx director sorry 80 8080");
    lab
}

fn config() -> Config {
    let mut config = Config::both_families();
    config.port_keys.push("kernel: true".to_owned());
    config
}

/// What keepalived does when the last real server is gone, and when one is back.
#[test]
fn a_server_of_the_host_says_sorry_while_all_others_are_gone() {
    let lab = lab().with_web();
    let director =
        Director::start(&lab, &Config { services: Config::web("rr").services, ..config() });
    assert_eq!(curl_pages(&lab, 2).len(), 2);

    director.adm(&format!("-a -t {VIP}:80 -r 127.0.0.1 -g"));
    for server in ["10.0.10.83", "10.0.10.84"] {
        director.adm(&format!("-d -t {VIP}:80 -r {server}"));
    }
    assert_eq!(curl_pages(&lab, 3), ["sorry", "sorry", "sorry"]);

    let server = director.server("127.0.0.1");
    assert_eq!((server.forward.as_str(), server.active), ("Route", 0), "{server:?}");
    assert_eq!(server.inactive, 3, "{server:?}");
    let of_host = director.connections().into_iter().filter(|c| c.server == "127.0.0.1:80");
    let states: Vec<String> = of_host.map(|connection| connection.state).collect();
    assert_eq!(states, ["TIME_WAIT"; 3], "both directions were seen");
    let [connections, packets_in, packets_out] = director.figures("127.0.0.1:80");
    assert_eq!(connections, 3);
    assert!(packets_in >= 15 && packets_out >= 12, "{packets_in} in, {packets_out} out");
    assert!(!director.ctl("neigh").contains("127.0.0.1"), "nobody is asked for it");

    director.adm(&format!("-a -t {VIP}:80 -r 10.0.10.83 -g"));
    director.adm(&format!("-d -t {VIP}:80 -r 127.0.0.1"));
    assert_eq!(curl_pages(&lab, 2), ["rs1", "rs1"]);
}

#[test]
fn a_server_of_the_host_is_at_another_port_by_nat() {
    let lab = lab();
    let config = config().with(&format!("-t {VIP}:80"), "rr", &["10.0.10.61:8080 -m"]).with(
        &format!("-t [{VIP6}]:80"),
        "rr",
        &["[fd00:10::61]:8080 -m"],
    );
    let director = Director::start(&lab, &config);

    for (url, server) in [
        (format!("http://{VIP}/"), "10.0.10.61:8080"),
        (format!("http://[{VIP6}]/"), "[fd00:10::61]:8080"),
    ] {
        assert_eq!(pages(&lab, "client", &url, 2), ["sorry", "sorry"], "{url}");
        let [connections, packets_in, packets_out] = director.figures(server);
        assert_eq!(connections, 2, "{url}");
        assert!(packets_in >= 10 && packets_out >= 8, "{packets_in} in, {packets_out} out");
    }
    // The director's host is still one of its own.
    assert_eq!(pages(&lab, "client", "http://10.0.10.61/", 1), ["sorry"]);
    // A whole megabyte in either direction.
    lab.run("client", &format!("head -c 1000000 /dev/urandom >{}/sent", lab.dir().display()));
    let (dir, url) = (lab.dir().display(), format!("http://{VIP}/up/file"));
    lab.run("client", &format!("curl -gsSf -m 20 -T {dir}/sent {url}"));
    lab.run("client", &format!("curl -gsSf -m 20 -o {dir}/got {url} && cmp {dir}/sent {dir}/got"));
}

#[test]
fn nothing_from_outside_gets_to_the_loopback_by_nat() {
    let lab = lab();
    let config = config().with(&format!("-t {VIP}:80"), "rr", &["127.0.0.1:8080 -m"]);
    let director = Director::start(&lab, &config);
    assert!(!curl_once(&lab, 1).status.success());
    assert!(director.drops("loopback_server") > 0);
}

#[test]
fn without_the_hosts_kernel_a_closed_port_answers() {
    let lab = Lab::one_segment();
    let director =
        Director::start(&lab, &Config::one_port().with_service(80, "rr", &["127.0.0.1"]));
    let output = curl_once(&lab, 5);
    assert_eq!(output.status.code(), Some(7), "refused at once: {output:?}");
    assert!(director.drops("no_listener") > 0);
    let states: Vec<String> = director.connections().into_iter().map(|c| c.state).collect();
    assert_eq!(states, ["CLOSE"]);
    let [connections, packets_in, packets_out] = director.figures("127.0.0.1:80");
    assert_eq!((connections, packets_in, packets_out), (1, 1, 1));
}

/// Tagged frames reach the host by the VLAN's interface, and its replies leave with the tag.
#[test]
fn the_host_serves_a_vlan_too() {
    let lab = Lab::new();
    lab.sh("lab_switch lan");
    tagged_host(&lab, "client", 7, "10.0.70.1/24");
    lab.run("client", &format!("ip route add {VIP}/32 via 10.0.70.61 dev vlan"));
    lab.sh("lab_director director");
    lab.sh("lab_attach_director director dir0 lan");
    lab.sh("lab_nginx director sorry 8080");
    let mut config = config().with(&format!("-t {VIP}:80"), "rr", &["10.0.70.61:8080 -m"]);
    config.ports = vec![port("lan0", "net_af_packet0,iface=dir0", "10.0.10.61/24")];
    config
        .port_keys
        .push("vlans: [{ id: 7, addresses: [10.0.70.61/24], kernel: true }]".to_owned());
    let director = Director::start(&lab, &config);
    assert_eq!(curl_pages(&lab, 1), ["sorry"]);
    assert!(director.figures("10.0.70.61:8080")[2] >= 4);
}
