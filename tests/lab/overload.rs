//! The defence against more connections than there is room for.

use std::time::Duration;

use crate::support::config::Config;
use crate::support::director::Director;
use crate::support::lab::{Lab, eventually};
use crate::support::sockets::{TcpServer, connect, connect_echo, exchange, start_connecting};

/// Half-open connections live for a minute by themselves: that there is room again much earlier is
/// the work of `drop_entry`.
#[test]
fn a_flood_of_half_open_connections_makes_room_for_others() {
    const FLOOD: usize = 700;
    let lab = Lab::one_segment();
    let _server = TcpServer::echo(&lab, "rs1", 7);
    let mut config = Config::one_port()
        .with_service(7, "rr", &["10.0.10.83"])
        .with_service(8, "rr", &["10.0.10.200"])
        .with_key("flows: { max: 1000 }")
        .with_key("settings: { drop_entry: 1, secure_tcp: 1, amemthresh: 400 }");
    let nobody = ["lan0", "10.0.10.200", "02:00:00:00:02:00"].map(str::to_owned);
    config.neighbours.push(nobody.into());
    let director = Director::start(&lab, &config);
    let (mut stream, _) = connect_echo(&lab, 7, None);
    assert_eq!(director.ctl("get drop_entry"), "drop_entry = 1\n");

    let flood = start_connecting(&lab, 8, FLOOD);
    eventually(Duration::from_secs(3), "room is short", || {
        (director.ctl("get drop_entry") == "drop_entry = 2\n").then_some(())
    });
    let status = director.ctl("status");
    assert!(status.contains("drop_entry 2, drop_packet 0, secure_tcp 2;"), "{status}");
    drop(flood);

    eventually(Duration::from_secs(30), "there is room again", || {
        (director.ctl("get drop_entry") == "drop_entry = 1\n").then_some(())
    });
    let status = director.ctl("status");
    assert!(!status.contains("; 0 ended early"), "{status}");
    exchange(&mut stream, "still there");
}

#[test]
fn new_connections_are_dropped_and_those_that_are_there_go_on() {
    let lab = Lab::one_segment();
    let _server = TcpServer::echo(&lab, "rs1", 7);
    let config = Config::one_port().with_service(7, "rr", &["10.0.10.83"]);
    let director = Director::start(&lab, &config);
    let (mut stream, _) = connect_echo(&lab, 7, None);

    director.ctl("set am_droprate 1");
    assert_eq!(director.ctl("set drop_packet 3"), "drop_packet = 3\n");
    let attempts = start_connecting(&lab, 7, 3);
    eventually(Duration::from_secs(2), "the three are dropped", || {
        (director.drops("overload") >= 3).then_some(())
    });
    exchange(&mut stream, "not dropped");
    assert_eq!(director.connections().len(), 1);
    drop(attempts);

    director.ctl("set drop_packet 0");
    connect(&lab, 7, None).expect("nothing is dropped any more");
}
