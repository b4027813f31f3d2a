//! A request, once its words are understood.

use lb_core::ipvsadm::{self, Command, Names};
use lb_core::marks::request::{self as mark_request, Request as MarkRequest};

use super::grammar::{CommandLine, Output, Verb};
use super::protocol::Answer;

/// What somebody asks for.
#[derive(Debug)]
pub enum Request {
    /// ipvsadm's own command line.
    Ipvsadm(Command),
    /// `sluicectl marks`
    Marks(MarkRequest, Output),
    /// Any other words of `sluicectl`.
    Sluicectl(CommandLine),
}

impl Request {
    /// Understands the words. Names are looked up here, so no lock may be held.
    ///
    /// # Errors
    ///
    /// The answer, where the words are no request.
    pub fn read(words: &[String], input: &[u8], names: &dyn Names) -> Result<Self, Answer> {
        if let Some(words) = of_ipvsadm(words) {
            return match ipvsadm::parse(words, names) {
                Ok(command) => Ok(Self::Ipvsadm(command)),
                Err(error) => Err(ipvsadm::refusal(&error).into()),
            };
        }
        let line = CommandLine::of_words(without_name(words)).map_err(|error| misread(&error))?;
        match line.verb {
            Verb::Marks { words } => match mark_request::request(&words, input, names) {
                Ok(request) => Ok(Self::Marks(request, line.output)),
                Err(problem) => Err(super::marks::refusal(&problem)),
            },
            _ => Ok(Self::Sluicectl(line)),
        }
    }

    /// Its verb: of ipvsadm's command lines the option.
    pub const fn verb(&self) -> &'static str {
        match self {
            Self::Ipvsadm(command) => command.name(),
            Self::Marks(..) => "marks",
            Self::Sluicectl(line) => line.verb.name(),
        }
    }

    /// Whether it changes what the director does.
    pub fn changes(&self) -> bool {
        match self {
            Self::Ipvsadm(command) => command.changes(),
            Self::Marks(request, _) => request.changes(),
            Self::Sluicectl(line) => line.verb.changes(),
        }
    }
}

/// Whether a request is followed by input.
pub fn reads_input(words: &[String]) -> bool {
    if let Some(words) = of_ipvsadm(words) {
        return ipvsadm::reads_input(words);
    }
    CommandLine::of_words(without_name(words)).is_ok_and(|line| line.verb.reads_input())
}

/// An ipvsadm command line begins with an option; so do all of `ipvsadm-save`'s lines. Where it
/// begins with another word, which is a mistake of ipvsadm's, the program's name stands first.
fn of_ipvsadm(words: &[String]) -> Option<&[String]> {
    match words {
        [first, rest @ ..] if first == "ipvsadm" => Some(rest),
        [first, ..] if first.starts_with('-') => Some(words),
        _ => None,
    }
}

/// The program's name may stand first, where an option of its own would look like ipvsadm's.
fn without_name(words: &[String]) -> &[String] {
    match words {
        [first, rest @ ..] if first == "sluicectl" => rest,
        _ => words,
    }
}

/// What the grammar says to words that it does not know, or to `--help`.
fn misread(error: &clap::Error) -> Answer {
    let text = error.to_string();
    if error.use_stderr() {
        let text = text.strip_prefix("error: ").unwrap_or(&text);
        Answer { exit: 2, stdout: String::new(), stderr: format!("sluiced: {text}") }
    } else {
        Answer::printing(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_core::ipvsadm::Numeric;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn what_changes_something_is_known() {
        for (line, changes) in [
            ("-Ln", false),
            ("-S", false),
            ("-C", true),
            ("-R", true),
            ("-R --atomic", true),
            ("--set 1 2 3", true),
            ("marks -L", false),
            ("marks -A PREROUTING -j ACCEPT", true),
            ("marks intercept", false),
            ("marks restore", true),
            ("sluicectl --json status", false),
            ("vip add 10.0.0.1", true),
        ] {
            let request = Request::read(&words(line), b"", &Numeric).unwrap();
            assert_eq!(request.changes(), changes, "{line}");
            assert!(line.contains(request.verb().get(..2).unwrap()), "{line}: {}", request.verb());
        }
    }

    #[test]
    fn nonsense_is_answered_by_the_grammar_that_it_is_of() {
        let refusal = |line: &str| Request::read(&words(line), b"", &Numeric).unwrap_err();
        assert_eq!(refusal("--nonsense").exit, 255);
        assert!(refusal("ipvsadm extra -L").stderr.contains("unexpected argument extra"));
        let answer = refusal("hello");
        assert_eq!(answer.exit, 2);
        assert!(answer.stderr.starts_with("sluiced: unrecognized subcommand 'hello'"));
        assert!(refusal("vips add 10.0.0").stderr.contains("10.0.0"));
        let help = refusal("sluicectl --help");
        assert!(help.exit == 0 && help.stdout.contains("Usage: sluicectl"));
    }

    #[test]
    fn input_is_read_by_restores_alone() {
        let restores = ["-R", "-R --atomic", "marks restore"].map(|line| (line, true));
        for (line, reads) in restores.into_iter().chain([("-Ln", false)]) {
            assert_eq!(reads_input(&words(line)), reads, "{line}");
        }
        assert!(!reads_input(&words("marks -L")));
        assert!(!reads_input(&words("nonsense")));
    }
}
