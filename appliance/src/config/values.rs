//! Values with units and addresses, from text. Each error says what is wrong and what to write.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::error::shown;
use super::settings::{InterfaceAddress, Subnet, TakenProtocol};

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
    } else if matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()) {
        "an IPv4 address in IPv6's clothes"
    } else {
        return Ok(address);
    };
    Err(format!("{} is {kind}; write the unicast address of a host", shown(text)))
}

/// An address of the host with a port, to listen at.
pub(super) fn listen(text: &str) -> Result<SocketAddr, String> {
    let example = "write for example `127.0.0.1:9107` or `[::1]:9107`";
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() == 0 => {
            Err(format!("{} has no port that others could know; {example}", shown(text)))
        }
        Ok(address) if address.ip().is_multicast() => {
            Err(format!("{} is a multicast address; {example}", shown(text)))
        }
        Ok(address) => Ok(address),
        Err(_) => Err(format!("{} is no address with a port; {example}", shown(text))),
    }
}

/// An address that the director can own: not a link-local one either, of which every interface
/// has its own.
pub(super) fn own_address(text: &str) -> Result<IpAddr, String> {
    let address = address(text)?;
    if is_link_local(address) {
        return Err(format!(
            "{} is a link-local address, which each interface makes of its MAC address; write \
             another",
            shown(text)
        ));
    }
    Ok(address)
}

/// Whether an address means something only together with an interface (RFC 4291 section 2.5.6).
pub(super) fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.segments()[0] & 0xffc0 == 0xfe80)
}

/// The address of a port with the length of its subnet's prefix: `10.0.10.61/24`.
pub(super) fn interface_address(text: &str) -> Result<InterfaceAddress, String> {
    let Some((host, length)) = text.split_once('/') else {
        return Err(match any_address(text) {
            Ok(_) => {
                let length = if text.contains(':') { 64 } else { 24 };
                format!("{} has no prefix length; write for example `{text}/{length}`", shown(text))
            }
            Err(()) => format!(
                "{} is not an address with a prefix length; write for example `10.0.10.61/24`",
                shown(text)
            ),
        });
    };
    let address = own_address(host)?;
    let prefix = prefix_length(text, length, address)?;
    match reserved(address, prefix) {
        None => Ok(InterfaceAddress { address, prefix }),
        Some(what) => {
            Err(format!("{} is {what}, which no port can have; choose one between", shown(text)))
        }
    }
}

/// What an address is to its subnet that no host can be.
fn reserved(address: IpAddr, prefix: u8) -> Option<&'static str> {
    match address {
        // RFC 3021: a /31 has neither a network nor a broadcast address.
        IpAddr::V4(v4) if prefix < 31 => {
            let host_bits = u32::MAX >> prefix;
            match u32::from(v4) & host_bits {
                0 => Some("the subnet's own address"),
                bits if bits == host_bits => Some("the subnet's broadcast address"),
                _ => None,
            }
        }
        // RFC 4291 section 2.6.1; RFC 6164: a /127 has none.
        IpAddr::V6(v6) if prefix < 127 && u128::from(v6) & (u128::MAX >> prefix) == 0 => {
            Some("the address of all routers of the subnet")
        }
        _ => None,
    }
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
    let prefix = prefix_length(text, length, address)?;
    let subnet = Subnet::of(address, prefix);
    if subnet.network != address {
        let host = if address.is_ipv4() { 32 } else { 128 };
        return Err(format!(
            "{} has bits set behind its prefix; write `{subnet}`, or `{address}/{host}` for the one host",
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

/// The name of an interface of the kernel's (`dev_valid_name`).
pub(super) fn interface_name(text: &str) -> Result<String, String> {
    let is_wrong = |c: char| c.is_whitespace() || c == '/' || c == ':';
    if (1..=15).contains(&text.len()) && !text.contains(is_wrong) && !matches!(text, "." | "..") {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{} cannot be the name of an interface; write 1 to 15 characters without blanks and `/`, \
         for example `eth1`",
        shown(text)
    ))
}

/// Packets that the kernel takes: `tcp 22`, `proto 112`.
pub(super) fn taken_protocol(text: &str) -> Result<TakenProtocol, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let port = |protocol, port: &str| {
        let port = Some(port.parse::<u16>().ok().filter(|&port| port > 0)?);
        Some(TakenProtocol { protocol, port })
    };
    let found = match words[..] {
        ["tcp", number] => port(6, number),
        ["udp", number] => port(17, number),
        ["sctp", number] => port(132, number),
        ["proto", number] => {
            number.parse().ok().map(|protocol| TakenProtocol { protocol, port: None })
        }
        _ => None,
    };
    found.ok_or_else(|| {
        format!(
            "{} is no protocol with a port; write for example `tcp 22`, `udp 3784`, `sctp 2905`, \
             or `proto 112` for an IP protocol as a whole",
            shown(text)
        )
    })
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
    fn ipv6_stands_wherever_ipv4_does() {
        assert_eq!(address("2001:db8::1").unwrap().to_string(), "2001:db8::1");
        assert_eq!(address("fe80::1").unwrap().to_string(), "fe80::1");
        assert_eq!(interface_address("fd00::1/64").unwrap().to_string(), "fd00::1/64");
        assert_eq!(subnet("2001:db8::/32").unwrap().to_string(), "2001:db8::/32");
        assert_eq!(subnet("::/0").unwrap().prefix, 0);
        for (text, part) in [
            ("fe80::1/64", "is a link-local address"),
            ("fd00::/64", "the address of all routers of the subnet"),
            ("fd00::1/129", "wrong prefix length `129`"),
            ("::ffff:10.0.0.1/120", "an IPv4 address in IPv6's clothes"),
            ("ff02::1/64", "a multicast address"),
            ("::1/128", "a loopback address"),
            ("fd00::1", "write for example `fd00::1/64`"),
        ] {
            let error = interface_address(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(own_address("fe80::1").unwrap_err().contains("is a link-local address"));
        assert!(subnet("2001:db8::1/32").unwrap_err().contains("or `2001:db8::1/128` for"));
        for text in ["fd00::/127", "fd00::1/127", "fd00::/128"] {
            assert!(interface_address(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn protocols_that_the_kernel_takes() {
        let taken = |protocol, port| Ok(TakenProtocol { protocol, port });
        assert_eq!(taken_protocol("tcp 22"), taken(6, Some(22)));
        assert_eq!(taken_protocol("udp  3784"), taken(17, Some(3784)));
        assert_eq!(taken_protocol("sctp 2905"), taken(132, Some(2905)));
        assert_eq!(taken_protocol("proto 112"), taken(112, None));
        for text in ["", "tcp", "tcp ssh", "tcp 0", "tcp 65536", "TCP 22", "proto 256", "22"] {
            assert!(taken_protocol(text).unwrap_err().contains("write for example"), "{text}");
        }
    }

    #[test]
    fn addresses_to_listen_at() {
        for text in ["127.0.0.1:9107", "[::1]:9107", "0.0.0.0:80"] {
            assert_eq!(listen(text).unwrap().to_string(), text);
        }
        for (text, why) in [
            ("9107", "`9107` is no address with a port"),
            (":9107", "`:9107` is no address with a port"),
            ("localhost:9107", "`localhost:9107` is no address with a port"),
            ("::1:9107", "`::1:9107` is no address with a port"),
            ("127.0.0.1:0", "`127.0.0.1:0` has no port"),
            ("224.0.0.1:9107", "`224.0.0.1:9107` is a multicast address"),
        ] {
            let problem = listen(text).unwrap_err();
            assert!(problem.starts_with(why) && problem.contains("write for example"), "{problem}");
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
