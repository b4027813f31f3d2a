//! A packet's way: the stages that a burst goes through on a worker, top to bottom.
//!
//! ```text
//! frames ─► 1 parse ─► 2 hash ─► 3 find ─► 4 decide ─► 5 rewrite ─► verdicts
//!           headers    prefetch  tags,      hit: state   headers      the caller sends, queues
//!                      bucket    prefetch   miss: new               or drops
//!                                entry      connection
//! ```
//!
//! Most packets take the fast path: their frame is plain, which [`crate::glance`] sees at one
//! look, and their connection is known and stays as it is, for which [`crate::fast_path`] is
//! stages 4 and 5 at once. All others are read in full ([`Packet`]) and decided one after the
//! other, in the order in which they came.
//!
//! What a stage asked memory for is there when the next one needs it: stages 1 to 3 are one loop
//! over the burst, in which the lookup stays some packets behind the parser; what a destination
//! has is asked for before stages 4 and 5 begin. A hit takes no lock and allocates nothing.

use std::sync::Arc;

use arc_swap::{ArcSwap, Cache};

#[cfg(any(test, feature = "test-support"))]
pub use crate::burst::Unwatched;
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
use crate::glance::{Glance, Side};
use crate::interface::InterfaceId;
use crate::local;
use crate::outcome::Outcome;
use crate::parse::{Class, Packet};
use crate::snapshot::Snapshot;
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
    /// The frame has become an answer to itself, ready to leave by this interface; with the reason
    /// where what it was is dropped.
    Answer(InterfaceId, Option<DropReason>),
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

/// Destinations that the cache next to the CPU has anyway: where there are more, a packet's is
/// asked for before the burst passes.
const DESTINATIONS_AT_HAND: usize = 64;

/// One worker's view of the director, and its scratch memory.
#[derive(Debug)]
pub struct Worker {
    director: Arc<Director>,
    number: usize,
    /// Whether no packet takes the fast path.
    is_thorough: bool,
    snapshot: Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>,
    ways: Cache<Arc<ArcSwap<Ways>>, Arc<Ways>>,
    glances: [Glance; BURST_MAX],
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
            is_thorough: false,
            glances: [Glance::UNKNOWN; BURST_MAX],
            packets: [Packet::dropped(DropReason::FrameTooShort); BURST_MAX],
            bench: Workbench::default(),
        }
    }

    /// A worker that takes every packet through all stages: to explain what they find out, and to
    /// compare the fast path with them.
    pub fn thorough(director: Arc<Director>, number: usize) -> Self {
        let mut worker = Self::new(director, number);
        worker.is_thorough = true;
        worker
    }

    /// Whether every packet goes through all stages from now on: for who wants to know what they
    /// find out of each ([`Worker::packets`]).
    pub const fn set_thorough(&mut self, is_thorough: bool) {
        self.is_thorough = is_thorough;
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

    /// What the stages found out about each frame of the last burst; what is behind is older. Of a
    /// packet on the fast path they found out nothing, see [`Worker::set_thorough`].
    pub const fn packets(&self) -> &[Packet; BURST_MAX] {
        &self.packets
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
        let Self { director, number, snapshot, ways, glances, packets, bench, .. } = self;
        let burst = Burst::begin(director, *number, (snapshot.load(), ways.load()), from, now);
        if self.is_thorough {
            burst.look_up::<F, false>(frames, glances, packets);
        } else {
            burst.look_up::<F, true>(frames, glances, packets);
        }
        let (glances, packets) = (&mut glances[..frames.len()], &mut packets[..frames.len()]);
        burst.pass(frames, glances, packets, verdicts, bench, surroundings);
        burst.counters.received.add(packets.len() as u64);
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
        let Self { director, number, snapshot, ways, packets, bench, .. } = self;
        let burst = Burst::begin(director, *number, (snapshot.load(), ways.load()), from, now);
        let packet = &mut packets[0];
        packet.parse_from_host(frame.bytes(), from, ethernet::HEADER_LEN);
        let heard = burst.hear(frame, packet, Some(bench));
        heard.inspect_err(|&reason| burst.counters.drop_packets(reason, 1))
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
        let Self { director, number, snapshot, ways, packets, bench, .. } = self;
        let snapshot: &Snapshot = snapshot.load();
        let from = snapshot.interface(course.interface).port;
        let burst = Burst::begin(director, *number, (snapshot, ways.load()), from, now);
        let burst = Burst { is_released: true, ..burst };
        let packet = &mut packets[0];
        burst.read(frame, packet);
        burst.rewrite(frame, packet, bench, surroundings)
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
    /// all at once while nothing else is left to do: the CPU asks for some ten lines at a time.
    /// Without a glance all are read in full.
    #[inline(never)]
    fn look_up<F: Frame, const GLANCE: bool>(
        &self,
        frames: &[F],
        glances: &mut [Glance; BURST_MAX],
        packets: &mut [Packet; BURST_MAX],
    ) {
        // Said here, it need not be looked at for each frame.
        assert!(frames.len() <= BURST_MAX, "a burst of {} frames", frames.len());
        let flows = &self.director.flows;
        let mac = self.snapshot.interface(self.from).mac;
        for frame in frames {
            frame.prefetch();
        }
        for (place, frame) in frames.iter().enumerate() {
            let glance = &mut glances[place];
            if GLANCE && frame.is_whole() {
                glance.look(frame.bytes(), mac, self.snapshot, flows);
            } else {
                glance.side = Side::Unknown;
            }
            if !glance.is_plain() {
                self.read(frame, &mut packets[place]);
            }
            if place >= AHEAD {
                self.find(&mut glances[place - AHEAD], &mut packets[place - AHEAD]);
            }
        }
        for place in frames.len().saturating_sub(AHEAD)..frames.len() {
            self.find(&mut glances[place], &mut packets[place]);
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
            packet.home = flows.prefetch_bucket(packet.hash);
        } else {
            // No ends: nothing of the packet that was here before is to spread its tunnel.
            packet.hash = 0;
        }
    }

    /// 3: which entry, by its tag; asks for its line.
    #[inline(always)]
    fn find(&self, glance: &mut Glance, packet: &mut Packet) {
        if glance.is_plain_v4() {
            glance.flow = self.director.flows.candidate(glance.home, glance.hash);
        } else {
            self.find_further(glance, packet);
        }
    }

    #[inline(never)]
    fn find_further(&self, glance: &mut Glance, packet: &mut Packet) {
        if glance.is_plain() {
            glance.flow = self.director.flows.candidate(glance.home, glance.hash);
            self.director.flows.prefetch_cold(glance.flow);
        } else {
            self.find_in_full(packet);
        }
    }

    #[inline(never)]
    fn find_in_full(&self, packet: &mut Packet) {
        if packet.class == Class::Flow {
            packet.flow = self.director.flows.candidate(packet.home, packet.hash);
            if !packet.is_v4() {
                self.director.flows.prefetch_cold(packet.flow);
            }
        }
    }

    /// Asks for what the counts and the ways of the packets' destinations are in.
    #[inline(never)]
    fn prefetch_destinations(&self, glances: &[Glance]) {
        for glance in glances {
            let server = self.director.flows.entry(glance.flow).destination();
            self.director.slots.prefetch(server);
            self.counters.prefetch(server);
        }
    }

    /// Stages 4 and 5, packet by packet: what becomes of each depends on those before it.
    #[inline(never)]
    fn pass<F: Frame>(
        &self,
        frames: &mut [F],
        glances: &[Glance],
        packets: &mut [Packet],
        verdicts: &mut [Verdict; BURST_MAX],
        bench: &mut Workbench,
        surroundings: &mut impl Surroundings,
    ) {
        let mut forwarded = 0;
        if self.snapshot.services.destinations() > DESTINATIONS_AT_HAND {
            self.prefetch_destinations(glances);
        }
        let packets = packets.iter_mut().zip(glances).zip(verdicts);
        for (frame, ((packet, glance), verdict)) in frames.iter_mut().zip(packets) {
            match self.take_fast(frame, glance, &mut bench.limiter) {
                Some(Ok(interface)) => {
                    forwarded += 1;
                    *verdict = Verdict::Send(interface);
                }
                Some(Err(reason)) => {
                    self.counters.drop_packets(reason, 1);
                    *verdict = Verdict::Drop(reason);
                }
                None => {
                    let is_read = !glance.is_plain();
                    *verdict = self.take(frame, packet, is_read, bench, surroundings);
                }
            }
        }
        self.counters.forwarded.add(forwarded);
    }

    /// A packet that is not as most are, which was read in full already or not.
    #[inline(never)]
    fn take<F: Frame>(
        &self,
        frame: &mut F,
        packet: &mut Packet,
        is_read: bool,
        bench: &mut Workbench,
        surroundings: &mut impl Surroundings,
    ) -> Verdict {
        if !is_read {
            self.read(frame, packet);
            self.find_in_full(packet);
        }
        self.decide(frame, packet, bench);
        self.rewrite(frame, packet, bench, surroundings)
    }

    /// 4: the connection's next state and its destination, or a new connection.
    #[inline]
    fn decide<F: Frame>(&self, frame: &F, packet: &mut Packet, bench: &mut Workbench) {
        bench.connections.begin_packet(self.director);
        if packet.class == Class::Flow {
            let mut decision = bench.connections.decide(self, packet);
            if decision == Decision::Inspect {
                decision = bench.connections.begin_message(self, packet, frame.bytes());
            }
            packet.class = self.class_of(packet, decision);
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
    #[inline]
    fn rewrite<F: Frame>(
        &self,
        frame: &mut F,
        packet: &mut Packet,
        bench: &mut Workbench,
        surroundings: &mut impl Surroundings,
    ) -> Verdict {
        let outcome = match packet.class {
            Class::Forward => self.forward(frame, packet, bench, surroundings),
            Class::Return => self.give_back(frame, packet, bench, surroundings),
            Class::Route => self.route(frame, packet, surroundings),
            Class::Drop(reason) => Outcome::Refused(reason),
            _ => local::handle(self, packet, frame, bench, surroundings),
        };
        if let Outcome::Forwarded(interface) = outcome {
            self.counters.forwarded.add(1);
            return Verdict::Send(interface);
        }
        self.conclude(outcome, frame, packet, bench)
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
            Outcome::Forwarded(interface) => {
                self.counters.forwarded.add(1);
                Verdict::Send(interface)
            }
            Outcome::Waits(pending) => Verdict::Wait(pending),
            Outcome::Split => {
                self.counters.forwarded.add(1);
                self.counters.split.add(1);
                Verdict::Consumed
            }
            Outcome::Early(datagram, until) => Verdict::Hold(datagram, until),
            Outcome::Answered => {
                self.counters.answered.add(1);
                Verdict::Answer(packet.interface, None)
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

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::control::{Control, Network};
    use crate::destination::Destination;
    use crate::director::Limits;
    use crate::flow::{FlowId, FlowTable, Storage};
    use crate::hash::FlowHasher;
    use crate::interface::Interface;
    use crate::operations::Operations;
    use crate::protocol::Protocol;
    use crate::service::{Service, ServiceKey};
    use crate::wire::MacAddress;
    use crate::wire::build::{Link, MemoryFrame, Tcp};

    const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 2]);
    const LAN: InterfaceId = InterfaceId(0);

    /// A director with a service and one real server.
    fn director() -> Control {
        let address = Ipv4Addr::new(10, 0, 0, 100);
        let interface = Interface::new("lan0", LAN, MAC, 1500);
        let network = Network {
            interfaces: vec![interface.with_address(Ipv4Addr::new(10, 0, 2, 1), 24)],
            ..Network::default()
        };
        let hasher = || FlowHasher::new([1, 2, 3]);
        let flows = FlowTable::new(300, Storage::leaked(300), hasher());
        let mut control = Control::new(flows, Limits::of_destinations(2), 1, hasher(), network);
        let key =
            ServiceKey::Address { protocol: Protocol::Tcp, address: address.into(), port: 80 };
        control.add_service(Service::new(key)).unwrap();
        let server = Destination::new(Ipv4Addr::new(10, 0, 2, 11).into(), 80);
        control.add_destination(&key, server).unwrap();
        control.publish();
        control
    }

    fn segments(flags: &str) -> Vec<MemoryFrame> {
        let link = Link { destination: MAC, ..Link::default() };
        let segment = |client| {
            let src = format!("10.0.1.2:{}", 1000 + client);
            Tcp { src: &src, flags, ..Tcp::default() }.frame(&link)
        };
        (0..BURST_MAX).map(|client| MemoryFrame::new(&segment(client))).collect()
    }

    /// A packet that the lookup forgets finds its connection later, and slowly: nothing else tells.
    #[test]
    fn no_packet_of_a_burst_is_left_out_of_the_lookup() {
        let control = director();
        let mut worker = Worker::new(Arc::clone(control.director()), 0);
        let mut verdicts = [Verdict::Consumed; BURST_MAX];
        worker.process(LAN, Tick(0), &mut segments("S"), &mut verdicts, &mut Unwatched);
        let frames = segments("A");
        let Worker { director, snapshot, ways, glances, packets, .. } = &mut worker;
        let burst = Burst::begin(director, 0, (snapshot.load(), ways.load()), LAN, Tick(0));
        for length in 0..=BURST_MAX {
            glances.fill(Glance::UNKNOWN);
            burst.look_up::<_, true>(&frames[..length], glances, packets);
            let found = glances.iter().filter(|glance| glance.flow != FlowId::NONE).count();
            assert_eq!(found, length, "at a glance");
            packets.fill(Packet::dropped(DropReason::FrameTooShort));
            burst.look_up::<_, false>(&frames[..length], glances, packets);
            let found = packets.iter().filter(|packet| packet.flow != FlowId::NONE).count();
            assert_eq!(found, length, "read in full");
        }
    }
}
