//! What the sender of a refused packet is told, where IPVS, or the host that the director is to
//! it, would tell it something. The frame becomes the answer and goes back the way it came.

use crate::burst::Burst;
use crate::drops::DropReason;
use crate::frame::Frame;
use crate::limiter::Limiter;
use crate::parse::Packet;
use crate::reply::icmp_error::IcmpError;
use crate::reply::icmp6_error::IcmpError6;
use crate::reply::{Refusal, icmp_error, icmp6_error, reset, reset6};
use crate::wire::ipv4::protocol;
use crate::wire::ipv6;
use crate::worker::Verdict;

/// What a refused packet's sender is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Reset,
    PortUnreachable,
    ProtocolUnreachable,
    NoRoute,
    TimeExceeded,
    TooLarge { mtu: u16 },
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
        let Some(answer) = answer.filter(|_| limiter.allows(self.now)) else {
            return Verdict::Drop(reason);
        };
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
        Verdict::Send(packet.interface)
    }

    fn answer_v4<F: Frame>(
        &self,
        answer: Answer,
        frame: &mut F,
        packet: &Packet,
        limiter: &mut Limiter,
    ) -> Option<Result<(), Refusal>> {
        let offset = usize::from(packet.network_offset);
        let error = match answer {
            Answer::Reset => return Some(reset::answer(frame, offset)),
            Answer::PortUnreachable => IcmpError::PortUnreachable,
            Answer::ProtocolUnreachable => IcmpError::ProtocolUnreachable,
            Answer::NoRoute => IcmpError::NetUnreachable,
            Answer::TimeExceeded => IcmpError::TimeExceeded,
            Answer::TooLarge { mtu } => IcmpError::FragmentationNeeded { mtu },
        };
        let std::net::IpAddr::V4(source) = self.answers_from(packet)? else { return None };
        let identification = limiter.identification();
        Some(icmp_error::answer_from(frame, offset, source, error, identification))
    }

    fn answer_v6<F: Frame>(
        &self,
        answer: Answer,
        frame: &mut F,
        packet: &Packet,
    ) -> Option<Result<(), Refusal>> {
        let offset = usize::from(packet.network_offset);
        let error = match answer {
            Answer::Reset => return Some(reset6::answer(frame, offset)),
            Answer::PortUnreachable => IcmpError6::PortUnreachable,
            Answer::ProtocolUnreachable => {
                // The byte that names the protocol: in the fixed header where nothing follows it.
                let pointer = ipv6::NEXT_HEADER_AT;
                IcmpError6::UnknownNextHeader { pointer: u32::try_from(pointer).ok()? }
            }
            Answer::NoRoute => IcmpError6::NoRoute,
            Answer::TimeExceeded => IcmpError6::TimeExceeded,
            Answer::TooLarge { mtu } => IcmpError6::PacketTooBig { mtu: u32::from(mtu) },
        };
        let std::net::IpAddr::V6(source) = self.answers_from(packet)? else { return None };
        Some(icmp6_error::answer_from(frame, offset, source, error))
    }

    /// The address that the sender of a packet hears from: the one that it spoke to, or, where
    /// that is another host's, the director's on this link.
    fn answers_from(&self, packet: &Packet) -> Option<std::net::IpAddr> {
        if self.snapshot.is_local(packet.destination) {
            return Some(packet.destination.to_ip());
        }
        self.snapshot.interface(packet.interface).source_for(packet.source.to_ip())
    }
}

/// The answer that a drop reason calls for, if any.
fn answer_to(packet: &Packet, reason: DropReason) -> Option<Answer> {
    match reason {
        DropReason::NoService | DropReason::NoConnection => match packet.protocol {
            protocol::TCP => Some(Answer::Reset),
            // A datagram that may not begin a connection comes from port 20, see `may_begin`.
            protocol::UDP => Some(Answer::PortUnreachable),
            _ => Some(Answer::ProtocolUnreachable),
        },
        DropReason::NoDestination => Some(Answer::PortUnreachable),
        DropReason::ProtocolUnknown => Some(Answer::ProtocolUnreachable),
        DropReason::TtlExpired => Some(Answer::TimeExceeded),
        DropReason::NoRoute => Some(Answer::NoRoute),
        DropReason::NatServerStray => (packet.protocol != protocol::TCP
            || !packet.tcp_flags.contains(crate::wire::tcp::Flags::RST))
        .then_some(Answer::PortUnreachable),
        _ => None,
    }
}
