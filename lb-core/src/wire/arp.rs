//! ARP for IPv4 over Ethernet (RFC 826).
//!
//! ```text
//! 0          2          4    5    6           8            14          18           24          28
//! | hw type 1| 0x0800   | 6  | 4  | operation | sender MAC | sender IP | target MAC | target IP |
//! ```

use std::borrow::{Borrow, BorrowMut};
use std::net::Ipv4Addr;

use super::field::{be16, be32, put, six};
use super::{MacAddress, Malformed};

mod field {
    pub(super) const OPERATION: usize = 6;
    pub(super) const SENDER_MAC: usize = 8;
    pub(super) const SENDER_IP: usize = 14;
    pub(super) const TARGET_MAC: usize = 18;
    pub(super) const TARGET_IP: usize = 24;
}

/// Length of a packet; what follows in a frame is padding.
pub const PACKET_LEN: usize = 28;

/// Hardware type Ethernet, protocol type IPv4, their address lengths.
const KIND: [u8; 6] = [0, 1, 0x08, 0x00, 6, 4];

/// The operation field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Operation(pub u16);

impl Operation {
    /// "who has"
    pub const REQUEST: Self = Self(1);
    /// "is at"
    pub const REPLY: Self = Self(2);
}

/// The packet view.
#[derive(Clone, Copy, Debug)]
pub struct Packet<B>(B);

impl<'a> Packet<&'a [u8; PACKET_LEN]> {
    /// Checks that `bytes` begin with a packet about IPv4 over Ethernet.
    #[inline]
    pub fn check(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let packet: &[u8; PACKET_LEN] = bytes.first_chunk().ok_or(Malformed::Truncated)?;
        if packet.first_chunk() != Some(&KIND) {
            return Err(Malformed::Version);
        }
        Ok(Self(packet))
    }
}

impl<B: Borrow<[u8; PACKET_LEN]>> Packet<B> {
    /// Lays the view over `window`.
    #[inline]
    pub const fn over(window: B) -> Self {
        Self(window)
    }

    #[inline]
    pub fn operation(&self) -> Operation {
        Operation(be16(self.0.borrow(), field::OPERATION))
    }

    #[inline]
    pub fn sender_mac(&self) -> MacAddress {
        MacAddress(six(self.0.borrow(), field::SENDER_MAC))
    }

    #[inline]
    pub fn sender_ip(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(be32(self.0.borrow(), field::SENDER_IP))
    }

    #[inline]
    pub fn target_mac(&self) -> MacAddress {
        MacAddress(six(self.0.borrow(), field::TARGET_MAC))
    }

    #[inline]
    pub fn target_ip(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(be32(self.0.borrow(), field::TARGET_IP))
    }
}

impl<B: BorrowMut<[u8; PACKET_LEN]>> Packet<B> {
    /// Writes the whole packet.
    pub fn fill(
        &mut self,
        operation: Operation,
        sender: (MacAddress, Ipv4Addr),
        target: (MacAddress, Ipv4Addr),
    ) {
        let bytes = self.0.borrow_mut();
        put(bytes, 0, KIND);
        put(bytes, field::OPERATION, operation.0.to_be_bytes());
        put(bytes, field::SENDER_MAC, sender.0.0);
        put(bytes, field::SENDER_IP, sender.1.octets());
        put(bytes, field::TARGET_MAC, target.0.0);
        put(bytes, field::TARGET_IP, target.1.octets());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{ArpEthIpv4Packet, ArpPacketSlice};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_the_oracle(
            operation: u16, sender: ([u8; 6], [u8; 4]), target: ([u8; 6], [u8; 4])
        ) {
            let mut bytes = [0xee; PACKET_LEN];
            Packet::over(&mut bytes).fill(
                Operation(operation),
                (MacAddress(sender.0), sender.1.into()),
                (MacAddress(target.0), target.1.into()),
            );
            let oracle = ArpPacketSlice::from_slice(&bytes).unwrap().to_packet();
            let oracle = ArpEthIpv4Packet::try_from(oracle).unwrap();
            prop_assert_eq!(oracle.operation.0, operation);
            prop_assert_eq!((oracle.sender_mac, oracle.sender_ipv4), sender);
            prop_assert_eq!((oracle.target_mac, oracle.target_ipv4), target);

            let packet = Packet::check(&bytes).unwrap();
            prop_assert_eq!(packet.operation().0, operation);
            prop_assert_eq!((packet.sender_mac().0, packet.sender_ip().octets()), sender);
            prop_assert_eq!((packet.target_mac().0, packet.target_ip().octets()), target);
        }

        #[test]
        fn other_kinds_are_refused(at in 0_usize..6, bit in 0_u8..8, len in 0..PACKET_LEN) {
            let mut bytes = [0; PACKET_LEN];
            put(&mut bytes, 0, KIND);
            prop_assert_eq!(Packet::check(&bytes[..len]).unwrap_err(), Malformed::Truncated);
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(Packet::check(&bytes).unwrap_err(), Malformed::Version);
        }
    }
}
