//! Raw bindings to the distribution's libdpdk (22.11 or later), generated at build time.
//!
//! Nothing here is safe, and nothing here is more than DPDK's own interface plus a few `shim_*`
//! functions and `SHIM_*` constants (see `wrapper.h`) for what bindgen cannot express. Functions
//! that DPDK defines inline are called through one-line C wrappers, so they have DPDK's names too.
//!
//! Only what the appliance uses is bound: to use more, extend the allowlist in `build.rs`.

#![no_std]
#![allow(
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    missing_docs,
    clippy::all,
    clippy::pedantic,
    reason = "generated from C headers, which follow other rules"
)]

include!(concat!(env!("OUT_DIR"), "/bindings.rs"));

/// The lengths that the whole packet path is built on: an mbuf is two cache lines.
const _: () = assert!(size_of::<rte_mbuf>() == 128);
const _: () = assert!(align_of::<rte_mbuf>() == 64);
const _: () = assert!(size_of::<rte_ether_addr>() == 6);

/// The fields that are read for each packet are in the mbuf's first line.
const _: () = {
    assert!(SHIM_MBUF_BUF_ADDR + 8 <= 64);
    assert!(SHIM_MBUF_DATA_OFF + 2 <= 64);
    assert!(SHIM_MBUF_PKT_LEN + 4 <= 64);
    assert!(SHIM_MBUF_DATA_LEN + 2 <= 64);
    assert!(SHIM_MBUF_BUF_LEN + 2 <= 64);
};
