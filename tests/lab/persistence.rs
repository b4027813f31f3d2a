//! What the director remembers of its clients: per port, of all ports, by mark, for FTP.

use std::net::UdpSocket;
use std::time::Duration;

use crate::support::config::Config;
use crate::support::director::Director;
use crate::support::lab::{Lab, VIP};
use crate::support::sockets::UdpEcho;
use crate::support::tools::{pages, random_file, sum};

/// The second address of the client's host: another client.
const OTHER: &str = "10.0.10.2";

/// Both real servers with pages on these ports, and a client with two addresses.
fn lab(ports: &str) -> Lab {
    let lab = Lab::one_segment();
    for server in ["rs1", "rs2"] {
        lab.sh(&format!("lab_nginx {server} {server} {ports}"));
    }
    lab.run("client", &format!("ip addr add {OTHER}/24 dev eth0"));
    lab
}

fn pages_of(lab: &Lab, client: &str, port: u16, count: usize) -> Vec<String> {
    pages(lab, "client", &format!("--interface {client} http://{VIP}:{port}/"), count)
}

/// The one page that all of these requests get.
fn page_of(lab: &Lab, client: &str, ports: &[u16]) -> String {
    let mut got: Vec<_> = ports.iter().flat_map(|&port| pages_of(lab, client, port, 2)).collect();
    let all = got.clone();
    got.dedup();
    assert_eq!(got.len(), 1, "{client} {ports:?}: {all:?}");
    got.remove(0)
}

/// Client, virtual and real server's end of all templates.
fn templates(director: &Director<'_>) -> Vec<[String; 3]> {
    let lines = director.connections().into_iter().filter(|line| line.client.ends_with(":0"));
    let mut ends: Vec<_> = lines.map(|line| [line.client, line.virtual_end, line.server]).collect();
    ends.sort();
    ends
}

#[test]
fn a_client_stays_with_its_server_on_each_port_apart() {
    let lab = lab("80 8080");
    let config = [80, 8080].iter().fold(Config::one_port(), |config, port| {
        config.with(
            &format!("-t {VIP}:{port}"),
            "rr -p 300",
            &[&format!("10.0.10.83:{port} -g"), &format!("10.0.10.84:{port} -g")],
        )
    });
    let director = Director::start(&lab, &config);

    let first = page_of(&lab, "10.0.10.1", &[80]);
    let second = page_of(&lab, OTHER, &[80]);
    assert_ne!(first, second, "the scheduler is asked for each client");
    assert_eq!(page_of(&lab, OTHER, &[8080]), first, "port 8080 begins with the first server");

    assert_eq!(templates(&director).len(), 3);
    assert_eq!(page_of(&lab, "10.0.10.1", &[80]), first);
    // Weight 0 turns away who comes new, not who is known.
    let rip = if first == "rs1" { "10.0.10.83" } else { "10.0.10.84" };
    director.adm(&format!("-e -t {VIP}:80 -r {rip}:80 -g -w 0"));
    assert_eq!(page_of(&lab, "10.0.10.1", &[80]), first);
    director.ctl("set expire_quiescent_template 1");
    assert_eq!(page_of(&lab, "10.0.10.1", &[80]), second);
    // A removed server does so at once.
    director.adm(&format!("-e -t {VIP}:80 -r {rip}:80 -g"));
    let rip = if first == "rs1" { "10.0.10.84" } else { "10.0.10.83" };
    director.adm(&format!("-d -t {VIP}:80 -r {rip}:80"));
    assert_eq!(page_of(&lab, "10.0.10.1", &[80]), first);
    assert_eq!(page_of(&lab, OTHER, &[80]), first);
}

#[test]
fn one_template_holds_for_all_ports() {
    let lab = lab("80 443 8080");
    let config = Config::one_port().with(
        &format!("-t {VIP}:0"),
        "rr -p 300",
        &["10.0.10.83:0 -g", "10.0.10.84:0 -g"],
    );
    let director = Director::start(&lab, &config);

    let first = page_of(&lab, "10.0.10.1", &[80, 443, 8080]);
    assert_ne!(page_of(&lab, OTHER, &[443, 80]), first);

    let ends = templates(&director);
    assert_eq!(ends.len(), 2, "{ends:?}");
    assert!(ends.iter().all(|[_, virtual_end, _]| *virtual_end == format!("{VIP}:0")));
    let listed = director.adm("-Ln --persistent-conn");
    assert!(listed.contains("\n  -> 10.0.10.83:0                 1         1 "), "{listed}");
}

#[test]
fn a_mark_binds_ports_into_one_service() {
    let lab = lab("80 443 8080 81");
    let rule = format!(
        "-A PREROUTING -d {VIP} -p tcp -m multiport --dports 80,443,8080 -j MARK --set-mark 10"
    );
    let config = Config::one_port().with_key(&format!("marks:\n  rules: |\n    {rule}")).with(
        "-f 10",
        "rr -p 300",
        &["10.0.10.83 -g", "10.0.10.84 -g"],
    );
    let director = Director::start(&lab, &config);

    let first = page_of(&lab, "10.0.10.1", &[80, 443, 8080]);
    assert_ne!(page_of(&lab, OTHER, &[8080, 80]), first);

    let ends = templates(&director);
    assert_eq!(ends.len(), 2, "{ends:?}");
    assert!(ends.iter().all(|[_, virtual_end, _]| virtual_end == "0.0.0.10:0"), "{ends:?}");
    let refused = lab.try_run("client", &format!("curl -sS -m 5 http://{VIP}:81/"));
    assert_eq!(refused.status.code(), Some(7), "no rule, no mark, no service");
    director.ctl("marks -F");
    let refused = lab.try_run("client", &format!("curl -sS -m 5 http://{VIP}/"));
    assert_eq!(refused.status.code(), Some(7), "rules hold from one packet to the next");
}

/// With direct routing the director sees neither what the server says nor where its data come
/// from: only the template leads a passive data connection to the same server.
#[test]
fn data_connections_of_ftp_follow_the_client_by_direct_routing() {
    let lab = Lab::one_segment();
    lab.sh("lab_vsftpd rs1");
    lab.sh("lab_vsftpd rs2");
    let servers = ["10.0.10.83:21 -g", "10.0.10.84:21 -g"];
    let config = Config::one_port().with(&format!("-t {VIP}:21"), "rr -p 300", &servers);
    let director = Director::start(&lab, &config);
    let dir = lab.dir().display();
    let sent = format!("{dir}/sent");
    random_file(&lab, &sent, 1);
    lab.sh(&format!("cp {sent} {dir}/rs1/ftp/offered; cp {sent} {dir}/rs2/ftp/offered"));

    for round in 0..3 {
        let url = format!("ftp://{VIP}");
        lab.run("client", &format!("curl -sS -m 30 -T {sent} {url}/up/file{round}"));
        lab.run("client", &format!("curl -sS -m 30 -o {dir}/got {url}/offered"));
        assert_eq!(sum(&lab, &format!("{dir}/got")), sum(&lab, &sent));
    }

    let mut lines = director.connections();
    lines.retain(|line| !line.client.ends_with(":0"));
    assert!(lines.len() >= 12, "a control and a data connection for each transfer: {lines:?}");
    let server = lines[0].server.split(':').next().unwrap_or_default().to_owned();
    assert!(lines.iter().all(|line| line.server.starts_with(&server)), "{lines:?}");
    assert_eq!(templates(&director).len(), 1);
}

#[test]
fn every_datagram_is_scheduled_by_itself() {
    let lab = Lab::one_segment();
    let _servers = [UdpEcho::start(&lab, "rs1", 7), UdpEcho::start(&lab, "rs2", 7)];
    let servers = ["10.0.10.83:7 -g", "10.0.10.84:7 -g"];
    let config = Config::one_port().with(&format!("-u {VIP}:7"), "rr -o", &servers);
    let director = Director::start(&lab, &config);
    let socket = lab.inside("client", || UdpSocket::bind("10.0.10.1:0")).expect("a port is free");
    socket.set_read_timeout(Some(Duration::from_secs(5))).expect("not zero");

    for _ in 0..10 {
        socket.send_to(b"question", format!("{VIP}:7")).expect("the lab takes it");
        let mut answer = [0; 16];
        assert_eq!(socket.recv(&mut answer).expect("an answer"), 8);
    }

    assert!(director.connections().is_empty());
    let listed = director.adm("-Ln --stats");
    for address in ["10.0.10.83", "10.0.10.84"] {
        let row = listed.lines().find(|line| line.contains(address)).expect("it is listed");
        let figures: Vec<&str> = row.split_whitespace().skip(2).take(2).collect();
        assert_eq!(figures, ["5", "5"], "connections and packets of {address}: {listed}");
    }
}
