//! Fragments: only the first one has ports, and all go the same way.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::support::config::Config;
use crate::support::director::Director;
use crate::support::lab::{Lab, VIP, VIP6, eventually};
use crate::support::sockets::{PATIENCE, UdpEcho};
use crate::support::tools::curl_pages;

const PORT: u16 = 5353;

#[test]
fn large_datagrams_pass_nat_both_ways() {
    let lab = Lab::two_segments();
    let _server = UdpEcho::start(&lab, "rs1", PORT);
    let config = Config::two_ports()
        .with(&format!("-u {VIP}:53"), "rr", &[&format!("10.0.20.83:{PORT} -m")])
        .with(&format!("-u [{VIP6}]:53"), "rr", &[&format!("[fd00:20::83]:{PORT} -m")]);
    let _director = Director::start(&lab, &by_pcap(config));
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
    let _director = Director::start(&lab, &by_pcap(config));
    for _ in 0..2 {
        echoes(&lab, "10.0.10.1:0", &format!("{VIP}:{PORT}"));
    }
    echoes(&lab, "[fd00:10::1]:0", &format!("[{VIP6}]:{PORT}"));
}

/// They belong to no connection: the director is a router like any other.
#[test]
fn large_echoes_are_routed() {
    let lab = Lab::two_segments();
    lab.sh("lab_run client ip route add 10.0.20.0/24 via 10.0.10.61");
    lab.sh("lab_run client ip route add fd00:20::/64 via fd00:10::61");
    let _director = Director::start(&lab, &by_pcap(Config::two_ports()));
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
    let director = Director::start(&lab, &by_pcap(config));

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

/// The ports by libpcap: DPDK's `net_af_packet` has the kernel put IPv4 fragments together, and
/// then gets packets that fit no port.
fn by_pcap(mut config: Config) -> Config {
    for (number, (_, device, _)) in config.ports.iter_mut().enumerate() {
        *device = format!("net_pcap{number},rx_iface_in=dir{number},tx_iface=dir{number}");
    }
    config
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

/// Datagrams of many sizes come back as they were sent.
fn echoes(lab: &Lab, own: &str, to: &str) {
    lab.inside("client", || {
        let socket = UdpSocket::bind(own).expect("a port is free");
        socket.set_read_timeout(Some(PATIENCE)).expect("not zero");
        socket.connect(to).expect("there is a route");
        for size in [8000, 1473, 100, 3000, 20_000, 8000] {
            let sent: Vec<u8> = (0..size).map(|number| (number % 251) as u8).collect();
            socket.send(&sent).expect("the client's kernel takes it");
            let mut got = vec![0; 65_535];
            let length = socket.recv(&mut got).unwrap_or_else(|e| panic!("{size} to {to}: {e}"));
            assert!(got[..length] == sent, "{size} bytes to {to} came back as {length}");
        }
    });
}
