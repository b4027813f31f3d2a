//! All that is wrong with a configuration.

use std::fmt;

/// A place in the configuration file; line and column count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

impl Position {
    /// Where a file begins: the place of what is missing from the whole file.
    pub const START: Self = Self::new(1, 1);

    /// A place by line and column, both from 1.
    pub const fn new(line: usize, column: usize) -> Self {
        Self { line, column }
    }
}

/// One mistake: where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// `None` where the file as a whole could not be read.
    pub position: Option<Position>,
    pub message: String,
    /// The file may be right: what it names is not in the machine, or not now.
    pub is_missing: bool,
}

/// Every mistake of a configuration, sorted by position. Displayed one per line as
/// `FILE:LINE:COLUMN: message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    file: String,
    errors: Vec<ConfigError>,
}

impl ConfigErrors {
    /// The mistakes, sorted by position.
    pub fn errors(&self) -> &[ConfigError] {
        &self.errors
    }

    /// Whether nothing is wrong but that something is missing in the machine, which may come.
    pub fn may_pass(&self) -> bool {
        self.errors.iter().all(|error| error.is_missing)
    }

    pub(super) fn new(file: &str) -> Self {
        Self { file: file.to_owned(), errors: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    pub(super) fn at(&mut self, position: Position, message: impl Into<String>) {
        self.push(Some(position), message.into(), false);
    }

    /// What the file names there is not in the machine.
    pub(super) fn missing_at(&mut self, position: Position, message: impl Into<String>) {
        self.push(Some(position), message.into(), true);
    }

    pub(super) fn of_file(&mut self, message: impl Into<String>) {
        self.push(None, message.into(), false);
    }

    fn push(&mut self, position: Option<Position>, message: String, is_missing: bool) {
        self.errors.push(ConfigError { position, message, is_missing });
    }

    /// Stable: mistakes at one place stay in the order in which they were found.
    pub(super) fn sort(&mut self) {
        self.errors.sort_by_key(|error| error.position);
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            f.write_str(&self.file)?;
            if let Some(Position { line, column }) = error.position {
                write!(f, ":{line}:{column}")?;
            }
            write!(f, ": {}", error.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// A value as messages show it: in backquotes, on one line, without control characters, and cut
/// where it is long.
pub(super) fn shown(text: &str) -> String {
    const CHARACTERS_MAX: usize = 60;
    let mut shown = String::from("`");
    for (count, character) in text.chars().enumerate() {
        if count == CHARACTERS_MAX {
            shown.push_str("...");
            break;
        }
        match character {
            '"' | '\'' | '\\' => shown.push(character),
            _ => shown.extend(character.escape_debug()),
        }
    }
    shown.push('`');
    shown
}
