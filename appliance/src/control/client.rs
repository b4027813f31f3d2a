//! The other end of the control socket: how `sluiceadm` and `sluicectl` ask.

use std::io::{self, BufReader, BufWriter, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::protocol::{Answer, encode, write_input};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error(
        "cannot reach sluiced at {socket}: {source}\nIs it running, and is this its socket? \
         (--socket PATH, or $SLUICE_SOCKET)"
    )]
    Connect { socket: String, source: io::Error },
    #[error("sluiced at {socket} ended the conversation: {source}")]
    Talk { socket: String, source: io::Error },
}

/// Sends one request, with its input if it reads any, and waits for the answer.
///
/// # Errors
///
/// When nobody listens at the socket, or it does not speak this protocol.
pub fn ask(socket: &Path, words: &[String], input: Option<&[u8]>) -> Result<Answer, ClientError> {
    let stream = connect_to(socket)?;
    let socket = socket.display().to_string();
    talk(&stream, words, input).map_err(|source| ClientError::Talk { socket, source })
}

/// A conversation with the director at a socket.
///
/// # Errors
///
/// When nobody listens there.
pub fn connect_to(socket: &Path) -> Result<UnixStream, ClientError> {
    let named = |source| ClientError::Connect { socket: socket.display().to_string(), source };
    UnixStream::connect(socket).map_err(named)
}

/// A director that refuses to listen says so before it closes: its answer tells more than the
/// failure to send.
fn talk(stream: &UnixStream, words: &[String], input: Option<&[u8]>) -> io::Result<Answer> {
    let sent = send(stream, words, input);
    Answer::read(&mut BufReader::new(stream)).map_err(|problem| sent.err().unwrap_or(problem))
}

fn send(stream: &UnixStream, words: &[String], input: Option<&[u8]>) -> io::Result<()> {
    let mut to = BufWriter::new(stream);
    writeln!(to, "{}", encode(words))?;
    if let Some(input) = input {
        write_input(input, &mut to)?;
    }
    to.flush()
}
