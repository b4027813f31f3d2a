//! What a request shows: rows that become text for people or JSON for programs.

use std::fmt::Write as _;

use serde::Serialize;

use super::grammar::Output;
use super::protocol::Answer;

/// Something to show. The fields are its JSON form: names in snake case, numbers as numbers,
/// addresses as text, seconds, bytes; what is not known is null.
pub trait Report: Serialize {
    /// The text for people.
    fn text(&self, out: &mut Text);
}

/// Text that is being written.
#[derive(Debug, Default)]
pub struct Text {
    out: String,
    colour: bool,
}

/// How a piece of text stands out on a terminal (ECMA-48 select graphic rendition).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Good,
    Warning,
    Bad,
    Heading,
}

impl Text {
    /// Appends a line.
    pub fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.out.write_fmt(line);
        self.out.push('\n');
    }

    /// Appends what has its line ends already.
    pub fn raw(&mut self, text: &str) {
        self.out.push_str(text);
    }

    /// A piece of text in that tone; as it is where no colour is wanted.
    pub fn toned(&self, tone: Tone, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => 32,
            Tone::Warning => 33,
            Tone::Bad => 31,
            Tone::Heading => 1,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// Appends a formatted line to a [`Text`].
#[macro_export]
macro_rules! line {
    ($text:expr, $($format:tt)*) => { $text.line(format_args!($($format)*)) };
}

/// The answer that shows a report in the form asked for.
pub fn answer(report: &impl Report, output: Output) -> Answer {
    if output.json { json(report) } else { Answer::printing(text(report, output.colour)) }
}

/// The answer that shows something as JSON.
pub fn json(report: &impl Serialize) -> Answer {
    match serde_json::to_string_pretty(report) {
        Ok(json) => Answer::printing(json + "\n"),
        Err(problem) => Answer::refusing(2, &format!("sluiced: no JSON: {problem}")),
    }
}

/// A report as text.
pub fn text(report: &impl Report, colour: bool) -> String {
    let mut text = Text { out: String::new(), colour };
    report.text(&mut text);
    text.out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Thing {
        name: &'static str,
        count: Option<u64>,
    }

    impl Report for Thing {
        fn text(&self, out: &mut Text) {
            let name = out.toned(Tone::Bad, self.name);
            line!(out, "{name} {}", self.count.unwrap_or_default());
        }
    }

    #[test]
    fn a_report_is_text_or_json() {
        let thing = Thing { name: "x", count: None };
        let shown = |json, colour| answer(&thing, Output { json, colour }).stdout;
        assert_eq!(shown(false, false), "x 0\n");
        assert_eq!(shown(false, true), "\x1b[31mx\x1b[0m 0\n");
        assert_eq!(shown(true, true), "{\n  \"name\": \"x\",\n  \"count\": null\n}\n");
    }
}
