//! Attributes: type, length and value, one behind the other, each at a multiple of four bytes
//! (`struct nlattr`). Numbers are in the order of the machine's bytes unless said otherwise.

use super::errno::Errno;

/// Length and type.
const HEADER: usize = 4;
/// Both flags (nested, network byte order) above the type itself. The kernel does not ask for them.
const TYPE_MASK: u16 = 0x3fff;

/// `size` at the next multiple of four.
pub(super) const fn aligned(size: usize) -> usize {
    size.next_multiple_of(4)
}

/// What an attribute's value has to be: the kernel's `nla_policy`, where it is lenient.
#[derive(Clone, Copy, Debug)]
pub(super) enum Policy {
    U8,
    U16,
    U32,
    /// Other attributes, or nothing.
    Nested,
    /// Text that ends within so many bytes and one more.
    Text(usize),
    /// At most so many bytes.
    AtMost(usize),
    /// At least so many bytes.
    AtLeast(usize),
    /// Nothing that a request has: whatever it is, it is not looked at.
    Ignored,
}

impl Policy {
    fn check(self, value: &[u8]) -> Result<(), Errno> {
        let size = value.len();
        let fits = match self {
            Self::U8 => size >= 1,
            Self::U16 => size >= 2,
            Self::U32 => size >= 4,
            Self::Nested => size == 0 || size >= HEADER,
            Self::Text(longest) => {
                let seen = &value[..size.min(longest + 1)];
                if !seen.contains(&0) {
                    return Err(Errno::EINVAL);
                }
                size.saturating_sub(usize::from(value.last() == Some(&0))) <= longest
            }
            Self::AtMost(longest) => size <= longest,
            Self::AtLeast(shortest) => size >= shortest,
            Self::Ignored => true,
        };
        if fits { Ok(()) } else { Err(Errno::ERANGE) }
    }
}

/// The attributes of a message or a nest, by type. Of two of one type the last one counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attributes<'a, const N: usize>([Option<&'a [u8]>; N]);

impl<'a, const N: usize> Attributes<'a, N> {
    /// Reads attributes as `__nla_parse` does: types beyond the policies and what is behind the
    /// last whole attribute do not matter. `policies[0]` is type 1.
    pub(super) fn parse(mut bytes: &'a [u8], policies: &[Policy; N]) -> Result<Self, Errno> {
        let mut found = [None; N];
        while let Some((size, kind)) = header(bytes) {
            let value = &bytes[HEADER..size];
            let place = usize::from(kind & TYPE_MASK).checked_sub(1);
            if let Some(place) = place.filter(|&place| place < N) {
                policies[place].check(value)?;
                found[place] = Some(value);
            }
            bytes = bytes.get(aligned(size)..).unwrap_or_default();
        }
        Ok(Self(found))
    }

    /// The value of the attribute of that type, if it is there.
    pub(super) fn get(&self, kind: u16) -> Option<&'a [u8]> {
        self.0.get(usize::from(kind).checked_sub(1)?).copied().flatten()
    }

    pub(super) fn u8(&self, kind: u16) -> Option<u8> {
        self.get(kind)?.first().copied()
    }

    pub(super) fn u16(&self, kind: u16) -> Option<u16> {
        Some(u16::from_ne_bytes(*self.get(kind)?.first_chunk()?))
    }

    /// A number in the order of the network.
    pub(super) fn be16(&self, kind: u16) -> Option<u16> {
        Some(u16::from_be_bytes(*self.get(kind)?.first_chunk()?))
    }

    pub(super) fn u32(&self, kind: u16) -> Option<u32> {
        Some(u32::from_ne_bytes(*self.get(kind)?.first_chunk()?))
    }

    /// Text up to its end. Bytes that are no UTF-8 become letters that no name has.
    pub(super) fn text(&self, kind: u16) -> Option<String> {
        let bytes = self.get(kind)?.split(|&byte| byte == 0).next()?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    }

    /// The first bytes of a value; what it is short of is 0 (`nla_memcpy`).
    pub(super) fn bytes<const SIZE: usize>(&self, kind: u16) -> Option<[u8; SIZE]> {
        let value = self.get(kind)?;
        let mut bytes = [0; SIZE];
        let size = value.len().min(SIZE);
        bytes[..size].copy_from_slice(&value[..size]);
        Some(bytes)
    }
}

/// Size and type of the whole attribute that bytes begin with.
fn header(bytes: &[u8]) -> Option<(usize, u16)> {
    let size = u16::from_ne_bytes(*bytes.first_chunk()?);
    let kind = u16::from_ne_bytes(*bytes.get(2..)?.first_chunk()?);
    let size = usize::from(size);
    (size >= HEADER && size <= bytes.len()).then_some((size, kind))
}

/// Writes attributes behind what is in a datagram.
///
/// Attributes here are far shorter than the 64 KiB that their length can say.
pub(super) trait Put {
    fn put(&mut self, kind: u16, value: &[u8]);
    /// Begins a nest; returns what [`Put::end`] wants.
    fn begin(&mut self, kind: u16) -> usize;
    fn end(&mut self, nest: usize);

    fn put_u8(&mut self, kind: u16, value: u8) {
        self.put(kind, &[value]);
    }
    fn put_u16(&mut self, kind: u16, value: u16) {
        self.put(kind, &value.to_ne_bytes());
    }
    fn put_be16(&mut self, kind: u16, value: u16) {
        self.put(kind, &value.to_be_bytes());
    }
    fn put_u32(&mut self, kind: u16, value: u32) {
        self.put(kind, &value.to_ne_bytes());
    }
    /// Text and its end.
    fn put_text(&mut self, kind: u16, value: &str) {
        self.put(kind, &[value.as_bytes(), &[0]].concat());
    }
    /// A number at a multiple of eight bytes of the datagram, where need be behind an empty
    /// attribute of the type `pad` (`nla_put_u64_64bit`).
    fn put_u64(&mut self, kind: u16, value: u64, pad: u16);
}

impl Put for Vec<u8> {
    fn put(&mut self, kind: u16, value: &[u8]) {
        let nest = self.begin(kind);
        self.extend_from_slice(value);
        self.end(nest);
        self.resize(aligned(self.len()), 0);
    }

    fn begin(&mut self, kind: u16) -> usize {
        let nest = self.len();
        self.extend_from_slice(&[0; 2]);
        self.extend_from_slice(&kind.to_ne_bytes());
        nest
    }

    fn end(&mut self, nest: usize) {
        let size = u16::try_from(self.len() - nest).unwrap_or(u16::MAX);
        self[nest..nest + 2].copy_from_slice(&size.to_ne_bytes());
    }

    fn put_u64(&mut self, kind: u16, value: u64, pad: u16) {
        if self.len().is_multiple_of(8) {
            self.put(pad, &[]);
        }
        self.put(kind, &value.to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_eight_bytes_stands_at_a_multiple_of_eight() {
        for before in [0, 4] {
            let mut bytes = vec![0xff; before];
            bytes.put_u64(3, 0x0102_0304_0506_0708, 9);
            let at = bytes.len() - 8;
            assert!(at.is_multiple_of(8), "{before}: at {at}");
            let pad = Attributes::parse(&bytes[before..], &[Policy::Ignored; 9]).unwrap();
            assert_eq!(pad.get(9).is_some(), before == 0);
            assert_eq!(pad.get(3), Some(&0x0102_0304_0506_0708_u64.to_ne_bytes()[..]));
        }
    }

    #[test]
    fn text_has_to_end_in_time() {
        let check = |value: &[u8]| Policy::Text(3).check(value);
        assert_eq!(check(b"abc\0"), Ok(()));
        assert_eq!(check(b"\0"), Ok(()));
        assert_eq!(check(b""), Err(Errno::EINVAL));
        assert_eq!(check(b"abc"), Err(Errno::EINVAL));
        assert_eq!(check(b"abcd\0"), Err(Errno::EINVAL));
        // What is behind the end counts as text, as in the kernel.
        assert_eq!(check(b"a\0cde"), Err(Errno::ERANGE));
        assert_eq!(check(b"a\0c\0"), Ok(()));
    }
}
