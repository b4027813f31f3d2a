//! Start, stop, restart, and what is refused.

use std::time::{Duration, Instant};

use crate::support::config::Config;
use crate::support::director::{Director, run_sluiced, socket_of};
use crate::support::lab::{Lab, eventually};
use crate::support::tools::curl_pages;

#[test]
fn hugepages_are_not_needed() {
    let lab = Lab::one_segment().with_web();
    for hugepages in ["off", "auto"] {
        let mut config = Config::web("rr");
        config.eal = format!("{{ memory: 128M, hugepages: {hugepages} }}");
        let mut director = Director::start(&lab, &config);
        assert_eq!(curl_pages(&lab, 2).len(), 2);
        assert!(director.signal("TERM").success());
    }
}

#[test]
fn term_and_interrupt_stop_it_cleanly() {
    let lab = Lab::one_segment().with_web();
    for signal in ["TERM", "INT"] {
        let mut director = Director::start(&lab, &Config::web("rr"));
        curl_pages(&lab, 2);
        assert!(director.socket().exists(), "the control socket is there while it runs");
        let began = Instant::now();

        let status = director.signal(signal);

        assert_eq!(status.code(), Some(0), "after SIG{signal}: {status}");
        assert!(!director.socket().exists(), "SIG{signal} removes the control socket");
        assert!(began.elapsed() < Duration::from_secs(5), "took {:?}", began.elapsed());
    }
}

/// What a killed director leaves behind (a socket, perhaps files of EAL) must not be in the way.
#[test]
fn it_starts_again_after_a_kill() {
    let lab = Lab::one_segment().with_web();
    for _ in 0..3 {
        let mut director = Director::start(&lab, &Config::web("rr"));
        curl_pages(&lab, 2);
        let status = director.signal("KILL");
        assert!(status.code().is_none(), "{status}");
    }
    let director = Director::start(&lab, &Config::web("rr"));
    assert_ne!(curl_pages(&lab, 1), [""]);
    assert_eq!(director.connections().len(), 1, "a new director, a new table");
}

#[test]
fn a_second_director_on_the_same_socket_is_refused() {
    let lab = Lab::one_segment().with_web();
    let director = Director::start(&lab, &Config::web("rr"));

    let yaml = Config::web("rr").yaml(director.socket());
    let reply = run_sluiced(&lab, &yaml, &[]);

    assert_eq!(reply.code, Some(1), "{reply:?}");
    let socket = director.socket().display().to_string();
    assert!(reply.stderr.contains(&socket), "the message names the socket:\n{}", reply.stderr);
    assert_eq!(curl_pages(&lab, 2).len(), 2, "the first one goes on");
    assert!(director.adm("-Ln").contains("10.0.10.83:80"), "and still answers");
}

/// What is wrong, what to replace by what, and the words that the messages must have.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [&'a str]);

/// Each text has faults at several places; all of them must be named, at once, and nothing started.
#[test]
fn a_bad_configuration_is_refused_with_all_its_faults() {
    let lab = Lab::one_segment();
    let socket = socket_of(&lab);
    let good = Config::web("rr").yaml(&socket);
    let cases: [Case<'_>; 6] = [
        ("an unknown key", &[("workers: auto", "wokers: auto")], &["wokers"]),
        (
            "a VIP, a DIP and a worker that are none",
            &[
                ("vips: [10.0.10.100]", "vips: [10.0.10.300]"),
                ("10.0.10.61/24", "10.0.10.61/33"),
                ("workers: auto", "workers: [0, nine]"),
            ],
            &["10.0.10.300", "10.0.10.61/33", "nine"],
        ),
        (
            "two services with faults",
            &[("-s rr", "-s fastest"), ("-r 10.0.10.84", "-r 10.0.10.999")],
            &["fastest", "10.0.10.999"],
        ),
        (
            "a neighbour at a port that is none, and a MAC that is none",
            &[(
                "vips:",
                "neighbours: [ { port: wan9, address: 10.0.10.83, mac: \"02:00:zz\" } ]\nvips:",
            )],
            &["wan9", "02:00:zz"],
        ),
        (
            "a route through a gateway that no port reaches",
            &[("vips:", "routes: [ { to: 10.9.0.0/16, via: 192.0.2.7 } ]\nvips:")],
            &["192.0.2.7"],
        ),
        ("no YAML at all", &[("ports:", "ports: [ {")], &["YAML"]),
    ];
    for (what, changes, words) in cases {
        let mut yaml = good.clone();
        for (from, to) in changes {
            assert!(yaml.contains(from), "{what}: {from:?} is not in\n{yaml}");
            yaml = yaml.replacen(from, to, 1);
        }
        for arguments in [&["--check"][..], &[]] {
            let reply = run_sluiced(&lab, &yaml, arguments);
            assert_eq!(reply.code, Some(78), "{what}, {arguments:?}: {reply:?}");
            for word in words {
                let named = reply.stderr.contains(word);
                assert!(named, "{what}, {arguments:?}: no {word:?} in\n{}", reply.stderr);
            }
            assert!(!reply.stdout.contains("sluiced: ready"), "{what}: {reply:?}");
            assert!(!socket.exists(), "{what}: nothing may have been started");
        }
    }
}

#[test]
fn a_good_configuration_passes_the_check_and_starts_nothing() {
    let lab = Lab::one_segment();
    let socket = socket_of(&lab);
    let reply = run_sluiced(&lab, &Config::web("wlc").yaml(&socket), &["--check"]);
    assert_eq!(reply.code, Some(0), "{reply:?}");
    assert!(!reply.stdout.contains("sluiced: ready"), "{reply:?}");
    assert!(!socket.exists());
}

#[test]
fn a_port_that_does_not_exist_is_named() {
    let lab = Lab::one_segment();
    let socket = socket_of(&lab);
    let yaml = Config::web("rr").yaml(&socket).replace("iface=dir0", "iface=dir9");
    let reply = run_sluiced(&lab, &yaml, &[]);
    assert_eq!(reply.code, Some(1), "{reply:?}");
    for what in ["port lan0", "iface=dir9", "No such device"] {
        assert!(reply.stderr.contains(what), "{}", reply.stderr);
    }
    eventually(Duration::from_secs(1), "no control socket", || (!socket.exists()).then_some(()));
}
