//! How the director, its file, and what was commanded differ; and what a reload did about it.

use serde::Serialize;

use crate::control::report::{Report, Text, Tone};
use crate::line;

/// One difference: a line that is running, a line that is in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    pub running: Option<String>,
    pub file: Option<String>,
}

impl Item {
    /// Running, and not in the file.
    pub const fn removed(line: String) -> Self {
        Self { running: Some(line), file: None }
    }

    /// In the file, and not running.
    pub const fn added(line: String) -> Self {
        Self { running: None, file: Some(line) }
    }
}

/// All differences, by who made them since the file was loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Items {
    /// The file changed.
    pub from_file: Vec<Item>,
    /// A command changed the director.
    pub commanded: Vec<Item>,
    /// Both changed.
    pub conflicts: Vec<Item>,
    /// The file changed, and the director takes it at its next start only.
    pub restart: Vec<Item>,
}

impl Items {
    /// Whether the director is as the file says.
    pub const fn is_empty(&self) -> bool {
        self.from_file.is_empty()
            && self.commanded.is_empty()
            && self.conflicts.is_empty()
            && self.restart.is_empty()
    }
}

/// `sluicectl diff`: what is running against what the file says.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Difference(pub Items);

impl Report for Difference {
    fn text(&self, out: &mut Text) {
        let Items { from_file, commanded, conflicts, restart } = &self.0;
        section(out, "Changed by command, kept by a reload:", commanded);
        section(out, "Changed in the file, taken by a reload:", from_file);
        let title = "Changed by both; a reload wants --file-wins or --command-wins:";
        section(out, title, conflicts);
        section(out, "Changed in the file, taken at the next start only:", restart);
        if self.0.is_empty() {
            line!(out, "The director is as its file says.");
        } else {
            line!(out, "(- runs now, + is in the file)");
        }
    }
}

/// How a reload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// What the file changed is in force.
    Done,
    /// It would be; nothing was changed (`--dry-run`).
    WouldDo,
    /// Nothing was changed, because of conflicts.
    Conflicts,
    /// Nothing was changed, because something needs a restart (`--strict`).
    NeedsRestart,
}

/// What a reload did.
#[derive(Clone, Debug, Serialize)]
pub struct Reloaded {
    pub ending: Ending,
    #[serde(flatten)]
    pub items: Items,
}

impl Reloaded {
    /// Whether the director is now, or would be, as the file wants it.
    pub const fn is_good(&self) -> bool {
        matches!(self.ending, Ending::Done | Ending::WouldDo)
    }
}

impl Report for Reloaded {
    fn text(&self, out: &mut Text) {
        let Items { from_file, commanded, conflicts, restart } = &self.items;
        let (took, conflict) = match self.ending {
            Ending::Done => ("Taken from the file:", "Changed by both, decided as asked:"),
            Ending::WouldDo => ("Would be taken:", "Changed by both, would be decided as asked:"),
            Ending::Conflicts | Ending::NeedsRestart => ("Not taken:", "Changed by both:"),
        };
        section(out, took, from_file);
        section(out, conflict, conflicts);
        section(out, "Changed by command, stays:", commanded);
        section(out, "Needs a restart, not in force:", restart);
        let end = match self.ending {
            Ending::Done if self.items.is_empty() => "Nothing to do: all is as the file says.",
            Ending::Done => "Reloaded.",
            Ending::WouldDo => "Nothing was changed: a dry run.",
            Ending::Conflicts => {
                "Nothing was changed: decide with --file-wins or --command-wins, or change the \
                 file."
            }
            Ending::NeedsRestart => "Nothing was changed: something needs a restart.",
        };
        let tone = if self.is_good() { Tone::Good } else { Tone::Bad };
        let end = out.toned(tone, end);
        line!(out, "{end}");
    }
}

fn section(out: &mut Text, title: &str, items: &[Item]) {
    if items.is_empty() {
        return;
    }
    let title = out.toned(Tone::Heading, title);
    line!(out, "{title}");
    for item in items {
        if let Some(line) = &item.running {
            let line = out.toned(Tone::Bad, &format!("- {line}"));
            line!(out, "  {line}");
        }
        if let Some(line) = &item.file {
            let line = out.toned(Tone::Good, &format!("+ {line}"));
            line!(out, "  {line}");
        }
    }
}
