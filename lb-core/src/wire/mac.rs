//! The link-layer address of Ethernet.

use std::fmt;
use std::str::FromStr;

/// A MAC address (EUI-48).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// Every station: `ff:ff:ff:ff:ff:ff`.
    pub const BROADCAST: Self = Self([0xff; 6]);
    /// Nobody: the unknown target of an ARP request.
    pub const ZERO: Self = Self([0; 6]);

    /// Whether it stands for one station: neither a group address nor all zero.
    #[inline]
    pub fn is_unicast(self) -> bool {
        !self.is_multicast() && self != Self::ZERO
    }

    /// Whether the group bit is set (broadcast has it too).
    #[inline]
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// A text that is not a MAC address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("MAC address \"{0}\": want six hex pairs with colons, for example 02:00:00:00:00:01")]
pub struct MacAddressError(String);

impl FromStr for MacAddress {
    type Err = MacAddressError;

    /// Six pairs of hex digits separated by colons, as `ip link` prints them. Other spellings
    /// are refused, so that one address has one spelling in a configuration.
    fn from_str(text: &str) -> Result<Self, MacAddressError> {
        let error = || MacAddressError(text.to_owned());
        let mut address = [0; 6];
        let mut pairs = text.split(':');
        for byte in &mut address {
            let pair = pairs.next().ok_or_else(error)?;
            // from_str_radix alone would take "+1".
            if pair.len() != 2 || !pair.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return Err(error());
            }
            *byte = u8::from_str_radix(pair, 16).map_err(|_| error())?;
        }
        if pairs.next().is_some() {
            return Err(error());
        }
        Ok(Self(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn kinds() {
        assert!("02:00:00:00:00:01".parse::<MacAddress>().unwrap().is_unicast());
        assert!(!MacAddress::ZERO.is_unicast());
        assert!(MacAddress::BROADCAST.is_multicast());
        assert!(!"01:00:5e:00:00:01".parse::<MacAddress>().unwrap().is_unicast());
    }

    #[test]
    fn refuses_other_spellings() {
        for text in [
            "",
            "02",
            "02:00:00:00:00",
            "02:00:00:00:00:01:",
            "02:00:00:00:00:01:02",
            "02-00-00-00-00-01",
            "2:0:0:0:0:1",
            "02:00:00:00:00:0g",
            "02:00:00:00:00:+1",
            " 02:00:00:00:00:01",
            "02:00:00:00:00:\u{e9}",
        ] {
            let error = text.parse::<MacAddress>().unwrap_err().to_string();
            assert!(error.contains(text) && error.contains("six hex pairs"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn text_round_trip(bytes: [u8; 6]) {
            let address = MacAddress(bytes);
            prop_assert_eq!(address.to_string().parse::<MacAddress>(), Ok(address));
            prop_assert_eq!(address.to_string().to_uppercase().parse::<MacAddress>(), Ok(address));
        }

        #[test]
        fn any_text_is_an_answer(text: String) {
            let _ = text.parse::<MacAddress>();
        }
    }
}
