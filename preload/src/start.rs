//! What happens before the program begins.

use std::ffi::{CStr, c_char, c_int};

/// Programs that find no IPVS load its module. With this library IPVS is sluiced's, and the host's
/// kernel is not to get one; so a `modprobe ip_vs` that inherited the library fails at once.
///
/// # Safety
///
/// The arguments are those of `main`, as the C library gives them to every initialiser.
unsafe extern "C" fn start(_count: c_int, arguments: *const *const c_char) {
    if arguments.is_null() {
        return;
    }
    let argument = |number| {
        // SAFETY: the list goes on to the null pointer, and is not read behind it.
        let text = unsafe { *arguments.wrapping_add(number) };
        // SAFETY: arguments are C strings.
        (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_bytes())
    };
    let program = argument(0).and_then(|path| path.rsplit(|&byte| byte == b'/').next());
    if program != Some(b"modprobe") {
        return;
    }
    let mut number = 1;
    while let Some(word) = argument(number) {
        if word.starts_with(b"ip_vs") {
            // SAFETY: it has no conditions.
            unsafe { libc::_exit(1) };
        }
        number += 1;
    }
}

// SAFETY: the C library calls what is listed in this section with `main`'s arguments.
#[cfg_attr(not(test), used, unsafe(link_section = ".init_array"))]
#[cfg_attr(test, expect(dead_code, reason = "the test program is no program of others"))]
static START: unsafe extern "C" fn(c_int, *const *const c_char) = start;
