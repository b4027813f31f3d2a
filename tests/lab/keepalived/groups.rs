//! `virtual_server_group`: addresses, ranges and marks that share their real servers and one check
//! of each; services of a mark; persistence.

use std::net::SocketAddr;

use super::{Keepalived, SOME, config, lab, real_server, virtual_service, wait_for_pool};
use crate::support::director::Director;
use crate::support::tools::pages;
use crate::support::visits::{Excuse, Visits, explain};

/// Services as `sluiceadm` names them, by the port of their servers: keepalived gives those of a
/// mark none, so that each connection keeps its own.
const SERVICES: [(&[&str], u16); 2] = [
    (&["-t 10.0.10.100:80", "-t 10.0.10.101:80", "-t 10.0.10.102:80", "-t 10.0.10.103:80"], 80),
    (&["-f 10", "-f 20"], 0),
];

/// Waits until all have both servers, or the one that is not gone.
fn wait_for_all(director: &Director<'_>, gone: Option<&str>) {
    for (services, port) in SERVICES {
        let servers =
            ["10.0.10.83", "10.0.10.84"].into_iter().filter(|server| Some(*server) != gone);
        let lines: Vec<String> = servers.map(|server| format!("{server}:{port} Route 1")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        services.iter().for_each(|service| wait_for_pool(director, service, &lines));
    }
}

#[test]
fn a_group_of_addresses_and_marks_follows_one_check() {
    let lab = lab();
    for host in ["rs1", "rs2"] {
        lab.sh(&format!("lab_nginx {host} {host} 80 8080"));
        for number in 101..=105 {
            lab.sh(&format!("lab_run {host} ip addr add 10.0.10.{number}/32 dev lo"));
        }
    }
    let director = Director::start(&lab, &config());
    for (address, mark) in [("10.0.10.104", 10), ("10.0.10.105", 20)] {
        director.ctl(&format!("vips add {address}"));
        director.ctl(&format!(
            "marks -A PREROUTING -d {address} -p tcp -m multiport --dports 80,8080 -j MARK \
             --set-mark {mark}"
        ));
    }
    let method = "    lvs_method DR";
    let ends = |port| ["10.0.10.83", "10.0.10.84"].map(|address| format!("{address}{port}"));
    let servers = |port| ends(port).map(|end| real_server(&end, "", 80)).concat();
    let text = format!(
        "virtual_server_group web {{\n    10.0.10.100 80\n    10.0.10.101-103 80\n    fwmark 10\n}}\n\
         {}{}",
        virtual_service("group web", method, &servers(" 80")),
        virtual_service(
            "fwmark 20",
            &format!("{method}\n    persistence_timeout 300"),
            &servers("")
        ),
    );
    let keepalived = Keepalived::checking(&lab, &text);
    wait_for_all(&director, None);
    assert!(director.adm("-Sn").contains("-A -f 20 -s rr -p 300\n"), "{}", director.adm("-Sn"));

    // Both ports of the mark are one service: the client is kept for both.
    let kept = || {
        let pages = [80, 8080].map(|port| pages(&lab, "client", &format!("10.0.10.105:{port}"), 3));
        assert!(pages.iter().flatten().all(|page| *page == pages[0][0]), "{pages:?}");
        pages[0][0].clone()
    };
    let first = kept();
    let (victim, other) =
        if first == "rs1" { ("10.0.10.83", "rs2") } else { ("10.0.10.84", "rs1") };
    let ends = ["10.0.10.100:80", "10.0.10.103:80", "10.0.10.104:8080", "10.0.10.105:80"];
    let clients = ends.map(|end| {
        let to: SocketAddr = end.parse().expect("an end");
        (end, Visits::start(&lab, "client", to, director.socket()))
    });
    clients[..3].iter().for_each(|(_, visits)| {
        visits.wait_for_page("rs1");
        visits.wait_for_page("rs2");
    });
    let dead = Excuse::during(None, || {
        lab.sh(&format!("lab_stop {first}-nginx KILL"));
        wait_for_all(&director, Some(victim));
    });
    let noticed = format!("Removing service [{victim}]:tcp:80 from VS [web]");
    assert_eq!(keepalived.daemon.count(&noticed), 1, "one check for the whole group");
    clients.iter().for_each(|(_, visits)| visits.wait_for(SOME));
    assert_eq!(kept(), other, "whom the client was kept at is gone");

    lab.sh(&format!("lab_nginx {first} {first} 80 8080"));
    wait_for_all(&director, None);
    clients[..3].iter().for_each(|(_, visits)| visits.wait_for_page(&first));
    assert_eq!(kept(), other, "the client is kept at the other one now");
    for (end, visits) in clients {
        let port = end.rsplit_once(':').map(|(_, port)| port).unwrap_or_default();
        let server = Some(format!("{victim}:{port}"));
        explain(end, &visits.stop(), &[Excuse { server, ..dead.clone() }]);
    }
}
