//! Real servers whose checks fail: they leave the service, or get weight 0, and come back.

use std::time::Instant;

use super::{Keepalived, SOME, Verdicts, config, lab, vip, virtual_server, visits, wait_for_pool};
use crate::support::director::Director;
use crate::support::lab::Lab;
use crate::support::sockets::UdpEcho;
use crate::support::visits::{Excuse, Held, explain};

const SERVERS: [&str; 2] = ["10.0.10.83", "10.0.10.84"];

/// A service with both servers, each with a check.
fn service(port: u16, keys: &str, check: impl Fn(usize) -> String) -> String {
    let server = |(number, address): (usize, &&str)| {
        let check = check(number + 1);
        format!("    real_server {address} {port} {{\n        weight 1\n{check}\n    }}\n")
    };
    let servers: String = SERVERS.iter().enumerate().map(server).collect();
    virtual_server(port, keys, &servers)
}

fn http_get(_: usize) -> String {
    "        HTTP_GET {\n            url {\n                path /health\n                \
     status_code 200\n            }\n        }"
        .to_owned()
}

fn tcp_check(_: usize) -> String {
    "        TCP_CHECK {\n        }".to_owned()
}

/// The servers of a port, of weight 1, that are left without `gone`.
fn alive(port: u16, gone: &[&str]) -> Vec<String> {
    let servers = SERVERS.iter().filter(|server| !gone.contains(server));
    servers.map(|server| format!("{server}:{port} Route 1")).collect()
}

fn wait_for_alive(director: &Director<'_>, port: u16, gone: &[&str]) {
    let servers = alive(port, gone);
    let servers: Vec<&str> = servers.iter().map(String::as_str).collect();
    wait_for_pool(director, &format!("-t 10.0.10.100:{port}"), &servers);
}

fn start_web(lab: &Lab, host: &str) {
    lab.sh(&format!("lab_nginx {host} {host} 80 81 82"));
}

fn health_file(lab: &Lab, host: &str, is_there: bool) {
    let path = lab.dir().join(host).join("www/health");
    let done = if is_there { std::fs::write(path, "well\n") } else { std::fs::remove_file(path) };
    done.expect("the lab's folder is writable");
}

/// The server dies twice. Only requests that go to it before keepalived has noticed fail.
#[test]
fn a_server_that_dies_leaves_and_returns_and_others_lose_nothing() {
    let lab = lab();
    for host in ["rs1", "rs2"] {
        start_web(&lab, host);
        health_file(&lab, host, true);
    }
    let director = Director::start(&lab, &config());
    let text = service(80, "", http_get) + &service(81, "", tcp_check);
    let _keepalived = Keepalived::checking(&lab, &text);
    for port in [80, 81] {
        wait_for_alive(&director, port, &[]);
    }
    let clients = [80, 81].map(|port| (port, visits(&lab, &director, port)));
    let mut held = [80, 81].map(|port| Held::to(&lab, "client", vip(port), "rs2"));

    let mut excuses = Vec::new();
    for _ in 0..2 {
        let dead = Excuse::during(None, || {
            lab.sh("lab_stop rs1-nginx KILL");
            for (port, _) in &clients {
                wait_for_alive(&director, *port, &SERVERS[..1]);
            }
        });
        for (port, visits) in &clients {
            let server = Some(format!("{}:{port}", SERVERS[0]));
            excuses.push(Excuse { server, ..dead.clone() });
            visits.wait_for(SOME);
        }
        held.iter_mut().for_each(Held::goes_on);

        start_web(&lab, "rs1");
        for (port, visits) in &clients {
            wait_for_alive(&director, *port, &[]);
            visits.wait_for_page("rs1");
        }
        held.iter_mut().for_each(Held::goes_on);
    }
    for (port, visits) in clients {
        explain(&format!("port {port}, a server that dies"), &visits.stop(), &excuses);
    }
}

/// Nobody dies here. A server that is removed drops the request that runs at that moment, if there
/// is one; one that gets weight 0 does not.
#[test]
fn a_server_that_is_ill_or_drained_loses_no_other_request() {
    let lab = lab();
    for host in ["rs1", "rs2"] {
        start_web(&lab, host);
        health_file(&lab, host, true);
    }
    let verdicts = Verdicts::new(&lab);
    let misc_check = |number| {
        let name = format!("rs{number}");
        verdicts.set(&name, 0);
        verdicts.check(&name)
    };
    let director = Director::start(&lab, &config());
    let text = service(80, "", http_get) + &service(82, "    inhibit_on_failure", misc_check);
    let keepalived = Keepalived::checking(&lab, &text);
    for port in [80, 82] {
        wait_for_alive(&director, port, &[]);
    }
    let clients = [80, 82].map(|port| (port, visits(&lab, &director, port)));
    let [mut removed, mut drained] =
        [80, 82].map(|port| Held::to(&lab, "client", vip(port), "rs1"));
    let others = [80, 82].map(|port| Held::to(&lab, "client", vip(port), "rs2"));

    // HTTP_GET: the server answers, but not what it should, and leaves.
    let removal = Excuse::during(Some("10.0.10.83:80"), || {
        health_file(&lab, "rs1", false);
        wait_for_alive(&director, 80, &SERVERS[..1]);
    });
    clients[0].1.wait_for(SOME);
    removed.ask();
    health_file(&lab, "rs1", true);
    wait_for_alive(&director, 80, &[]);
    clients[0].1.wait_for_page("rs1");
    // Its connections waited for it, as in the kernel.
    removed.is_answered();

    // MISC_CHECK: the script says how much the server is to get, or nothing.
    let weights =
        |first: u8| [format!("10.0.10.83:82 Route {first}"), "10.0.10.84:82 Route 1".into()];
    for (exit, weight) in [(7, 5), (1, 0), (0, 1)] {
        verdicts.set("rs1", exit);
        let servers = weights(weight);
        wait_for_pool(&director, "-t 10.0.10.100:82", &[&servers[0], &servers[1]]);
        clients[1].1.wait_for(SOME);
        if weight == 0 {
            let drained_at = Instant::now();
            clients[1].1.wait_for(SOME);
            let visits = clients[1].1.so_far();
            let late = visits.iter().filter(|visit| visit.began > drained_at);
            assert!(late.clone().count() >= SOME / 2);
            assert!(late.clone().all(|visit| visit.page == Ok("rs2".to_owned())), "{visits:#?}");
        }
        drained.goes_on();
    }
    assert_eq!(keepalived.daemon.count("IPVS"), 0, "{}", keepalived.daemon.messages());

    removed.goes_on();
    others.into_iter().for_each(|mut other| other.goes_on());
    for (port, visits) in clients {
        let what = format!("port {port}, a server that is ill");
        assert!(explain(&what, &visits.stop(), std::slice::from_ref(&removal)) <= 1);
    }
}

/// Answers to the kernel's pings, and ICMP errors about what it sends, come by the director.
#[test]
fn servers_leave_by_ping_and_by_icmp_errors() {
    let lab = lab();
    let director = Director::start(&lab, &config());
    let check = |name: &'static str| {
        move |_| {
            // Nobody who answers in time is taken for dead.
            format!("        {name} {{\n            connect_timeout 2\n        }}")
        }
    };
    let text = service(80, "", check("PING_CHECK"))
        + &service(53, "", check("UDP_CHECK")).replace("protocol TCP", "protocol UDP");
    let servers = ["rs1", "rs2"].map(|host| UdpEcho::start(&lab, host, 53));
    let _keepalived = Keepalived::checking(&lab, &text);
    let wait_for_udp = |gone: &[&str]| {
        let servers = alive(53, gone);
        let servers: Vec<&str> = servers.iter().map(String::as_str).collect();
        wait_for_pool(&director, "-u 10.0.10.100:53", &servers);
    };
    wait_for_alive(&director, 80, &[]);
    wait_for_udp(&[]);

    let [first, _second] = servers;
    drop(first);
    wait_for_udp(&SERVERS[..1]);
    let _again = UdpEcho::start(&lab, "rs1", 53);
    wait_for_udp(&[]);
    wait_for_alive(&director, 80, &[]);

    lab.sh("lab_run rs1 ip link set eth0 down");
    wait_for_alive(&director, 80, &SERVERS[..1]);
    lab.sh("lab_run rs1 ip link set eth0 up");
    wait_for_alive(&director, 80, &[]);
}
