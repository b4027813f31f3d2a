//! `sluicectl log`: what the director says of its own accord, by module.

use serde::Serialize;

use super::grammar::Output;
use super::protocol::Answer;
use super::report::{Report, Text, answer};
use crate::line;
use crate::logging::{Levels, MODULES, level_name};

/// The modules and their levels.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct LogTable(Vec<LogLine>);

#[derive(Debug, Serialize)]
struct LogLine {
    module: &'static str,
    level: &'static str,
    /// Lines since the start, and those that were too many.
    lines: u64,
    suppressed: u64,
    meaning: &'static str,
}

/// Changes levels, or shows them.
pub fn run(levels: Option<&Levels>, output: Output) -> Answer {
    match levels {
        Some(levels) => {
            levels.apply();
            Answer::printing(String::new())
        }
        None => answer(&LogTable::now(), output),
    }
}

impl LogTable {
    fn now() -> Self {
        let rows = MODULES.iter().map(|module| LogLine {
            module: module.name,
            level: level_name(module.level()),
            lines: module.lines(),
            suppressed: module.suppressed(),
            meaning: module.meaning,
        });
        Self(rows.collect())
    }
}

impl Report for LogTable {
    fn text(&self, out: &mut Text) {
        line!(out, "{:<12}{:<9}{:>9}{:>12}  meaning", "module", "level", "lines", "suppressed");
        for LogLine { module, level, lines, suppressed, meaning } in &self.0 {
            line!(out, "{module:<12}{level:<9}{lines:>9}{suppressed:>12}  {meaning}");
        }
    }
}
