//! The rings of `net_af_packet`, whose frames are as long as the device's arguments say. The
//! driver itself claims no more than 1500 bytes of MTU, whatever the ring can hold.

use crate::config::Device;

/// What the driver takes where `framesz` is not given (`DFLT_FRAME_SIZE`).
const FRAME_BYTES: u16 = 2048;
/// What the kernel puts in front of each frame (`TPACKET2_HDRLEN` of packet(7), with slack).
const RING_HEADER_BYTES: u16 = 64;
/// Ethernet header and a VLAN tag.
const LINK_BYTES: u16 = 18;
/// A block is a number of frames and of memory pages.
const PAGE_BYTES: u32 = 4096;

/// The ring of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRing<'a> {
    /// The interface of the kernel behind it.
    pub interface: &'a str,
    /// Bytes of a frame with the kernel's header; buffers have to hold as many.
    pub frame_bytes: u16,
}

impl<'a> FrameRing<'a> {
    /// The ring of a device; `None` for devices of other drivers.
    pub fn of(device: &'a Device) -> Option<Self> {
        if !device.name().starts_with("net_af_packet") {
            return None;
        }
        let argument = |name: &str| {
            device.as_str().split(',').find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        };
        let frame_bytes = argument("framesz").and_then(|bytes| bytes.parse().ok());
        let interface = argument("iface").unwrap_or_default();
        Some(Self { interface, frame_bytes: frame_bytes.unwrap_or(FRAME_BYTES) })
    }

    /// The largest IP packet that a frame can hold.
    pub const fn mtu_max(&self) -> u16 {
        self.frame_bytes.saturating_sub(RING_HEADER_BYTES + LINK_BYTES)
    }

    /// Arguments that let the device have this MTU.
    pub fn arguments_for(mtu: u16) -> String {
        let least = u32::from(mtu) + u32::from(RING_HEADER_BYTES + LINK_BYTES);
        let frame = least.next_multiple_of(PAGE_BYTES / 4);
        format!("framesz={frame},blocksz={}", frame * 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, parse};

    fn device(text: &str) -> Device {
        let environment = Environment {
            cpus: vec![0],
            check_services: &|_| Vec::new(),
            names: &lb_core::ipvsadm::Numeric,
            find_nic: &crate::config::no_nics,
        };
        let text = format!("ports: [ {{ name: lan0, device: \"{text}\" }} ]");
        parse("t", &text, &environment).unwrap().ports[0].device.clone()
    }

    #[test]
    fn the_ring_is_what_the_arguments_say() {
        let plain = device("net_af_packet0,iface=eth1");
        let ring = FrameRing::of(&plain).unwrap();
        assert_eq!((ring.interface, ring.frame_bytes), ("eth1", 2048));
        assert!(ring.mtu_max() >= 1900, "{}", ring.mtu_max());
        let small = device("net_af_packet1,framesz=512,iface=eth1");
        assert_eq!(FrameRing::of(&small).unwrap().mtu_max(), 512 - 82);
        assert_eq!(FrameRing::of(&device("net_tap0,iface=x")), None);
    }

    #[test]
    fn the_arguments_suit_their_mtu() {
        assert_eq!(FrameRing::arguments_for(9000), "framesz=9216,blocksz=36864");
        for mtu in [68, 1500, 1979, 4096, 9600] {
            let arguments = FrameRing::arguments_for(mtu);
            let device = device(&format!("net_af_packet0,iface=eth1,{arguments}"));
            assert!(FrameRing::of(&device).unwrap().mtu_max() >= mtu, "{mtu}: {arguments}");
        }
    }
}
