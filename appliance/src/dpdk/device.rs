//! What a device can do and is told, before it is set up.

use std::ffi::CStr;
use std::mem;

use super::eal::{Eal, find_port};
use super::errno::{Errno, check};

/// What is known of a device before it is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abilities {
    /// Its driver, such as `net_ixgbe`.
    pub driver: String,
    /// Receive queues that it has at most.
    pub rx_queues_max: u16,
    /// Transmit queues that it has at most.
    pub tx_queues_max: u16,
}

/// What a device can do, named as in [`PortConfig::device`](super::PortConfig::device). `None`:
/// there is no such device, or its driver does not say.
#[must_use]
pub fn abilities(_eal: &Eal, device: &str) -> Option<Abilities> {
    let id = find_port(device).ok()?;
    // SAFETY: a plain C struct, for which zero bytes are a value.
    let mut info: dpdk_sys::rte_eth_dev_info = unsafe { mem::zeroed() };
    // SAFETY: the port exists, since it was found, and the place for the answer is ours.
    let result = unsafe { dpdk_sys::rte_eth_dev_info_get(id, &raw mut info) };
    (result == 0).then(|| Abilities {
        driver: text(info.driver_name),
        rx_queues_max: info.max_rx_queues,
        tx_queues_max: info.max_tx_queues,
    })
}

/// Bytes that the buffers of a device need so that each holds a whole frame of `frame_bytes`.
///
/// NICs know sizes of buffers in steps, and drivers round down what they are given. A frame that
/// does not fit then comes in pieces.
#[must_use]
pub fn buffer_bytes(driver: &str, frame_bytes: u16) -> u16 {
    /// ixgbe, igb (SRRCTL.BSIZEPKT); the steps of others are smaller.
    const STEP: u16 = 1024;
    /// RCTL.BSIZE and BSEX of the e1000 family: a power of two, and this at most.
    const E1000_MAX: u16 = 16384;
    let bytes = frame_bytes.checked_next_multiple_of(STEP).unwrap_or(frame_bytes);
    if driver == "net_e1000_em" && bytes <= E1000_MAX { bytes.next_power_of_two() } else { bytes }
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

/// A name out of DPDK; empty for a null pointer.
pub(super) fn text(name: *const std::ffi::c_char) -> String {
    if name.is_null() {
        return String::new();
    }
    // SAFETY: a C string that lives as long as its driver.
    unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_holds_a_frame_also_when_the_driver_rounds_down() {
        assert_eq!(buffer_bytes("net_ixgbe", 2048), 2048);
        assert_eq!(buffer_bytes("net_ixgbe", 9128), 9216);
        assert_eq!(buffer_bytes("net_e1000_em", 2048), 2048);
        assert_eq!(buffer_bytes("net_e1000_em", 9128), 16384);
        assert_eq!(buffer_bytes("net_e1000_em", u16::MAX), u16::MAX);
    }
}
