//! What a configuration wants of a running director.

use lb_core::interface::Interface;
use lb_core::marks::{MarkRules, MarksError};
use lb_core::settings::Settings;

use super::table::Table;
use crate::assemble;
use crate::config::Config;
use crate::names::SystemNames;

/// A configuration in the core's terms.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) config: Config,
    pub(super) table: Table,
    pub(super) settings: Settings,
    pub(super) marks: MarkRules,
}

impl Wanted {
    /// What a checked configuration wants of a director with these interfaces.
    ///
    /// # Errors
    ///
    /// A rule for packets of an interface that the director does not have.
    pub(super) fn new(
        config: Config,
        interfaces: &[Interface],
        names: &SystemNames,
    ) -> Result<Self, MarksError> {
        Ok(Self {
            table: Table::of_lines(&config.services, names),
            settings: assemble::settings(&config),
            marks: assemble::mark_rules(&config.marks, interfaces, names)?,
            config,
        })
    }
}
