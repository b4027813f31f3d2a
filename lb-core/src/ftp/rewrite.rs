//! What the client reads instead of the real server's address.

use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::ops::Range;

use super::message::{Endpoint, Form};

/// The longest text: `255,255,255,255,255,255`.
pub const TEXT_MAX: usize = 23;

/// A text in the place of an [`Endpoint`]'s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replacement {
    text: Text,
    place: Range<usize>,
    delta: i32,
}

impl Replacement {
    /// The endpoint of a server's reply with the virtual end of the data connection in its place:
    /// address and port in the plain form, `|||port|` in the extended one, whatever the server
    /// wrote (`ip_vs_ftp_out`). `None` for an IPv6 address in the plain form, which has no room.
    pub fn of(endpoint: &Endpoint, virtual_end: (IpAddr, u16)) -> Option<Self> {
        let mut text = Text::default();
        match (endpoint.form, virtual_end) {
            (Form::Plain, (IpAddr::V4(address), port)) => {
                let ([a, b, c, d], [high, low]) = (address.octets(), port.to_be_bytes());
                write!(text, "{a},{b},{c},{d},{high},{low}").ok()?;
            }
            (Form::Plain, (IpAddr::V6(_), _)) => return None,
            (Form::Extended, (_, port)) => write!(text, "|||{port}|").ok()?,
        }
        let old = i32::try_from(endpoint.text.len()).ok()?;
        let delta = i32::from(text.length) - old;
        Some(Self { text, place: endpoint.text.clone(), delta })
    }

    /// The new text.
    pub fn text(&self) -> &[u8] {
        self.text.bytes()
    }

    /// By how many bytes the payload grows, or shrinks.
    pub const fn delta(&self) -> i32 {
        self.delta
    }

    /// Puts the text into the payload, which is the first `length` bytes of `buffer`, and moves
    /// what is behind it. The payload's new length, or `None`, and nothing done, where the buffer
    /// has no room for it. Lengths and checksums of headers are the caller's business.
    pub fn apply(&self, buffer: &mut [u8], length: usize) -> Option<usize> {
        let Range { start, end } = self.place;
        let kept = length.checked_sub(end)?;
        let new_end = start.checked_add(self.text().len())?;
        let new_length = new_end.checked_add(kept)?;
        if start > end || length > buffer.len() || new_length > buffer.len() {
            return None;
        }
        buffer.copy_within(end..length, new_end);
        buffer.get_mut(start..new_end)?.copy_from_slice(self.text());
        Some(new_length)
    }
}

/// A short text without a heap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Text {
    bytes: [u8; TEXT_MAX],
    length: u8,
}

impl Text {
    fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let start = usize::from(self.length);
        let end = start + text.len();
        self.bytes.get_mut(start..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = u8::try_from(end).map_err(|_| fmt::Error)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ftp::message::{Mode, server_reply};
    use crate::service::Family;
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    const VIP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 100));

    /// The reply as the client reads it.
    fn rewritten(reply: &str, mode: Mode) -> (String, i32) {
        let endpoint = server_reply(reply.as_bytes(), mode, Family::V4).unwrap();
        let replacement = Replacement::of(&endpoint, (VIP, endpoint.port)).unwrap();
        let mut buffer = [reply.as_bytes(), &[0; TEXT_MAX]].concat();
        let length = replacement.apply(&mut buffer, reply.len()).unwrap();
        buffer.truncate(length);
        (String::from_utf8(buffer).unwrap(), replacement.delta())
    }

    #[test]
    fn the_client_reads_the_virtual_address() {
        let cases = [
            (Mode::Passive, "227 (10,0,2,11,200,10)\r\n", "227 (10,0,0,100,200,10)\r\n", 1),
            (Mode::Passive, "227 ok 192,168,100,200,1,9.\n", "227 ok 10,0,0,100,1,9.\n", -5),
            (Mode::Passive, "227 (10,0,2,111,200,10)\r\n", "227 (10,0,0,100,200,10)\r\n", 0),
            (Mode::ExtendedPassive, "229 (|||51300|)\r\n", "229 (|||51300|)\r\n", 0),
            (Mode::ExtendedPassive, "229 (|1|10.0.2.11|5130|)\r\n", "229 (|||5130|)\r\n", -10),
            (Mode::ExtendedPassive, "229 (!!!00021!)\r\n", "229 (|||21|)\r\n", -3),
        ];
        for (mode, reply, expected, delta) in cases {
            assert_eq!(rewritten(reply, mode), (expected.to_owned(), delta));
        }
    }

    #[test]
    fn the_plain_form_has_no_room_for_ipv6() {
        let endpoint = server_reply(b"227 (10,0,2,11,200,10)", Mode::Passive, Family::V4).unwrap();
        assert_eq!(Replacement::of(&endpoint, (IpAddr::from([0; 16]), 9)), None);
    }

    proptest! {
        #[test]
        fn a_text_fits_or_nothing_happens(
            address: [u8; 4], port: u16, start in 0_usize..40, old in 0_usize..30,
            length in 0_usize..60, room in 0_usize..80, extended: bool,
        ) {
            let form = if extended { Form::Extended } else { Form::Plain };
            let endpoint = Endpoint { address: None, port, form, text: start..start + old };
            let replacement = Replacement::of(&endpoint, (address.into(), port)).unwrap();
            let text = replacement.text().to_vec();
            prop_assert!(text.len() <= TEXT_MAX);
            let before: Vec<u8> = (0..room).map(|at| u8::try_from(at).unwrap()).collect();
            let mut buffer = before.clone();
            if let Some(new_length) = replacement.apply(&mut buffer, length) {
                let expected = [&before[..start], &text, &before[start + old..length]].concat();
                prop_assert_eq!(&buffer[..new_length], &expected);
                prop_assert_eq!(new_length.cast_signed(),
                    length.cast_signed() + isize::try_from(replacement.delta()).unwrap());
            } else {
                prop_assert_eq!(&buffer, &before);
                prop_assert!(start + old > length || length > room
                    || length - old + text.len() > room);
            }
        }
    }
}
