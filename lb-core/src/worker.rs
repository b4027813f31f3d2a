//! A packet's way: the stages that a burst goes through on a worker, top to bottom.
//!
//! ```text
//! frames ─► 1 parse ─► 2 hash ─► 3 find ─► 4 decide ─► 5 rewrite ─► verdicts
//!           headers    prefetch  tags,      hit: state   headers      the caller sends, queues
//!                      bucket    prefetch   miss: new               or drops
//!                                entry      connection
//! ```
//!
//! What a stage asked memory for is there when the next one needs it: stages 1 to 3 are one loop,
//! in which the lookup stays some packets behind the parser; 4 and 5 are loops over the whole
//! burst. A hit takes no lock and allocates nothing.

use std::sync::Arc;

use arc_swap::{ArcSwap, Cache};

pub use crate::burst::{BURST_MAX, Observer};

use crate::burst::Burst;
use crate::clock::Tick;
use crate::connection::{Connections, Decision};
use crate::director::Director;
use crate::drops::DropReason;
use crate::forward;
use crate::frame::Frame;
use crate::interface::{Interface, InterfaceId};
use crate::limiter::Limiter;
use crate::local;
use crate::outcome::Outcome;
use crate::parse::{Class, Packet};
use crate::protocol::Protocol;
use crate::reply::icmp_error::{self, IcmpError};
use crate::reply::reset;
use crate::slots::DestinationId;
use crate::snapshot::Snapshot;
use crate::state::TcpState;

/// How many packets a lookup stays behind the parser: some 250 ns of parsing, twice what a line
/// from memory takes.
const AHEAD: usize = 16;

/// What is to become of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Ready to leave by this interface.
    Send(InterfaceId),
    /// Ready but for its link-layer header, as the destination's next hop is not resolved:
    /// belongs into [`crate::waiting::Waiting`]. Not counted yet.
    Wait(DestinationId),
    /// Nothing more to do; free the buffer. Counted already.
    Consumed,
    /// Free the buffer. Counted already.
    Drop(DropReason),
}

/// One worker's view of the director, and its scratch memory.
#[derive(Debug)]
pub struct Worker {
    director: Arc<Director>,
    number: usize,
    snapshot: Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>,
    packets: [Packet; BURST_MAX],
    connections: Connections,
    limiter: Limiter,
}

impl Worker {
    /// The worker with that number; takes part in quiescence from now on.
    pub fn new(director: Arc<Director>, number: usize) -> Self {
        director.epochs.online(number);
        Self {
            snapshot: Cache::new(Arc::clone(&director.snapshot)),
            director,
            number,
            packets: [Packet::dropped(DropReason::FrameTooShort); BURST_MAX],
            connections: Connections::default(),
            limiter: Limiter::default(),
        }
    }

    /// Burst boundary: to be called once per turn of the worker's loop, whether frames came or
    /// not. Nothing from before this call is held after it.
    pub fn boundary(&mut self) {
        self.director.epochs.announce(self.number);
        self.connections.release(&self.director);
        // An idle worker, too, lets go of an old configuration.
        self.snapshot.load();
    }

    /// The configuration that the next burst will see.
    pub fn snapshot(&mut self) -> &Snapshot {
        self.snapshot.load()
    }

    /// Takes a burst of frames that came in by one interface through all stages.
    ///
    /// `frames` are at most [`BURST_MAX`]; frame `i` is rewritten in place and `verdicts[i]` says
    /// what is to become of it.
    pub fn process<F: Frame>(
        &mut self,
        from: InterfaceId,
        now: Tick,
        frames: &mut [F],
        verdicts: &mut [Verdict; BURST_MAX],
        observer: &mut impl Observer,
    ) {
        let Self { director, number, snapshot, packets, connections, limiter } = self;
        let snapshot: &Snapshot = snapshot.load();
        let packets = &mut packets[..frames.len()];
        let counters = &director.counters[*number];
        let established_until = now.plus_seconds(snapshot.timeouts.tcp(TcpState::Established));
        let burst = Burst { director, snapshot, counters, from, now, established_until };

        burst.look_up(frames, packets);
        burst.decide(packets, connections);
        burst.rewrite(frames, packets, verdicts, limiter, observer);
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.connections.stop(&self.director);
        self.director.epochs.offline(self.number);
    }
}

impl Burst<'_> {
    /// Stages 1 to 3 over the burst. A packet is [`AHEAD`] packets behind when its bucket is looked
    /// at, so that buckets and entries come from memory while other frames are read, instead of
    /// all at once while nothing else is left to do.
    fn look_up<F: Frame>(&self, frames: &[F], packets: &mut [Packet]) {
        for frame in frames {
            frame.prefetch();
        }
        let interface = self.snapshot.interface(self.from);
        for (place, frame) in frames.iter().enumerate() {
            self.read(frame, &mut packets[place], interface);
            if place >= AHEAD {
                self.find(&mut packets[place - AHEAD]);
            }
        }
        for packet in &mut packets[frames.len().saturating_sub(AHEAD)..] {
            self.find(packet);
        }
    }

    /// 1: what the frame is. 2: which bucket; asks for its line.
    #[inline]
    fn read<F: Frame>(&self, frame: &F, packet: &mut Packet, interface: &Interface) {
        if !frame.is_whole() {
            packet.class = Class::Drop(DropReason::SegmentedFrame);
            return;
        }
        packet.parse(frame.bytes(), interface);
        if packet.class == Class::Flow {
            let flows = &self.director.flows;
            packet.hash = flows.hash(packet.protocol, packet.source.to_bits(), packet.source_port);
            flows.prefetch_bucket(packet.hash);
        }
    }

    /// 3: which entry, by its tag; asks for its line.
    #[inline]
    fn find(&self, packet: &mut Packet) {
        if packet.class == Class::Flow {
            packet.candidate = self.director.flows.candidate(packet.hash);
        }
    }

    /// 4: the connection's next state and its destination, or a new connection.
    fn decide(&self, packets: &mut [Packet], connections: &mut Connections) {
        for packet in packets.iter_mut().filter(|packet| packet.class == Class::Flow) {
            packet.class = match connections.decide(self, packet) {
                Decision::Forward(server) => {
                    packet.server = server;
                    self.director.slots.prefetch(server);
                    Class::Forward
                }
                Decision::Drop(reason) => Class::Drop(reason),
            };
        }
    }

    /// 5: the frame as it leaves, and what it counts as.
    fn rewrite<F: Frame>(
        &self,
        frames: &mut [F],
        packets: &mut [Packet],
        verdicts: &mut [Verdict; BURST_MAX],
        limiter: &mut Limiter,
        observer: &mut impl Observer,
    ) {
        let mut forwarded = 0;
        for ((frame, packet), verdict) in
            frames.iter_mut().zip(packets.iter_mut()).zip(verdicts.iter_mut())
        {
            let outcome = match packet.class {
                Class::Forward => self.forward(frame, packet),
                Class::Drop(reason) => Outcome::Refused(reason),
                _ => local::handle(self, packet, frame, limiter, observer),
            };
            *verdict = match outcome {
                Outcome::Forwarded(interface) => {
                    forwarded += 1;
                    Verdict::Send(interface)
                }
                Outcome::Waits => Verdict::Wait(packet.server),
                Outcome::Answered => {
                    self.counters.answered.add(1);
                    Verdict::Send(self.from)
                }
                Outcome::Consumed => {
                    self.counters.consumed.add(1);
                    Verdict::Consumed
                }
                Outcome::Refused(reason) => self.refuse(frame, packet, reason, limiter),
            };
        }
        self.counters.received.add(packets.len() as u64);
        self.counters.forwarded.add(forwarded);
    }

    /// Sends a packet of a connection on to its destination.
    #[inline]
    fn forward<F: Frame>(&self, frame: &mut F, packet: &mut Packet) -> Outcome {
        if packet.ttl <= 1 {
            return Outcome::Refused(DropReason::TtlExpired);
        }
        if forward::is_dressed(frame.bytes(), packet) {
            forward::strip(frame, packet);
        }
        let bytes = frame.bytes_mut();
        if let Err(reason) = forward::direct(bytes, packet) {
            return Outcome::Refused(reason);
        }
        let Some(next_hop) = self.director.slots.get(packet.server).next_hop() else {
            return Outcome::Waits;
        };
        match forward::address_link(bytes, next_hop, self.snapshot) {
            Ok(()) => Outcome::Forwarded(next_hop.interface),
            Err(reason) => Outcome::Refused(reason),
        }
    }

    /// Counts a packet as dropped, and tells its sender where IPVS, or the host that the director
    /// is to it, would: the frame becomes an answer that goes back the way it came.
    fn refuse<F: Frame>(
        &self,
        frame: &mut F,
        packet: &Packet,
        reason: DropReason,
        limiter: &mut Limiter,
    ) -> Verdict {
        self.counters.drop_packets(reason, 1);
        let Some(answer) = self.answer_to(packet, reason).filter(|_| limiter.allows(self.now))
        else {
            return Verdict::Drop(reason);
        };
        let offset = usize::from(packet.network_offset);
        let made = match answer {
            Answer::Reset => reset::answer(frame, offset),
            Answer::Icmp(error) => {
                icmp_error::answer(frame, offset, error, limiter.identification())
            }
        };
        if made.is_err() {
            return Verdict::Drop(reason);
        }
        limiter.spend();
        self.counters.errors_sent.add(1);
        Verdict::Send(self.from)
    }

    /// The answer that a drop reason calls for, if any.
    fn answer_to(&self, packet: &Packet, reason: DropReason) -> Option<Answer> {
        let is_tcp = packet.protocol == Protocol::Tcp.number();
        match reason {
            DropReason::NoService | DropReason::NoConnection if is_tcp => Some(Answer::Reset),
            // A datagram that may not begin a connection comes from port 20, see `may_begin`.
            DropReason::NoService | DropReason::NoConnection | DropReason::NoDestination => {
                Some(Answer::Icmp(IcmpError::PortUnreachable))
            }
            DropReason::TtlExpired => Some(Answer::Icmp(IcmpError::TimeExceeded)),
            DropReason::ExceedsMtu => {
                let next_hop = self.director.slots.get(packet.server).next_hop()?;
                let mtu = self.snapshot.interface(next_hop.interface).mtu;
                Some(Answer::Icmp(IcmpError::FragmentationNeeded { mtu }))
            }
            _ => None,
        }
    }
}

/// What a refused packet's sender is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Reset,
    Icmp(IcmpError),
}
