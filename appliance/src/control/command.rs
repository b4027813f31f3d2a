//! From a request to its answer.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use lb_core::control::Control;
use lb_core::ipvsadm::{self, Command, Reply};

use super::addresses::Addresses;
use super::asker::{Asker, Rights};
use super::drops::Drops;
use super::grammar::{CommandLine, Output, SettingAction, Verb, VipAction};
use super::marks;
use super::neighbours::NeighbourTable;
use super::ports::PortTable;
use super::protocol::Answer;
use super::report::answer;
use super::request::Request;
use super::routes::RouteTable;
use super::status::{About, Status};
use super::switches;
use super::sync::Synchronisation;
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

impl Commands {
    /// Runs a request. Changes are not visible to workers before [`Commands::publish`].
    pub fn run(&self, asker: &Asker, words: &[String], input: &[u8]) -> Answer {
        let request = match Request::read(words, input, &self.names) {
            Ok(request) => request,
            Err(answer) => return answer,
        };
        let wanted = if request.changes() { Rights::Change } else { Rights::Read };
        if let Err(refusal) = asker.check(wanted) {
            return Answer::refusing(2, &refusal);
        }
        match request {
            Request::Ipvsadm(command) => self.run_ipvsadm(&command, input),
            Request::Marks(request) => marks::run(&self.control, &self.names, &request),
            Request::Sluicectl(line) => self.run_sluicectl(line),
        }
    }

    /// ipvsadm's own command line. Names are looked up outside of the director's lock.
    fn run_ipvsadm(&self, command: &Command, input: &[u8]) -> Answer {
        let apply = |command: &Command| ipvsadm::apply(command, &mut *lock(&self.control));
        match command {
            Command::Restore => ipvsadm::restore(input, apply, &self.names).into(),
            _ => {
                let reply: Reply = apply(command);
                ipvsadm::print(command, reply, &self.names).into()
            }
        }
    }

    fn run_sluicectl(&self, CommandLine { verb, output, .. }: CommandLine) -> Answer {
        match verb {
            Verb::Status => answer(&Status::of(self), output),
            Verb::Ports => answer(&PortTable::of(self), output),
            Verb::Neigh => answer(&NeighbourTable::of(&lock(&self.control)), output),
            Verb::Routes => answer(&RouteTable::of(&lock(&self.control)), output),
            Verb::Drops { all } => answer(&Drops::of(&lock(&self.control), all), output),
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
            Verb::Exec { .. } => {
                Answer::refusing(2, "sluiced: exec: only sluicectl itself does that")
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
