//! Devices that are taken out of the machine while the director has them.
//!
//! Under `vfio-pci` the kernel asks first, and waits: the device stays, and so does whoever pulls
//! at it, until the process lets go of it. A driver cannot be told to do without its device, so
//! letting go means to end.

use std::ffi::{CStr, c_char, c_void};
use std::ptr;
use std::sync::OnceLock;

use super::eal::Eal;
use super::errno::{Errno, check};

/// Who wants to know.
static NEWS: OnceLock<Box<News>> = OnceLock::new();

type News = dyn Fn(&str) + Send + Sync;

/// Calls `news`, on a thread of DPDK's, with the name of each device that shall be let go, such as
/// `0000:03:00.0`. Only the first call has an effect.
///
/// # Errors
///
/// Where DPDK has no memory for it.
pub fn watch(_eal: &Eal, news: impl Fn(&str) + Send + Sync + 'static) -> Result<(), Errno> {
    if NEWS.set(Box::new(news)).is_err() {
        return Ok(());
    }
    let all_devices = ptr::null();
    // SAFETY: the EAL is set up, the function stays, and it is not given anything to keep.
    check(unsafe {
        dpdk_sys::rte_dev_event_callback_register(all_devices, Some(hear), ptr::null_mut())
    })
}

/// What DPDK calls: by events of every kind.
///
/// # Safety
///
/// `device` is null or a C string.
unsafe extern "C" fn hear(
    device: *const c_char,
    event: dpdk_sys::rte_dev_event_type,
    _argument: *mut c_void,
) {
    if event != dpdk_sys::rte_dev_event_type_RTE_DEV_EVENT_REMOVE || device.is_null() {
        return;
    }
    // SAFETY: a C string, as the caller promises, which outlives the call.
    let device = unsafe { CStr::from_ptr(device) }.to_string_lossy();
    if let Some(news) = NEWS.get() {
        news(&device);
    }
}
