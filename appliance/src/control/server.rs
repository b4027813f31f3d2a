//! The conversation on the control socket. Reading, looking names up and writing take no lock; only
//! what a command does to the director happens under its lock.

use std::io::{self, BufReader, BufWriter, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use super::asker::{Asker, Rights};
use super::audit::{Door, Entries};
use super::budget::Portion;
use super::command::Commands;
use super::listener::Conversation;
use super::protocol::{Answer, Input, LINE_MAX, Line, decode, read_input, read_line, skip_input};
use super::request::reads_input;

/// A connection that says nothing for so long is closed; one that does not read its answers, too.
const PATIENCE: Duration = Duration::from_secs(60);
/// Answers of so many bytes are not counted.
const SMALL: usize = 64 << 10;

/// Who answers on the control socket.
#[derive(Debug)]
pub struct ControlDoor(pub Arc<Commands>);

impl Conversation for ControlDoor {
    const NAME: &str = "control";

    fn converse(&self, stream: &UnixStream) -> io::Result<()> {
        converse(stream, &self.0)
    }

    fn refuse(&self, stream: &UnixStream) -> io::Result<()> {
        let message = "sluiced: too many control connections, try again later";
        say(stream, &Answer::refusing(2, message))
    }
}

/// The way back to a client, with a time limit.
struct Patient<'a>(&'a UnixStream);

impl Write for Patient<'_> {
    /// A socket that waits takes all, unless its time is over: then what it took is no progress.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.0.write(bytes)?;
        if taken < bytes.len() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(taken) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn say(mut stream: &UnixStream, answer: &Answer) -> io::Result<()> {
    let mut bytes = Vec::new();
    answer.write(&mut bytes)?;
    stream.write_all(&bytes)
}

/// Answers one client's requests in order. Changes become visible, and answers are sent, when no
/// further request has come in: a batch that is sent ahead costs one new snapshot.
fn converse(stream: &UnixStream, commands: &Commands) -> io::Result<()> {
    let asker = Asker::at(stream, &commands.permissions)?;
    if let Err(refusal) = asker.check(Rights::Read) {
        stream.set_nonblocking(true)?;
        return say(stream, &Answer::refusing(2, &refusal));
    }
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut from = BufReader::with_capacity(LINE_MAX, stream);
    let mut to = BufWriter::new(Patient(stream));
    let mut entries = commands.audit.entries(Door::Control, &asker);
    let talked = talk(&mut from, &mut to, commands, &asker, &mut entries);
    // Also what somebody changed who has gone away since.
    commands.publish();
    entries.write();
    if talked.is_ok() {
        return to.flush();
    }
    // Nobody reads what is left of the answers.
    drop(to.into_parts());
    talked
}

fn talk(
    from: &mut BufReader<&UnixStream>,
    to: &mut BufWriter<Patient<'_>>,
    commands: &Commands,
    asker: &Asker,
    entries: &mut Entries<'_>,
) -> io::Result<()> {
    loop {
        let line = match read_line(from, LINE_MAX)? {
            Line::Whole(line) => line,
            Line::End => return Ok(()),
            Line::TooLong => {
                let message = format!("sluiced: a request line is at most {LINE_MAX} bytes long");
                return Answer::refusing(2, &message).write(to);
            }
        };
        let words = decode(&line);
        if words.is_empty() {
            continue;
        }
        match commands.capture(asker, &words, entries) {
            None => {}
            Some(Err(refusal)) => return refusal.write(to),
            Some(Ok(session)) => {
                commands.publish();
                entries.write();
                Answer::default().write(to)?;
                // What follows is no conversation any more.
                return session.run(from.get_ref(), to, commands);
            }
        }
        let mut memory = commands.budget.portion();
        let answer = match read_its_input(&words, from, asker, &mut memory)? {
            Ok(input) => commands.run(asker, &words, &input, entries),
            Err(Refused { answer, goes_on }) => {
                if asker.rights < Rights::Change {
                    entries.add_refused(&words, &answer);
                }
                if !goes_on {
                    return answer.write(to);
                }
                answer
            }
        };
        let size = answer.stdout.len() + answer.stderr.len();
        if size > SMALL && !memory.grow(size) {
            let message = "sluiced: too many long answers wait to be read, try again later";
            Answer::refusing(2, message).write(to)?;
        } else {
            answer.write(to)?;
        }
        if !from.buffer().contains(&b'\n') {
            commands.publish();
            entries.write();
            to.flush()?;
        }
    }
}

/// A request that is refused because of its input.
struct Refused {
    answer: Answer,
    /// Whether the next request can be read.
    goes_on: bool,
}

/// Reads the input that belongs to a request. Of one who may change nothing it is not kept.
fn read_its_input(
    words: &[String],
    from: &mut BufReader<&UnixStream>,
    asker: &Asker,
    memory: &mut Portion<'_>,
) -> io::Result<Result<Vec<u8>, Refused>> {
    let refused =
        |message: &str, goes_on| Ok(Err(Refused { answer: Answer::refusing(2, message), goes_on }));
    if !reads_input(words) {
        return Ok(Ok(Vec::new()));
    }
    if let Err(refusal) = asker.check(Rights::Change) {
        let goes_on = skip_input(from)?;
        return refused(&refusal, goes_on);
    }
    match read_input(from, |bytes| memory.grow(bytes))? {
        Input::Whole(input) => Ok(Ok(input)),
        Input::TooLong => refused("sluiced: the input is too long; send it in parts", false),
        Input::NoRoom => {
            refused("sluiced: others send too much at this time, try again later", false)
        }
    }
}
