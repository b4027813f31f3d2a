//! Which file descriptors are connections to sluiced that look like netlink sockets.
//!
//! One word for each descriptor: the number of the socket's inode, and the port that the program
//! believes to have. A descriptor that was closed behind our back has another inode, or none, when
//! its number is used again; so nobody has to tell of closing.

use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::door::Descriptor;
use crate::next;

/// Descriptors from here on cannot be netlink sockets to sluiced.
pub(crate) const MAX: usize = 65_536;

static TAKEN: [AtomicU64; MAX] = [const { AtomicU64::new(0) }; MAX];

fn place(fd: c_int) -> Option<&'static AtomicU64> {
    TAKEN.get(usize::try_from(fd).ok()?)
}

/// The low half of the number of the inode, which is all of it for sockets.
fn inode(fd: c_int) -> Option<u32> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: there is room for what it writes.
    if unsafe { libc::fstat(fd, stat.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: it has been written.
    let stat = unsafe { stat.assume_init() };
    let [a, b, c, d, ..] = stat.st_ino.to_le_bytes();
    Some(u32::from_le_bytes([a, b, c, d]))
}

/// Whether there is room to remember the descriptor.
pub(crate) fn has_place(fd: c_int) -> bool {
    place(fd).is_some()
}

/// Puts a connection into the place of a descriptor, which keeps what the program has set and the
/// port that it believes to have.
///
/// # Errors
///
/// The error number of what is not possible.
pub(crate) fn put(fd: c_int, connection: &Descriptor, port: u32) -> Result<(), c_int> {
    // SAFETY: both commands read no argument.
    let status = unsafe { next::fcntl(fd, libc::F_GETFL, ptr::null_mut()) };
    // SAFETY: both commands read no argument.
    let flags = unsafe { next::fcntl(fd, libc::F_GETFD, ptr::null_mut()) };
    let closes_on_exec = if flags & libc::FD_CLOEXEC == 0 { 0 } else { libc::O_CLOEXEC };
    // SAFETY: both are open.
    if unsafe { next::dup3(connection.0, fd, closes_on_exec) } < 0 {
        return Err(next::errno());
    }
    if status & libc::O_NONBLOCK != 0 {
        let flag = ptr::without_provenance_mut(usize::try_from(libc::O_NONBLOCK).unwrap_or(0));
        // SAFETY: the command reads a number.
        unsafe { next::fcntl(fd, libc::F_SETFL, flag) };
    }
    take(fd, port);
    Ok(())
}

/// Remembers that a descriptor is a connection now, with the port of the netlink socket before.
fn take(fd: c_int, port: u32) {
    if let (Some(place), Some(inode)) = (place(fd), inode(fd)) {
        place.store(u64::from(port) << 32 | u64::from(inode), Ordering::Release);
    }
}

/// The port of a descriptor that is a connection.
pub(crate) fn port(fd: c_int) -> Option<u32> {
    let place = place(fd)?;
    let word = place.load(Ordering::Acquire);
    if word == 0 {
        return None;
    }
    let [a, b, c, d, e, f, g, h] = word.to_le_bytes();
    if inode(fd) == Some(u32::from_le_bytes([a, b, c, d])) {
        return Some(u32::from_le_bytes([e, f, g, h]));
    }
    // Another thread may have taken the number meanwhile.
    let _ = place.compare_exchange(word, 0, Ordering::AcqRel, Ordering::Relaxed);
    None
}

/// Remembers a copy of a descriptor.
pub(crate) fn copy(from: c_int, to: c_int) {
    if let Some(port) = port(from).filter(|_| to >= 0) {
        take(to, port);
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn a_number_that_is_used_again_is_not_taken() {
        let first = UnixDatagram::unbound().unwrap();
        let fd = first.as_raw_fd();
        assert_eq!(port(fd), None);
        take(fd, 7);
        assert_eq!(port(fd), Some(7));
        let copied = first.try_clone().unwrap();
        copy(fd, copied.as_raw_fd());
        assert_eq!(port(copied.as_raw_fd()), Some(7));
        let other = UnixDatagram::unbound().unwrap();
        // SAFETY: both are open; the number is `first`'s afterwards as before.
        assert_eq!(unsafe { libc::dup2(other.as_raw_fd(), fd) }, fd);
        assert_eq!(port(fd), None);
        assert_eq!(port(-1), None);
        assert_eq!(port(c_int::MAX), None);
    }
}
