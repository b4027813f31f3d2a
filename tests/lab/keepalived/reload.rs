//! Another configuration, while clients come and connections are held.

use super::{Keepalived, SOME, config, lab, vip, virtual_server, visits, wait_for_pool};
use crate::support::director::Director;
use crate::support::visits::{Held, explain};

/// What the first reload takes away, and what it brings.
const GONE: [&str; 4] = [
    "-a -t 10.0.10.100:80 -r 10.0.10.83:80 -g -w 1",
    "-a -t 10.0.10.100:80 -r 10.0.10.84:80 -g -w 1",
    "-A -t 10.0.10.100:81 -s wrr",
    "-a -t 10.0.10.100:81 -r 10.0.10.83:81 -g -w 1",
];
const COME: [&str; 4] = [
    "-a -t 10.0.10.100:80 -r 10.0.10.83:80 -g -w 3",
    "-a -t 10.0.10.100:80 -r 10.0.10.84:80 -g -w 0",
    "-A -t 10.0.10.100:82 -s wrr",
    "-a -t 10.0.10.100:82 -r 10.0.10.84:82 -g -w 1",
];

/// A service with these real servers: last digits, weight. Without checks, so all count as well.
fn service(port: u16, servers: &[(u8, u8)]) -> String {
    let server = |(number, weight): &(u8, u8)| {
        format!("    real_server 10.0.10.{number} {port} {{\n        weight {weight}\n    }}\n")
    };
    let servers: String = servers.iter().map(server).collect();
    virtual_server(port, "", &servers).replace("lvs_sched rr", "lvs_sched wrr")
}

fn owned(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|&line| line.to_owned()).collect()
}

/// Saved rules.
fn rules(director: &Director<'_>) -> Vec<String> {
    director.adm("-Sn").lines().map(str::to_owned).collect()
}

#[test]
fn a_reload_changes_what_has_changed_and_nothing_else() {
    let lab = lab();
    for host in ["rs1", "rs2"] {
        lab.sh(&format!("lab_nginx {host} {host} 80 81 82 83"));
    }
    let director = Director::start(&lab, &config());
    let untouched = service(83, &[(83, 1), (84, 1)]);
    let before = service(80, &[(83, 1), (84, 1)]) + &service(81, &[(83, 1)]) + &untouched;
    let keepalived = Keepalived::checking(&lab, &before);
    let both = |port, first, second| {
        [format!("10.0.10.83:{port} Route {first}"), format!("10.0.10.84:{port} Route {second}")]
    };
    let wait_for = |port: u16, lines: &[String]| {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        wait_for_pool(&director, &format!("-t 10.0.10.100:{port}"), &lines);
    };
    wait_for(80, &both(80, 1, 1));
    wait_for(83, &both(83, 1, 1));
    let old = rules(&director);
    let clients = [80, 83].map(|port| visits(&lab, &director, port));
    let mut held: Vec<Held> = [(80, "rs1"), (80, "rs2"), (83, "rs1")]
        .map(|(port, page)| Held::to(&lab, "client", vip(port), page))
        .into();
    clients.iter().for_each(|visits| visits.wait_for(SOME));
    let counted = ["10.0.10.83:80", "10.0.10.84:83"];
    let figures = counted.map(|server| director.figures(server));

    // Weights change, one service goes, one comes.
    let after = service(80, &[(83, 3), (84, 0)]) + &service(82, &[(84, 1)]) + &untouched;
    keepalived.reload(&after);
    wait_for(80, &both(80, 3, 0));
    let new = rules(&director);
    let only_in = |these: &[String], those: &[String]| -> Vec<String> {
        these.iter().filter(|line| !those.contains(line)).cloned().collect()
    };
    assert_eq!((only_in(&old, &new), only_in(&new, &old)), (owned(&GONE), owned(&COME)));
    clients.iter().for_each(|visits| visits.wait_for(SOME));
    for (server, before) in counted.iter().zip(figures) {
        let now = director.figures(server);
        assert!(now[0] > before[0] && now[1] > before[1], "{server}: {before:?}, then {now:?}");
    }
    held.iter_mut().for_each(Held::goes_on);
    held.push(Held::to(&lab, "client", vip(82), "rs2"));

    // The same once more changes nothing; the first one brings back what there was.
    let figures = director.figures("10.0.10.84:82");
    keepalived.reload(&after);
    assert_eq!((rules(&director), director.figures("10.0.10.84:82")), (new, figures));
    keepalived.reload(&before);
    wait_for(80, &both(80, 1, 1));
    assert_eq!(rules(&director).len(), old.len());
    assert!(old.iter().all(|line| rules(&director).contains(line)), "{old:?}");
    clients.iter().for_each(|visits| visits.wait_for(SOME));
    held.iter_mut().take(3).for_each(Held::goes_on);

    for (port, visits) in [80, 83].into_iter().zip(clients) {
        explain(&format!("port {port}, reloads"), &visits.stop(), &[]);
    }
    assert_eq!(keepalived.daemon.count("IPVS"), 0, "{}", keepalived.daemon.messages());
}
