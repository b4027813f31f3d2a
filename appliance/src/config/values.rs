//! Values with units and addresses, from text. Each error says what is wrong and what to write.

use std::net::IpAddr;
use std::time::Duration;

use super::error::shown;
use super::settings::{InterfaceAddress, Subnet};

const SIZE_UNITS: [(&str, u64); 4] =
    [("K", 1 << 10), ("M", 1 << 20), ("G", 1 << 30), ("T", 1 << 40)];

const DURATION_UNITS: [(&str, u64); 5] = [
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("min", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Bytes: a whole number with K, M, G or T (powers of 1024).
pub(super) fn size(text: &str) -> Result<u64, String> {
    with_unit(text, &SIZE_UNITS).ok_or_else(|| {
        format!(
            "{} is not a size; write a whole number with K, M, G or T, for example `256M`",
            shown(text)
        )
    })
}

/// A duration: a whole number with us, ms, s, min or h.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    with_unit(text, &DURATION_UNITS).map(Duration::from_nanos).ok_or_else(|| {
        format!(
            "{} is not a duration; write a whole number with us, ms, s, min or h, for example \
             `100us`",
            shown(text)
        )
    })
}

/// A size as [`size`] reads it, in the largest unit that it is a whole number of.
pub(super) fn show_size(bytes: u64) -> String {
    show_with_unit(bytes, &SIZE_UNITS)
}

/// A duration as [`duration`] reads it, in the largest unit that it is a whole number of.
pub(super) fn show_duration(duration: Duration) -> String {
    show_with_unit(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX), &DURATION_UNITS)
}

fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

fn show_with_unit(amount: u64, units: &[(&str, u64)]) -> String {
    let unit = units.iter().rev().find(|(_, factor)| amount.is_multiple_of(*factor));
    unit.map_or_else(|| amount.to_string(), |(name, factor)| format!("{}{name}", amount / factor))
}

/// An address that a host can have: not unspecified, loopback, multicast or broadcast.
pub(super) fn address(text: &str) -> Result<IpAddr, String> {
    let address = any_address(text).map_err(|_| {
        format!("{} is not an IP address; write for example `10.0.10.61`", shown(text))
    })?;
    let kind = if address.is_unspecified() {
        "the unspecified address"
    } else if address.is_loopback() {
        "a loopback address"
    } else if address.is_multicast() {
        "a multicast address"
    } else if matches!(address, IpAddr::V4(v4) if v4.is_broadcast()) {
        "the broadcast address"
    } else {
        return supported(address);
    };
    Err(format!("{} is {kind}; write the unicast address of a host", shown(text)))
}

/// The address of a port with the length of its subnet's prefix: `10.0.10.61/24`.
pub(super) fn interface_address(text: &str) -> Result<InterfaceAddress, String> {
    let Some((host, length)) = text.split_once('/') else {
        return Err(match any_address(text) {
            Ok(_) => {
                format!("{0} has no prefix length; write for example `{1}/24`", shown(text), text)
            }
            Err(()) => format!(
                "{} is not an address with a prefix length; write for example `10.0.10.61/24`",
                shown(text)
            ),
        });
    };
    let address = address(host)?;
    let prefix = prefix_length(text, length, address)?;
    let found = InterfaceAddress { address, prefix };
    let IpAddr::V4(v4) = address else {
        return Ok(found);
    };
    // RFC 3021: a /31 has neither a network nor a broadcast address.
    let host_bits = if prefix < 31 { u32::MAX >> prefix } else { 0 };
    let what = match u32::from(v4) & host_bits {
        _ if host_bits == 0 => return Ok(found),
        0 => "the subnet's own address",
        bits if bits == host_bits => "the subnet's broadcast address",
        _ => return Ok(found),
    };
    Err(format!("{} is {what}, which no port can have; choose one between", shown(text)))
}

/// A destination of routes: `10.1.0.0/16`.
pub(super) fn subnet(text: &str) -> Result<Subnet, String> {
    let parts = text.split_once('/').and_then(|(a, length)| Some((any_address(a).ok()?, length)));
    let Some((address, length)) = parts else {
        return Err(format!(
            "{} is not a subnet; write for example `10.1.0.0/16`, or `0.0.0.0/0` for all else",
            shown(text)
        ));
    };
    let address = supported(address)?;
    let prefix = prefix_length(text, length, address)?;
    let subnet = Subnet::of(address, prefix);
    if subnet.network != address {
        return Err(format!(
            "{} has bits set behind its prefix; write `{subnet}`, or `{address}/32` for the one host",
            shown(text)
        ));
    }
    Ok(subnet)
}

/// A name for a port that the kernel would take for an interface, too.
pub(super) fn port_name(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    // IFNAMSIZ is 16 with the final zero; `.` and `..` would be directories in /sys.
    if (1..=15).contains(&text.len()) && text.bytes().all(plain) && !matches!(text, "." | "..") {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{} cannot be the name of a port; write 1 to 15 of `A-Z a-z 0-9 . _ -`, for example `lan0`",
        shown(text)
    ))
}

/// A device and its arguments as EAL takes them; PCI addresses in their long form.
pub(super) fn device(text: &str) -> Result<String, String> {
    let (name, arguments) = text.split_at(text.find(',').unwrap_or(text.len()));
    let virtual_name = |name: &str| {
        name.starts_with(|first: char| first.is_ascii_lowercase())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    // EAL takes a device by one argument of the command line: nothing in it can be a space.
    if !arguments.contains(char::is_whitespace) {
        if let Some(pci) = pci_address(name) {
            return Ok(pci + arguments);
        }
        if virtual_name(name) {
            return Ok(text.to_owned());
        }
    }
    Err(format!(
        "{} is not a device; write a PCI address (`0000:00:04.0`) or a virtual device with its \
         arguments (`net_af_packet0,iface=eth0`), without spaces",
        shown(text)
    ))
}

/// A PCI address `[DDDD:]BB:DD.F` with its domain and in lower case.
fn pci_address(text: &str) -> Option<String> {
    let hex = |digits: &str, length: usize| {
        digits.len() == length && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let (bus, function) = text.rsplit_once('.')?;
    let (bus, device) = bus.rsplit_once(':')?;
    let (domain, bus) = bus.rsplit_once(':').unwrap_or(("0000", bus));
    let device_in_range = u8::from_str_radix(device, 16).is_ok_and(|number| number < 32);
    let function_in_range = matches!(function.as_bytes(), [b'0'..=b'7']);
    (hex(domain, 4) && hex(bus, 2) && hex(device, 2) && device_in_range && function_in_range)
        .then(|| format!("{domain}:{bus}:{device}.{function}").to_ascii_lowercase())
}

fn any_address(text: &str) -> Result<IpAddr, ()> {
    text.parse().map_err(|_| ())
}

/// The one place that refuses IPv6: every address of the configuration comes by.
fn supported(address: IpAddr) -> Result<IpAddr, String> {
    match address {
        IpAddr::V4(_) => Ok(address),
        IpAddr::V6(_) => Err(format!(
            "{}: IPv6 is not supported yet; write an IPv4 address",
            shown(&address.to_string())
        )),
    }
}

fn prefix_length(text: &str, length: &str, address: IpAddr) -> Result<u8, String> {
    let max = if address.is_ipv4() { 32 } else { 128 };
    let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    match length.parse::<u8>() {
        Ok(prefix) if digits && prefix <= max => Ok(prefix),
        _ => Err(format!(
            "{} has a wrong prefix length {}; write a number from 0 to {max} behind the `/`",
            shown(text),
            shown(length)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_have_units() {
        assert_eq!(size("256M"), Ok(256 << 20));
        assert_eq!(size("1G"), Ok(1 << 30));
        assert_eq!(duration("100us"), Ok(Duration::from_micros(100)));
        assert_eq!(duration("1min"), Ok(Duration::from_secs(60)));
        for text in ["", "1", "M", "1.5G", "-1M", "1 M", "1m", "256MB", "99999999999999T", "é"] {
            assert!(size(text).unwrap_err().contains("for example `256M`"), "{text}");
        }
        for text in ["", "1", "s", "1.5s", "-1s", "1 s", "1S", "9999999999999h"] {
            assert!(duration(text).unwrap_err().contains("for example `100us`"), "{text}");
        }
    }

    #[test]
    fn sizes_and_durations_are_shown_as_they_are_read() {
        for text in ["256M", "1G", "3K"] {
            assert_eq!(show_size(size(text).unwrap()), text);
        }
        for text in ["100us", "1s", "1500ms", "1min", "2h"] {
            assert_eq!(show_duration(duration(text).unwrap()), text);
        }
    }

    #[test]
    fn ipv6_is_refused_wherever_an_address_is_expected() {
        let refusals = [
            address("2001:db8::1").unwrap_err(),
            interface_address("2001:db8::1/64").unwrap_err(),
            subnet("2001:db8::/32").unwrap_err(),
            subnet("::/0").unwrap_err(),
        ];
        for refusal in refusals {
            assert!(refusal.contains("IPv6 is not supported yet"), "{refusal}");
        }
    }

    #[test]
    fn addresses_of_ports() {
        let found = interface_address("10.0.10.61/24").unwrap();
        assert_eq!(found.to_string(), "10.0.10.61/24");
        assert_eq!(found.subnet().to_string(), "10.0.10.0/24");
        for text in ["10.0.0.0/31", "10.0.0.1/31", "10.0.0.1/32"] {
            assert!(interface_address(text).is_ok(), "{text}");
        }
        for (text, part) in [
            ("10.0.10.61", "write for example `10.0.10.61/24`"),
            ("10.0.10.61/33", "wrong prefix length `33`"),
            ("10.0.10.61/+8", "wrong prefix length `+8`"),
            ("10.0.10.61/", "wrong prefix length ``"),
            ("10.0.10.256/24", "is not an IP address"),
            ("10.0.10.0/24", "the subnet's own address"),
            ("10.0.10.255/24", "the subnet's broadcast address"),
            ("224.0.0.1/24", "a multicast address"),
            ("127.0.0.1/8", "a loopback address"),
            ("0.0.0.0/0", "the unspecified address"),
            ("lan", "is not an address with a prefix length"),
        ] {
            let error = interface_address(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn names_of_ports() {
        for text in ["lan0", "eth0.100", "A_b-c", "123456789012345"] {
            assert_eq!(port_name(text).as_deref(), Ok(text));
        }
        for text in ["", ".", "..", "1234567890123456", "a b", "a/b", "é"] {
            assert!(port_name(text).unwrap_err().contains("for example `lan0`"), "{text}");
        }
    }

    #[test]
    fn devices_are_pci_or_virtual() {
        for (text, read) in [
            ("0000:00:04.0", "0000:00:04.0"),
            ("3B:00.1", "0000:3b:00.1"),
            ("00:04.0,queues=2", "0000:00:04.0,queues=2"),
            ("net_tap0", "net_tap0"),
            (
                "net_pcap0,rx_pcap=A.pcap,tx_pcap=b:c.pcap",
                "net_pcap0,rx_pcap=A.pcap,tx_pcap=b:c.pcap",
            ),
        ] {
            assert_eq!(device(text).as_deref(), Ok(read));
        }
        for text in [
            "",
            "eth0 ",
            "net_tap0, iface=x",
            "00:04",
            "00:20.0",
            "00:04.8",
            "Net",
            ",a",
            "0:0:0.0",
        ] {
            assert!(device(text).unwrap_err().contains("is not a device"), "{text}");
        }
    }

    #[test]
    fn subnets() {
        assert_eq!(subnet("0.0.0.0/0").unwrap().prefix, 0);
        assert_eq!(subnet("10.1.0.0/16").unwrap().to_string(), "10.1.0.0/16");
        assert!(subnet("10.1.2.0/16").unwrap_err().contains("write `10.1.0.0/16`"));
        assert!(subnet("default").unwrap_err().contains("is not a subnet"));
    }
}
