//! The command lines of cases and recordings: ipvsadm's own.

use lb_core::control::Control;
use lb_core::ipvsadm::{Numeric, execute, restore_words};

/// Runs a command line; where it is refused, gives what ipvsadm would print.
pub(crate) fn run(control: &mut Control, line: &str) -> Result<(), String> {
    let outcome = execute(&restore_words(line), &[], control, &Numeric);
    if outcome.exit == 0 { Ok(()) } else { Err(outcome.stderr.trim_end().to_owned()) }
}
