//! SIGHUP: reload, as `sluicectl reload` without options does.

use std::io;
use std::sync::Arc;
use std::thread;

use signal_hook::consts::SIGHUP;
use signal_hook::iterator::Signals;

use super::Options;
use crate::control::command::Commands;
use crate::control::report;

/// Registers for the signal: from here on it does not end the director.
///
/// # Errors
///
/// When the system does not let it be handled.
pub fn register() -> io::Result<Signals> {
    Signals::new([SIGHUP])
}

/// Reloads at each signal, on a thread of its own. What is done is said on standard error.
///
/// # Errors
///
/// When the system has no thread left.
pub fn serve(mut signals: Signals, commands: Arc<Commands>) -> io::Result<()> {
    let work = move || {
        for _ in signals.forever() {
            let said = match commands.live.reload(&commands.control, Options::default()) {
                Ok(reloaded) => report::text(&reloaded, false),
                Err(problem) => format!("{problem}\nNothing was changed.\n"),
            };
            commands.neighbourhood.wake();
            for line in said.lines() {
                eprintln!("sluiced: reload: {line}");
            }
        }
    };
    thread::Builder::new().name("reload".to_owned()).spawn(work)?;
    Ok(())
}
