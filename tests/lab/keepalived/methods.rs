//! The other forwarding methods: NAT, with the director between two segments, and tunnels; both
//! also with IPv6.

use std::net::SocketAddr;

use super::{Keepalived, SOME, config, real_server, virtual_service, wait_for_pool};
use crate::support::config::Config;
use crate::support::director::Director;
use crate::support::lab::Lab;
use crate::support::visits::{Excuse, Visits, explain};

/// The kernel's interfaces of the director get addresses of both families, those of the wires none.
fn both_families_in_the_kernel(lab: &Lab, wires: &[&str]) {
    lab.sh("lab_sysctl director net/ipv6/conf/default/disable_ipv6=0");
    for wire in wires {
        lab.sh(&format!("lab_sysctl director net/ipv6/conf/{wire}/disable_ipv6=1"));
        lab.sh(&format!("lab_sysctl director net/ipv4/conf/{wire}/rp_filter=1"));
    }
}

fn start(lab: &Lab, director: &Director<'_>, end: &str) -> Visits {
    let to: SocketAddr = end.parse().expect("an end");
    Visits::start(lab, "client", to, director.socket())
}

/// A server dies and returns; those who ask meanwhile get the others' pages. Services: how
/// `sluiceadm` names them, the client's end, the lines of both servers.
fn one_dies_and_returns(
    lab: &Lab,
    director: &Director<'_>,
    ports: &str,
    services: &[(&str, &str, [&str; 2])],
) {
    let wait_for_both =
        || services.iter().for_each(|(service, _, lines)| wait_for_pool(director, service, lines));
    wait_for_both();
    let clients: Vec<Visits> =
        services.iter().map(|(_, end, _)| start(lab, director, end)).collect();
    clients.iter().for_each(|visits| visits.wait_for_page("rs1"));
    let dead = Excuse::during(None, || {
        lab.sh("lab_stop rs1-nginx KILL");
        for (service, _, lines) in services {
            wait_for_pool(director, service, &lines[1..]);
        }
    });
    clients.iter().for_each(|visits| visits.wait_for(SOME));
    lab.sh(&format!("lab_nginx rs1 rs1 {ports}"));
    wait_for_both();
    clients.iter().for_each(|visits| visits.wait_for_page("rs1"));
    for ((_, end, lines), visits) in services.iter().zip(clients) {
        let server = lines[0].split_whitespace().next().map(str::to_owned);
        explain(end, &visits.stop(), &[Excuse { server, ..dead.clone() }]);
    }
}

/// keepalived's checks and the replies of real servers come by the same interface: the ones are the
/// kernel's, the others are translated.
#[test]
fn nat_in_both_families_beside_what_the_kernel_asks() {
    let lab = Lab::two_segments().with_web_at(8080);
    both_families_in_the_kernel(&lab, &["dir0", "dir1"]);
    let ports = Config::two_ports().ports;
    let director = Director::start(&lab, &Config { ports, ..config() });
    let servers = |ends: [&str; 2]| ends.map(|end| real_server(end, "", 8080)).concat();
    // NAT is keepalived's default.
    let text =
        virtual_service("10.0.10.100 80", "", &servers(["10.0.20.83 8080", "10.0.20.84 8080"]))
            + &virtual_service(
                "fd00:10::100 80",
                "",
                &servers(["fd00:20::83 8080", "fd00:20::84 8080"]),
            );
    let _keepalived = Keepalived::checking(&lab, &text);
    let services = [
        (
            "-t 10.0.10.100:80",
            "10.0.10.100:80",
            ["10.0.20.83:8080 Masq 1", "10.0.20.84:8080 Masq 1"],
        ),
        (
            "-t [fd00:10::100]:80",
            "[fd00:10::100]:80",
            ["[fd00:20::83]:8080 Masq 1", "[fd00:20::84]:8080 Masq 1"],
        ),
    ];
    one_dies_and_returns(&lab, &director, "8080", &services);
}

#[test]
fn tunnels_of_all_kinds_and_direct_routing_of_ipv6() {
    let lab = Lab::both_families();
    for host in ["rs1", "rs2"] {
        lab.sh(&format!("lab_decapsulate {host}"));
        lab.sh(&format!("lab_nginx {host} {host} 80 81 82 83"));
    }
    both_families_in_the_kernel(&lab, &["dir0"]);
    let ports = Config::both_families().ports;
    let director = Director::start(&lab, &Config { ports, ..config() });
    let service = |address: &str, port: u16, method: &str, network: &str| {
        let server = |number| real_server(&format!("{network}{number} {port}"), "", port);
        virtual_service(
            &format!("{address} {port}"),
            &format!("    lvs_method {method}"),
            &[83, 84].map(server).concat(),
        )
    };
    let text = service("10.0.10.100", 80, "TUN", "10.0.10.")
        + &service("10.0.10.100", 81, "TUN type gre csum", "10.0.10.")
        + &service("10.0.10.100", 82, "TUN type gue port 6080", "10.0.10.")
        // One family in the other.
        + &service("fd00:10::100", 83, "TUN", "10.0.10.")
        + &service("fd00:10::100", 80, "DR", "fd00:10::");
    let keepalived = Keepalived::checking(&lab, &text);
    let servers = |port: u16, method: &str| {
        [83, 84].map(|number| format!("10.0.10.{number}:{port} {method} 1"))
    };
    let lines = [
        servers(80, "Tunnel"),
        servers(81, "Tunnel"),
        servers(82, "Tunnel"),
        servers(83, "Tunnel"),
    ];
    let lines = lines.each_ref().map(|both| both.each_ref().map(String::as_str));
    let services = [
        ("-t 10.0.10.100:80", "10.0.10.100:80", lines[0]),
        ("-t 10.0.10.100:81", "10.0.10.100:81", lines[1]),
        ("-t 10.0.10.100:82", "10.0.10.100:82", lines[2]),
        ("-t [fd00:10::100]:83", "[fd00:10::100]:83", lines[3]),
        (
            "-t [fd00:10::100]:80",
            "[fd00:10::100]:80",
            ["[fd00:10::83]:80 Route 1", "[fd00:10::84]:80 Route 1"],
        ),
    ];
    one_dies_and_returns(&lab, &director, "80 81 82 83", &services);
    let rules = director.adm("-Sn");
    for part in ["--tun-type gre --tun-csum", "--tun-type gue --tun-port 6080"] {
        assert!(rules.contains(part), "no {part} in\n{rules}");
    }
    assert_eq!(keepalived.daemon.count("IPVS"), 0, "{}", keepalived.daemon.messages());
}
