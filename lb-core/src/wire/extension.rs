//! IPv6 extension headers (RFC 8200 section 4, RFC 4302): from the fixed header to the protocol.
//!
//! ```text
//! 0             1        2                    8                     most
//! | next header | length | ... in units of 8 bytes, the first not counted
//!
//! 0             1          2                      4                8        fragment
//! | next header | reserved | offset:13 res:2 M:1  | identification |
//! ```

use super::Malformed;
use super::field::{be16, be32, window};
use super::ipv6::{self, protocol};

/// Length of a fragment header.
pub const FRAGMENT_LEN: usize = 8;

/// Headers that are followed. A sender that keeps to RFC 8200 section 4.1 has at most six.
pub const HEADERS_MAX: usize = 8;

const OFFSET: u16 = 0xfff8;
const MORE: u16 = 0x0001;

/// What the chain of headers leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The protocol at its end. Of a later fragment this is what its header names, which may be
    /// an extension header again; the payload then has no transport header.
    pub protocol: u8,
    /// Where that begins, from the end of the fixed header. A later fragment's data begins here.
    /// At most the length of the payload: nothing needs to be there.
    pub offset: usize,
    pub fragment: Option<Fragment>,
}

impl Chain {
    /// Whether this is a later part of a datagram: its payload has no transport header.
    #[inline]
    pub fn is_later_fragment(&self) -> bool {
        self.fragment.is_some_and(|fragment| fragment.offset != 0)
    }

    /// Whether this is a part of a datagram. An "atomic fragment", which is first and last, is
    /// none (RFC 6946).
    #[inline]
    pub fn is_fragment(&self) -> bool {
        self.fragment.is_some_and(|fragment| fragment.offset != 0 || fragment.more)
    }
}

/// What a fragment header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Where the fragment header begins, from the end of the fixed header.
    pub header_offset: usize,
    /// Where the byte is that names the fragment header, from the **start** of the fixed header:
    /// whoever takes the fragment header out writes [`Fragment::next_header`] there.
    pub unfragmentable_next_at: usize,
    /// Where in the fragmentable part this one belongs, in bytes.
    pub offset: usize,
    /// Whether others follow.
    pub more: bool,
    pub identification: u32,
    pub next_header: u8,
}

/// Follows the headers from the fixed header's `next_header` on, through `payload`.
///
/// As the kernel's `ipv6_find_hdr` without flags, which is how IPVS asks: authentication headers
/// are walked past, so that IPVS sees a connection in them; ESP and "no next header" end the
/// chain, a fragment header that is not the first of its datagram, too. Unlike it, the walk is
/// bounded, one fragment header is the most, and every header must be there whole.
#[inline]
pub fn walk(next_header: u8, payload: &[u8]) -> Result<Chain, Malformed> {
    let mut chain = Chain { protocol: next_header, offset: 0, fragment: None };
    if !is_extension(next_header) {
        return Ok(chain);
    }
    let mut named_at = ipv6::NEXT_HEADER_AT;
    for _ in 0..HEADERS_MAX {
        let at = chain.offset;
        let &[next, length] = window(payload, at).ok_or(Malformed::Truncated)?;
        let length = match chain.protocol {
            protocol::FRAGMENT => {
                if chain.fragment.is_some() {
                    return Err(Malformed::Extensions);
                }
                let header = window(payload, at).ok_or(Malformed::Truncated)?;
                chain.fragment = Some(read_fragment(header, at, named_at));
                FRAGMENT_LEN
            }
            protocol::AH => (usize::from(length) + 2) * 4,
            _ => (usize::from(length) + 1) * 8,
        };
        named_at = ipv6::HEADER_LEN + at;
        chain.protocol = next;
        chain.offset = at + length;
        if chain.offset > payload.len() {
            return Err(Malformed::Truncated);
        }
        if chain.is_later_fragment() || !is_extension(next) {
            return Ok(chain);
        }
    }
    Err(Malformed::Extensions)
}

/// Whether the walk goes on behind a header of this number.
#[inline]
const fn is_extension(number: u8) -> bool {
    matches!(
        number,
        protocol::HOP_BY_HOP
            | protocol::ROUTING
            | protocol::FRAGMENT
            | protocol::AH
            | protocol::DESTINATION_OPTIONS
    )
}

#[inline]
fn read_fragment(
    header: &[u8; FRAGMENT_LEN],
    header_offset: usize,
    unfragmentable_next_at: usize,
) -> Fragment {
    let place = be16(header, 2);
    Fragment {
        header_offset,
        unfragmentable_next_at,
        offset: usize::from(place & OFFSET),
        more: place & MORE != 0,
        identification: be32(header, 4),
        next_header: header[0],
    }
}

/// A fragment header's bytes. `offset` is in bytes, a multiple of 8; other bits of it are lost.
#[inline]
pub const fn fragment_header(
    next_header: u8,
    offset: u16,
    more: bool,
    identification: u32,
) -> [u8; FRAGMENT_LEN] {
    let [high, low] = (offset & OFFSET | if more { MORE } else { 0 }).to_be_bytes();
    let [a, b, c, d] = identification.to_be_bytes();
    [next_header, 0, high, low, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{IpNumber, Ipv6ExtensionsSlice, Ipv6FragmentHeader};
    use proptest::prelude::*;

    /// A well-formed header of the kind `number`.
    fn header(number: u8, next: u8, units: u8) -> Vec<u8> {
        let length = match number {
            protocol::AH => (usize::from(units) + 2) * 4,
            _ => (usize::from(units) + 1) * 8,
        };
        let mut bytes = vec![0; length];
        (bytes[0], bytes[1]) = (next, units);
        bytes
    }

    const KINDS: [u8; 4] =
        [protocol::HOP_BY_HOP, protocol::ROUTING, protocol::AH, protocol::DESTINATION_OPTIONS];

    proptest! {
        #[test]
        fn every_header_is_walked_past(
            kinds in proptest::collection::vec((0_usize..4, 1_u8..4), 0..=HEADERS_MAX),
            last in prop_oneof![Just(6_u8), Just(17), Just(58), Just(50), Just(59), Just(132)],
            tail in proptest::collection::vec(any::<u8>(), 0..9), cut in 1_usize..9,
        ) {
            let numbers = kinds.iter().map(|(kind, _)| KINDS[*kind]).chain([last]);
            let numbers: Vec<u8> = numbers.collect();
            let mut bytes = Vec::new();
            for (at, (_, units)) in kinds.iter().enumerate() {
                bytes.extend(header(numbers[at], numbers[at + 1], *units));
            }
            let offset = bytes.len();
            bytes.extend(tail);
            let chain = Chain { protocol: last, offset, fragment: None };
            prop_assert_eq!(walk(numbers[0], &bytes), Ok(chain));
            if offset > 0 {
                let short = &bytes[..offset.saturating_sub(cut)];
                prop_assert_eq!(walk(numbers[0], short), Err(Malformed::Truncated));
            }
        }

        #[test]
        fn fragments_are_read_as_the_oracle_reads(
            before in 0_usize..3, offset in 0_u16..8192, more: bool, identification: u32,
        ) {
            let offset = offset * 8;
            let mut bytes = Vec::new();
            for at in 1..=before {
                let next = if at == before { protocol::FRAGMENT } else { 60 };
                bytes.extend(header(60, next, 0));
            }
            let header_offset = bytes.len();
            bytes.extend(fragment_header(60, offset, more, identification));
            let (oracle, _) = Ipv6FragmentHeader::from_slice(&bytes[header_offset..]).unwrap();
            prop_assert_eq!(oracle.next_header, IpNumber(60));
            prop_assert_eq!(oracle.fragment_offset.byte_offset(), offset);
            prop_assert_eq!((oracle.more_fragments, oracle.identification), (more, identification));
            bytes.extend(header(60, protocol::TCP, 1));
            let first = if before == 0 { protocol::FRAGMENT } else { 60 };
            let chain = walk(first, &bytes).unwrap();
            let fragment = Fragment {
                header_offset,
                unfragmentable_next_at: if before == 0 { 6 } else { 40 + (before - 1) * 8 },
                offset: usize::from(offset),
                more,
                identification,
                next_header: 60,
            };
            prop_assert_eq!(chain.fragment, Some(fragment));
            prop_assert_eq!(chain.is_later_fragment(), offset != 0);
            prop_assert_eq!(chain.is_fragment(), offset != 0 || more);
            let data = header_offset + FRAGMENT_LEN;
            let end = if offset == 0 { (protocol::TCP, data + 16) } else { (60, data) };
            prop_assert_eq!((chain.protocol, chain.offset), end);
        }

        #[test]
        fn any_bytes_end_within(
            first in prop_oneof![proptest::sample::select(&KINDS[..]), any::<u8>()],
            bytes in proptest::collection::vec(prop_oneof![0_u8..2, any::<u8>()], 0..200),
        ) {
            if let Ok(chain) = walk(first, &bytes) {
                prop_assert!(chain.offset <= bytes.len());
                prop_assert!(chain.is_later_fragment() || !is_extension(chain.protocol));
                // The oracle asks for order and knows of more kinds of headers; where it gets to
                // an end that is an end here, it is the same.
                let oracle = Ipv6ExtensionsSlice::from_slice(IpNumber(first), &bytes);
                if let Ok((_, next, rest)) = oracle
                    && !is_extension(next.0) && ![135, 139, 140].contains(&chain.protocol)
                    && chain.fragment.is_none()
                {
                    prop_assert_eq!(next.0, chain.protocol);
                    prop_assert_eq!(rest.len(), bytes.len() - chain.offset);
                }
            }
        }
    }

    #[test]
    fn too_many_headers_and_a_second_fragment_header_are_malformed() {
        let many = header(60, 60, 0).repeat(HEADERS_MAX + 1);
        assert_eq!(walk(60, &many), Err(Malformed::Extensions));
        let twice = fragment_header(protocol::FRAGMENT, 0, true, 1).repeat(2);
        assert_eq!(walk(protocol::FRAGMENT, &twice), Err(Malformed::Extensions));
        // A later one ends the walk, whatever follows.
        let later = fragment_header(protocol::FRAGMENT, 8, true, 1);
        assert_eq!(walk(protocol::FRAGMENT, &later).unwrap().protocol, protocol::FRAGMENT);
    }
}
