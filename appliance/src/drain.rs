//! `sluicectl drain --wait`: the program waits until nothing is left of a real server. The director
//! only answers questions meanwhile.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::control::client::{ClientError, ask};
use crate::control::drain::Drain;
use crate::control::grammar::{DrainWords, Output};
use crate::control::protocol::Answer;

/// How often the director is asked.
const EVERY: Duration = Duration::from_secs(1);

/// How the waiting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Nothing is left.
    Empty,
    /// Something was left when the time was over.
    TimedOut,
    /// Somebody gave the server a weight again.
    Undone,
    /// The director refused a request.
    Refused(i32),
}

impl End {
    /// The program's exit code.
    pub fn exit(self) -> u8 {
        match self {
            Self::Empty => 0,
            Self::TimedOut => 3,
            Self::Undone => 4,
            Self::Refused(code) => u8::try_from(code).unwrap_or(2),
        }
    }
}

/// Drains a server and waits. Shows how it goes on a terminal, and at the end what is left.
///
/// # Errors
///
/// The director cannot be reached any more.
pub fn wait(socket: &Path, words: &DrainWords, output: Output) -> Result<End, ClientError> {
    let request = |extra: &[&str]| ask(socket, &request(words, extra), None);
    let began = request(&[])?;
    if !began.is_success() {
        return Ok(say(&began));
    }
    let deadline = words.timeout.map(|timeout| Instant::now() + timeout);
    let is_shown = io::stderr().is_terminal();
    let end = loop {
        let answer = request(&["--look", "--json"])?;
        let state = match serde_json::from_str::<Drain>(&answer.stdout) {
            Ok(state) if answer.is_success() => state,
            _ => return Ok(say(&answer)),
        };
        if is_shown {
            let Drain { active, inactive, persistent, .. } = state;
            eprint!("\r{}: {active} active, {inactive} inactive, ", words.server);
            eprint!("{persistent} templates left\x1b[K");
        }
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if let Some(end) = verdict(&state, left) {
            break end;
        }
        thread::sleep(left.map_or(EVERY, |left| left.min(EVERY)));
    };
    if is_shown {
        eprintln!();
    }
    let mut look = vec!["--look"];
    look.extend(output.json.then_some("--json"));
    look.extend(output.colour.then_some("--colour"));
    let last = request(&look)?;
    let refused = say(&last);
    Ok(if last.is_success() { end } else { refused })
}

/// Whether the waiting is over.
fn verdict(state: &Drain, left: Option<Duration>) -> Option<End> {
    match state {
        Drain { drained: false, .. } => Some(End::Undone),
        Drain { empty: true, .. } => Some(End::Empty),
        _ => (left == Some(Duration::ZERO)).then_some(End::TimedOut),
    }
}

fn request(words: &DrainWords, extra: &[&str]) -> Vec<String> {
    let mut request = vec!["drain".to_owned(), words.server.to_string()];
    if let Some(service) = &words.service {
        request.extend(["--service".to_owned(), service.to_string()]);
    }
    request.extend(extra.iter().map(|&word| word.to_owned()));
    request
}

/// Prints an answer.
fn say(answer: &Answer) -> End {
    // A reader that went away is no error of ours.
    let _ = io::stdout().write_all(answer.stdout.as_bytes());
    let _ = io::stderr().write_all(answer.stderr.as_bytes());
    End::Refused(answer.exit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(json: &str) -> Drain {
        let rest = "\"active\": 1, \"inactive\": 0, \"persistent\": 0, \"servers\": []";
        serde_json::from_str(&format!("{{{json}, {rest}}}")).unwrap()
    }

    #[test]
    fn waiting_ends_when_empty_undone_or_over() {
        let some = Some(Duration::from_secs(1));
        let busy = state("\"drained\": true, \"empty\": false");
        assert_eq!(verdict(&busy, None), None);
        assert_eq!(verdict(&busy, some), None);
        assert_eq!(verdict(&busy, Some(Duration::ZERO)), Some(End::TimedOut));
        let empty = state("\"drained\": true, \"empty\": true");
        assert_eq!(verdict(&empty, Some(Duration::ZERO)), Some(End::Empty));
        let undone = state("\"drained\": false, \"empty\": false");
        assert_eq!(verdict(&undone, some), Some(End::Undone));
        let codes = [End::Empty, End::TimedOut, End::Undone, End::Refused(2), End::Refused(-1)];
        assert_eq!(codes.map(End::exit), [0, 3, 4, 2, 2]);
    }
}
