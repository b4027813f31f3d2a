//! Routing daemons of the host, as packaged, beside the director: BIRD announces the service by BGP
//! to a router, and keepalived moves its address between two directors by VRRP. Both live on an
//! interface that the kernel has from the director, with the configurations of `configs/`.

use std::thread;
use std::time::{Duration, Instant};

use crate::support::config::{Config, port};
use crate::support::daemon::{Daemon, file_of};
use crate::support::director::{Director, program, socket_in};
use crate::support::lab::{Lab, VIP, eventually};
use crate::support::tools::{Capture, ab, curl_once, curl_pages, iperf, iperf_server};

const BIRD_CONF: &str = include_str!("../../configs/bird.conf");
const KEEPALIVED_CONF: &str = include_str!("../../configs/keepalived.conf");

/// The lines of `configs/bird.conf` that a session does without.
const EXTRAS: [&str; 3] =
    ["    ttl security on;\n", "    password \"change me\";\n", "    bfd on;\n"];

/// The session of the director's BIRD has the plain form: TTL 1, no secret, and a hold time of 9 s.
#[test]
fn a_bgp_session_outlives_the_load_and_ends_with_the_director() {
    let lab = behind_a_router();
    let config = routed_config();
    let mut director = Director::start(&lab, &config);
    let one_hop = "src host 10.0.20.254 and tcp port 179 and ip[8] == 1";
    let capture = Capture::start(&lab, "director", "lan0", one_hop);
    assert!(!curl_once(&lab, 1).status.success(), "no route without BGP");

    let birds = start_birds(&lab, &EXTRAS);
    wait_for_route(&lab);
    assert!(!capture.frames().is_empty(), "the kernel takes part at TTL 1");
    let before = courses(&lab, &birds);
    assert_eq!(curl_pages(&lab, 2).len(), 2);

    iperf_server(&lab, "rs1");
    thread::scope(|scope| {
        // Longer than the hold time.
        let stream = scope.spawn(|| iperf(&lab, "-t 12"));
        while !stream.is_finished() {
            ab(&lab, 1000, 20);
            assert_eq!(courses(&lab, &birds), before, "the same session during the load");
        }
        let end = stream.join().expect("iperf3 measures");
        let rate = end["sum_received"]["bits_per_second"].as_f64().expect("iperf3 measures");
        assert!(rate > 20e6, "{end:#}");
    });
    assert_eq!(curl_pages(&lab, 2).len(), 2);
    assert_eq!(courses(&lab, &birds), before, "the same session after the load");
    drop(capture);

    assert!(director.signal("TERM").success());
    let took = wait_for_withdrawal(&lab);
    println!("the router withdrew the route {took:.1?} after the director's end");
    assert!(!curl_once(&lab, 1).status.success(), "no route without the director");

    let _again = Director::start(&lab, &config);
    wait_for_route(&lab);
    assert_eq!(curl_pages(&lab, 2).len(), 2);
}

/// The session as `configs/bird.conf` has it: MD5, TTL 255 at both ends, BFD.
#[test]
fn a_secured_session_notices_a_killed_director_by_bfd() {
    let lab = behind_a_router();
    let mut director = Director::start(&lab, &routed_config());
    let signed = "src host 10.0.20.254 and tcp port 179 and ip[8] == 255 and tcp[12] > 0x50";
    let capture = Capture::start(&lab, "director", "lan0", signed);

    let birds = start_birds(&lab, &[]);
    wait_for_route(&lab);
    assert!(capture.frames().iter().any(|frame| frame.contains("md5")), "{:?}", capture.frames());
    for host in ["director", "router"] {
        eventually(Duration::from_secs(20), "BFD", || {
            birdc(&lab, host, "show bfd sessions").contains(" Up ").then_some(())
        });
    }
    let before = courses(&lab, &birds);
    ab(&lab, 2000, 20);
    assert_eq!(courses(&lab, &birds), before, "the same session after the load");
    drop(capture);

    let _status = director.signal("KILL");
    let took = wait_for_withdrawal(&lab);
    println!("the router withdrew the route {took:.1?} after the director was killed");
    let text = birdc(&lab, "router", "show protocols all upstream");
    assert!(text.contains("BFD session down"), "not by the hold time:\n{text}");
}

/// Groups, unicast to link-local addresses, protocol 89; all at a TTL or hop limit of 1.
#[test]
fn ospf_finds_its_neighbour_in_both_families() {
    let lab = behind_a_router();
    for (host, interface) in [("router", "eth0"), ("director", "default")] {
        lab.sh(&format!("lab_sysctl {host} net/ipv6/conf/{interface}/disable_ipv6=0"));
    }
    let _director = Director::start(&lab, &routed_config());
    let ospf = |router_id: &str, interface: &str| {
        let area = format!("area 0 {{ interface \"{interface}\" {{ hello 1; dead 10; }}; }};");
        format!(
            "log stderr all;\nrouter id {router_id};\nprotocol device {{\n}}\n\
             protocol ospf v2 four {{ ipv4; {area} }}\n\
             protocol ospf v3 six {{ ipv6; {area} }}\n"
        )
    };

    let _birds = [
        start_bird(&lab, "director", &ospf("10.0.20.61", "lan0")),
        start_bird(&lab, "router", &ospf("10.0.20.254", "eth0")),
    ];

    for (host, instance) in
        [("director", "four"), ("router", "four"), ("director", "six"), ("router", "six")]
    {
        let question = format!("show ospf neighbors {instance}");
        eventually(Duration::from_secs(30), &format!("{host}: {question}: Full"), || {
            birdc(&lab, host, &question).contains("Full/").then_some(())
        });
    }
}

#[test]
fn the_backup_takes_over_from_a_director_that_is_killed() {
    let lab = pair();
    // As when a machine boots: the one may be there before the other.
    let _keepalived = start_keepalived(&lab, "director", 150);
    let mut first = start_member(&lab, "director");
    let second = start_member(&lab, "backup");
    let macs = [lab.mac("director", "dir0"), lab.mac("backup", "dir0")];
    let capture = Capture::start(&lab, "client", "eth0", GRATUITOUS);
    wait_for_owner(&first);
    let other = start_keepalived(&lab, "backup", 100);
    wait_for_state(&other, "BACKUP");
    assert_eq!(curl_pages(&lab, 2).len(), 2);
    assert_eq!(neighbour(&lab), macs[0]);
    assert!(!owns(&second), "{}", second.ctl("vip list"));

    let _status = first.signal("KILL");
    let took = wait_for_pages(&lab);
    println!("the client had pages again {took:.1?} after the director was killed");
    assert!(took < Duration::from_secs(12), "{took:?}");
    assert!(owns(&second), "{}", second.ctl("vip list"));
    assert_eq!(neighbour(&lab), macs[1]);
    assert!(announced_by(&capture, &macs[1]), "{:?}", capture.frames());
    ab(&lab, 500, 10);

    // The one that was killed has the higher priority and takes the address back.
    drop(first);
    let first = start_member(&lab, "director");
    wait_for_owner(&first);
    eventually(Duration::from_secs(10), "the backup gives up", || (!owns(&second)).then_some(()));
    eventually(Duration::from_secs(10), "the client hears of it", || {
        (neighbour(&lab) == macs[0]).then_some(())
    });
    assert_eq!(curl_pages(&lab, 2).len(), 2);
}

#[test]
fn a_keepalived_that_stops_hands_the_address_over() {
    let lab = pair();
    let first = start_member(&lab, "director");
    let second = start_member(&lab, "backup");
    let backup_mac = lab.mac("backup", "dir0");
    let keepalived = start_keepalived(&lab, "director", 150);
    wait_for_owner(&first);
    let other = start_keepalived(&lab, "backup", 100);
    wait_for_state(&other, "BACKUP");
    assert_eq!(curl_pages(&lab, 2).len(), 2);
    let capture = Capture::start(&lab, "client", "eth0", GRATUITOUS);

    let began = Instant::now();
    keepalived.stop();
    eventually(Duration::from_secs(20), "a page by way of the backup", || {
        (curl_once(&lab, 1).status.success() && neighbour(&lab) == backup_mac).then_some(())
    });
    println!("the backup served {:.1?} after keepalived was told to stop", began.elapsed());
    assert!(owns(&second), "{}", second.ctl("vip list"));
    assert!(!owns(&first), "{}", first.ctl("vip list"));
    assert!(announced_by(&capture, &backup_mac), "{:?}", capture.frames());
    let kernel = |host| lab.run(host, "ip -o -4 addr show lan0").contains(VIP);
    assert!(!kernel("director") && kernel("backup"), "the kernels agree");
    lab.run("client", "ip neigh flush all");
    assert_eq!(curl_pages(&lab, 2).len(), 2);
    assert_eq!(neighbour(&lab), backup_mac, "only the backup answers for the address");
}

/// A client behind a router; on the router's other side, where nobody has the VIP, web servers and
/// the director.
fn behind_a_router() -> Lab {
    let lab = Lab::new();
    lab.sh("lab_switch access");
    lab.sh("lab_switch lan");
    lab.sh("lab_router router");
    lab.sh("lab_attach router eth0 lan 10.0.20.254/24");
    lab.sh("lab_attach router eth1 access 10.0.30.254/24");
    lab.sh("lab_host client access 10.0.30.1/24 10.0.30.254");
    lab.sh(&format!("lab_real_server rs1 lan 10.0.20.83/24 10.0.20.254 {VIP}"));
    lab.sh(&format!("lab_real_server rs2 lan 10.0.20.84/24 10.0.20.254 {VIP}"));
    lab.sh("lab_director director");
    lab.sh("lab_attach_director director dir0 lan");
    lab.sh("lab_sysctl director net/ipv4/conf/dir0/rp_filter=1");
    lab.with_web()
}

fn routed_config() -> Config {
    let servers = ["10.0.20.83", "10.0.20.84"];
    let mut config = Config::one_port().with_service(80, "rr", &servers);
    config = config.with_service(5201, "rr", &servers[..1]);
    config.ports = vec![port("lan0", "net_af_packet0,iface=dir0", "10.0.20.61/24")];
    config.port_keys.push("kernel: true".to_owned());
    config.owns_vip = false;
    config
}

/// BIRD at the director, as `configs/bird.conf` has it, and its peer in the router; both without
/// some lines.
fn start_birds<'lab>(lab: &'lab Lab, without: &[&str]) -> [Daemon<'lab>; 2] {
    let mut director = BIRD_CONF.to_owned();
    let mut router = "log stderr all;\n\
         router id 10.0.20.254;\n\
         protocol device {\n}\n\
         protocol kernel {\n    ipv4 { import none; export all; };\n}\n\
         protocol bfd {\n    interface \"eth0\" { interval 300 ms; multiplier 10; };\n}\n\
         protocol bgp upstream {\n    \
         local 10.0.20.254 as 65000;\n    \
         neighbor 10.0.20.61 as 65001;\n    \
         ttl security on;\n    \
         password \"change me\";\n    \
         bfd on;\n    \
         hold time 9;\n    \
         connect delay time 1;\n    \
         connect retry time 5;\n    \
         error wait time 1, 5;\n    \
         ipv4 { import all; export none; };\n\
         }\n"
    .to_owned();
    for line in without {
        assert!(director.contains(line) && router.contains(line), "{line:?}");
        director = director.replace(line, "");
        router = router.replace(line, "");
    }
    [start_bird(lab, "director", &director), start_bird(lab, "router", &router)]
}

fn start_bird<'lab>(lab: &'lab Lab, host: &str, config: &str) -> Daemon<'lab> {
    let path = file_of(lab, host, "bird.conf");
    let text = format!("debug protocols {{ states }};\n{config}");
    std::fs::write(&path, text).expect("the lab's folder is writable");
    let (socket, pid) = (file_of(lab, host, "bird.ctl"), file_of(lab, host, "bird.pid"));
    let bird = Daemon::start(
        lab,
        host,
        "bird",
        &format!("-f -c {} -s {} -P {}", path.display(), socket.display(), pid.display()),
    );
    eventually(Duration::from_secs(10), "BIRD's control socket", || {
        birdc(lab, host, "show status").contains("Daemon is up").then_some(())
    });
    bird
}

fn birdc(lab: &Lab, host: &str, question: &str) -> String {
    let socket = file_of(lab, host, "bird.ctl");
    let line = format!("PATH=$PATH:/usr/sbin birdc -s {} {question}", socket.display());
    String::from_utf8_lossy(&lab.try_run(host, &line).stdout).into_owned()
}

/// The states that the session has gone through at both ends. It must be there.
fn courses(lab: &Lab, birds: &[Daemon<'_>; 2]) -> [Vec<String>; 2] {
    let hosts = ["director", "router"];
    for host in hosts {
        let text = birdc(lab, host, "show protocols upstream");
        assert!(text.trim_end().ends_with("Established"), "{host}:\n{text}");
    }
    birds.each_ref().map(|bird| {
        let text = bird.messages();
        let changes = text.lines().filter_map(|line| line.split_once("> upstream: ")?.1.into());
        let changes: Vec<String> = changes.map(str::to_owned).collect();
        assert!(!changes.is_empty(), "no states of a session in\n{text}");
        changes
    })
}

fn has_route(lab: &Lab) -> bool {
    lab.run("router", &format!("ip route show {VIP}")).contains("via 10.0.20.61 dev eth0")
}

fn wait_for_route(lab: &Lab) {
    let what = "the router's route to the service";
    eventually(Duration::from_secs(30), what, || has_route(lab).then_some(()));
}

fn wait_for_withdrawal(lab: &Lab) -> Duration {
    let began = Instant::now();
    let what = "the end of the router's route to the service";
    eventually(Duration::from_secs(20), what, || (!has_route(lab)).then_some(()));
    began.elapsed()
}

/// Announcements of addresses by those who have them.
const GRATUITOUS: &str = "arp and arp[14:4] == arp[24:4]";

/// One segment with web servers and places for two directors.
pub(crate) fn pair() -> Lab {
    let lab = Lab::one_segment().with_web();
    lab.sh("lab_director backup");
    lab.sh("lab_attach_director backup dir0 lan");
    for host in ["director", "backup"] {
        lab.sh(&format!("lab_sysctl {host} net/ipv4/conf/dir0/rp_filter=1"));
    }
    lab
}

/// A director that has the VIP only while keepalived says so.
fn start_member<'lab>(lab: &'lab Lab, host: &str) -> Director<'lab> {
    start_member_with(lab, host, Config::web("rr"))
}

/// The same with services of its own.
pub(crate) fn start_member_with<'lab>(
    lab: &'lab Lab,
    host: &str,
    mut config: Config,
) -> Director<'lab> {
    let address = if host == "backup" { "10.0.10.62/24" } else { "10.0.10.61/24" };
    config.ports = vec![port("lan0", "net_af_packet0,iface=dir0", address)];
    config.port_keys.push("kernel: true".to_owned());
    config.keys.push("own_service_addresses: false".to_owned());
    config.owns_vip = false;
    Director::start_in(lab, host, &config)
}

/// keepalived beside a director, as `configs/keepalived.conf` has it.
fn start_keepalived<'lab>(lab: &'lab Lab, host: &str, priority: u8) -> Daemon<'lab> {
    let sluicectl =
        format!("{} --socket {}", program("sluicectl").display(), socket_in(lab, host).display());
    let text = KEEPALIVED_CONF
        .replace("/usr/local/sbin/sluicectl", &sluicectl)
        .replace("priority 150", &format!("priority {priority}"))
        .replace("router_id director1", &format!("router_id {host}"));
    let path = file_of(lab, host, "keepalived.conf");
    std::fs::write(&path, text).expect("the lab's folder is writable");
    let arguments = format!(
        "--dont-fork --vrrp --log-console --no-syslog -f {} -p {} -r {}",
        path.display(),
        file_of(lab, host, "keepalived.pid").display(),
        file_of(lab, host, "vrrp.pid").display()
    );
    Daemon::start(lab, host, "keepalived", &arguments)
}

fn wait_for_state(keepalived: &Daemon<'_>, state: &str) {
    keepalived.wait_for(&format!("Entering {state} STATE"));
}

pub(crate) fn wait_for_owner(director: &Director<'_>) {
    let what = "keepalived gives the address to the director";
    eventually(Duration::from_secs(20), what, || owns(director).then_some(()));
}

pub(crate) fn owns(director: &Director<'_>) -> bool {
    let list = director.ctl("vip list");
    list.lines().any(|line| line.starts_with(VIP) && line.ends_with(" owned"))
}

/// The MAC address that the client has for the VIP.
pub(crate) fn neighbour(lab: &Lab) -> String {
    let text = lab.run("client", &format!("ip neigh show {VIP} dev eth0"));
    let mut words = text.split_whitespace().skip_while(|word| *word != "lladdr").skip(1);
    words.next().unwrap_or_default().to_owned()
}

fn announced_by(capture: &Capture<'_>, mac: &str) -> bool {
    let sender = format!(" {mac} > ");
    capture.frames().iter().any(|frame| frame.contains(&sender) && frame.contains(VIP))
}

/// How long the client is without pages from now on.
fn wait_for_pages(lab: &Lab) -> Duration {
    let began = Instant::now();
    eventually(Duration::from_secs(20), "a page", || {
        curl_once(lab, 1).status.success().then_some(())
    });
    began.elapsed()
}
