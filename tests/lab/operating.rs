//! The symptoms of `docs/operating.md`: each is made, the command that the page names shows its
//! cause, and the advice mends it.

use std::process::Command;
use std::time::Duration;

use crate::support::config::Config;
use crate::support::director::{Director, program, reply};
use crate::support::lab::{Lab, VIP, eventually};
use crate::support::tools::pages;

const SERVERS: [&str; 2] = ["10.0.10.83 -g", "10.0.10.84 -g"];

/// One page of the client, or nothing; patient enough for what works.
fn page(lab: &Lab, port: u16) -> Option<String> {
    let output = lab.try_run("client", &format!("curl -sS -m 1 http://{VIP}:{port}/"));
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// What `explain` says of a new connection of the client.
fn explained(director: &Director<'_>, port: u16) -> String {
    director.ctl(&format!("explain tcp 10.0.10.1:50000 {VIP}:{port}"))
}

/// What a capture shows while something is done.
fn captured(director: &Director<'_>, words: &str, meanwhile: impl FnOnce()) -> String {
    let mut command = Command::new("timeout");
    command.args(["-s", "INT", "3"]).arg(program("sluicectl"));
    command.arg("--socket").arg(director.socket()).args(words.split_whitespace());
    std::thread::scope(|scope| {
        let capture = scope.spawn(move || reply(&mut command).stdout);
        std::thread::sleep(Duration::from_millis(700));
        meanwhile();
        capture.join().expect("it ends")
    })
}

#[test]
fn what_is_wrong_with_services_and_servers_is_shown_and_mended() {
    let lab = Lab::one_segment().with_web();
    let config = Config::one_port()
        .with(&format!("-t {VIP}:80"), "rr", &SERVERS)
        .with_key("flows: { max: 64 }");
    let director = Director::start(&lab, &config);
    assert!(page(&lab, 80).is_some());

    // No service.
    assert_eq!(page(&lab, 81), None);
    assert!(explained(&director, 81).contains("dropped    no_service: "));
    assert!(director.drops("no_service") > 0);

    // Weight 0 everywhere.
    for server in ["10.0.10.83", "10.0.10.84"] {
        director.adm(&format!("-e -t {VIP}:80 -r {server} -g -w 0"));
    }
    assert_eq!(page(&lab, 80), None);
    let told = explained(&director, 80);
    assert!(told.contains("dropped    no_destination: "), "{told}");
    assert!(director.servers().iter().all(|server| server.weight == 0));
    director.adm(&format!("-e -t {VIP}:80 -r 10.0.10.83 -g -w 1"));
    assert_eq!(page(&lab, 80).as_deref(), Some("rs1"));

    // One server gets all: the other one has weight 0; then persistence is it.
    assert_eq!(pages(&lab, "client", &format!("http://{VIP}/"), 2), ["rs1", "rs1"]);
    director.adm(&format!("-e -t {VIP}:80 -r 10.0.10.84 -g -w 1"));
    director.adm(&format!("-E -t {VIP}:80 -s rr -p 300"));
    let sticky = pages(&lab, "client", &format!("http://{VIP}/"), 4);
    assert!(sticky.iter().all(|name| *name == sticky[0]), "{sticky:?}");
    assert!(explained(&director, 80).contains("\ntemplate   "), "a client that is known");
    director.adm(&format!("-E -t {VIP}:80 -s rr"));
    director.ctl("flows kill --all");
    let spread = pages(&lab, "client", &format!("http://{VIP}/"), 2);
    assert_ne!(spread[0], spread[1]);

    thresholds_marks_and_removed_servers(&lab, &director);
    unresolved_neighbours_and_full_tables(&lab, &director);
}

fn thresholds_marks_and_removed_servers(lab: &Lab, director: &Director<'_>) {
    // Thresholds: connections count until they have timed out.
    director.ctl("flows kill --all");
    for server in ["10.0.10.83", "10.0.10.84"] {
        director.adm(&format!("-e -t {VIP}:80 -r {server} -g -w 1 -x 1 -y 0"));
    }
    assert!(page(lab, 80).is_some() && page(lab, 80).is_some());
    assert_eq!(page(lab, 80), None);
    let json = director.ctl("--json services");
    assert_eq!(json.matches("\"overloaded\": true").count(), 2, "{json}");
    for server in ["10.0.10.83", "10.0.10.84"] {
        director.adm(&format!("-e -t {VIP}:80 -r {server} -g -w 1"));
    }
    assert!(page(lab, 80).is_some());

    // A mark rule that does not match.
    director.adm("-A -f 7 -s rr");
    director.adm("-a -f 7 -r 10.0.10.83 -g");
    let rule = format!("marks -A PREROUTING -d {VIP} -p tcp --dport 82 -j MARK --set-mark");
    director.ctl(&format!("{rule} 8"));
    let told = explained(director, 82);
    assert!(told.contains("mark       0x8 by rule 1") && told.contains("no_service"), "{told}");
    director.ctl(&format!("{rule} 7"));
    let told = explained(director, 82);
    assert!(told.contains("service    fwm:7"), "{told}");

    // A removed server whose connections wait for it.
    let held =
        format!("timeout 8 bash -c 'exec 3<>/dev/tcp/{VIP}/80; sleep 0.4; echo x >&3; sleep 5'");
    director.ctl("flows kill --all");
    std::thread::scope(|scope| {
        scope.spawn(|| lab.try_run("client", &held));
        eventually(Duration::from_secs(3), "the connection is there", || {
            (director.connections().len() == 1).then_some(())
        });
        for server in ["10.0.10.83", "10.0.10.84"] {
            director.adm(&format!("-d -t {VIP}:80 -r {server}"));
        }
        eventually(Duration::from_secs(5), "drops", || {
            (director.drops("destination_removed") > 0).then_some(())
        });
        assert!(director.ctl("--json services").contains("\"removed\": [\n    {"));
        director.ctl("settings set expire_nodest_conn 1");
        eventually(Duration::from_secs(5), "the connection ends with its next packet", || {
            director.connections().is_empty().then_some(())
        });
    });
}

fn unresolved_neighbours_and_full_tables(lab: &Lab, director: &Director<'_>) {
    // A server that is not on the link.
    director.adm(&format!("-a -t {VIP}:80 -r 10.0.10.99 -g"));
    assert_eq!(page(lab, 80), None);
    let neighbours = director.ctl("neigh");
    let line = neighbours.lines().find(|line| line.starts_with("10.0.10.99 "));
    assert!(line.is_some_and(|line| !line.contains("reachable")), "{neighbours}");
    assert!(explained(director, 80).contains("\nwaits      until 10.0.10.99 dev lan0"));
    let json = director.ctl("--json services");
    assert!(json.contains("\"reach\": \"unresolved\""), "{json}");

    // The table is full.
    director.adm(&format!("-A -u {VIP}:53 -s rr"));
    director.adm(&format!("-a -u {VIP}:53 -r 10.0.10.83 -g"));
    let flood = format!("bash -c 'for i in $(seq 200); do echo x >/dev/udp/{VIP}/53; done'");
    lab.try_run("client", &flood);
    assert!(director.drops("table_full") > 0);
    let status = director.ctl("status");
    assert!(status.contains(" of 64,"), "{status}");

    // The control socket.
    let wrong = "sluicectl --socket /run/nowhere.sock status";
    let refused = reply(Command::new(program("sluicectl")).args(wrong.split(' ').skip(1)));
    assert_eq!(refused.code, Some(2));
    assert!(
        refused.stderr.contains("Is it running, and is this its socket?"),
        "{}",
        refused.stderr
    );
}

#[test]
fn what_is_wrong_on_the_way_is_shown_and_mended() {
    let lab = Lab::two_segments().with_web_at(8080);
    let config = Config::two_ports()
        .with(&format!("-t {VIP}:80"), "rr", &["10.0.20.83:8080 -m"])
        .with(&format!("-u {VIP}:53"), "rr", &["10.0.20.84 -i"]);
    let director = Director::start(&lab, &config);
    assert_eq!(page(&lab, 80).as_deref(), Some("rs1"));
    director.ctl("flows kill --all");

    // The server's replies take another way: only SYNs are seen.
    lab.run("rs1", "ip route del default");
    let seen = captured(&director, "capture -i backend0 tcp", || drop(page(&lab, 80)));
    assert!(seen.contains("backend0 out ") && !seen.contains("backend0 in "), "{seen}");
    assert!(director.connections().iter().all(|line| line.state == "SYN_RECV"));
    lab.run("rs1", "ip route add default via 10.0.20.61");
    assert_eq!(page(&lab, 80).as_deref(), Some("rs1"));

    // Some clients fail: no way leads back to them.
    lab.run("client", "ip addr add 192.0.2.1/32 dev lo");
    let far = format!("curl -s -m 1 --interface 192.0.2.1 http://{VIP}/");
    assert!(!lab.try_run("client", &far).status.success());
    assert!(director.drops("no_route") > 0, "{}", director.ctl("drops"));
    assert!(!director.ctl("routes").contains("192.0.2."));

    // A tunnel that the server does not take apart, and one that is too narrow.
    let send = |bytes: u32| {
        format!(
            "python3 -c \"import socket; s = socket.socket(2, 2); s.setsockopt(0, 10, 2); \
             s.sendto(b'x' * {bytes}, ('{VIP}', 53))\""
        )
    };
    let seen = captured(&director, "capture udp or icmp or ip proto 4", || {
        lab.try_run("client", &send(10));
    });
    assert!(seen.contains("| sent to server 10.0.20.84"), "{seen}");
    let refusal = |line: &str| line.contains("backend0 in ") && line.contains("icmp");
    assert!(seen.lines().any(refusal), "the server says that it does not know it: {seen}");
    lab.try_run("client", &send(1472));
    assert!(director.drops("exceeds_mtu") > 0, "{}", director.ctl("drops"));

    // Somebody else announces the VIP.
    let mac = "02:00:00:00:00:77";
    lab.run("client2", "sysctl -qw net.ipv4.conf.all.arp_notify=1 net.ipv4.conf.eth0.arp_notify=1");
    let seen = captured(&director, "capture -i lan0 arp", || {
        lab.run("client2", &format!("ip addr add {VIP}/32 dev eth0"));
        lab.run("client2", &format!("ip link set eth0 address {mac}"));
    });
    let foreign = |line: &str| line.contains(mac) && line.contains(&format!("tell {VIP}"));
    assert!(seen.lines().any(foreign), "{seen}");

    // The client has another's link-layer address for the VIP: nothing reaches the director.
    let counted = |director: &Director<'_>| director.figures("10.0.20.83:8080")[0];
    let before = counted(&director);
    lab.run("client", &format!("ip neigh replace {VIP} lladdr {mac} dev eth0"));
    assert_eq!((page(&lab, 80), counted(&director)), (None, before));
    lab.run("client2", &format!("ip addr del {VIP}/32 dev eth0"));
    lab.run("client", &format!("ip neigh del {VIP} dev eth0"));
    assert_eq!(page(&lab, 80).as_deref(), Some("rs1"));

    // The link is down: nothing is received any more.
    lab.run("director", "ip link set dir0 down");
    let received = |director: &Director<'_>| {
        let ports: serde_json::Value =
            serde_json::from_str(&director.ctl("--json ports")).expect("it is JSON");
        ports[0]["counters"]["rx_packets"].as_u64().expect("a number")
    };
    let before = received(&director);
    assert_eq!((page(&lab, 80), received(&director)), (None, before));
}
