//! `sluicectl setup`: makes a machine ready for its configuration, and remembers how it was.
//!
//! 1. `plan` compares what the configuration needs, and what is remembered, with the machine
//! 2. `guard` says which NICs the machine itself is reached by
//! 3. `apply` does the steps, one after the other; `remembered` is written with each

mod apply;
mod guard;
mod kernel;
mod plan;
mod remembered;
mod step;
#[cfg(test)]
mod tests;
mod words;

use std::path::Path;

use serde::Serialize;

use crate::assemble;
use crate::control::grammar::Output;
use crate::control::protocol::Answer;
use crate::control::report::{self, Report, Text, Tone};
use crate::doctor::CONFIG;
use crate::line;
use crate::machine::Machine;
use crate::needs::Needs;
use apply::Hands;
use plan::{Plan, Planner, Wishes};

pub use kernel::Kernel;
pub use remembered::{FILE, MemoryError, Remembered, ReservedPages, TakenNic};
pub use words::SetupWords;

/// What there is to do, or was done.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Outcome {
    pub steps: Vec<StepLine>,
    /// What to know about them.
    pub notes: Vec<String>,
    /// What is not done, and why.
    pub refused: Vec<String>,
    /// Whether steps were only planned.
    #[serde(skip)]
    is_plan: bool,
}

/// One step.
#[derive(Clone, Debug, Serialize)]
pub struct StepLine {
    pub step: String,
    pub state: State,
    /// Why it failed.
    pub problem: Option<String>,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Planned,
    Done,
    Failed,
    /// One before it failed.
    Skipped,
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::Planned => "to do",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

impl Outcome {
    fn has(&self, state: State) -> bool {
        self.steps.iter().any(|line| line.state == state)
    }

    /// 0: nothing is left to do; 1: there are steps to do; 2: something is refused or has failed.
    fn exit(&self) -> i32 {
        if !self.refused.is_empty() || self.has(State::Failed) {
            2
        } else {
            i32::from(self.has(State::Planned))
        }
    }
}

impl Report for Outcome {
    fn text(&self, out: &mut Text) {
        for StepLine { step, state, problem } in &self.steps {
            let tone = match state {
                State::Done => Tone::Good,
                State::Failed => Tone::Bad,
                State::Planned | State::Skipped => Tone::Warning,
            };
            let word = out.toned(tone, &format!("{:<8}", state.name()));
            line!(out, "{word}{step}");
            if let Some(problem) = problem {
                line!(out, "        {problem}");
            }
        }
        for refused in &self.refused {
            let word = out.toned(Tone::Bad, "refused ");
            line!(out, "{word}{refused}");
        }
        for note in &self.notes {
            let word = out.toned(Tone::Warning, "note    ");
            line!(out, "{word}{note}");
        }
        if self.steps.is_empty() && self.refused.is_empty() {
            line!(out, "nothing to do");
        } else if self.is_plan && self.refused.is_empty() {
            line!(out, "nothing was done: sluicectl setup --apply does it");
        } else if self.is_plan {
            line!(out, "nothing was done");
        }
    }
}

/// Does what the words ask for.
pub fn run(words: &SetupWords, output: Output) -> Answer {
    let machine = Machine::under(&words.root);
    let ssh_connection = std::env::var("SSH_CONNECTION").ok();
    match carry_out(words, &machine, &machine, ssh_connection.as_deref()) {
        Ok(outcome) => Answer { exit: outcome.exit(), ..report::answer(&outcome, output) },
        Err(problem) => Answer::refusing(2, &format!("sluicectl: setup: {problem}")),
    }
}

/// The same with another hand on the kernel.
fn carry_out(
    words: &SetupWords,
    machine: &Machine,
    kernel: &dyn Kernel,
    ssh_connection: Option<&str>,
) -> Result<Outcome, MemoryError> {
    let mut remembered = Remembered::read(machine)?;
    if words.undo {
        let plan = plan::undo(machine, &remembered, words.force);
        let outcome = work(plan, machine, kernel, &mut remembered, false)?;
        if outcome.exit() == 0 {
            Remembered::default().write(machine)?;
        }
        return Ok(outcome);
    }
    let mut wishes = Wishes::of_memory(&remembered);
    let mut wrong = None;
    if !words.restore || words.auto {
        match needs(words, machine) {
            Ok(needs) => wishes.add(&needs, machine, words.force),
            Err(problem) => wrong = Some(problem),
        }
    }
    let mut plan = Planner::new(machine, &remembered, ssh_connection).plan(&wishes);
    plan.refused.extend(wrong);
    if words.restore {
        // Nobody is there to do the rest by hand.
        return work(plan, machine, kernel, &mut remembered, true);
    }
    if words.apply && plan.refused.is_empty() {
        let kept = std::mem::take(&mut plan.kept);
        let outcome = work(plan, machine, kernel, &mut remembered, false)?;
        if outcome.exit() == 0 {
            remembered.nics.extend(kept.nics);
            remembered.hugepages.extend(kept.hugepages);
            remembered.write(machine)?;
        }
        return Ok(outcome);
    }
    let steps = plan.steps.iter().map(|step| StepLine {
        step: step.to_string(),
        state: State::Planned,
        problem: None,
    });
    Ok(Outcome { steps: steps.collect(), notes: plan.notes, refused: plan.refused, is_plan: true })
}

fn needs(words: &SetupWords, machine: &Machine) -> Result<Needs, String> {
    let usual = machine.path(CONFIG);
    let path: &Path = words.config.as_deref().unwrap_or(&usual);
    let loaded = assemble::load_for(path, machine, machine.cpus().allowed);
    loaded.map(|(config, _)| Needs::of(&config)).map_err(|errors| errors.to_string())
}

/// Does the steps; after one that failed goes on only where that is wanted.
fn work(
    plan: Plan,
    machine: &Machine,
    kernel: &dyn Kernel,
    remembered: &mut Remembered,
    goes_on: bool,
) -> Result<Outcome, MemoryError> {
    let mut outcome = Outcome { notes: plan.notes, refused: plan.refused, ..Outcome::default() };
    let mut hands = Hands { machine, kernel, remembered };
    for step in &plan.steps {
        let (state, problem) = if outcome.has(State::Failed) && !goes_on {
            (State::Skipped, None)
        } else {
            match hands.take(step) {
                Ok(()) => (State::Done, None),
                Err(problem) => (State::Failed, Some(problem.to_string())),
            }
        };
        outcome.steps.push(StepLine { step: step.to_string(), state, problem });
    }
    Ok(outcome)
}
