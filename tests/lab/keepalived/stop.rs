//! keepalived ends: what it leaves in the table. It begins: what it makes of a table that is there.

use super::{
    GLOBAL, Keepalived, SOME, command_line, config, lab, real_server, vip, virtual_server, visits,
};
use super::{pool, wait_for_pool};
use crate::support::director::Director;
use crate::support::lab::Lab;
use crate::support::visits::{Held, explain};

const SERVICE: &str = "-t 10.0.10.100:80";
const SERVERS: [&str; 2] = ["10.0.10.83:80 Route 1", "10.0.10.84:80 Route 1"];

/// Of somebody else.
const OTHER: &str = "-A -t 10.0.10.99:80 -s rr\n-a -t 10.0.10.99:80 -r 10.0.10.83:80 -g -w 1\n";

/// The configuration, with another line under `global_defs`.
fn text(global: &str) -> String {
    let servers = ["10.0.10.83 80", "10.0.10.84 80"].map(|end| real_server(end, "", 80)).concat();
    let global = GLOBAL.replace("script_user root", &format!("script_user root\n    {global}"));
    global + &virtual_server(80, "", &servers)
}

fn start<'lab>(lab: &'lab Lab, global: &str, options: &str) -> Keepalived<'lab> {
    Keepalived::start(lab, "director", &text(global), &format!("--check {options}"))
}

#[test]
fn what_keepalived_leaves_and_what_it_finds() {
    let lab = lab().with_web();
    let (file, socket) = (lab.dir().join("alone.conf"), lab.dir().join("nobody"));
    std::fs::write(&file, text("")).expect("the lab's folder is writable");
    // Without a director there is nothing to keep.
    let (starter, arguments) = command_line(&lab, "director", &socket, &file);
    let line = format!("PATH=$PATH:/usr/sbin timeout 20 {starter} keepalived {arguments}");
    let alone = lab.try_run("director", &line);
    assert_eq!(alone.status.code(), Some(1), "{alone:?}");
    let mut config = config();
    config.services = OTHER.lines().map(str::to_owned).collect();
    let director = Director::start(&lab, &config);
    let rules = || director.adm("-Sn");

    // It takes its own with it, and nothing else.
    let keepalived = start(&lab, "", "");
    wait_for_pool(&director, SERVICE, &SERVERS);
    keepalived.stop();
    assert_eq!(rules(), OTHER);

    let keepalived = start(&lab, "lvs_flush_on_stop VS", "");
    wait_for_pool(&director, SERVICE, &SERVERS);
    keepalived.stop();
    assert_eq!(rules(), OTHER);

    // What it leaves serves on, and the next one takes it over.
    let keepalived = start(&lab, "", "--dont-release-ipvs");
    wait_for_pool(&director, SERVICE, &SERVERS);
    let clients = visits(&lab, &director, 80);
    let mut held = Held::to(&lab, "client", vip(80), "rs1");
    clients.wait_for(SOME);
    keepalived.stop();
    assert_eq!(pool(&director, SERVICE), SERVERS);
    clients.wait_for(SOME);
    let figures = director.figures("10.0.10.84:80");
    director.adm(&format!("-e {SERVICE} -r 10.0.10.83 -g -w 2"));
    let keepalived = start(&lab, "", "");
    keepalived.daemon.wait_for("TCP connection to [10.0.10.84]:tcp:80 success");
    clients.wait_for(SOME);
    // It says so, and goes on.
    assert_eq!(keepalived.daemon.count("already exists"), 3, "{}", keepalived.daemon.messages());
    assert_eq!(pool(&director, SERVICE), ["10.0.10.83:80 Route 2", SERVERS[1]], "taken as it is");
    assert!(director.figures("10.0.10.84:80")[0] > figures[0]);
    held.goes_on();
    explain("a keepalived that leaves its services", &clients.stop(), &[]);
    keepalived.stop();
    assert_eq!(rules(), OTHER);

    // All of the table goes, at the beginning or at the end.
    let keepalived = start(&lab, "lvs_flush", "");
    wait_for_pool(&director, SERVICE, &SERVERS);
    assert!(!rules().contains("10.0.10.99"), "{}", rules());
    keepalived.stop();
    assert_eq!(rules(), "");
    OTHER.lines().for_each(|line| drop(director.adm(line)));
    let keepalived = start(&lab, "lvs_flush_on_stop", "");
    wait_for_pool(&director, SERVICE, &SERVERS);
    keepalived.stop();
    assert_eq!(rules(), "");
}
