//! More than one worker, more than one port, and real servers behind a router.

use crate::support::config::{Config, port};
use crate::support::director::Director;
use crate::support::lab::{Lab, VIP};
use crate::support::sockets::{TcpServer, connect_echo, exchange};
use crate::support::tools::{Capture, ab, curl_pages};

/// Connections spread over both workers, and all of them meet one set of services and one table.
#[test]
fn two_workers_share_one_table() {
    let lab = Lab::one_segment().with_web();
    let mut config = Config::web("rr");
    config.workers = "[0, 1]".to_owned();
    config.ports = vec![port("lan0", "net_af_packet0,iface=dir0,qpairs=2", "10.0.10.61/24")];
    let director = Director::start(&lab, &config);

    ab(&lab, 1000, 30);

    let servers = director.servers();
    let listed: u32 = servers.iter().map(|server| server.active + server.inactive).sum();
    assert!((1000..=1030).contains(&listed), "{servers:?}");
    assert!(servers[0].inactive.abs_diff(servers[1].inactive) <= 30, "{servers:?}");
    assert_eq!(director.connections().len(), listed as usize);
}

/// Clients on one port, real servers on the other; the replies go around the director.
#[test]
fn direct_routing_across_two_ports() {
    let lab = two_segments();
    lab.sh("lab_attach_director director dir1 backend");
    let mut config = Config::one_port().with_service(80, "rr", &["10.0.20.83"]);
    config.ports.push(port("backend0", "net_af_packet1,iface=dir1", "10.0.20.61/24"));
    let director = Director::start(&lab, &config);
    let at_server = Capture::start(&lab, "rs3", "eth0", "tcp dst port 80");
    let at_client = Capture::start(&lab, "client", "eth0", "tcp src port 80");
    let at_director = Capture::start(&lab, "director", "dir1", "tcp src port 80");

    assert_eq!(curl_pages(&lab, 4), ["rs3"; 4]);

    let way = format!("{} > {},", lab.mac("director", "dir1"), lab.mac("rs3", "eth0"));
    let requests = at_server.frames();
    assert!(requests.len() >= 12, "{requests:?}");
    assert!(requests.iter().all(|frame| frame.contains(&way)), "want {way} in {requests:#?}");
    let way = format!("{} > {},", lab.mac("router", "eth0"), lab.mac("client", "eth0"));
    let replies = at_client.frames();
    assert!(replies.len() >= 12, "{replies:?}");
    assert!(replies.iter().all(|frame| frame.contains(&way)), "want {way} in {replies:#?}");
    assert_eq!(at_director.frames(), Vec::<String>::new(), "replies do not pass the director");
    assert_eq!(director.server("10.0.20.83").inactive, 4);
}

/// The real server is not on the director's segment: the next hop is a router, which has a host
/// route for the VIP.
#[test]
fn a_real_server_behind_a_router() {
    let lab = two_segments();
    lab.run("router", &format!("ip route add {VIP}/32 via 10.0.20.83"));
    let mut config = Config::one_port().with_service(80, "rr", &["10.0.20.83"]);
    config.routes.push(("10.0.20.0/24".to_owned(), "10.0.10.254".to_owned()));
    let _director = Director::start(&lab, &config);
    let at_router = Capture::start(&lab, "router", "eth0", "tcp dst port 80");
    let at_director = Capture::start(&lab, "director", "dir0", "tcp src port 80");

    assert_eq!(curl_pages(&lab, 3), ["rs3"; 3]);

    let way = format!("{} > {},", lab.mac("director", "dir0"), lab.mac("router", "eth0"));
    let requests = at_router.frames();
    assert!(requests.len() >= 9, "{requests:?}");
    assert!(requests.iter().all(|frame| frame.contains(&way)), "want {way} in {requests:#?}");
    assert_eq!(at_director.frames(), Vec::<String>::new(), "replies do not pass the director");
}

/// `lan` with client and director, `backend` with the real server rs3, and a router between them.
fn two_segments() -> Lab {
    let lab = Lab::new();
    lab.sh("lab_switch lan");
    lab.sh("lab_switch backend");
    lab.sh("lab_host client lan 10.0.10.1/24");
    lab.sh("lab_router router");
    lab.sh("lab_attach router eth0 lan 10.0.10.254/24");
    lab.sh("lab_attach router eth1 backend 10.0.20.254/24");
    lab.sh(&format!("lab_real_server rs3 backend 10.0.20.83/24 10.0.20.254 {VIP}"));
    lab.sh("lab_director director");
    lab.sh("lab_attach_director director dir0 lan");
    lab.sh("lab_nginx rs3 rs3");
    lab
}

/// A router spreads connections over two directors; then it hears that one has gone, and hashes
/// anew. Connections that the other one has never seen go on there: both choose servers by `mh`.
#[test]
fn connections_go_on_when_a_router_spreads_them_anew() {
    let lab = Lab::new();
    lab.sh("lab_switch access");
    lab.sh("lab_switch lan");
    lab.sh("lab_router router");
    lab.sh("lab_attach router eth0 lan 10.0.20.254/24");
    lab.sh("lab_attach router eth1 access 10.0.30.254/24");
    lab.sh("lab_host client access 10.0.30.1/24 10.0.30.254");
    for (host, number) in [("rs1", 83), ("rs2", 84)] {
        let addresses = format!("10.0.20.{number}/24 10.0.20.254 {VIP}");
        lab.sh(&format!("lab_real_server {host} lan {addresses}"));
    }
    for host in ["director", "second"] {
        lab.sh(&format!("lab_director {host}"));
        lab.sh(&format!("lab_attach_director {host} dir0 lan"));
    }
    let _echos = ["rs1", "rs2"].map(|host| TcpServer::echo(&lab, host, 7));
    let config = Config::one_port()
        .with_service(7, "mh -b mh-port", &["10.0.20.83", "10.0.20.84"])
        .with_key("settings: { sloppy_tcp: 1 }");
    let [first, second] = [("director", 61), ("second", 62)].map(|(host, number)| {
        let mut config = config.clone();
        config.ports[0].2 = format!("10.0.20.{number}/24");
        config.owns_vip = false;
        Director::start_in(&lab, host, &config)
    });
    lab.sh("lab_sysctl router net/ipv4/fib_multipath_hash_policy=1");
    let ways = "nexthop via 10.0.20.61 nexthop via 10.0.20.62";
    lab.run("router", &format!("ip route add {VIP}/32 {ways}"));

    let streams: Vec<_> = (0..16).map(|_| connect_echo(&lab, 7, None)).collect();
    let (here, there) = (first.connections().len(), second.connections().len());
    assert!(here > 0 && there > 0 && here + there == 16, "{here} and {there}");
    let names: std::collections::HashSet<_> = streams.iter().map(|(_, name)| name).collect();
    assert_eq!(names.len(), 2, "both servers take part");

    lab.run("router", &format!("ip route replace {VIP}/32 via 10.0.20.62"));
    for (mut stream, _) in streams {
        exchange(&mut stream, "again");
    }
    assert_eq!(second.connections().len(), 16);
}
