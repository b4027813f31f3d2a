//! The way to sluiced: its netlink socket, and one question at a time on a connection of its own.

use std::ffi::{CStr, c_int};
use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use libc::{sockaddr_un, socklen_t};

use crate::message::{self, Reply, Request};
use crate::next;

const DEFAULT: &CStr = c"/run/sluice/netlink.sock";

/// Bytes of the longest datagram of a reply.
const DATAGRAM_MAX: usize = 16 << 10;

/// Where sluiced listens.
fn path() -> &'static CStr {
    // SAFETY: the name is a C string.
    let named = unsafe { libc::getenv(c"SLUICE_NETLINK_SOCKET".as_ptr()) };
    if named.is_null() {
        return DEFAULT;
    }
    // SAFETY: what is in the environment are C strings that stay there.
    let named = unsafe { CStr::from_ptr(named) };
    if named.is_empty() { DEFAULT } else { named }
}

/// An open descriptor that is closed when it is not needed any more.
pub(crate) struct Descriptor(pub(crate) c_int);

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: it is open, and nobody else's.
        unsafe { libc::close(self.0) };
    }
}

/// Connects to sluiced.
///
/// # Errors
///
/// EPERM where it may not be opened, else ECONNREFUSED, which is said on standard error: once,
/// until it could be opened again.
pub(crate) fn connect() -> Result<Descriptor, c_int> {
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: it has no conditions.
    let fd = unsafe { libc::socket(libc::AF_UNIX, kind, 0) };
    if fd < 0 {
        return Err(next::errno());
    }
    let socket = Descriptor(fd);
    // SAFETY: zeros are an address.
    let mut address = unsafe { mem::zeroed::<sockaddr_un>() };
    address.sun_family = libc::AF_UNIX.unsigned_abs().try_into().unwrap_or_default();
    let path = path().to_bytes_with_nul();
    if path.len() > address.sun_path.len() {
        return Err(unreachable());
    }
    for (to, from) in address.sun_path.iter_mut().zip(path) {
        *to = from.cast_signed();
    }
    let size = socklen_t::try_from(size_of::<sockaddr_un>()).unwrap_or_default();
    let address = (&raw const address).cast();
    loop {
        // SAFETY: the address is of that size.
        if unsafe { next::connect(socket.0, address, size) } == 0 {
            SAID.store(false, Ordering::Relaxed);
            return Ok(socket);
        }
        match next::errno() {
            libc::EINTR => {}
            libc::EACCES | libc::EPERM => return Err(libc::EPERM),
            _ => return Err(unreachable()),
        }
    }
}

/// Whether it was said that nobody answers.
static SAID: AtomicBool = AtomicBool::new(false);

/// Says once why there is no IPVS, until there is one.
fn unreachable() -> c_int {
    if !SAID.swap(true, Ordering::Relaxed) {
        for text in [
            b"sluice-ipvs: nobody answers at ".as_slice(),
            path().to_bytes(),
            b": is sluiced running? ($SLUICE_NETLINK_SOCKET)\n".as_slice(),
        ] {
            // SAFETY: the bytes are there.
            unsafe { next::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) };
        }
    }
    libc::ECONNREFUSED
}

/// Asks sluiced and takes what it answers, piece by piece.
///
/// # Errors
///
/// The error number of the refusal, or of [`connect`].
pub(crate) fn ask(
    mut request: Request,
    mut take: impl FnMut(&[u8]) -> Result<(), c_int>,
) -> Result<(), c_int> {
    let socket = connect()?;
    let bytes = request.bytes();
    // SAFETY: the bytes are there; no address is one.
    let sent = unsafe {
        let (bytes, size) = (bytes.as_ptr().cast(), bytes.len());
        next::sendto(socket.0, bytes, size, libc::MSG_NOSIGNAL, ptr::null(), 0)
    };
    if sent < 0 {
        return Err(libc::ECONNREFUSED);
    }
    let mut buffer = [0_u8; DATAGRAM_MAX];
    loop {
        // SAFETY: there is room for so many bytes.
        let size = unsafe { next::read(socket.0, buffer.as_mut_ptr().cast(), buffer.len()) };
        if size < 0 && next::errno() == libc::EINTR {
            continue;
        }
        let size = usize::try_from(size).unwrap_or(0);
        let mut datagram = buffer.get(..size).unwrap_or_default();
        if datagram.is_empty() {
            return Err(libc::ECONNREFUSED);
        }
        while let Some(reply) = message::reply(&mut datagram) {
            match reply {
                Reply::Piece(piece) => take(piece)?,
                Reply::End => return Ok(()),
                Reply::Refused(number) => return Err(number),
            }
        }
    }
}
