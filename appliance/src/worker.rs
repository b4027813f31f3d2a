//! A worker: receives bursts, takes them through the core's stages, sends what comes out.
//!
//! Runs to completion on one lcore: no frame is handed to another worker. In each turn of the loop
//! every queue of the worker is asked once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lb_core::clock::Tick;
use lb_core::course::Course;
use lb_core::director::Director;
use lb_core::drops::DropReason;
use lb_core::fragment::Early;
use lb_core::frame::Frame;
use lb_core::interface::InterfaceId;
use lb_core::neighbour::NeighbourSeen;
use lb_core::route::Hop;
use lb_core::slots::DestinationId;
use lb_core::waiting::Waiting;
use lb_core::worker::{BURST_MAX, Surroundings, Verdict, Worker};

use crate::capture::record::Fate;
use crate::capture::tap::Taps;
use crate::capture::tapper::Tapper;
use crate::clock::TickClock;
use crate::dpdk::clock::cycles;
use crate::dpdk::{Burst, DropList, MBUFS_MAX, Mbuf, Mempool, RxQueue, TxBuffer, TxCounts};
use crate::idle::Idle;
use crate::lcore_counters::LcoreCounters;
use crate::neighbourhood::Neighbourhood;
use crate::relay::{FromKernel, ToKernel};

const _: () = assert!(MBUFS_MAX <= BURST_MAX, "a burst fits the core's arrays");

/// From how many frames on a burst that leaves as a whole is sent at once; smaller ones leave with
/// those of other queues, at the end of the turn.
const WHOLE_MIN: usize = 16;

/// What a worker is made of; see [`PacketWorker::new`].
#[derive(Debug)]
pub struct Equipment {
    pub director: Arc<Director>,
    /// Of all workers.
    pub lcores: Arc<[LcoreCounters]>,
    pub number: usize,
    /// The queues to receive from, with the interface of untagged frames of their port.
    pub receive: Vec<(InterfaceId, RxQueue)>,
    /// A way out of each port, in their order.
    pub send: Vec<TxBuffer>,
    /// The port of each interface.
    pub ports: Arc<[usize]>,
    /// Buffers for new frames, of each port.
    pub pools: Vec<Mempool>,
    /// Frames that may wait for neighbours.
    pub waiting_max: usize,
    /// Fragments that may wait for the first one of their datagram.
    pub early_max: usize,
    pub neighbourhood: Arc<Neighbourhood>,
    /// Ways into the host's kernel.
    pub to_kernel: ToKernel,
    /// What the host's kernel sends: for the worker that sends it, and the frames of the control
    /// plane.
    pub from_kernel: Option<FromKernel>,
    /// Captures under way.
    pub taps: Arc<Taps>,
    pub clock: TickClock,
    pub idle: Idle,
    pub is_stopping: Arc<AtomicBool>,
}

/// A worker at work.
#[derive(Debug)]
pub struct PacketWorker {
    core: Worker,
    director: Arc<Director>,
    lcores: Arc<[LcoreCounters]>,
    number: usize,
    /// When the last turn began, as the cycle counter tells it, and whether it had work.
    turn_began: u64,
    had_work: bool,
    receive: Vec<(InterfaceId, RxQueue)>,
    outputs: Outputs,
    burst: Burst,
    verdicts: [Verdict; BURST_MAX],
    neighbourhood: Arc<Neighbourhood>,
    from_kernel: Option<FromKernel>,
    clock: TickClock,
    idle: Idle,
    is_stopping: Arc<AtomicBool>,
}

/// Where frames go after their verdict.
#[derive(Debug)]
struct Outputs {
    ways: Ways,
    to_kernel: ToKernel,
    dropped: DropList,
    waiting: Waiting<Mbuf>,
    early: Early<Mbuf>,
    /// Early fragments that are about to be taken on; empty between turns.
    followers: Vec<(Mbuf, Course)>,
}

/// The ways out, by interface.
#[derive(Debug)]
struct Ways {
    send: Vec<TxBuffer>,
    ports: Arc<[usize]>,
    pools: Vec<Mempool>,
    tapper: Tapper,
}

impl Ways {
    #[inline]
    fn push(&mut self, interface: InterfaceId, mbuf: Mbuf) {
        self.send[self.ports[usize::from(interface.0)]].push(mbuf);
    }

    /// The whole of a burst by one interface, as it is.
    #[inline]
    fn push_all(&mut self, interface: InterfaceId, burst: &mut Burst) {
        self.send[self.ports[usize::from(interface.0)]].send_all(burst);
    }

    /// Sends a new frame, if there is a buffer for it.
    fn make(&mut self, interface: InterfaceId, parts: &[&[u8]]) -> bool {
        let pool = &self.pools[self.ports[usize::from(interface.0)]];
        let Some(mut mbuf) = Mbuf::alloc(pool) else { return false };
        let is_copied = mbuf.copy_parts(parts);
        if is_copied {
            self.push_other(interface, mbuf, Fate::Made);
        }
        is_copied
    }

    /// The same for a frame that is none of the burst as it was received.
    fn push_other(&mut self, interface: InterfaceId, mbuf: Mbuf, fate: Fate) {
        self.tap(&Verdict::Send(interface), &mbuf, fate);
        self.push(interface, mbuf);
    }

    /// Captures a frame that is none of the burst as it was received, if it leaves.
    fn tap(&self, verdict: &Verdict, mbuf: &Mbuf, fate: Fate) {
        if let Verdict::Send(interface) = *verdict
            && self.tapper.is_on()
        {
            self.tapper.sent(interface, fate, mbuf.bytes());
        }
    }
}

/// What the core sees of this worker.
struct Around<'a> {
    ways: &'a mut Ways,
    lcore: &'a LcoreCounters,
    neighbourhood: &'a Neighbourhood,
}

impl Surroundings for Around<'_> {
    fn neighbour_seen(&mut self, seen: NeighbourSeen) {
        self.neighbourhood.neighbour_seen(seen);
    }

    fn neighbour_wanted(&mut self, hop: Hop) {
        self.neighbourhood.neighbour_wanted(hop);
    }

    fn path_mtu_seen(&mut self, server: DestinationId, mtu: u16) {
        self.neighbourhood.path_mtu_seen(server, mtu);
    }

    fn send(&mut self, interface: InterfaceId, parts: &[&[u8]]) -> bool {
        let is_made = self.ways.make(interface, parts);
        self.lcore.rare().pieces.add(u64::from(is_made));
        is_made
    }
}

impl PacketWorker {
    /// To be made on the lcore that it will run on, where its memory is near.
    pub fn new(equipment: Equipment) -> Self {
        let Equipment { director, lcores, number, receive, send, ports, pools, .. } = equipment;
        let now = cycles();
        lcores[number].begin(now);
        Self {
            core: Worker::new(Arc::clone(&director), number),
            director,
            lcores,
            number,
            turn_began: now,
            had_work: false,
            receive,
            outputs: Outputs {
                ways: Ways { send, ports, pools, tapper: Tapper::new(equipment.taps, number) },
                to_kernel: equipment.to_kernel,
                dropped: DropList::new(),
                waiting: Waiting::new(equipment.waiting_max),
                early: Early::new(equipment.early_max),
                followers: Vec::with_capacity(BURST_MAX),
            },
            burst: Burst::new(),
            verdicts: [Verdict::Consumed; BURST_MAX],
            neighbourhood: equipment.neighbourhood,
            from_kernel: equipment.from_kernel,
            clock: equipment.clock,
            idle: equipment.idle,
            is_stopping: equipment.is_stopping,
        }
    }

    /// Works until it is told to stop.
    pub fn run(mut self) {
        while !self.is_stopping.load(Ordering::Relaxed) {
            self.turn();
            self.idle.after_turn(self.had_work);
        }
    }

    /// Reads the clock, once in a turn. Between two readings there is one whole turn: if it had
    /// work, its cycles were busy.
    #[inline]
    fn begin_turn(&mut self) -> Tick {
        let now = cycles();
        if self.had_work {
            self.lcores[self.number].busy_cycles.add(now.wrapping_sub(self.turn_began));
        }
        self.turn_began = now;
        self.clock.at(now)
    }

    /// One turn: each queue once, then everything that waits.
    fn turn(&mut self) {
        self.core.boundary();
        if self.outputs.ways.tapper.look() {
            self.core.set_thorough(self.outputs.ways.tapper.is_on());
        }
        let now = self.begin_turn();
        let lcore = &self.lcores[self.number];
        let mut frames = 0;
        for (interface, queue) in &self.receive {
            let received = self.burst.rx(queue);
            if received == 0 {
                continue;
            }
            frames += received;
            lcore.count_burst(received);
            let is_tapped = self.outputs.ways.tapper.is_on();
            if is_tapped {
                let frames = self.burst.frames().iter().map(Frame::bytes);
                self.outputs.ways.tapper.keep(frames);
            }
            let ways = &mut self.outputs.ways;
            let mut around = Around { ways, lcore, neighbourhood: &self.neighbourhood };
            let bytes = self.burst.frames_mut();
            self.core.process(*interface, now, bytes, &mut self.verdicts, &mut around);
            if is_tapped {
                let packets = self.core.packets().iter().zip(self.burst.frames());
                self.outputs.ways.tapper.judge(*interface, packets, &self.verdicts);
            }
            if received >= WHOLE_MIN
                && let Some(interface) = same_way(&self.verdicts[..received])
            {
                self.outputs.ways.push_all(interface, &mut self.burst);
                continue;
            }
            let counters = &self.director.counters[self.number];
            for (mbuf, verdict) in self.burst.drain().zip(&self.verdicts) {
                self.outputs.settle(mbuf, verdict, now, counters);
            }
        }
        if !self.outputs.waiting.is_empty() {
            self.release_waiting(now);
        }
        if !self.outputs.early.is_empty() {
            self.release_early(now);
        }
        let sent = self.send_control_frames(now);
        self.flush();
        self.had_work = frames > 0 || sent;
    }

    /// Takes fragments on whose datagram's course is known now.
    fn release_early(&mut self, now: Tick) {
        let Self { core, outputs, director, lcores, neighbourhood, number, .. } = self;
        let (counters, lcore) = (&director.counters[*number], &lcores[*number]);
        let Outputs { dropped, early, followers, .. } = outputs;
        early.release(
            &director.fragments,
            now,
            counters,
            |frame, course| followers.push((frame, course)),
            |frame| dropped.push(frame),
        );
        // In the order in which they came.
        let mut followers = std::mem::take(&mut outputs.followers);
        for (mut frame, course) in followers.drain(..) {
            let mut around = Around { ways: &mut outputs.ways, lcore, neighbourhood };
            let verdict = core.follow(&course, now, &mut frame, &mut around);
            outputs.ways.tap(&verdict, &frame, Fate::Released);
            outputs.settle(frame, &verdict, now, counters);
        }
        outputs.followers = followers;
        lcore.rare().held.set(outputs.early.len() as u64);
    }

    fn release_waiting(&mut self, now: Tick) {
        let Outputs { ways, dropped, waiting, .. } = &mut self.outputs;
        waiting.release(
            &self.director,
            self.core.pictures(),
            now,
            &self.director.counters[self.number],
            |frame, interface| ways.push_other(interface, frame, Fate::Released),
            |frame| dropped.push(frame),
        );
        self.lcores[self.number].rare().waiting.set(waiting.len() as u64);
    }

    /// What the control plane and the host's kernel have to say, on the worker that says it.
    fn send_control_frames(&mut self, now: Tick) -> bool {
        let Some(from_kernel) = &mut self.from_kernel else { return false };
        let (core, Outputs { ways, dropped, .. }) = (&mut self.core, &mut self.outputs);
        let rare = self.lcores[self.number].rare();
        let mut sent = false;
        while let Some(frame) = self.neighbourhood.next_frame() {
            if ways.make(frame.interface, &[frame.bytes()]) {
                rare.control_frames.add(1);
                sent = true;
            }
        }
        let hear = |from, mbuf: &mut Mbuf| {
            let heard = core.hear(from, now, mbuf).is_ok();
            rare.heard_dropped.add(u64::from(!heard));
            heard
        };
        let send = |port, mbuf| {
            rare.relayed.add(1);
            ways.push_other(port, mbuf, Fate::FromKernel);
        };
        let heard = from_kernel.relay(hear, send, dropped);
        if heard > 0 {
            rare.heard.add(heard as u64);
        }
        sent || heard > 0
    }

    fn flush(&mut self) {
        for output in &mut self.outputs.ways.send {
            let TxCounts { sent, failed } = output.flush();
            if sent > 0 {
                self.lcores[self.number].rare().sent.add(sent);
            }
            if failed > 0 {
                let counters = &self.director.counters[self.number];
                counters.drop_packets(DropReason::TransmitFull, failed);
            }
        }
        let refused = self.outputs.to_kernel.flush();
        if refused > 0 {
            let counters = &self.director.counters[self.number];
            counters.drop_packets(DropReason::KernelUnavailable, refused);
        }
        self.outputs.dropped.flush();
    }
}

/// The interface by which all frames of a burst leave.
#[inline]
fn same_way(verdicts: &[Verdict]) -> Option<InterfaceId> {
    let Some(&Verdict::Send(first)) = verdicts.first() else { return None };
    let is_same = |verdict: &Verdict| matches!(*verdict, Verdict::Send(it) if it == first);
    verdicts.iter().all(is_same).then_some(first)
}

impl Outputs {
    #[inline]
    fn settle(
        &mut self,
        mbuf: Mbuf,
        verdict: &Verdict,
        now: Tick,
        counters: &lb_core::counters::WorkerCounters,
    ) {
        match *verdict {
            Verdict::Send(interface) | Verdict::Answer(interface, _) => {
                self.ways.push(interface, mbuf);
            }
            Verdict::Wait(pending) => {
                if let Some(oldest) = self.waiting.push(mbuf, pending, now, counters) {
                    self.dropped.push(oldest);
                }
            }
            Verdict::Hold(datagram, until) => {
                if let Some(oldest) = self.early.push(mbuf, datagram, until, counters) {
                    self.dropped.push(oldest);
                }
            }
            Verdict::Punt(interface) => {
                if let Some(mbuf) = self.to_kernel.push(interface, mbuf) {
                    counters.drop_packets(DropReason::KernelUnavailable, 1);
                    self.dropped.push(mbuf);
                }
            }
            Verdict::Consumed | Verdict::Drop(_) => self.dropped.push(mbuf),
        }
    }
}
