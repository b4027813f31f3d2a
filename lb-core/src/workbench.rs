//! What one worker needs to make and to answer, and shares with nobody.

use crate::connection::Connections;
use crate::limiter::Limiter;

/// The worker's own, for as long as it runs.
#[derive(Debug, Default)]
pub struct Workbench {
    pub connections: Connections,
    pub limiter: Limiter,
}
