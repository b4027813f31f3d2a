//! Who asks: the process at the other end of the socket, as the kernel vouches for it.

use std::io;
use std::os::unix::net::UnixStream;

use rustix::net::sockopt::socket_peercred;

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

/// The process that sends requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// Process number; 0 where it is in a namespace that this one does not see.
    pub pid: i32,
    pub uid: u32,
    pub gid: u32,
    pub rights: Rights,
}

impl Asker {
    /// Who is at the other end. Whoever could open the socket may change things.
    ///
    /// # Errors
    ///
    /// When the kernel does not know.
    pub fn at(stream: &UnixStream) -> io::Result<Self> {
        let credentials = socket_peercred(stream)?;
        Ok(Self {
            pid: credentials.pid.as_raw_pid(),
            uid: credentials.uid.as_raw(),
            gid: credentials.gid.as_raw(),
            rights: Rights::Change,
        })
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
        let what = if self.rights < Rights::Read { "ask for anything" } else { "change anything" };
        Err(format!("sluiced: user {} may not {what} here", self.uid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_end_is_known() {
        let (_here, there) = UnixStream::pair().unwrap();
        let asker = Asker::at(&there).unwrap();
        assert_eq!(u32::try_from(asker.pid).unwrap(), std::process::id());
        assert!(asker.check(Rights::Change).is_ok());
        let reader = Asker { rights: Rights::Read, ..asker };
        assert!(reader.check(Rights::Read).is_ok());
        assert!(reader.check(Rights::Change).unwrap_err().contains("may not change"));
    }
}
