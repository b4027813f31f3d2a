//! The table of services as a whole: replaced while connections go on, and its figures.

use std::time::Duration;

use crate::support::config::Config;
use crate::support::director::{Director, program};
use crate::support::lab::{Lab, VIP, eventually};
use crate::support::sockets::{TcpServer, connect_echo, exchange};
use crate::support::tools::curl_pages;

#[test]
fn a_table_is_replaced_at_once_or_stays_and_connections_go_on() {
    let lab = Lab::one_segment();
    let _server = TcpServer::echo(&lab, "rs1", 7);
    let director =
        Director::start(&lab, &Config::one_port().with_service(7, "rr", &["10.0.10.83"]));
    let restore = |text: &str| {
        let file = lab.dir().join("rules");
        std::fs::write(&file, text).expect("the lab's folder can be written");
        let (adm, socket) = (program("sluiceadm"), director.socket());
        let line = format!("{} --socket {} -R --atomic", adm.display(), socket.display());
        lab.try_run("client", &format!("{line} < {}", file.display()))
    };
    let (mut connection, _) = connect_echo(&lab, 7, None);
    director.adm(&format!("-e -t {VIP}:7 -r 10.0.10.83 -g -x 100 -y 50"));
    let rules = format!("# the table\n-C\n{}", director.adm("-S -n --full"));
    assert!(rules.ends_with(&format!("-a -t {VIP}:7 -r 10.0.10.83:7 -g -w 1 -x 100 -y 50\n")));

    for round in 0..20 {
        let done = restore(&rules);
        assert!(done.status.success(), "{done:?}");
        exchange(&mut connection, &format!("round {round}"));
    }
    assert_eq!(director.drops("destination_removed"), 0);

    let before = director.adm("-S -n --full");
    let packets = || {
        let text = director.adm("-L -n --stats --exact");
        text.split_whitespace().rev().nth(3).and_then(|number| number.parse::<u64>().ok())
    };
    let packets_before = packets();
    assert!(packets_before.is_some_and(|number| number > 0), "{packets_before:?}");
    let refused = restore(&format!("{rules}-D -t {VIP}:7\n-a -t {VIP}:7 -r 10.0.10.84\n"));
    assert_eq!(refused.status.code(), Some(255));
    let message = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(message, "line 6: Service not defined\nNothing was changed.\n");
    let wrong = restore("-A -t nowhere\n-C\n-a\n");
    assert_eq!(wrong.status.code(), Some(2));
    let message = String::from_utf8_lossy(&wrong.stderr);
    assert!(message.starts_with("line 1: ") && message.contains("\nline 3: "), "{message}");
    assert_eq!(director.adm("-S -n --full"), before);
    // Not less; more it may be, as the client's last acknowledgement comes when it likes.
    assert!(packets() >= packets_before, "{:?} after {packets_before:?}", packets());
    exchange(&mut connection, "still there");
}

#[test]
fn rates_of_what_clients_do_are_listed() {
    let lab = Lab::one_segment().with_web();
    let director = Director::start(&lab, &Config::web("rr"));
    let packets_a_second = || {
        let text = director.adm("-Ln --rate");
        let line = text.lines().find(|line| line.starts_with("TCP")).expect("a service");
        line.split_whitespace().nth(3).and_then(|number| number.parse::<u64>().ok())
    };
    assert_eq!(packets_a_second(), Some(0));
    curl_pages(&lab, 20);
    let is_rate = || packets_a_second().filter(|&rate| rate > 0);
    let _rate = eventually(Duration::from_secs(10), "a rate above 0", is_rate);
}
