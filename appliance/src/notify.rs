//! Tells systemd how the director is: the protocol of sd_notify(3), a datagram to the socket that
//! `$NOTIFY_SOCKET` names.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::logging;

/// Names the socket; systemd sets it where a unit has `Type=notify`.
const SOCKET: &str = "NOTIFY_SOCKET";

/// systemd cannot be told.
#[derive(Debug, thiserror::Error)]
#[error("${SOCKET} {}: {source}; systemd waits for it, and ends the director then", name.display())]
pub struct NotifyError {
    name: std::path::PathBuf,
    source: io::Error,
}

/// The same as [`say`]; where nobody can be told, the log is.
pub fn announce(state: &str) {
    if let Err(problem) = say(state) {
        log::warn!(target: logging::START, "{problem}");
    }
}

/// Says a state, if anybody wants to know: lines such as `READY=1`.
///
/// # Errors
///
/// The socket that is named takes nothing.
pub fn say(state: &str) -> Result<(), NotifyError> {
    match env::var_os(SOCKET).filter(|name| !name.is_empty()) {
        Some(name) => {
            let told = tell(&name, state.as_bytes());
            told.map_err(|source| NotifyError { name: name.into(), source })
        }
        None => Ok(()),
    }
}

/// Sends a state to a socket. A name that begins with `@` is not in the file system.
fn tell(name: &OsStr, state: &[u8]) -> io::Result<()> {
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(name),
    };
    UnixDatagram::unbound()?.send_to_addr(state, &address?).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_reaches_sockets_of_both_kinds() {
        let unique = format!("sluice-notify-{}", std::process::id());
        let path = env::temp_dir().join(&unique);
        let in_folder = UnixDatagram::bind(&path).unwrap();
        let address = SocketAddr::from_abstract_name(&unique).unwrap();
        let abstracted = UnixDatagram::bind_addr(&address).unwrap();
        tell(path.as_os_str(), b"READY=1").unwrap();
        tell(OsStr::new(&format!("@{unique}")), b"READY=1").unwrap();
        std::fs::remove_file(&path).unwrap();
        for socket in [in_folder, abstracted] {
            let mut bytes = [0; 16];
            let size = socket.recv(&mut bytes).unwrap();
            assert_eq!(&bytes[..size], b"READY=1");
        }
        assert!(tell(path.as_os_str(), b"READY=1").is_err());
    }
}
