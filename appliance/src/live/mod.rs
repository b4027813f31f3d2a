//! Reloading the configuration of a running director.
//!
//! Three things are compared, one by one: what was *loaded* from the file last, what is *running*
//! (commands may have changed it since), and what the *file* says now.
//!
//! * The file did not change: what is running stays, whoever made it so.
//! * The file changed and nobody else did: the file's is taken.
//! * Both changed, to different things: a conflict. Nothing at all is changed, unless the operator
//!   says who is right.
//!
//! So a reload never silently takes back what was commanded. What the director can only take at
//! its start is told, and stays as it is.
//!
//! ```text
//! file ─► config (checked as a whole) ─► Wanted ─┐
//!                    Wanted of last time (loaded) ┼─► Plan ─► Control, at one publication
//!                          Control (running) ─────┘
//! ```

pub mod merge;
mod plan;
pub mod report;
pub mod signal;
mod table;
#[cfg(test)]
mod tests;
mod wanted;

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use lb_core::control::Control;
use lb_core::marks::MarksError;

use crate::assemble;
use crate::config::{Config, ConfigErrors};
use crate::lock::lock;
use crate::names::SystemNames;
use merge::Winner;
use plan::Plan;
use report::{Difference, Ending, Reloaded};
use wanted::Wanted;

/// How to reload.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Nothing is changed.
    pub is_dry_run: bool,
    /// Nothing is changed if anything needs a restart.
    pub is_strict: bool,
    /// Who is right in conflicts; with nobody, a conflict changes nothing.
    pub winner: Option<Winner>,
}

/// Why a file cannot be loaded; nothing was changed then.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("{0}")]
    Config(#[from] ConfigErrors),
    #[error("marks: {0}; nothing was changed")]
    Marks(#[from] MarksError),
    /// A limit that is fixed at start.
    #[error("services: {0}; nothing was changed")]
    Limit(String),
}

/// The file of a running director.
#[derive(Debug)]
pub struct Live {
    path: PathBuf,
    started: Config,
    /// Held during a reload: one at a time.
    loaded: Mutex<Wanted>,
}

impl Live {
    /// The director was started with this configuration from this file.
    ///
    /// # Errors
    ///
    /// None for a configuration that a director could be started with.
    pub fn new(
        path: &Path,
        config: &Config,
        control: &Control,
        names: &SystemNames,
    ) -> Result<Self, MarksError> {
        let loaded = Wanted::new(config.clone(), control.interfaces(), names)?;
        Ok(Self { path: path.to_owned(), started: config.clone(), loaded: Mutex::new(loaded) })
    }

    /// Compares the director with its file, or with another one.
    ///
    /// # Errors
    ///
    /// See [`LoadError`].
    pub fn diff(
        &self,
        control: &Mutex<Control>,
        file: Option<&Path>,
    ) -> Result<Difference, LoadError> {
        let loaded = lock(&self.loaded);
        let wanted = read(file.unwrap_or(&self.path), control)?;
        let plan = Plan::new(&self.started, &loaded, &lock(control), &wanted, None);
        Ok(Difference(plan.items))
    }

    /// Takes what the file changed. Workers see all of it at once.
    ///
    /// # Errors
    ///
    /// See [`LoadError`].
    pub fn reload(
        &self,
        control: &Mutex<Control>,
        options: Options,
    ) -> Result<Reloaded, LoadError> {
        let mut loaded = lock(&self.loaded);
        let wanted = read(&self.path, control)?;
        let mut control = lock(control);
        let plan = Plan::new(&self.started, &loaded, &control, &wanted, options.winner);
        let ending = if !plan.items.conflicts.is_empty() && options.winner.is_none() {
            Ending::Conflicts
        } else if options.is_strict && !plan.items.restart.is_empty() {
            Ending::NeedsRestart
        } else if options.is_dry_run {
            Ending::WouldDo
        } else {
            self.apply(&plan, &wanted.config, &mut control)?;
            *loaded = wanted;
            Ending::Done
        };
        Ok(Reloaded { ending, items: plan.items })
    }

    /// What can fail comes first, and changes nothing then.
    fn apply(&self, plan: &Plan, file: &Config, control: &mut Control) -> Result<(), LoadError> {
        control
            .apply_all(&plan.commands)
            .map_err(|refused| LoadError::Limit(refused.error.to_string()))?;
        control.set_settings(plan.settings);
        if let Some(marks) = &plan.marks {
            // The rules were read for these interfaces.
            let _ = control.change_marks(|rules, _| {
                *rules = marks.clone();
                Ok::<_, MarksError>(())
            });
        }
        if plan.changes_surroundings {
            let mut network = assemble::network(file, Vec::new());
            if !plan.has_same_interfaces {
                let before = assemble::network(&self.started, Vec::new());
                network.routes = before.routes;
                network.permanent_neighbours = before.permanent_neighbours;
            }
            control.set_surroundings(network);
        }
        control.publish();
        Ok(())
    }
}

fn read(path: &Path, control: &Mutex<Control>) -> Result<Wanted, LoadError> {
    let (config, names) = assemble::load(path)?;
    // They are the same for as long as the director runs; rules are read outside of its lock.
    let interfaces = lock(control).interfaces().to_vec();
    Ok(Wanted::new(config, &interfaces, &names)?)
}
