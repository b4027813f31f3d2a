//! Tunneling: requests to the real server inside other packets, replies around the director.
//!
//! At the real servers `decapsulate.py` takes the packets out, which checks what is special to each
//! kind of tunnel, and hands them to the kernel.

use crate::support::config::Config;
use crate::support::director::Director;
use crate::support::lab::{Lab, VIP, VIP6};
use crate::support::tools::{Capture, ab, pages, upload};

/// Options of a server, what the decapsulator calls that, and how tcpdump finds the outer packet.
type Kind = (&'static str, &'static str, &'static str);

const KINDS: [Kind; 6] = [
    ("--tun-type ipip", "ipip", "ip proto 4"),
    ("--tun-type gre", "gre", "ip proto 47 and ip[20:2] == 0"),
    ("--tun-type gre --tun-csum", "gre with checksum", "ip proto 47 and ip[20:2] == 0x8000"),
    ("--tun-type gue --tun-port 6080", "gue", "udp dst port 6080 and udp[6:2] == 0"),
    ("--tun-type gue --tun-port 6080 --tun-csum", "gue", "udp dst port 6080 and udp[6:2] != 0"),
    // The kernel offloads checksums that are not worked out yet; those of a forwarded packet are.
    ("--tun-type gue --tun-port 6080 --tun-remcsum", "gue", "udp dst port 6080 and udp[6:2] != 0"),
];

/// A page, and a file from the client: its kernel sends segments that fill the MTU, and must be
/// told that they do not fit into the tunnel.
#[test]
fn every_kind_of_tunnel_carries_pages_and_full_segments() {
    let lab = Lab::both_families().with_web();
    lab.sh("lab_decapsulate rs1");
    let config = Config::both_families()
        .with(&format!("-t {VIP}:80"), "rr", &["10.0.10.83 -i"])
        .with(&format!("-t [{VIP6}]:80"), "rr", &["[fd00:10::83]:80 -i"]);
    let director = Director::start(&lab, &config);
    let replies = Capture::start(&lab, "director", "dir0", "tcp src port 80");
    for (options, name, filter) in KINDS {
        lab.sh("lab_run client ip route flush cache");
        director.adm(&format!("-e -t {VIP}:80 -r 10.0.10.83 -i {options}"));
        let outer = format!("src 10.0.10.61 and dst 10.0.10.83 and {filter}");
        let capture = Capture::start(&lab, "rs1", "eth0", &outer);

        let url = format!("http://{VIP}");
        assert_eq!(pages(&lab, "client", &url, 2), ["rs1"; 2], "{options}");
        upload(&lab, "client", &url, "rs1", 2);

        assert!(capture.frames().len() > 1000, "{options}: {}", capture.frames().len());
        expect_log(&lab, "rs1", &format!("{name}, IPv4 over IPv4"));
    }
    for (options, name, _) in KINDS {
        lab.sh("lab_run client ip -6 route flush cache");
        director.adm(&format!("-e -t [{VIP6}]:80 -r [fd00:10::83]:80 -i {options}"));
        let url = format!("http://[{VIP6}]");
        assert_eq!(pages(&lab, "client", &url, 2), ["rs1"; 2], "{options}");
        upload(&lab, "client", &url, "rs1", 2);
        expect_log(&lab, "rs1", &format!("{name}, IPv6 over IPv6"));
    }
    assert_eq!(replies.frames(), Vec::<String>::new(), "replies do not pass the director");
    assert_eq!(director.server("10.0.10.83").forward, "Tunnel");
}

#[test]
fn a_family_travels_in_the_other_one() {
    let lab = Lab::both_families().with_web();
    lab.sh("lab_decapsulate rs1");
    let config = Config::both_families()
        .with(&format!("-t {VIP}:80"), "rr", &["[fd00:10::83]:80 -i"])
        .with(&format!("-t [{VIP6}]:80"), "rr", &["10.0.10.83:80 -i"]);
    let director = Director::start(&lab, &config);
    for (options, name, _) in KINDS {
        lab.sh("lab_run client ip route flush cache");
        lab.sh("lab_run client ip -6 route flush cache");
        director.adm(&format!("-e -t {VIP}:80 -r [fd00:10::83]:80 -i {options}"));
        director.adm(&format!("-e -t [{VIP6}]:80 -r 10.0.10.83:80 -i {options}"));
        for url in [format!("http://{VIP}"), format!("http://[{VIP6}]")] {
            assert_eq!(pages(&lab, "client", &url, 2), ["rs1"; 2], "{options}");
            upload(&lab, "client", &url, "rs1", 2);
        }
        expect_log(&lab, "rs1", &format!("{name}, IPv4 over IPv6"));
        expect_log(&lab, "rs1", &format!("{name}, IPv6 over IPv4"));
    }
}

/// The tunnel's way is narrower than the director's own wire: a router tells the director, and the
/// director the client. As with the kernel this is for IPv4 in IPv4.
#[test]
fn a_narrow_way_to_the_server_is_told_to_the_client() {
    let lab = behind_a_narrow_link();
    let config = Config::one_port().with_route("10.0.20.0/24", "10.0.10.254").with(
        &format!("-t {VIP}:80"),
        "rr",
        &["10.0.20.83 -i"],
    );
    let director = Director::start(&lab, &config);
    let kinds = [
        ("--tun-type ipip", 1400 - 20),
        ("--tun-type gre", 1400 - 20 - 4),
        ("--tun-type gre --tun-csum", 1400 - 20 - 8),
        ("--tun-type gue --tun-port 6080", 1400 - 20 - 8 - 4),
    ];
    for (options, mtu) in kinds {
        lab.sh("lab_run client ip route flush cache");
        director.adm(&format!("-e -t {VIP}:80 -r 10.0.20.83 -i {options}"));
        let url = format!("http://{VIP}");
        assert_eq!(pages(&lab, "client", &url, 1), ["rs3"], "{options}");
        upload(&lab, "client", &url, "rs3", 1);
        let route = lab.run("client", &format!("ip route get {VIP}"));
        assert!(route.contains(&format!("mtu {mtu}")), "{options}: {route}");
    }
}

#[test]
fn load_passes_through_tunnels() {
    let lab = Lab::both_families().with_web();
    lab.sh("lab_decapsulate rs1");
    lab.sh("lab_decapsulate rs2");
    let servers = ["10.0.10.83 -i", "10.0.10.84 -i --tun-type gre --tun-csum"];
    let config = Config::both_families().with(&format!("-t {VIP}:80"), "rr", &servers);
    let director = Director::start(&lab, &config);

    ab(&lab, 600, 20);

    let servers = director.servers();
    assert!(servers[0].inactive.abs_diff(servers[1].inactive) <= 30, "{servers:?}");
    expect_log(&lab, "rs1", "ipip, IPv4 over IPv4");
    expect_log(&lab, "rs2", "gre with checksum, IPv4 over IPv4");
}

/// `lan` with client and director, a link of MTU 1400, and the real server rs3 on `backend`.
fn behind_a_narrow_link() -> Lab {
    let lab = Lab::new();
    for switch in ["lan", "narrow", "backend"] {
        lab.sh(&format!("lab_switch {switch}"));
    }
    lab.sh("lab_host client lan 10.0.10.1/24");
    lab.sh("lab_router router");
    lab.sh("lab_attach router eth0 lan 10.0.10.254/24");
    lab.sh("lab_attach router eth1 narrow 10.0.30.254/24");
    lab.sh("lab_router router2");
    lab.sh("lab_attach router2 eth0 narrow 10.0.30.253/24");
    lab.sh("lab_attach router2 eth1 backend 10.0.20.254/24");
    lab.sh("lab_run router ip link set eth1 mtu 1400");
    lab.sh("lab_run router2 ip link set eth0 mtu 1400");
    lab.sh("lab_run router ip route add 10.0.20.0/24 via 10.0.30.253");
    lab.sh("lab_run router2 ip route add default via 10.0.30.254");
    lab.sh(&format!("lab_real_server rs3 backend 10.0.20.83/24 10.0.20.254 {VIP}"));
    lab.sh("lab_director director");
    lab.sh("lab_attach_director director dir0 lan");
    lab.sh("lab_nginx rs3 rs3");
    lab.sh("lab_decapsulate rs3");
    lab
}

/// The decapsulator met such packets, and refused none.
fn expect_log(lab: &Lab, host: &str, line: &str) {
    let path = lab.dir().join(format!("{host}-tunnel.log"));
    let text = std::fs::read_to_string(path).expect("the decapsulator runs");
    assert!(text.lines().any(|known| known == line), "no {line:?} in\n{text}");
    assert!(!text.contains("refused"), "{text}");
}
