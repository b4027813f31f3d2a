//! What an operator does to connections by `sluicectl`: look at them, end them, empty a server.

use std::io::{ErrorKind, Read, Write};
use std::thread;
use std::time::Duration;

use lb_core::wire::build::{Link, Tcp};

use crate::support::config::Config;
use crate::support::director::Director;
use crate::support::lab::{Lab, VIP, eventually};
use crate::support::pcap;
use crate::support::sockets::{TcpServer, connect_echo, exchange};

const SERVERS: [&str; 2] = ["10.0.10.83", "10.0.10.84"];

fn address_of(name: &str) -> &'static str {
    if name == "rs1" { SERVERS[0] } else { SERVERS[1] }
}

#[test]
fn a_killed_connection_is_reset_at_its_next_packet_and_others_go_on() {
    let lab = Lab::one_segment();
    let _servers = [TcpServer::echo(&lab, "rs1", 7), TcpServer::echo(&lab, "rs2", 7)];
    let director = Director::start(&lab, &Config::one_port().with_service(7, "rr", &SERVERS));
    let (mut first, name) = connect_echo(&lab, 7, Some(40_000));
    let (mut second, other) = connect_echo(&lab, 7, Some(40_001));
    exchange(&mut first, "one");
    exchange(&mut second, "two");
    let listed = director.ctl(&format!("flows --server {} -t {VIP}:7", address_of(&name)));
    assert!(listed.contains(":40000 ") && !listed.contains(":40001 "), "{listed}");
    let json = director.ctl("--json flows --state established");
    assert_eq!(json.matches("\"state\": \"ESTABLISHED\"").count(), 2, "{json}");

    assert_eq!(director.try_ctl("flows kill").code, Some(2), "what would end everything");
    let killed = director.ctl(&format!("flows kill --server {}:7", address_of(&name)));

    assert_eq!(killed, "1 connections and 0 templates ended\n");
    let server = director.server(address_of(&name));
    assert_eq!((server.active, server.inactive), (0, 0));
    assert_eq!(director.server(address_of(&other)).active, 1);
    let written = first.write_all(b"anyone\n");
    let error = written
        .and_then(|()| first.read(&mut [0]).map(drop))
        .expect_err("the director does not know this connection any more");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    exchange(&mut second, "still there");
}

/// What is explained is what then happens, and the scheduler has not moved for it.
#[test]
fn a_connection_goes_where_it_was_explained_to_go() {
    let lab = Lab::one_segment();
    let _servers = [TcpServer::echo(&lab, "rs1", 7), TcpServer::echo(&lab, "rs2", 7)];
    let director = Director::start(&lab, &Config::one_port().with_service(7, "rr", &SERVERS));
    for port in 40_000..40_004 {
        let question = format!("explain tcp 10.0.10.1:{port} {VIP}:7");
        let told = director.ctl(&question);
        assert_eq!(director.ctl(&question), told, "asked again");
        let (_stream, name) = connect_echo(&lab, 7, Some(port));
        assert!(told.contains(&format!(" at {}:7 Route", address_of(&name))), "{name}: {told}");
        assert!(told.contains(&format!("\nleaves     lan0 via {} ", address_of(&name))), "{told}");
        let told = director.ctl(&format!("{question} --flags fin,ack"));
        assert!(told.contains("\nconnection ESTABLISHED to FIN_WAIT: "), "{told}");
    }
    let told = director.ctl(&format!("explain tcp 10.0.10.1:40010 {VIP}:8"));
    assert!(told.contains("\ndropped    no_service: "), "{told}");
    assert_eq!(director.drops("no_service"), 0, "explained only");

    // Two captured frames, one to another host's link-layer address.
    let file = lab.dir().join("captured.pcap");
    let ports = director.ctl("ports");
    let mut words = ports.split_whitespace().skip_while(|word| *word != "mac").skip(1);
    let mac = words.next().and_then(|mac| mac.parse().ok()).expect("the port's address");
    let frame = |src, link: &Link| Tcp { src, dst: "10.0.10.100:7", ..Tcp::default() }.frame(link);
    let here = Link { destination: mac, ..Link::default() };
    let elsewhere = Link::default();
    let frames = [frame("10.0.10.1:50001", &elsewhere), frame("10.0.10.1:50002", &here)];
    pcap::write(&file, &frames);
    let told = director.ctl(&format!("explain --pcap {}", file.display()));
    assert!(told.contains("\ndropped    other_host: "), "{told}");
    let told = director.ctl(&format!("explain --pcap {} --number 2", file.display()));
    assert!(told.contains("\nconnection new SYN_RECV: 10.0.10.1:50002 > "), "{told}");
    let refused = director.try_ctl(&format!("explain --pcap {} --number 3", file.display()));
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.ends_with("there are 2 frames, no number 3\n"), "{}", refused.stderr);
}

#[test]
fn a_drained_server_gets_nothing_new_and_is_waited_for() {
    let lab = Lab::one_segment();
    let _servers = [TcpServer::echo(&lab, "rs1", 7), TcpServer::echo(&lab, "rs2", 7)];
    let director = Director::start(&lab, &Config::one_port().with_service(7, "rr", &SERVERS));
    let (mut stream, name) = connect_echo(&lab, 7, None);
    let server = address_of(&name);

    let over = director.try_ctl(&format!("drain {server} --wait --timeout 1s"));
    assert_eq!(over.code, Some(3), "a connection is left: {}{}", over.stdout, over.stderr);
    assert!(over.stdout.contains("weight 0 was 1 active 1 inactive 0"), "{}", over.stdout);
    assert_eq!(over.stderr, "", "progress is for terminals");
    for _ in 0..4 {
        assert_ne!(connect_echo(&lab, 7, None).1, name, "the other server gets what is new");
    }
    exchange(&mut stream, "still there");

    let reply = thread::scope(|scope| {
        let waiting =
            scope.spawn(|| director.try_ctl(&format!("drain {server} --wait --timeout 15s")));
        thread::sleep(Duration::from_millis(1500));
        assert!(!waiting.is_finished(), "a connection is left");
        director.ctl(&format!("flows kill --server {server}"));
        waiting.join().expect("the program ends")
    });
    assert_eq!(reply.code, Some(0), "{}{}", reply.stdout, reply.stderr);
    assert!(reply.stdout.contains("weight 0 was 1 active 0 inactive 0"), "{}", reply.stdout);

    let reply = thread::scope(|scope| {
        let (_held, _) = hold(&lab, &director, server, &name);
        let waiting = scope.spawn(|| director.try_ctl(&format!("drain {server} --wait")));
        thread::sleep(Duration::from_millis(1500));
        director.ctl(&format!("drain {server} --undo"));
        waiting.join().expect("the program ends")
    });
    assert_eq!(reply.code, Some(4), "somebody undid it: {}{}", reply.stdout, reply.stderr);
    assert_eq!(director.server(server).weight, 1);
}

/// A new connection to that server, which takes some again.
fn hold(
    lab: &Lab,
    director: &Director<'_>,
    server: &str,
    name: &str,
) -> (std::net::TcpStream, String) {
    director.ctl(&format!("drain {server} --undo"));
    eventually(Duration::from_secs(5), "the server gets a connection", || {
        let (stream, got) = connect_echo(lab, 7, None);
        (got == name).then_some((stream, got))
    })
}
