//! Options of sockets: IPVS's older interface is sluiced's, and a connection to sluiced answers as
//! the netlink socket that it was.

use std::ffi::{c_int, c_void};
use std::slice;

use libc::socklen_t;

use crate::descriptors;
use crate::door;
use crate::message::{GET_OPTION, OPTION, Request, SET_OPTION, SIZE, VALUE};
use crate::next::{self, fail};

/// Numbers of IPVS's options (`IP_VS_BASE_CTL` to `IP_VS_SO_SET_MAX` and some more).
const IPVS: std::ops::Range<c_int> = 1152..1216;
/// The one whose value is shorter than its room.
const VERSION: c_int = 1152;
/// As much of a value as any option reads.
const VALUE_MAX: usize = 256;

const NETLINK_GENERIC: c_int = 16;

const fn is_ipvs(level: c_int, option: c_int) -> bool {
    level == libc::IPPROTO_IP && option >= IPVS.start && option < IPVS.end
}

/// As of a kernel without IPVS, where sluiced does not answer.
const fn refusal(number: c_int) -> c_int {
    if number == libc::ECONNREFUSED { libc::ENOPROTOOPT } else { number }
}

/// Asks sluiced for an option. The value's room is that of `value`; returns what it should be now.
fn get_ipvs(option: c_int, value: &mut [u8]) -> Result<usize, c_int> {
    let size = u32::try_from(value.len()).map_err(|_| libc::EINVAL)?;
    let seen = value.get(..VALUE_MAX).unwrap_or(value);
    let request = Request::new(GET_OPTION)
        .with(OPTION, &option.unsigned_abs().to_ne_bytes())
        .with(SIZE, &size.to_ne_bytes())
        .with(VALUE, seen);
    let mut written = 0;
    door::ask(request, |piece| {
        let room = value.get_mut(written..).and_then(|rest| rest.get_mut(..piece.len()));
        room.ok_or(libc::EINVAL)?.copy_from_slice(piece);
        written += piece.len();
        Ok(())
    })
    .map_err(refusal)?;
    Ok(if option == VERSION { written } else { value.len() })
}

/// What a netlink socket says of itself, where the connection would say something else.
const fn netlink_option(level: c_int, option: c_int) -> Option<c_int> {
    match (level, option) {
        (libc::SOL_SOCKET, libc::SO_DOMAIN) => Some(libc::AF_NETLINK),
        (libc::SOL_SOCKET, libc::SO_PROTOCOL) => Some(NETLINK_GENERIC),
        (libc::SOL_SOCKET, libc::SO_TYPE) => Some(libc::SOCK_RAW),
        (libc::SOL_SOCKET, libc::SO_PASSCRED) | (libc::SOL_NETLINK, _) => Some(0),
        _ => None,
    }
}

/// # Safety
///
/// As of getsockopt(2).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn getsockopt(
    fd: c_int,
    level: c_int,
    option: c_int,
    value: *mut c_void,
    size: *mut socklen_t,
) -> c_int {
    let netlink = descriptors::port(fd).and_then(|_| netlink_option(level, option));
    if netlink.is_none() && !is_ipvs(level, option) {
        // SAFETY: the same conditions.
        return unsafe { next::getsockopt(fd, level, option, value, size) };
    }
    if value.is_null() || size.is_null() {
        return fail(libc::EFAULT);
    }
    // SAFETY: it is not null, and the caller's.
    let size = unsafe { &mut *size };
    let room = usize::try_from(*size).unwrap_or(0);
    // SAFETY: the caller has so many bytes there.
    let value = unsafe { slice::from_raw_parts_mut(value.cast::<u8>(), room) };
    let written = match netlink {
        Some(number) => {
            let bytes = number.to_ne_bytes();
            let fits = value.get_mut(..bytes.len());
            fits.map(|room| room.copy_from_slice(&bytes)).ok_or(libc::EINVAL).map(|()| bytes.len())
        }
        None => get_ipvs(option, value),
    };
    match written {
        Ok(written) => {
            *size = socklen_t::try_from(written).unwrap_or(*size);
            0
        }
        Err(number) => fail(number),
    }
}

/// # Safety
///
/// As of setsockopt(2).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn setsockopt(
    fd: c_int,
    level: c_int,
    option: c_int,
    value: *const c_void,
    size: socklen_t,
) -> c_int {
    if descriptors::port(fd).is_some() && netlink_option(level, option).is_some() {
        // It is netlink's to take, and there is nothing that it would change.
        return 0;
    }
    if !is_ipvs(level, option) {
        // SAFETY: the same conditions.
        return unsafe { next::setsockopt(fd, level, option, value, size) };
    }
    let size = if value.is_null() { 0 } else { usize::try_from(size).unwrap_or(0) };
    if size > VALUE_MAX {
        return fail(libc::EINVAL);
    }
    let bytes = if size == 0 {
        &[]
    } else {
        // SAFETY: it is not null, and the caller has so many bytes there.
        unsafe { slice::from_raw_parts(value.cast::<u8>(), size) }
    };
    let number = option.unsigned_abs().to_ne_bytes();
    let request = Request::new(SET_OPTION).with(OPTION, &number).with(VALUE, bytes);
    match door::ask(request, |_| Ok(())) {
        Ok(()) => 0,
        Err(number) => fail(refusal(number)),
    }
}
