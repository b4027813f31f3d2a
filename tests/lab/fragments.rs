//! Fragments: only the first one has ports, and all go the same way.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::support::config::Config;
use crate::support::director::Director;
use crate::support::lab::{Lab, VIP, VIP6, eventually};
use crate::support::sockets::{PATIENCE, UdpEcho};
use crate::support::tools::{curl_pages, download, upload};

const PORT: u16 = 5353;

/// Within a frame, just beyond, and far beyond.
const SIZES: [usize; 6] = [8000, 1473, 100, 1460, 20_000, 8000];

#[test]
fn large_datagrams_pass_nat_both_ways() {
    let lab = Lab::two_segments();
    let _server = UdpEcho::start(&lab, "rs1", PORT);
    let config = Config::two_ports()
        .with(&format!("-u {VIP}:53"), "rr", &[&format!("10.0.20.83:{PORT} -m")])
        .with(&format!("-u [{VIP6}]:53"), "rr", &[&format!("[fd00:20::83]:{PORT} -m")]);
    let _director = Director::start(&lab, &config.by_pcap());
    echoes(&lab, "10.0.10.1:0", &format!("{VIP}:53"));
    echoes(&lab, "[fd00:10::1]:0", &format!("[{VIP6}]:53"));
}

#[test]
fn large_datagrams_pass_direct_routing() {
    let lab = Lab::both_families();
    let _servers = [UdpEcho::start(&lab, "rs1", PORT), UdpEcho::start(&lab, "rs2", PORT)];
    let config = Config::both_families()
        .with(&format!("-u {VIP}:{PORT}"), "rr", &["10.0.10.83 -g", "10.0.10.84 -g"])
        .with(&format!("-u [{VIP6}]:{PORT}"), "rr", &["[fd00:10::83]:53 -g"]);
    let _director = Director::start(&lab, &config.by_pcap());
    for _ in 0..2 {
        echoes(&lab, "10.0.10.1:0", &format!("{VIP}:{PORT}"));
    }
    echoes(&lab, "[fd00:10::1]:0", &format!("[{VIP6}]:{PORT}"));
}

/// Through tunnels: fragments of the client's, and datagrams that fit the wire, but not into the
/// tunnel, and may be fragmented; the director does so outside of the tunnel, as the kernel.
#[test]
fn large_datagrams_pass_tunnels() {
    let lab = Lab::both_families();
    lab.sh("lab_decapsulate rs1");
    may_be_fragmented(&lab);
    let _server = UdpEcho::start(&lab, "rs1", PORT);
    let config = Config::both_families()
        .with(&format!("-u {VIP}:{PORT}"), "rr", &["10.0.10.83 -i"])
        .with(&format!("-u [{VIP6}]:{PORT}"), "rr", &["[fd00:10::83]:5353 -i"]);
    let director = Director::start(&lab, &config.by_pcap());
    for options in ["--tun-type ipip", "--tun-type gre", "--tun-type gue --tun-port 6080"] {
        director.adm(&format!("-e -u {VIP}:{PORT} -r 10.0.10.83 -i {options}"));
        director.adm(&format!("-e -u [{VIP6}]:{PORT} -r [fd00:10::83]:{PORT} -i {options}"));
        echoes(&lab, "10.0.10.1:0", &format!("{VIP}:{PORT}"));
        // What does not fit is told to the client, which fragments the next one.
        echoes_at_last(&lab, "[fd00:10::1]:0", &format!("[{VIP6}]:{PORT}"));
    }
}

/// The network of the servers is narrower than the clients': the director fragments what may be,
/// and tells the senders of all else.
#[test]
fn a_narrow_port_fragments_or_tells() {
    let lab = Lab::two_segments().with_web_at(8080);
    // The server keeps to it, but does not tell its clients so.
    lab.sh("lab_run rs1 ip route change default via 10.0.20.61 mtu 1300 advmss 1460");
    lab.sh("lab_run rs1 ip -6 route change default via fd00:20::61 mtu 1300 advmss 1440");
    may_be_fragmented(&lab);
    let _server = UdpEcho::start(&lab, "rs1", PORT);
    let mut config = Config::two_ports()
        .with(&format!("-u {VIP}:53"), "rr", &[&format!("10.0.20.83:{PORT} -m")])
        .with(&format!("-t {VIP}:80"), "rr", &["10.0.20.83:8080 -m"])
        .with(&format!("-t [{VIP6}]:80"), "rr", &["[fd00:20::83]:8080 -m"])
        .by_pcap();
    config.mtus.push(("backend0".to_owned(), 1300));
    let director = Director::start(&lab, &config);

    echoes(&lab, "10.0.10.1:0", &format!("{VIP}:53"));
    lab.sh("lab_sysctl client net/ipv4/ip_no_pmtu_disc=0");
    for url in [format!("http://{VIP}"), format!("http://[{VIP6}]")] {
        download(&lab, "client", &url, "rs1", 2);
        upload(&lab, "client", &url, "rs1", 2);
    }
    assert!(director.drops("exceeds_mtu") > 0);
    for vip in [VIP, VIP6] {
        let route = lab.run("client", &format!("ip route get {vip}"));
        assert!(route.contains("mtu 1300"), "{route}");
    }
}

/// They belong to no connection: the director is a router like any other.
#[test]
fn large_echoes_are_routed() {
    let lab = Lab::two_segments();
    lab.sh("lab_run client ip route add 10.0.20.0/24 via 10.0.10.61");
    lab.sh("lab_run client ip route add fd00:20::/64 via fd00:10::61");
    let _director = Director::start(&lab, &Config::two_ports().by_pcap());
    for (host, address) in [
        ("client", "10.0.20.83"),
        ("rs1", "10.0.10.1"),
        ("client", "fd00:20::83"),
        ("rs1", "fd00:10::1"),
    ] {
        let text = lab.run(host, &format!("ping -n -c 3 -i 0.2 -W 5 -s 4000 {address}"));
        assert!(text.contains("3 received"), "{text}");
    }
}

/// Later fragments without their first one fill the table of datagrams; what has none to wait for
/// goes on, and what does not fit is counted.
#[test]
fn a_flood_of_fragments_ends_at_its_limit() {
    let lab = Lab::one_segment().with_web();
    let config = Config::web("rr").with_key("fragments: { max: 64, queue: 32 }");
    let director = Director::start(&lab, &config.by_pcap());

    let frames = (0..2000_u16).map(later_fragment).collect::<Vec<_>>();
    lab.inside("client", || {
        // The protocol of those who write the IP header themselves.
        let raw = Some(Protocol::from(libc::IPPROTO_RAW));
        let socket = Socket::new(Domain::IPV4, Type::from(libc::SOCK_RAW), raw)?;
        let to = "10.0.10.100:0".parse::<std::net::SocketAddr>().expect("an address");
        for frame in &frames {
            socket.send_to(frame, &to.into())?;
        }
        Ok::<(), io::Error>(())
    })
    .expect("the client's kernel takes them");

    eventually(Duration::from_secs(10), "the flood is counted", || {
        (director.drops("fragment_flood") >= 1900).then_some(())
    });
    assert_eq!(curl_pages(&lab, 4).len(), 4);
}

/// An IPv4 packet that is the second fragment of a datagram, for a raw socket.
fn later_fragment(identification: u16) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 0];
    packet.extend(identification.to_be_bytes());
    packet.extend([0x20, 100, 64, 17, 0, 0]);
    packet.extend(Ipv4Addr::new(10, 0, 10, 1).octets());
    packet.extend(Ipv4Addr::new(10, 0, 10, 100).octets());
    packet.extend([0; 64]);
    packet
}

/// Sockets from now on send without DF.
fn may_be_fragmented(lab: &Lab) {
    for host in ["client", "rs1"] {
        lab.sh(&format!("lab_sysctl {host} net/ipv4/ip_no_pmtu_disc=1"));
    }
}

/// Datagrams of many sizes come back as they were sent.
fn echoes(lab: &Lab, own: &str, to: &str) {
    for size in SIZES {
        assert!(echo(lab, own, to, size), "{size} bytes to {to}");
    }
}

/// The same, but the first ones of a size may be lost.
fn echoes_at_last(lab: &Lab, own: &str, to: &str) {
    for size in SIZES {
        assert!((0..3).any(|_| echo(lab, own, to, size)), "{size} bytes to {to}");
    }
}

/// Whether a datagram comes back as it was sent.
fn echo(lab: &Lab, own: &str, to: &str, size: usize) -> bool {
    lab.inside("client", || {
        let socket = UdpSocket::bind(own).expect("a port is free");
        socket.set_read_timeout(Some(PATIENCE / 5)).expect("not zero");
        socket.connect(to).expect("there is a route");
        let sent: Vec<u8> = (0..=250).cycle().take(size).collect();
        socket.send(&sent).expect("the client's kernel takes it");
        let mut got = vec![0; 65_535];
        socket.recv(&mut got).is_ok_and(|length| got[..length] == sent)
    })
}
