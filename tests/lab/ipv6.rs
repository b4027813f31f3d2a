//! IPv6 beside IPv4 on one segment: neighbour discovery, and direct routing.

use crate::support::config::Config;
use crate::support::director::Director;
use crate::support::lab::{Lab, VIP, VIP6, eventually};
use crate::support::sockets::PATIENCE;
use crate::support::tools::{Capture, ab, download, link_local, pages, upload};

fn web() -> Config {
    Config::both_families()
        .with(&format!("-t {VIP}:80"), "rr", &["10.0.10.83 -g", "10.0.10.84 -g"])
        .with(&format!("-t [{VIP6}]:80"), "rr", &["[fd00:10::83]:80 -g", "[fd00:10::84]:80 -g"])
}

#[test]
fn direct_routing_serves_both_families() {
    let lab = Lab::both_families().with_web();
    let director = Director::start(&lab, &web());
    let replies = Capture::start(&lab, "director", "dir0", "tcp src port 80");

    for url in [format!("http://{VIP}/"), format!("http://[{VIP6}]/")] {
        let mut names = pages(&lab, "client", &url, 4);
        names.sort();
        assert_eq!(names, ["rs1", "rs1", "rs2", "rs2"], "{url}");
    }
    ab(&lab, 200, 10);
    let text = lab.run("client", &format!("timeout 60 ab -q -n 200 -c 10 http://[{VIP6}]/"));
    assert!(text.contains("Failed requests:        0\n"), "{text}");

    assert_eq!(replies.frames(), Vec::<String>::new(), "replies do not pass the director");
    let connections = director.connections();
    let v6 = connections.iter().filter(|line| line.virtual_end == "[fd00:10::100]:80").count();
    assert!((204..=214).contains(&v6), "{v6} of {}", connections.len());
    assert_eq!(director.server("[fd00:10::83]").forward, "Route");
}

#[test]
fn large_files_pass_both_ways() {
    let lab = Lab::both_families().with_web();
    let director = Director::start(&lab, &web());
    director.adm(&format!("-d -t [{VIP6}]:80 -r [fd00:10::84]:80"));
    download(&lab, "client", &format!("http://[{VIP6}]"), "rs1", 24);
    upload(&lab, "client", &format!("http://[{VIP6}]"), "rs1", 24);
}

/// The client asks for the VIP by multicast and learns the director's MAC address, not the real
/// servers', which have the VIP too. The director has a link-local address besides.
#[test]
fn vips_are_found_by_neighbour_discovery() {
    let lab = Lab::both_families().with_web();
    let asked = Capture::start(&lab, "client", "eth0", "icmp6 and ip6[40] == 135");
    let answered = Capture::start(&lab, "client", "eth0", "icmp6 and ip6[40] == 136");
    let _director = Director::start(&lab, &web());
    lab.sh("lab_run client ip -6 neigh flush dev eth0");

    assert_eq!(pages(&lab, "client", &format!("http://[{VIP6}]/"), 2).len(), 2);

    let mac = lab.mac("director", "dir0");
    let line = lab.run("client", &format!("ip -6 neigh show {VIP6}"));
    assert!(line.contains(&format!("lladdr {mac}")), "{line}");
    let questions = asked.frames();
    let has = |frame: &&String| frame.contains("who has fd00:10::100");
    assert!(questions.iter().find(has).is_some_and(|frame| frame.contains("ff02::1:ff00:100")));
    let answers = answered.frames();
    let of_vip: Vec<_> =
        answers.iter().filter(|frame| frame.contains("tgt is fd00:10::100")).collect();
    assert!(!of_vip.is_empty(), "{answers:#?}");
    assert!(of_vip.iter().all(|frame| frame.contains(&format!(" {mac} > "))), "{of_vip:#?}");

    let own = link_local(&mac);
    let text = lab.run("client", &format!("ping -n -c 1 -W 5 {own}%eth0"));
    assert!(text.contains("1 received"), "{text}");
}

/// A new owner of a VIP says so, so that neighbours forget the one before.
#[test]
fn a_vip_that_moves_is_announced() {
    let lab = Lab::both_families().with_web();
    lab.sh("lab_run client ip -6 neigh flush dev eth0");
    lab.sh(&format!("lab_address6 rs2 eth0 {VIP6}/128"));
    assert_eq!(pages(&lab, "client", &format!("http://[{VIP6}]/"), 1), ["rs2"]);
    lab.sh(&format!("lab_run rs2 ip addr del {VIP6}/128 dev eth0"));
    let director = Director::start(&lab, &web());
    director.adm(&format!("-d -t [{VIP6}]:80 -r [fd00:10::84]:80"));

    assert_eq!(pages(&lab, "client", &format!("http://[{VIP6}]/"), 2), ["rs1"; 2]);
}

/// The client is on the director's own link: the way back to it is asked for when a reply wants it.
#[test]
fn masquerading_finds_the_way_back_by_itself() {
    let lab = Lab::both_families().with_web();
    // Replies have to pass the director.
    lab.sh("lab_run rs1 ip -6 route add fd00:10::1/128 via fd00:10::61 dev eth0");
    let config =
        Config::both_families().with(&format!("-t [{VIP6}]:80"), "rr", &["[fd00:10::83]:80 -m"]);
    let director = Director::start(&lab, &config);
    let got = pages(&lab, "client", &format!("http://[{VIP6}]/"), 3);
    assert_eq!(got, ["rs1"; 3], "{}", director.ctl("drops"));
    let neighbours = director.ctl("neigh");
    assert!(neighbours.contains("fd00:10::1 dev lan0 lladdr"), "{neighbours}");
}

#[test]
fn a_taken_address_is_announced_to_all_nodes() {
    let lab = Lab::both_families();
    let director = Director::start(&lab, &Config::both_families());
    // Neighbour advertisements.
    let capture = Capture::start(&lab, "client", "eth0", "icmp6 and ip6[40] == 136");
    director.ctl(&format!("vip add {VIP6}"));
    eventually(PATIENCE, "an advertisement", || {
        capture.frames().into_iter().find(|frame| frame.contains("tgt is fd00:10::100"))
    });
    assert!(director.ctl("vip list").contains(&format!("{VIP6} taken owned")));
}
