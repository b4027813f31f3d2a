//! Stage 5 for packets that leave: to a real server, back to a client, or merely routed.
//!
//! All three end alike: a hop off, the method's rewrite, a look at the MTU, the link-layer header
//! of the next hop.

use std::net::{IpAddr, Ipv4Addr};

use crate::burst::{Burst, Surroundings};
use crate::destination::ForwardingMethod;
use crate::drops::DropReason;
use crate::forward::{self, End, masquerade, tunnel};
use crate::frame::Frame;
use crate::limiter::Limiter;
use crate::next_hop::NextHop;
use crate::outcome::{Outcome, Pending};
use crate::parse::Packet;
use crate::slots::{DestinationId, DestinationSlot};
use crate::ways::Way;
use crate::wire::ethernet;
use crate::workbench::Workbench;

/// How a packet of a connection is to be rewritten on its way to the real server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Errand {
    pub(crate) server: DestinationId,
    pub(crate) method: ForwardingMethod,
    /// Of NAT: what the destination becomes.
    pub(crate) to: End,
}

/// What the destination becomes where nothing is rewritten.
const NOWHERE: End = (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// How a packet is cut.
#[derive(Clone, Copy, Debug)]
struct Cut {
    mtu: u16,
    /// Of the fragments of an IPv6 packet; IPv4 packets have theirs.
    identification: u16,
}

impl Cut {
    const fn of(mtu: u16) -> Self {
        Self { mtu, identification: 0 }
    }
}

impl Burst<'_> {
    /// Sends a packet of a connection on to its destination.
    #[inline]
    pub(crate) fn forward<F: Frame>(
        &self,
        frame: &mut F,
        packet: &mut Packet,
        bench: &mut Workbench,
        surroundings: &mut impl Surroundings,
    ) -> Outcome {
        let flows = &self.director.flows;
        let entry = flows.entry(packet.flow);
        let state = entry.state();
        let method = state.method();
        let to = match method {
            ForwardingMethod::Masquerading => {
                (flows.server(packet.flow).to_ip(), entry.server_port())
            }
            ForwardingMethod::Bypass => return self.route(frame, packet, surroundings),
            _ => NOWHERE,
        };
        if state.is_ftp() {
            forward::take_fragment_header(frame, packet);
            if self.ftp_command(frame, packet, bench).is_none() {
                return Outcome::Refused(DropReason::FtpMalformed);
            }
        }
        self.run(&Errand { server: packet.server, method, to }, frame, packet, bench, surroundings)
    }

    /// The same for whatever goes to a real server.
    #[inline]
    pub(crate) fn run<F: Frame>(
        &self,
        errand: &Errand,
        frame: &mut F,
        packet: &mut Packet,
        bench: &mut Workbench,
        surroundings: &mut impl Surroundings,
    ) -> Outcome {
        let slot = self.director.slots.get(errand.server);
        if packet.ttl <= 1 {
            return self.run_nowhere(errand, DropReason::TtlExpired, frame, packet, bench);
        }
        if forward::is_dressed(frame.bytes(), packet) {
            forward::strip(frame, packet);
        }
        let Some(mtu) = slot.mtu() else {
            let reason = DropReason::ServerUnreachable;
            return self.run_nowhere(errand, reason, frame, packet, bench);
        };
        if errand.method == ForwardingMethod::Tunneling {
            return self.encapsulate(errand, mtu, frame, packet, bench, surroundings);
        }
        let is_large = packet.length > u32::from(mtu);
        if is_large && packet.dont_fragment {
            // The kernel takes the hop off before it looks at the MTU.
            let _ = forward::hop(frame.bytes_mut(), &packet.layout());
            return Outcome::TooLarge(mtu);
        }
        if packet.has_options() {
            self.record(frame, packet, packet.destination.to_ip());
        }
        let rewritten = match errand.method {
            ForwardingMethod::Masquerading => {
                masquerade::to_server(frame.bytes_mut(), &packet.layout(), errand.to)
            }
            _ => forward::hop(frame.bytes_mut(), &packet.layout()),
        };
        if let Err(refusal) = rewritten {
            return Outcome::Refused(refusal.reason());
        }
        let pending = Pending::Server(errand.server);
        if is_large {
            return self.leave_in_pieces(frame, slot.next_hop(), Cut::of(mtu), surroundings);
        }
        self.leave(frame, slot.next_hop(), pending)
    }

    /// The same where no way leads on: the real server is the director itself, or the packet is
    /// refused. What stays here needs no hop.
    #[cold]
    fn run_nowhere<F: Frame>(
        &self,
        errand: &Errand,
        reason: DropReason,
        frame: &mut F,
        packet: &mut Packet,
        bench: &mut Workbench,
    ) -> Outcome {
        if self.director.slots.get(errand.server).is_local() {
            return self.deliver(errand, frame, packet, bench);
        }
        Outcome::Refused(reason)
    }

    /// Tunneling (`ip_vs_tunnel_xmit`).
    fn encapsulate<F: Frame>(
        &self,
        errand: &Errand,
        mtu: u16,
        frame: &mut F,
        packet: &mut Packet,
        bench: &mut Workbench,
        surroundings: &mut impl Surroundings,
    ) -> Outcome {
        let slot = self.director.slots.get(errand.server);
        let outer = self.outer(slot, packet.hash, &mut bench.limiter);
        let may_fragment = packet.is_v4() && !(packet.dont_fragment && outer.pmtu_disc);
        let length = u16::try_from(packet.length).unwrap_or(u16::MAX);
        let fit = tunnel::fit(length, may_fragment, mtu, outer.tunnel, outer.is_v4());
        match fit {
            tunnel::Fit::Never => return Outcome::Refused(DropReason::TunnelMtu),
            tunnel::Fit::TooLarge { mtu } => {
                let _ = forward::hop(frame.bytes_mut(), &packet.layout());
                return Outcome::TooLarge(mtu);
            }
            tunnel::Fit::Whole | tunnel::Fit::Fragmented => {}
        }
        if packet.has_options() {
            self.record(frame, packet, packet.destination.to_ip());
        }
        let network_offset = usize::from(packet.network_offset);
        let is_v4 = packet.is_v4();
        if let Err(refusal) = tunnel::encapsulate(frame, network_offset, is_v4, &outer) {
            return Outcome::Refused(refusal.reason());
        }
        if fit == tunnel::Fit::Fragmented {
            let cut = Cut { mtu, identification: outer.identification };
            return self.leave_in_pieces(frame, slot.next_hop(), cut, surroundings);
        }
        self.leave(frame, slot.next_hop(), Pending::Server(errand.server))
    }

    /// The outer headers of a packet to a tunneling destination, by the hash of its client's end.
    #[inline(always)]
    pub(crate) fn outer(
        &self,
        slot: &DestinationSlot,
        hash: u64,
        limiter: &mut Limiter,
    ) -> tunnel::Outer {
        let settings = &self.snapshot.settings;
        let (source, destination) = slot.outer_ends();
        let is_spread = settings.tunnel_source_spread;
        tunnel::Outer {
            tunnel: slot.tunnel(),
            source: if is_spread { tunnel::spread(source, hash) } else { source }.to_ip(),
            destination: destination.to_ip(),
            identification: limiter.identification(),
            source_port: tunnel::gue_source_port(hash),
            pmtu_disc: settings.pmtu_disc,
        }
    }

    /// Sends a packet of a real server back to its client, in the name of the virtual service.
    #[inline]
    pub(crate) fn give_back<F: Frame>(
        &self,
        frame: &mut F,
        packet: &mut Packet,
        bench: &mut Workbench,
        surroundings: &mut impl Surroundings,
    ) -> Outcome {
        let flows = &self.director.flows;
        let entry = flows.entry(packet.flow);
        let (address, port) = flows.virtual_end(packet.flow);
        let from = (address.to_ip(), port);
        let generation = self.ways.generation();
        let remembered = entry.way_back(generation).and_then(|id| self.ways.next_hop(id));
        let way = match remembered {
            Some(next_hop) => Ok(next_hop),
            None => {
                let way = self.ways.to(packet.destination);
                if let Way::Known(id) = way {
                    entry.set_way_back(generation, id);
                }
                self.next_hop(way)
            }
        };
        if entry.state().is_ftp() && self.ftp_reply(frame, packet, bench).is_none() {
            return Outcome::Refused(DropReason::FtpMalformed);
        }
        let outcome = self.return_as(from, way, frame, packet, surroundings);
        if matches!(outcome, Outcome::TooLarge(_)) {
            // The kernel's router refuses it before IPVS sees it.
            let tally = self.counters.destination(entry.destination());
            tally.packets_out.take_back(1);
            tally.bytes_out.take_back(u64::from(packet.length));
        }
        outcome
    }

    /// The same once the way is known.
    #[inline]
    pub(crate) fn return_as<F: Frame>(
        &self,
        from: End,
        way: Result<NextHop, Outcome>,
        frame: &mut F,
        packet: &mut Packet,
        surroundings: &mut impl Surroundings,
    ) -> Outcome {
        self.route_by(way, frame, packet, surroundings, |bytes, packet| {
            masquerade::to_client(bytes, &packet.layout(), from)
        })
    }

    /// Sends a packet that belongs to no connection to the host that it is for.
    pub(crate) fn route<F: Frame>(
        &self,
        frame: &mut F,
        packet: &mut Packet,
        surroundings: &mut impl Surroundings,
    ) -> Outcome {
        let snapshot = self.snapshot;
        if snapshot.is_martian(packet) {
            return Outcome::Refused(DropReason::MartianSource);
        }
        if !snapshot.settings.ip_forward {
            return Outcome::Refused(DropReason::NotLocal);
        }
        if snapshot.is_confined(packet) {
            return Outcome::Refused(DropReason::Broadcast);
        }
        let way = self.ways.to(packet.destination);
        if way == Way::None {
            return Outcome::Refused(DropReason::NoRoute);
        }
        if packet.ttl <= 1 {
            return Outcome::Refused(DropReason::TtlExpired);
        }
        if snapshot.settings.nat_icmp_send && snapshot.is_nat_stray(packet) {
            // The router has taken its hop off before IPVS looks.
            let _ = forward::hop(frame.bytes_mut(), &packet.layout());
            return Outcome::Refused(DropReason::NatServerStray);
        }
        self.route_by(self.next_hop(way), frame, packet, surroundings, |bytes, packet| {
            forward::hop(bytes, &packet.layout())
        })
    }

    /// What the kernel's router does with a packet (`ip_forward`): it looks at the MTU before it
    /// takes the hop off.
    #[inline]
    pub(crate) fn route_by<F: Frame>(
        &self,
        way: Result<NextHop, Outcome>,
        frame: &mut F,
        packet: &mut Packet,
        surroundings: &mut impl Surroundings,
        rewrite: impl FnOnce(&mut [u8], &Packet) -> Result<(), forward::Refusal>,
    ) -> Outcome {
        if forward::is_dressed(frame.bytes(), packet) {
            forward::strip(frame, packet);
        }
        let by = match way {
            Ok(next_hop) => next_hop.interface(),
            Err(Outcome::Waits(Pending::Neighbour(hop))) => hop.interface,
            Err(outcome) => return outcome,
        };
        let mtu = self.snapshot.interface(by).mtu;
        let is_large = packet.length > u32::from(mtu);
        if is_large && packet.dont_fragment {
            return Outcome::TooLarge(mtu);
        }
        if let Err(refusal) = rewrite(frame.bytes_mut(), packet) {
            return Outcome::Refused(refusal.reason());
        }
        if packet.has_options() {
            self.record_routed(frame, packet, by);
        }
        if let Err(Outcome::Waits(Pending::Neighbour(hop))) = way {
            surroundings.neighbour_wanted(hop);
        }
        match way {
            Ok(next_hop) if is_large => {
                self.leave_in_pieces(frame, Some(next_hop), Cut::of(mtu), surroundings)
            }
            Ok(next_hop) => self.address(frame, next_hop),
            Err(_) if is_large => Outcome::Refused(DropReason::NeighbourUnresolved),
            Err(outcome) => outcome,
        }
    }

    pub(crate) fn next_hop(&self, way: Way) -> Result<NextHop, Outcome> {
        match way {
            Way::Known(id) => self.ways.next_hop(id).ok_or(Outcome::Refused(DropReason::NoRoute)),
            Way::Unresolved(hop) => Err(Outcome::Waits(Pending::Neighbour(hop))),
            Way::None => Err(Outcome::Refused(DropReason::NoRoute)),
        }
    }

    #[inline]
    fn leave<F: Frame>(&self, frame: &mut F, to: Option<NextHop>, pending: Pending) -> Outcome {
        match to {
            Some(next_hop) => self.address(frame, next_hop),
            None => Outcome::Waits(pending),
        }
    }

    /// Sends a rewritten frame to a destination's next hop.
    pub(crate) fn leave_for<F: Frame>(&self, frame: &mut F, server: DestinationId) -> Outcome {
        self.leave(frame, self.director.slots.get(server).next_hop(), Pending::Server(server))
    }

    #[inline]
    pub(crate) fn address<F: Frame>(&self, frame: &mut F, next_hop: NextHop) -> Outcome {
        match forward::address_link(frame, next_hop, self.snapshot) {
            Ok(()) => Outcome::Forwarded(next_hop.interface()),
            Err(reason) => Outcome::Refused(reason),
        }
    }

    /// Cuts a rewritten packet to the size of the way; the pieces leave as frames of their own.
    #[cold]
    fn leave_in_pieces<F: Frame>(
        &self,
        frame: &mut F,
        to: Option<NextHop>,
        cut: Cut,
        surroundings: &mut impl Surroundings,
    ) -> Outcome {
        let Some(next_hop) = to else {
            return Outcome::Refused(DropReason::NeighbourUnresolved);
        };
        let interface = self.snapshot.interface(next_hop.interface());
        let Some(packet) = frame.bytes().get(ethernet::HEADER_LEN..) else {
            return Outcome::Refused(DropReason::FrameTooShort);
        };
        let is_v4 = packet.first().is_some_and(|byte| byte >> 4 == 4);
        let (link, link_length) = forward::link_header(interface, next_hop.mac(), is_v4);
        let link = link.get(..link_length).unwrap_or_default();
        let mut has_room = true;
        let mut emit = |header: &[u8], piece: &[u8]| {
            has_room = surroundings.send(next_hop.interface(), &[link, header, piece]);
            has_room
        };
        let is_cut = if is_v4 {
            forward::split(packet, cut.mtu, &mut emit).is_ok()
        } else {
            forward::split6(packet, cut.mtu, cut.identification.into(), &mut emit).is_ok()
        };
        match (is_cut, has_room) {
            (true, true) => Outcome::Split,
            (_, false) => Outcome::Refused(DropReason::NoRoom),
            (false, true) => Outcome::Refused(DropReason::ExceedsMtu),
        }
    }
}
