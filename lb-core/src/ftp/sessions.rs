//! What the director remembers of each FTP control connection.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::{Mode, SequenceShift};
use crate::flow::FlowId;

/// What is remembered of a control connection.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    /// What the client asked for last.
    pub mode: Mode,
    /// How far the numbers of the server's bytes are apart, as its replies changed their length.
    pub shift: SequenceShift,
}

impl Default for Session {
    fn default() -> Self {
        Self { mode: Mode::Active, shift: SequenceShift::default() }
    }
}

/// The sessions of all workers. Under one lock: only packets of FTP control connections come here,
/// and there are no more sessions than connections.
#[derive(Debug, Default)]
pub struct Sessions(Mutex<HashMap<FlowId, Session>>);

impl Sessions {
    /// Reads and changes a session, which begins with its first use.
    pub fn with<T>(&self, id: FlowId, work: impl FnOnce(&mut Session) -> T) -> T {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        work(sessions.entry(id).or_default())
    }

    /// What is remembered of a connection, if anything is.
    pub(crate) fn of(&self, id: FlowId) -> Option<Session> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&id).copied()
    }

    /// The connection is over.
    pub(crate) fn forget(&self, id: FlowId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}
