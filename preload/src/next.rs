//! The functions behind those of this library: the C library's, or those of another library that
//! is preloaded.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use libc::{FILE, msghdr, size_t, sockaddr, socklen_t, ssize_t};

/// A function that is looked for when it is needed first.
struct Next {
    name: &'static CStr,
    address: AtomicPtr<c_void>,
}

impl Next {
    const fn new(name: &'static CStr) -> Self {
        Self { name, address: AtomicPtr::new(ptr::null_mut()) }
    }

    fn address(&self) -> *mut c_void {
        let known = self.address.load(Ordering::Relaxed);
        if !known.is_null() {
            return known;
        }
        // SAFETY: the name is a C string, and RTLD_NEXT is a handle that dlsym knows.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
        self.address.store(found, Ordering::Relaxed);
        found
    }
}

/// What a function returns when it fails.
pub(crate) trait Failed {
    const FAILED: Self;
}

impl Failed for c_int {
    const FAILED: Self = -1;
}

impl Failed for ssize_t {
    const FAILED: Self = -1;
}

impl Failed for *mut FILE {
    const FAILED: Self = ptr::null_mut();
}

/// Sets `errno`, and is what the function returns then.
pub(crate) fn fail<T: Failed>(errno: c_int) -> T {
    // SAFETY: it has no conditions.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: the place is this thread's own.
    unsafe { *place = errno };
    T::FAILED
}

/// What `errno` says.
pub(crate) fn errno() -> c_int {
    // SAFETY: it has no conditions.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: the place is this thread's own.
    unsafe { *place }
}

macro_rules! next {
    ($(fn $name:ident($($argument:ident: $type:ty),*) -> $result:ty, $symbol:literal;)*) => {$(
        /// The next function of that name.
        ///
        /// # Safety
        ///
        /// What the manual page asks for.
        pub(crate) unsafe fn $name($($argument: $type),*) -> $result {
            // SAFETY: a type does nothing.
            type Function = unsafe extern "C" fn($($type),*) -> $result;
            static NEXT: Next = Next::new($symbol);
            let address = NEXT.address();
            if address.is_null() {
                return fail(libc::ENOSYS);
            }
            // SAFETY: the C library's function of that name has that type.
            let function = unsafe { mem::transmute::<*mut c_void, Function>(address) };
            // SAFETY: the caller keeps to the manual page.
            unsafe { function($($argument),*) }
        }
    )*};
}

next! {
    fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t, c"sendmsg";
    fn sendto(
        fd: c_int,
        bytes: *const c_void,
        size: size_t,
        flags: c_int,
        to: *const sockaddr,
        to_size: socklen_t
    ) -> ssize_t, c"sendto";
    fn write(fd: c_int, bytes: *const c_void, size: size_t) -> ssize_t, c"write";
    fn recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t, c"recvmsg";
    fn recvfrom(
        fd: c_int,
        bytes: *mut c_void,
        size: size_t,
        flags: c_int,
        from: *mut sockaddr,
        from_size: *mut socklen_t
    ) -> ssize_t, c"recvfrom";
    fn read(fd: c_int, bytes: *mut c_void, size: size_t) -> ssize_t, c"read";
    fn bind(fd: c_int, address: *const sockaddr, size: socklen_t) -> c_int, c"bind";
    fn connect(fd: c_int, address: *const sockaddr, size: socklen_t) -> c_int, c"connect";
    fn getsockname(fd: c_int, address: *mut sockaddr, size: *mut socklen_t) -> c_int,
        c"getsockname";
    fn getpeername(fd: c_int, address: *mut sockaddr, size: *mut socklen_t) -> c_int,
        c"getpeername";
    fn getsockopt(
        fd: c_int,
        level: c_int,
        option: c_int,
        value: *mut c_void,
        size: *mut socklen_t
    ) -> c_int, c"getsockopt";
    fn setsockopt(
        fd: c_int,
        level: c_int,
        option: c_int,
        value: *const c_void,
        size: socklen_t
    ) -> c_int, c"setsockopt";
    fn dup(fd: c_int) -> c_int, c"dup";
    fn dup2(fd: c_int, to: c_int) -> c_int, c"dup2";
    fn dup3(fd: c_int, to: c_int, flags: c_int) -> c_int, c"dup3";
    fn fopen(path: *const c_char, mode: *const c_char) -> *mut FILE, c"fopen";
}

/// A function that takes any arguments behind those named.
macro_rules! next_variadic {
    ($name:ident($($argument:ident: $type:ty),*; $last:ident: $last_type:ty), $symbol:literal) => {
        /// The next function of that name.
        ///
        /// # Safety
        ///
        /// What the manual page asks for. The last argument may be anything where none is read.
        pub(crate) unsafe fn $name($($argument: $type),*, $last: $last_type) -> c_int {
            // SAFETY: a type does nothing.
            type Function = unsafe extern "C" fn($($type),*, ...) -> c_int;
            static NEXT: Next = Next::new($symbol);
            let address = NEXT.address();
            if address.is_null() {
                return fail(libc::ENOSYS);
            }
            // SAFETY: the C library's function of that name has that type.
            let function = unsafe { mem::transmute::<*mut c_void, Function>(address) };
            // SAFETY: the caller keeps to the manual page.
            unsafe { function($($argument),*, $last) }
        }
    };
}

next_variadic!(fcntl(fd: c_int, command: c_int; argument: *mut c_void), c"fcntl");
next_variadic!(openat(folder: c_int, path: *const c_char, flags: c_int; mode: c_int), c"openat");
