//! Signals that end the director, and who sent them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::{self, JoinHandle};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;

use crate::control::audit::{Audit, Door, Who};

/// Sets `is_stopping` at a signal that ends the director, and writes it down. The thread ends with
/// it.
///
/// # Errors
///
/// When signals cannot be handled, or the system has no thread left.
pub fn watch(is_stopping: &Arc<AtomicBool>, audit: Arc<Audit>) -> io::Result<JoinHandle<()>> {
    for signal in [SIGTERM, SIGINT] {
        flag::register(signal, Arc::clone(is_stopping))?;
    }
    let mut signals = SignalsInfo::<WithOrigin>::new([SIGTERM, SIGINT])?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let Some(origin) = signals.forever().next() else { return };
        let who = Who::sender_of(origin.process);
        let name = if origin.signal == SIGTERM { "SIGTERM" } else { "SIGINT" };
        audit.write_down(Door::Signal, &who, name);
    })
}
