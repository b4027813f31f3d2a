//! ICMP errors about packets of connections (`ip_vs_in_icmp`, `ip_vs_out_icmp` and their v6
//! twins): they go where the packet came from, and speak of it as that end knows it.

use crate::address::Address;
use crate::burst::{Burst, Surroundings};
use crate::connection::Decision;
use crate::destination::{ForwardingMethod, Tunnel};
use crate::drops::DropReason;
use crate::egress::Errand;
use crate::flow::{FlowId, FlowKey, ReplyKey};
use crate::forward;
use crate::forward::icmp::{self, Embedded};
use crate::forward::tunnel_error::{self, TunnelError, TunnelKind};
use crate::frame::Frame;
use crate::outcome::Outcome;
use crate::parse::{Class, Packet};
use crate::schedule::Occasion;
use crate::slots::DestinationId;
use crate::wire::ethernet;
use crate::wire::ipv4::protocol;
use crate::wire::ipv6::protocol::{AH, ESP};
use crate::workbench::Workbench;

impl Burst<'_> {
    /// What becomes of an ICMP packet if it is an error about a connection; `None` where it is
    /// not.
    pub(crate) fn related<F: Frame>(
        &self,
        frame: &mut F,
        packet: &mut Packet,
        bench: &mut Workbench,
        surroundings: &mut impl Surroundings,
    ) -> Option<Outcome> {
        let layout = packet.layout();
        let embedded = icmp::embedded(frame.bytes(), &layout)?;
        if !self.snapshot.is_local(packet.destination) {
            if let Some(id) = self.find_request(&embedded) {
                return Some(self.error_to_client(frame, packet, &embedded, id, surroundings));
            }
            if let Some(id) = self.find_plain_request(&embedded) {
                self.count_out(id, packet.length);
                return None;
            }
            // From a client's side to a real server's own address (`ip_vs_forward_icmp`): a hop
            // for the router, and one for IPVS.
            let id = self.find_reply_to(&embedded)?;
            if packet.ttl <= 1 {
                return Some(Outcome::Refused(DropReason::TtlExpired));
            }
            let _ = forward::hop(frame.bytes_mut(), &layout);
            packet.ttl -= 1;
            return Some(self.error_to_server(frame, packet, &embedded, id, bench, surroundings));
        }
        if let Some(error) = tunnel_error::tunnel_error(frame.bytes(), &layout)
            && let Some(server) = self.tunnel_server(&error)
        {
            return Some(self.tunnel_error(frame, packet, &error, server, bench, surroundings));
        }
        let id = match self.find_reply_to(&embedded) {
            Some(id) => id,
            None => match self.schedule_error(packet, &embedded, bench)? {
                Ok(id) => id,
                Err(outcome) => return Some(outcome),
            },
        };
        Some(self.error_to_server(frame, packet, &embedded, id, bench, surroundings))
    }

    /// With `schedule_icmp`, an error about a reply of no connection begins the one that it would
    /// be of; `None` where it is not for a service.
    fn schedule_error(
        &self,
        packet: &Packet,
        embedded: &Embedded,
        bench: &mut Workbench,
    ) -> Option<Result<FlowId, Outcome>> {
        if !self.snapshot.settings.schedule_icmp || !embedded.layout.has_ports() {
            return None;
        }
        // The packet that the connection would have had: directions are swapped.
        let mut request = Packet {
            protocol: embedded.layout.protocol,
            source: embedded.destination.into(),
            destination: embedded.source.into(),
            source_port: embedded.destination_port,
            destination_port: embedded.source_port,
            is_reply: false,
            ..*packet
        };
        let (protocol, client, port) = request.client();
        request.hash = self.director.flows.hash(protocol, client, port);
        let occasion = Occasion::Error { mark: self.snapshot.mark(packet) };
        match bench.connections.begin(self, &mut request, occasion) {
            Decision::Forward => Some(Ok(request.flow)),
            Decision::Drop(reason) => Some(Err(Outcome::Refused(reason))),
            _ => None,
        }
    }

    /// The connection whose reply an error is about: directions are swapped.
    fn find_reply_to(&self, embedded: &Embedded) -> Option<FlowId> {
        let key = FlowKey {
            protocol: flow_protocol(embedded),
            client: embedded.destination.into(),
            client_port: port(embedded, embedded.destination_port),
            virtual_address: embedded.source.into(),
            virtual_port: port(embedded, embedded.source_port),
        };
        let hash = self.director.flows.hash(key.protocol, key.client, key.client_port);
        self.director.flows.find(hash, &key).filter(|&id| self.is_alive(id))
    }

    /// The NAT connection whose request, as the server saw it, an error is about.
    pub(crate) fn find_request(&self, embedded: &Embedded) -> Option<FlowId> {
        let key = ReplyKey {
            protocol: flow_protocol(embedded),
            client: embedded.source.into(),
            client_port: port(embedded, embedded.source_port),
            server: embedded.destination.into(),
            server_port: port(embedded, embedded.destination_port),
        };
        let hash = self.director.flows.hash(key.protocol, key.client, key.client_port);
        self.director.flows.find_reply(hash, &key).filter(|&id| self.is_alive(id))
    }

    /// The DR or tunneling connection whose request an error is about: it passes as it is.
    pub(crate) fn find_plain_request(&self, embedded: &Embedded) -> Option<FlowId> {
        let key = FlowKey {
            protocol: flow_protocol(embedded),
            client: embedded.source.into(),
            client_port: port(embedded, embedded.source_port),
            virtual_address: embedded.destination.into(),
            virtual_port: port(embedded, embedded.destination_port),
        };
        let hash = self.director.flows.hash(key.protocol, key.client, key.client_port);
        let found = self.director.flows.find(hash, &key).filter(|&id| self.is_alive(id))?;
        let method = self.director.flows.entry(found).state().method();
        (method != ForwardingMethod::Masquerading).then_some(found)
    }

    /// An error about a connection's request counts as a packet of its reply side.
    pub(crate) fn count_out(&self, id: FlowId, length: u32) {
        let server = self.director.flows.entry(id).destination();
        let tally = self.counters.destination(server);
        tally.packets_out.add(1);
        tally.bytes_out.add(u64::from(length));
    }

    /// The same for an error of our own, which the kernel sees leave like any other.
    pub(crate) fn count_own_error(&self, packet: &Packet, length: u32) {
        let flows = &self.director.flows;
        let found = match packet.class {
            Class::Forward => Some(packet.flow),
            // The connection that the packet was to begin anew, and is over.
            Class::Drop(DropReason::NoDestination) if packet.flow.is_some() => {
                let tally = self.counters.destination(packet.server);
                tally.packets_out.add(1);
                tally.bytes_out.add(u64::from(length));
                None
            }
            // Dropped before anybody looked for its connection.
            Class::Drop(DropReason::Ipv4Options | DropReason::Ipv6Options) => {
                let key = packet.key();
                let hash = flows.hash(key.protocol, key.client, key.client_port);
                flows.find(hash, &key).filter(|&id| self.is_alive(id))
            }
            _ => None,
        };
        if let Some(id) = found
            && flows.entry(id).state().method() != ForwardingMethod::Masquerading
        {
            self.count_out(id, length);
        }
    }

    fn is_alive(&self, id: FlowId) -> bool {
        self.now.is_before(self.director.flows.entry(id).deadline())
    }

    /// From the client's side: to the real server, counted as a packet of the connection, whose
    /// state and timer stay.
    fn error_to_server<F: Frame>(
        &self,
        frame: &mut F,
        packet: &mut Packet,
        embedded: &Embedded,
        id: FlowId,
        bench: &mut Workbench,
        surroundings: &mut impl Surroundings,
    ) -> Outcome {
        let flows = &self.director.flows;
        let entry = flows.entry(id);
        let (server, method) = (entry.destination(), entry.state().method());
        let slot = self.director.slots.get(server);
        if !slot.is_available() {
            return Outcome::Refused(DropReason::DestinationRemoved);
        }
        let to = (flows.server(id).to_ip(), entry.server_port());
        if icmp::verify_checksum(frame.bytes(), &packet.layout()).is_err() {
            return Outcome::Refused(DropReason::IcmpChecksum);
        }
        let tally = self.counters.destination(server);
        tally.packets_in.add(1);
        tally.bytes_in.add(u64::from(packet.length));
        if method != ForwardingMethod::Masquerading {
            // The kernel does not look at the MTU for errors.
            packet.dont_fragment = false;
            let errand = Errand { server, method, to };
            return self.run(&errand, frame, packet, bench, surroundings);
        }
        let is_local = slot.is_local();
        if packet.ttl <= 1 && !is_local {
            return Outcome::Refused(DropReason::TtlExpired);
        }
        let embedded = self.bare(frame, packet, embedded);
        if is_local {
            return self.deliver_error(to, frame, packet, &embedded, bench);
        }
        if packet.has_options() {
            self.record(frame, packet, packet.destination.to_ip());
        }
        match icmp::translate_to_server(frame.bytes_mut(), &packet.layout(), &embedded, to) {
            Ok(()) => self.leave_for(frame, server),
            Err(refusal) => Outcome::Refused(refusal.reason()),
        }
    }

    /// From the server's side: to the client, from the virtual service.
    fn error_to_client<F: Frame>(
        &self,
        frame: &mut F,
        packet: &mut Packet,
        embedded: &Embedded,
        id: FlowId,
        surroundings: &mut impl Surroundings,
    ) -> Outcome {
        if packet.ttl <= 1 {
            return Outcome::Refused(DropReason::TtlExpired);
        }
        if icmp::verify_checksum(frame.bytes(), &packet.layout()).is_err() {
            return Outcome::Refused(DropReason::IcmpChecksum);
        }
        let flows = &self.director.flows;
        self.count_out(id, packet.length);
        let (address, port) = flows.virtual_end(id);
        let embedded = self.bare(frame, packet, embedded);
        let way = self.next_hop(self.ways.to(packet.destination));
        self.route_by(way, frame, packet, surroundings, |bytes, packet| {
            let vip = (address.to_ip(), port);
            icmp::translate_to_client(bytes, &packet.layout(), &embedded, vip)
        })
    }

    /// Takes off what is not the packet; what is known of the embedded one moves along.
    fn bare<F: Frame>(&self, frame: &mut F, packet: &mut Packet, embedded: &Embedded) -> Embedded {
        let before = packet.network_offset;
        if forward::is_dressed(frame.bytes(), packet) {
            forward::strip(frame, packet);
        }
        let mut embedded = *embedded;
        let moved = before.saturating_sub(packet.network_offset);
        let layout = &mut embedded.layout;
        layout.network_offset = layout.network_offset.saturating_sub(moved);
        layout.transport_offset = layout.transport_offset.saturating_sub(moved);
        embedded
    }

    /// The destination of the connection that a tunneled packet is of, if this director sent it
    /// through such a tunnel.
    fn tunnel_server(&self, error: &TunnelError) -> Option<DestinationId> {
        let inner = &error.inner;
        let key = FlowKey {
            protocol: flow_protocol(inner),
            client: inner.source.into(),
            client_port: port(inner, inner.source_port),
            virtual_address: inner.destination.into(),
            virtual_port: port(inner, inner.destination_port),
        };
        let flows = &self.director.flows;
        let id = flows.find(flows.hash(key.protocol, key.client, key.client_port), &key)?;
        let entry = flows.entry(id);
        let server = entry.destination();
        let kind = match (self.director.slots.get(server).tunnel(), error.kind) {
            (Tunnel::Ipip, TunnelKind::Ipip) | (Tunnel::Gre { .. }, TunnelKind::Gre) => true,
            (Tunnel::Gue { port, .. }, TunnelKind::Gue { port: seen }) => port == seen,
            _ => false,
        };
        let is_ours = kind
            && entry.state().method() == ForwardingMethod::Tunneling
            && Address::from(error.outer.destination) == flows.server(id)
            && self.snapshot.is_local(error.outer.source.into());
        is_ours.then_some(server)
    }

    /// An error about the tunnel itself: the client hears of it, from the virtual service.
    fn tunnel_error<F: Frame>(
        &self,
        frame: &mut F,
        packet: &mut Packet,
        error: &TunnelError,
        server: DestinationId,
        bench: &mut Workbench,
        surroundings: &mut impl Surroundings,
    ) -> Outcome {
        if icmp::verify_checksum(frame.bytes(), &packet.layout()).is_err() {
            return Outcome::Refused(DropReason::IcmpChecksum);
        }
        if let Some(mtu) = error.path_mtu {
            surroundings.path_mtu_seen(server, mtu);
        }
        let client = Address::from(error.inner.source);
        if !bench.limiter.allows(self.now, self.snapshot.settings.icmp_msgs_per_sec) {
            return Outcome::Refused(DropReason::IcmpIgnored);
        }
        let identification = bench.limiter.identification();
        if tunnel_error::relay(frame, &packet.layout(), error, identification).is_err() {
            return Outcome::Consumed;
        }
        bench.limiter.spend();
        let offset = ethernet::HEADER_LEN;
        packet.set_offsets(offset, offset + crate::wire::ipv4::HEADER_LEN);
        match self.next_hop(self.ways.to(client)) {
            Ok(next_hop) => self.address(frame, next_hop),
            Err(outcome) => {
                if let Outcome::Waits(crate::outcome::Pending::Neighbour(hop)) = outcome {
                    surroundings.neighbour_wanted(hop);
                }
                outcome
            }
        }
    }
}

/// AH and ESP go with the UDP connection of their key exchange.
fn flow_protocol(embedded: &Embedded) -> u8 {
    if is_ipsec(embedded) { protocol::UDP } else { embedded.layout.protocol }
}

fn port(embedded: &Embedded, port: u16) -> u16 {
    const ISAKMP: u16 = 500;
    if is_ipsec(embedded) { ISAKMP } else { port }
}

fn is_ipsec(embedded: &Embedded) -> bool {
    matches!(embedded.layout.protocol, AH | ESP)
}
