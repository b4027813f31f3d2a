//! What was found about one thing.

use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Fine,
    /// The director works, but less well or less safely.
    Warning,
    /// The director will not start.
    Error,
}

impl Severity {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }

    /// This, where something is wrong.
    pub const fn or_fine(self, is_fine: bool) -> Self {
        if is_fine { Self::Fine } else { self }
    }
}

/// What was found about one thing, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    pub name: String,
    pub severity: Severity,
    pub found: String,
    /// A command, a key of the configuration, or where else to go; null where all is fine.
    pub advice: Option<String>,
}

impl Item {
    pub fn fine(name: &str, found: impl Into<String>) -> Self {
        Self { name: name.into(), severity: Severity::Fine, found: found.into(), advice: None }
    }

    pub fn wrong(
        name: &str,
        severity: Severity,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        let (found, advice) = (found.into(), Some(advice.into()));
        Self { name: name.into(), severity, found, advice }
    }

    pub fn warning(name: &str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::wrong(name, Severity::Warning, found, advice)
    }

    pub fn error(name: &str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::wrong(name, Severity::Error, found, advice)
    }
}
