//! Two directors, each with a keepalived that does both: VRRP for the address, checks for the
//! table. The configuration is `configs/keepalived-lvs.conf`.

use std::time::Duration;

use super::{Keepalived, SOME, vip, wait_for_pool};
use crate::daemons::{neighbour, owns, pair, start_member_with, wait_for_owner};
use crate::support::config::Config;
use crate::support::daemon::file_of;
use crate::support::director::{Director, program, socket_in};
use crate::support::lab::{Lab, eventually};
use crate::support::visits::{Excuse, Visit, Visits, explain};

const CONF: &str = include_str!("../../../configs/keepalived-lvs.conf");

/// Begins keepalived beside a director, and waits until that has both servers.
fn start<'lab>(lab: &'lab Lab, host: &str, director: &Director<'_>) -> Keepalived<'lab> {
    let mut text = CONF.to_owned();
    for name in ["sluicectl", "sluiceadm"] {
        let socket = socket_in(lab, host);
        let here = format!("{} --socket {}", program(name).display(), socket.display());
        text = text.replace(&format!("/usr/local/sbin/{name}"), &here);
    }
    let priority = if host == "backup" { 100 } else { 150 };
    for (old, new) in [
        ("priority 150", format!("priority {priority}")),
        ("router_id director1", format!("router_id {host}")),
        ("delay_loop 5", "delay_loop 1".to_owned()),
    ] {
        assert!(text.contains(old), "{old}");
        text = text.replace(old, &new);
    }
    let keepalived = Keepalived::start(lab, host, &text, "");
    let both = ["10.0.10.83:80 Route 1", "10.0.10.84:80 Route 1"];
    wait_for_pool(director, "-t 10.0.10.100:80", &both);
    keepalived
}

fn member<'lab>(lab: &'lab Lab, host: &str) -> Director<'lab> {
    start_member_with(lab, host, Config::one_port())
}

/// Waits until the client goes by way of a director, which has the address, and gets its pages.
fn wait_for_way(lab: &Lab, visits: &Visits, director: &Director<'_>, mac: &str) {
    wait_for_owner(director);
    eventually(Duration::from_secs(30), "the client knows the way", || {
        (neighbour(lab) == mac).then_some(())
    });
    visits.wait_for(1);
}

fn wait_until_given_up(director: &Director<'_>) {
    eventually(Duration::from_secs(30), "it gives the address up", || {
        (!owns(director)).then_some(())
    });
}

/// Where its processes write their ids.
const FILES: [&str; 3] = ["keepalived.pid", "checkers.pid", "vrrp.pid"];

/// The processes of a host's keepalived: the parent, then its children.
fn pids(lab: &Lab, host: &str) -> [String; 3] {
    FILES.map(|file| {
        let text = std::fs::read_to_string(file_of(lab, host, file)).expect("it writes them");
        text.trim().to_owned()
    })
}

/// Kills the parent; its children hear of that and end in order. All are gone then.
fn kill_parent(lab: &Lab, host: &str) {
    let pids = pids(lab, host);
    lab.sh(&format!("kill -KILL {}", pids[0]));
    forget(lab, host, &pids);
}

/// Kills all processes at once. They are stopped before, or the children would end in order.
fn kill_all(lab: &Lab, host: &str) {
    let pids = pids(lab, host);
    lab.sh(&format!("kill -STOP {}", pids.join(" ")));
    lab.sh(&format!("kill -KILL {}", pids.join(" ")));
    forget(lab, host, &pids);
}

/// Waits until they have ended, and takes their files away: the next keepalived would not start
/// while one of them is a zombie that nobody has waited for yet.
fn forget(lab: &Lab, host: &str, pids: &[String; 3]) {
    pids.iter().for_each(|pid| lab.sh(&format!("lab_wait 20 lab_gone {pid}")));
    for file in FILES {
        // One that ended in order has taken its own away.
        let _was_there = std::fs::remove_file(file_of(lab, host, file));
    }
}

/// Moments in which requests may fail.
struct Moments<'a> {
    visits: &'a Visits,
    excuses: Vec<Excuse>,
}

impl Moments<'_> {
    /// Does what is not without harm, waits until clients are served again, and says how many were
    /// not.
    fn pass(&mut self, what: &str, work: impl FnOnce()) {
        let excuse = Excuse::during(None, work);
        self.visits.wait_for(SOME);
        let is_lost = |visit: &&Visit| {
            visit.page.is_err() && visit.began >= excuse.from && visit.began <= excuse.to
        };
        let lost = self.visits.so_far().iter().filter(is_lost).count();
        println!("{what}: {lost} requests lost, over after {:.1?}", excuse.to - excuse.from);
        self.excuses.push(excuse);
    }
}

#[test]
fn clients_go_on_when_a_keepalived_or_a_director_is_killed() {
    let lab = pair();
    let mut first = member(&lab, "director");
    let second = member(&lab, "backup");
    let macs = [lab.mac("director", "dir0"), lab.mac("backup", "dir0")];
    let _keepalived = start(&lab, "director", &first);
    wait_for_owner(&first);
    let other = start(&lab, "backup", &second);
    other.daemon.wait_for("Entering BACKUP STATE");
    // Nobody is asked where requests went: one of the two directors may be dead.
    let visits = Visits::start(&lab, "client", vip(80), &lab.dir().join("nobody"));
    wait_for_way(&lab, &visits, &first, &macs[0]);
    visits.wait_for(SOME);
    assert!(!owns(&second));
    let mut moments = Moments { visits: &visits, excuses: Vec::new() };

    moments.pass("keepalived of the master is killed", || {
        kill_parent(&lab, "director");
        wait_for_way(&lab, &visits, &second, &macs[1]);
    });
    let back = || {
        let keepalived = start(&lab, "director", &first);
        wait_for_way(&lab, &visits, &first, &macs[0]);
        wait_until_given_up(&second);
        keepalived
    };
    let mut keepalived = None;
    moments.pass("it is back", || keepalived = Some(back()));

    // Nobody takes the address from a director whose keepalived had no time to. The clients hear
    // who has it now.
    moments.pass("all of it is killed at once", || {
        kill_all(&lab, "director");
        wait_for_way(&lab, &visits, &second, &macs[1]);
    });
    assert!(owns(&first));
    moments.pass("it is back again", || keepalived = Some(back()));

    moments.pass("the master's director is killed", || {
        let _status = first.signal("KILL");
        wait_for_way(&lab, &visits, &second, &macs[1]);
    });
    // A director without services is not master, whatever its priority.
    let keepalived = keepalived.expect("it was started above");
    drop(first);
    let first = member(&lab, "director");
    keepalived.daemon.wait_for("Script `director_has_service` now returning 1");
    visits.wait_for(4 * SOME);
    assert_eq!(first.adm("-Sn"), "");
    assert!(owns(&second) && !owns(&first), "{}", keepalived.daemon.messages());
    keepalived.stop();
    let mut keepalived = None;
    moments.pass("keepalived of the master is started anew", || {
        keepalived = Some(start(&lab, "director", &first));
        wait_for_way(&lab, &visits, &first, &macs[0]);
        wait_until_given_up(&second);
    });

    // The master's kernel has the address by VRRP, and so can say sorry.
    lab.sh("lab_nginx director sorry");
    moments.pass("both servers die", || {
        ["rs1", "rs2"].iter().for_each(|host| lab.sh(&format!("lab_stop {host}-nginx KILL")));
        wait_for_pool(&first, "-t 10.0.10.100:80", &["127.0.0.1:80 Route 1"]);
        visits.wait_for_page("sorry");
    });
    let excuses = moments.excuses;
    explain("two directors", &visits.stop(), &excuses);
}
