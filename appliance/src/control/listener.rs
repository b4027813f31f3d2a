//! Unix sockets of the director: the listening end.
//!
//! Each connection has a thread of its own. So a client that is slow, silent or hostile costs one
//! thread and disturbs nobody; [`places`](super::places) says how many there may be.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::asker::credentials;
use super::permissions::Permissions;
use super::places::Places;
use crate::logging;

/// Connections that wait to be taken.
const BACKLOG: i32 = 1024;

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
    permissions: Arc<Permissions>,
    note: Option<String>,
}

impl Listener {
    /// Opens the socket that `key` of the configuration names, for those who may open it. One that
    /// a dead director left is replaced.
    ///
    /// # Errors
    ///
    /// See [`ListenerError`].
    pub fn open(
        key: &'static str,
        path: &Path,
        carries: Carries,
        permissions: &Arc<Permissions>,
    ) -> Result<Self, ListenerError> {
        let open = |source| ListenerError::Open { key, path: path.to_owned(), source };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(open)?;
        }
        make_way(key, path, carries)?;
        let socket = bind(path, carries).map_err(open)?;
        // Nobody can connect before it listens.
        let note = give(key, path, permissions).map_err(open)?;
        net::listen(&socket, BACKLOG).map_err(|errno| open(errno.into()))?;
        let (path, permissions) = (path.to_owned(), Arc::clone(permissions));
        Ok(Self { listener: socket.into(), path, permissions, note })
    }

    /// What the operator should know about who can open it.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// Serves until the process ends, on threads of its own.
    ///
    /// # Errors
    ///
    /// When the system has no thread left.
    pub fn serve<C: Conversation>(&self, conversation: C) -> io::Result<()> {
        let listener = self.listener.try_clone()?;
        let admission = Admission {
            places: Arc::new(Places::default()),
            permissions: Arc::clone(&self.permissions),
            conversation: Arc::new(conversation),
        };
        thread::Builder::new().name(C::NAME.to_owned()).spawn(move || {
            for stream in listener.incoming() {
                match stream {
                    Ok(stream) => admission.admit(stream),
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

impl Carries {
    const fn kind(self) -> SocketType {
        match self {
            Self::Bytes => SocketType::STREAM,
            Self::Datagrams => SocketType::SEQPACKET,
        }
    }
}

fn bind(path: &Path, carries: Carries) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC;
    let socket = net::socket_with(AddressFamily::UNIX, carries.kind(), flags, None)?;
    net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

/// Gives a socket to its group, with the mode that lets those in who may ask.
fn give(key: &str, path: &Path, permissions: &Permissions) -> io::Result<Option<String>> {
    let (gid, group) = permissions.group();
    let note = match chown(path, None, Some(gid)) {
        Ok(()) => None,
        Err(problem) if problem.kind() == io::ErrorKind::PermissionDenied => Some(format!(
            "{key} {}: stays in the group of this process, which may not give it to `{group}`",
            path.display()
        )),
        Err(problem) => return Err(problem),
    };
    fs::set_permissions(path, fs::Permissions::from_mode(permissions.mode()))?;
    Ok(note)
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
    let connected = SocketAddrUnix::new(path).and_then(|address| {
        let flags = SocketFlags::CLOEXEC;
        let socket = net::socket_with(AddressFamily::UNIX, carries.kind(), flags, None)?;
        net::connect(&socket, &address)
    });
    matches!(connected, Ok(()) | Err(rustix::io::Errno::PROTOTYPE))
}

/// What decides about connections.
struct Admission<C> {
    places: Arc<Places>,
    permissions: Arc<Permissions>,
    conversation: Arc<C>,
}

impl<C: Conversation> Admission<C> {
    /// Gives a connection its thread, or a polite refusal.
    fn admit(&self, stream: UnixStream) {
        // Without credentials it is gone already.
        let Ok((pid, uid, _)) = credentials(&stream) else { return };
        let is_privileged = self.permissions.is_privileged(uid);
        let Some(place) = self.places.take(pid, uid, is_privileged) else {
            log::warn!(target: logging::CONTROL, socket = C::NAME, uid, pid;
                "too many connections: one is refused");
            // The listening thread must not wait for this client.
            let refused =
                stream.set_nonblocking(true).and_then(|()| self.conversation.refuse(&stream));
            // One that is gone need not be told.
            drop(refused);
            return;
        };
        let conversation = Arc::clone(&self.conversation);
        let talk = move || {
            // A client that goes away mid-sentence is no matter.
            let _ = conversation.converse(&stream);
            drop(place);
        };
        // Without a thread, the connection ends and its place is free again.
        let _ = thread::Builder::new().name(format!("{}-client", C::NAME)).spawn(talk);
    }
}
