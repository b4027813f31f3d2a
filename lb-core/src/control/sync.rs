//! The sync daemons as commands see them (`ip_vs_genl_new_daemon`, `ip_vs_genl_del_daemon`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Control, support};
use crate::operations::{DaemonRole, DaemonRow, DaemonSettings, OperationError};
use crate::sync::Daemons;

impl Control {
    /// The daemons, for the thread that does their work.
    pub const fn sync_daemons(&self) -> &Arc<Mutex<Daemons>> {
        &self.daemons
    }

    pub(super) fn lock_daemons(&self) -> MutexGuard<'_, Daemons> {
        self.daemons.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message has room for addresses of one family only.
    pub(super) fn start_sync(&self, settings: DaemonSettings) -> Result<(), OperationError> {
        let is_mixed = self.services.values().any(|record| {
            let key = *record.key();
            record.servers().any(|(destination, ..)| support::is_mixed(&key, destination))
        });
        if is_mixed {
            return Err(OperationError::Invalid);
        }
        self.lock_daemons().start(settings, self.director.flows.flows_max())
    }

    pub(super) fn stop_sync(&self, role: DaemonRole) -> Result<(), OperationError> {
        self.lock_daemons().stop(role)
    }

    pub(super) fn sync_rows(&self) -> Vec<DaemonRow> {
        self.lock_daemons().rows()
    }
}
