//! Numbers and names in a rule, as iptables reads them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::error::MarksError;
use super::ports::PortRange;
use super::rule::AddressMatch;
use crate::ipvsadm::Names;
use crate::protocol::Protocol;
use crate::service::Family;

/// A number as `strtoul` with base 0 reads it: blanks in front; decimal, octal or hexadecimal.
pub(super) fn number(text: &str, max: u32) -> Option<u32> {
    let text = text.trim_start_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']);
    let text = text.strip_prefix('+').unwrap_or(text);
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => (hex, 16),
        None if text.starts_with('0') => (text, 8),
        None => (text, 10),
    };
    // from_str_radix would take a sign.
    if !digits.starts_with(|first: char| first.is_ascii_hexdigit()) {
        return None;
    }
    u32::from_str_radix(digits, radix).ok().filter(|&value| value <= max)
}

/// `VALUE[/MASK]`; without a mask it is all ones.
pub(super) fn value_and_mask(text: &str) -> Option<(u32, u32)> {
    match text.split_once('/') {
        Some((value, mask)) => Some((number(value, u32::MAX)?, number(mask, u32::MAX)?)),
        None => Some((number(text, u32::MAX)?, u32::MAX)),
    }
}

/// The word behind an option that the kernel's rules print for it (`xtables_save_string`).
pub(super) fn quoted(text: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        if matches!(letter, '"' | '\\' | '\'') {
            quoted.push('\\');
        }
        quoted.push(letter);
    }
    quoted.push('"');
    quoted
}

/// A port by its number or its name.
fn port(text: &str, protocol: Protocol, names: &dyn Names) -> Result<u16, MarksError> {
    number(text, u16::MAX.into())
        .and_then(|port| u16::try_from(port).ok())
        .or_else(|| names.port_of(text, protocol))
        .ok_or_else(|| MarksError::Port(text.to_owned()))
}

/// `PORT`, or `FIRST:LAST` where either may be missing.
pub(super) fn port_range(
    text: &str,
    protocol: Protocol,
    names: &dyn Names,
) -> Result<PortRange, MarksError> {
    let Some((first, last)) = text.split_once(':') else {
        let port = port(text, protocol, names)?;
        return Ok(PortRange { first: port, last: port });
    };
    let end = |text: &str, else_: u16| {
        if text.is_empty() { Ok(else_) } else { port(text, protocol, names) }
    };
    let (first, last) = (end(first, 0)?, end(last, u16::MAX)?);
    if first > last {
        return Err(MarksError::PortRange(text.to_owned()));
    }
    Ok(PortRange { first, last })
}

/// The ports of a `multiport`: up to 15, a range counting twice.
pub(super) fn port_list(
    text: &str,
    protocol: Protocol,
    names: &dyn Names,
) -> Result<Vec<PortRange>, MarksError> {
    let mut ranges = Vec::new();
    let mut places = 0;
    for item in text.split(',') {
        let range = match item.split_once(':') {
            Some((first, last)) => {
                let range = PortRange {
                    first: port(first, protocol, names)?,
                    last: port(last, protocol, names)?,
                };
                if range.first >= range.last {
                    return Err(MarksError::MultiportRange(item.to_owned()));
                }
                range
            }
            None => {
                let port = port(item, protocol, names)?;
                PortRange { first: port, last: port }
            }
        };
        places += if range.first == range.last { 1 } else { 2 };
        if places > super::ports::MULTIPORT_MAX {
            return Err(MarksError::TooManyPorts);
        }
        ranges.push(range);
    }
    Ok(ranges)
}

/// Addresses with their masks, separated by commas. `None` is every address.
pub(super) fn addresses(
    text: &str,
    family: Family,
    negated: bool,
    direction: &'static str,
) -> Result<Vec<Option<AddressMatch>>, MarksError> {
    let found: Result<Vec<_>, _> = text
        .split(',')
        .map(|item| {
            let (host, mask) = match item.split_once('/') {
                Some((host, mask)) => (host, Some(mask)),
                None => (item, None),
            };
            let address = address(host, family)?;
            let mask = mask.map_or(Some(u128::MAX), |mask| self::mask(mask, family));
            let mask = mask.ok_or_else(|| {
                MarksError::Mask(item.split_once('/').map_or("", |(_, mask)| mask).to_owned())
            })?;
            let found = AddressMatch::new(address, mask, negated);
            let is_all = found.prefix(family) == Some(0);
            if is_all && negated {
                Err(MarksError::Never(direction))
            } else {
                Ok((!is_all).then_some(found))
            }
        })
        .collect();
    let found = found?;
    if negated && found.len() > 1 { Err(MarksError::NegatedList) } else { Ok(found) }
}

fn address(text: &str, family: Family) -> Result<IpAddr, MarksError> {
    let (found, example) = match family {
        Family::V4 => (ipv4(text).map(IpAddr::V4), "an IPv4 address"),
        Family::V6 => (text.parse::<Ipv6Addr>().ok().map(IpAddr::V6), "an IPv6 address"),
    };
    found.ok_or_else(|| MarksError::Address(text.to_owned(), example))
}

/// One to four numbers, in any base; those that are missing at the end are 0.
fn ipv4(text: &str) -> Option<Ipv4Addr> {
    let parts: Vec<_> = text.split('.').collect();
    let mut bytes = [0; 4];
    if parts.len() > bytes.len() {
        return None;
    }
    for (byte, part) in bytes.iter_mut().zip(parts) {
        *byte = number(part, u8::MAX.into()).and_then(|number| u8::try_from(number).ok())?;
    }
    Some(bytes.into())
}

/// The length of a prefix, or a mask that is written as an address. Of IPv4 only the lower 32
/// bits count.
fn mask(text: &str, family: Family) -> Option<u128> {
    let width = match family {
        Family::V4 => 32,
        Family::V6 => 128,
    };
    if text.bytes().all(|digit| digit.is_ascii_digit()) {
        let length = text.parse::<u32>().ok().filter(|&length| length <= width)?;
        return Some(u128::MAX.checked_shl(width - length).unwrap_or(0));
    }
    match family {
        Family::V4 if text.matches('.').count() == 3 => {
            ipv4(text).map(|mask| mask.to_bits().into())
        }
        Family::V4 => None,
        Family::V6 => text.parse::<Ipv6Addr>().ok().map(Ipv6Addr::to_bits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_strtoul() {
        let cases =
            [("0", 0), (" 1", 1), ("010", 8), ("0xFf", 255), ("+7", 7), ("4294967295", u32::MAX)];
        for (text, value) in cases {
            assert_eq!(number(text, u32::MAX), Some(value), "{text:?}");
        }
        for bad in ["", " ", "-1", "+-1", "1 ", "08", "0x", "x", "1/2", "4294967296", "++1"] {
            assert_eq!(number(bad, u32::MAX), None, "{bad:?}");
        }
        assert_eq!(number("256", 255), None);
        assert_eq!(value_and_mask("0x10/0xff"), Some((16, 255)));
        assert_eq!(value_and_mask("1/"), None);
        assert_eq!(value_and_mask("/1"), None);
    }

    #[test]
    fn addresses_are_as_short_as_iptables_takes_them() {
        let v4 = |text: &str| {
            addresses(text, Family::V4, false, "")
                .map(|found| found[0].map(|a| (a.address().to_string(), a.prefix(Family::V4))))
        };
        let is = |address: &str, prefix| Ok(Some((address.to_owned(), prefix)));
        assert_eq!(v4("10/8"), is("10.0.0.0", Some(8)));
        assert_eq!(v4("10.1.2.3/255.255.0.0"), is("10.1.0.0", Some(16)));
        assert_eq!(v4("10.1.2.3/255.0.255.0"), is("10.0.2.0", None));
        assert_eq!(v4("10.1.2.3"), is("10.1.2.3", Some(32)));
        assert_eq!(v4("1.2.3.4/0"), Ok(None));
        for bad in ["", "256.1.1.1", "1.2.3.4.5", "1..2", "a", "-1", "08.1.1.1", "fd00::1"] {
            assert!(matches!(v4(bad), Err(MarksError::Address(..))), "{bad}");
        }
        for bad in ["1.1.1.1/", "1.1.1.1/33", "1.1.1.1/255.255", "1.1.1.1/-1", "1.1.1.1/x"] {
            assert!(matches!(v4(bad), Err(MarksError::Mask(_))), "{bad}");
        }
        let v6 = addresses("fd00::1/ffff::,::2/64", Family::V6, false, "").unwrap();
        assert_eq!(v6[0].unwrap().prefix(Family::V6), Some(16));
        assert_eq!(v6[1].unwrap().prefix(Family::V6), Some(64));
        assert_eq!(addresses("::/0", Family::V6, true, "x"), Err(MarksError::Never("x")));
        assert_eq!(addresses("::1,::2", Family::V6, true, ""), Err(MarksError::NegatedList));
        assert!(addresses("10.0.0.1", Family::V6, false, "").is_err());
    }
}
