//! `sluicectl doctor`: whether a machine has what a director needs, item by item.
//!
//! It talks to no director and needs no configuration; with one, what it asks for is looked at.

mod cores;
mod devices;
mod item;
mod memory;
mod processor;
mod rights;
#[cfg(test)]
mod tests;
mod words;

use std::path::Path;

use serde::Serialize;

use crate::assemble;
use crate::config::Config;
use crate::control::grammar::Output;
use crate::control::protocol::Answer;
use crate::control::report::{self, Report, Text, Tone};
use crate::line;
use crate::machine::{Cpus, Iommu, Machine, Nic, Pmds};
use crate::needs::Needs;

pub use item::{Item, Severity};
pub use words::DoctorWords;

/// Where the configuration is by custom.
pub const CONFIG: &str = "/etc/sluice/sluice.yaml";

/// What to do where huge pages are missing.
const RESERVE: &str = "sluicectl setup --apply";
/// What to do where a NIC has the wrong driver.
const BIND: &str = RESERVE;

/// All that was found.
#[derive(Clone, Debug, Serialize)]
pub struct Diagnosis {
    /// That of the worst item.
    pub severity: Severity,
    pub items: Vec<Item>,
}

impl Diagnosis {
    /// Looks at a machine, for a director with the configuration in a file; `None`: the one at its
    /// usual place, or none.
    pub fn of(machine: &Machine, config: Option<&Path>) -> Self {
        let usual = machine.path(CONFIG);
        let config = config.or_else(|| usual.exists().then_some(&*usual));
        let cpus = machine.cpus();
        let (mut items, config) = match config {
            None => (vec![Item::fine("configuration", format!("there is no {CONFIG} yet"))], None),
            Some(path) => configuration(path, machine, &cpus),
        };
        let subject = Subject {
            machine,
            needs: config.as_ref().map(Needs::of),
            workers: config.as_ref().map_or_else(Vec::new, |config| {
                assemble::worker_cpus(&config.workers, &cpus.allowed)
            }),
            nics: machine.nics(),
            pmds: machine.pmds(),
            iommu: machine.iommu(),
            is_running: machine.runs("sluiced"),
            cpus,
        };
        items.extend(processor::look(&subject));
        items.extend(memory::look(&subject));
        items.extend(devices::look(&subject));
        items.extend(cores::look(&subject));
        items.extend(rights::look(&subject));
        let severity = items.iter().map(|item| item.severity).max().unwrap_or(Severity::Fine);
        Self { severity, items }
    }
}

/// What the checks look at.
struct Subject<'a> {
    machine: &'a Machine,
    /// `None` without a configuration that can be read.
    needs: Option<Needs>,
    /// The CPUs of workers; empty without a configuration.
    workers: Vec<usize>,
    cpus: Cpus,
    nics: Vec<Nic>,
    pmds: Pmds,
    iommu: Iommu,
    /// Whether a director runs now, and has what would be free else.
    is_running: bool,
}

impl Subject<'_> {
    /// The NICs that the configuration names, of those that there are.
    fn dedicated(&self) -> impl Iterator<Item = &Nic> {
        let is_named = |nic: &&Nic| self.port_of(&nic.address).is_some();
        self.nics.iter().filter(is_named)
    }

    /// The port that a NIC is.
    fn port_of(&self, address: &str) -> Option<&str> {
        let nics = self.needs.as_ref().map_or(&[][..], |needs| &needs.nics);
        nics.iter().find(|(_, named)| named == address).map(|(port, _)| port.as_str())
    }

    /// How bad it is that something is missing without which a NIC cannot be had: nobody may want
    /// one.
    fn for_nics(&self) -> Severity {
        match &self.needs {
            None => Severity::Warning,
            Some(needs) => Severity::Error.or_fine(needs.nics.is_empty()),
        }
    }
}

fn configuration(path: &Path, machine: &Machine, cpus: &Cpus) -> (Vec<Item>, Option<Config>) {
    let name = "configuration";
    match assemble::load_for(path, machine, cpus.allowed.clone()) {
        Ok((config, _)) => {
            (vec![Item::fine(name, format!("{} is valid", path.display()))], Some(config))
        }
        Err(errors) => {
            let advice = format!(
                "correct it (sluiced --config {} --check); what it asks for was not looked at",
                path.display()
            );
            (vec![Item::error(name, errors.to_string(), advice)], None)
        }
    }
}

impl Report for Diagnosis {
    fn text(&self, out: &mut Text) {
        for item in &self.items {
            let tone = match item.severity {
                Severity::Fine => Tone::Good,
                Severity::Warning => Tone::Warning,
                Severity::Error => Tone::Bad,
            };
            let word = out.toned(tone, &format!("{:<8}", item.severity.name()));
            let mut lines = item.found.lines();
            line!(out, "{word}{}: {}", item.name, lines.next().unwrap_or_default());
            for more in lines {
                line!(out, "        {more}");
            }
            if let Some(advice) = &item.advice {
                line!(out, "        -> {advice}");
            }
        }
        let count = |severity| self.items.iter().filter(|it| it.severity == severity).count();
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let (of_errors, of_warnings) = (plural(errors), plural(warnings));
        line!(out, "{errors} error{of_errors}, {warnings} warning{of_warnings}");
    }
}

/// Does what the words ask for. The exit code is 0 where all is fine, 1 with warnings, 2 with
/// errors.
pub fn run(words: &DoctorWords, output: Output) -> Answer {
    let diagnosis = Diagnosis::of(&Machine::under(&words.root), words.config.as_deref());
    let exit = match diagnosis.severity {
        Severity::Fine => 0,
        Severity::Warning => 1,
        Severity::Error => 2,
    };
    Answer { exit, ..report::answer(&diagnosis, output) }
}
