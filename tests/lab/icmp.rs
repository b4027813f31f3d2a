//! ICMP: what the director answers, and whom it brings the errors of others.

use std::io::ErrorKind;
use std::net::UdpSocket;

use crate::support::config::Config;
use crate::support::director::Director;
use crate::support::lab::{Lab, VIP, VIP6};
use crate::support::sockets::PATIENCE;
use crate::support::tools::{Capture, download, upload};

#[test]
fn vips_and_own_addresses_answer_echo() {
    let lab = Lab::both_families();
    let config = Config::both_families()
        .with(&format!("-t {VIP}:80"), "rr", &["10.0.10.83 -g"])
        .with(&format!("-t [{VIP6}]:80"), "rr", &["[fd00:10::83]:80 -g"]);
    let _director = Director::start(&lab, &config);
    for address in [VIP, "10.0.10.61", VIP6, "fd00:10::61"] {
        for size in [0, 56, 1400] {
            let line = format!("ping -n -c 2 -i 0.2 -W 5 -s {size} {address}");
            let text = lab.run("client", &line);
            assert!(text.contains("2 received"), "{text}");
        }
    }
}

/// As with the kernel: the director speaks as the VIP where a service's packet ends, so the hop
/// before the real server has the same name, and as itself where it is a router.
#[test]
fn traceroute_shows_the_director_as_a_hop() {
    let lab = Lab::two_segments().with_web_at(8080);
    lab.sh("lab_run client ip route add 10.0.20.0/24 via 10.0.10.61");
    lab.sh("lab_run client ip route add fd00:20::/64 via fd00:10::61");
    let config = Config::two_ports()
        .with(&format!("-t {VIP}:80"), "rr", &["10.0.20.83:8080 -m"])
        .with(&format!("-t [{VIP6}]:80"), "rr", &["[fd00:20::83]:8080 -m"]);
    let _director = Director::start(&lab, &config);
    let cases: [(&str, &str, &str, &[&str]); 8] = [
        ("client", "-I", VIP, &[VIP]),
        ("client", "", VIP, &[VIP]),
        ("client", "-T -p 80", VIP, &[VIP, VIP]),
        ("client", "", "10.0.20.83", &["10.0.10.61", "10.0.20.83"]),
        ("rs1", "", "10.0.10.1", &["10.0.20.61", "10.0.10.1"]),
        ("client", "-6 -T -p 80", VIP6, &[VIP6, VIP6]),
        ("client", "-6", "fd00:20::83", &["fd00:10::61", "fd00:20::83"]),
        ("rs1", "-6", "fd00:10::1", &["fd00:20::61", "fd00:10::1"]),
    ];
    for (host, options, to, expected) in cases {
        let text = lab.run(host, &format!("traceroute -n -q 1 -m 4 -w 5 {options} {to}"));
        let hops: Vec<_> =
            text.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)).collect();
        assert_eq!(hops, expected, "traceroute {options} {to} from {host}:\n{text}");
    }
}

/// A closed port of the VIP is refused by the director; one of a real server by the server, whose
/// error names its own address inside: translated, it reaches the socket that it is about.
#[test]
fn closed_ports_are_refused_at_once() {
    let lab = Lab::two_segments();
    let mut config = Config::two_ports();
    for (vip, server) in [(VIP, "10.0.20.83"), ("[fd00:10::100]", "[fd00:20::83]")] {
        config = config.with(&format!("-u {vip}:53"), "rr", &[&format!("{server}:5353 -m")]).with(
            &format!("-t {vip}:80"),
            "rr",
            &[&format!("{server}:8080 -m")],
        );
    }
    let director = Director::start(&lab, &config);
    let at_server = Capture::start(&lab, "rs1", "eth0", "icmp or (icmp6 and ip6[40] == 1)");
    for (own, vip) in [("10.0.10.1:0", VIP), ("[fd00:10::1]:0", "[fd00:10::100]")] {
        for port in [53, 54] {
            let refused = lab.inside("client", || {
                let socket = UdpSocket::bind(own)?;
                socket.set_read_timeout(Some(PATIENCE))?;
                socket.connect(format!("{vip}:{port}"))?;
                socket.send(b"question")?;
                socket.recv(&mut [0; 64])
            });
            let kind = refused.map_err(|error| error.kind());
            assert_eq!(kind, Err(ErrorKind::ConnectionRefused), "{vip}:{port}");
        }
        for port in [80, 81] {
            let output = lab.try_run("client", &format!("curl -gsS -m 10 http://{vip}:{port}/"));
            assert_eq!(output.status.code(), Some(7), "refused, {vip}:{port}: {output:?}");
        }
    }
    assert_eq!(at_server.frames().len(), 2, "one from the server for each family");
    assert!(director.drops("no_service") >= 4);
}

/// The narrow link is the clients': its router speaks to the VIP about packets that the director
/// never saw, or saw with other addresses; they must reach the server that sent them.
#[test]
fn a_narrow_link_of_a_client_is_told_to_the_server_behind_nat() {
    let lab = Lab::two_segments().with_far_client().with_web_at(8080);
    let config = Config::two_ports()
        .with_route("0.0.0.0/0", "10.0.10.254")
        .with_route("::/0", "fd00:10::254")
        .with(&format!("-t {VIP}:80"), "rr", &["10.0.20.83:8080 -m"])
        .with(&format!("-t [{VIP6}]:80"), "rr", &["[fd00:20::83]:8080 -m"]);
    let _director = Director::start(&lab, &config);
    transfers_pass_the_narrow_link(&lab);
}

#[test]
fn a_narrow_link_of_a_client_is_told_to_the_server_of_direct_routing() {
    let lab = Lab::both_families().with_far_client().with_web();
    lab.sh("lab_run rs1 ip route add default via 10.0.10.254");
    lab.sh("lab_run rs1 ip -6 route add default via fd00:10::254");
    let config = Config::both_families()
        .with(&format!("-t {VIP}:80"), "rr", &["10.0.10.83 -g"])
        .with(&format!("-t [{VIP6}]:80"), "rr", &["[fd00:10::83]:80 -g"]);
    let _director = Director::start(&lab, &config);
    transfers_pass_the_narrow_link(&lab);
}

#[test]
fn a_narrow_link_of_a_client_is_told_to_the_server_in_a_tunnel() {
    let lab = Lab::both_families().with_far_client().with_web();
    lab.sh("lab_decapsulate rs1");
    lab.sh("lab_run rs1 ip route add default via 10.0.10.254");
    lab.sh("lab_run rs1 ip -6 route add default via fd00:10::254");
    let config = Config::both_families()
        .with(&format!("-t {VIP}:80"), "rr", &["10.0.10.83 -i"])
        .with(&format!("-t [{VIP6}]:80"), "rr", &["[fd00:10::83]:80 -i"]);
    let _director = Director::start(&lab, &config);
    transfers_pass_the_narrow_link(&lab);
}

fn transfers_pass_the_narrow_link(lab: &Lab) {
    for url in [format!("http://{VIP}"), format!("http://[{VIP6}]")] {
        download(lab, "far", &url, "rs1", 4);
        upload(lab, "far", &url, "rs1", 4);
    }
    // What the server's kernel has learnt about the way to the client.
    for to in ["10.0.40.1", "fd00:40::1"] {
        let route = lab.run("rs1", &format!("ip route get {to}"));
        assert!(route.contains("mtu 1280"), "{route}");
    }
}
