//! `sluicectl marks`: the rules that mark packets, in iptables' words.

use std::sync::Mutex;

use lb_core::control::Control;
use lb_core::ipvsadm::Names;
use lb_core::marks::request::{self, Request};
use lb_core::marks::{MarkRules, MarksError, saved};
use lb_core::service::Family;
use serde::Serialize;

use super::grammar::Output;
use super::protocol::Answer;
use super::report::json;
use crate::lock::lock;

/// Whether a request, without the word `marks`, is followed by input.
pub fn reads_input(words: &[String]) -> bool {
    request::reads_input(words)
}

/// All rules, as the configuration has them: the JSON form of every listing.
#[derive(Debug, Serialize)]
struct Rules {
    rules: Vec<String>,
    rules6: Vec<String>,
    intercept: Vec<u32>,
}

/// Runs a request. Names are looked up outside of the director's lock.
pub fn run(
    control: &Mutex<Control>,
    names: &dyn Names,
    request: &Request,
    output: Output,
) -> Answer {
    let done = apply(&mut lock(control), request);
    match done {
        Ok(rules) if output.json && request.lists() => json(&all(&rules)),
        Ok(rules) => Answer::printing(request.print(&rules, names)),
        Err(problem) => refusal(&problem),
    }
}

fn all(rules: &MarkRules) -> Rules {
    let lines = |family| saved::lines(rules.chain(family), family);
    Rules {
        rules: lines(Family::V4),
        rules6: lines(Family::V6),
        intercept: rules.intercepted.clone(),
    }
}

/// The rules as they are after it; they are shared, not copied.
fn apply(control: &mut Control, request: &Request) -> Result<MarkRules, MarksError> {
    if request.changes() {
        control.change_marks(|rules, interfaces| request.apply(rules, interfaces))?;
        // Nothing is printed of them, and a second holder would make the next change copy them.
        return Ok(MarkRules::default());
    }
    let mut rules = control.mark_rules().clone();
    request.apply(&mut rules, control.interfaces())?;
    Ok(rules)
}

/// What is said where the rules do not allow it, or the words are none.
pub(super) fn refusal(problem: &MarksError) -> Answer {
    Answer::refusing(problem.exit(), &format!("sluiced: marks: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_core::control::Network;
    use lb_core::director::Limits;
    use lb_core::drops::DropReason;
    use lb_core::flow::{FlowTable, Storage};
    use lb_core::hash::FlowHasher;
    use lb_core::interface::{Interface, InterfaceId};
    use lb_core::ipvsadm::Numeric;
    use lb_core::parse::{Class, Packet};
    use lb_core::wire::MacAddress;

    fn control() -> Mutex<Control> {
        let hasher = FlowHasher::new([1, 2, 3]);
        let lan = Interface::new("lan0", InterfaceId(0), MacAddress([2; 6]), 1500);
        let limits = Limits { destinations_max: 1, datagrams_max: 1 };
        let network = Network { interfaces: vec![lan], ..Network::default() };
        let flows = FlowTable::new(1, Storage::leaked(1), hasher);
        Mutex::new(Control::new(flows, limits, 0, hasher, network))
    }

    fn ask(control: &Mutex<Control>, line: &str, input: &str) -> (i32, String, String) {
        let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
        assert_eq!(reads_input(&words), line.contains("restore"), "{line}");
        let answer = match request::request(&words, input.as_bytes(), &Numeric) {
            Ok(request) => run(control, &Numeric, &request, Output::default()),
            Err(problem) => refusal(&problem),
        };
        (answer.exit, answer.stdout, answer.stderr)
    }

    fn mark(control: &Mutex<Control>, port: u16) -> u32 {
        let mut packet = Packet::dropped(DropReason::FrameTooShort);
        packet.class = Class::Flow;
        packet.protocol = 6;
        packet.destination = std::net::Ipv4Addr::new(10, 0, 0, 1).into();
        packet.destination_port = port;
        lock(control).director().snapshot.load().mark(&packet)
    }

    #[test]
    fn every_listing_is_all_rules_in_json() {
        let control = control();
        for line in ["-A PREROUTING -d 10.0.0.1 -j MARK --set-mark 10", "intercept add 0xa"] {
            assert_eq!(ask(&control, line, "").0, 0, "{line}");
        }
        let wanted = serde_json::json!({
            "rules": ["-A PREROUTING -d 10.0.0.1/32 -j MARK --set-xmark 0xa/0xffffffff"],
            "rules6": [],
            "intercept": [10],
        });
        let output = Output { json: true, ..Output::default() };
        for words in [&["-L", "-n"][..], &["-S"], &["save"], &["intercept"], &["-6", "-L"]] {
            let request = request::request(words, b"", &Numeric).unwrap();
            let answer = run(&control, &Numeric, &request, output);
            let got: serde_json::Value = serde_json::from_str(&answer.stdout).unwrap();
            assert_eq!(got, wanted, "{words:?}");
        }
        let check = ["-C", "PREROUTING", "-d", "10.0.0.1", "-j", "MARK", "--set-mark", "10"];
        let request = request::request(&check, b"", &Numeric).unwrap();
        assert_eq!(run(&control, &Numeric, &request, output).stdout, "");
    }

    #[test]
    fn rules_are_asked_once_they_are_published() {
        let control = control();
        let done = (0, String::new(), String::new());
        let add = "-t mangle -A PREROUTING -i lan0 -d 10.0.0.1 -p tcp --dport 80 -j MARK \
                   --set-mark 10";
        assert_eq!(ask(&control, add, ""), done);
        assert_eq!(mark(&control, 80), 0);
        lock(&control).publish();
        assert_eq!((mark(&control, 80), mark(&control, 81)), (10, 0));
        assert!(!lock(&control).director().snapshot.load().marks.intercepts());
        assert_eq!(ask(&control, "intercept add 0xa", ""), done);
        assert_eq!(ask(&control, "intercept", "").1, "0xa\n");
        lock(&control).publish();
        assert!(lock(&control).director().snapshot.load().marks.is_intercepted(10));
        assert_eq!(ask(&control, "intercept delete 10", ""), done);
        assert_eq!(ask(&control, "intercept delete 10", "").0, 2);
        assert_eq!(ask(&control, "-F", ""), done);
        lock(&control).publish();
        assert_eq!(mark(&control, 80), 0);
    }

    #[test]
    fn what_is_refused_changes_nothing() {
        let control = control();
        ask(&control, "-A PREROUTING -p tcp -j ACCEPT", "");
        let saved = ask(&control, "save", "");
        let (exit, out, error) = ask(&control, "-A PREROUTING -i wan0 -j ACCEPT", "");
        assert_eq!((exit, out.as_str()), (2, ""));
        let expected =
            "sluiced: marks: interface `wan0' is none of the director's; there are lan0\n";
        assert_eq!(error, expected);
        assert_eq!(ask(&control, "-D PREROUTING 2", "").0, 1);
        let (exit, _, error) = ask(&control, "restore", "*mangle\n-A PREROUTING -p udp\n-A X\n");
        assert_eq!(exit, 1);
        assert!(error.starts_with("sluiced: marks: line 3: No chain"), "{error}");
        assert_eq!(ask(&control, "what", "").0, 2);
        assert_eq!(ask(&control, "save", ""), saved);
        assert_eq!(ask(&control, "-6 save", "").1, "*mangle\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n");
    }
}
