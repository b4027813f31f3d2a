//! The fast path: stages 4 and 5 in one, for the packets that most are.
//!
//! A plain frame ([`Glance`]) of a connection that is found at once and does not begin anew, whose
//! way out is known and takes the packet. All of that is asked before the first byte is written:
//! a packet that is unusual in anything goes through the stages of [`crate::worker`] as if it had
//! not been here. What the two make of a packet that could go either way is the same.

use crate::address::Address;
use crate::burst::Burst;
use crate::clock::Tick;
use crate::connection::{count_in, count_out};
use crate::destination::ForwardingMethod;
use crate::drops::DropReason;
use crate::flow::{Entry, FlowId, FlowState, ReplyKey};
use crate::forward::{self, Layout, masquerade, tunnel};
use crate::frame::Frame;
use crate::glance::{Glance, Side};
use crate::interface::InterfaceId;
use crate::limiter::Limiter;
use crate::protocol::Protocol;
use crate::slots::DestinationSlot;
use crate::transition::{Event, follow, keeps_established, timeout_s};
use crate::wire::field::window;
use crate::wire::ipv6;

impl Burst<'_> {
    /// Takes a packet of a known connection to where it leaves, or says why it does not after all.
    /// `None` where it is not as simple as that, and then nothing has changed but that padding may
    /// be gone.
    #[inline(always)]
    pub(crate) fn take_fast<F: Frame>(
        &self,
        frame: &mut F,
        glance: &Glance,
        limiter: &mut Limiter,
    ) -> Option<Result<InterfaceId, DropReason>> {
        let entry = self.director.flows.entry(glance.flow);
        let state = entry.state();
        // A hop is left, for the router that this is.
        if glance.ttl <= 1 || !state.is_plain() || !self.now.is_before(entry.deadline()) {
            return None;
        }
        if glance.side == Side::Client {
            let is_it = entry.is_request_v4(glance.client, glance.other);
            return is_it
                .then(|| self.take_request::<F, true>(frame, glance, entry, state, limiter))?;
        }
        self.take_other(frame, glance, entry, state, limiter)
    }

    /// The same of a packet that is not from a client by IPv4.
    #[inline(never)]
    fn take_other<F: Frame>(
        &self,
        frame: &mut F,
        glance: &Glance,
        entry: &Entry,
        state: FlowState,
        limiter: &mut Limiter,
    ) -> Option<Result<InterfaceId, DropReason>> {
        match glance.side {
            Side::Server if entry.is_reply_v4(glance.client, glance.other) => {
                self.take_reply::<F, true>(frame, glance, entry, state)
            }
            Side::ClientV6 | Side::ServerV6 => self.take_v6(frame, glance, entry, state, limiter),
            _ => None,
        }
    }

    /// The same of an IPv6 packet, whose addresses are in the frame and in the entry's cold line.
    #[inline(never)]
    fn take_v6<F: Frame>(
        &self,
        frame: &mut F,
        glance: &Glance,
        entry: &Entry,
        state: FlowState,
        limiter: &mut Limiter,
    ) -> Option<Result<InterfaceId, DropReason>> {
        let flows = &self.director.flows;
        let header = ipv6::Header::over(window(frame.bytes(), forward::HEADER_LEN)?);
        let ends = (Address::from(header.source()), Address::from(header.destination()));
        if glance.side == Side::ClientV6 {
            let first = glance.client | glance.other;
            let is_it = entry.is_request_v6(flows.cold(glance.flow), first, ends);
            return is_it
                .then(|| self.take_request::<F, false>(frame, glance, entry, state, limiter))?;
        }
        let (client_port, server_port) = glance.ports_v6();
        let (server, client) = ends;
        let key = ReplyKey { protocol: glance.protocol, client, client_port, server, server_port };
        let is_it = flows.is_reply(glance.flow, &key);
        is_it.then(|| self.take_reply::<F, false>(frame, glance, entry, state))?
    }

    /// From the client to the real server.
    #[inline(always)]
    fn take_request<F: Frame, const V4: bool>(
        &self,
        frame: &mut F,
        glance: &Glance,
        entry: &Entry,
        state: FlowState,
        limiter: &mut Limiter,
    ) -> Option<Result<InterfaceId, DropReason>> {
        let server = entry.destination();
        let slot = self.director.slots.get(server);
        let next_hop = slot.next_hop()?;
        // No MTU: there is no way to it.
        let mtu = slot.mtu().unwrap_or(0);
        if !slot.is_available() || glance.length > mtu {
            return None;
        }
        let interface = self.snapshot.interface(next_hop.interface());
        match state.method() {
            ForwardingMethod::DirectRouting => {
                let bytes = frame.bytes_mut();
                forward::hop(bytes, &Layout::plain::<V4>(glance.protocol)).ok()?;
                forward::address(bytes, next_hop, interface)?;
            }
            ForwardingMethod::Masquerading => {
                self.readdress::<F, V4>(frame, glance, entry)?;
                forward::address(frame.bytes_mut(), next_hop, interface)?;
            }
            ForwardingMethod::Tunneling => {
                self.wrap::<F, V4>(frame, glance, slot, mtu, limiter)?;
                forward::address(frame.bytes_mut(), next_hop, interface)?;
            }
            ForwardingMethod::Local | ForwardingMethod::Bypass => return None,
        }
        entry.set_deadline(self.moved(glance, state));
        entry.count_packet();
        count_in(self.counters, server, glance.length.into());
        Some(forward::tag(frame, interface).map(|()| next_hop.interface()))
    }

    /// From the real server of NAT back to the client.
    #[inline(never)]
    fn take_reply<F: Frame, const V4: bool>(
        &self,
        frame: &mut F,
        glance: &Glance,
        entry: &Entry,
        state: FlowState,
    ) -> Option<Result<InterfaceId, DropReason>> {
        let way = entry.way_back(self.ways.generation())?;
        let next_hop = self.ways.next_hop(way)?;
        let interface = self.snapshot.interface(next_hop.interface());
        if glance.length > interface.mtu {
            return None;
        }
        let layout = Layout::plain::<V4>(glance.protocol);
        let virtual_end = if V4 {
            entry.virtual_end_v4()
        } else {
            let (address, port) = self.director.flows.virtual_end(glance.flow);
            (address.to_ip(), port)
        };
        let bytes = frame.bytes_mut();
        masquerade::to_client(bytes, &layout, virtual_end).ok()?;
        forward::address(bytes, next_hop, interface)?;
        entry.set_deadline(self.moved(glance, state));
        count_out(self.counters, entry.destination(), glance.length.into());
        Some(forward::tag(frame, interface).map(|()| next_hop.interface()))
    }

    /// Moves the connection's state where the packet does that, which most do not. Returns until
    /// when it lives then.
    #[inline(always)]
    fn moved(&self, glance: &Glance, state: FlowState) -> Tick {
        let event = glance.event();
        if keeps_established(state, event) {
            return self.established_until;
        }
        // The first reply of a datagram's connection tells something.
        let is_news = event.is_reply && (state.no_output() || state.is_unassured());
        if glance.protocol == Protocol::Udp.number() && !is_news {
            return self.datagrams_until;
        }
        self.follow_until(glance.flow, state, event)
    }

    #[inline(never)]
    fn follow_until(&self, id: FlowId, state: FlowState, event: Event) -> Tick {
        let state = follow(self, id, state, event);
        self.now.plus_seconds(timeout_s(self.snapshot, event.protocol, state.number()))
    }

    /// Puts a packet into its tunnel, where it fits as it is.
    #[inline(never)]
    fn wrap<F: Frame, const V4: bool>(
        &self,
        frame: &mut F,
        glance: &Glance,
        slot: &DestinationSlot,
        mtu: u16,
        limiter: &mut Limiter,
    ) -> Option<()> {
        let (_, destination) = slot.outer_ends();
        let fit = tunnel::fit(glance.length, false, mtu, slot.tunnel(), destination.is_v4());
        if fit != tunnel::Fit::Whole {
            return None;
        }
        let outer = self.outer(slot, glance.hash, limiter);
        tunnel::encapsulate(frame, forward::HEADER_LEN, V4, &outer).ok()
    }

    /// Readdresses a packet to its real server. Not inlined, as it would cost direct routing
    /// registers.
    #[inline(never)]
    fn readdress<F: Frame, const V4: bool>(
        &self,
        frame: &mut F,
        glance: &Glance,
        entry: &Entry,
    ) -> Option<()> {
        let server = if V4 { entry.server_v4() } else { self.director.flows.server(glance.flow) };
        let to = (server.to_ip(), entry.server_port());
        let layout = Layout::plain::<V4>(glance.protocol);
        masquerade::to_server(frame.bytes_mut(), &layout, to).ok()
    }
}
