//! Signals that end the director, and who sent them.

use std::io;
use std::thread::{self, JoinHandle};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;

use crate::control::audit::{Audit, Door, Who};

/// Waits for a signal that ends the director, and writes it down. The thread ends with it.
///
/// # Errors
///
/// When signals cannot be handled, or the system has no thread left.
pub fn watch(audit: std::sync::Arc<Audit>) -> io::Result<JoinHandle<()>> {
    let mut signals = SignalsInfo::<WithOrigin>::new([SIGTERM, SIGINT])?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let Some(origin) = signals.forever().next() else { return };
        let who = Who::sender_of(origin.process);
        let name = if origin.signal == SIGTERM { "SIGTERM" } else { "SIGINT" };
        audit.write_down(Door::Signal, &who, name);
    })
}
