//! What a device can do, before it is set up.

use std::mem;

use super::eal::{Eal, find_port};

/// How many receive and transmit queues a device has at most, named as in
/// [`PortConfig::device`](super::PortConfig::device); `None` where there is no such device or its
/// driver does not say.
#[must_use]
pub fn queues_max(_eal: &Eal, device: &str) -> Option<(u16, u16)> {
    let id = find_port(device).ok()?;
    // SAFETY: a plain C struct, for which zero bytes are a value.
    let mut info: dpdk_sys::rte_eth_dev_info = unsafe { mem::zeroed() };
    // SAFETY: the port exists, since it was found, and the place for the answer is ours.
    let result = unsafe { dpdk_sys::rte_eth_dev_info_get(id, &raw mut info) };
    (result == 0).then_some((info.max_rx_queues, info.max_tx_queues))
}
