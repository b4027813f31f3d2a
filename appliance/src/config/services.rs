//! Services: the block of them and their own file. And any block of commands (`services`,
//! `marks.rules`), with where each stands in the file.

use std::path::Path;

use super::error::{ConfigErrors, Position, shown};
use super::raw::{At, RawCommands, RawConfig};
use super::{Environment, read, text_of};

/// A line of services.
struct Line {
    position: Position,
    /// What messages begin with.
    place: String,
    text: String,
}

/// Reads the services of the block and of the services' own file, and checks them as a whole.
/// `None` where a mistake was reported before.
pub(super) fn check(
    raw: &RawConfig,
    source: &str,
    environment: &Environment<'_>,
    errors: &mut ConfigErrors,
) -> Option<Vec<String>> {
    let block = raw.services.as_ref()?;
    let mut lines: Vec<_> = commands(block, source)
        .into_iter()
        .map(|command| Line {
            position: command.position,
            place: "services".to_owned(),
            text: command.text.to_owned(),
        })
        .collect();
    let file = raw.services_file.as_ref()?;
    if let Some(path) = &file.value {
        match of_file(Path::new(path), file.position) {
            Ok(more) => lines.extend(more),
            Err(problem) => {
                errors.at(file.position, format!("services_file: {problem}"));
                return None;
            }
        }
    }
    let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
    if !texts.is_empty() {
        for (index, problem) in (environment.check_services)(&texts) {
            // An index beyond the slice would be a mistake of the check, not of the file: the
            // mistake that it found is told all the same.
            match lines.get(index) {
                Some(Line { position, place, text }) => {
                    errors.at(*position, format!("{place}: {}: {problem}", shown(text)));
                }
                None => errors.at(block.position, format!("services: {problem}")),
            }
        }
    }
    Some(lines.into_iter().map(|line| line.text).collect())
}

/// The lines of the services' own file.
fn of_file(path: &Path, position: Position) -> Result<Vec<Line>, String> {
    let name = shown(&path.display().to_string());
    if !path.is_absolute() {
        return Err(format!("{name} is not an absolute path; begin it with a slash"));
    }
    let bytes = read(path).map_err(|problem| format!("{name} {problem}"))?;
    let text = text_of(&bytes).map_err(|(at, problem)| {
        format!("{name} line {} column {}: {problem}", at.line, at.column)
    })?;
    let lines = text.lines().zip(1..).filter_map(|(line, number): (&str, usize)| {
        let text = line.trim();
        let place = format!("services_file {name} line {number}");
        is_command(text).then(|| Line { position, place, text: text.to_owned() })
    });
    Ok(lines.collect())
}

/// Whether a trimmed line is neither empty nor a comment.
fn is_command(line: &str) -> bool {
    !line.is_empty() && !line.starts_with('#')
}

/// A command of the block.
pub(super) struct Command<'a> {
    pub(super) position: Position,
    pub(super) text: &'a str,
}

/// The commands of the block in their order, without comments and empty lines.
pub(super) fn commands<'a>(block: &'a At<RawCommands>, source: &str) -> Vec<Command<'a>> {
    let text = &block.value.text;
    let places = block.value.literal.then(|| Places::of(block, source));
    text.lines()
        .enumerate()
        .map(|(index, line)| (index, line.trim()))
        .filter(|(_, line)| is_command(line))
        .map(|(index, text)| {
            let found = places.as_ref().and_then(|places| places.position(index, text));
            Command { position: found.unwrap_or(block.position), text }
        })
        .collect()
}

/// The lines of the file behind the lines of a literal block.
struct Places<'a> {
    /// Line number, from 1, of the block's line 0.
    first: usize,
    lines: Vec<&'a str>,
}

impl<'a> Places<'a> {
    fn of(block: &At<RawCommands>, source: &'a str) -> Self {
        // The parser says where the first line with content is; empty lines before it are part
        // of the block.
        let empty = block.value.text.chars().take_while(|c| *c == '\n').count();
        let first = block.position.line.saturating_sub(empty);
        Self { first, lines: source.lines().collect() }
    }

    /// Where a line of the block stands; `None` where the file has something else there, which
    /// then is a form of block that this counting does not know.
    fn position(&self, index: usize, text: &str) -> Option<Position> {
        let number = self.first + index;
        let line = self.lines.get(number.checked_sub(1)?)?;
        if line.trim() != text {
            return None;
        }
        let column = line.chars().take_while(|character| character.is_whitespace()).count() + 1;
        Some(Position::new(number, column))
    }
}
