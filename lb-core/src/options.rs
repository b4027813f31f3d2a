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
