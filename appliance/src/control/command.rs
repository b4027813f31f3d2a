//! From a request to its answer.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use lb_core::control::Control;
use lb_core::explain::Explainer;
use lb_core::ipvsadm::{self, Command, Reply};

use super::addresses::Addresses;
use super::asker::{Asker, Rights};
use super::audit::{Audit, Entries};
use super::budget::Budget;
use super::drain;
use super::drops::Drops;
use super::explain;
use super::flows;
use super::grammar::{CommandLine, Output, SettingAction, Verb, VipAction};
use super::marks;
use super::neighbours::NeighbourTable;
use super::permissions::Permissions;
use super::ports::PortTable;
use super::protocol::Answer;
use super::reload;
use super::report::answer;
use super::request::Request;
use super::routes::RouteTable;
use super::services;
use super::status::{About, Status};
use super::switches;
use super::sync::Synchronisation;
use crate::capture::stream::Session;
use crate::capture::tap::Taps;
use crate::housekeeping::Pulse;
use crate::kernel::KernelInterfaces;
use crate::lcore_counters::LcoreCounters;
use crate::live::Live;
use crate::lock::lock;
use crate::logging;
use crate::metrics::tally::{Ended, Tally};
use crate::names::SystemNames;
use crate::neighbourhood::Neighbourhood;
use crate::ports::Ports;
use crate::session_log::SessionTally;

/// What requests can reach.
#[derive(Debug)]
pub struct Commands {
    pub control: Arc<Mutex<Control>>,
    pub ports: Arc<Ports>,
    pub kernel: Arc<KernelInterfaces>,
    pub neighbourhood: Arc<Neighbourhood>,
    pub about: About,
    pub live: Live,
    pub names: SystemNames,
    pub permissions: Arc<Permissions>,
    pub audit: Arc<Audit>,
    pub budget: Budget,
    pub tally: Tally,
    pub pulse: Arc<Pulse>,
    pub explainer: Mutex<Explainer>,
    pub taps: Arc<Taps>,
    pub lcores: Arc<[LcoreCounters]>,
    pub sessions: Arc<SessionTally>,
}

impl Commands {
    /// Runs a request. Changes are not visible to workers before [`Commands::publish`]; what is to
    /// be written down about them stands in the entries then.
    pub fn run(
        &self,
        asker: &Asker,
        words: &[String],
        input: &[u8],
        entries: &mut Entries<'_>,
    ) -> Answer {
        let begin = Instant::now();
        let request = Request::read(words, input, &self.names);
        let verb = request.as_ref().map_or("unknown", Request::verb);
        let answer = match request {
            Ok(request) => self.run_request(asker, words, input, request, entries),
            Err(answer) => answer,
        };
        // 1 is how `diff` says that something differs.
        let good = answer.exit == 0 || verb == "diff" && answer.exit == 1;
        let took = begin.elapsed();
        log::debug!(target: logging::CONTROL, verb, exit = answer.exit, took:? = took,
            uid = asker.uid, pid = asker.pid; "request");
        self.tally.command(verb, Ended::well(good), took);
        answer
    }

    fn run_request(
        &self,
        asker: &Asker,
        words: &[String],
        input: &[u8],
        request: Request,
        entries: &mut Entries<'_>,
    ) -> Answer {
        let changes = request.changes();
        let wanted = if changes { Rights::Change } else { Rights::Read };
        if let Err(refusal) = asker.check(wanted) {
            let answer = Answer::refusing(2, &refusal);
            if changes {
                entries.add_refused(words, &answer);
            }
            return answer;
        }
        let answer = match request {
            Request::Ipvsadm(Command::Restore) => return self.restore(words, input, entries),
            Request::Ipvsadm(Command::RestoreAll) => self.restore_all(input),
            Request::Ipvsadm(command) => self.run_ipvsadm(&command),
            Request::Marks(request, output) => {
                marks::run(&self.control, &self.names, &request, output)
            }
            Request::Sluicectl(line) => self.run_sluicectl(line),
        };
        if changes {
            entries.add(words, Some(input).filter(|input| !input.is_empty()), &answer);
        }
        answer
    }

    /// Begins a capture, if that is what the words ask for.
    ///
    /// # Errors
    ///
    /// The answer that says why not.
    pub fn capture(
        &self,
        asker: &Asker,
        words: &[String],
        entries: &mut Entries<'_>,
    ) -> Option<Result<Session<'_>, Answer>> {
        // Other requests need not be read twice.
        words.iter().find(|word| *word == "capture")?;
        let Ok(Request::Sluicectl(CommandLine { verb: Verb::Capture(asked), .. })) =
            Request::read(words, &[], &self.names)
        else {
            return None;
        };
        if let Err(refusal) = asker.check(Rights::Change) {
            let answer = Answer::refusing(2, &refusal);
            entries.add_refused(words, &answer);
            return Some(Err(answer));
        }
        let begun = Session::begin(&asked, self);
        let success = Answer::default();
        entries.add(words, None, begun.as_ref().err().unwrap_or(&success));
        Some(begun)
    }

    /// ipvsadm's own command line. Names are looked up outside of the director's lock.
    fn run_ipvsadm(&self, command: &Command) -> Answer {
        ipvsadm::print(command, self.apply(command), &self.names).into()
    }

    fn apply(&self, command: &Command) -> Reply {
        ipvsadm::apply(command, &mut *lock(&self.control))
    }

    /// Each line is a change of its own.
    fn restore(&self, words: &[String], input: &[u8], entries: &mut Entries<'_>) -> Answer {
        let apply = |command: &Command| {
            let reply = self.apply(command);
            entries.add_line(words, command, &reply);
            reply
        };
        ipvsadm::restore(input, apply, &self.names).into()
    }

    /// All lines are one change.
    fn restore_all(&self, input: &[u8]) -> Answer {
        let apply_all = |commands: &[Command]| lock(&self.control).apply_all(commands);
        ipvsadm::restore_all(input, apply_all, &self.names).into()
    }

    fn run_sluicectl(&self, CommandLine { verb, output, .. }: CommandLine) -> Answer {
        match verb {
            Verb::Status => answer(&Status::of(self), output),
            Verb::Services { service } => {
                services::run(&lock(&self.control), service.as_ref(), output)
            }
            Verb::Flows { action, words } => flows::run(&self.control, action, &words, output),
            Verb::Explain(words) => explain::run(&self.control, &self.explainer, &words, output),
            Verb::Drain(words) => drain::run(&mut lock(&self.control), &words, output),
            Verb::Ports => answer(&PortTable::of(self), output),
            Verb::Neigh => answer(&NeighbourTable::of(&lock(&self.control)), output),
            Verb::Routes => answer(&RouteTable::of(&lock(&self.control)), output),
            Verb::Drops { all } => answer(&Drops::of(&lock(&self.control), all), output),
            Verb::Log { levels } => super::log::run(levels.as_ref(), output),
            Verb::Vips { action } => self.vips(action, output),
            Verb::Settings { action } => {
                switches::run(&mut lock(&self.control), action.as_ref(), output)
            }
            Verb::Get { name } => {
                let action = name.map(|name| SettingAction::Get { name });
                switches::run(&mut lock(&self.control), action.as_ref(), output)
            }
            Verb::Set { name, value } => {
                let action = SettingAction::Set { name, value };
                switches::run(&mut lock(&self.control), Some(&action), output)
            }
            Verb::Sync => answer(&Synchronisation::of(&lock(&self.control)), output),
            Verb::Reload(options) => reload::reload(self, options, output),
            Verb::Diff { file } => reload::diff(self, file.as_deref(), output),
            // Read by whoever can send more than an answer.
            Verb::Capture(_) => Answer::refusing(2, "sluiced: capture: not by this way"),
            Verb::Top(_)
            | Verb::Exec { .. }
            | Verb::Doctor(_)
            | Verb::Setup(_)
            | Verb::Manual { .. }
            | Verb::Completion { .. } => {
                Answer::refusing(2, "sluiced: only sluicectl itself does that")
            }
            // Read as a request of its own kind.
            Verb::Marks { .. } => Answer::refusing(2, "sluiced: marks: no such request"),
        }
    }

    fn vips(&self, action: Option<VipAction>, output: Output) -> Answer {
        match action {
            None | Some(VipAction::List) => answer(&Addresses::of(&lock(&self.control)), output),
            Some(VipAction::Add { address }) => self.set_owned(address, true),
            Some(VipAction::Withdraw { address }) => self.set_owned(address, false),
        }
    }

    /// Takes an address, or gives it up. What is so already is no mistake: notify scripts repeat
    /// themselves.
    fn set_owned(&self, address: IpAddr, is_owned: bool) -> Answer {
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
