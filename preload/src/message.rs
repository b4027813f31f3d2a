//! As much of netlink as the library has to understand: which request asks for the family IPVS, and
//! sluiced's private messages.

/// nlctrl, and what programs ask of it.
const CONTROLLER: u16 = 0x10;
const GET_FAMILY: u8 = 3;
const FAMILY_NAME: u16 = 2;

/// Sluice's private family.
const PRIVATE: u16 = 29;
/// Its commands.
pub(crate) const READ_FILE: u8 = 1;
pub(crate) const GET_OPTION: u8 = 2;
pub(crate) const SET_OPTION: u8 = 3;
/// Its attributes.
pub(crate) const NAME: u16 = 1;
pub(crate) const OPTION: u16 = 2;
pub(crate) const SIZE: u16 = 3;
pub(crate) const VALUE: u16 = 4;

/// Flags.
pub(crate) const REQUEST: u16 = 1;
pub(crate) const MULTI: u16 = 2;
pub(crate) const ACKNOWLEDGE: u16 = 4;
/// Of an error: the request that it is about is not in it but for its header.
pub(crate) const CAPPED: u16 = 0x100;
/// Kinds.
pub(crate) const ERROR: u16 = 2;
pub(crate) const DONE: u16 = 3;
/// Bytes of a header.
pub(crate) const HEADER: usize = 16;
const FAMILY_HEADER: usize = 4;
const ATTRIBUTE_HEADER: usize = 4;

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Takes what has its length in front off the bytes; both are at multiples of four.
fn take<'a>(bytes: &mut &'a [u8], size: usize, least: usize) -> Option<&'a [u8]> {
    let taken = bytes.get(..size).filter(|_| size >= least)?;
    *bytes = bytes.get(size.next_multiple_of(4)..).unwrap_or_default();
    Some(taken)
}

/// A message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    bytes: &'a [u8],
}

/// Takes the next message off a datagram.
pub(crate) fn next<'a>(datagram: &mut &'a [u8]) -> Option<Message<'a>> {
    let size = usize::try_from(word(datagram, 0)?).ok()?;
    let bytes = take(datagram, size, HEADER)?;
    let (kind, flags) = (half(bytes, 4)?, half(bytes, 6)?);
    Some(Message { kind, flags, sequence: word(bytes, 8)?, bytes })
}

/// Writes the header of a message of that size to the beginning of `to`, which has room for it.
pub(crate) fn header(to: &mut [u8], size: usize, kind: u16, flags: u16, sequence: u32, port: u32) {
    let size = u32::try_from(size).unwrap_or(0).to_ne_bytes();
    let (kind, flags) = (kind.to_ne_bytes(), flags.to_ne_bytes());
    let fields = [&size[..], &kind, &flags, &sequence.to_ne_bytes(), &port.to_ne_bytes()];
    let bytes = fields.into_iter().flatten();
    to.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
}

/// Whether a datagram asks nlctrl for the family IPVS.
pub(crate) fn asks_for_ipvs(mut datagram: &[u8]) -> bool {
    while let Some(message) = next(&mut datagram) {
        if is_question_for_ipvs(message.bytes) {
            return true;
        }
    }
    false
}

fn is_question_for_ipvs(message: &[u8]) -> bool {
    let command = message.get(HEADER);
    if half(message, 4) != Some(CONTROLLER) || command != Some(&GET_FAMILY) {
        return false;
    }
    let mut attributes = message.get(HEADER + FAMILY_HEADER..).unwrap_or_default();
    while let Some(size) = half(attributes, 0) {
        let size = usize::from(size);
        let Some(attribute) = take(&mut attributes, size, ATTRIBUTE_HEADER) else { return false };
        let value = attribute.get(ATTRIBUTE_HEADER..).unwrap_or_default();
        if half(attribute, 2) == Some(FAMILY_NAME) && value.starts_with(b"IPVS\0") {
            return true;
        }
    }
    false
}

/// A request of the private family. What does not fit is left out, and its attribute with it.
pub(crate) struct Request {
    bytes: [u8; 1280],
    size: usize,
}

impl Request {
    pub(crate) fn new(command: u8) -> Self {
        let mut request = Self { bytes: [0; 1280], size: HEADER + FAMILY_HEADER };
        request.write(4, &PRIVATE.to_ne_bytes());
        // An answer is certain either way: an acknowledgement, or the end of a dump.
        request.write(6, &(REQUEST | ACKNOWLEDGE).to_ne_bytes());
        request.write(HEADER, &[command, 1]);
        request
    }

    fn write(&mut self, at: usize, bytes: &[u8]) {
        if let Some(place) = self.bytes.get_mut(at..).and_then(|rest| rest.get_mut(..bytes.len())) {
            place.copy_from_slice(bytes);
        }
    }

    pub(crate) fn with(mut self, kind: u16, value: &[u8]) -> Self {
        let size = ATTRIBUTE_HEADER + value.len();
        let end = self.size + size.next_multiple_of(4);
        if let Ok(short) = u16::try_from(size)
            && end <= self.bytes.len()
        {
            self.write(self.size, &short.to_ne_bytes());
            self.write(self.size + 2, &kind.to_ne_bytes());
            self.write(self.size + ATTRIBUTE_HEADER, value);
            self.size = end;
        }
        self
    }

    /// The datagram.
    pub(crate) fn bytes(&mut self) -> &[u8] {
        let size = u32::try_from(self.size).unwrap_or(0);
        self.write(0, &size.to_ne_bytes());
        self.bytes.get(..self.size).unwrap_or_default()
    }
}

/// What a message of a reply is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply<'a> {
    /// A piece of what was asked for.
    Piece(&'a [u8]),
    /// That was all.
    End,
    /// An error number.
    Refused(i32),
}

/// Takes the next message off a datagram of a reply.
pub(crate) fn reply<'a>(datagram: &mut &'a [u8]) -> Option<Reply<'a>> {
    let message = next(datagram)?;
    match message.kind {
        DONE => Some(Reply::End),
        ERROR => Some(match word(message.bytes, HEADER)?.cast_signed() {
            0 => Reply::End,
            number => Reply::Refused(number.checked_neg()?),
        }),
        _ => {
            let attribute = message.bytes.get(HEADER + FAMILY_HEADER..)?;
            let size = usize::from(half(attribute, 0)?);
            Some(Reply::Piece(attribute.get(ATTRIBUTE_HEADER..size)?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(kind: u16, command: u8, name: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER + FAMILY_HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[HEADER] = command;
        bytes.extend_from_slice(&(u16::try_from(name.len()).unwrap() + 4).to_ne_bytes());
        bytes.extend_from_slice(&FAMILY_NAME.to_ne_bytes());
        bytes.extend_from_slice(name);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        let size = u32::try_from(bytes.len()).unwrap();
        bytes[..4].copy_from_slice(&size.to_ne_bytes());
        bytes
    }

    #[test]
    fn only_the_question_for_ipvs_is_taken() {
        let ipvs = question(CONTROLLER, GET_FAMILY, b"IPVS\0");
        assert!(asks_for_ipvs(&ipvs));
        let other = question(CONTROLLER, GET_FAMILY, b"nl80211\0");
        assert!(!asks_for_ipvs(&other));
        assert!(asks_for_ipvs(&[other, ipvs.clone()].concat()));
        assert!(!asks_for_ipvs(&question(CONTROLLER, GET_FAMILY, b"IPVS2\0")));
        assert!(!asks_for_ipvs(&question(CONTROLLER, 4, b"IPVS\0")));
        assert!(!asks_for_ipvs(&question(0, GET_FAMILY, b"IPVS\0")));
        for size in 0..ipvs.len() - 3 {
            assert!(!asks_for_ipvs(&ipvs[..size]), "{size}");
        }
        for at in 0..ipvs.len() {
            for value in [0, 1, 3, 0xff] {
                let mut broken = ipvs.clone();
                broken[at] = value;
                asks_for_ipvs(&broken);
                while reply(&mut broken.as_slice()).is_some_and(|_| false) {}
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let mut request = Request::new(READ_FILE).with(VALUE, &[1; 2000]).with(NAME, b"ip_vs\0");
        assert_eq!(request.bytes().len(), 20 + 12);
    }
}
