//! Where connections that have ended are written down.

use super::settings::AuditTarget;

/// The section `session_log`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionLogConfig {
    pub to: AuditTarget,
    /// One in so many.
    pub sample: u32,
    /// Lines a second at most.
    pub rate: u32,
}
