//! What is claimed of a machine, one line for each claim, and the counts of them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

/// All claims so far.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    passed: u32,
    failed: u32,
    machine: String,
}

impl Checks {
    /// From now on the claims are about this machine.
    pub(crate) fn begin(&mut self, machine: &str) {
        println!("== {machine}");
        self.machine = machine.to_owned();
    }

    /// Says whether `work` gets to its end without a panic, and what it has to say then. `None`
    /// where it does not.
    pub(crate) fn check<T>(&mut self, what: &str, work: impl FnOnce() -> T) -> Option<T> {
        let began = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(work)).ok();
        let seconds = began.elapsed().as_secs_f32();
        if result.is_some() {
            self.passed += 1;
            println!("ok      {}: {what} ({seconds:.1} s)", self.machine);
        } else {
            self.failed += 1;
            println!("FAILED  {}: {what} ({seconds:.1} s)", self.machine);
        }
        result
    }

    /// How many failed so far.
    pub(crate) fn failures(&self) -> u32 {
        self.failed
    }

    /// The counts, as `make test` has them.
    pub(crate) fn conclude(&self) -> ExitCode {
        println!("{} passed, {} failed", self.passed, self.failed);
        let is_fine = self.failed == 0 && self.passed > 0;
        if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
