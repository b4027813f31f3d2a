//! TCP (RFC 9293).
//!
//! ```text
//! 0             2                  4          8                 12
//! | source port | destination port | sequence | acknowledgement | ...
//! 12             13      14       16         18       20
//! | offset:4 0:4 | flags | window | checksum | urgent | options ...
//! ```

use std::borrow::{Borrow, BorrowMut};

use super::Malformed;
use super::checksum::Difference;
use super::field::{be16, be32, put};

mod field {
    pub(super) const SOURCE_PORT: usize = 0;
    pub(super) const DESTINATION_PORT: usize = 2;
    pub(super) const SEQUENCE: usize = 4;
    pub(super) const ACKNOWLEDGEMENT: usize = 8;
    pub(super) const DATA_OFFSET: usize = 12;
    pub(super) const FLAGS: usize = 13;
    pub(super) const WINDOW: usize = 14;
    pub(super) const CHECKSUM: usize = 16;
}

/// Length of the header without options.
pub const HEADER_LEN: usize = 20;

/// The flag byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(pub u8);

impl Flags {
    pub const FIN: Self = Self(0x01);
    pub const SYN: Self = Self(0x02);
    pub const RST: Self = Self(0x04);
    pub const PSH: Self = Self(0x08);
    pub const ACK: Self = Self(0x10);
    pub const URG: Self = Self(0x20);
    pub const ECE: Self = Self(0x40);
    pub const CWR: Self = Self(0x80);

    /// Letters of the flags from bit 0 on; the order in which they are written.
    const LETTERS: [char; 8] = ['F', 'S', 'R', 'P', 'A', 'U', 'E', 'C'];

    /// Whether every flag of `other` is set.
    #[inline]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The flags of both.
    #[inline]
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Flags of letters such as `SA` or `FA`, in any order; `None` for a letter that is none.
    pub fn from_letters(letters: &str) -> Option<Self> {
        letters.chars().try_fold(Self(0), |flags, letter| {
            let bit = Self::LETTERS.iter().position(|&known| known == letter)?;
            Some(Self(flags.0 | 1 << bit))
        })
    }
}

impl std::fmt::Display for Flags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (bit, letter) in Self::LETTERS.iter().enumerate() {
            if self.0 & 1 << bit != 0 {
                write!(f, "{letter}")?;
            }
        }
        Ok(())
    }
}

/// A checked segment.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    pub header: Header<&'a [u8; HEADER_LEN]>,
    pub options: &'a [u8],
    pub payload: &'a [u8],
}

impl<'a> Segment<'a> {
    /// Cuts the payload of an IPv4 packet into header, options and payload.
    #[inline]
    pub fn check(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (window, rest) = bytes.split_first_chunk().ok_or(Malformed::Truncated)?;
        let header = Header::over(window);
        let options_length =
            header.header_length().checked_sub(HEADER_LEN).ok_or(Malformed::HeaderLength)?;
        let (options, payload) =
            rest.split_at_checked(options_length).ok_or(Malformed::HeaderLength)?;
        Ok(Self { header, options, payload })
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
    pub fn sequence(&self) -> u32 {
        be32(self.0.borrow(), field::SEQUENCE)
    }

    #[inline]
    pub fn acknowledgement(&self) -> u32 {
        be32(self.0.borrow(), field::ACKNOWLEDGEMENT)
    }

    /// Length of the header with its options in bytes: 20 to 60 once checked.
    #[inline]
    pub fn header_length(&self) -> usize {
        usize::from(self.0.borrow()[field::DATA_OFFSET] >> 4) * 4
    }

    #[inline]
    pub fn flags(&self) -> Flags {
        Flags(self.0.borrow()[field::FLAGS])
    }

    #[inline]
    pub fn window(&self) -> u16 {
        be16(self.0.borrow(), field::WINDOW)
    }

    #[inline]
    pub fn checksum(&self) -> u16 {
        be16(self.0.borrow(), field::CHECKSUM)
    }
}

impl<B: BorrowMut<[u8; HEADER_LEN]>> Header<B> {
    /// Writes a header without options: window, urgent pointer and checksum 0.
    pub fn fill(&mut self, ports: (u16, u16), sequence: u32, acknowledgement: u32, flags: Flags) {
        let bytes = self.0.borrow_mut();
        *bytes = [0; HEADER_LEN];
        put(bytes, field::SOURCE_PORT, ports.0.to_be_bytes());
        put(bytes, field::DESTINATION_PORT, ports.1.to_be_bytes());
        put(bytes, field::SEQUENCE, sequence.to_be_bytes());
        put(bytes, field::ACKNOWLEDGEMENT, acknowledgement.to_be_bytes());
        bytes[field::DATA_OFFSET] = 5 << 4;
        bytes[field::FLAGS] = flags.0;
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

    /// Sets the window without the checksum.
    #[inline]
    pub fn set_sequence(&mut self, sequence: u32) {
        put(self.0.borrow_mut(), field::SEQUENCE, sequence.to_be_bytes());
    }

    #[inline]
    pub fn set_acknowledgement(&mut self, acknowledgement: u32) {
        put(self.0.borrow_mut(), field::ACKNOWLEDGEMENT, acknowledgement.to_be_bytes());
    }

    #[inline]
    pub fn set_window(&mut self, window: u16) {
        put(self.0.borrow_mut(), field::WINDOW, window.to_be_bytes());
    }

    /// Sets the checksum field.
    #[inline]
    pub fn set_checksum(&mut self, checksum: u16) {
        put(self.0.borrow_mut(), field::CHECKSUM, checksum.to_be_bytes());
    }

    /// Applies what other setters, and those of the pseudo-header, changed to the checksum.
    #[inline]
    pub fn update_checksum(&mut self, difference: Difference) {
        self.set_checksum(difference.apply(self.checksum()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::TcpSlice;
    use proptest::prelude::*;

    #[test]
    fn letters() {
        for letters in ["", "S", "SA", "FA", "RA", "PA", "FSRPAUEC"] {
            assert_eq!(Flags::from_letters(letters).unwrap().to_string(), letters);
        }
        assert_eq!(Flags::from_letters("AS"), Some(Flags::SYN.union(Flags::ACK)));
        assert_eq!(Flags::from_letters("X"), None);
    }

    proptest! {
        #[test]
        fn agrees_with_the_oracle(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..80), offset in 4_u8..16
        ) {
            if let Some(byte) = bytes.get_mut(field::DATA_OFFSET) {
                *byte = offset << 4;
            }
            match (Segment::check(&bytes), TcpSlice::from_slice(&bytes)) {
                (Ok(ours), Ok(oracle)) => {
                    let header = ours.header;
                    prop_assert_eq!(header.source_port(), oracle.source_port());
                    prop_assert_eq!(header.destination_port(), oracle.destination_port());
                    prop_assert_eq!(header.sequence(), oracle.sequence_number());
                    prop_assert_eq!(header.acknowledgement(), oracle.acknowledgment_number());
                    let flags = header.flags();
                    prop_assert_eq!(flags.contains(Flags::FIN), oracle.fin());
                    prop_assert_eq!(flags.contains(Flags::SYN), oracle.syn());
                    prop_assert_eq!(flags.contains(Flags::RST), oracle.rst());
                    prop_assert_eq!(flags.contains(Flags::PSH), oracle.psh());
                    prop_assert_eq!(flags.contains(Flags::ACK), oracle.ack());
                    prop_assert_eq!(flags.contains(Flags::URG), oracle.urg());
                    prop_assert_eq!(flags.contains(Flags::ECE), oracle.ece());
                    prop_assert_eq!(flags.contains(Flags::CWR), oracle.cwr());
                    prop_assert_eq!(header.window(), oracle.window_size());
                    prop_assert_eq!(header.checksum(), oracle.checksum());
                    prop_assert_eq!(ours.options, oracle.options());
                    prop_assert_eq!(ours.payload, oracle.payload());
                }
                (ours, oracle) => prop_assert!(ours.is_err() && oracle.is_err()),
            }
        }

        #[test]
        fn setters_write_what_the_oracle_reads(
            mut bytes: [u8; HEADER_LEN], ports: (u16, u16), new: (u16, u16), sequence: u32,
            acknowledgement: u32, flags: u8, window: u16, checksum: u16,
        ) {
            let mut header = Header::over(&mut bytes);
            header.fill(ports, sequence, acknowledgement, Flags(flags));
            prop_assert_eq!((header.source_port(), header.destination_port()), ports);
            header.set_source_port(new.0);
            header.set_destination_port(new.1);
            header.set_window(window);
            header.set_checksum(checksum);
            let oracle = TcpSlice::from_slice(&bytes).unwrap();
            prop_assert_eq!((oracle.source_port(), oracle.destination_port()), new);
            prop_assert_eq!(oracle.sequence_number(), sequence);
            prop_assert_eq!(oracle.acknowledgment_number(), acknowledgement);
            prop_assert_eq!(oracle.header_slice()[13], flags);
            prop_assert_eq!(oracle.window_size(), window);
            prop_assert_eq!(oracle.checksum(), checksum);
            prop_assert_eq!(oracle.header_slice().len(), HEADER_LEN);
        }
    }
}
