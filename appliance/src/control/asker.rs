//! Who asks: the process at the other end of the socket, as the kernel vouches for it.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, OnceLock};

use rustix::net::sockopt::socket_peercred;

use super::permissions::{self, Permissions};

/// What somebody may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rights {
    /// Nothing at all.
    Nothing,
    /// See what there is.
    Read,
    /// Change it.
    Change,
}

/// The process that sends requests, as it was when it opened the socket.
#[derive(Debug)]
pub struct Asker {
    /// Process number; 0 where it is in a namespace that this one does not see.
    pub pid: i32,
    pub uid: u32,
    pub gid: u32,
    /// What the kernel calls the program; empty where the process is gone already.
    pub program: String,
    pub rights: Rights,
    permissions: Arc<Permissions>,
    /// Looked up once, and only for those who need it: the user database may take its time.
    user: OnceLock<Option<String>>,
}

impl Asker {
    /// Who is at the other end, and what it may do.
    ///
    /// # Errors
    ///
    /// When the kernel does not know.
    pub fn at(stream: &UnixStream, permissions: &Arc<Permissions>) -> io::Result<Self> {
        let (pid, uid, gid) = credentials(stream)?;
        Ok(Self {
            pid,
            uid,
            gid,
            program: program(pid),
            rights: permissions.rights(uid, gid),
            permissions: Arc::clone(permissions),
            user: OnceLock::new(),
        })
    }

    /// The name of the user, if it has one.
    pub fn user(&self) -> Option<&str> {
        self.user.get_or_init(|| permissions::user_name(self.uid)).as_deref()
    }

    /// Whether the request may be done; else what to say.
    ///
    /// # Errors
    ///
    /// The refusal.
    pub fn check(&self, wanted: Rights) -> Result<(), String> {
        if self.rights >= wanted {
            return Ok(());
        }
        let (what, least) = if self.rights < Rights::Read {
            ("ask for anything", Rights::Read)
        } else {
            ("change anything", Rights::Change)
        };
        let who = match self.user() {
            Some(name) => format!("{name} ({})", self.uid),
            None => self.uid.to_string(),
        };
        let those = self.permissions.who_may(least);
        Err(format!("sluiced: user {who} may not {what} here; {those}"))
    }
}

/// Process, user and group at the other end.
///
/// # Errors
///
/// When the kernel does not know.
pub fn credentials(stream: &UnixStream) -> io::Result<(i32, u32, u32)> {
    let credentials = socket_peercred(stream)?;
    Ok((credentials.pid.as_raw_pid(), credentials.uid.as_raw(), credentials.gid.as_raw()))
}

/// What the kernel calls the program of a process.
pub(super) fn program(pid: i32) -> String {
    let name = std::fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    String::from_utf8_lossy(&name).trim_end_matches('\n').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_end_is_known() {
        let (_here, there) = UnixStream::pair().unwrap();
        let asker = Asker::at(&there, &Arc::new(Permissions::own())).unwrap();
        assert_eq!(u32::try_from(asker.pid).unwrap(), std::process::id());
        assert!(!asker.program.is_empty());
        assert!(asker.check(Rights::Change).is_ok());
        let reader = Asker { rights: Rights::Read, ..asker };
        assert!(reader.check(Rights::Read).is_ok());
        let refusal = reader.check(Rights::Change).unwrap_err();
        assert!(refusal.contains("may not change anything here; root and members"), "{refusal}");
        let stranger = Asker { rights: Rights::Nothing, ..reader };
        assert!(stranger.check(Rights::Read).unwrap_err().contains("may not ask for anything"));
    }
}
