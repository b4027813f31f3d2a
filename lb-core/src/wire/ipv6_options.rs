//! IPv6 options, and the extension headers as the host that a packet is for reads them (RFC 8200
//! sections 4.2 to 4.7).
//!
//! ```text
//! 0             1        2                                   hop-by-hop, destination options
//! | next header | length | option, option, ...
//!
//! 0      1        2                                          option; kind 0 is one byte of padding
//! | kind | length | data ...
//!
//! 0             1        2      3                            routing
//! | next header | length | type | segments left | ...
//! ```

use super::extension::FRAGMENT_LEN;
use super::field::{be32, window};
use super::ipv6::{HEADER_LEN, NEXT_HEADER_AT, protocol};

mod kind {
    pub(super) const PAD_1: u8 = 0;
    pub(super) const PAD_N: u8 = 1;
    pub(super) const ROUTER_ALERT: u8 = 5;
    /// Labels of security domains (RFC 5570).
    pub(super) const CALIPSO: u8 = 7;
    /// Telemetry (RFC 9486).
    pub(super) const IOAM: u8 = 49;
    pub(super) const JUMBO: u8 = 194;
    /// Of mobile hosts (RFC 6275).
    pub(super) const HOME_ADDRESS: u8 = 201;
}

/// Padding between two options is never longer (the kernel's `ip6_parse_tlv`).
const PADDING_MAX: usize = 7;

/// Options in one header but padding (the kernel's `max_hbh_opts_number`, `max_dst_opts_number`).
const OPTIONS_MAX: usize = 8;

/// Routing headers that a host without mobility and segment routing passes over in silence.
const TYPE_2: u8 = 2;
const TYPE_RPL: u8 = 3;
const TYPE_SEGMENTS: u8 = 4;

/// UDP with partial checksums (RFC 3828).
const UDP_LITE: u8 = 136;

/// Why a packet goes no further. Pointers count from the start of the fixed header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The sender hears nothing.
    Silent,
    /// 4/0: the field there has a value that cannot be.
    Field(u32),
    /// 4/1: nobody here speaks the protocol that is named there.
    NextHeader(u32),
    /// 4/2: the option there is unknown, and its sender wants to know that.
    Option(u32),
}

/// What a host finds behind the extension headers of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    pub protocol: u8,
    /// Where it begins, from the end of the fixed header.
    pub offset: usize,
}

/// Whether every router lets a packet with a hop-by-hop header pass (`ipv6_parse_hopopts`); one
/// that has none passes. `to_group`: it is for a multicast address.
pub fn hop_by_hop(next_header: u8, payload: &[u8], to_group: bool) -> Result<(), Problem> {
    if next_header != protocol::HOP_BY_HOP {
        return Ok(());
    }
    let header = header_at(payload, 0).ok_or(Problem::Silent)?;
    options(header, HEADER_LEN, payload.len(), Some(to_group))
}

/// Follows the headers as the host that the packet is for does (`ip6_protocol_deliver_rcu`). The
/// hop-by-hop header has been read, fragments are whole. Authentication headers are as unknown as
/// any protocol, where nothing is configured for them.
pub fn deliver(next_header: u8, payload: &[u8]) -> Result<Delivered, Problem> {
    let (mut number, mut at, mut named_at) = (next_header, 0, NEXT_HEADER_AT);
    if number == protocol::HOP_BY_HOP {
        let header = header_at(payload, 0).ok_or(Problem::Silent)?;
        (number, at, named_at) = (header[0], header.len(), HEADER_LEN);
    }
    // Every turn takes 8 bytes at least.
    loop {
        let length = match number {
            protocol::DESTINATION_OPTIONS => {
                let header = header_at(payload, at).ok_or(Problem::Silent)?;
                options(header, HEADER_LEN + at, payload.len(), None)?;
                header.len()
            }
            protocol::ROUTING => {
                let header = header_at(payload, at).ok_or(Problem::Silent)?;
                routing(header, HEADER_LEN + at)?;
                header.len()
            }
            protocol::FRAGMENT => FRAGMENT_LEN,
            protocol::NO_NEXT => return Err(Problem::Silent),
            protocol::TCP | protocol::UDP | protocol::ICMPV6 | UDP_LITE => {
                return Ok(Delivered { protocol: number, offset: at });
            }
            _ => return Err(Problem::NextHeader(pointer(named_at))),
        };
        let &[next] = window(payload, at).ok_or(Problem::Silent)?;
        (number, named_at) = (next, HEADER_LEN + at);
        at += length;
    }
}

/// The extension header that begins there, as long as it says.
fn header_at(payload: &[u8], at: usize) -> Option<&[u8]> {
    let &[_, length] = window(payload, at)?;
    payload.get(at..at + (usize::from(length) + 1) * 8)
}

/// Header offsets are below 65,536.
fn pointer(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// `ipv6_rthdr_rcv`, where no source routes are accepted.
fn routing(header: &[u8], start: usize) -> Result<(), Problem> {
    const TYPE_AT: usize = 2;
    let &[_, _, kind, segments_left] = window(header, 0).ok_or(Problem::Silent)?;
    match kind {
        TYPE_2 | TYPE_RPL | TYPE_SEGMENTS => Err(Problem::Silent),
        _ if segments_left == 0 => Ok(()),
        _ => Err(Problem::Field(pointer(start + TYPE_AT))),
    }
}

/// Reads the options of a header, which begins `start` bytes from the fixed header's start
/// (`ip6_parse_tlv`). `hop_by_hop`: whether the packet is for a group, if these are hop-by-hop
/// options.
fn options(
    header: &[u8],
    start: usize,
    payload_length: usize,
    hop_by_hop: Option<bool>,
) -> Result<(), Problem> {
    let (mut at, mut padding, mut count) = (2, 0, 0);
    while let Some(&kind) = header.get(at) {
        if kind == kind::PAD_1 {
            (at, padding) = (at + 1, padding + 1);
        } else {
            let length = header.get(at + 1).ok_or(Problem::Silent)?;
            let length = usize::from(*length) + 2;
            let option = header.get(at..at + length).ok_or(Problem::Silent)?;
            if kind == kind::PAD_N {
                padding += length;
                if option.iter().skip(2).any(|&byte| byte != 0) {
                    return Err(Problem::Silent);
                }
            } else {
                (padding, count) = (0, count + 1);
                if count > OPTIONS_MAX {
                    return Err(Problem::Silent);
                }
                match hop_by_hop {
                    Some(to_group) => hop(option, start + at, payload_length, to_group)?,
                    // Home addresses are only for who keeps bindings.
                    None if kind == kind::HOME_ADDRESS => return Err(Problem::Silent),
                    None => unknown(kind, start + at, false)?,
                }
            }
            at += length;
        }
        if padding > PADDING_MAX {
            return Err(Problem::Silent);
        }
    }
    Ok(())
}

/// An option for every router. `at` is where it is from the start of the fixed header.
fn hop(option: &[u8], at: usize, payload_length: usize, to_group: bool) -> Result<(), Problem> {
    let &[kind, length] = window(option, 0).ok_or(Problem::Silent)?;
    let is_well = match kind {
        kind::ROUTER_ALERT => length == 2,
        kind::IOAM => at.is_multiple_of(4),
        kind::CALIPSO => false,
        kind::JUMBO => {
            if length != 4 || at % 4 != 2 {
                return Err(Problem::Silent);
            }
            let window = window::<6>(option, 0).ok_or(Problem::Silent)?;
            return Err(if be32(window, 2) <= u32::from(u16::MAX) {
                Problem::Field(pointer(at + 2))
            } else if payload_length != 0 {
                Problem::Field(pointer(at))
            } else {
                Problem::Silent
            });
        }
        _ => return unknown(kind, at, to_group),
    };
    if is_well { Ok(()) } else { Err(Problem::Silent) }
}

/// What is to become of a packet with an option that nobody here knows, by its two high bits.
fn unknown(kind: u8, at: usize, to_group: bool) -> Result<(), Problem> {
    match kind >> 6 {
        0 => Ok(()),
        2 => Err(Problem::Option(pointer(at))),
        3 if !to_group => Err(Problem::Option(pointer(at))),
        _ => Err(Problem::Silent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Whether a hop-by-hop header of 8 or 16 bytes with these options passes, alone.
    fn hops(options: &[u8]) -> Result<(), Problem> {
        let units = u8::try_from((options.len() + 2) / 8 - 1).unwrap();
        let header = [&[protocol::TCP, units], options].concat();
        hop_by_hop(protocol::HOP_BY_HOP, &header, false)
    }

    fn host(first: u8, payload: &[u8]) -> Result<(u8, usize), Problem> {
        deliver(first, payload).map(|it| (it.protocol, it.offset))
    }

    #[test]
    fn hop_by_hop_options_are_read_as_the_kernel_reads() {
        assert_eq!(hops(&[1, 4, 0, 0, 0, 0]), Ok(()));
        assert_eq!(hops(&[5, 2, 0, 0, 1, 0]), Ok(()));
        assert_eq!(hops(&[0x1e, 2, 0, 0, 1, 0]), Ok(()));
        assert_eq!(hops(&[0x5e, 2, 0, 0, 1, 0]), Err(Problem::Silent));
        assert_eq!(hops(&[0x9e, 2, 0, 0, 1, 0]), Err(Problem::Option(42)));
        assert_eq!(hops(&[0xde, 2, 0, 0, 1, 0]), Err(Problem::Option(42)));
        assert_eq!(hops(&[0xc2, 4, 0, 0, 0, 0x28]), Err(Problem::Field(44)));
        assert_eq!(hops(&[0xc2, 4, 0, 1, 0, 0]), Err(Problem::Field(42)));
        assert_eq!(hops(&[5, 1, 0, 0, 1, 0]), Err(Problem::Silent), "a short router alert");
        assert_eq!(hops(&[1, 4, 0, 0, 1, 0]), Err(Problem::Silent), "padding that says something");
        assert_eq!(hops(&[0x1e, 5, 0, 0, 1, 0]), Err(Problem::Silent), "beyond the header");
        assert_eq!(hops(&[1, 3, 0, 0, 0, 0x1e]), Err(Problem::Silent), "without its length");
        let group = [protocol::TCP, 0, 0xde, 2, 0, 0, 1, 0];
        assert_eq!(hop_by_hop(protocol::HOP_BY_HOP, &group, true), Err(Problem::Silent));
        assert_eq!(hop_by_hop(protocol::TCP, &[], false), Ok(()));
        assert_eq!(hop_by_hop(protocol::HOP_BY_HOP, &[6, 1, 1, 4], false), Err(Problem::Silent));
    }

    #[test]
    fn padding_and_options_have_limits() {
        let padded = |zeros: usize| {
            let mut options = vec![0; zeros];
            options.extend([0x1e, 0]);
            options.resize(14, 0);
            // What is left behind the option is padding too.
            hops(&options)
        };
        assert_eq!(padded(5), Ok(()));
        assert_eq!(padded(7), Ok(()));
        assert_eq!(padded(8), Err(Problem::Silent));
        assert_eq!(hops(&[0x1e, 0].repeat(7)), Ok(()));
        let eight = [[0x1e, 0].repeat(8), vec![1, 4, 0, 0, 0, 0]].concat();
        assert_eq!(hops(&eight), Ok(()));
        let nine = [[0x1e, 0].repeat(9), vec![1, 2, 0, 0]].concat();
        assert_eq!(hops(&nine), Err(Problem::Silent));
    }

    #[test]
    fn a_host_reads_the_headers_as_the_kernel_reads() {
        let options = |next: u8, kind: u8| vec![next, 0, kind, 2, 0, 0, 1, 0];
        let route = |kind: u8, left: u8| {
            let mut header = vec![0; 24];
            header[..4].copy_from_slice(&[protocol::UDP, 2, kind, left]);
            header
        };
        assert_eq!(host(protocol::TCP, &[]), Ok((6, 0)));
        assert_eq!(host(60, &options(17, 0x1e)), Ok((17, 8)));
        assert_eq!(host(60, &options(17, 0x9e)), Err(Problem::Option(42)));
        assert_eq!(host(60, &options(17, 0xc9)), Err(Problem::Silent));
        assert_eq!(host(0, &[options(60, 5), options(58, 0x1e)].concat()), Ok((58, 16)));
        // Hop-by-hop options that are not first.
        let late = [options(0, 0x1e), options(6, 5)].concat();
        assert_eq!(host(60, &late), Err(Problem::NextHeader(40)));
        for (kind, left, expected) in [
            (0, 0, Ok((17, 24))),
            (0, 1, Err(Problem::Field(42))),
            (2, 1, Err(Problem::Silent)),
            (4, 1, Err(Problem::Silent)),
            (4, 0, Err(Problem::Silent)),
            (253, 1, Err(Problem::Field(42))),
        ] {
            assert_eq!(host(43, &route(kind, left)), expected, "{kind} {left}");
        }
        for number in [protocol::ESP, protocol::AH, protocol::SCTP, 135, 99, 4, 41] {
            assert_eq!(host(number, &[0; 40]), Err(Problem::NextHeader(6)), "{number}");
        }
        assert_eq!(host(protocol::NO_NEXT, &[0; 40]), Err(Problem::Silent));
        assert_eq!(host(44, &[6, 0, 0, 1, 1, 2, 3, 4]), Ok((6, 8)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged(
            first in prop_oneof![Just(0_u8), Just(43), Just(44), Just(60), any::<u8>()],
            bytes in proptest::collection::vec(
                prop_oneof![0_u8..3, Just(60), Just(43), Just(44), Just(194), any::<u8>()],
                0..120,
            ),
            to_group: bool,
        ) {
            let end = u32::try_from(HEADER_LEN + bytes.len()).unwrap();
            for problem in [
                hop_by_hop(first, &bytes, to_group).err(), deliver(first, &bytes).err(),
            ] {
                match problem {
                    Some(Problem::Field(at) | Problem::Option(at)) => {
                        prop_assert!((40..end).contains(&at));
                    }
                    Some(Problem::NextHeader(at)) => {
                        prop_assert!(at == 6 || (40..end).contains(&at));
                    }
                    _ => {}
                }
            }
            if let Ok(delivered) = deliver(first, &bytes) {
                // Who walks without judging comes to the same end, if the walk is not too long.
                if let Ok(chain) = crate::wire::extension::walk(first, &bytes)
                    && chain.fragment.is_none()
                {
                    prop_assert_eq!(
                        (chain.protocol, chain.offset), (delivered.protocol, delivered.offset)
                    );
                }
            }
        }
    }
}
