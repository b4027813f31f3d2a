//! Services that want a number of real servers, and what stands in for them.

use super::wait_for_pool;
use std::path::Path;
use std::time::Duration;

use super::{Keepalived, SOME, Verdicts, config, lab, script_file, virtual_server, visits};
use crate::support::director::Director;
use crate::support::lab::{Lab, VIP, eventually};
use crate::support::visits::{Excuse, explain};

const SERVICE: &str = "-t 10.0.10.100:80";
const SORRY: &str = "127.0.0.1:80 Route 1";

/// Three web servers, and one on the director itself that says sorry.
fn lab_with_sorry() -> Lab {
    let lab = lab().with_web();
    lab.sh(&format!("lab_real_server rs3 lan 10.0.10.85/24 - {VIP}"));
    lab.sh("lab_nginx rs3 rs3");
    lab.sh(&format!("lab_run director ip addr add {VIP}/32 dev lo"));
    lab.sh("lab_nginx director sorry");
    lab
}

/// The lines of the real servers with these last digits.
fn servers(numbers: &[u8]) -> Vec<String> {
    numbers.iter().map(|number| format!("10.0.10.{number}:80 Route 1")).collect()
}

/// Three servers with a verdict each, all well; scripts that note what becomes of the quorum.
fn service(lab: &Lab, verdicts: &Verdicts, notes: &Path) -> String {
    let script = lab.dir().join("note");
    script_file(lab, &script, &format!("echo \"$1\" >>{}\n", notes.display()));
    let script = script.display();
    let keys = format!(
        "    quorum 2\n    hysteresis 1\n    quorum_up \"{script} up\"\n    \
         quorum_down \"{script} down\"\n    sorry_server 127.0.0.1 80\n"
    );
    let server = |number: u8| {
        let name = format!("rs{number}");
        verdicts.set(&name, 0);
        let check = verdicts.check(&name);
        format!("    real_server 10.0.10.{number} 80 {{\n        weight 1\n{check}\n    }}\n")
    };
    virtual_server(80, &keys, &[83, 84, 85].map(server).concat())
}

/// With a quorum of 2 and a hysteresis of 1 a service goes down with less than 1 server, and comes
/// up with 3.
#[test]
fn the_director_itself_says_sorry_until_enough_servers_are_back() {
    let lab = lab_with_sorry();
    let (verdicts, notes) = (Verdicts::new(&lab), lab.dir().join("notes"));
    let text = service(&lab, &verdicts, &notes);
    let noted = || std::fs::read_to_string(&notes).unwrap_or_default();
    let wait_for_notes = |lines: &str| {
        let what = format!("{lines:?} by the scripts");
        eventually(Duration::from_secs(20), &what, || (noted() == lines).then_some(()));
    };
    let director = Director::start(&lab, &config());
    let keepalived = Keepalived::checking(&lab, &text);
    let wait_for = |lines: &[String]| {
        wait_for_pool(&director, SERVICE, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    };
    wait_for(&servers(&[83, 84, 85]));
    wait_for_notes("up\n");
    let clients = visits(&lab, &director, 80);
    let mut excuses = Vec::new();
    // A request that runs while its server is removed is lost; one that comes while there is none,
    // too: keepalived changes one server at a time.
    let mut changes = |change: &dyn Fn()| {
        let moment = Excuse::during(None, change);
        // The director itself is one of those that are removed: when the others are back.
        for server in ["10.0.10.83:80", "10.0.10.84:80", "10.0.10.85:80", "127.0.0.1:80"] {
            excuses.push(Excuse { server: Some(server.to_owned()), ..moment.clone() });
        }
        excuses.push(moment);
    };

    for (ill, left) in [(83, vec![84, 85]), (84, vec![85])] {
        changes(&|| {
            verdicts.set(&format!("rs{ill}"), 1);
            wait_for(&servers(&left));
        });
        clients.wait_for(SOME);
    }
    assert_eq!(noted(), "up\n", "one server is enough to stay up");
    changes(&|| {
        verdicts.set("rs85", 1);
        wait_for(&[SORRY.to_owned()]);
    });
    wait_for_notes("up\ndown\n");
    clients.wait_for_page("sorry");

    for well in [84, 83] {
        let checked = format!("Misc check for [[10.0.10.{well}]:tcp:80");
        let count = keepalived.daemon.count(&checked);
        verdicts.set(&format!("rs{well}"), 0);
        keepalived.daemon.wait_for_more(&checked, count);
        clients.wait_for(SOME);
        wait_for(&[SORRY.to_owned()]);
    }
    assert_eq!(noted(), "up\ndown\n", "two servers are not enough to come up");
    changes(&|| {
        verdicts.set("rs85", 0);
        wait_for(&servers(&[83, 84, 85]));
    });
    wait_for_notes("up\ndown\nup\n");
    for page in ["rs1", "rs2", "rs3"] {
        clients.wait_for_page(page);
    }
    let visits = clients.stop();
    // Few, as each moment is a short one.
    assert!(explain("a service with a quorum", &visits, &excuses) <= 6);
    assert!(visits.iter().filter(|visit| visit.page == Ok("sorry".to_owned())).count() > SOME);
}
