//! `sluicectl drain`: real servers that are to lose their connections, and what is left of them.

use std::net::IpAddr;

use lb_core::control::{Control, DrainRow};
use serde::{Deserialize, Serialize};

use super::grammar::{DrainWords, Output};
use super::protocol::Answer;
use super::report::{Report, Text, Tone, answer};
use crate::line;

/// A real server at all services that have it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Drain {
    /// All of its weights are 0.
    pub drained: bool,
    /// Nothing is left, and nothing new comes.
    pub empty: bool,
    pub active: u64,
    pub inactive: u64,
    pub persistent: u64,
    servers: Vec<DrainLine>,
}

#[derive(Debug, Serialize, Deserialize)]
struct DrainLine {
    service: String,
    address: IpAddr,
    port: u16,
    weight: i32,
    /// What `drain --undo` restores; null where it never had a weight.
    last_weight: Option<u32>,
    /// It was removed from the service, which keeps its connections.
    removed: bool,
    active: u32,
    inactive: u32,
    persistent: u32,
}

/// Runs the verb, but for the waiting, which the program does.
pub fn run(control: &mut Control, words: &DrainWords, output: Output) -> Answer {
    let (server, service) = (&words.server, words.service.as_ref());
    let done = match words {
        DrainWords { look: true, .. } => control.draining(server, service),
        DrainWords { undo: true, .. } => control.undrain(server, service),
        _ => control.drain(server, service),
    };
    match done {
        Ok(rows) => {
            let ignores_templates = control.settings().expire_quiescent_template;
            answer(&Drain::of(&rows, ignores_templates), output)
        }
        Err(problem) => Answer::refusing(2, &format!("sluiced: drain: {problem}")),
    }
}

impl Drain {
    /// With `ignores_templates` persistence leads to no server of weight 0.
    fn of(rows: &[DrainRow], ignores_templates: bool) -> Self {
        let sum = |figure: fn(&DrainRow) -> u32| rows.iter().map(figure).map(u64::from).sum();
        let (active, inactive): (u64, u64) = (sum(|row| row.active), sum(|row| row.inactive));
        let persistent: u64 = sum(|row| row.persistent);
        let drained = rows.iter().all(|row| row.weight == 0);
        let is_left = active + inactive > 0 || persistent > 0 && !ignores_templates;
        let servers = rows.iter().map(|row| DrainLine {
            service: row.service.to_string(),
            address: row.address,
            port: row.port,
            weight: row.weight,
            last_weight: (row.last_weight != 0).then_some(row.last_weight),
            removed: row.is_removed,
            active: row.active,
            inactive: row.inactive,
            persistent: row.persistent,
        });
        let servers = servers.collect();
        Self { drained, empty: drained && !is_left, active, inactive, persistent, servers }
    }
}

impl Report for Drain {
    fn text(&self, out: &mut Text) {
        for it in &self.servers {
            let end = std::net::SocketAddr::new(it.address, it.port);
            let note = match (it.weight, it.last_weight) {
                _ if it.removed => format!(" {}", out.toned(Tone::Warning, "removed")),
                (0, Some(last)) => format!(" was {last}"),
                _ => String::new(),
            };
            let DrainLine { service, weight, active, inactive, persistent, .. } = it;
            line!(
                out,
                "{end} at {service} weight {weight}{note} active {active} inactive {inactive} \
                 persistent {persistent}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::bench::control;
    use crate::control::grammar::{CommandLine, Verb};

    fn ask(control: &mut Control, line: &str) -> Answer {
        let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
        let line = CommandLine::of_words(&words).unwrap();
        let Verb::Drain(words) = line.verb else { panic!() };
        run(control, &words, line.output)
    }

    #[test]
    fn a_drained_server_says_what_it_was_and_gets_it_back() {
        let mut control = control(&[
            "-A -t 10.0.0.100:80",
            "-a -t 10.0.0.100:80 -r 10.0.0.11 -g -w 3",
            "-A -u 10.0.0.100:53",
            "-a -u 10.0.0.100:53 -r 10.0.0.11 -g -w 0",
        ]);
        let drained = "10.0.0.11:80 at tcp:10.0.0.100:80 weight 0 was 3 active 0 inactive 0 \
                       persistent 0\n10.0.0.11:53 at udp:10.0.0.100:53 weight 0 active 0 \
                       inactive 0 persistent 0\n";
        assert_eq!(ask(&mut control, "drain 10.0.0.11").stdout, drained);
        assert_eq!(ask(&mut control, "drain 10.0.0.11 --look").stdout, drained);
        let json = ask(&mut control, "drain 10.0.0.11 --look --json").stdout;
        let state: Drain = serde_json::from_str(&json).unwrap();
        assert!(state.drained && state.empty);
        let undone = ask(&mut control, "drain 10.0.0.11:80 --undo").stdout;
        assert!(
            undone.starts_with("10.0.0.11:80 at tcp:10.0.0.100:80 weight 3 active"),
            "{undone}"
        );
        let refused = ask(&mut control, "drain 10.0.0.12");
        assert_eq!(
            (refused.exit, refused.stderr.as_str()),
            (2, "sluiced: drain: 10.0.0.12 is a real server of no service\n")
        );
    }

    #[test]
    fn templates_keep_a_server_from_being_empty_unless_they_lead_nowhere() {
        let row = DrainRow {
            service: "fwm:7".parse().unwrap(),
            address: [10, 0, 0, 11].into(),
            port: 80,
            weight: 0,
            last_weight: 1,
            is_removed: false,
            active: 0,
            inactive: 0,
            persistent: 2,
        };
        assert!(!Drain::of(&[row], false).empty);
        assert!(Drain::of(&[row], true).empty);
        assert!(!Drain::of(&[DrainRow { inactive: 1, ..row }], true).empty);
        let busy = DrainRow { weight: 1, persistent: 0, ..row };
        let state = Drain::of(&[row, busy], true);
        assert!(!state.drained && !state.empty);
    }
}
