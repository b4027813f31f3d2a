//! SCTP (RFC 9260): the common header, and as much of the chunks as a director looks at.
//!
//! ```text
//! 0             2                  4                  8            12
//! | source port | destination port | verification tag | CRC32c     | chunks ...
//!
//! 0      1       2        4               a chunk; the next begins at a multiple of 4
//! | type | flags | length | value ...
//! ```

use std::borrow::{Borrow, BorrowMut};
use std::fmt;

use super::Malformed;
use super::field::{be16, be32, put, window, window_mut};

mod crc;

mod field {
    pub(super) const SOURCE_PORT: usize = 0;
    pub(super) const DESTINATION_PORT: usize = 2;
    pub(super) const TAG: usize = 4;
    pub(super) const CHECKSUM: usize = 8;
}

pub use crc::crc32c;

/// Length of the common header.
pub const HEADER_LEN: usize = 12;
/// Length of a chunk without a value; the least that its length field may say.
pub const CHUNK_LEN: usize = 4;

/// The type of a chunk (RFC 9260 section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChunkType(pub u8);

impl ChunkType {
    pub const DATA: Self = Self(0);
    pub const INIT: Self = Self(1);
    pub const INIT_ACK: Self = Self(2);
    pub const SACK: Self = Self(3);
    pub const HEARTBEAT: Self = Self(4);
    pub const HEARTBEAT_ACK: Self = Self(5);
    pub const ABORT: Self = Self(6);
    pub const SHUTDOWN: Self = Self(7);
    pub const SHUTDOWN_ACK: Self = Self(8);
    pub const ERROR: Self = Self(9);
    pub const COOKIE_ECHO: Self = Self(10);
    pub const COOKIE_ACK: Self = Self(11);
    pub const ECNE: Self = Self(12);
    pub const CWR: Self = Self(13);
    pub const SHUTDOWN_COMPLETE: Self = Self(14);
}

impl fmt::Display for ChunkType {
    /// The name in the RFC, or the number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 15] = [
            "DATA",
            "INIT",
            "INIT-ACK",
            "SACK",
            "HEARTBEAT",
            "HEARTBEAT-ACK",
            "ABORT",
            "SHUTDOWN",
            "SHUTDOWN-ACK",
            "ERROR",
            "COOKIE-ECHO",
            "COOKIE-ACK",
            "ECNE",
            "CWR",
            "SHUTDOWN-COMPLETE",
        ];
        match NAMES.get(usize::from(self.0)) {
            Some(name) => f.pad(name),
            None => write!(f, "{}", self.0),
        }
    }
}

/// A checked packet: the common header is there. Chunks are looked at one by one.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    pub header: Header<&'a [u8; HEADER_LEN]>,
    /// All chunks.
    pub chunks: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Cuts the payload of an IP packet into common header and chunks.
    #[inline]
    pub fn check(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (window, chunks) = bytes.split_first_chunk().ok_or(Malformed::Truncated)?;
        Ok(Self { header: Header::over(window), chunks })
    }

    /// Type of the first chunk, if its header is there.
    #[inline]
    pub fn first_chunk(&self) -> Option<ChunkType> {
        let &[chunk_type, ..] = window::<CHUNK_LEN>(self.chunks, 0)?;
        Some(ChunkType(chunk_type))
    }

    /// Type of the chunk that says what the packet does to a connection's state: the first, or an
    /// ABORT directly behind a COOKIE-ECHO or COOKIE-ACK (the kernel's `set_sctp_state`).
    #[inline]
    pub fn deciding_chunk(&self) -> Option<ChunkType> {
        let first = self.first_chunk()?;
        let is_abort = matches!(first, ChunkType::COOKIE_ECHO | ChunkType::COOKIE_ACK)
            && self.second_chunk() == Some(ChunkType::ABORT);
        Some(if is_abort { ChunkType::ABORT } else { first })
    }

    /// Type of the chunk behind the first, if that one's length can be believed.
    #[inline]
    fn second_chunk(&self) -> Option<ChunkType> {
        let length = usize::from(be16(window::<CHUNK_LEN>(self.chunks, 0)?, 2));
        if length < CHUNK_LEN {
            return None;
        }
        let &[chunk_type, ..] = window::<CHUNK_LEN>(self.chunks, length.next_multiple_of(4))?;
        Some(ChunkType(chunk_type))
    }
}

/// The header view.
#[derive(Clone, Copy, Debug)]
pub struct Header<B>(B);

impl<B: Borrow<[u8; HEADER_LEN]>> Header<B> {
    /// Lays the view over `window`.
    #[inline]
    pub const fn over(window: B) -> Self {
        Self(window)
    }

    #[inline]
    pub fn source_port(&self) -> u16 {
        be16(self.0.borrow(), field::SOURCE_PORT)
    }

    #[inline]
    pub fn destination_port(&self) -> u16 {
        be16(self.0.borrow(), field::DESTINATION_PORT)
    }

    #[inline]
    pub fn verification_tag(&self) -> u32 {
        be32(self.0.borrow(), field::TAG)
    }

    /// The CRC32c. Alone among the fields it is little-endian on the wire: a CRC is sent as its
    /// bits come (RFC 9260 appendix A).
    #[inline]
    pub fn checksum(&self) -> u32 {
        be32(self.0.borrow(), field::CHECKSUM).swap_bytes()
    }
}

impl<B: BorrowMut<[u8; HEADER_LEN]>> Header<B> {
    /// Writes a header with checksum 0.
    #[inline]
    pub fn fill(&mut self, ports: (u16, u16), verification_tag: u32) {
        let bytes = self.0.borrow_mut();
        put(bytes, field::SOURCE_PORT, ports.0.to_be_bytes());
        put(bytes, field::DESTINATION_PORT, ports.1.to_be_bytes());
        put(bytes, field::TAG, verification_tag.to_be_bytes());
        put(bytes, field::CHECKSUM, [0; 4]);
    }

    /// Sets the source port; like every plain setter it leaves the checksum as it is.
    #[inline]
    pub fn set_source_port(&mut self, port: u16) {
        put(self.0.borrow_mut(), field::SOURCE_PORT, port.to_be_bytes());
    }

    /// Sets the destination port without the checksum.
    #[inline]
    pub fn set_destination_port(&mut self, port: u16) {
        put(self.0.borrow_mut(), field::DESTINATION_PORT, port.to_be_bytes());
    }

    /// Sets the checksum field.
    #[inline]
    pub fn set_checksum(&mut self, checksum: u32) {
        put(self.0.borrow_mut(), field::CHECKSUM, checksum.to_le_bytes());
    }
}

/// Whether the checksum of a whole packet, common header and chunks, is right. A packet that is
/// too short to have one has none that is right.
#[inline]
pub fn verify_checksum(bytes: &[u8]) -> bool {
    let Ok(packet) = Packet::check(bytes) else { return false };
    checksum(&packet) == packet.header.checksum()
}

/// Works out the checksum of a whole packet anew. There is none by increment: a CRC is no sum.
/// Bytes that are too short for a common header stay as they are.
#[inline]
pub fn set_checksum(bytes: &mut [u8]) {
    let Ok(packet) = Packet::check(bytes) else { return };
    let sum = checksum(&packet);
    if let Some(window) = window_mut(bytes, 0) {
        Header::over(window).set_checksum(sum);
    }
}

/// The checksum as if its field held 0 (RFC 9260 section 6.8).
#[inline]
fn checksum(packet: &Packet<'_>) -> u32 {
    let mut header = *packet.header.0;
    Header::over(&mut header).set_checksum(0);
    crc::Crc::START.add_bytes(&header).add_bytes(packet.chunks).value()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::build::Sctp;
    use proptest::prelude::*;

    fn deciding(chunks: &[(u8, u8, &[u8])]) -> Option<u8> {
        let bytes = Sctp { chunks, ..Sctp::default() }.message();
        Packet::check(&bytes).unwrap().deciding_chunk().map(|chunk| chunk.0)
    }

    #[test]
    fn an_abort_behind_a_cookie_decides() {
        assert_eq!(deciding(&[(1, 0, &[0; 16]), (6, 0, &[])]), Some(1));
        assert_eq!(deciding(&[(10, 0, &[0; 5]), (6, 0, &[])]), Some(6));
        assert_eq!(deciding(&[(11, 0, &[]), (6, 0, &[])]), Some(6));
        assert_eq!(deciding(&[(11, 0, &[]), (0, 3, &[0; 13]), (6, 0, &[])]), Some(11));
        assert_eq!(deciding(&[(10, 0, &[0; 5])]), Some(10));
        assert_eq!(deciding(&[(0, 3, &[]), (6, 0, &[])]), Some(0));
        assert_eq!(deciding(&[]), None);
        // A cookie whose length cannot be: nothing is looked for behind it.
        let packet = Packet::check(&[0; HEADER_LEN]).unwrap();
        let chunks = [11, 0, 0, 0, 6, 0, 0, 4];
        let packet = Packet { chunks: &chunks, ..packet };
        assert_eq!(packet.deciding_chunk(), Some(ChunkType::COOKIE_ACK));
    }

    #[test]
    fn the_checksum_is_that_of_the_rfc() {
        // A SHUTDOWN-COMPLETE from port 80 to port 32836.
        #[rustfmt::skip]
        let bytes = [
            0x00, 0x50, 0x80, 0x44, 0x00, 0x00, 0x00, 0x00, 0, 0, 0, 0,
            0x0e, 0x00, 0x00, 0x04,
        ];
        let mut summed = bytes;
        set_checksum(&mut summed);
        // Bit by bit, as RFC 9260 appendix A has it.
        let mut crc = u32::MAX;
        for byte in bytes {
            crc ^= u32::from(byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
            }
        }
        assert_eq!(summed[8..12], (!crc).to_le_bytes());
        assert!(verify_checksum(&summed));
    }

    proptest! {
        #[test]
        fn reads_what_was_written(
            mut bytes: [u8; HEADER_LEN], ports: (u16, u16), new: (u16, u16), tag: u32, sum: u32
        ) {
            let mut header = Header::over(&mut bytes);
            header.fill(ports, tag);
            prop_assert_eq!((header.source_port(), header.destination_port()), ports);
            prop_assert_eq!((header.verification_tag(), header.checksum()), (tag, 0));
            header.set_source_port(new.0);
            header.set_destination_port(new.1);
            header.set_checksum(sum);
            prop_assert_eq!((header.source_port(), header.destination_port()), new);
            prop_assert_eq!((header.verification_tag(), header.checksum()), (tag, sum));
            prop_assert_eq!(&bytes[8..], sum.to_le_bytes());
        }

        #[test]
        fn a_changed_bit_is_noticed(
            value in proptest::collection::vec(any::<u8>(), 0..200), at: prop::sample::Index,
            bit in 0_u8..8,
        ) {
            let mut bytes = Sctp { chunks: &[(0, 3, &value)], ..Sctp::default() }.message();
            prop_assert!(verify_checksum(&bytes));
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(!verify_checksum(&bytes));
            set_checksum(&mut bytes);
            prop_assert!(verify_checksum(&bytes));
        }

        #[test]
        fn any_bytes_are_an_answer(
            bytes in proptest::collection::vec(prop_oneof![9_u8..12, any::<u8>()], 0..40)
        ) {
            if let Ok(packet) = Packet::check(&bytes) {
                let deciding = packet.deciding_chunk();
                prop_assert_eq!(deciding.is_some(), bytes.len() >= HEADER_LEN + CHUNK_LEN);
            } else {
                prop_assert!(!verify_checksum(&bytes));
            }
        }
    }
}
