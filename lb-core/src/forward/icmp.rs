//! ICMP errors about packets of connections: reading the packet that they embed, and rewriting
//! both for NAT (`ip_vs_nat_icmp`, RFC 5508 section 4).
//!
//! ```text
//! about a reply, from the client's side         about a request, from the server's side
//! in   router ► VIP  │ VIP:vport ► CIP:cport    in   router ► CIP  │ CIP:cport ► RIP:rport
//! out  router ► RIP  │ RIP:rport ► CIP:cport    out  VIP    ► CIP  │ CIP:cport ► VIP:vport
//! ```
//!
//! Nobody outside may see a real server's address, so the error comes from the VIP also where a
//! router on the way sent it. The checksum of the embedded transport header stays: mostly it is
//! not there, and nobody looks at it.

use std::net::IpAddr;

use super::masquerade::End;
use super::side::Side;
use super::{Layout, Refusal};
use crate::wire::checksum::{Difference, Sum};
use crate::wire::field::{window, window_mut};
use crate::wire::ports::{PORTS_LEN, Ports};
use crate::wire::{icmp, icmpv6, ipv4, ipv6};

/// The packet that an ICMP error is about, as it was where it could not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Embedded {
    /// Where its headers are, from the start of the frame that holds the error.
    pub layout: Layout,
    pub source: IpAddr,
    pub destination: IpAddr,
    /// 0 where there are no ports: a later fragment, or a protocol without.
    pub source_port: u16,
    pub destination_port: u16,
}

impl Embedded {
    /// Reads the packet at `offset` of `bytes`, which end where the error does. Ports, where the
    /// protocol has some, must be there.
    pub(super) fn read(bytes: &[u8], offset: usize) -> Option<Self> {
        let layout = Layout::read_embedded(bytes, offset)?;
        let (source, destination): (IpAddr, IpAddr) = if layout.is_v4 {
            let header = ipv4::Header::over(window(bytes, offset)?);
            (header.source().into(), header.destination().into())
        } else {
            let header = ipv6::Header::over(window(bytes, offset)?);
            (header.source().into(), header.destination().into())
        };
        let (source_port, destination_port) = if layout.has_ports() {
            let ports = Ports::over(window(bytes, layout.transport())?);
            (ports.source(), ports.destination())
        } else {
            (0, 0)
        };
        Some(Self { layout, source, destination, source_port, destination_port })
    }
}

/// Whether the kernel's IPVS looks into ICMP of that type: unreachable, quench and time exceeded
/// of IPv4, every error of IPv6 (`ip_vs_in_icmp`, `ip_vs_in_icmp_v6`).
#[inline]
pub const fn is_looked_into(message_type: u8, is_v4: bool) -> bool {
    if is_v4 {
        matches!(
            icmp::Type(message_type),
            icmp::Type::UNREACHABLE | icmp::Type::SOURCE_QUENCH | icmp::Type::TIME_EXCEEDED
        )
    } else {
        icmpv6::Type(message_type).is_error()
    }
}

/// The packet that an ICMP error is about. `None` where the packet is no such error, is a part of
/// one, or embeds too little.
pub fn embedded(frame: &[u8], layout: &Layout) -> Option<Embedded> {
    let (_, end) = error(frame, layout)?;
    let embedded = Embedded::read(frame.get(..end)?, layout.transport() + icmp::HEADER_LEN)?;
    (embedded.layout.is_v4 == layout.is_v4).then_some(embedded)
}

/// The header of an ICMP error of a kind that is looked into, and where the packet ends.
pub(super) fn error<'a>(
    frame: &'a [u8],
    layout: &Layout,
) -> Option<(icmp::Header<&'a [u8; icmp::HEADER_LEN]>, usize)> {
    let protocol = if layout.is_v4 { ipv4::protocol::ICMP } else { ipv6::protocol::ICMPV6 };
    if layout.protocol != protocol || layout.is_fragment {
        return None;
    }
    // Type and code are in the same places in both versions.
    let header = icmp::Header::over(window(frame, layout.transport())?);
    let end = layout.end(frame)?;
    is_looked_into(header.message_type().0, layout.is_v4).then_some((header, end))
}

/// Whether the checksum of an ICMP message is right.
pub fn verify_checksum(frame: &[u8], layout: &Layout) -> Result<(), Refusal> {
    let payload = layout.payload(frame)?;
    let sum = if layout.is_v4 {
        Sum::ZERO
    } else {
        let length = u16::try_from(payload.len()).map_err(|_| Refusal::Malformed)?;
        layout.pseudo_header(frame, ipv6::protocol::ICMPV6, length).ok_or(Refusal::Malformed)?
    };
    if sum.add_bytes(payload).is_valid() { Ok(()) } else { Err(Refusal::Checksum) }
}

/// Readdresses an error about a reply to the server that sent the reply, and takes a hop off.
pub fn translate_to_server(
    frame: &mut [u8],
    layout: &Layout,
    embedded: &Embedded,
    to: End,
) -> Result<(), Refusal> {
    translate(frame, layout, embedded, (Side::Destination, Side::Source), to)
}

/// Makes an error about a request one from the virtual service, and takes a hop off.
pub fn translate_to_client(
    frame: &mut [u8],
    layout: &Layout,
    embedded: &Embedded,
    vip: End,
) -> Result<(), Refusal> {
    translate(frame, layout, embedded, (Side::Source, Side::Destination), vip)
}

/// Writes one end into the outer header, without its port, and into the embedded packet.
fn translate(
    frame: &mut [u8],
    layout: &Layout,
    embedded: &Embedded,
    (outer_side, embedded_side): (Side, Side),
    (address, port): End,
) -> Result<(), Refusal> {
    if address.is_ipv4() != layout.is_v4 || embedded.layout.is_v4 != layout.is_v4 {
        return Err(Refusal::Family);
    }
    verify_checksum(frame, layout)?;
    let outer = outer_side.forward(frame, layout.network(), address)?;
    // Only the checksum of ICMPv6 covers addresses (RFC 4443 section 2.3).
    let mut difference = if layout.is_v4 { Difference::NONE } else { outer };
    difference = readdress(frame, &embedded.layout, embedded_side, address, difference)?;
    if embedded.layout.has_ports() {
        let ports = window_mut::<PORTS_LEN>(frame, embedded.layout.transport());
        let old = embedded_side.replace_port(ports.ok_or(Refusal::Malformed)?, port);
        difference = difference.u16(old, port);
    }
    let window = window_mut(frame, layout.transport()).ok_or(Refusal::Malformed)?;
    icmp::Header::over(window).update_checksum(difference);
    Ok(())
}

/// Rewrites an address of the embedded packet, which goes nowhere: its TTL stays. As in the
/// kernel, its header checksum is right afterwards whatever it was before.
fn readdress(
    frame: &mut [u8],
    layout: &Layout,
    side: Side,
    address: IpAddr,
    difference: Difference,
) -> Result<Difference, Refusal> {
    let bytes = frame.get_mut(layout.network()..).ok_or(Refusal::Malformed)?;
    match address {
        IpAddr::V4(address) => {
            let (window, rest) = bytes.split_first_chunk_mut().ok_or(Refusal::Malformed)?;
            let mut header = ipv4::Header::over(window);
            let options_length = header.header_length().saturating_sub(ipv4::HEADER_LEN);
            let options = rest.get(..options_length).ok_or(Refusal::Malformed)?;
            let old_checksum = header.checksum();
            let old = side.replace_v4(&mut header, address);
            header.fill_checksum(options);
            Ok(difference.address(old, address).u16(old_checksum, header.checksum()))
        }
        IpAddr::V6(address) => {
            let window = window_mut(bytes, 0).ok_or(Refusal::Malformed)?;
            let old = side.replace_v6(&mut ipv6::Header::over(window), address);
            Ok(difference.address6(old, address))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::captured;
    use crate::forward::samples::{
        Sample, any_end, any_layout, any_sample, end, in_frame, mend_icmp,
    };
    use crate::wire::build::{Icmp, Ip, Link, Tcp};
    use etherparse::{Icmpv4Type, Icmpv6Type, Ipv6Header};
    use proptest::prelude::*;

    /// Sends every ICMP packet of a section through `translate`; counts those that came out.
    fn replay(
        title: &str,
        translate: impl Fn(&mut [u8], &Layout, &Embedded) -> Result<(), Refusal>,
    ) -> usize {
        let mut translated = 0;
        for (sent, received) in captured::exchanges(title) {
            if !sent.contains("ICMP") {
                continue;
            }
            let mut frame = captured::frame(sent);
            let layout = Layout::read(&frame, 14).unwrap();
            let result =
                embedded(&frame, &layout).map(|embedded| translate(&mut frame, &layout, &embedded));
            match (result, received) {
                (Some(Ok(())), Some(received)) => {
                    assert_eq!(frame, captured::frame(received), "{sent}");
                    translated += 1;
                }
                (None, None) => assert!(sent.contains("type=5") || sent.contains("type=12")),
                (Some(Err(Refusal::Checksum)), None) => assert!(sent.contains("BAD")),
                other => panic!("{sent}: {other:?}"),
            }
        }
        translated
    }

    #[test]
    fn as_the_kernel_translates() {
        let count = replay("ICMP errors from client", |frame, layout, embedded| {
            assert_eq!((embedded.source, embedded.source_port), end("10.0.0.100:4001"));
            assert_eq!((embedded.destination, embedded.destination_port), end("10.0.1.2:40001"));
            translate_to_server(frame, layout, embedded, end("10.0.2.11:8080"))
        });
        assert_eq!(count, 5);
        let count = replay("ICMP errors from the real", |frame, layout, embedded| {
            assert_eq!((embedded.destination, embedded.destination_port), end("10.0.2.11:8080"));
            translate_to_client(frame, layout, embedded, end("10.0.0.100:4001"))
        });
        assert_eq!(count, 5);
    }

    /// An error about the first `cut` bytes of a packet, from one address to another, built with
    /// the oracle.
    fn error_about(about: &Sample, cut: usize, ends: (IpAddr, IpAddr), ttl: u8) -> Vec<u8> {
        let body = about.packet();
        let body = &body[..body.len().min(cut)];
        let rest = [0, 0, 5, 0x78];
        match ends {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let kind = Icmpv4Type::Unknown { type_u8: 3, code_u8: 4, bytes5to8: rest };
                let header = etherparse::Icmpv4Header::with_checksum(kind, body);
                let message = [&header.to_bytes(), body].concat();
                in_frame(&Ip::default().packet((source, destination), 1, ttl, &message))
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let (source, destination) = (source.octets(), destination.octets());
                let kind = Icmpv6Type::Unknown { type_u8: 2, code_u8: 0, bytes5to8: rest };
                let header =
                    etherparse::Icmpv6Header::with_checksum(kind, source, destination, body)
                        .unwrap();
                let message = [&header.to_bytes(), body].concat();
                let header = Ipv6Header {
                    payload_length: u16::try_from(message.len()).unwrap(),
                    next_header: 58.into(),
                    hop_limit: ttl,
                    source,
                    destination,
                    ..Ipv6Header::default()
                };
                in_frame(&[&header.to_bytes(), &message[..]].concat())
            }
            _ => panic!("two families: {ends:?}"),
        }
    }

    /// What the first bytes of the transport header are after its ports: NAT of an error leaves
    /// them, so packets that are compared have the same.
    fn with_rest_of(changed: &Sample, original: &Sample) -> Sample {
        // AH and ESP have no checksum that a sample would work out: any bytes do.
        let mut payload = original.payload.clone();
        if original.layout().has_ports() {
            let bytes = original.frame();
            let transport = original.layout().transport();
            payload = [
                changed.source.1.to_be_bytes().as_slice(),
                &changed.destination.1.to_be_bytes(),
                &bytes[transport + 4..],
            ]
            .concat();
        }
        Sample { payload, raw: true, ..changed.clone() }
    }

    proptest! {
        #[test]
        fn every_checksum_is_as_if_worked_out_anew(
            (about, other) in any_sample(), cut in 0_usize..140, router in any::<[u8; 16]>(),
        ) {
            let is_v4 = about.source.0.is_ipv4();
            let [a, b, c, d, ..] = router;
            let router = if is_v4 { IpAddr::from([a, b, c, d]) } else { IpAddr::from(router) };
            let about = with_rest_of(&about, &about);
            let fits = cut >= about.layout().transport() - 14 + 4;
            // From the client's side: about a packet from the VIP.
            let mut frame = error_about(&about, cut, (router, about.source.0), 64);
            let layout = Layout::read(&frame, 14).unwrap();
            let Some(inner) = embedded(&frame, &layout) else {
                prop_assert!(!fits);
                return Ok(());
            };
            prop_assert_eq!(inner.source, about.source.0);
            prop_assert_eq!(inner.destination, about.destination.0);
            let ports = if inner.layout.has_ports() {
                (about.source.1, about.destination.1)
            } else {
                (0, 0)
            };
            prop_assert_eq!((inner.source_port, inner.destination_port), ports);
            let before = frame.clone();
            translate_to_server(&mut frame, &layout, &inner, other).unwrap();
            let expected = with_rest_of(&Sample { source: other, ..about.clone() }, &about);
            prop_assert_eq!(&frame, &error_about(&expected, cut, (router, other.0), 63));
            translate_to_server(&mut frame, &layout, &inner, about.source).unwrap();
            prop_assert_eq!(&frame, &error_about(&about, cut, (router, about.source.0), 62));
            // From the server's side: about a packet to it.
            let mut frame = before;
            translate_to_client(&mut frame, &layout, &inner, other).unwrap();
            let expected = with_rest_of(&Sample { destination: other, ..about.clone() }, &about);
            prop_assert_eq!(frame, error_about(&expected, cut, (other.0, about.source.0), 63));
        }

        #[test]
        fn a_changed_bit_is_refused((about, to) in any_sample(), bit in 0_usize..40 * 8) {
            let mut frame = error_about(&about, 140, (about.destination.0, about.source.0), 64);
            let layout = Layout::read(&frame, 14).unwrap();
            let Some(inner) = embedded(&frame, &layout) else { return Ok(()) };
            let at = layout.transport() + bit / 8 % (frame.len() - layout.transport());
            frame[at] ^= 1 << (bit % 8);
            prop_assert_eq!(
                translate_to_server(&mut frame, &layout, &inner, to),
                Err(Refusal::Checksum)
            );
        }

        #[test]
        fn any_bytes_are_an_answer(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..140), layout in any_layout(),
            to in prop_oneof![any_end(true), any_end(false)], embedded_layout in any_layout(),
            version in prop_oneof![Just(0x45_u8), Just(0x60), any::<u8>()],
        ) {
            if let Some(byte) = bytes.get_mut(layout.transport().saturating_add(8)) {
                *byte = version;
            }
            let _ = verify_checksum(&bytes, &layout);
            let found = embedded(&bytes, &layout);
            let any = Embedded {
                layout: embedded_layout,
                source: to.0,
                destination: to.0,
                source_port: 0,
                destination_port: 0,
            };
            for embedded in found.into_iter().chain([any]) {
                let _ = translate_to_server(&mut bytes, &layout, &embedded, to);
                let _ = translate_to_client(&mut bytes, &layout, &embedded, to);
            }
        }
    }

    proptest! {
        #[test]
        fn any_embedded_bytes_are_an_answer(
            (about, to) in any_sample(), cut in 0_usize..140,
            changes in proptest::collection::vec((0_usize..140, any::<u8>()), 0..4),
        ) {
            let mut frame = error_about(&about, cut, (about.destination.0, about.source.0), 64);
            let layout = Layout::read(&frame, 14).unwrap();
            for (at, value) in changes {
                if let Some(byte) = frame.get_mut(layout.transport() + 8 + at) {
                    *byte = value;
                }
            }
            mend_icmp(&mut frame, &layout);
            prop_assert_eq!(verify_checksum(&frame, &layout), Ok(()));
            if let Some(embedded) = embedded(&frame, &layout) {
                prop_assert_eq!(translate_to_server(&mut frame, &layout, &embedded, to), Ok(()));
                prop_assert_eq!(verify_checksum(&frame, &layout), Ok(()));
            }
        }
    }

    #[test]
    fn a_later_fragment_has_no_ports_and_too_little_is_nothing() {
        let later = Ip { fragment_offset: 8, ..Ip::default() };
        let body = Tcp { ip: later, ..Tcp::default() }.packet();
        let error = |body: &[u8]| {
            let frame = Icmp { kind: (11, 1), body, ..Icmp::default() }.frame(&Link::default());
            embedded(&frame, &Layout::read(&frame, 14).unwrap())
        };
        let found = error(&body).unwrap();
        assert!(found.layout.is_later_fragment);
        assert_eq!((found.source_port, found.destination_port), (0, 0));
        let whole = Tcp::default().packet();
        assert!(error(&whole[..24]).is_some_and(|found| found.destination_port == 80));
        assert_eq!(error(&whole[..23]), None);
        assert_eq!(error(&whole[..19]), None);
    }

    #[test]
    fn an_error_in_pieces_and_a_query_are_none() {
        let body = Tcp::default().packet();
        let first = Ip { more_fragments: true, ..Ip::default() };
        for (kind, ip) in [((3, 1), first), ((8, 0), Ip::default()), ((5, 0), Ip::default())] {
            let frame = Icmp { kind, body: &body, ip, ..Icmp::default() }.frame(&Link::default());
            assert_eq!(embedded(&frame, &Layout::read(&frame, 14).unwrap()), None, "{kind:?}");
        }
    }
}
