//! What one worker needs to make and to answer, and shares with nobody.

use crate::connection::Connections;
use crate::limiter::Limiter;

/// The worker's own, for as long as it runs.
#[derive(Debug, Default)]
pub(crate) struct Workbench {
    pub(crate) connections: Connections,
    pub(crate) limiter: Limiter,
}
