//! Gateways on the director's way, and the director as the gateway of others.

use std::time::Duration;

use crate::support::config::Config;
use crate::support::director::Director;
use crate::support::lab::{Lab, VIP, VIP6, eventually};
use crate::support::tools::{Capture, curl_pages, download, link_local, pages};

/// Servers of NAT need not be neighbours: a router leads to them, and back to the director. In IPv6
/// routers are known by their link-local addresses.
#[test]
fn nat_reaches_servers_behind_a_router() {
    let lab = Lab::two_segments();
    lab.sh("lab_switch deep");
    lab.sh("lab_router router");
    lab.sh("lab_attach router eth0 backend 10.0.20.254/24");
    lab.sh("lab_attach router eth1 deep 10.0.50.254/24");
    lab.sh("lab_run router ip route add default via 10.0.20.61");
    lab.sh("lab_address6 router eth0 fe80::254/64");
    lab.sh("lab_address6 router eth1 fd00:50::254/64");
    lab.sh("lab_host rs3 deep 10.0.50.83/24 10.0.50.254");
    lab.sh("lab_address6 rs3 eth0 fd00:50::83/64 fd00:50::254");
    lab.sh("lab_nginx rs3 rs3 8080");
    let mut config = Config::two_ports()
        .with_route("10.0.50.0/24", "10.0.20.254")
        .with(&format!("-t {VIP}:80"), "rr", &["10.0.50.83:8080 -m"])
        .with(&format!("-t [{VIP6}]:80"), "rr", &["[fd00:50::83]:8080 -m"]);
    let via = "\"fe80::254\", port: backend0";
    config.routes.push(("\"fd00:50::/64\"".to_owned(), via.to_owned()));
    let _director = Director::start(&lab, &config);
    let own = link_local(&lab.mac("director", "dir1"));
    lab.sh(&format!("lab_run router ip -6 route add default via {own} dev eth0"));
    let at_router = Capture::start(&lab, "router", "eth0", "tcp dst port 8080");

    for url in [format!("http://{VIP}"), format!("http://[{VIP6}]")] {
        assert_eq!(pages(&lab, "client", &url, 3), ["rs3"; 3]);
        download(&lab, "client", &url, "rs3", 4);
    }

    let way = format!("{} > {},", lab.mac("director", "dir1"), lab.mac("router", "eth0"));
    let frames = at_router.frames();
    assert!(frames.iter().all(|frame| frame.contains(&way)), "want {way} in {frames:#?}");
    assert!(frames.len() > 100, "{}", frames.len());
}

/// What is for no service and no address of the director is routed, as servers of NAT need it for
/// connections of their own.
#[test]
fn servers_reach_the_outside_by_the_director() {
    let lab = Lab::two_segments();
    lab.sh("lab_nginx client outside");
    lab.sh("lab_run client ip route add 10.0.20.0/24 via 10.0.10.61");
    lab.sh("lab_run client ip -6 route add fd00:20::/64 via fd00:10::61");
    let director = Director::start(&lab, &Config::two_ports());
    let at_client = Capture::start(&lab, "client", "eth0", "tcp dst port 80");

    for url in ["http://10.0.10.1", "http://[fd00:10::1]"] {
        assert_eq!(pages(&lab, "rs1", url, 2), ["outside"; 2]);
        download(&lab, "rs1", url, "client", 4);
    }

    let from_director = format!("{} > ", lab.mac("director", "dir0"));
    let frames = at_client.frames();
    assert!(frames.iter().all(|frame| frame.contains(&from_director)), "{frames:#?}");
    assert_eq!(director.connections().len(), 0, "routed packets are of no connection");
}

#[test]
fn a_director_that_may_not_route_does_not() {
    let lab = Lab::two_segments().with_web_at(8080);
    lab.sh("lab_nginx client outside");
    let config = Config::two_ports().with_key("ip_forward: false").with(
        &format!("-t {VIP}:80"),
        "rr",
        &["10.0.20.83:8080 -m"],
    );
    let director = Director::start(&lab, &config);

    let output = lab.try_run("rs1", "curl -sS -m 1 http://10.0.10.1/");

    assert_eq!(output.status.code(), Some(28), "no answer at all: {output:?}");
    eventually(Duration::from_secs(2), "its packets are dropped", || {
        (director.drops("not_local") >= 1).then_some(())
    });
    assert_eq!(curl_pages(&lab, 2), ["rs1"; 2], "NAT goes on");
}
