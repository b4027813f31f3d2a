//! The words of the verbs, as counters have them.

use super::grammar::Verb;

impl Verb {
    /// Its word.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Top(_) => "top",
            Self::Capture(_) => "capture",
            Self::Services { .. } => "services",
            Self::Flows { .. } => "flows",
            Self::Explain(_) => "explain",
            Self::Drain(_) => "drain",
            Self::Ports => "ports",
            Self::Neigh => "neigh",
            Self::Routes => "routes",
            Self::Vips { .. } => "vips",
            Self::Settings { .. } | Self::Get { .. } | Self::Set { .. } => "settings",
            Self::Marks { .. } => "marks",
            Self::Drops { .. } => "drops",
            Self::Log { .. } => "log",
            Self::Reload(_) => "reload",
            Self::Diff { .. } => "diff",
            Self::Sync => "sync",
            Self::Exec { .. } => "exec",
            Self::Doctor(_) => "doctor",
            Self::Setup(_) => "setup",
            Self::Manual { .. } => "manual",
            Self::Completion { .. } => "completion",
        }
    }
}
