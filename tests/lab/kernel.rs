//! Daemons of the host beside the director: interfaces of the kernel, and addresses that come and
//! go by command.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use crate::support::config::{Config, port};
use crate::support::director::{Director, run_sluiced, socket_of};
use crate::support::lab::{Lab, VIP, eventually};
use crate::support::sockets::PATIENCE;
use crate::support::tools::{Capture, curl_once, curl_pages};

const DIP: &str = "10.0.10.61";

/// One segment, web servers, and a director with the kernel beside it.
fn lab() -> Lab {
    let lab = Lab::one_segment();
    // The kernel also hears what arrives at `dir0`; it is to take nothing from there.
    lab.sh("lab_sysctl director net/ipv4/conf/dir0/rp_filter=1");
    lab
}

fn config() -> Config {
    let mut config = Config::web("rr");
    config.port_keys.push("kernel: true".to_owned());
    config
}

#[test]
fn the_kernel_has_an_interface_like_the_port() {
    let lab = lab();
    let mut director = Director::start(&lab, &config());

    let shown = lab.run("director", "ip -o link show lan0; ip -o -4 addr show lan0");
    let mac = lab.mac("director", "dir0");
    for part in [&format!("link/ether {mac} "), "mtu 1500", ",UP,LOWER_UP", "10.0.10.61/24"] {
        assert!(shown.contains(part), "no {part} in\n{shown}");
    }
    assert!(!shown.contains(VIP), "services stay the director's own:\n{shown}");
    let ports = director.ctl("ports");
    assert!(ports.contains("    kernel lan0 rx packets "), "{ports}");

    assert!(director.signal("TERM").success());
    let gone = lab.try_run("director", "ip link show lan0");
    assert!(!gone.status.success(), "the interface goes with the director");
}

#[test]
fn the_interface_goes_even_with_a_killed_director() {
    let lab = lab();
    let mut director = Director::start(&lab, &config());
    assert!(lab.try_run("director", "ip link show lan0").status.success());

    let _status = director.signal("KILL");

    let gone = || (!lab.try_run("director", "ip link show lan0").status.success()).then_some(());
    eventually(Duration::from_secs(5), "the end of lan0", gone);
    drop(director);
    let _again = Director::start(&lab, &config());
}

#[test]
fn daemons_of_the_host_serve_and_ask_beside_the_service() {
    let lab = lab().with_web();
    let director = Director::start(&lab, &config());
    let served = echo_once(&lab, "director", "10.0.10.61:2222");
    assert_eq!(ask(&lab, "client", "10.0.10.61:2222"), "hello");
    served.join().expect("the host's daemon served");

    let served = echo_once(&lab, "client", "10.0.10.1:2223");
    assert_eq!(ask(&lab, "director", "10.0.10.1:2223"), "hello", "{}", director.ctl("drops"));
    served.join().expect("the client served the host");

    assert_eq!(curl_pages(&lab, 2).len(), 2, "the service is not disturbed");
    let text = lab.run("client", &format!("ping -n -c 5 -i 0.2 -W 2 {DIP}"));
    assert!(text.contains(" 5 received") && !text.contains("DUP!"), "{text}");
}

/// Both workers give frames to the kernel; neither ever sleeps.
#[test]
fn two_polling_workers_share_the_way_into_the_kernel_in_both_families() {
    let lab = lab();
    for (host, interface) in [("client", "eth0"), ("director", "default")] {
        let key = format!("net/ipv6/conf/{interface}/disable_ipv6=0");
        lab.sh(&format!("lab_sysctl {host} {key}"));
    }
    lab.run("client", "ip address add fd00::1/64 dev eth0 nodad");
    let mut config = config();
    config.workers = "[0, 1]".to_owned();
    let device = "net_af_packet0,iface=dir0,qpairs=2";
    config.ports = vec![port("lan0", device, "10.0.10.61/24, \"fd00::61/64\"")];
    config.keys.push("idle: { mode: poll }".to_owned());
    let director = Director::start(&lab, &config);

    for number in 0..8 {
        for at in [format!("10.0.10.61:{}", 2000 + number), format!("[fd00::61]:{}", 3000 + number)]
        {
            let served = echo_once(&lab, "director", &at);
            assert_eq!(ask(&lab, "client", &at), "hello", "{at}: {}", director.ctl("drops"));
            served.join().expect("the host's daemon served");
        }
    }
    let served = echo_once(&lab, "client", "[fd00::1]:2223");
    assert_eq!(ask(&lab, "director", "[fd00::1]:2223"), "hello", "{}", director.ctl("drops"));
    served.join().expect("the client served the host");
    let gave = |line: &&str| line.split_whitespace().nth(5).is_some_and(|count| count != "0");
    let status = director.ctl("status");
    let workers = status.lines().filter(|line| line.starts_with(['0', '1'])).filter(gave);
    assert_eq!(workers.count(), 2, "{status}");
}

#[test]
fn addresses_that_the_kernel_does_not_take_are_named() {
    let lab = lab();
    let mut config = config();
    config.ports = vec![port("lan0", "net_af_packet0,iface=dir0", "\"fd00::61/64\"")];
    // The lab's hosts have IPv6 switched off.
    let reply = run_sluiced(&lab, &config.yaml(&socket_of(&lab)), &[]);
    assert_eq!(reply.code, Some(1), "{reply:?}");
    let said = "`ip address add fd00::61/64 dev lan0 nodad` failed";
    assert!(reply.stderr.contains(said), "{}", reply.stderr);
}

/// VRRP, OSPF and the like speak to groups; replies to the host's own questions come back to it.
#[test]
fn the_kernel_hears_groups() {
    let lab = lab();
    let _director = Director::start(&lab, &config());
    let capture = Capture::start(&lab, "director", "lan0", "dst host 224.0.0.18");

    lab.try_run("client", "ip route add 224.0.0.0/4 dev eth0; ping -n -c 2 -i 0.2 -W 1 224.0.0.18");

    eventually(Duration::from_secs(5), "a packet to the group", || {
        (!capture.frames().is_empty()).then_some(())
    });
}

#[test]
fn what_the_kernel_takes_no_service_gets() {
    let lab = lab().with_web();
    let mut config = config();
    config.services =
        vec![format!("-A -t {DIP}:80 -s rr"), format!("-a -t {DIP}:80 -r 10.0.10.83 -g")];
    config.keys.push("kernel: { take: [tcp 80] }".to_owned());
    let director = Director::start(&lab, &config);
    let served = echo_once(&lab, "director", "10.0.10.61:80");

    assert_eq!(ask(&lab, "client", "10.0.10.61:80"), "hello");

    served.join().expect("the host's daemon served");
    assert_eq!(director.connections(), []);
}

#[test]
fn a_name_that_the_kernel_has_is_refused() {
    let lab = lab();
    let yaml = config().yaml(&socket_of(&lab)).replace("name: lan0", "name: dir0");
    let reply = run_sluiced(&lab, &yaml, &[]);
    assert_eq!(reply.code, Some(78), "{reply:?}");
    assert!(reply.stderr.contains("choose another name"), "{}", reply.stderr);

    lab.run("director", "ip link add lan0 type veth peer name lan1");
    let reply = run_sluiced(&lab, &config().yaml(&socket_of(&lab)), &[]);
    assert_eq!(reply.code, Some(1), "{reply:?}");
    let said = "lan0: `kernel: true`, but the host's kernel has an interface lan0 already";
    assert!(reply.stderr.contains(said), "{}", reply.stderr);
}

/// The director of a VRRP pair: its notify script says when the addresses are its own.
#[test]
fn an_address_is_owned_while_it_is_told_to() {
    let lab = Lab::one_segment().with_web();
    let mut config = Config::web("rr");
    config.keys.push("own_service_addresses: false".to_owned());
    config.owns_vip = false;
    let director = Director::start(&lab, &config);
    assert!(!curl_once(&lab, 1).status.success(), "nobody has the address");
    assert!(director.ctl("vip list").contains("10.0.10.100 service not-owned"));

    let filter = "arp and arp[14:4] == arp[24:4]";
    let capture = Capture::start(&lab, "client", "eth0", filter);
    director.ctl("vip add 10.0.10.100");
    assert_eq!(curl_pages(&lab, 2).len(), 2);
    assert!(capture.frames().iter().any(|frame| frame.contains(VIP)), "it is announced");
    director.ctl("vip add 10.0.10.100");

    director.ctl("vip withdraw 10.0.10.100");
    lab.run("client", "ip neigh flush all");
    assert!(!curl_once(&lab, 1).status.success(), "the address is given up");
    let reply = director.try_ctl("vip withdraw 10.0.10.61");
    assert_eq!(reply.code, Some(2), "{reply:?}");
    assert!(reply.stderr.contains("the address of an interface"), "{reply:?}");
}

#[test]
fn switches_change_while_the_director_runs() {
    let lab = Lab::one_segment();
    let director = Director::start(&lab, &Config::web("rr"));
    assert_eq!(director.ctl("get pmtu_disc"), "pmtu_disc = 1\n");
    assert_eq!(director.ctl("set pmtu_disc 0"), "pmtu_disc = 0\n");
    assert!(director.ctl("get").contains("pmtu_disc = 0\n"));
    let reply = director.try_ctl("set drop_entry 7");
    assert_eq!((reply.code, reply.stdout.as_str()), (Some(2), ""), "{reply:?}");
}

/// A server in a host that sends one line back.
fn echo_once(lab: &Lab, host: &str, at: &str) -> thread::JoinHandle<()> {
    let listener = lab.inside(host, || TcpListener::bind(at)).expect("the host has the address");
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("somebody connects");
        let mut line = [0; 5];
        stream.read_exact(&mut line).expect("the client speaks");
        stream.write_all(&line).expect("the client listens");
    })
}

fn ask(lab: &Lab, host: &str, at: &str) -> String {
    let address: SocketAddr = at.parse().expect("an address");
    let stream = lab.inside(host, || TcpStream::connect_timeout(&address, PATIENCE));
    let mut stream = stream.unwrap_or_else(|error| panic!("{host} to {at}: {error}"));
    stream.set_read_timeout(Some(PATIENCE)).expect("the time is not zero");
    stream.write_all(b"hello").expect("the connection takes a line");
    let mut line = [0; 5];
    stream.read_exact(&mut line).expect("the line comes back");
    String::from_utf8_lossy(&line).into_owned()
}
