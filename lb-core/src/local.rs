//! Packets that belong to no connection: for the director itself, for its host's kernel, or for
//! the link. Answers ARP, neighbour solicitations and echo; the rest goes to the kernel where it
//! has an interface for it.

use std::net::IpAddr;

use crate::burst::{Burst, Surroundings};
use crate::drops::DropReason;
use crate::forward;
use crate::frame::Frame;
use crate::neighbour::NeighbourSeen;
use crate::outcome::Outcome;
use crate::parse::{Class, Packet};
use crate::reply::{self, neighbour};
use crate::wire::{arp, field::window, icmp, icmpv6};
use crate::workbench::Workbench;

/// What becomes of a packet that belongs to no connection.
#[cold]
pub(crate) fn handle<F: Frame>(
    burst: &Burst<'_>,
    packet: &mut Packet,
    frame: &mut F,
    bench: &mut Workbench,
    surroundings: &mut impl Surroundings,
) -> Outcome {
    if packet.class != Class::Arp && burst.snapshot.is_martian(packet) {
        return Outcome::Refused(DropReason::MartianSource);
    }
    forward::take_fragment_header(frame, packet);
    match packet.class {
        Class::Arp => arp(burst, packet, frame, bench, surroundings),
        Class::NeighbourDiscovery => discovery(burst, packet, frame, bench, surroundings),
        Class::Icmp => icmp(burst, packet, frame, bench, surroundings),
        Class::LaterFragment => burst.later_fragment(frame, packet, bench, surroundings),
        Class::Group => punt(burst, packet, frame, bench, DropReason::Broadcast),
        Class::Local(reason) => punt(burst, packet, frame, bench, reason),
        Class::Truncated if burst.is_wanted(packet) => Outcome::Refused(if packet.is_fragment {
            DropReason::FragmentTiny
        } else {
            DropReason::TransportTruncated
        }),
        _ if burst.snapshot.is_local(packet.destination) => {
            punt(burst, packet, frame, bench, DropReason::ProtocolUnknown)
        }
        _ => burst.route(frame, packet, surroundings),
    }
}

impl Burst<'_> {
    /// Whether somebody here would take a packet if its header were whole: the director, or a
    /// connection that leads through NAT.
    fn is_wanted(&self, packet: &Packet) -> bool {
        let reply = Packet { is_reply: true, ..*packet };
        let (protocol, client, port) = reply.client();
        let flows = &self.director.flows;
        let hash = flows.hash(protocol, client, port);
        self.snapshot.is_local(packet.destination)
            || flows.find_reply(hash, &reply.reply_key()).is_some()
    }
}

/// Gives a packet to the host's kernel, within its rate; without one the reason counts.
pub(crate) fn punt<F: Frame>(
    burst: &Burst<'_>,
    packet: &mut Packet,
    frame: &mut F,
    bench: &mut Workbench,
    reason: DropReason,
) -> Outcome {
    if !burst.snapshot.interface(packet.interface).has_kernel {
        return Outcome::Refused(reason);
    }
    if !bench.limiter.allows_punt(burst.now, burst.snapshot.settings.kernel_rate) {
        return Outcome::Refused(DropReason::KernelRate);
    }
    forward::strip_tags(frame, packet);
    Outcome::Punted
}

/// Tells the control plane of the sender, and answers for addresses of the director. The host's
/// kernel, too, hears answers: it asks for neighbours of its own.
fn arp<F: Frame>(
    burst: &Burst<'_>,
    packet: &mut Packet,
    frame: &mut F,
    bench: &mut Workbench,
    surroundings: &mut impl Surroundings,
) -> Outcome {
    let offset = usize::from(packet.network_offset);
    let mac = burst.snapshot.interface(packet.interface).mac;
    let told = window::<{ arp::PACKET_LEN }>(frame.bytes(), offset)
        .and_then(|window| arp::Packet::check(window).ok())
        .map(|arp| (arp.sender_ip(), arp.sender_mac(), arp.target_ip(), arp.operation()));
    let Some((sender, sender_mac, target, operation)) = told else {
        return Outcome::Refused(DropReason::ArpMalformed);
    };
    if sender_mac == mac {
        return Outcome::Consumed;
    }
    surroundings.neighbour_seen(NeighbourSeen {
        interface: packet.interface,
        address: IpAddr::V4(sender),
        mac: sender_mac,
    });
    let is_ours = |address: std::net::Ipv4Addr| burst.snapshot.is_local(address.into());
    if operation != arp::Operation::REQUEST {
        return hear(burst, packet, frame, bench);
    }
    match is_ours(target) && reply::arp::answer(frame, offset, mac, is_ours).is_ok() {
        true => Outcome::Answered,
        false => Outcome::Consumed,
    }
}

/// The same for neighbour solicitations and advertisements (RFC 4861 section 7.2).
fn discovery<F: Frame>(
    burst: &Burst<'_>,
    packet: &mut Packet,
    frame: &mut F,
    bench: &mut Workbench,
    surroundings: &mut impl Surroundings,
) -> Outcome {
    let offset = usize::from(packet.network_offset);
    let interface = burst.snapshot.interface(packet.interface);
    let Some(told) = frame.bytes().get(offset..).and_then(neighbour::seen) else {
        return Outcome::Refused(DropReason::NeighbourMalformed);
    };
    if told.mac == Some(interface.mac) {
        return Outcome::Consumed;
    }
    if let Some(mac) = told.mac.filter(|_| !told.sender.is_unspecified()) {
        let address = IpAddr::V6(told.sender);
        surroundings.neighbour_seen(NeighbourSeen { interface: packet.interface, address, mac });
    }
    if !told.solicitation {
        return hear(burst, packet, frame, bench);
    }
    let link_local = interface.link_local();
    let is_ours = |address: std::net::Ipv6Addr| {
        address == link_local || burst.snapshot.is_local(address.into())
    };
    let is_router = burst.snapshot.settings.ip_forward;
    match neighbour::answer(frame, offset, interface.mac, is_router, is_ours) {
        Ok(()) => Outcome::Answered,
        Err(_) => Outcome::Consumed,
    }
}

/// An answer to somebody's question: the kernel's, where it has an interface here.
fn hear<F: Frame>(
    burst: &Burst<'_>,
    packet: &mut Packet,
    frame: &mut F,
    bench: &mut Workbench,
) -> Outcome {
    if burst.snapshot.interface(packet.interface).has_kernel {
        return punt(burst, packet, frame, bench, DropReason::Broadcast);
    }
    Outcome::Consumed
}

/// ICMP: errors about packets of connections, echo requests to addresses of the director, and
/// what others say to each other.
fn icmp<F: Frame>(
    burst: &Burst<'_>,
    packet: &mut Packet,
    frame: &mut F,
    bench: &mut Workbench,
    surroundings: &mut impl Surroundings,
) -> Outcome {
    if let Some(outcome) = burst.related(frame, packet, bench, surroundings) {
        return outcome;
    }
    let interface = burst.snapshot.interface(packet.interface);
    let is_local = burst.snapshot.is_local(packet.destination)
        || packet.destination == interface.link_local().into();
    if !is_local {
        return burst.route(frame, packet, surroundings);
    }
    let kind = frame.bytes().get(usize::from(packet.transport_offset)).copied();
    let is_echo = if packet.is_v4() {
        kind == Some(icmp::Type::ECHO_REQUEST.0)
    } else {
        kind == Some(icmpv6::Type::ECHO_REQUEST.0)
    };
    if !is_echo || packet.is_fragment {
        return punt(burst, packet, frame, bench, DropReason::IcmpIgnored);
    }
    if packet.has_extensions() && burst.problem(frame, packet).is_some() {
        return Outcome::Refused(DropReason::Ipv6Options);
    }
    if !burst.has_way_back(packet)
        || !bench.limiter.allows(burst.now, burst.snapshot.settings.icmp_msgs_per_sec)
    {
        return Outcome::Refused(DropReason::EchoRefused);
    }
    let offset = usize::from(packet.network_offset);
    let answered = if packet.has_options() {
        let Some((_, echoed)) = burst.echoed(frame, packet) else {
            return Outcome::Refused(DropReason::EchoRefused);
        };
        reply::echo::answer(frame, offset, bench.limiter.identification())
            .and_then(|()| reply::options::attach(frame, offset, echoed.bytes()))
    } else if packet.is_v4() {
        reply::echo::answer(frame, offset, bench.limiter.identification())
    } else {
        reply::echo6::answer(frame, offset)
    };
    match answered {
        Ok(()) => {
            bench.limiter.spend();
            Outcome::Answered
        }
        Err(_) => punt(burst, packet, frame, bench, DropReason::EchoRefused),
    }
}
