//! What a device can do and is told, before it is set up.

use std::mem;

use super::eal::{Eal, find_port};
use super::errno::{Errno, check};

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

/// Gives a device another MAC address; it must not be started.
///
/// # Errors
///
/// Where there is no such device, or its driver refuses.
pub fn set_mac(_eal: &Eal, device: &str, mac: [u8; 6]) -> Result<(), Errno> {
    let id = find_port(device)?;
    let mut address = dpdk_sys::rte_ether_addr { addr_bytes: mac };
    // SAFETY: the port exists, since it was found; the address is only read.
    check(unsafe { dpdk_sys::rte_eth_dev_default_mac_addr_set(id, &raw mut address) })
}

/// The MTU asked for, as far as the device says that it can. DPDK takes none that it would not
/// (`eth_dev_validate_mtu`): where no largest MTU is said, the largest frame counts.
pub(super) fn reachable_mtu(info: &dpdk_sys::rte_eth_dev_info, mtu: u16) -> u16 {
    /// Ethernet header and FCS.
    const LINK_BYTES: u32 = 18;
    let says_mtu = info.max_mtu != u16::MAX && info.max_rx_pktlen > u32::from(info.max_mtu);
    let by_frame = info.max_rx_pktlen.saturating_sub(LINK_BYTES);
    let most = if says_mtu { info.max_mtu } else { u16::try_from(by_frame).unwrap_or(u16::MAX) };
    mtu.min(most).min(info.max_mtu).max(info.min_mtu)
}
