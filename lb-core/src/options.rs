//! IPv4 options and IPv6 extension headers on the packet path: hardly any packet has some, and
//! all of this is cold.
//!
//! Options are filled in when the packet leaves, or in the answer to it: until then the packet is
//! as it came.

use std::net::{IpAddr, Ipv4Addr};

use crate::burst::Burst;
use crate::clock::TICKS_PER_SECOND;
use crate::drops::DropReason;
use crate::frame::Frame;
use crate::parse::{Class, Packet, Part};
use crate::wire::extension::{self, FRAGMENT_LEN, Fragment};
use crate::wire::field::{window, window_mut};
use crate::wire::ipv6_options::{self, Problem};
use crate::wire::options::{Echoed, Options, Stamp, own_time};
use crate::wire::{ipv4, ipv6, sctp, tcp};

/// Lengths of headers as parts of offsets.
const HEADER_LEN_V4: u16 = 20;
const HEADER_LEN_V6: u16 = 40;
const FRAGMENT_LEN_32: u32 = 8;
const _: () = assert!(FRAGMENT_LEN_32 as usize == FRAGMENT_LEN);
const _: () = assert!(HEADER_LEN_V4 as usize == ipv4::HEADER_LEN);
const _: () = assert!(HEADER_LEN_V6 as usize == ipv6::HEADER_LEN);

/// What the kernel's state machines take for the header of the upper layer behind extension
/// headers: they look right behind the fixed header (`set_tcp_state`, `set_sctp_state`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Misread {
    pub tcp_flags: tcp::Flags,
    pub chunk: u8,
}

impl Misread {
    /// Reads it. The kernel has put fragments together by then, and taken off their header.
    fn of(payload: &[u8], fragment: Option<&Fragment>) -> Self {
        const FLAGS_AT: usize = 13;
        let byte = |at: usize| {
            let is_behind = fragment.is_some_and(|fragment| fragment.header_offset <= at);
            let at = if is_behind { at + FRAGMENT_LEN } else { at };
            payload.get(at).copied().unwrap_or_default()
        };
        Self { tcp_flags: tcp::Flags(byte(FLAGS_AT)), chunk: byte(sctp::HEADER_LEN) }
    }
}

impl Packet {
    /// Whether there are IPv4 options.
    #[inline]
    pub(crate) const fn has_options(&self) -> bool {
        self.transport_offset != self.network_offset + HEADER_LEN_V4 && self.is_v4()
    }

    /// Whether there are IPv6 extension headers.
    #[inline]
    pub(crate) const fn has_extensions(&self) -> bool {
        self.transport_offset > self.network_offset + HEADER_LEN_V6 && !self.is_v4()
    }

    /// Whether there is a fragment header, but the packet is a whole datagram (RFC 6946).
    #[inline]
    pub(crate) const fn is_atomic(&self) -> bool {
        self.is_atomic && !self.is_v4()
    }

    /// The TCP flags that move the connection's state.
    #[inline]
    pub(crate) const fn state_flags(&self) -> tcp::Flags {
        if self.has_extensions() { self.misread.tcp_flags } else { self.tcp_flags }
    }

    /// The SCTP chunk that moves the connection's state.
    #[inline]
    pub(crate) const fn state_chunk(&self) -> u8 {
        if self.has_extensions() { self.misread.chunk } else { self.chunk }
    }

    /// What a packet is whose IPv4 options are these, and which is of this class without them
    /// (`ip_rcv_options`, where source routes are not accepted).
    pub(crate) fn judge_options(
        &mut self,
        options: &[u8],
        class: Result<Class, DropReason>,
    ) -> Result<Class, DropReason> {
        let judged = Options::judge(options);
        if judged.fault.is_some() {
            return self.refused(class, DropReason::Ipv4Options);
        }
        if judged.has_source_route { Err(DropReason::SourceRoute) } else { class }
    }

    /// The same for the hop-by-hop options of IPv6.
    pub(crate) fn judge_hops(
        &mut self,
        packet: &ipv6::Packet<'_>,
        class: Result<Class, DropReason>,
    ) -> Result<Class, DropReason> {
        let next_header = packet.header.next_header();
        match ipv6_options::hop_by_hop(next_header, packet.payload, false) {
            Ok(()) => class,
            Err(_) => self.refused(class, DropReason::Ipv6Options),
        }
    }

    /// Of a packet that goes no further only the ports are of interest: an error about it counts
    /// for its connection.
    fn refused(
        &mut self,
        class: Result<Class, DropReason>,
        reason: DropReason,
    ) -> Result<Class, DropReason> {
        if class != Ok(Class::Flow) {
            (self.source_port, self.destination_port) = (0, 0);
        }
        Err(reason)
    }

    /// Follows the extension headers to the upper layer. Returns where that begins, from the end
    /// of the fixed header; `None` where they lead nowhere.
    pub(crate) fn read_extensions(&mut self, packet: &ipv6::Packet<'_>) -> Option<usize> {
        let chain = extension::walk(self.protocol, packet.payload).ok()?;
        self.protocol = chain.protocol;
        self.misread = Misread::of(packet.payload, chain.fragment.as_ref());
        let Some(fragment) = chain.fragment else { return Some(chain.offset) };
        self.is_fragment = chain.is_fragment();
        if !self.is_fragment {
            // The kernel's `nf_defrag_ipv6` takes the header off before anybody counts.
            self.is_atomic = true;
            self.length = self.length.saturating_sub(FRAGMENT_LEN_32);
            return Some(chain.offset);
        }
        let start = fragment.header_offset + FRAGMENT_LEN;
        let length = packet.payload.len().saturating_sub(start);
        self.part = Part {
            identification: fragment.identification,
            offset: u32::try_from(fragment.offset).unwrap_or(u32::MAX),
            length: u32::try_from(length).unwrap_or(u32::MAX),
            more: fragment.more,
        };
        Some(chain.offset)
    }
}

impl Burst<'_> {
    /// Fills in the IPv4 options of a packet that is about to leave. `address`: what is recorded.
    #[cold]
    pub(crate) fn record<F: Frame>(&self, frame: &mut F, packet: &Packet, address: IpAddr) {
        let IpAddr::V4(address) = address else { return };
        let Some(options) = self.options_of(frame, packet, address) else { return };
        let start = usize::from(packet.network_offset);
        let bytes = frame.bytes_mut();
        let behind = bytes.get_mut(start + ipv4::HEADER_LEN..).unwrap_or_default();
        for (to, from) in behind.iter_mut().zip(options.bytes()) {
            *to = *from;
        }
        if let Some(window) = window_mut(bytes, start) {
            ipv4::Header::over(window).fill_checksum(options.bytes());
        }
    }

    /// The same for a packet that the director has routed, and rewritten as it leaves: what is
    /// recorded is the address that it comes from now, if that is one of ours, or ours on the
    /// link that it leaves by (`ip_forward_options`).
    #[cold]
    pub(crate) fn record_routed<F: Frame>(
        &self,
        frame: &mut F,
        packet: &Packet,
        by: crate::interface::InterfaceId,
    ) {
        let window = window(frame.bytes(), packet.network_offset.into());
        let Some(source) = window.map(|window| ipv4::Header::over(window).source()) else { return };
        let address = if IpAddr::V4(source) == packet.source.to_ip() {
            self.snapshot.interface(by).source_for(packet.destination.to_ip())
        } else {
            Some(IpAddr::V4(source))
        };
        if let Some(address) = address {
            self.record(frame, packet, address);
        }
    }

    /// The options of a packet as its answer embeds them, and those that the answer has itself.
    /// `None` where there can be no answer.
    #[cold]
    pub(crate) fn echoed(&self, frame: &impl Frame, packet: &Packet) -> Option<(Options, Echoed)> {
        let IpAddr::V4(address) = self.answers_from(packet)? else { return None };
        let options = self.options_of(frame, packet, address)?;
        Some((options, options.echo(&self.stamp(address))?))
    }

    fn options_of(
        &self,
        frame: &impl Frame,
        packet: &Packet,
        address: Ipv4Addr,
    ) -> Option<Options> {
        let bytes = frame.bytes().get(usize::from(packet.network_offset)..)?;
        let options = ipv4::Packet::check(bytes).ok()?.options;
        Some(Options::read(options, &self.stamp(address)))
    }

    fn stamp(&self, address: Ipv4Addr) -> Stamp<impl Fn(Ipv4Addr) -> bool> {
        let time = own_time(self.now.0.wrapping_mul(1000 / TICKS_PER_SECOND));
        let is_ours = |address: Ipv4Addr| {
            self.snapshot.is_local(address.into()) || !ipv4::is_single_host(address)
        };
        Stamp { address, time, is_ours }
    }

    /// What keeps an IPv6 packet from what it carries: in its hop-by-hop options, or, if it is for
    /// the director, in any header.
    #[cold]
    pub(crate) fn problem(&self, frame: &impl Frame, packet: &Packet) -> Option<Problem> {
        let bytes = frame.bytes().get(usize::from(packet.network_offset)..)?;
        let packet_read = ipv6::Packet::check(bytes).ok()?;
        let (next, payload) = (packet_read.header.next_header(), packet_read.payload);
        let hops = ipv6_options::hop_by_hop(next, payload, false);
        let interface = self.snapshot.interface(packet.interface);
        let is_local = self.snapshot.is_local(packet.destination)
            || packet.destination == interface.link_local().into();
        hops.err()
            .or_else(|| is_local.then(|| ipv6_options::deliver(next, payload).err()).flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::{Interface, InterfaceId};
    use crate::snapshot::Snapshot;
    use crate::wire::build::{Icmp, Icmp6, Ip, Ip6, Link, Tcp};
    use crate::wire::tcp::Flags;
    use proptest::prelude::*;

    const SYN: Tcp<'_> = Tcp {
        src: "[fd00:1::2]:1001",
        dst: "[fd00::100]:80",
        flags: "S",
        sequence: 0x0000_1000,
        acknowledgement: 0,
        ttl: 64,
        payload: b"",
        ip: Ip {
            tos: 0,
            identification: 0,
            dont_fragment: false,
            more_fragments: false,
            fragment_offset: 0,
            options: &[],
        },
    };
    const PADDED: &[u8] = &[0, 0, 1, 4, 0, 0, 0, 0];

    fn read(frame: &[u8]) -> Packet {
        let lan = Interface::new("lan0", InterfaceId(0), Link::default().destination, 1500);
        let mut packet = Packet::dropped(DropReason::FrameTooShort);
        // What was there before must not matter.
        packet.is_atomic = true;
        packet.misread.tcp_flags = Flags::RST;
        packet.parse(frame, InterfaceId(0), &Snapshot::of_interfaces([lan]));
        packet
    }

    fn six(ip: Ip6<'_>) -> Packet {
        read(&Link::default().packet(&SYN.packet6(&ip)))
    }

    #[test]
    fn options_decide_what_a_packet_is() {
        let class = |options: &[u8]| {
            let tcp = Tcp { ip: Ip { options, ..Ip::default() }, ..Tcp::default() };
            let packet = read(&tcp.frame(&Link::default()));
            assert_eq!(packet.has_options(), !options.is_empty());
            assert_eq!((packet.is_atomic(), packet.has_extensions()), (false, false));
            assert_eq!(packet.state_flags(), packet.tcp_flags);
            (packet.class, packet.source_port != 0)
        };
        let drop = Class::Drop;
        assert_eq!(class(&[]), (Class::Flow, true));
        assert_eq!(class(&[1, 1, 1, 0]), (Class::Flow, true));
        assert_eq!(class(&[0; 40]), (Class::Flow, true));
        assert_eq!(class(&[7, 2, 4, 0]), (drop(DropReason::Ipv4Options), true));
        assert_eq!(class(&[131, 3, 4, 0]).0, drop(DropReason::SourceRoute));
        let icmp = Icmp { ip: Ip { options: &[7, 2, 4, 0], ..Ip::default() }, ..Icmp::default() };
        let packet = read(&icmp.frame(&Link::default()));
        assert_eq!(packet.class, drop(DropReason::Ipv4Options));
        assert_eq!(packet.source_port, 0, "no ports, no connection to count for");
    }

    #[test]
    fn hop_by_hop_options_decide_too() {
        let class = |kind: u8| {
            let header: &[u8] = &[0, 0, kind, 2, 0, 0, 1, 0];
            six(Ip6 { extensions: &[(0, header)], ..Ip6::default() }).class
        };
        assert_eq!(class(5), Class::Flow);
        assert_eq!(class(0x1e), Class::Flow);
        assert_eq!(class(0x5e), Class::Drop(DropReason::Ipv6Options));
        assert_eq!(class(0x9e), Class::Drop(DropReason::Ipv6Options));
    }

    #[test]
    fn headers_that_lead_nowhere_are_a_protocol_of_their_own() {
        let beyond: &[u8] = &[0, 9, 1, 4, 0, 0, 0, 0];
        let packet = six(Ip6 { extensions: &[(60, beyond)], ..Ip6::default() });
        assert_eq!((packet.class, packet.protocol), (Class::Other, 60));
        let packet = six(Ip6 { extensions: &[(0, beyond)], ..Ip6::default() });
        assert_eq!(packet.class, Class::Drop(DropReason::Ipv6Options), "every router reads it");
    }

    #[test]
    fn an_atomic_fragment_is_a_packet_without_its_header() {
        let plain = six(Ip6::default());
        let atomic = six(Ip6 { fragment: Some((0, false, 7)), ..Ip6::default() });
        assert!(atomic.is_atomic() && !plain.is_atomic());
        assert_eq!((atomic.class, atomic.is_fragment), (Class::Flow, false));
        assert_eq!(atomic.length, plain.length);
        assert_eq!(atomic.state_flags(), Flags::SYN);
        let first = six(Ip6 { fragment: Some((0, true, 7)), ..Ip6::default() });
        assert_eq!((first.is_atomic(), first.is_fragment), (false, true));
        assert_eq!((first.length, first.state_flags()), (plain.length + 8, Flags::SYN));
    }

    #[test]
    fn the_state_follows_what_the_kernel_reads() {
        // Flags would be in byte 13 behind the fixed header: here a byte of the sequence number.
        let behind = six(Ip6 { extensions: &[(60, PADDED)], ..Ip6::default() });
        assert_eq!((behind.tcp_flags, behind.state_flags()), (Flags::SYN, Flags(0)));
        assert_eq!(six(Ip6::default()).state_flags(), Flags::SYN);
    }

    proptest! {
        #[test]
        fn only_headers_before_byte_13_move_what_is_misread(
            before in 0_usize..4, sequence: u32, more: bool,
        ) {
            let extensions = &[(60, PADDED); 4][..before];
            let tcp = Tcp { sequence, ..SYN };
            let whole = Ip6 { extensions, ..Ip6::default() };
            let part = Ip6 { fragment: Some((0, more, 7)), ..whole };
            let whole = read(&Link::default().packet(&tcp.packet6(&whole)));
            let part = read(&Link::default().packet(&tcp.packet6(&part)));
            prop_assert_eq!(whole.state_flags(), part.state_flags());
            prop_assert_eq!(whole.tcp_flags, part.tcp_flags);
        }

        #[test]
        fn a_request_with_any_option_is_read(
            kind: u8, length in 0_u8..14, rest in proptest::collection::vec(any::<u8>(), 12),
        ) {
            let header = [&[0, 1, kind, length], &rest[..]].concat();
            let request = |number| {
                let ip = Ip6 { extensions: &[(number, &header)], ..Ip6::default() };
                read(&Icmp6 { ip, ..Icmp6::default() }.frame(&Link::default())).class
            };
            // Destination options are for the destination.
            prop_assert_eq!(request(60), Class::Icmp);
            let judged = ipv6_options::hop_by_hop(0, &header, false);
            let expected = match judged {
                Ok(()) => Class::Icmp,
                Err(_) => Class::Drop(DropReason::Ipv6Options),
            };
            prop_assert_eq!(request(0), expected);
        }
    }
}
