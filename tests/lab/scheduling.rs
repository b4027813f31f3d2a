//! Who gets the next connection, as clients see it and as the listings count it.

use crate::support::config::Config;
use crate::support::director::Director;
use crate::support::lab::{Lab, VIP};
use crate::support::tools::{ab, curl_once, curl_pages};

#[test]
fn round_robin_alternates() {
    let lab = Lab::one_segment().with_web();
    let director = Director::start(&lab, &Config::web("rr"));

    let pages = curl_pages(&lab, 8);

    for pair in pages.windows(2) {
        assert_ne!(pair[0], pair[1], "rr must alternate: {pages:?}");
    }
    // curl closes first, which a DR director sees: all of them are FIN_WAIT, inactive.
    for address in ["10.0.10.83", "10.0.10.84"] {
        let server = director.server(address);
        assert_eq!((server.active, server.inactive), (0, 4), "{server:?}");
    }
    let connections = director.connections();
    assert_eq!(connections.len(), 8, "{connections:?}");
    assert!(connections.iter().all(|line| line.state == "FIN_WAIT"), "{connections:?}");
    assert!(connections.iter().all(|line| line.virtual_end == format!("{VIP}:80")));
    assert!(connections.iter().all(|line| line.client.starts_with("10.0.10.1:")));
}

#[test]
fn weighted_least_connection_follows_weights() {
    let lab = Lab::one_segment().with_web();
    let director = Director::start(&lab, &Config::web("wlc"));
    director.adm(&format!("-e -t {VIP}:80 -r 10.0.10.84 -g -w 3"));
    assert_eq!(director.server("10.0.10.84").weight, 3);

    ab(&lab, 1000, 30);

    // ab opens up to 30 connections more than it needs.
    let (light, heavy) = (director.server("10.0.10.83"), director.server("10.0.10.84"));
    let (light, heavy) = (light.active + light.inactive, heavy.active + heavy.inactive);
    assert!((1000..=1030).contains(&(light + heavy)), "{light} + {heavy}");
    assert!((20..=40).contains(&(heavy * 10 / light)), "weights 1 and 3, got {light} and {heavy}");
}

#[test]
fn a_quiesced_server_keeps_its_connections_and_gets_no_new_ones() {
    use crate::support::sockets::{TcpServer, connect_echo, exchange};
    let lab = Lab::one_segment();
    let _servers = [TcpServer::echo(&lab, "rs1", 7), TcpServer::echo(&lab, "rs2", 7)];
    let config = Config::one_port().with_service(7, "rr", &["10.0.10.83", "10.0.10.84"]);
    let director = Director::start(&lab, &config);
    let (mut first, first_name) = connect_echo(&lab, 7, None);
    let (_second, second_name) = connect_echo(&lab, 7, None);
    assert_ne!(first_name, second_name);

    director.adm(&format!("-e -t {VIP}:7 -r {} -g -w 0", rip(&first_name)));

    for _ in 0..4 {
        assert_eq!(connect_echo(&lab, 7, None).1, second_name);
    }
    exchange(&mut first, "still here");
    assert_eq!(director.server(rip(&first_name)).active, 1);
}

#[test]
fn a_dead_server_is_avoided_once_its_weight_is_zero() {
    let lab = Lab::one_segment().with_web();
    let director = Director::start(&lab, &Config::web("rr"));
    curl_pages(&lab, 2);

    lab.sh("lab_stop rs1-nginx KILL");
    let answers: Vec<bool> = (0..4).map(|_| curl_once(&lab, 5).status.success()).collect();
    assert_eq!(answers.iter().filter(|&&ok| ok).count(), 2, "half are refused: {answers:?}");

    director.adm(&format!("-e -t {VIP}:80 -r 10.0.10.83 -g -w 0"));
    assert_eq!(curl_pages(&lab, 6), ["rs2"; 6]);
    assert_eq!(director.server("10.0.10.83").weight, 0);
}

#[test]
fn a_service_without_servers_is_unreachable_at_once() {
    let lab = Lab::one_segment();
    let director = Director::start(&lab, &Config::one_port().with_service(80, "wlc", &[]));
    let output = curl_once(&lab, 5);
    // 7 is "could not connect"; 28 would be a timeout.
    assert_eq!(output.status.code(), Some(7), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(director.connections().is_empty());
}

fn rip(name: &str) -> &'static str {
    match name {
        "rs1" => "10.0.10.83",
        "rs2" => "10.0.10.84",
        other => panic!("no real server: {other:?}"),
    }
}
