//! The first four bytes of TCP, UDP and SCTP alike: source and destination port.
//!
//! All that is certain to be there of the transport header in an ICMP error, and all that NAT
//! rewrites of it besides the checksum.

use std::borrow::{Borrow, BorrowMut};

use super::field::{be16, put};

mod field {
    pub(super) const SOURCE: usize = 0;
    pub(super) const DESTINATION: usize = 2;
}

/// Length of the two ports.
pub const PORTS_LEN: usize = 4;

/// The view of the two ports.
#[derive(Clone, Copy, Debug)]
pub struct Ports<B>(B);

impl<B: Borrow<[u8; PORTS_LEN]>> Ports<B> {
    /// Lays the view over `window`.
    #[inline]
    pub const fn over(window: B) -> Self {
        Self(window)
    }

    #[inline]
    pub fn source(&self) -> u16 {
        be16(self.0.borrow(), field::SOURCE)
    }

    #[inline]
    pub fn destination(&self) -> u16 {
        be16(self.0.borrow(), field::DESTINATION)
    }
}

impl<B: BorrowMut<[u8; PORTS_LEN]>> Ports<B> {
    /// Sets the source port; the checksum is the caller's duty.
    #[inline]
    pub fn set_source(&mut self, port: u16) {
        put(self.0.borrow_mut(), field::SOURCE, port.to_be_bytes());
    }

    /// Sets the destination port; the checksum is the caller's duty.
    #[inline]
    pub fn set_destination(&mut self, port: u16) {
        put(self.0.borrow_mut(), field::DESTINATION, port.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes() {
        let mut bytes = [0x04, 0xd2, 0x00, 0x50];
        let mut ports = Ports::over(&mut bytes);
        assert_eq!((ports.source(), ports.destination()), (1234, 80));
        ports.set_source(8080);
        ports.set_destination(65535);
        assert_eq!(bytes, [0x1f, 0x90, 0xff, 0xff]);
    }
}
