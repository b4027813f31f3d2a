//! SIGHUP: reload, as `sluicectl reload` without options does.

use std::io;
use std::sync::Arc;
use std::thread;

use signal_hook::consts::SIGHUP;
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;

use super::Options;
use crate::control::audit::{Door, Who};
use crate::control::command::Commands;
use crate::control::{reload, report};
use crate::logging;

/// Signals with those who sent them.
pub type Hangups = SignalsInfo<WithOrigin>;

/// Registers for the signal: from here on it does not end the director.
///
/// # Errors
///
/// When the system does not let it be handled.
pub fn register() -> io::Result<Hangups> {
    Hangups::new([SIGHUP])
}

/// Reloads at each signal, on a thread of its own. What is done is said on standard error.
///
/// # Errors
///
/// When the system has no thread left.
pub fn serve(mut signals: Hangups, commands: Arc<Commands>) -> io::Result<()> {
    let work = move || {
        for origin in signals.forever() {
            let (good, said) = match reload::run(&commands, Options::default()) {
                Ok(reloaded) => (reloaded.is_good(), report::text(&reloaded, false)),
                Err(problem) => (false, format!("{problem}\nNothing was changed.\n")),
            };
            let who = Who::sender_of(origin.process);
            let error = if good { "" } else { said.trim_end() };
            commands.audit.write_result(Door::Signal, &who, "SIGHUP", i32::from(!good) * 2, error);
            for line in said.lines() {
                if good {
                    log::info!(target: logging::RELOAD, "{line}");
                } else {
                    log::warn!(target: logging::RELOAD, "{line}");
                }
            }
        }
    };
    thread::Builder::new().name("reload".to_owned()).spawn(work)?;
    Ok(())
}
