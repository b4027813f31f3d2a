//! Unix sockets of the director: the listening end.
//!
//! Each connection has a thread of its own. So a client that is slow, silent or hostile costs one
//! thread and disturbs nobody; there are at most [`CONNECTIONS_MAX`] of them on each socket.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// Connections at once.
pub const CONNECTIONS_MAX: usize = 256;
/// Connections that wait to be taken.
const BACKLOG: i32 = 128;

/// Why a socket cannot be opened. `key` is the one of the configuration that names it.
#[derive(Debug, thiserror::Error)]
pub enum ListenerError {
    #[error(
        "{key} {path}: another sluiced answers there; stop it, or give this one a socket of its own"
    )]
    InUse { key: &'static str, path: PathBuf },
    #[error("{key} {path}: there is a file that is no socket; remove it or choose another path")]
    NotASocket { key: &'static str, path: PathBuf },
    #[error("{key} {path}")]
    Open { key: &'static str, path: PathBuf, source: io::Error },
}

/// What a connection carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carries {
    /// Bytes.
    Bytes,
    /// Datagrams, in order and whole.
    Datagrams,
}

/// Who talks to those that connect.
pub trait Conversation: Send + Sync + 'static {
    /// Names the threads.
    const NAME: &str;

    /// Talks until the other side has said all.
    ///
    /// # Errors
    ///
    /// A client that goes away mid-sentence, which is no matter.
    fn converse(&self, stream: &UnixStream) -> io::Result<()>;

    /// Tells one who is too many. The stream does not wait.
    ///
    /// # Errors
    ///
    /// When it would have to wait.
    fn refuse(&self, stream: &UnixStream) -> io::Result<()>;
}

/// An open socket; removed from the file system when dropped.
#[derive(Debug)]
pub struct Listener {
    listener: UnixListener,
    path: PathBuf,
}

impl Listener {
    /// Opens the socket that `key` of the configuration names. One that a dead director left is
    /// replaced.
    ///
    /// # Errors
    ///
    /// See [`ListenerError`].
    pub fn open(key: &'static str, path: &Path, carries: Carries) -> Result<Self, ListenerError> {
        let open = |source| ListenerError::Open { key, path: path.to_owned(), source };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(open)?;
        }
        make_way(key, path, carries)?;
        let listener = listen(path, carries).map_err(open)?;
        // The owner and its group command the director, nobody else.
        fs::set_permissions(path, fs::Permissions::from_mode(0o660)).map_err(open)?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Serves until the process ends, on threads of its own.
    ///
    /// # Errors
    ///
    /// When the system has no thread left.
    pub fn serve<C: Conversation>(&self, conversation: C) -> io::Result<()> {
        let listener = self.listener.try_clone()?;
        let conversation = Arc::new(conversation);
        thread::Builder::new().name(C::NAME.to_owned()).spawn(move || {
            let connections = Arc::new(AtomicUsize::new(0));
            for stream in listener.incoming() {
                match stream {
                    Ok(stream) => admit(stream, &connections, &conversation),
                    // Out of file descriptors, most likely: let some connections end.
                    Err(_) => thread::sleep(Duration::from_millis(100)),
                }
            }
        })?;
        Ok(())
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Somebody else may have removed it already; nothing is left to do then.
        let _ = fs::remove_file(&self.path);
    }
}

fn listen(path: &Path, carries: Carries) -> io::Result<UnixListener> {
    if carries == Carries::Bytes {
        return UnixListener::bind(path);
    }
    let kind = SocketType::SEQPACKET;
    let socket = net::socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
    net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// Removes a socket that nobody listens at.
fn make_way(key: &'static str, path: &Path, carries: Carries) -> Result<(), ListenerError> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        return Err(ListenerError::NotASocket { key, path: path.to_owned() });
    }
    if is_answered(path, carries) {
        return Err(ListenerError::InUse { key, path: path.to_owned() });
    }
    let open = |source| ListenerError::Open { key, path: path.to_owned(), source };
    fs::remove_file(path).map_err(open)
}

/// Whether somebody listens at a socket: also one who expects something else to be carried.
fn is_answered(path: &Path, carries: Carries) -> bool {
    let kind = match carries {
        Carries::Bytes => SocketType::STREAM,
        Carries::Datagrams => SocketType::SEQPACKET,
    };
    let connected = SocketAddrUnix::new(path).and_then(|address| {
        let socket = net::socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
        net::connect(&socket, &address)
    });
    matches!(connected, Ok(()) | Err(rustix::io::Errno::PROTOTYPE))
}

/// Gives a connection its thread, or a polite refusal.
fn admit<C: Conversation>(
    stream: UnixStream,
    connections: &Arc<AtomicUsize>,
    conversation: &Arc<C>,
) {
    if connections.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
        connections.fetch_sub(1, Ordering::Relaxed);
        // The listening thread must not wait for this client.
        let _ = stream.set_nonblocking(true).and_then(|()| conversation.refuse(&stream));
        return;
    }
    let (connections_of_thread, conversation) = (Arc::clone(connections), Arc::clone(conversation));
    let name = format!("{}-client", C::NAME);
    let spawned = thread::Builder::new().name(name).spawn(move || {
        // A client that goes away mid-sentence is no matter.
        let _ = conversation.converse(&stream);
        connections_of_thread.fetch_sub(1, Ordering::Relaxed);
    });
    if spawned.is_err() {
        connections.fetch_sub(1, Ordering::Relaxed);
    }
}
