//! What goes over the control socket.
//!
//! A request is a line of words, separated by blanks or tabs. In a word, `\s` is a blank, `\t` a
//! tab, `\n` a line feed, `\\` a backslash, and `\e` alone is an empty word; a plain ipvsadm
//! command line needs none of these. After a request that reads standard input (`-R`) follow its
//! lines, ended by a line that is a single dot; a line of the input that begins with a dot has
//! another dot in front.
//!
//! The answer is a line `exit E stdout N stderr M`, then N bytes of standard output and M bytes of
//! standard error. Requests may be sent ahead; they are answered in order.

use std::io::{self, BufRead, Read, Write};

use lb_core::ipvsadm::Outcome;

/// Longest request line in bytes.
pub const LINE_MAX: usize = 64 << 10;
/// Longest input of a request in bytes; each of its lines is at most as long as a request.
pub const INPUT_MAX: usize = 64 << 20;
/// Longest part of an answer that a client reads.
const ANSWER_MAX: usize = 1 << 30;

/// The answer to a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub exit: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Answer {
    /// Success, with something to print.
    pub fn printing(stdout: String) -> Self {
        Self { exit: 0, stdout, stderr: String::new() }
    }

    /// A refusal.
    pub fn refusing(exit: i32, message: &str) -> Self {
        Self { exit, stdout: String::new(), stderr: format!("{message}\n") }
    }

    /// Whether it says that the request was done.
    pub const fn is_success(&self) -> bool {
        self.exit == 0
    }

    /// Writes the answer.
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let (stdout, stderr) = (self.stdout.as_bytes(), self.stderr.as_bytes());
        writeln!(to, "exit {} stdout {} stderr {}", self.exit, stdout.len(), stderr.len())?;
        to.write_all(stdout)?;
        to.write_all(stderr)
    }

    /// Reads an answer.
    pub fn read(from: &mut impl BufRead) -> io::Result<Self> {
        let line = match read_line(from, LINE_MAX)? {
            Line::Whole(line) => line,
            Line::TooLong | Line::End => return Err(broken("the answer has no first line")),
        };
        let mut words = line.split(' ');
        let mut field = |name: &str| {
            (words.next() == Some(name)).then(|| words.next()?.parse::<i64>().ok()).flatten()
        };
        let fields = (field("exit"), field("stdout"), field("stderr"));
        let (Some(exit), Some(stdout), Some(stderr)) = fields else {
            return Err(broken("the answer's first line is not of this protocol"));
        };
        let exit = i32::try_from(exit).map_err(|_| broken("impossible exit code"))?;
        Ok(Self { exit, stdout: read_text(from, stdout)?, stderr: read_text(from, stderr)? })
    }
}

impl From<Outcome> for Answer {
    fn from(outcome: Outcome) -> Self {
        let Outcome { exit, stdout, stderr } = outcome;
        Self { exit, stdout, stderr }
    }
}

fn read_text(from: &mut impl Read, bytes: i64) -> io::Result<String> {
    let bytes = usize::try_from(bytes).ok().filter(|&bytes| bytes <= ANSWER_MAX);
    let mut text = vec![0; bytes.ok_or_else(|| broken("impossible length of the answer"))?];
    from.read_exact(&mut text)?;
    String::from_utf8(text).map_err(|_| broken("the answer is not UTF-8"))
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// A line as it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// Without its line feed.
    Whole(String),
    /// Longer than allowed; how it goes on is unknown.
    TooLong,
    /// The other side has said all.
    End,
}

/// Reads a line of at most `bytes_max` bytes. Bytes that are not UTF-8 become replacement
/// characters, which no command has.
pub fn read_line(from: &mut impl BufRead, bytes_max: usize) -> io::Result<Line> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    from.take(limit).read_until(b'\n', &mut bytes)?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    } else if bytes.len() > bytes_max {
        return Ok(Line::TooLong);
    } else if bytes.is_empty() {
        return Ok(Line::End);
    }
    Ok(Line::Whole(String::from_utf8_lossy(&bytes).into_owned()))
}

/// The input of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    Whole(Vec<u8>),
    /// Longer than allowed, or one of its lines is; how it goes on is unknown.
    TooLong,
    /// There was no memory for it; how it goes on is unknown.
    NoRoom,
}

/// Reads the input of a request, up to the line with a single dot or the end. `grow` is asked
/// whether there is memory for so many bytes more.
pub fn read_input(
    from: &mut impl BufRead,
    mut grow: impl FnMut(usize) -> bool,
) -> io::Result<Input> {
    let mut input = Vec::new();
    loop {
        match read_line(from, LINE_MAX)? {
            Line::TooLong => return Ok(Input::TooLong),
            Line::End => return Ok(Input::Whole(input)),
            Line::Whole(line) if line == "." => return Ok(Input::Whole(input)),
            // Also an empty one, for which there is always room.
            Line::Whole(line) if input.len() + line.len() >= INPUT_MAX => {
                return Ok(Input::TooLong);
            }
            Line::Whole(line) if !grow(line.len() + 1) => return Ok(Input::NoRoom),
            Line::Whole(line) => {
                input.extend_from_slice(line.strip_prefix('.').unwrap_or(&line).as_bytes());
                input.push(b'\n');
            }
        }
    }
}

/// Reads the input of a request that is refused anyway, and forgets it. `false` where it is longer
/// than allowed.
pub fn skip_input(from: &mut impl BufRead) -> io::Result<bool> {
    let mut skipped = 0;
    while skipped < INPUT_MAX {
        match read_line(from, LINE_MAX)? {
            Line::TooLong => return Ok(false),
            Line::End => return Ok(true),
            Line::Whole(line) if line == "." => return Ok(true),
            Line::Whole(line) => skipped += line.len() + 1,
        }
    }
    Ok(false)
}

/// Writes the input of a request and its end.
pub fn write_input(input: &[u8], to: &mut impl Write) -> io::Result<()> {
    for line in input.split_inclusive(|&byte| byte == b'\n') {
        if line.starts_with(b".") {
            to.write_all(b".")?;
        }
        to.write_all(line)?;
    }
    let ended = input.is_empty() || input.ends_with(b"\n");
    to.write_all(if ended { b".\n" } else { b"\n.\n" })
}

/// The request line of these words, without line feed.
pub fn encode(words: &[String]) -> String {
    let encoded: Vec<_> = words
        .iter()
        .map(|word| {
            if word.is_empty() {
                return "\\e".to_owned();
            }
            let mut text = String::with_capacity(word.len());
            for character in word.chars() {
                match character {
                    '\\' => text.push_str("\\\\"),
                    ' ' => text.push_str("\\s"),
                    '\t' => text.push_str("\\t"),
                    '\n' => text.push_str("\\n"),
                    other => text.push(other),
                }
            }
            text
        })
        .collect();
    encoded.join(" ")
}

/// The words of a request line. An unknown escape stands for itself.
pub fn decode(line: &str) -> Vec<String> {
    line.trim_end_matches('\r')
        .split([' ', '\t'])
        .filter(|word| !word.is_empty())
        .map(decode_word)
        .collect()
}

fn decode_word(word: &str) -> String {
    if word == "\\e" {
        return String::new();
    }
    let mut text = String::with_capacity(word.len());
    let mut characters = word.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            text.push(character);
            continue;
        }
        match characters.next() {
            Some('s') => text.push(' '),
            Some('t') => text.push('\t'),
            Some('n') => text.push('\n'),
            Some('\\') | None => text.push('\\'),
            Some(other) => text.extend(['\\', other]),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(line: &str) -> Vec<String> {
        decode(line)
    }

    #[test]
    fn a_plain_command_line_needs_no_escapes() {
        assert_eq!(words("-A  -t\t10.0.0.1:80 -s rr\r"), ["-A", "-t", "10.0.0.1:80", "-s", "rr"]);
        assert_eq!(words("  "), [""; 0]);
    }

    #[test]
    fn an_answer_comes_back_as_it_was() {
        let answer = Answer { exit: -1, stdout: "a\nß".into(), stderr: "\n".into() };
        let mut bytes = Vec::new();
        answer.write(&mut bytes).unwrap();
        assert_eq!(&bytes[..27], b"exit -1 stdout 4 stderr 1\na");
        assert_eq!(Answer::read(&mut bytes.as_slice()).unwrap(), answer);
    }

    #[test]
    fn nonsense_is_no_answer() {
        for text in
            ["", "x\n", "exit 0\n", "exit 0 stdout -1 stderr 0\n", "exit 0 stdout 9 stderr 0\nab"]
        {
            assert!(Answer::read(&mut text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn inputs_have_limits() {
        let line = vec![b'a'; LINE_MAX + 1];
        assert_eq!(read_input(&mut line.as_slice(), |_| true).unwrap(), Input::TooLong);
        assert!(!skip_input(&mut line.as_slice()).unwrap());
        let mut left = 6;
        let grow = |bytes: usize| {
            left -= i32::try_from(bytes).unwrap();
            left >= 0
        };
        assert_eq!(read_input(&mut &b"ab\ncd\ne\n.\n"[..], grow).unwrap(), Input::NoRoom);
        let line = [&[b'a'; LINE_MAX - 1][..], b"\n"].concat();
        let long = line.repeat(INPUT_MAX / LINE_MAX);
        let input = |more: &str| [long.as_slice(), more.as_bytes()].concat();
        let read = |more: &str| read_input(&mut input(more).as_slice(), |_| true).unwrap();
        assert!(matches!(read(""), Input::Whole(read) if read == long));
        for more in ["a\n", "\n"] {
            assert_eq!(read(more), Input::TooLong, "{more:?}");
            assert!(!skip_input(&mut input(more).as_slice()).unwrap(), "{more:?}");
        }
        assert!(skip_input(&mut input("")[LINE_MAX..].as_ref()).unwrap());
    }

    #[test]
    fn lines_have_a_limit() {
        let mut from = &b"abcd\nabcde\n"[..];
        assert_eq!(read_line(&mut from, 4).unwrap(), Line::Whole("abcd".into()));
        assert_eq!(read_line(&mut from, 4).unwrap(), Line::TooLong);
        assert_eq!(read_line(&mut &b""[..], 4).unwrap(), Line::End);
    }

    proptest! {
        #[test]
        fn words_survive(words in proptest::collection::vec("\\PC*|[ \t\n\\\\estn.]*", 0..5)) {
            let line = encode(&words);
            prop_assert!(!line.contains('\n'));
            // A carriage return at the very end would be taken for the line's.
            prop_assume!(!line.ends_with('\r'));
            prop_assert_eq!(decode(&line), words);
        }

        #[test]
        fn input_survives(input in "([.a\n]*)") {
            let mut bytes = Vec::new();
            write_input(input.as_bytes(), &mut bytes).unwrap();
            bytes.extend_from_slice(b"next\n");
            let mut from = bytes.as_slice();
            let mut skipped = from;
            let Input::Whole(read) = read_input(&mut from, |_| true).unwrap() else { panic!() };
            prop_assert!(skip_input(&mut skipped).unwrap());
            prop_assert_eq!(skipped, from);
            let expected = if input.is_empty() || input.ends_with('\n') { input } else { input + "\n" };
            prop_assert_eq!(String::from_utf8(read).unwrap(), expected);
            prop_assert_eq!(from, b"next\n");
        }
    }
}
