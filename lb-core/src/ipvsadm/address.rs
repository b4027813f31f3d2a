//! Numbers, addresses and ports as ipvsadm reads them: with the C library's liberties.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::names::Names;
use crate::protocol::Protocol;

/// A decimal number within a range. As with `strtol`, blanks and a sign may stand before it.
pub(super) fn number(text: &str, min: i64, max: i64) -> Option<i64> {
    let text = text.trim_start_matches(is_c_space);
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Rust's own parser knows both signs; what does not fit is out of every range.
    text.parse().ok().filter(|value| (min..=max).contains(value))
}

/// [`number`] as the type that it is kept in; what does not fit the type is out of range too.
pub(super) fn number_in<T: TryFrom<i64>>(text: &str, min: i64, max: i64) -> Option<T> {
    number(text, min, max).and_then(|value| T::try_from(value).ok())
}

/// The number at the start of a text, as `atoi` takes it: anything may follow, nothing is 0.
/// What is too large stays large.
pub(super) fn leading_number(text: &str) -> i64 {
    let text = text.trim_start_matches(is_c_space);
    let (sign, digits) = match text.as_bytes() {
        [b'-', rest @ ..] => (-1, rest),
        [b'+', rest @ ..] => (1, rest),
        rest => (1, rest),
    };
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    sign * digits
        .fold(0i64, |value, byte| value.saturating_mul(10).saturating_add(i64::from(byte - b'0')))
}

/// An IPv4 address by the rules of `inet_aton`: one to four parts, each decimal, octal (`0..`) or
/// hexadecimal (`0x..`), the last one filling what is left; a blank ends it.
pub(super) fn inet_aton(text: &str) -> Option<Ipv4Addr> {
    let text = text.split(is_c_space).next()?;
    let parts: Vec<&str> = text.split('.').collect();
    let (last, leading) = parts.split_last()?;
    if leading.len() > 3 {
        return None;
    }
    let mut address = 0u32;
    for (index, part) in leading.iter().enumerate() {
        address |= c_number(part).filter(|&value| value <= 0xff)? << (24 - 8 * index);
    }
    let room = u32::MAX.checked_shr(8 * u32::try_from(leading.len()).ok()?)?;
    address |= c_number(last).filter(|&value| value <= room)?;
    Some(Ipv4Addr::from(address))
}

/// The address and port of a service or server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) address: IpAddr,
    /// `None` where no port was written.
    pub(super) port: Option<u16>,
}

/// `address[:port]`, `[address]:port` or a bare IPv6 address. Port names need the protocol.
///
/// Oddities that ipvsadm has and scripts may rely on: a word made only of digits is refused, an
/// IPv4 address in brackets loses the port behind them, an IPv6 address in brackets needs one.
pub(super) fn endpoint(
    text: &str,
    protocol: Option<Protocol>,
    names: &dyn Names,
) -> Option<Endpoint> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (host, bracket_port) = match text.strip_prefix('[') {
        Some(inner) => {
            let (host, behind) = inner.split_once(']')?;
            (host, Some(behind.strip_prefix(':')?))
        }
        None => (text, None),
    };
    if let Ok(address) = host.parse::<Ipv6Addr>() {
        let port = bracket_port.map(|text| port(text, protocol, names));
        return match port {
            Some(port) => Some(Endpoint { address: address.into(), port: Some(port?) }),
            None => Some(Endpoint { address: address.into(), port: None }),
        };
    }
    let (host, port_text) = match host.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (host, None),
    };
    let address = ipv4_or_name(host, names)?.into();
    match port_text {
        Some(text) => Some(Endpoint { address, port: Some(port(text, protocol, names)?) }),
        None => Some(Endpoint { address, port: None }),
    }
}

/// An IPv4 address, or a host name that has one.
pub(super) fn ipv4_or_name(text: &str, names: &dyn Names) -> Option<Ipv4Addr> {
    inet_aton(text).or_else(|| if text.is_empty() { None } else { names.address_of(text) })
}

fn port(text: &str, protocol: Option<Protocol>, names: &dyn Names) -> Option<u16> {
    number_in(text, 0, 65535).or_else(|| names.port_of(text, protocol?))
}

/// One part of an IPv4 address, as `strtoul` with base 0 reads it, but with no sign or blank.
fn c_number(text: &str) -> Option<u32> {
    if !text.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => (hex, 16),
        None if text.starts_with('0') => (text, 8),
        None => (text, 10),
    };
    // from_str_radix would take a sign.
    if !digits.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    u32::from_str_radix(digits, radix).ok()
}

/// What `isspace` calls a space in the C locale.
const fn is_c_space(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\n' | '\x0b' | '\x0c' | '\r')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipvsadm::Numeric;

    #[test]
    fn numbers_follow_strtol() {
        assert_eq!(number("0080", 0, 65535), Some(80));
        assert_eq!(number(" +80", 0, 65535), Some(80));
        assert_eq!(number("-0", 0, 65535), Some(0));
        for bad in ["", " ", "+", "80 ", "0x50", "65536", "-1", "99999999999999999999", "8-0"] {
            assert_eq!(number(bad, 0, 65535), None, "{bad:?}");
        }
        assert_eq!(leading_number(" +64.5"), 64);
        assert_eq!(leading_number("x"), 0);
        assert_eq!(leading_number("99999999999999999999"), i64::MAX);
    }

    #[test]
    fn ipv4_addresses_follow_inet_aton() {
        let cases = [
            ("10.1", "10.0.0.1"),
            ("0x0a.012.0.1", "10.10.0.1"),
            ("1.2.3", "1.2.0.3"),
            ("1.16777215", "1.255.255.255"),
            ("4294967295", "255.255.255.255"),
            ("017777777777", "127.255.255.255"),
            ("1.2.3.4 x", "1.2.3.4"),
        ];
        for (text, expected) in cases {
            assert_eq!(inet_aton(text), Some(expected.parse().unwrap()), "{text}");
        }
        for bad in [
            "",
            ".",
            "1..2",
            "1.2.3.4.",
            "1.2.3.4.5",
            "256.1.1.1",
            "1.2.65536",
            "1.16777216",
            "4294967296",
            "0x",
            "1.2.3.0x",
            "08.1",
            "0x1ffffffff",
            " 1.2.3.4",
            "-1",
            "1.+2",
            "0x+1",
        ] {
            assert_eq!(inet_aton(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn endpoints_follow_the_captured_oddities() {
        let end = |text: &str| {
            endpoint(text, Some(Protocol::Tcp), &Numeric).map(|e| (e.address.to_string(), e.port))
        };
        let is = |address: &str, port| Some((address.to_owned(), port));
        assert_eq!(end("[10.0.0.1]:80"), is("10.0.0.1", None));
        assert_eq!(end("[10.0.0.1:80]:90"), is("10.0.0.1", Some(80)));
        assert_eq!(end("2001:db8::1:80"), is("2001:db8::1:80", None));
        assert_eq!(end("12345:80"), is("0.0.48.57", Some(80)));
        for bad in ["", "12345", "[2001:db8::1]", "[2001:db8::1]:", "[]:80", ":80", "1.2.3.4:"] {
            assert_eq!(end(bad), None, "{bad:?}");
        }
    }
}
