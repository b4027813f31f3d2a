//! `sluicectl reload` and `sluicectl diff`.

use std::path::Path;
use std::time::Instant;

use super::command::Commands;
use super::grammar::{Output, ReloadOptions};
use super::protocol::Answer;
use super::report::answer;
use crate::live::merge::Winner;
use crate::live::report::Reloaded;
use crate::live::{LoadError, Options};
use crate::metrics::tally::Ended;

/// Exit code of `diff` where there are differences, as diff(1) has it.
const DIFFERENT: i32 = 1;
/// Exit code where nothing was changed.
const REFUSED: i32 = 2;

/// `reload`
pub fn reload(commands: &Commands, options: ReloadOptions, output: Output) -> Answer {
    let winner = match (options.file_wins, options.command_wins) {
        (true, _) => Some(Winner::File),
        (_, true) => Some(Winner::Command),
        _ => None,
    };
    let options = Options { is_dry_run: options.dry_run, is_strict: options.strict, winner };
    match run(commands, options) {
        Ok(reloaded) => {
            let exit = if reloaded.is_good() { 0 } else { REFUSED };
            Answer { exit, ..answer(&reloaded, output) }
        }
        Err(problem) => refusal(&problem),
    }
}

/// Reloads, and counts how that ended.
///
/// # Errors
///
/// See [`LoadError`].
pub fn run(commands: &Commands, options: Options) -> Result<Reloaded, LoadError> {
    let begin = Instant::now();
    let reloaded = commands.live.reload(&commands.control, options);
    if !options.is_dry_run {
        let good = reloaded.as_ref().is_ok_and(Reloaded::is_good);
        commands.tally.reload(Ended::well(good), begin.elapsed());
    }
    commands.neighbourhood.wake();
    reloaded
}

/// `diff`
pub fn diff(commands: &Commands, file: Option<&Path>, output: Output) -> Answer {
    match commands.live.diff(&commands.control, file) {
        Ok(difference) => {
            let exit = if difference.0.is_empty() { 0 } else { DIFFERENT };
            Answer { exit, ..answer(&difference, output) }
        }
        Err(problem) => refusal(&problem),
    }
}

fn refusal(problem: &LoadError) -> Answer {
    Answer::refusing(REFUSED, &problem.to_string())
}
