//! The wire around the director: ARP on both sides, and echo.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use crate::support::config::Config;
use crate::support::director::Director;
use crate::support::lab::{Lab, VIP, eventually};
use crate::support::sockets::PATIENCE;
use crate::support::tools::{Capture, curl_once, curl_pages};

const DIP: &str = "10.0.10.61";

#[test]
fn the_vip_is_at_the_directors_mac() {
    let lab = Lab::one_segment().with_web();
    let _director = Director::start(&lab, &Config::web("rr"));

    curl_pages(&lab, 2);

    let neighbours = lab.run("client", &format!("ip neigh show {VIP}"));
    let mac = lab.mac("director", "dir0");
    assert!(neighbours.contains(&format!("lladdr {mac} ")), "want {mac} in {neighbours}");
}

#[test]
fn the_vip_is_announced_at_start() {
    let lab = Lab::one_segment();
    // Gratuitous: sender and target are the same address.
    let capture = Capture::start(&lab, "client", "eth0", "arp and arp[14:4] == arp[24:4]");
    let _director = Director::start(&lab, &Config::web("rr"));

    let mac = lab.mac("director", "dir0");
    let announcement = eventually(Duration::from_secs(5), "gratuitous ARP for the VIP", || {
        capture.frames().into_iter().find(|frame| frame.contains(VIP))
    });

    assert!(announcement.contains(&format!("{mac} > ff:ff:ff:ff:ff:ff")), "{announcement}");
}

#[test]
fn dip_and_vip_answer_echo_of_any_size() {
    let lab = Lab::one_segment();
    let _director = Director::start(&lab, &Config::web("rr"));
    for address in [DIP, VIP] {
        for size in [0, 1, 56, 777, 1472] {
            let line = format!("ping -n -c 3 -i 0.2 -W 2 -M do -s {size} {address}");
            let text = lab.run("client", &line);
            assert!(text.contains(" 3 received"), "{line}:\n{text}");
            assert!(!text.contains("wrong data"), "{line}:\n{text}");
        }
    }
}

#[test]
fn a_new_mac_that_a_server_announces_is_taken() {
    let lab = Lab::one_segment().with_web();
    let config = Config::one_port().with_service(80, "rr", &["10.0.10.83"]);
    let _director = Director::start(&lab, &config);
    assert_eq!(curl_pages(&lab, 1), ["rs1"]);

    lab.sh("lab_sysctl rs1 net/ipv4/conf/eth0/arp_notify=1");
    lab.run("rs1", "ip link set eth0 address 02:00:00:00:83:83");

    eventually(Duration::from_secs(5), "an answer from the server's new MAC", || {
        curl_once(&lab, 1).status.success().then_some(())
    });
}

#[test]
fn a_new_mac_that_nobody_announces_is_found() {
    let lab = Lab::one_segment().with_web();
    let config = Config::one_port().with_service(80, "rr", &["10.0.10.83"]);
    let _director = Director::start(&lab, &config);
    assert_eq!(curl_pages(&lab, 1), ["rs1"]);

    lab.sh("lab_sysctl rs1 net/ipv4/conf/eth0/arp_notify=0");
    lab.run("rs1", "ip link set eth0 address 02:00:00:00:83:84");

    // Linux takes 15 to 45 s to doubt an entry and 8 s to replace it.
    eventually(Duration::from_secs(60), "an answer from the server's new MAC", || {
        curl_once(&lab, 1).status.success().then_some(())
    });
}

/// One datagram, sent once, while the real server does not answer ARP: it must wait, not vanish.
#[test]
fn packets_wait_for_a_slow_neighbour() {
    let lab = Lab::one_segment();
    lab.sh("lab_sysctl rs1 net/ipv4/conf/all/arp_ignore=8");
    let mut config = Config::one_port();
    config.services.push(format!("-A -u {VIP}:53 -s rr"));
    config.services.push(format!("-a -u {VIP}:53 -r 10.0.10.83 -g"));
    let _director = Director::start(&lab, &config);
    let server = lab.inside("rs1", || UdpSocket::bind((VIP, 53))).expect("the port is free");
    server.set_read_timeout(Some(PATIENCE)).expect("not zero");
    let client = lab.inside("client", || UdpSocket::bind("10.0.10.1:0")).expect("a port is free");

    client.send_to(b"question", (VIP, 53)).expect("the client's kernel takes it");
    std::thread::sleep(Duration::from_millis(500));
    lab.sh("lab_sysctl rs1 net/ipv4/conf/all/arp_ignore=1");

    let began = Instant::now();
    let mut bytes = [0; 64];
    let (count, from) = server.recv_from(&mut bytes).expect("the datagram waits in the director");
    println!("arrived {:?} after the server began to answer ARP", began.elapsed());
    assert_eq!((&bytes[..count], from), (&b"question"[..], client.local_addr().expect("bound")));
}

#[test]
fn a_static_neighbour_needs_no_arp() {
    let lab = Lab::one_segment().with_web();
    let mac = lab.mac("rs1", "eth0");
    lab.sh("lab_sysctl rs1 net/ipv4/conf/all/arp_ignore=8");
    let mut config = Config::one_port().with_service(80, "rr", &["10.0.10.83"]);
    config.neighbours.push(("lan0".to_owned(), "10.0.10.83".to_owned(), mac.clone()));
    let capture = Capture::start(&lab, "rs1", "eth0", "arp and arp[24:4] == 0x0a000a53");
    let director = Director::start(&lab, &config);
    // The client learns where the server's replies come from as usual; only rs1 is mute.
    assert_eq!(curl_pages(&lab, 3), ["rs1"; 3]);

    let neighbours = director.ctl("neigh");
    let line = neighbours.lines().find(|line| line.contains("10.0.10.83")).expect(&neighbours);
    assert!(line.contains(&mac), "{line}");
    let director_mac = lab.mac("director", "dir0");
    let asked: Vec<String> =
        capture.frames().into_iter().filter(|frame| frame.contains(&director_mac)).collect();
    assert!(asked.is_empty(), "a static neighbour was asked for: {asked:?}");
}

/// Whoever sends packets to many addresses that do not exist cannot fill the table: those of real
/// servers come on top of its limit, and a client that is answered takes the place of a silent one.
#[test]
fn a_scan_does_not_keep_servers_from_being_found() {
    let lab = Lab::two_segments().with_web_at(8080);
    lab.sh("lab_run client ip route add 10.0.20.0/24 via 10.0.10.61");
    let config = Config::two_ports().with_key("arp: { max: 16, queue: 32, attempts: 30 }").with(
        &format!("-t {VIP}:80"),
        "rr",
        &["10.0.20.83:8080 -m"],
    );
    let director = Director::start(&lab, &config);
    let client = lab.inside("client", || UdpSocket::bind("10.0.10.1:0")).expect("a port is free");

    // A busy machine loses some of a burst before the director sees it, so it goes on until it has.
    eventually(Duration::from_secs(20), "the scan is dropped", || {
        for last in (1..=254).filter(|last| ![61, 83, 84].contains(last)) {
            client.send_to(b"scan", format!("10.0.20.{last}:9")).expect("the kernel takes it");
        }
        (director.drops("neighbour_unresolved") >= 700).then_some(())
    });
    let learnt =
        director.ctl("neigh").lines().filter(|line| line.contains("real-servers 0")).count();
    assert!((1..=16).contains(&learnt), "{}", director.ctl("neigh"));
    director.adm(&format!("-a -t {VIP}:80 -r 10.0.20.84:8080 -m"));
    let mut names = curl_pages(&lab, 4);
    names.sort();
    assert_eq!(names, ["rs1", "rs1", "rs2", "rs2"]);
}
