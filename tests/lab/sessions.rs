//! The session log: a line for each connection that has ended.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::support::config::Config;
use crate::support::director::Director;
use crate::support::lab::{Lab, VIP, eventually};
use crate::support::sockets::{TcpServer, connect_echo, exchange};

/// The lines of a log, of which there are at least so many in the end.
fn lines(path: &Path, least: usize) -> Vec<Value> {
    eventually(Duration::from_secs(10), &format!("{least} lines in {}", path.display()), || {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let lines: Vec<_> = text.lines().map(|line| serde_json::from_str(line).ok()).collect();
        lines.into_iter().collect::<Option<Vec<_>>>().filter(|lines| lines.len() >= least)
    })
}

#[test]
fn connections_that_ended_are_written_down() {
    let lab = Lab::one_segment();
    let _servers = [TcpServer::echo(&lab, "rs1", 7), TcpServer::echo(&lab, "rs2", 7)];
    let path = lab.dir().join("sessions.log");
    let key = format!("session_log: {{ to: {}, rate: 3 }}", path.display());
    let config = Config::one_port()
        .with_service(7, "rr", &["10.0.10.83", "10.0.10.84"])
        .with(&format!("-u {VIP}:53"), "rr", &["10.0.10.83 -g"])
        .with_key(&key);
    let mut director = Director::start(&lab, &config);

    // Killed.
    let (mut stream, name) = connect_echo(&lab, 7, Some(40_000));
    exchange(&mut stream, "one");
    director.ctl("flows kill --all");
    let first = lines(&path, 1).remove(0);
    let server = if name == "rs1" { "10.0.10.83" } else { "10.0.10.84" };
    let wanted = serde_json::json!({
        "protocol": "tcp", "client": "10.0.10.1", "client_port": 40_000,
        "virtual_address": VIP, "virtual_port": 7, "server": server, "server_port": 7,
        "forward": "Route", "service": format!("tcp:{VIP}:7"), "state": "ESTABLISHED",
        "reason": "killed", "left_out": 0,
    });
    for (field, value) in wanted.as_object().expect("an object") {
        assert_eq!(first[field], *value, "{field}: {first}");
    }
    assert!(first["packets"].as_u64().is_some_and(|packets| (3..=9).contains(&packets)), "{first}");
    assert!(first["begin"].as_str() < first["end"].as_str(), "{first}");

    // Renamed, as logrotate does it; and one whose time is over.
    std::fs::rename(&path, path.with_extension("1")).expect("it is there");
    director.adm("--set 0 0 1");
    lab.run(
        "client",
        &format!("echo x >/dev/udp/{VIP}/53 2>&1 || bash -c 'echo x >/dev/udp/{VIP}/53'"),
    );
    let expired = lines(&path, 1).remove(0);
    assert_eq!((&expired["reason"], &expired["protocol"]), (&"expired".into(), &"udp".into()));
    assert_eq!(expired["packets"], 1, "{expired}");

    // More than there may be in a second.
    let _streams: Vec<_> = (0..8).map(|_| connect_echo(&lab, 7, None)).collect();
    std::thread::sleep(Duration::from_secs(1));
    director.ctl("flows kill --all");
    let all = lines(&path, 4);
    assert!(all.len() <= 7, "{all:?}");
    std::thread::sleep(Duration::from_millis(1200));
    let (_stream, _) = connect_echo(&lab, 7, Some(41_000));
    director.ctl("flows kill --all");
    let all = lines(&path, all.len() + 1);
    let last = all.last().expect("there are some");
    assert_eq!(last["client_port"], 41_000);
    let left_out = last["left_out"].as_u64().expect("a number");
    assert_eq!(left_out + all.len() as u64, 1 + 8 + 1, "each has a line or is counted: {all:?}");
    let wanted = format!(
        "\nsession log   {} lines; without one: 0 by sample, {left_out} by rate, 0 by its queue\n",
        1 + all.len()
    );
    let status = director.ctl("status");
    assert!(status.contains(&wanted), "want {wanted} in {status}");
    assert!(director.signal("TERM").success(), "its thread ends with it");
}
