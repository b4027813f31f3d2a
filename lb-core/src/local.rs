//! Packets for the director itself: ARP and echo.

use crate::burst::{Burst, Observer};
use crate::drops::DropReason;
use crate::frame::Frame;
use crate::limiter::Limiter;
use crate::neighbour::ArpSeen;
use crate::outcome::Outcome;
use crate::parse::{Class, Packet};
use crate::reply;
use crate::wire::{arp, field::window};

/// What becomes of a packet that belongs to no connection.
#[cold]
pub(crate) fn handle<F: Frame>(
    burst: &Burst<'_>,
    packet: &Packet,
    frame: &mut F,
    limiter: &mut Limiter,
    observer: &mut impl Observer,
) -> Outcome {
    match packet.class {
        Class::Arp => arp(burst, packet, frame, observer),
        _ => icmp(burst, packet, frame, limiter),
    }
}

/// Tells the control plane of the sender, and answers for addresses of the director.
fn arp<F: Frame>(
    burst: &Burst<'_>,
    packet: &Packet,
    frame: &mut F,
    observer: &mut impl Observer,
) -> Outcome {
    let offset = usize::from(packet.network_offset);
    let seen = window::<{ arp::PACKET_LEN }>(frame.bytes(), offset)
        .and_then(|window| arp::Packet::check(window).ok())
        .map(|arp| ArpSeen {
            interface: burst.from,
            sender: arp.sender_ip(),
            sender_mac: arp.sender_mac(),
            target: arp.target_ip(),
            request: arp.operation() == arp::Operation::REQUEST,
        });
    let Some(seen) = seen else { return Outcome::Refused(DropReason::ArpMalformed) };
    if seen.sender_mac == burst.snapshot.interface(burst.from).mac {
        return Outcome::Consumed;
    }
    observer.arp_seen(seen);
    let ours = seen.request && burst.snapshot.is_local(seen.target);
    let mac = burst.snapshot.interface(burst.from).mac;
    let is_ours = |address| burst.snapshot.is_local(address);
    match ours && reply::arp::answer(frame, offset, mac, is_ours).is_ok() {
        true => Outcome::Answered,
        false => Outcome::Consumed,
    }
}

/// Answers echo requests to addresses of the director.
fn icmp<F: Frame>(
    burst: &Burst<'_>,
    packet: &Packet,
    frame: &mut F,
    limiter: &mut Limiter,
) -> Outcome {
    if !burst.snapshot.is_local(packet.destination) {
        return Outcome::Refused(DropReason::NotLocal);
    }
    if !limiter.allows(burst.now) {
        return Outcome::Refused(DropReason::EchoRefused);
    }
    let offset = usize::from(packet.network_offset);
    match reply::echo::answer(frame, offset, limiter.identification()) {
        Ok(()) => {
            limiter.spend();
            Outcome::Answered
        }
        Err(reply::Refusal::NotAsked) => Outcome::Refused(DropReason::IcmpIgnored),
        Err(_) => Outcome::Refused(DropReason::EchoRefused),
    }
}
