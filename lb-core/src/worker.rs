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

pub use crate::burst::{BURST_MAX, Surroundings};
pub use crate::outcome::Pending;

use crate::burst::Burst;
use crate::clock::Tick;
use crate::connection::Decision;
use crate::course::Course;
use crate::director::Director;
use crate::drops::DropReason;
use crate::forward;
use crate::fragment::DatagramKey;
use crate::frame::Frame;
use crate::interface::InterfaceId;
use crate::local;
use crate::outcome::Outcome;
use crate::parse::{Class, Packet};
use crate::snapshot::Snapshot;
use crate::state::TcpState;
use crate::ways::Ways;
use crate::wire::ethernet;
use crate::workbench::Workbench;

/// How many packets a lookup stays behind the parser: some 250 ns of parsing, twice what a line
/// from memory takes.
const AHEAD: usize = 16;

/// What is to become of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Ready to leave by this interface.
    Send(InterfaceId),
    /// Ready but for its link-layer header, as its next hop is not resolved: belongs into
    /// [`crate::waiting::Waiting`]. Not counted yet.
    Wait(Pending),
    /// A fragment that came before the first one of its datagram: belongs into
    /// [`crate::fragment::Early`], until the tick at the latest. Not counted yet.
    Hold(DatagramKey, Tick),
    /// For the host's kernel, by its interface of the same name. Counted already.
    Punt(InterfaceId),
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
    ways: Cache<Arc<ArcSwap<Ways>>, Arc<Ways>>,
    packets: [Packet; BURST_MAX],
    bench: Workbench,
}

impl Worker {
    /// The worker with that number; takes part in quiescence from now on.
    pub fn new(director: Arc<Director>, number: usize) -> Self {
        director.epochs.online(number);
        Self {
            snapshot: Cache::new(Arc::clone(&director.snapshot)),
            ways: Cache::new(Arc::clone(&director.ways)),
            director,
            number,
            packets: [Packet::dropped(DropReason::FrameTooShort); BURST_MAX],
            bench: Workbench::default(),
        }
    }

    /// Burst boundary: to be called once per turn of the worker's loop, whether frames came or
    /// not. Nothing from before this call is held after it.
    pub fn boundary(&mut self) {
        self.director.epochs.announce(self.number);
        self.bench.connections.release(&self.director);
        // An idle worker, too, lets go of an old configuration.
        self.snapshot.load();
        self.ways.load();
    }

    /// The configuration that the next burst will see, and the ways out.
    pub fn pictures(&mut self) -> (&Snapshot, &Ways) {
        (self.snapshot.load(), self.ways.load())
    }

    /// What the stages found out about the first frame of the last burst.
    pub(crate) const fn first_packet(&self) -> &Packet {
        &self.packets[0]
    }

    /// Takes a burst of frames that came in by one port through all stages. `from` is the
    /// interface of the port's untagged frames.
    ///
    /// `frames` are at most [`BURST_MAX`]; frame `i` is rewritten in place and `verdicts[i]` says
    /// what is to become of it.
    pub fn process<F: Frame>(
        &mut self,
        from: InterfaceId,
        now: Tick,
        frames: &mut [F],
        verdicts: &mut [Verdict; BURST_MAX],
        surroundings: &mut impl Surroundings,
    ) {
        let Self { director, number, snapshot, ways, packets, bench } = self;
        let snapshot: &Snapshot = snapshot.load();
        let packets = &mut packets[..frames.len()];
        let counters = &director.counters[*number];
        let established_until = now.plus_seconds(snapshot.timeouts.tcp(TcpState::Established));
        let ways = ways.load();
        let is_released = false;
        let burst =
            Burst { director, snapshot, ways, counters, from, now, established_until, is_released };

        burst.look_up(frames, packets);
        burst.decide(frames, packets, bench);
        burst.rewrite(frames, packets, verdicts, bench, surroundings);
        counters.received.add(packets.len() as u64);
    }

    /// Hears what the host sends by an interface of its kernel, before it leaves as it is: a reply
    /// of a real server on the director itself becomes one of its service. `Err`: the frame is not
    /// to leave, for a reason that was counted.
    ///
    /// # Errors
    ///
    /// The drop reason.
    #[inline]
    pub fn hear<F: Frame>(
        &mut self,
        interface: InterfaceId,
        now: Tick,
        frame: &mut F,
    ) -> Result<(), DropReason> {
        if self.snapshot.load().has_local_servers {
            return self.hear_reply(interface, now, frame);
        }
        Ok(())
    }

    #[cold]
    fn hear_reply<F: Frame>(
        &mut self,
        from: InterfaceId,
        now: Tick,
        frame: &mut F,
    ) -> Result<(), DropReason> {
        let Self { director, number, snapshot, ways, packets, bench } = self;
        let snapshot: &Snapshot = snapshot.load();
        let (counters, ways) = (&director.counters[*number], ways.load());
        let established_until = now.plus_seconds(snapshot.timeouts.tcp(TcpState::Established));
        let is_released = false;
        let burst =
            Burst { director, snapshot, ways, counters, from, now, established_until, is_released };
        let packet = &mut packets[0];
        packet.parse_from_host(frame.bytes(), from, ethernet::HEADER_LEN);
        let heard = burst.hear(frame, packet, Some(bench));
        heard.inspect_err(|&reason| counters.drop_packets(reason, 1))
    }

    /// Takes a fragment on that had to wait for the first one of its datagram, whose course is
    /// known now.
    pub fn follow<F: Frame>(
        &mut self,
        course: &Course,
        now: Tick,
        frame: &mut F,
        surroundings: &mut impl Surroundings,
    ) -> Verdict {
        let Self { director, number, snapshot, ways, packets, bench } = self;
        let snapshot: &Snapshot = snapshot.load();
        let from = snapshot.interface(course.interface).port;
        let (counters, ways) = (&director.counters[*number], ways.load());
        let established_until = now;
        let is_released = true;
        let burst =
            Burst { director, snapshot, ways, counters, from, now, established_until, is_released };
        let packets = &mut packets[..1];
        let frames = std::slice::from_mut(frame);
        let mut verdicts = [Verdict::Consumed; BURST_MAX];
        burst.look_up(frames, packets);
        burst.rewrite(frames, packets, &mut verdicts, bench, surroundings);
        verdicts[0]
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.bench.connections.stop(&self.director);
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
        for (place, frame) in frames.iter().enumerate() {
            self.read(frame, &mut packets[place]);
            if place >= AHEAD {
                self.find(&mut packets[place - AHEAD]);
            }
        }
        for packet in &mut packets[frames.len().saturating_sub(AHEAD)..] {
            self.find(packet);
        }
    }

    /// 1: what the frame is. 2: which bucket; asks for its line. The client's end chooses it: the
    /// source of a packet to the director, the destination of any other.
    #[inline]
    fn read<F: Frame>(&self, frame: &F, packet: &mut Packet) {
        if !frame.is_whole() {
            packet.class = Class::Drop(DropReason::SegmentedFrame);
            return;
        }
        packet.parse(frame.bytes(), self.from, self.snapshot);
        if packet.class == Class::Flow {
            packet.is_reply =
                self.snapshot.tells_apart && !self.snapshot.may_be_local(packet.destination);
            let flows = &self.director.flows;
            let (protocol, client, port) = packet.client();
            packet.hash = flows.hash(protocol, client, port);
            flows.prefetch_bucket(packet.hash);
        } else {
            // No ends: nothing of the packet that was here before is to spread its tunnel.
            packet.hash = 0;
        }
    }

    /// 3: which entry, by its tag; asks for its line.
    #[inline(always)]
    fn find(&self, packet: &mut Packet) {
        if packet.class == Class::Flow {
            packet.flow = self.director.flows.candidate(packet.hash);
            if !packet.is_v4() {
                self.director.flows.prefetch_cold(packet.flow);
            }
        }
    }

    /// 4: the connection's next state and its destination, or a new connection.
    fn decide<F: Frame>(&self, frames: &[F], packets: &mut [Packet], bench: &mut Workbench) {
        bench.connections.begin_burst(self.director);
        for (frame, packet) in frames.iter().zip(packets) {
            if packet.class == Class::Flow {
                let mut decision = bench.connections.decide(self, packet);
                if decision == Decision::Inspect {
                    decision = bench.connections.begin_message(self, packet, frame.bytes());
                }
                packet.class = self.class_of(packet, decision);
                if decision == Decision::Forward {
                    self.director.slots.prefetch(packet.server);
                }
            } else if packet.is_fragment && matches!(packet.class, Class::Icmp | Class::Other) {
                let decision = if self.snapshot.is_local(packet.destination) {
                    Decision::Local(if packet.class == Class::Icmp {
                        DropReason::IcmpIgnored
                    } else {
                        DropReason::ProtocolUnknown
                    })
                } else {
                    Decision::Route
                };
                packet.class = self.class_of(packet, decision);
            }
        }
    }

    /// What a decision makes of a packet, and of the fragments behind it.
    #[inline(always)]
    fn class_of(&self, packet: &Packet, decision: Decision) -> Class {
        if packet.is_fragment {
            let course = Course::of(self.director, packet, decision);
            if let Err(error) = self.remember_course(packet, course) {
                return Class::Drop(error.reason());
            }
        }
        match decision {
            Decision::Forward => Class::Forward,
            Decision::Return => Class::Return,
            Decision::Route | Decision::Inspect => Class::Route,
            Decision::Local(reason) => Class::Local(reason),
            Decision::Drop(reason) => Class::Drop(reason),
        }
    }

    /// 5: the frame as it leaves, and what it counts as.
    fn rewrite<F: Frame>(
        &self,
        frames: &mut [F],
        packets: &mut [Packet],
        verdicts: &mut [Verdict; BURST_MAX],
        bench: &mut Workbench,
        surroundings: &mut impl Surroundings,
    ) {
        let mut forwarded = 0;
        for ((frame, packet), verdict) in
            frames.iter_mut().zip(packets.iter_mut()).zip(verdicts.iter_mut())
        {
            let outcome = match packet.class {
                Class::Forward => self.forward(frame, packet, bench, surroundings),
                Class::Return => self.give_back(frame, packet, bench, surroundings),
                Class::Route => self.route(frame, packet, surroundings),
                Class::Drop(reason) => Outcome::Refused(reason),
                _ => local::handle(self, packet, frame, bench, surroundings),
            };
            if let Outcome::Forwarded(interface) = outcome {
                forwarded += 1;
                *verdict = Verdict::Send(interface);
            } else {
                *verdict = self.conclude(outcome, frame, packet, bench);
            }
        }
        self.counters.forwarded.add(forwarded);
    }

    /// The same for the outcomes that are rare.
    #[cold]
    fn conclude<F: Frame>(
        &self,
        outcome: Outcome,
        frame: &mut F,
        packet: &mut Packet,
        bench: &mut Workbench,
    ) -> Verdict {
        let limiter = &mut bench.limiter;
        if outcome != Outcome::Refused(DropReason::Ipv6Options) {
            // Answers are about the packet as it was put together. Options are read before that.
            forward::take_fragment_header(frame, packet);
        }
        match outcome {
            Outcome::Forwarded(interface) => Verdict::Send(interface),
            Outcome::Waits(pending) => Verdict::Wait(pending),
            Outcome::Split => {
                self.counters.forwarded.add(1);
                self.counters.split.add(1);
                Verdict::Consumed
            }
            Outcome::Early(datagram, until) => Verdict::Hold(datagram, until),
            Outcome::Answered => {
                self.counters.answered.add(1);
                Verdict::Send(packet.interface)
            }
            Outcome::Punted => {
                self.counters.punted.add(1);
                Verdict::Punt(packet.interface)
            }
            Outcome::Consumed => {
                self.counters.consumed.add(1);
                Verdict::Consumed
            }
            Outcome::TooLarge(mtu) => self.refuse_large(frame, packet, mtu, limiter),
            Outcome::Refused(reason) => self.refuse(frame, packet, reason, limiter),
        }
    }
}
