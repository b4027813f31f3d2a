//! From a request's words to its answer.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use lb_core::control::Control;
use lb_core::ipvsadm::{self, Command, Reply};

use super::marks;
use super::protocol::Answer;
use super::status::{self, About};
use super::switches;
use crate::kernel::KernelInterfaces;
use crate::lock::lock;
use crate::names::SystemNames;
use crate::neighbourhood::Neighbourhood;
use crate::ports::Ports;

/// What requests can reach.
#[derive(Debug)]
pub struct Commands {
    pub control: Arc<Mutex<Control>>,
    pub ports: Arc<Ports>,
    pub kernel: Arc<KernelInterfaces>,
    pub neighbourhood: Arc<Neighbourhood>,
    pub about: About,
    pub names: SystemNames,
}

/// Words of `sluicectl` and what they do: the one list behind parsing, help and docs.
pub const SUBCOMMANDS: &[(&str, &str)] = &[
    ("status", "what the director is, and how full and busy"),
    ("ports", "ports with their devices, links and counters"),
    ("neigh", "real servers and gateways on the link: addresses and how sure they are"),
    ("vip", "addresses of the director: list, add ADDRESS, withdraw ADDRESS"),
    ("get", "switches of the connection handling, or the one that is named"),
    ("set", "changes a switch: NAME VALUE"),
    ("marks", "rules that mark packets: iptables' own words, save, restore, intercept"),
    ("drops", "packets dropped, by reason (--all: also reasons that never occurred)"),
];

impl Commands {
    /// Whether a request is followed by input.
    pub fn reads_input(words: &[String]) -> bool {
        match words.split_first() {
            Some((first, rest)) if first == "marks" => marks::reads_input(rest),
            _ => is_ipvsadm(words) && ipvsadm::reads_input(words),
        }
    }

    /// Runs a request. Changes are not visible to workers before [`Commands::publish`].
    pub fn run(&self, words: &[String], input: &[u8]) -> Answer {
        if is_ipvsadm(words) {
            return self.run_ipvsadm(words, input);
        }
        if let Some((_, words)) = words.split_first().filter(|(first, _)| *first == "marks") {
            return marks::run(&self.control, &self.names, words, input);
        }
        match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["status"] => Answer::printing(status::status(self)),
            ["ports"] => Answer::printing(status::ports(self)),
            ["neigh"] => Answer::printing(status::neighbours(&lock(&self.control))),
            ["drops"] => Answer::printing(status::drops(&lock(&self.control), false)),
            ["drops", "--all"] => Answer::printing(status::drops(&lock(&self.control), true)),
            ["vip"] | ["vip", "list"] => Answer::printing(status::addresses(&lock(&self.control))),
            ["vip", "add", address] => self.set_owned(address, true),
            ["vip", "withdraw", address] => self.set_owned(address, false),
            ["get"] => Answer::printing(switches::list(lock(&self.control).settings())),
            ["get", name] => answer(switches::show(lock(&self.control).settings(), name)),
            ["set", name, value] => answer(switches::set(&mut lock(&self.control), name, value)),
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

    /// Takes an address, or gives it up. What is so already is no mistake: notify scripts repeat
    /// themselves.
    fn set_owned(&self, address: &str, is_owned: bool) -> Answer {
        let Ok(address) = address.parse::<IpAddr>() else {
            return Answer::refusing(
                2,
                &format!("sluiced: `{address}' is no IP address; write for example 10.0.10.100"),
            );
        };
        match lock(&self.control).set_owned(address, is_owned) {
            Ok(_) => Answer::printing(String::new()),
            Err(problem) => Answer::refusing(2, &format!("sluiced: {problem}")),
        }
    }

    /// Makes what was changed visible to the workers, and has new neighbours asked for at once.
    pub fn publish(&self) {
        lock(&self.control).publish();
        self.neighbourhood.wake();
    }
}

fn answer(result: Result<String, String>) -> Answer {
    match result {
        Ok(text) => Answer::printing(text),
        Err(problem) => Answer::refusing(2, &format!("sluiced: {problem}")),
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
