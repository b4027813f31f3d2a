//! The conversation on the control socket. Reading, looking names up and writing take no lock; only
//! what a command does to the director happens under its lock.

use std::io::{self, BufReader, BufWriter, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use super::asker::Asker;
use super::command::Commands;
use super::listener::Conversation;
use super::protocol::{Answer, LINE_MAX, Line, decode, read_input, read_line};
use super::request::reads_input;

/// A connection that says nothing for so long is closed; one that does not read its answers, too.
const PATIENCE: Duration = Duration::from_secs(60);

/// Who answers on the control socket.
#[derive(Debug)]
pub struct ControlDoor(pub Arc<Commands>);

impl Conversation for ControlDoor {
    const NAME: &str = "control";

    fn converse(&self, stream: &UnixStream) -> io::Result<()> {
        converse(stream, &self.0)
    }

    fn refuse(&self, mut stream: &UnixStream) -> io::Result<()> {
        let answer = Answer::refusing(2, "sluiced: too many control connections, try again later");
        let mut bytes = Vec::new();
        answer.write(&mut bytes)?;
        stream.write_all(&bytes)
    }
}

/// Answers one client's requests in order. Changes become visible, and answers are sent, when no
/// further request has come in: a batch that is sent ahead costs one new snapshot.
fn converse(stream: &UnixStream, commands: &Commands) -> io::Result<()> {
    let asker = Asker::at(stream)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut from = BufReader::with_capacity(LINE_MAX, stream);
    let mut to = BufWriter::new(stream);
    loop {
        let line = match read_line(&mut from, LINE_MAX)? {
            Line::Whole(line) => line,
            Line::End => break,
            Line::TooLong => {
                let message = format!("sluiced: a request line is at most {LINE_MAX} bytes long");
                Answer::refusing(2, &message).write(&mut to)?;
                break;
            }
        };
        let words = decode(&line);
        if words.is_empty() {
            continue;
        }
        let input = if reads_input(&words) {
            match read_input(&mut from)? {
                Some(input) => input,
                None => {
                    let message = "sluiced: the input is too long; send it in parts";
                    Answer::refusing(2, message).write(&mut to)?;
                    break;
                }
            }
        } else {
            Vec::new()
        };
        commands.run(&asker, &words, &input).write(&mut to)?;
        if !from.buffer().contains(&b'\n') {
            commands.publish();
            to.flush()?;
        }
    }
    commands.publish();
    to.flush()
}
