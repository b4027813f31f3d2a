//! A configuration that changes while traffic runs.

use std::thread;
use std::time::Duration;

use crate::support::config::Config;
use crate::support::director::{Director, send_signal};
use crate::support::lab::{Lab, eventually};
use crate::support::sockets::{TcpServer, connect_echo, exchange};
use crate::support::tools::{ab, curl_pages};

/// The director's file gets this text.
fn write(lab: &Lab, director: &Director<'_>, config: &Config) {
    std::fs::write(lab.dir().join("director.yaml"), config.yaml(director.socket())).unwrap();
}

fn config(weight: &str) -> Config {
    Config::one_port()
        .with("-t 10.0.10.100:80", "wrr", &["10.0.10.83 -g", &format!("10.0.10.84 -g -w {weight}")])
        .with("-t 10.0.10.100:7", "rr", &["10.0.10.83 -g"])
}

/// Requests of `-Ln --stats` for a server, of the service on port 7.
fn counted(director: &Director<'_>) -> u64 {
    let text = director.adm("-Ln --stats --exact");
    let line = text.lines().find(|line| line.contains("10.0.10.100:7 "));
    let words: Vec<_> = line.unwrap_or_else(|| panic!("{text}")).split_whitespace().collect();
    words[3].parse().unwrap()
}

#[test]
fn a_reload_under_traffic_loses_no_request_and_no_connection() {
    let lab = Lab::one_segment().with_web();
    let _echo = TcpServer::echo(&lab, "rs1", 7);
    let director = Director::start(&lab, &config("1"));
    let (mut held, _) = connect_echo(&lab, 7, None);
    thread::scope(|scope| {
        // It fails if a single request does.
        let load = scope.spawn(|| ab(&lab, 20_000, 8));
        let mut packets = counted(&director);
        for weight in ["3", "0", "2", "1", "5"] {
            let more = config(weight)
                .with("-t 10.0.10.100:443", "rr", &["10.0.10.83:443 -g"])
                .with_key(&format!("settings: {{ am_droprate: 1{weight} }}"))
                .with_route("198.51.100.0/24", "10.0.10.83");
            write(&lab, &director, &more);
            let said = director.ctl("reload");
            let server = format!("+ -a -t 10.0.10.100:80 -r 10.0.10.84:80 -g -w {weight}\n");
            assert!(said.contains(&server), "{said}");
            assert_eq!(director.server("10.0.10.84").weight.to_string(), weight);
            exchange(&mut held, "still here");
            let now = counted(&director);
            assert!(now > packets, "counters of what did not change go on: {packets}, {now}");
            packets = now;
        }
        assert!(!load.is_finished(), "the load has to last for longer than the reloads");
        load.join().expect("no request failed");
    });
    exchange(&mut held, "still here");
    assert!(director.ctl("routes").contains("198.51.100.0/24 via 10.0.10.83 dev lan0"));
    assert_eq!(director.ctl("settings get am_droprate"), "am_droprate = 15\n");
    assert_eq!(director.ctl("diff"), "The director is as its file says.\n");
}

#[test]
fn a_hangup_reloads_and_a_wrong_file_changes_nothing() {
    let lab = Lab::one_segment().with_web();
    let _echo = TcpServer::echo(&lab, "rs1", 7);
    let director = Director::start(&lab, &config("1"));
    write(&lab, &director, &config("4"));
    send_signal(director.pid(), "HUP");
    eventually(Duration::from_secs(20), "the reload", || {
        director.messages().contains("sluiced: reload: Reloaded.").then_some(())
    });
    assert_eq!(director.server("10.0.10.84").weight, 4);

    let before = director.adm("-Sn");
    write(&lab, &director, &config("9 --nonsense").with_key("flows: { max: none }"));
    send_signal(director.pid(), "HUP");
    eventually(Duration::from_secs(20), "the refusal", || {
        director.messages().contains("reload: Nothing was changed.").then_some(())
    });
    let said = director.messages();
    assert!(said.contains("flows.max: ") && said.contains("--nonsense"), "{said}");
    let refused = director.try_ctl("reload");
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert_eq!(director.adm("-Sn"), before);
    assert_eq!(curl_pages(&lab, 4).len(), 4);
}

#[test]
fn a_conflict_is_shown_and_decided_and_a_restart_is_asked_for() {
    let lab = Lab::one_segment().with_web();
    let director = Director::start(&lab, &config("1"));
    director.adm("-e -t 10.0.10.100:80 -r 10.0.10.84 -g -w 0");
    let difference = director.try_ctl("diff");
    assert_eq!(difference.code, Some(1));
    assert!(difference.stdout.starts_with("Changed by command, kept"), "{}", difference.stdout);
    assert!(director.ctl("reload").contains("Changed by command, stays:"));

    write(&lab, &director, &config("7").with_key("flows: { max: 4096 }"));
    let refused = director.try_ctl("--json reload");
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    let json: serde_json::Value = serde_json::from_str(&refused.stdout).unwrap();
    assert_eq!(json["ending"], "conflicts");
    assert_eq!(json["conflicts"].as_array().unwrap().len(), 1);
    assert_eq!(json["restart"][0]["file"], "flows.max: 4096");
    assert_eq!(director.server("10.0.10.84").weight, 0);

    assert!(director.ctl("reload --file-wins").contains("Needs a restart, not in force:"));
    assert_eq!(director.server("10.0.10.84").weight, 7);
    assert_eq!(director.try_ctl("reload --strict").code, Some(2));
}
