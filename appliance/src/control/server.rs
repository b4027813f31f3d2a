//! The listening end of the control socket.
//!
//! Each connection has a thread of its own that reads, looks up names and writes without any
//! lock; only what a command does to the director happens under its lock. So a client that is
//! slow, silent or hostile costs one thread and disturbs nobody; there are at most
//! [`CONNECTIONS_MAX`] of them.

use std::fs;
use std::io::{self, BufReader, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::asker::Asker;
use super::command::Commands;
use super::protocol::{Answer, LINE_MAX, Line, decode, read_input, read_line};
use super::request::reads_input;

/// Connections at once.
pub const CONNECTIONS_MAX: usize = 256;
/// A connection that says nothing for so long is closed; one that does not read its answers, too.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why the socket cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error(
        "control.socket {path}: another sluiced answers there; stop it, or give this one a socket \
         of its own"
    )]
    InUse { path: PathBuf },
    #[error(
        "control.socket {path}: there is a file that is no socket; remove it or choose another path"
    )]
    NotASocket { path: PathBuf },
    #[error("control.socket {path}")]
    Open { path: PathBuf, source: io::Error },
}

/// An open control socket; removed from the file system when dropped.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
}

impl Server {
    /// Opens the socket. A socket that a dead director left is replaced.
    ///
    /// # Errors
    ///
    /// See [`ServerError`].
    pub fn open(path: &Path) -> Result<Self, ServerError> {
        let open = |source| ServerError::Open { path: path.to_owned(), source };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(open)?;
        }
        make_way(path)?;
        let listener = UnixListener::bind(path).map_err(open)?;
        // The owner and its group command the director, nobody else.
        fs::set_permissions(path, fs::Permissions::from_mode(0o660)).map_err(open)?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Serves until the process ends, on threads of its own.
    ///
    /// # Errors
    ///
    /// When the system has no thread left.
    pub fn serve(&self, commands: Arc<Commands>) -> io::Result<()> {
        let listener = self.listener.try_clone()?;
        thread::Builder::new().name("control".to_owned()).spawn(move || {
            let connections = Arc::new(AtomicUsize::new(0));
            for stream in listener.incoming() {
                match stream {
                    Ok(stream) => admit(stream, &connections, &commands),
                    // Out of file descriptors, most likely: let some connections end.
                    Err(_) => thread::sleep(Duration::from_millis(100)),
                }
            }
        })?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Somebody else may have removed it already; nothing is left to do then.
        let _ = fs::remove_file(&self.path);
    }
}

/// Removes a socket that nobody listens at.
fn make_way(path: &Path) -> Result<(), ServerError> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    if !std::os::unix::fs::FileTypeExt::is_socket(&metadata.file_type()) {
        return Err(ServerError::NotASocket { path: path.to_owned() });
    }
    if UnixStream::connect(path).is_ok() {
        return Err(ServerError::InUse { path: path.to_owned() });
    }
    fs::remove_file(path).map_err(|source| ServerError::Open { path: path.to_owned(), source })
}

/// Gives a connection its thread, or a polite refusal.
fn admit(stream: UnixStream, connections: &Arc<AtomicUsize>, commands: &Arc<Commands>) {
    if connections.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
        connections.fetch_sub(1, Ordering::Relaxed);
        refuse(&stream);
        return;
    }
    let (connections_of_thread, commands) = (Arc::clone(connections), Arc::clone(commands));
    let spawned = thread::Builder::new().name("control-client".to_owned()).spawn(move || {
        // A client that goes away mid-sentence is no matter.
        let _ = converse(&stream, &commands);
        connections_of_thread.fetch_sub(1, Ordering::Relaxed);
    });
    if spawned.is_err() {
        connections.fetch_sub(1, Ordering::Relaxed);
    }
}

fn refuse(stream: &UnixStream) {
    let answer = Answer::refusing(2, "sluiced: too many control connections, try again later");
    let mut bytes = Vec::new();
    // Writing to memory does not fail, and the listening thread must not wait for this client.
    let _ = answer.write(&mut bytes);
    let _ = stream.set_nonblocking(true);
    let _ = (&*stream).write(&bytes);
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
