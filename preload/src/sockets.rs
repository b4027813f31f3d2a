//! Sockets: a generic netlink socket that asks for IPVS becomes a connection to sluiced, and goes
//! on looking like netlink.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::mem;
use std::ptr;
use std::slice;

use libc::{iovec, msghdr, size_t, sockaddr, sockaddr_nl, socklen_t, ssize_t};

use crate::descriptors;
use crate::door;
use crate::message;
use crate::next::{self, fail};
use crate::question::{self, Question};

const NETLINK_GENERIC: c_int = 16;

/// A number that the kernel says of a socket.
fn number(fd: c_int, option: c_int) -> Option<c_int> {
    let mut value: c_int = 0;
    let mut size = socklen_t::try_from(size_of::<c_int>()).ok()?;
    let place = (&raw mut value).cast();
    // SAFETY: there is room for a number of that size.
    let result = unsafe { next::getsockopt(fd, libc::SOL_SOCKET, option, place, &raw mut size) };
    (result == 0).then_some(value)
}

/// The port of a generic netlink socket of the kernel.
fn generic_port(fd: c_int) -> Option<u32> {
    let is_netlink = number(fd, libc::SO_DOMAIN)? == libc::AF_NETLINK;
    if !is_netlink || number(fd, libc::SO_PROTOCOL)? != NETLINK_GENERIC {
        return None;
    }
    let mut address = address(0);
    let mut size = socklen_t::try_from(size_of::<sockaddr_nl>()).ok()?;
    let place = (&raw mut address).cast();
    // SAFETY: there is room for an address of that size.
    let result = unsafe { next::getsockname(fd, place, &raw mut size) };
    (result == 0).then_some(address.nl_pid)
}

/// The address of a port of netlink; the kernel's is 0.
fn address(port: u32) -> sockaddr_nl {
    // SAFETY: zeros are an address.
    let mut address = unsafe { mem::zeroed::<sockaddr_nl>() };
    address.nl_family = libc::AF_NETLINK.unsigned_abs().try_into().unwrap_or_default();
    address.nl_pid = port;
    address
}

/// Puts a new connection into the place of a descriptor, which keeps what the program has set.
fn replace(fd: c_int, port: u32) -> Result<(), c_int> {
    if !descriptors::has_place(fd) {
        return Err(libc::EMFILE);
    }
    descriptors::put(fd, &door::connect()?, port)
}

/// The parts of a message as slices of it.
///
/// # Safety
///
/// The parts are as of sendmsg(2), and live as long as the slice is used.
unsafe fn parts<'a>(first: *const iovec, count: usize) -> &'a [iovec] {
    if first.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: the caller says so.
    unsafe { slice::from_raw_parts(first, count) }
}

/// The first part of a message, up to a size.
///
/// # Safety
///
/// As of [`parts`].
unsafe fn beginning<'a>(parts: &[iovec], size: usize) -> &'a [u8] {
    match parts.first().filter(|part| !part.iov_base.is_null()) {
        // SAFETY: the caller has so many bytes there.
        Some(part) => unsafe {
            slice::from_raw_parts(part.iov_base.cast::<u8>(), part.iov_len.min(size))
        },
        None => &[],
    }
}

/// A message header with these parts and nothing else.
fn header(parts: &[iovec]) -> msghdr {
    // SAFETY: zeros are a header without anything.
    let mut header = unsafe { mem::zeroed::<msghdr>() };
    header.msg_iov = parts.as_ptr().cast_mut();
    header.msg_iovlen = parts.len();
    header
}

/// Sends by a connection to sluiced, if the descriptor is one or becomes one; `None` where it is
/// none.
///
/// # Safety
///
/// As of [`parts`].
unsafe fn send_to_sluiced(fd: c_int, parts: &[iovec], flags: c_int) -> Option<ssize_t> {
    // SAFETY: the same conditions.
    let request = unsafe { beginning(parts, usize::MAX) };
    let port = match descriptors::port(fd) {
        Some(port) => port,
        None if message::asks_for_ipvs(request) => {
            let port = generic_port(fd)?;
            if let Err(number) = replace(fd, port) {
                return Some(fail(number));
            }
            port
        }
        None => return None,
    };
    let question = Question::of(request);
    let header = header(parts);
    let flags = flags & !libc::MSG_OOB | libc::MSG_NOSIGNAL;
    let mut sent;
    let mut is_second = false;
    loop {
        // SAFETY: the header's parts are the caller's.
        sent = unsafe { next::sendmsg(fd, &raw const header, flags) };
        let is_gone = matches!(next::errno(), libc::EPIPE | libc::ECONNRESET | libc::ENOTCONN);
        if sent >= 0 || !is_gone {
            break;
        }
        // That sluiced has ended. There may be another by now, as the kernel would always be there.
        let found = if is_second { Err(libc::ECONNREFUSED) } else { replace(fd, port) };
        is_second = true;
        let Err(number) = found else { continue };
        let is_refused =
            question.is_some_and(|question| question::refuse(fd, port, question, number));
        let size: usize = parts.iter().map(|part| part.iov_len).sum();
        return Some(if is_refused { size.try_into().unwrap_or(0) } else { fail(number) });
    }
    if sent >= 0 {
        question::asked(fd, question);
    }
    Some(sent)
}

/// Whether a receive finds the end of the connection. Netlink has no end.
fn is_end(size: ssize_t, is_asked: bool) -> bool {
    (size < 0 && next::errno() == libc::ECONNRESET) || (size == 0 && is_asked)
}

/// Receives by `receive`. If the connection has ended with a question unanswered, the answer is a
/// refusal; else the end is an error.
///
/// # Safety
///
/// As of [`parts`].
unsafe fn receive_from_sluiced(
    fd: c_int,
    parts: &[iovec],
    flags: c_int,
    receive: impl Fn() -> ssize_t,
) -> ssize_t {
    let is_asked = parts.iter().any(|part| part.iov_len > 0);
    let mut got = receive();
    if is_end(got, is_asked) && question::refuse_last(fd) {
        got = receive();
    }
    if is_end(got, is_asked) {
        return fail(libc::ECONNREFUSED);
    }
    if let Ok(size) = usize::try_from(got)
        && flags & libc::MSG_PEEK == 0
    {
        // SAFETY: the same conditions; so many bytes have been written.
        question::arrived(fd, unsafe { beginning(parts, size) });
    }
    got
}

/// Writes an address of netlink where a caller wants it.
///
/// # Safety
///
/// Where they are not null, there is a size, and room for an address of that size.
unsafe fn write_address(port: u32, to: *mut sockaddr, size: *mut socklen_t) {
    if size.is_null() {
        return;
    }
    // SAFETY: it is not null, and the caller's.
    let size = unsafe { &mut *size };
    if !to.is_null() {
        let room = usize::try_from(*size).unwrap_or(0).min(size_of::<sockaddr_nl>());
        let address = address(port);
        let bytes = (&raw const address).cast::<u8>();
        // SAFETY: both have so many bytes.
        unsafe { ptr::copy_nonoverlapping(bytes, to.cast::<u8>(), room) };
    }
    *size = socklen_t::try_from(size_of::<sockaddr_nl>()).unwrap_or_default();
}

/// # Safety
///
/// As of sendmsg(2).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
    // SAFETY: where it is not null, it is a message of the caller's.
    if let Some(header) = unsafe { message.as_ref() } {
        // SAFETY: the same conditions.
        let parts = unsafe { parts(header.msg_iov, header.msg_iovlen) };
        // SAFETY: the same conditions.
        if let Some(sent) = unsafe { send_to_sluiced(fd, parts, flags) } {
            return sent;
        }
    }
    // SAFETY: the same conditions.
    unsafe { next::sendmsg(fd, message, flags) }
}

/// # Safety
///
/// As of send(2).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn sendto(
    fd: c_int,
    bytes: *const c_void,
    size: size_t,
    flags: c_int,
    to: *const sockaddr,
    to_size: socklen_t,
) -> ssize_t {
    let part = iovec { iov_base: bytes.cast_mut(), iov_len: size };
    // SAFETY: the same conditions.
    match unsafe { send_to_sluiced(fd, &[part], flags) } {
        Some(sent) => sent,
        // SAFETY: the same conditions.
        None => unsafe { next::sendto(fd, bytes, size, flags, to, to_size) },
    }
}

/// # Safety
///
/// As of send(2).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn send(
    fd: c_int,
    bytes: *const c_void,
    size: size_t,
    flags: c_int,
) -> ssize_t {
    // SAFETY: the same conditions; no address is one.
    unsafe { sendto(fd, bytes, size, flags, ptr::null(), 0) }
}

/// # Safety
///
/// As of write(2).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn write(fd: c_int, bytes: *const c_void, size: size_t) -> ssize_t {
    let part = iovec { iov_base: bytes.cast_mut(), iov_len: size };
    // SAFETY: the same conditions.
    match unsafe { send_to_sluiced(fd, &[part], 0) } {
        Some(sent) => sent,
        // SAFETY: the same conditions.
        None => unsafe { next::write(fd, bytes, size) },
    }
}

/// # Safety
///
/// As of recvmsg(2).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
    // SAFETY: where it is not null, it is a message of the caller's.
    let taken = descriptors::port(fd).and(unsafe { message.as_mut() });
    let Some(wanted) = taken else {
        // SAFETY: the same conditions.
        return unsafe { next::recvmsg(fd, message, flags) };
    };
    // SAFETY: the same conditions.
    let parts = unsafe { parts(wanted.msg_iov, wanted.msg_iovlen) };
    let got_flags = Cell::new(0);
    let receive = || {
        let mut header = header(parts);
        // SAFETY: the header's parts are the caller's.
        let size = unsafe { next::recvmsg(fd, &raw mut header, flags) };
        got_flags.set(header.msg_flags);
        size
    };
    // SAFETY: the same conditions.
    let size = unsafe { receive_from_sluiced(fd, parts, flags, receive) };
    if size >= 0 {
        // SAFETY: there is room for an address of the size that the message says.
        unsafe { write_address(0, wanted.msg_name.cast(), &raw mut wanted.msg_namelen) };
        if wanted.msg_name.is_null() {
            wanted.msg_namelen = 0;
        }
        wanted.msg_controllen = 0;
        wanted.msg_flags = got_flags.get() & libc::MSG_TRUNC;
    }
    size
}

/// # Safety
///
/// As of recv(2).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn recvfrom(
    fd: c_int,
    bytes: *mut c_void,
    size: size_t,
    flags: c_int,
    from: *mut sockaddr,
    from_size: *mut socklen_t,
) -> ssize_t {
    if descriptors::port(fd).is_none() {
        // SAFETY: the same conditions.
        return unsafe { next::recvfrom(fd, bytes, size, flags, from, from_size) };
    }
    let none = ptr::null_mut();
    let part = iovec { iov_base: bytes, iov_len: size };
    // SAFETY: the same conditions; no address is wanted.
    let receive = || unsafe { next::recvfrom(fd, bytes, size, flags, none, ptr::null_mut()) };
    // SAFETY: the same conditions.
    let got = unsafe { receive_from_sluiced(fd, &[part], flags, receive) };
    if got >= 0 && !from.is_null() {
        // SAFETY: the same conditions.
        unsafe { write_address(0, from, from_size) };
    }
    got
}

/// # Safety
///
/// As of recv(2).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn recv(
    fd: c_int,
    bytes: *mut c_void,
    size: size_t,
    flags: c_int,
) -> ssize_t {
    // SAFETY: the same conditions; no address is wanted.
    unsafe { recvfrom(fd, bytes, size, flags, ptr::null_mut(), ptr::null_mut()) }
}

/// # Safety
///
/// As of read(2).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn read(fd: c_int, bytes: *mut c_void, size: size_t) -> ssize_t {
    // SAFETY: the same conditions.
    let receive = || unsafe { next::read(fd, bytes, size) };
    if descriptors::port(fd).is_none() {
        return receive();
    }
    let part = iovec { iov_base: bytes, iov_len: size };
    // SAFETY: the same conditions.
    unsafe { receive_from_sluiced(fd, &[part], 0, receive) }
}

/// # Safety
///
/// As of bind(2).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn bind(fd: c_int, address: *const sockaddr, size: socklen_t) -> c_int {
    if descriptors::port(fd).is_some() {
        return 0;
    }
    // SAFETY: the same conditions.
    unsafe { next::bind(fd, address, size) }
}

/// # Safety
///
/// As of connect(2).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn connect(fd: c_int, address: *const sockaddr, size: socklen_t) -> c_int {
    if descriptors::port(fd).is_some() {
        return 0;
    }
    // SAFETY: the same conditions.
    unsafe { next::connect(fd, address, size) }
}

/// # Safety
///
/// As of getsockname(2).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn getsockname(
    fd: c_int,
    address: *mut sockaddr,
    size: *mut socklen_t,
) -> c_int {
    let Some(port) = descriptors::port(fd) else {
        // SAFETY: the same conditions.
        return unsafe { next::getsockname(fd, address, size) };
    };
    // SAFETY: the same conditions.
    unsafe { write_address(port, address, size) };
    0
}

/// # Safety
///
/// As of getpeername(2).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn getpeername(
    fd: c_int,
    address: *mut sockaddr,
    size: *mut socklen_t,
) -> c_int {
    if descriptors::port(fd).is_none() {
        // SAFETY: the same conditions.
        return unsafe { next::getpeername(fd, address, size) };
    }
    // SAFETY: the same conditions.
    unsafe { write_address(0, address, size) };
    0
}

/// Remembers the copy that a function made.
fn copied(from: c_int, to: c_int) -> c_int {
    descriptors::copy(from, to);
    to
}

/// # Safety
///
/// As of dup(2).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn dup(fd: c_int) -> c_int {
    // SAFETY: the same conditions.
    copied(fd, unsafe { next::dup(fd) })
}

/// # Safety
///
/// As of dup(2).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn dup2(fd: c_int, to: c_int) -> c_int {
    // SAFETY: the same conditions.
    copied(fd, unsafe { next::dup2(fd, to) })
}

/// # Safety
///
/// As of dup(2).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn dup3(fd: c_int, to: c_int, flags: c_int) -> c_int {
    // SAFETY: the same conditions.
    copied(fd, unsafe { next::dup3(fd, to, flags) })
}

/// It takes any arguments. One more than there is does not matter where arguments are in registers,
/// as on all 64-bit Linux machines.
///
/// # Safety
///
/// As of fcntl(2).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn fcntl(fd: c_int, command: c_int, argument: *mut c_void) -> c_int {
    // SAFETY: the same conditions.
    let result = unsafe { next::fcntl(fd, command, argument) };
    if matches!(command, libc::F_DUPFD | libc::F_DUPFD_CLOEXEC) {
        return copied(fd, result);
    }
    result
}

/// The same for large files.
///
/// # Safety
///
/// As of fcntl(2).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn fcntl64(fd: c_int, command: c_int, argument: *mut c_void) -> c_int {
    // SAFETY: the same conditions.
    unsafe { fcntl(fd, command, argument) }
}
