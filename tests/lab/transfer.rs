//! Load, long transfers and many connections at a time.

use std::io::{Read, Write};
use std::net::{Shutdown, UdpSocket};

use crate::support::config::Config;
use crate::support::director::Director;
use crate::support::lab::{Lab, VIP, eventually};
use crate::support::sockets::{PATIENCE, TcpServer, connect, connect_echo, exchange};
use crate::support::tools::{ab, iperf, iperf_server};

#[test]
fn a_thousand_requests_thirty_at_a_time() {
    let lab = Lab::one_segment().with_web();
    let director = Director::start(&lab, &Config::web("rr"));

    ab(&lab, 1000, 30);

    let servers = director.servers();
    let listed: u32 = servers.iter().map(|server| server.active + server.inactive).sum();
    // ab opens up to 30 connections more than it needs.
    assert!((1000..=1030).contains(&listed), "{servers:?}");
    assert!(servers[0].inactive.abs_diff(servers[1].inactive) <= 30, "{servers:?}");
    let connections = director.connections();
    assert_eq!(connections.len(), listed as usize, "-Lnc and -Ln must agree");
    assert!(connections.iter().all(|line| line.protocol == "TCP"), "{connections:?}");
}

#[test]
fn a_long_tcp_transfer() {
    let lab = Lab::one_segment();
    let config = Config::one_port().with_service(5201, "rr", &["10.0.10.83"]);
    let director = Director::start(&lab, &config);
    iperf_server(&lab, "rs1");

    let end = iperf(&lab, "-t 5");

    let sent = end["sum_sent"]["bytes"].as_u64().expect("iperf3 counts");
    let received = end["sum_received"]["bytes"].as_u64().expect("iperf3 counts");
    let rate = end["sum_received"]["bits_per_second"].as_f64().expect("iperf3 measures");
    println!("iperf3 TCP: {received} of {sent} bytes, {:.0} Mbit/s", rate / 1e6);
    // What is missing was under way when iperf3 stopped counting; a socket buffer at most.
    assert!(sent - received <= 16 << 20, "{end:#}");
    assert!(rate > 20e6, "{end:#}");
    assert_eq!(director.server("10.0.10.83").forward, "Route");
}

#[test]
fn a_udp_stream_loses_nothing() {
    let lab = Lab::one_segment();
    let mut config = Config::one_port().with_service(5201, "rr", &["10.0.10.83"]);
    config.services.push(format!("-A -u {VIP}:5201 -s rr"));
    config.services.push(format!("-a -u {VIP}:5201 -r 10.0.10.83 -g"));
    let director = Director::start(&lab, &config);
    iperf_server(&lab, "rs1");

    let end = iperf(&lab, "-u -b 10M -l 1400 -t 3");

    let packets = end["sum"]["packets"].as_u64().expect("iperf3 counts");
    let lost = end["sum"]["lost_packets"].as_u64().expect("iperf3 counts");
    assert!(packets > 2000, "{end:#}");
    assert_eq!(lost, 0, "{end:#}");
    let udp = director.connections().into_iter().filter(|line| line.protocol == "UDP").count();
    assert_eq!(udp, 1, "one flow, one entry");
}

#[test]
fn every_byte_of_an_upload_arrives() {
    const SIZE: usize = 32 << 20;
    let lab = Lab::one_segment();
    let sums = |mut stream: std::net::TcpStream| {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        stream.write_all(format!("{} {:x}", bytes.len(), fnv(&bytes)).as_bytes())
    };
    let _servers = [TcpServer::start(&lab, "rs1", 9, sums), TcpServer::start(&lab, "rs2", 9, sums)];
    let config = Config::one_port().with_service(9, "rr", &["10.0.10.83", "10.0.10.84"]);
    let _director = Director::start(&lab, &config);
    let bytes: Vec<u8> = (0..SIZE / 8)
        .flat_map(|word| (word as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes())
        .collect();

    let mut stream = connect(&lab, 9, None).expect("the server accepts");
    stream.write_all(&bytes).expect("the connection takes all of it");
    stream.shutdown(Shutdown::Write).expect("it is connected");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the server answers in time");

    assert_eq!(answer, format!("{SIZE} {:x}", fnv(&bytes)));
}

#[test]
fn many_connections_at_a_time() {
    const COUNT: usize = 400;
    let lab = Lab::one_segment();
    let _servers = [TcpServer::echo(&lab, "rs1", 7), TcpServer::echo(&lab, "rs2", 7)];
    let config = Config::one_port().with_service(7, "rr", &["10.0.10.83", "10.0.10.84"]);
    let director = Director::start(&lab, &config);

    let mut streams: Vec<_> = (0..COUNT).map(|_| connect_echo(&lab, 7, None)).collect();

    for address in ["10.0.10.83", "10.0.10.84"] {
        let server = director.server(address);
        assert_eq!((server.active, server.inactive), (200, 0), "{server:?}");
    }
    for (number, (stream, _)) in streams.iter_mut().enumerate() {
        exchange(stream, &format!("line {number}"));
    }
    let connections = director.connections();
    assert_eq!(connections.len(), COUNT);
    assert!(connections.iter().all(|line| line.state == "ESTABLISHED"), "{connections:?}");
    for (stream, name) in &streams {
        let client = stream.local_addr().expect("it is connected").to_string();
        let line = connections.iter().find(|line| line.client == client).expect("listed");
        let rip = if name == "rs1" { "10.0.10.83:7" } else { "10.0.10.84:7" };
        assert_eq!(line.server, rip, "the listing names the server that answers");
    }
}

/// Connections beyond the limit are refused, and those that are known go on.
#[test]
fn a_full_table_keeps_the_connections_it_has() {
    let lab = Lab::one_segment();
    let _server = TcpServer::echo(&lab, "rs1", 7);
    let config = Config::one_port()
        .with_key("flows: { max: 64 }")
        .with_service(7, "rr", &["10.0.10.83"])
        .with(&format!("-u {VIP}:9"), "rr", &["10.0.10.83 -g"]);
    let director = Director::start(&lab, &config);
    let (mut stream, _) = connect_echo(&lab, 7, None);

    lab.inside("client", || {
        for _ in 0..400 {
            let socket = UdpSocket::bind("10.0.10.1:0").expect("a port is free");
            socket.send_to(b"flood", (VIP, 9)).expect("the client's kernel takes it");
        }
    });

    eventually(PATIENCE, "the flood is refused", || {
        (director.drops("table_full") >= 300).then_some(())
    });
    exchange(&mut stream, "still here");
    assert!(director.connections().len() <= 100, "{}", director.connections().len());
}

fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, &byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
