//! A block of commands (`services`, `marks.rules`), and where each stands in the file.

use super::error::Position;
use super::raw::{At, RawCommands};

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
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
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
