//! The symptoms of `docs/operating.md`: each is made, the command that the page names shows its
//! cause, and the advice mends it.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::config::Config;
use crate::support::director::{Director, program, reply, run_sluiced, send_signal};
use crate::support::lab::{Lab, VIP, eventually};
use crate::support::tools::{Capture, pages};

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

/// What a capture shows while something is done, ended as Ctrl-C does it.
fn captured(director: &Director<'_>, words: &str, meanwhile: impl FnOnce()) -> String {
    let mut capture = Command::new(program("sluicectl"))
        .arg("--socket")
        .arg(director.socket())
        .args(words.split_whitespace())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program is there");
    let mut said = BufReader::new(capture.stderr.take().expect("piped"));
    let mut first = String::new();
    said.read_line(&mut first).expect("it says that it begins");
    assert!(first.contains("capturing"), "{first}");
    meanwhile();
    // What was seen last is on its way still.
    std::thread::sleep(Duration::from_millis(300));
    send_signal(capture.id(), "INT");
    let output = capture.wait_with_output().expect("it is our child");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A counter of the first port, as `sluicectl ports` has it.
fn of_port(director: &Director<'_>, counter: &str) -> u64 {
    let ports: serde_json::Value =
        serde_json::from_str(&director.ctl("--json ports")).expect("it is JSON");
    ports[0]["counters"][counter].as_u64().expect("a number")
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
    director.adm(&format!("-A -t {VIP}:81 -s rr"));
    assert!(explained(&director, 81).contains("dropped    no_destination: "), "no server yet");

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
    unresolved_neighbours(&lab, &director);
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

fn unresolved_neighbours(lab: &Lab, director: &Director<'_>) {
    // A server that is not on the link.
    director.adm(&format!("-a -t {VIP}:80 -r 10.0.10.99 -g"));
    assert_eq!(page(lab, 80), None);
    let neighbours = director.ctl("neigh");
    let line = neighbours.lines().find(|line| line.starts_with("10.0.10.99 "));
    assert!(line.is_some_and(|line| !line.contains("reachable")), "{neighbours}");
    assert!(explained(director, 80).contains("\nwaits      until 10.0.10.99 dev lan0"));
    let json = director.ctl("--json services");
    assert!(json.contains("\"reach\": \"unresolved\""), "{json}");
    lab.run("rs2", "ip addr add 10.0.10.99/24 dev eth0");
    eventually(Duration::from_secs(5), "the server is found", || page(lab, 80));
    let neighbours = director.ctl("neigh");
    let line = neighbours.lines().find(|line| line.starts_with("10.0.10.99 "));
    assert!(line.is_some_and(|line| line.contains(" reachable")), "{neighbours}");
    full_tables_and_the_socket(lab, director);
}

fn full_tables_and_the_socket(lab: &Lab, director: &Director<'_>) {
    director.adm(&format!("-A -u {VIP}:53 -s rr"));
    director.adm(&format!("-a -u {VIP}:53 -r 10.0.10.83 -g"));
    let flood = format!("bash -c 'for i in $(seq 200); do echo x >/dev/udp/{VIP}/53; done'");
    lab.try_run("client", &flood);
    assert!(director.drops("table_full") > 0);
    let status = director.ctl("status");
    assert!(status.contains("\nflows         64 of 64,"), "{status}");
    // Shorter timeouts hold for packets from now on, so what is there has to go by command.
    director.adm("--set 0 0 1");
    director.ctl("flows kill --protocol udp");
    lab.try_run("client", &format!("bash -c 'echo x >/dev/udp/{VIP}/53'"));
    eventually(Duration::from_secs(5), "the next ones make room by themselves", || {
        (!director.ctl("flows --protocol udp").contains(":53 ")).then_some(())
    });
    assert!(page(lab, 80).is_some());

    // It does not start: its last words and the doctor's say where the file is wrong.
    let refused = run_sluiced(lab, "ports: 7\n", &[]);
    assert!(refused.stderr.contains("refused.yaml:1:8: ports: "), "{}", refused.stderr);
    let path = lab.dir().join("refused.yaml");
    let mut doctor = Command::new(program("sluicectl"));
    let told = reply(doctor.args(["doctor", "--config"]).arg(path));
    assert_eq!(told.code, Some(2), "{}", told.stdout);
    let line = told.stdout.lines().find(|line| line.contains("configuration"));
    assert!(line.is_some_and(|line| line.starts_with("error ")), "{}", told.stdout);

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
    let seen = captured(&director, "capture -i backend0 host 10.0.20.83", || drop(page(&lab, 80)));
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
    let path = lab.dir().join("director.yaml");
    let yaml = std::fs::read_to_string(&path).expect("it is there");
    let route = "routes: [ { to: 192.0.2.0/24, via: 10.0.10.1 } ]\n";
    std::fs::write(&path, format!("{route}{yaml}")).expect("it is ours");
    director.ctl("reload");
    assert!(director.ctl("routes").contains("192.0.2.0/24"));
    assert!(lab.try_run("client", &far).status.success());

    tunnels(&lab, &director);
    link_layer_addresses_and_links(&lab, &director);
}

fn tunnels(lab: &Lab, director: &Director<'_>) {
    // A tunnel that the server does not take apart, and one that is too narrow.
    let send = |bytes: u32| {
        format!(
            "python3 -c \"import socket; s = socket.socket(2, 2); s.setsockopt(0, 10, 2); \
             s.sendto(b'x' * {bytes}, ('{VIP}', 53))\""
        )
    };
    let seen = captured(director, "capture udp or icmp or proto 4 or proto 47", || {
        lab.try_run("client", &send(10));
    });
    assert!(seen.contains("| sent to server 10.0.20.84"), "{seen}");
    let refusal = |line: &str| line.contains("backend0 in ") && line.contains("icmp");
    assert!(seen.lines().any(refusal), "the server says that it does not know it: {seen}");
    lab.sh("lab_decapsulate rs2");
    lab.try_run("client", &send(10));
    let log = lab.dir().join("rs2-tunnel.log");
    eventually(Duration::from_secs(3), "it is unpacked now", || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        text.contains("ipip, IPv4 over IPv4").then_some(())
    });
    lab.try_run("client", &send(1472));
    assert!(director.drops("exceeds_mtu") > 0, "{}", director.ctl("drops"));
    let way = lab.run("client", &format!("ip route get {VIP}"));
    assert!(way.contains("mtu 1480"), "the sender was told, as nobody filters: {way}");
}

fn link_layer_addresses_and_links(lab: &Lab, director: &Director<'_>) {
    // Somebody else announces the VIP.
    let mac = "02:00:00:00:00:77";
    lab.run("client2", "sysctl -qw net.ipv4.conf.all.arp_notify=1 net.ipv4.conf.eth0.arp_notify=1");
    let seen = captured(director, &format!("capture arp and host {VIP}"), || {
        lab.run("client2", &format!("ip addr add {VIP}/32 dev eth0"));
        lab.run("client2", &format!("ip link set eth0 address {mac}"));
    });
    let foreign = |line: &str| line.contains(mac) && line.contains(&format!("tell {VIP}"));
    assert!(seen.lines().any(foreign), "{seen}");

    // The client has another's link-layer address for the VIP: nothing reaches the director.
    let counted = |director: &Director<'_>| director.figures("10.0.20.83:8080")[0];
    let before = counted(director);
    lab.run("client", &format!("ip neigh replace {VIP} lladdr {mac} dev eth0"));
    assert_eq!((page(lab, 80), counted(director)), (None, before));
    lab.run("client2", &format!("ip addr del {VIP}/32 dev eth0"));
    lab.run("client", &format!("ip neigh del {VIP} dev eth0"));
    assert_eq!(page(lab, 80).as_deref(), Some("rs1"));

    // The link is down: nothing is received any more.
    lab.run("director", "ip link set dir0 down");
    let before = of_port(director, "rx_packets");
    assert_eq!((page(lab, 80), of_port(director, "rx_packets")), (None, before));
    lab.run("director", "ip link set dir0 up");
    eventually(Duration::from_secs(5), "it works again", || page(lab, 80));
}

/// What is found out besides the director: at a real server, in its files, at the port.
#[test]
fn what_servers_logs_and_ports_tell_is_shown_and_mended() {
    let lab = Lab::one_segment().with_web();
    let log = |name: &str| lab.dir().join(name);
    let (audit, sessions) = (log("audit.log"), log("sessions.log"));
    let mut config = Config::one_port()
        .with(&format!("-t {VIP}:80"), "rr -p 300", &SERVERS)
        .with_key(&format!("session_log: {{ to: {} }}", sessions.display()));
    config.audit = Some(audit.clone());
    // DPDK's net_af_packet does not count what its ring has no room for; net_pcap does.
    let director = Director::start(&lab, &config.by_pcap());

    // A template keeps the client at the server that is to be emptied.
    let first = page(&lab, 80).expect("it works");
    let (server, other) =
        if first == "rs1" { ("10.0.10.83", "rs2") } else { ("10.0.10.84", "rs1") };
    director.adm(&format!("-e -t {VIP}:80 -r {server} -g -w 0"));
    assert_eq!(page(&lab, 80).as_deref(), Some(&*first));
    let flows = director.ctl(&format!("flows --server {server}"));
    assert!(flows.lines().any(|line| line.contains(" ASSURED ") || line.contains(" NONE ")));
    director.ctl("settings set expire_quiescent_template 1");
    assert_eq!(page(&lab, 80).as_deref(), Some(other), "{flows}");

    // Since yesterday: what differs from the file, who did it, how connections ended.
    let reply = director.try_ctl("diff");
    assert_eq!(reply.code, Some(1), "something differs");
    let differs = reply.stdout;
    assert!(differs.contains(server) && differs.contains("expire_quiescent_template"), "{differs}");
    let written = std::fs::read_to_string(&audit).expect("it is there");
    let line = written.lines().find(|line| line.contains(&format!("-r {server} -g -w 0")));
    assert!(line.is_some_and(|line| line.contains("\"user\":\"root\"")), "{written}");
    director.ctl("flows kill --all");
    eventually(Duration::from_secs(5), "the session log tells how they ended", || {
        let written = std::fs::read_to_string(&sessions).unwrap_or_default();
        written.contains("\"reason\":\"killed\"").then_some(())
    });
    // What was commanded is taken back by command: a reload leaves it.
    director.ctl("settings set expire_quiescent_template 0");
    director.adm(&format!("-e -t {VIP}:80 -r {server} -g -w 1"));
    assert_eq!(director.try_ctl("diff").code, Some(0));

    a_server_without_the_vip(&lab, &director);
    a_filter_behind_a_tunnel(&lab, &director);
    a_port_whose_worker_is_late(&lab, &director);
}

/// Direct routing to it: it gets SYNs and answers none.
fn a_server_without_the_vip(lab: &Lab, director: &Director<'_>) {
    director.adm(&format!("-E -t {VIP}:80 -s rr"));
    director.adm(&format!("-d -t {VIP}:80 -r 10.0.10.84"));
    director.ctl("flows kill --all");
    lab.run("rs1", &format!("ip addr del {VIP}/32 dev lo"));
    let seen = Capture::start(lab, "rs1", "eth0", "tcp port 80");
    assert_eq!(page(lab, 80), None);
    assert!(director.connections().iter().all(|line| line.state == "SYN_RECV"));
    let frames = eventually(Duration::from_secs(3), "tcpdump sees it", || {
        Some(seen.frames()).filter(|frames| !frames.is_empty())
    });
    let is_syn = |frame: &String| frame.contains(&format!("> {VIP}.80: Flags [S]"));
    assert!(frames.iter().all(is_syn), "{frames:?}");
    lab.run("rs1", &format!("ip addr add {VIP}/32 dev lo"));
    assert_eq!(page(lab, 80).as_deref(), Some("rs1"));
}

/// A tunnel's packets are unpacked, and dropped by the filter of reverse paths.
fn a_filter_behind_a_tunnel(lab: &Lab, director: &Director<'_>) {
    lab.sh("lab_decapsulate rs1");
    director.adm(&format!("-e -t {VIP}:80 -r 10.0.10.83 -i"));
    lab.sh("lab_sysctl rs1 net/ipv4/conf/tun0/rp_filter=1");
    let filtered = || {
        let text = lab.run("rs1", "nstat -az TcpExtIPReversePathFilter");
        let line = text.lines().find(|line| line.starts_with("TcpExtIPReversePathFilter"));
        let count = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        count.unwrap_or_else(|| panic!("no figure in {text}"))
    };
    let before = filtered();
    assert_eq!(page(lab, 80), None);
    assert!(filtered() > before, "they are dropped there");
    lab.sh("lab_sysctl rs1 net/ipv4/conf/tun0/rp_filter=0 net/ipv4/conf/all/rp_filter=0");
    assert_eq!(page(lab, 80).as_deref(), Some("rs1"));
}

/// Its worker does not come round in time: frames find no room.
fn a_port_whose_worker_is_late(lab: &Lab, director: &Director<'_>) {
    assert_eq!(of_port(director, "rx_missed"), 0);
    send_signal(director.pid(), "STOP");
    let send = format!("[s.sendto(b'x' * 1400, ('{VIP}', 53)) for _ in range(4000)]");
    let flood = format!("python3 -c \"import socket; s = socket.socket(2, 2); {send}\"");
    lab.try_run("client", &flood);
    send_signal(director.pid(), "CONT");
    eventually(Duration::from_secs(5), "missed packets", || {
        (of_port(director, "rx_missed") > 0).then_some(())
    });
    assert!(page(lab, 80).is_some(), "it goes on as soon as the worker does");
}
