//! IPVS's files in `/proc/net`: reading one reads sluiced's text.

use std::ffi::{CStr, c_char, c_int};

use libc::FILE;

use crate::door::{self, Descriptor};
use crate::message::{NAME, READ_FILE, Request};
use crate::next::{self, fail};

/// Folders of the files.
const FOLDERS: [&[u8]; 3] = [b"/proc/net/", b"/proc/self/net/", b"/proc/thread-self/net/"];

/// The files, with the end of a C string as sluiced wants it.
const NAMES: [&CStr; 6] = [
    c"ip_vs",
    c"ip_vs_app",
    c"ip_vs_conn",
    c"ip_vs_conn_sync",
    c"ip_vs_stats",
    c"ip_vs_stats_percpu",
];

/// The file of IPVS that a path leads to.
fn name(path: &[u8]) -> Option<&'static CStr> {
    let rest = FOLDERS.iter().find_map(|folder| path.strip_prefix(*folder))?;
    NAMES.into_iter().find(|name| name.to_bytes() == rest)
}

/// The same of a C string, which may be missing.
///
/// # Safety
///
/// A path that is not null is a C string.
unsafe fn name_at(path: *const c_char) -> Option<&'static CStr> {
    if path.is_null() {
        return None;
    }
    // SAFETY: the caller says so.
    name(unsafe { CStr::from_ptr(path) }.to_bytes())
}

/// A file in memory with sluiced's text of that name, at its beginning.
fn read(name: &CStr, flags: c_int) -> Result<c_int, c_int> {
    if flags & libc::O_ACCMODE != libc::O_RDONLY {
        return Err(libc::EACCES);
    }
    let close_on_exec = if flags & libc::O_CLOEXEC == 0 { 0 } else { libc::MFD_CLOEXEC };
    // SAFETY: the name is a C string.
    let fd = unsafe { libc::memfd_create(name.as_ptr(), close_on_exec) };
    if fd < 0 {
        return Err(next::errno());
    }
    let file = Descriptor(fd);
    let request = Request::new(READ_FILE).with(NAME, name.to_bytes_with_nul());
    let asked = door::ask(request, |mut piece| {
        while !piece.is_empty() {
            // SAFETY: the bytes are there.
            let written = unsafe { next::write(file.0, piece.as_ptr().cast(), piece.len()) };
            let written = usize::try_from(written).map_err(|_| libc::EIO)?;
            piece = piece.get(written..).unwrap_or_default();
        }
        Ok(())
    });
    asked.map_err(|number| match number {
        libc::EPERM => libc::EACCES,
        // As on a machine without IPVS.
        libc::ECONNREFUSED => libc::ENOENT,
        other => other,
    })?;
    // SAFETY: it has no conditions.
    unsafe { libc::lseek(file.0, 0, libc::SEEK_SET) };
    std::mem::forget(file);
    Ok(fd)
}

fn descriptor(name: &CStr, flags: c_int) -> c_int {
    read(name, flags).unwrap_or_else(fail)
}

/// # Safety
///
/// As of open(2).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: c_int) -> c_int {
    // SAFETY: the same conditions.
    unsafe { openat(libc::AT_FDCWD, path, flags, mode) }
}

/// # Safety
///
/// As of open(2).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: c_int) -> c_int {
    // SAFETY: the same conditions.
    unsafe { openat(libc::AT_FDCWD, path, flags | libc::O_LARGEFILE, mode) }
}

/// # Safety
///
/// As of open(2).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn openat(
    folder: c_int,
    path: *const c_char,
    flags: c_int,
    mode: c_int,
) -> c_int {
    // SAFETY: the same conditions.
    match unsafe { name_at(path) } {
        Some(name) => descriptor(name, flags),
        // SAFETY: the same conditions.
        None => unsafe { next::openat(folder, path, flags, mode) },
    }
}

/// # Safety
///
/// As of open(2).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn openat64(
    folder: c_int,
    path: *const c_char,
    flags: c_int,
    mode: c_int,
) -> c_int {
    // SAFETY: the same conditions.
    unsafe { openat(folder, path, flags | libc::O_LARGEFILE, mode) }
}

/// What `open` is with checks at compile time.
///
/// # Safety
///
/// As of open(2).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn __open_2(path: *const c_char, flags: c_int) -> c_int {
    // SAFETY: the same conditions.
    unsafe { openat(libc::AT_FDCWD, path, flags, 0) }
}

/// What `open64` is with checks at compile time.
///
/// # Safety
///
/// As of open(2).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn __open64_2(path: *const c_char, flags: c_int) -> c_int {
    // SAFETY: the same conditions.
    unsafe { openat(libc::AT_FDCWD, path, flags | libc::O_LARGEFILE, 0) }
}

/// What `openat` is with checks at compile time.
///
/// # Safety
///
/// As of open(2).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn __openat_2(folder: c_int, path: *const c_char, flags: c_int) -> c_int {
    // SAFETY: the same conditions.
    unsafe { openat(folder, path, flags, 0) }
}

/// What `openat64` is with checks at compile time.
///
/// # Safety
///
/// As of open(2).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn __openat64_2(folder: c_int, path: *const c_char, flags: c_int) -> c_int {
    // SAFETY: the same conditions.
    unsafe { openat(folder, path, flags | libc::O_LARGEFILE, 0) }
}

/// # Safety
///
/// As of fopen(3).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn fopen(path: *const c_char, mode: *const c_char) -> *mut FILE {
    // SAFETY: the same conditions.
    let Some(name) = (unsafe { name_at(path) }) else {
        // SAFETY: the same conditions.
        return unsafe { next::fopen(path, mode) };
    };
    // SAFETY: the mode is a C string.
    let is_reading = unsafe { CStr::from_ptr(mode) }.to_bytes().first() == Some(&b'r');
    let flags = if is_reading { libc::O_RDONLY } else { libc::O_WRONLY };
    match read(name, flags) {
        // SAFETY: the descriptor is open and nobody else's, the mode is a C string.
        Ok(fd) => unsafe { libc::fdopen(fd, mode) },
        Err(number) => fail(number),
    }
}

/// # Safety
///
/// As of fopen(3).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn fopen64(path: *const c_char, mode: *const c_char) -> *mut FILE {
    // SAFETY: the same conditions.
    unsafe { fopen(path, mode) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_ipvs_are_taken() {
        assert_eq!(name(b"/proc/net/ip_vs_conn"), Some(c"ip_vs_conn"));
        assert_eq!(name(b"/proc/self/net/ip_vs"), Some(c"ip_vs"));
        for other in ["/proc/net/ip_vs_", "/proc/net/ip_vs/", "/proc/net/tcp", "ip_vs", ""] {
            assert_eq!(name(other.as_bytes()), None, "{other}");
        }
    }
}
