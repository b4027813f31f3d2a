//! Ethernet addresses as operators write them.

use std::fmt;
use std::str::FromStr;

/// An Ethernet (MAC) address in the order of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MacAddress(pub [u8; 6]);

/// The text is not six pairs of hexadecimal digits with `:` (or `-`) between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a MAC address; write six pairs of hexadecimal digits, for example 02:00:00:00:00:83")]
pub struct MacAddressError;

impl MacAddress {
    /// Whether the address can be that of a station: not a group address and not all zeros.
    pub const fn is_unicast(self) -> bool {
        let [first, b, c, d, e, f] = self.0;
        first & 1 == 0 && (first | b | c | d | e | f) != 0
    }
}

impl FromStr for MacAddress {
    type Err = MacAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let separator = if text.contains('-') { '-' } else { ':' };
        let mut bytes = [0; 6];
        let mut pairs = text.split(separator);
        for byte in &mut bytes {
            let pair = pairs.next().ok_or(MacAddressError)?;
            // from_str_radix alone would take a sign for a digit.
            if pair.len() != 2 || !pair.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return Err(MacAddressError);
            }
            *byte = u8::from_str_radix(pair, 16).map_err(|_| MacAddressError)?;
        }
        if pairs.next().is_some() { Err(MacAddressError) } else { Ok(Self(bytes)) }
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_agree() {
        let address = MacAddress([0x02, 0, 0xab, 0, 0, 0x83]);
        assert_eq!("02:00:ab:00:00:83".parse(), Ok(address));
        assert_eq!("02-00-AB-00-00-83".parse(), Ok(address));
        assert_eq!(address.to_string(), "02:00:ab:00:00:83");
    }

    #[test]
    fn other_text_is_refused() {
        for text in [
            "",
            "02:00:00:00:00",
            "02:00:00:00:00:83:01",
            "2:0:0:0:0:83",
            "+2:00:00:00:00:83",
            "02:00:00:00:00-83",
            "02:00:00:00:00:8g",
            "02:00:00:00:00:é",
        ] {
            assert_eq!(text.parse::<MacAddress>(), Err(MacAddressError), "{text}");
        }
    }

    #[test]
    fn group_and_zero_addresses_are_no_stations() {
        assert!(MacAddress([2, 0, 0, 0, 0, 1]).is_unicast());
        assert!(!MacAddress([1, 0, 0x5e, 0, 0, 1]).is_unicast());
        assert!(!MacAddress([0xff; 6]).is_unicast());
        assert!(!MacAddress([0; 6]).is_unicast());
    }
}
