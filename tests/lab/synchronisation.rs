//! Two directors, of which one tells the other its connections: they live on when it dies. Over
//! direct routing, NAT would need the address of the gateway to move, too.

use std::time::Duration;

use crate::support::config::{Config, port};
use crate::support::director::Director;
use crate::support::lab::{Lab, VIP, eventually};
use crate::support::sockets::{TcpServer, connect_echo, exchange};

/// One segment with places for two directors, and another one on which they talk.
fn pair() -> Lab {
    let lab = Lab::one_segment();
    lab.sh("lab_director backup");
    lab.sh("lab_attach_director backup dir0 lan");
    lab.sh("lab_switch mgmt");
    lab.sh("lab_attach director mgmt0 mgmt 10.0.99.1/24");
    lab.sh("lab_attach backup mgmt0 mgmt 10.0.99.2/24");
    lab
}

/// A director that does not have the VIP yet.
fn start<'lab>(lab: &'lab Lab, host: &str) -> Director<'lab> {
    let address = if host == "backup" { "10.0.10.62/24" } else { "10.0.10.61/24" };
    let mut config = Config::one_port()
        .with_service(7, "rr", &["10.0.10.83", "10.0.10.84"])
        .with_key("own_service_addresses: false");
    config.services[0] += " -p 300";
    config.ports = vec![port("lan0", "net_af_packet0,iface=dir0", address)];
    config.owns_vip = false;
    Director::start_in(lab, host, &config)
}

#[test]
fn connections_and_templates_outlive_their_director() {
    let lab = pair();
    let _servers = [TcpServer::echo(&lab, "rs1", 7), TcpServer::echo(&lab, "rs2", 7)];
    let mut first = start(&lab, "director");
    let second = start(&lab, "backup");
    first.adm("--start-daemon master --mcast-interface mgmt0 --syncid 5");
    second.adm("--start-daemon backup --mcast-interface mgmt0 --syncid 5");
    let listed = second.adm("-L --daemon");
    assert!(
        listed.starts_with("backup sync daemon (mcast=mgmt0, syncid=5, maxlen=1472"),
        "{listed}"
    );
    first.ctl(&format!("vips add {VIP}"));

    let mut held: Vec<_> = (0..20).map(|_| connect_echo(&lab, 7, None)).collect();
    for (stream, _) in &mut held {
        exchange(stream, "the third packet");
    }
    let everything = |director: &Director<'_>| {
        let mut lines = director.connections();
        lines.retain(|line| line.state == "ESTABLISHED" || line.state == "ASSURED");
        let mut ends: Vec<_> =
            lines.into_iter().map(|it| (it.client, it.virtual_end, it.server)).collect();
        ends.sort();
        ends
    };
    let wanted = everything(&first);
    assert_eq!(wanted.len(), 21, "connections and their template: {wanted:?}");
    eventually(Duration::from_secs(20), "the backup knows them all", || {
        (everything(&second) == wanted).then_some(())
    });
    let tally = second.ctl("--json sync");
    assert!(tally.contains("\"malformed_datagrams\": 0"), "{tally}");
    let servers = second.servers();
    assert_eq!(servers.iter().map(|server| server.active).sum::<u32>(), 20, "{servers:?}");

    let _status = first.signal("KILL");
    second.ctl(&format!("vips add {VIP}"));
    for (stream, _) in &mut held {
        exchange(stream, "on the other director");
    }
    let (_, server) = connect_echo(&lab, 7, None);
    assert_eq!(server, held[0].1, "the template holds for new connections");
    assert_eq!(second.drops("no_connection"), 0);
}

#[test]
fn a_director_of_another_number_is_not_heard_and_a_stopped_one_not_either() {
    let lab = pair();
    let _server = TcpServer::echo(&lab, "rs1", 7);
    let _server2 = TcpServer::echo(&lab, "rs2", 7);
    let first = start(&lab, "director");
    let second = start(&lab, "backup");
    first.adm("--start-daemon master --mcast-interface mgmt0 --syncid 5");
    second.adm("--start-daemon backup --mcast-interface mgmt0 --syncid 6");
    first.ctl(&format!("vips add {VIP}"));
    let (mut stream, _) = connect_echo(&lab, 7, None);
    exchange(&mut stream, "the third packet");
    let received = |director: &Director<'_>| {
        let json: serde_json::Value =
            serde_json::from_str(&director.ctl("--json sync")).expect("it is JSON");
        json["received_datagrams"].as_u64().expect("it is a number")
    };
    eventually(Duration::from_secs(20), "a datagram", || (received(&second) > 0).then_some(()));
    assert_eq!(second.connections(), []);
    let refused = first.ask("sluiceadm", "--start-daemon master --mcast-interface mgmt0");
    assert_eq!((refused.code, refused.stderr.as_str()), (Some(255), "Daemon has already run\n"));
    second.adm("--stop-daemon backup");
    assert_eq!(second.adm("-L --daemon"), "");
    let refused = second.ask("sluiceadm", "--start-daemon backup --mcast-interface nobody0");
    assert_eq!(refused.code, Some(255));
}
