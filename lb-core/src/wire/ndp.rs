//! Neighbour discovery (RFC 4861): solicitations and advertisements of neighbours.
//!
//! ```text
//! 0                4                       8        24
//! | as ICMPv6's    | R S O, reserved       | target | options ...
//!
//! 0      1                      2                        an option, a multiple of 8 bytes
//! | type | length in 8 bytes    | MAC of 6, ...
//! ```

use std::borrow::{Borrow, BorrowMut};
use std::net::Ipv6Addr;

use super::checksum::Sum;
use super::field::{put, six, sixteen, window};
use super::icmpv6::{self, Type};
use super::ipv6::protocol;
use super::{MacAddress, Malformed};

mod field {
    pub(super) const CHECKSUM: usize = 2;
    pub(super) const REST: usize = 4;
    pub(super) const TARGET: usize = 8;
}

/// Length of a message without options.
pub const HEADER_LEN: usize = icmpv6::HEADER_LEN + 16;
/// Length of a link-layer address option for Ethernet (RFC 2464 section 6).
pub const LINK_LAYER_LEN: usize = 8;
/// Option: the MAC of who sends a solicitation.
pub const SOURCE_LINK_LAYER: u8 = 1;
/// Option: the MAC of the address that an advertisement is about.
pub const TARGET_LINK_LAYER: u8 = 2;
/// The hop limit of every message, which shows that no router has passed it on.
pub const HOP_LIMIT: u8 = 255;

/// All nodes of the link: `ff02::1`.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// The group in which an address is asked for (RFC 4291 section 2.7.1).
#[inline]
pub const fn solicited_node(target: Ipv6Addr) -> Ipv6Addr {
    const GROUP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 0);
    Ipv6Addr::from_bits(GROUP.to_bits() | target.to_bits() & 0x00ff_ffff)
}

/// The MAC address of an IPv6 group (RFC 2464 section 7).
#[inline]
pub const fn group_mac(group: Ipv6Addr) -> MacAddress {
    let [.., a, b, c, d] = group.octets();
    MacAddress([0x33, 0x33, a, b, c, d])
}

/// An option with the MAC address of its kind's owner.
#[inline]
pub const fn link_layer_option(kind: u8, mac: MacAddress) -> [u8; LINK_LAYER_LEN] {
    let [a, b, c, d, e, f] = mac.0;
    [kind, 1, a, b, c, d, e, f]
}

/// The flags of an advertisement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// The sender is a router.
    pub router: bool,
    /// This answers a solicitation.
    pub solicited: bool,
    /// The MAC address replaces what the reader has.
    pub overriding: bool,
}

impl Flags {
    const ROUTER: u8 = 0x80;
    const SOLICITED: u8 = 0x40;
    const OVERRIDE: u8 = 0x20;

    const fn from_bits(bits: u8) -> Self {
        Self {
            router: bits & Self::ROUTER != 0,
            solicited: bits & Self::SOLICITED != 0,
            overriding: bits & Self::OVERRIDE != 0,
        }
    }

    const fn bits(self) -> u8 {
        let router = if self.router { Self::ROUTER } else { 0 };
        let solicited = if self.solicited { Self::SOLICITED } else { 0 };
        router | solicited | if self.overriding { Self::OVERRIDE } else { 0 }
    }
}

/// A checked message: a solicitation or an advertisement with options that can be read.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    pub header: Header<&'a [u8; HEADER_LEN]>,
    /// What the first option of [`SOURCE_LINK_LAYER`] says.
    pub source_mac: Option<MacAddress>,
    /// What the first option of [`TARGET_LINK_LAYER`] says.
    pub target_mac: Option<MacAddress>,
}

impl<'a> Message<'a> {
    /// Cuts what follows IPv6's headers, and reads the options. One of length 0, beyond the end,
    /// or with another kind of link-layer address makes the whole message malformed (RFC 4861
    /// section 4.6, the kernel's `ndisc_opt_addr_data`).
    pub fn check(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (window, options) = bytes.split_first_chunk().ok_or(Malformed::Truncated)?;
        let header = Header::over(window);
        if !matches!(
            header.message_type(),
            Type::NEIGHBOUR_SOLICITATION | Type::NEIGHBOUR_ADVERTISEMENT
        ) || header.code() != 0
        {
            return Err(Malformed::Version);
        }
        let mut message = Self { header, source_mac: None, target_mac: None };
        let mut rest = options;
        // Each takes at least 8 bytes of a packet away.
        while !rest.is_empty() {
            rest = message.read_option(rest)?;
        }
        Ok(message)
    }

    /// Reads the option that `bytes` begin with; what follows it.
    fn read_option<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], Malformed> {
        let &[kind, units] = window(bytes, 0).ok_or(Malformed::Truncated)?;
        if units == 0 {
            return Err(Malformed::HeaderLength);
        }
        let (option, rest) =
            bytes.split_at_checked(usize::from(units) * 8).ok_or(Malformed::HeaderLength)?;
        let place = match kind {
            SOURCE_LINK_LAYER => &mut self.source_mac,
            TARGET_LINK_LAYER => &mut self.target_mac,
            _ => return Ok(rest),
        };
        let option: &[u8; LINK_LAYER_LEN] =
            option.try_into().map_err(|_| Malformed::HeaderLength)?;
        place.get_or_insert(MacAddress(six(option, 2)));
        Ok(rest)
    }
}

/// The view of a message's fixed part.
#[derive(Clone, Copy, Debug)]
pub struct Header<B>(B);

impl<B: Borrow<[u8; HEADER_LEN]>> Header<B> {
    /// Lays the view over `window`.
    #[inline]
    pub const fn over(window: B) -> Self {
        Self(window)
    }

    #[inline]
    pub fn message_type(&self) -> Type {
        let [message_type, ..] = *self.0.borrow();
        Type(message_type)
    }

    /// 0 in every message that passes the check.
    #[inline]
    pub fn code(&self) -> u8 {
        let [_, code, ..] = *self.0.borrow();
        code
    }

    /// Of an advertisement.
    #[inline]
    pub fn flags(&self) -> Flags {
        Flags::from_bits(self.0.borrow()[field::REST])
    }

    /// The address that is asked for or told about.
    #[inline]
    pub fn target(&self) -> Ipv6Addr {
        Ipv6Addr::from(sixteen(self.0.borrow(), field::TARGET))
    }
}

impl<B: BorrowMut<[u8; HEADER_LEN]>> Header<B> {
    /// Writes a message in front of `options`, checksum right for a packet between these ends.
    pub fn fill(
        &mut self,
        message_type: Type,
        flags: Flags,
        target: Ipv6Addr,
        (source, destination): (Ipv6Addr, Ipv6Addr),
        options: &[u8],
    ) {
        let bytes = self.0.borrow_mut();
        put(bytes, 0, [message_type.0, 0, 0, 0, flags.bits(), 0, 0, 0]);
        put(bytes, field::TARGET, target.octets());
        let length = u32::try_from(HEADER_LEN + options.len()).unwrap_or(u32::MAX);
        let sum = Sum::pseudo_v6(source, destination, protocol::ICMPV6, length);
        let sum = sum.add_bytes(bytes).add_bytes(options).checksum();
        put(bytes, field::CHECKSUM, sum.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::icmpv6::{Icmpv6PayloadSlice, NdpOptionSlice};
    use proptest::prelude::*;

    const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 9]);

    #[test]
    fn groups() {
        let target = "fd00::12:3456:789a".parse().unwrap();
        let group = solicited_node(target);
        assert_eq!(group.to_string(), "ff02::1:ff56:789a");
        assert_eq!(group_mac(group).to_string(), "33:33:ff:56:78:9a");
        assert_eq!(group_mac(ALL_NODES).to_string(), "33:33:00:00:00:01");
    }

    proptest! {
        #[test]
        fn agrees_with_the_oracle(
            ends: ([u8; 16], [u8; 16]), target: [u8; 16], mac: [u8; 6],
            flags: (bool, bool, bool), asks: bool,
        ) {
            let flags = Flags { router: flags.0, solicited: flags.1, overriding: flags.2 };
            let (kind, option) = if asks {
                (Type::NEIGHBOUR_SOLICITATION, SOURCE_LINK_LAYER)
            } else {
                (Type::NEIGHBOUR_ADVERTISEMENT, TARGET_LINK_LAYER)
            };
            let options = link_layer_option(option, MacAddress(mac));
            let mut window = [0xee; HEADER_LEN];
            let addresses = (ends.0.into(), ends.1.into());
            Header::over(&mut window).fill(kind, flags, target.into(), addresses, &options);
            let bytes = [window.as_slice(), &options].concat();
            let ours = Message::check(&bytes).unwrap();
            prop_assert_eq!(ours.header.flags(), flags);
            prop_assert_eq!(ours.header.target().octets(), target);
            let both = (ours.source_mac, ours.target_mac);
            let told = Some(MacAddress(mac));
            prop_assert_eq!(both, if asks { (told, None) } else { (None, told) });

            let oracle = etherparse::Icmpv6Slice::from_slice(&bytes).unwrap();
            prop_assert!(oracle.is_checksum_valid(ends.0, ends.1));
            let first = match oracle.payload_slice().unwrap() {
                Icmpv6PayloadSlice::NeighborSolicitation(payload) if asks => {
                    prop_assert_eq!(payload.target_address().octets(), target);
                    payload.options_iterator().next()
                }
                Icmpv6PayloadSlice::NeighborAdvertisement(payload) if !asks => {
                    prop_assert_eq!(payload.target_address().octets(), target);
                    payload.options_iterator().next()
                }
                other => panic!("{other:?}"),
            };
            let told = match first.unwrap().unwrap() {
                NdpOptionSlice::SourceLinkLayerAddress(option) if asks => {
                    option.link_layer_address().to_vec()
                }
                NdpOptionSlice::TargetLinkLayerAddress(option) if !asks => {
                    option.link_layer_address().to_vec()
                }
                other => panic!("{other:?}"),
            };
            prop_assert_eq!(told, mac);
        }

        #[test]
        fn any_bytes_are_an_answer(
            kind in 134_u8..138, code in 0_u8..2,
            options in proptest::collection::vec(prop_oneof![0_u8..4, any::<u8>()], 0..60),
            length in 0_usize..90,
        ) {
            let mut bytes = [&[kind, code], [0; 22].as_slice(), &options].concat();
            bytes.truncate(length);
            if let Ok(message) = Message::check(&bytes) {
                prop_assert!(code == 0 && [135, 136].contains(&kind));
                prop_assert!(bytes.len() >= HEADER_LEN && bytes.len().is_multiple_of(8));
                let told = [(1, message.source_mac), (2, message.target_mac)];
                for (kind, mac) in told.into_iter().filter_map(|(k, mac)| Some((k, mac?))) {
                    let option = link_layer_option(kind, mac);
                    prop_assert!(options.as_chunks::<8>().0.contains(&option));
                }
            }
        }
    }

    #[test]
    fn options_are_read_to_the_end_and_the_first_counts() {
        let of = |kind, last| link_layer_option(kind, MacAddress([2, 0, 0, 0, 0, last]));
        let check = |options: &[u8]| {
            let head = [&[135, 0], [0; 22].as_slice()].concat();
            Message::check(&[&head, options].concat()).map(|message| message.source_mac)
        };
        // A nonce (RFC 3971) of two units before it, another address behind it.
        let nonce = [[14, 2, 1, 2, 3, 4, 5, 6], [1, 1, 1, 1, 1, 1, 1, 1]].concat();
        assert_eq!(check(&[&nonce, &of(1, 9)[..], &of(1, 8)].concat()), Ok(Some(MAC)));
        assert_eq!(check(&nonce), Ok(None));
        for wrong in [&[1, 0, 2, 0, 0, 0, 0, 9][..], &[1, 2, 2, 0, 0, 0, 0, 9], &[14, 0], &[14, 9]]
        {
            assert_eq!(check(wrong), Err(Malformed::HeaderLength), "{wrong:?}");
            let behind = [&of(1, 9)[..], wrong].concat();
            assert_eq!(check(&behind), Err(Malformed::HeaderLength), "{wrong:?}");
        }
        assert_eq!(check(&[1]), Err(Malformed::Truncated));
        // A link-layer address of another length than Ethernet's.
        assert_eq!(check(&[[1, 2, 0, 0, 0, 0, 0, 0]; 2].concat()), Err(Malformed::HeaderLength));
    }
}
