//! Messages: a header, then for a family of generic netlink a second one (`struct nlmsghdr`,
//! `struct genlmsghdr`), then attributes.

use super::attribute::aligned;
use super::errno::Errno;

/// Bytes of the header.
pub(super) const HEADER: usize = 16;
/// Bytes of the family's header behind it.
const FAMILY_HEADER: usize = 4;
/// Types below are the protocol's own.
pub(super) const FAMILIES_MIN: u16 = 0x10;

const TYPE_ERROR: u16 = 2;
const TYPE_DONE: u16 = 3;

const FLAG_REQUEST: u16 = 0x001;
const FLAG_MULTI: u16 = 0x002;
const FLAG_ACK: u16 = 0x004;
/// In an acknowledgement: the message that it is about is not in it but for its header.
const FLAG_CAPPED: u16 = 0x100;
const FLAG_DUMP: u16 = 0x300;

/// A datagram of a dump is not longer, so that it fits the buffers that netlink's users have.
const DATAGRAM_MAX: usize = 8192;

/// A message of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    /// The family.
    pub(super) kind: u16,
    flags: u16,
    sequence: u32,
    port: u32,
    /// Header and all.
    bytes: &'a [u8],
}

impl<'a> Message<'a> {
    /// Takes the first message off a datagram. What is not whole ends it.
    pub(super) fn take(datagram: &mut &'a [u8]) -> Option<Self> {
        let bytes: &'a [u8] = datagram;
        let word = |at: usize| Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
        let half = |at: usize| Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
        let size = usize::try_from(word(0)?).ok()?;
        let message = Self {
            kind: half(4)?,
            flags: half(6)?,
            sequence: word(8)?,
            port: word(12)?,
            bytes: bytes.get(..size).filter(|_| size >= HEADER)?,
        };
        *datagram = bytes.get(aligned(size)..).unwrap_or_default();
        Some(message)
    }

    pub(super) const fn is_request(&self) -> bool {
        self.flags & FLAG_REQUEST != 0
    }

    pub(super) const fn wants_acknowledgement(&self) -> bool {
        self.flags & FLAG_ACK != 0
    }

    pub(super) const fn is_dump(&self) -> bool {
        self.flags & FLAG_DUMP == FLAG_DUMP
    }

    /// The command and its attributes.
    pub(super) fn command(&self) -> Result<(u8, &'a [u8]), Errno> {
        let rest = self.bytes.get(HEADER + FAMILY_HEADER..).ok_or(Errno::EINVAL)?;
        Ok((self.bytes[HEADER], rest))
    }
}

/// What goes back.
#[derive(Debug, Default)]
pub(super) struct Replies {
    pub(super) datagrams: Vec<Vec<u8>>,
    /// There was a dump that was not empty; the kernel would still be busy with it.
    pub(super) has_dumped: bool,
}

impl Replies {
    /// The acknowledgement of a message, or its refusal with the message.
    pub(super) fn acknowledge(&mut self, message: &Message<'_>, result: Result<(), Errno>) {
        let (error, flags, about) = match result {
            Ok(()) => (0, FLAG_CAPPED, &message.bytes[..HEADER]),
            Err(error) => (-error.0, 0, message.bytes),
        };
        let mut datagram = Vec::with_capacity(HEADER + 4 + about.len());
        let start = begin(&mut datagram, message, TYPE_ERROR, flags);
        datagram.extend_from_slice(&error.to_ne_bytes());
        datagram.extend_from_slice(about);
        datagram.resize(aligned(datagram.len()), 0);
        end(&mut datagram, start);
        self.datagrams.push(datagram);
    }

    /// A reply of the message's family with the attributes that `fill` writes.
    pub(super) fn reply(
        &mut self,
        message: &Message<'_>,
        (command, version): (u8, u8),
        fill: impl FnOnce(&mut Vec<u8>),
    ) {
        let mut datagram = Vec::new();
        let start = begin(&mut datagram, message, message.kind, 0);
        datagram.extend_from_slice(&[command, version, 0, 0]);
        fill(&mut datagram);
        end(&mut datagram, start);
        self.datagrams.push(datagram);
    }

    /// Replies with one message for each item, and the end of the dump.
    pub(super) fn dump<T>(
        &mut self,
        message: &Message<'_>,
        (command, version): (u8, u8),
        items: impl IntoIterator<Item = T>,
        mut fill: impl FnMut(&mut Vec<u8>, &T),
    ) -> Result<(), Errno> {
        if self.has_dumped {
            return Err(Errno::EBUSY);
        }
        let mut datagram = Vec::new();
        let mut write = |datagram: &mut Vec<u8>, item: &T| {
            let start = begin(datagram, message, message.kind, FLAG_MULTI);
            datagram.extend_from_slice(&[command, version, 0, 0]);
            fill(datagram, item);
            end(datagram, start);
        };
        for item in items {
            let before = datagram.len();
            write(&mut datagram, &item);
            if datagram.len() > DATAGRAM_MAX && before > 0 {
                datagram.truncate(before);
                self.datagrams.push(std::mem::take(&mut datagram));
                write(&mut datagram, &item);
            }
        }
        if !datagram.is_empty() {
            self.has_dumped = true;
            self.datagrams.push(datagram);
        }
        let mut done = Vec::new();
        let start = begin(&mut done, message, TYPE_DONE, FLAG_MULTI);
        done.extend_from_slice(&[0; 4]);
        end(&mut done, start);
        self.datagrams.push(done);
        Ok(())
    }
}

/// Begins a message that answers another; returns what [`end`] wants.
fn begin(datagram: &mut Vec<u8>, to: &Message<'_>, kind: u16, flags: u16) -> usize {
    let start = datagram.len();
    datagram.extend_from_slice(&[0; 4]);
    datagram.extend_from_slice(&kind.to_ne_bytes());
    datagram.extend_from_slice(&flags.to_ne_bytes());
    datagram.extend_from_slice(&to.sequence.to_ne_bytes());
    datagram.extend_from_slice(&to.port.to_ne_bytes());
    start
}

/// Writes the length of the message that began there.
fn end(datagram: &mut [u8], start: usize) {
    let size = u32::try_from(datagram.len() - start).unwrap_or(u32::MAX);
    datagram[start..start + 4].copy_from_slice(&size.to_ne_bytes());
}
