//! What the sender of a refused packet is told, where IPVS, or the host that the director is to
//! it, would tell it something. The frame becomes the answer and goes back the way it came, if the
//! sender is one that a route leads to.

use std::net::IpAddr;

use crate::burst::Burst;
use crate::drops::DropReason;
use crate::forward;
use crate::frame::Frame;
use crate::limiter::Limiter;
use crate::parse::Packet;
use crate::reply::icmp_error::IcmpError;
use crate::reply::icmp6_error::IcmpError6;
use crate::reply::{self, Refusal, icmp_error, icmp6_error, reset, reset6};
use crate::ways::Way;
use crate::wire::ipv4::protocol;
use crate::wire::ipv6::protocol::NO_NEXT;
use crate::wire::ipv6_options::Problem;
use crate::wire::{checksum, ethernet, ipv6, udp};
use crate::worker::Verdict;

/// Protocols of RFC 3376, RFC 7761 and RFC 3828.
const IGMP: u8 = 2;
const PIM: u8 = 103;
const UDP_LITE: u8 = 136;

/// What a refused packet's sender is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Reset,
    /// Nobody listens: a host looks at the datagram before it says so.
    ClosedPort,
    PortUnreachable,
    ProtocolUnreachable,
    /// Of options and extension headers: where, they tell themselves.
    ParameterProblem,
    NoRoute,
    ServerUnreachable,
    TimeExceeded,
    TooLarge {
        mtu: u16,
    },
}

impl Burst<'_> {
    /// Counts a packet as dropped, and answers it.
    #[cold]
    pub(crate) fn refuse<F: Frame>(
        &self,
        frame: &mut F,
        packet: &Packet,
        reason: DropReason,
        limiter: &mut Limiter,
    ) -> Verdict {
        self.refuse_with(answer_to(packet, reason), frame, packet, reason, limiter)
    }

    /// The same for a packet that is too large for its way.
    #[cold]
    pub(crate) fn refuse_large<F: Frame>(
        &self,
        frame: &mut F,
        packet: &Packet,
        mtu: u16,
        limiter: &mut Limiter,
    ) -> Verdict {
        let answer = Some(Answer::TooLarge { mtu });
        self.refuse_with(answer, frame, packet, DropReason::ExceedsMtu, limiter)
    }

    fn refuse_with<F: Frame>(
        &self,
        answer: Option<Answer>,
        frame: &mut F,
        packet: &Packet,
        reason: DropReason,
        limiter: &mut Limiter,
    ) -> Verdict {
        self.counters.drop_packets(reason, 1);
        let may_answer = self.has_way_back(packet)
            // In whose name? The host that the packet is for is another.
            && !self.snapshot.intercepts(packet)
            && limiter.allows(self.now, self.snapshot.settings.icmp_msgs_per_sec);
        let Some(answer) = answer.filter(|_| may_answer) else { return Verdict::Drop(reason) };
        let made = if packet.is_v4() {
            self.answer_v4(answer, frame, packet, limiter)
        } else {
            self.answer_v6(answer, frame, packet)
        };
        if made.is_none_or(|made| made.is_err()) {
            return Verdict::Drop(reason);
        }
        limiter.spend();
        self.counters.errors_sent.add(1);
        if reason == DropReason::NoListener {
            self.overhear(frame, packet);
        } else {
            let headers = usize::from(packet.network_offset);
            let length = frame.bytes().len().saturating_sub(headers);
            self.count_own_error(packet, u32::try_from(length).unwrap_or(u32::MAX));
        }
        if self.tag_again(frame, packet).is_none() {
            return Verdict::Drop(reason);
        }
        Verdict::Answer(packet.interface, Some(reason))
    }

    /// Gives an answer back the tag of its interface, if that was off already.
    fn tag_again<F: Frame>(&self, frame: &mut F, packet: &Packet) -> Option<()> {
        let is_bare = usize::from(packet.network_offset) == ethernet::HEADER_LEN;
        match self.snapshot.interface(packet.interface).vlan {
            Some(id) if is_bare => forward::insert_tag(frame, id),
            _ => Some(()),
        }
    }

    fn answer_v4<F: Frame>(
        &self,
        answer: Answer,
        frame: &mut F,
        packet: &Packet,
        limiter: &mut Limiter,
    ) -> Option<Result<(), Refusal>> {
        let offset = usize::from(packet.network_offset);
        let mut embedded_max = usize::MAX;
        let mut options = None;
        if packet.has_options() {
            options = Some(self.echoed(frame, packet)?);
        }
        let error = match answer {
            Answer::Reset => {
                let made = reset::answer(frame, offset);
                return Some(match options {
                    Some((_, echoed)) => {
                        made.and_then(|()| reply::options::attach(frame, offset, echoed.bytes()))
                    }
                    None => made,
                });
            }
            Answer::ParameterProblem => {
                // The kernel's router looks before that.
                let is_martian = self.snapshot.is_martian(packet);
                let pointer = options.filter(|_| !is_martian)?.0.fault?;
                IcmpError::ParameterProblem { pointer }
            }
            Answer::ClosedPort => {
                embedded_max = check_datagram(frame, packet)?;
                IcmpError::PortUnreachable
            }
            Answer::PortUnreachable => IcmpError::PortUnreachable,
            Answer::ProtocolUnreachable => IcmpError::ProtocolUnreachable,
            Answer::NoRoute => IcmpError::NetUnreachable,
            Answer::ServerUnreachable => IcmpError::HostUnreachable,
            Answer::TimeExceeded => IcmpError::TimeExceeded,
            Answer::TooLarge { mtu } => IcmpError::FragmentationNeeded { mtu },
        };
        let IpAddr::V4(source) = self.answers_from(packet)? else { return None };
        let identification = limiter.identification();
        let made = icmp_error::answer_from(frame, offset, source, error, identification)
            .and_then(|()| icmp_error::shorten(frame, offset, embedded_max));
        Some(match options {
            Some((now, echoed)) => made.and_then(|()| {
                let (now, echoed) = (now.bytes(), echoed.bytes());
                reply::options::attach_to_error(frame, offset, now, echoed)
            }),
            None => made,
        })
    }

    fn answer_v6<F: Frame>(
        &self,
        answer: Answer,
        frame: &mut F,
        packet: &Packet,
    ) -> Option<Result<(), Refusal>> {
        let offset = usize::from(packet.network_offset);
        let mut embedded_max = usize::MAX;
        // What the host that the packet is for says, it says of what it comes to first.
        let is_hosts = matches!(
            answer,
            Answer::Reset
                | Answer::ClosedPort
                | Answer::ProtocolUnreachable
                | Answer::ParameterProblem
        );
        let error = match answer {
            _ if is_hosts && let Some(problem) = self.problem(frame, packet) => match problem {
                Problem::Silent => return None,
                Problem::Field(pointer) => IcmpError6::ErroneousField { pointer },
                Problem::NextHeader(pointer) => IcmpError6::UnknownNextHeader { pointer },
                Problem::Option(pointer) => IcmpError6::UnknownOption { pointer },
            },
            Answer::ParameterProblem => return None,
            Answer::Reset => return Some(reset6::answer(frame, offset)),
            Answer::ClosedPort => {
                embedded_max = check_datagram(frame, packet)?;
                IcmpError6::PortUnreachable
            }
            Answer::PortUnreachable => IcmpError6::PortUnreachable,
            Answer::ProtocolUnreachable => {
                // The byte that names the protocol: in the fixed header where nothing follows it.
                let pointer = ipv6::NEXT_HEADER_AT;
                IcmpError6::UnknownNextHeader { pointer: u32::try_from(pointer).ok()? }
            }
            Answer::NoRoute | Answer::ServerUnreachable => IcmpError6::NoRoute,
            Answer::TimeExceeded => IcmpError6::TimeExceeded,
            Answer::TooLarge { mtu } => IcmpError6::PacketTooBig { mtu: u32::from(mtu) },
        };
        let IpAddr::V6(source) = self.answers_from(packet)? else { return None };
        let made = icmp6_error::answer_from(frame, offset, source, error);
        Some(made.and_then(|()| icmp6_error::shorten(frame, offset, embedded_max)))
    }

    /// Whether a route leads to the sender of a packet: to others the kernel says nothing.
    /// Link-local senders are on the link.
    pub(crate) fn has_way_back(&self, packet: &Packet) -> bool {
        let is_near = |address| matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
        self.ways.to(packet.source) != Way::None || is_near(packet.source.to_ip())
    }

    /// The address that the sender of a packet hears from: the one that it spoke to, or, where
    /// that is another host's, the director's on this link.
    pub(crate) fn answers_from(&self, packet: &Packet) -> Option<IpAddr> {
        if self.snapshot.is_local(packet.destination) {
            return Some(packet.destination.to_ip());
        }
        self.snapshot.interface(packet.interface).source_for(packet.source.to_ip())
    }
}

/// What a host does before it looks for a listener (`__udp4_lib_rcv`): a datagram whose length or
/// checksum is wrong is none. First fragments pass. The result is how much of the packet an error
/// embeds: a host cuts a packet to the length of its datagram, whose checksum may be right before
/// that or behind it.
fn check_datagram(frame: &impl Frame, packet: &Packet) -> Option<usize> {
    let start = usize::from(packet.transport_offset);
    let end = usize::from(packet.network_offset) + packet.length as usize;
    let payload = frame.bytes().get(start..end)?;
    if packet.is_fragment {
        return Some(usize::MAX);
    }
    let datagram = udp::Datagram::check(payload).ok()?;
    let length = usize::from(datagram.header.length());
    let checksum = datagram.header.checksum();
    let (from, to) = (packet.source.to_ip(), packet.destination.to_ip());
    let is_right = |bytes: &[u8]| match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            checksum == 0 || checksum::verify_transport_v4(from, to, packet.protocol, bytes)
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            // RFC 8200 section 8.1: there is always one.
            checksum != 0 && checksum::verify_transport_v6(from, to, packet.protocol, bytes)
        }
        _ => false,
    };
    let headers = start.saturating_sub(usize::from(packet.network_offset));
    (is_right(payload) || is_right(payload.get(..length)?)).then_some(headers + length)
}

/// The answer that a drop reason calls for, if any.
fn answer_to(packet: &Packet, reason: DropReason) -> Option<Answer> {
    match reason {
        DropReason::NoService | DropReason::NoConnection | DropReason::NoListener => {
            match packet.protocol {
                protocol::TCP => Some(Answer::Reset),
                // A datagram that may not begin a connection comes from port 20, see `may_begin`.
                protocol::UDP => Some(Answer::ClosedPort),
                _ => Some(Answer::ProtocolUnreachable),
            }
        }
        // A host speaks these, and says nothing where nobody listens.
        DropReason::ProtocolUnknown if matches!(packet.protocol, UDP_LITE | NO_NEXT) => None,
        DropReason::ProtocolUnknown if packet.is_v4() && matches!(packet.protocol, IGMP | PIM) => {
            None
        }
        DropReason::NoDestination | DropReason::NatServerStray => Some(Answer::PortUnreachable),
        DropReason::ProtocolUnknown => Some(Answer::ProtocolUnreachable),
        DropReason::Ipv4Options | DropReason::Ipv6Options => Some(Answer::ParameterProblem),
        DropReason::IcmpIgnored if packet.has_extensions() => Some(Answer::ParameterProblem),
        DropReason::TtlExpired => Some(Answer::TimeExceeded),
        DropReason::NoRoute => Some(Answer::NoRoute),
        DropReason::ServerUnreachable => Some(Answer::ServerUnreachable),
        _ => None,
    }
}
