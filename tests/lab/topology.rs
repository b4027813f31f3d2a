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

/// As when a router with several ways hashes anew: a connection that one director began goes on at
/// another one, which has never seen it. Both choose the same server by `mh`.
#[test]
fn maglev_directors_go_on_with_each_others_connections() {
    let lab = Lab::one_segment();
    let servers = ["10.0.10.83", "10.0.10.84"];
    let _echos = ["rs1", "rs2"].map(|host| TcpServer::echo(&lab, host, 7));
    lab.sh("lab_director second");
    lab.sh("lab_attach_director second dir0 lan");
    let config = Config::one_port().with_service(7, "mh -b mh-port", &servers);
    let mut config = config.with_key("settings: { sloppy_tcp: 1 }");
    config.owns_vip = false;
    let first = Director::start(&lab, &config);
    config.ports[0].2 = "10.0.10.62/24".to_owned();
    let second = Director::start_in(&lab, "second", &config);
    let way_by = |host: &str| {
        let mac = lab.mac(host, "dir0");
        lab.run("client", &format!("ip neigh replace {VIP} lladdr {mac} dev eth0 nud permanent"));
    };

    way_by("director");
    let streams: Vec<_> = (0..6).map(|_| connect_echo(&lab, 7, None)).collect();
    assert_eq!(first.connections().len(), 6);
    way_by("second");
    for (mut stream, _) in streams {
        exchange(&mut stream, "again");
    }
    assert_eq!(second.connections().len(), 6);
    let of = |director: &Director<'_>| {
        let mut lines = director.connections();
        lines.sort_by(|a, b| a.client.cmp(&b.client));
        lines.into_iter().map(|line| (line.client, line.server)).collect::<Vec<_>>()
    };
    assert_eq!(of(&first), of(&second));
    let used: std::collections::HashSet<_> = of(&first).into_iter().map(|pair| pair.1).collect();
    assert_eq!(used.len(), 2, "both servers take part");
}
