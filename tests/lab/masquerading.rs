//! Masquerading (NAT): requests and replies through the director, with other ports at the servers.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use crate::support::config::Config;
use crate::support::director::Director;
use crate::support::lab::{Lab, VIP, VIP6, eventually};
use crate::support::sockets::{PATIENCE, TcpServer, connect_echo_from, exchange, read_line};
use crate::support::tools::{
    Capture, ab, curl_pages, download, iperf, iperf_server_at, pages, upload,
};

const SERVERS: [&str; 2] = ["10.0.20.83:8080 -m", "10.0.20.84:8080 -m"];
const SERVERS6: [&str; 2] = ["[fd00:20::83]:8080 -m", "[fd00:20::84]:8080 -m"];

fn web(scheduler: &str) -> Config {
    Config::two_ports().with(&format!("-t {VIP}:80"), scheduler, &SERVERS)
}

/// Nobody on the clients' side sees an address of a real server, the real server sees its client's,
/// and both ports are in the listing.
#[test]
fn servers_are_hidden_behind_the_vip_and_may_have_other_ports() {
    let lab = Lab::two_segments().with_web_at(8080);
    let config = web("rr").with(&format!("-t [{VIP6}]:80"), "rr", &SERVERS6);
    let director = Director::start(&lab, &config);
    let at_client = Capture::start(&lab, "client", "eth0", "ip and tcp");

    assert_eq!(curl_pages(&lab, 4).len(), 4);
    let head = lab.run("client", &format!("curl -sSi -m 10 http://{VIP}/"));
    assert!(head.contains("X-Client: 10.0.10.1\r"), "{head}");

    let way = format!("{} > {},", lab.mac("director", "dir0"), lab.mac("client", "eth0"));
    let frames = at_client.frames();
    let replies: Vec<_> =
        frames.iter().filter(|frame| frame.contains("10.0.10.100.80 >")).collect();
    assert!(replies.len() >= 15, "{frames:#?}");
    assert!(replies.iter().all(|frame| frame.contains(&way)), "want {way} in {replies:#?}");
    assert!(!frames.iter().any(|frame| frame.contains("10.0.20.")), "{frames:#?}");
    let connections = director.connections();
    assert_eq!(connections.len(), 5);
    for line in &connections {
        assert!(line.virtual_end == "10.0.10.100:80", "{line:?}");
        assert!(["10.0.20.83:8080", "10.0.20.84:8080"].contains(&line.server.as_str()), "{line:?}");
        assert_eq!(line.state, "TIME_WAIT", "both FINs were seen");
    }
    let server = director.server("10.0.20.83");
    assert_eq!((server.forward.as_str(), server.active), ("Masq", 0), "{server:?}");

    let url6 = format!("http://[{VIP6}]/");
    let mut names = pages(&lab, "client", &url6, 4);
    names.sort();
    assert_eq!(names, ["rs1", "rs1", "rs2", "rs2"]);
    let head = lab.run("client", &format!("curl -gsSi -m 10 {url6}"));
    assert!(head.contains("X-Client: fd00:10::1\r"), "{head}");
}

#[test]
fn clients_with_the_same_port_stay_apart() {
    const SOURCE_PORT: u16 = 40_000;
    let lab = Lab::two_segments();
    let _servers = [TcpServer::echo(&lab, "rs1", 8080), TcpServer::echo(&lab, "rs2", 8080)];
    let director = Director::start(&lab, &web("rr"));

    let mut streams =
        ["client", "client2"].map(|host| connect_echo_from(&lab, host, 80, Some(SOURCE_PORT)));

    assert_ne!(streams[0].1, streams[1].1, "rr");
    for round in 0..5 {
        for (number, (stream, _)) in streams.iter_mut().enumerate() {
            exchange(stream, &format!("round {round} of client {number}"));
        }
    }
    let mut clients: Vec<_> =
        director.connections().into_iter().map(|line| (line.client, line.state)).collect();
    clients.sort();
    let established = |end: &str| (end.to_owned(), "ESTABLISHED".to_owned());
    assert_eq!(clients, [established("10.0.10.1:40000"), established("10.0.10.2:40000")]);
}

#[test]
fn large_files_pass_whole_both_ways() {
    let lab = Lab::two_segments().with_web_at(8080);
    let config = web("rr").with(&format!("-t [{VIP6}]:80"), "rr", &SERVERS6[..1]);
    let director = Director::start(&lab, &config);
    director.adm(&format!("-d -t {VIP}:80 -r 10.0.20.84:8080"));
    for url in [format!("http://{VIP}"), format!("http://[{VIP6}]")] {
        download(&lab, "client", &url, "rs1", 24);
        upload(&lab, "client", &url, "rs1", 24);
    }
}

#[test]
fn load_and_streams_pass() {
    let lab = Lab::two_segments().with_web_at(8080);
    let config = web("wlc").with(&format!("-t {VIP}:5201"), "rr", &["10.0.20.83:5201 -m"]).with(
        &format!("-u {VIP}:5201"),
        "rr",
        &["10.0.20.83:5201 -m"],
    );
    let director = Director::start(&lab, &config);
    iperf_server_at(&lab, "rs1", "10.0.20.83");

    ab(&lab, 1000, 30);
    let end = iperf(&lab, "-t 2");
    let reverse = iperf(&lab, "-t 2 -R");
    let udp = iperf(&lab, "-u -b 10M -l 1400 -t 2");

    for end in [end, reverse] {
        let rate = end["sum_received"]["bits_per_second"].as_f64().expect("iperf3 measures");
        println!("iperf3 TCP: {:.0} Mbit/s", rate / 1e6);
        assert!(rate > 20e6, "{end:#}");
    }
    assert!(udp["sum"]["packets"].as_u64().is_some_and(|packets| packets > 1000), "{udp:#}");
    assert_eq!(udp["sum"]["lost_packets"].as_u64(), Some(0), "{udp:#}");
    for address in ["10.0.20.83", "10.0.20.84"] {
        let servers = director.servers();
        let web = servers.iter().find(|server| server.address == address).expect("listed");
        assert!(web.inactive >= 300, "wlc spreads: {servers:?}");
    }
}

/// The server's way to the client is another wire of the director's: replies are known by what they
/// are, not by where they come from.
#[test]
fn a_reply_may_come_in_by_another_port() {
    let lab = Lab::two_segments();
    lab.sh("lab_attach rs1 eth1 lan 10.0.10.83/24");
    lab.sh("lab_run rs1 ip route add 10.0.10.1/32 via 10.0.10.61 dev eth1");
    lab.sh("lab_nginx rs1 rs1 8080");
    let config = Config::two_ports().with(&format!("-t {VIP}:80"), "rr", &SERVERS[..1]);
    let _director = Director::start(&lab, &config);
    let there = Capture::start(&lab, "rs1", "eth0", "tcp port 8080");
    let back = Capture::start(&lab, "rs1", "eth1", "tcp port 8080");

    assert_eq!(curl_pages(&lab, 3), ["rs1"; 3]);

    let frames = there.frames();
    assert!(
        frames.len() >= 12 && frames.iter().all(|frame| frame.contains("83.8080:")),
        "{frames:#?}"
    );
    let frames = back.frames();
    assert!(
        frames.len() >= 9 && frames.iter().all(|frame| frame.contains("83.8080 >")),
        "{frames:#?}"
    );
}

/// LVS-NAT with one network: the servers' route to the client leads to the director, although the
/// client is their neighbour; replies leave by the port that they came in by.
#[test]
fn one_network_is_enough_when_replies_go_to_the_director() {
    let lab = Lab::one_segment();
    for host in ["rs1", "rs2"] {
        lab.sh(&format!("lab_run {host} ip route add 10.0.10.1/32 via 10.0.10.61"));
        lab.sh(&format!("lab_nginx {host} {host} 8080"));
    }
    let config = Config::one_port().with(
        &format!("-t {VIP}:80"),
        "rr",
        &["10.0.10.83:8080 -m", "10.0.10.84:8080 -m"],
    );
    let director = Director::start(&lab, &config);
    let at_client = Capture::start(&lab, "client", "eth0", "tcp");

    let mut names = curl_pages(&lab, 4);
    names.sort();
    assert_eq!(names, ["rs1", "rs1", "rs2", "rs2"]);
    ab(&lab, 200, 10);

    let frames = at_client.frames();
    assert!(!frames.iter().any(|frame| frame.contains(" 10.0.10.83.")), "{frames:#?}");
    assert!(director.connections().len() >= 204, "{}", director.connections().len());
}

/// As with the kernel: without its server, the client's packets have nowhere to go, but what the
/// server still says is the VIP's.
#[test]
fn a_deleted_server_is_still_translated() {
    let lab = Lab::two_segments();
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let _server = TcpServer::start(&lab, "rs1", 8080, move |mut stream| {
        let wait = wait.lock().expect("one connection");
        writeln!(stream, "before")?;
        let _told = wait.recv_timeout(PATIENCE);
        writeln!(stream, "after")?;
        let mut request = String::new();
        stream.read_to_string(&mut request)?;
        write!(stream, "got {request}")
    });
    let config = Config::two_ports().with(&format!("-t {VIP}:80"), "rr", &SERVERS[..1]);
    let director = Director::start(&lab, &config);
    let (mut stream, first) = connect_echo_from(&lab, "client", 80, None);
    assert_eq!(first, "before");

    director.adm(&format!("-d -t {VIP}:80 -r 10.0.20.83:8080"));
    go.send(()).expect("the server waits");

    assert_eq!(read_line(&mut stream), "after");
    eventually(Duration::from_secs(10), "the client's packets are dropped", || {
        (director.drops("destination_removed") > 0).then_some(())
    });
    // With the server back the rest flows again.
    director.adm(&format!("-a -t {VIP}:80 -r 10.0.20.83:8080 -m"));
    write!(stream, "request").expect("it is connected");
    stream.shutdown(Shutdown::Write).expect("it is connected");
    assert_eq!(read_line(&mut stream), "got request");
}

/// The kernel spreads packets over queues by their addresses, and a reply's are not the request's:
/// so many replies come to the worker that did not see the request.
#[test]
fn replies_may_come_to_another_worker() {
    let lab = Lab::two_segments().with_web_at(8080);
    let mut config = web("rr");
    config.workers = "[0, 1]".to_owned();
    for port in &mut config.ports {
        port.1.push_str(",qpairs=2");
    }
    let director = Director::start(&lab, &config);

    ab(&lab, 1000, 30);

    let status = director.ctl("status");
    let received = |worker: &str| {
        let line = status.lines().find(|line| line.starts_with(worker)).expect(&status);
        line.split_whitespace().nth(2).and_then(|word| word.parse().ok()).unwrap_or(0_u64)
    };
    assert!(received("0 ") > 1000 && received("1 ") > 1000, "both workers work:\n{status}");
    let connections = director.connections();
    assert!((1000..=1030).contains(&connections.len()), "{}", connections.len());
    assert!(connections.iter().all(|line| line.server.ends_with(":8080")), "{connections:?}");
}
