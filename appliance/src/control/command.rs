//! From a request's words to its answer.

use std::sync::{Arc, Mutex};

use lb_core::control::Control;
use lb_core::ipvsadm::{self, Command, Reply};

use super::protocol::Answer;
use super::status::{self, About};
use crate::lock::lock;
use crate::names::SystemNames;
use crate::neighbourhood::Neighbourhood;
use crate::ports::Ports;

/// What requests can reach.
#[derive(Debug)]
pub struct Commands {
    pub control: Arc<Mutex<Control>>,
    pub ports: Arc<Ports>,
    pub neighbourhood: Arc<Neighbourhood>,
    pub about: About,
    pub names: SystemNames,
}

/// Words of `sluicectl` and what they do: the one list behind parsing, help and docs.
pub const SUBCOMMANDS: &[(&str, &str)] = &[
    ("status", "what the director is, and how full and busy"),
    ("ports", "ports with their devices, links and counters"),
    ("neigh", "real servers and gateways on the link: addresses and how sure they are"),
    ("drops", "packets dropped, by reason (--all: also reasons that never occurred)"),
];

impl Commands {
    /// Whether a request is followed by input.
    pub fn reads_input(words: &[String]) -> bool {
        is_ipvsadm(words) && ipvsadm::reads_input(words)
    }

    /// Runs a request. Changes are not visible to workers before [`Commands::publish`].
    pub fn run(&self, words: &[String], input: &[u8]) -> Answer {
        if is_ipvsadm(words) {
            return self.run_ipvsadm(words, input);
        }
        match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["status"] => Answer::printing(status::status(self)),
            ["ports"] => Answer::printing(status::ports(self)),
            ["neigh"] => Answer::printing(status::neighbours(&lock(&self.control))),
            ["drops"] => Answer::printing(status::drops(&lock(&self.control), false)),
            ["drops", "--all"] => Answer::printing(status::drops(&lock(&self.control), true)),
            _ => Answer::refusing(2, &unknown(&words.join(" "))),
        }
    }

    /// ipvsadm's own command line. Names are looked up outside of the director's lock.
    fn run_ipvsadm(&self, words: &[String], input: &[u8]) -> Answer {
        let outcome = match ipvsadm::parse(words, &self.names) {
            Ok(Command::Restore) => {
                ipvsadm::restore(input, |command| self.apply(command), &self.names)
            }
            Ok(command) => ipvsadm::print(&command, self.apply(&command), &self.names),
            Err(error) => ipvsadm::refusal(&error),
        };
        Answer { exit: outcome.exit, stdout: outcome.stdout, stderr: outcome.stderr }
    }

    fn apply(&self, command: &Command) -> Reply {
        ipvsadm::apply(command, &mut *lock(&self.control))
    }

    /// Makes what was changed visible to the workers, and has new neighbours asked for at once.
    pub fn publish(&self) {
        lock(&self.control).publish();
        self.neighbourhood.wake();
    }
}

/// An ipvsadm command line begins with an option; so do all of `ipvsadm-save`'s lines.
fn is_ipvsadm(words: &[String]) -> bool {
    words.first().is_some_and(|word| word.starts_with('-'))
}

fn unknown(request: &str) -> String {
    let known: Vec<_> = SUBCOMMANDS.iter().map(|(word, _)| *word).collect();
    format!(
        "sluiced: `{request}' is no command; there are {}, and ipvsadm's, which begin with `-'",
        known.join(", ")
    )
}
