//! A worker: receives bursts, takes them through the core's stages, sends what comes out.
//!
//! Runs to completion on one lcore: no frame is handed to another worker. In each turn of the loop
//! every queue of the worker is asked once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lb_core::clock::Tick;
use lb_core::counters::WorkerCounters;
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

use crate::arp::ArpChannel;
use crate::clock::TickClock;
use crate::dpdk::{Burst, DropList, MBUFS_MAX, Mbuf, Mempool, RxQueue, TxBuffer};
use crate::idle::Idle;
use crate::relay::{FromKernel, ToKernel};

const _: () = assert!(MBUFS_MAX <= BURST_MAX, "a burst fits the core's arrays");

/// What a worker is made of; see [`PacketWorker::new`].
#[derive(Debug)]
pub struct Equipment {
    pub director: Arc<Director>,
    pub number: usize,
    /// The queues to receive from, with the port that each belongs to: the interface of its
    /// untagged frames.
    pub receive: Vec<(InterfaceId, RxQueue)>,
    /// A way out of each port, in their order.
    pub send: Vec<TxBuffer>,
    /// The port of each interface.
    pub ports: Vec<InterfaceId>,
    /// Ways into the host's kernel.
    pub to_kernel: ToKernel,
    /// Frames that may wait for neighbours.
    pub waiting_max: usize,
    /// Fragments that may wait for the first one of their datagram.
    pub early_max: usize,
    pub arp: Arc<ArpChannel>,
    /// Buffers for frames that the director makes.
    pub pool: Option<Mempool>,
    /// What the host's kernel sends; one worker sends it, and the control plane's frames.
    pub from_kernel: Option<FromKernel>,
    pub clock: TickClock,
    pub idle: Idle,
    pub is_stopping: Arc<AtomicBool>,
}

/// A worker at work.
#[derive(Debug)]
pub struct PacketWorker {
    core: Worker,
    director: Arc<Director>,
    number: usize,
    receive: Vec<(InterfaceId, RxQueue)>,
    outputs: Outputs,
    early: Early<Mbuf>,
    burst: Burst,
    verdicts: [Verdict; BURST_MAX],
    from_kernel: Option<FromKernel>,
    clock: TickClock,
    idle: Idle,
    is_stopping: Arc<AtomicBool>,
}

/// Where frames go, and news of the neighbourhood.
#[derive(Debug)]
struct Outputs {
    /// By port.
    send: Vec<TxBuffer>,
    /// The port of each interface.
    ports: Vec<InterfaceId>,
    to_kernel: ToKernel,
    dropped: DropList,
    waiting: Waiting<Mbuf>,
    pool: Option<Mempool>,
    arp: Arc<ArpChannel>,
}

impl PacketWorker {
    /// To be made on the lcore that it will run on, where its memory is near.
    pub fn new(equipment: Equipment) -> Self {
        let Equipment { director, number, receive, .. } = equipment;
        Self {
            core: Worker::new(Arc::clone(&director), number),
            director,
            number,
            receive,
            outputs: Outputs {
                send: equipment.send,
                ports: equipment.ports,
                to_kernel: equipment.to_kernel,
                dropped: DropList::new(),
                waiting: Waiting::new(equipment.waiting_max),
                pool: equipment.pool,
                arp: equipment.arp,
            },
            early: Early::new(equipment.early_max),
            burst: Burst::new(),
            verdicts: [Verdict::Consumed; BURST_MAX],
            from_kernel: equipment.from_kernel,
            clock: equipment.clock,
            idle: equipment.idle,
            is_stopping: equipment.is_stopping,
        }
    }

    /// Works until it is told to stop.
    pub fn run(mut self) {
        while !self.is_stopping.load(Ordering::Relaxed) {
            let had_work = self.turn();
            self.idle.after_turn(had_work);
        }
    }

    /// One turn: each queue once, then everything that waits. Returns whether there was work.
    fn turn(&mut self) -> bool {
        self.core.boundary();
        let now = self.clock.now();
        let mut frames = 0;
        for (port, queue) in &self.receive {
            let received = self.burst.rx(queue);
            if received == 0 {
                continue;
            }
            frames += received;
            let bytes = self.burst.frames_mut();
            self.core.process(*port, now, bytes, &mut self.verdicts, &mut self.outputs);
            let counters = &self.director.counters[self.number];
            for (mbuf, verdict) in self.burst.drain().zip(&self.verdicts) {
                if let Verdict::Hold(datagram, until) = *verdict {
                    if let Some(oldest) = self.early.push(mbuf, datagram, until, counters) {
                        self.outputs.dropped.push(oldest);
                    }
                } else {
                    self.outputs.settle(mbuf, *verdict, now, counters);
                }
            }
        }
        if !self.outputs.waiting.is_empty() {
            self.release_waiting(now);
        }
        if !self.early.is_empty() {
            self.release_early(now);
        }
        let sent = self.send_control_frames();
        self.flush();
        frames > 0 || sent
    }

    fn release_waiting(&mut self, now: Tick) {
        let Outputs { send, ports, dropped, waiting, .. } = &mut self.outputs;
        waiting.release(
            &self.director,
            self.core.pictures(),
            now,
            &self.director.counters[self.number],
            |frame, interface| send[port_of(ports, interface)].push(frame),
            |frame| dropped.push(frame),
        );
    }

    /// Fragments go after the first one of their datagram. A fragment that was given up is freed
    /// by itself: they are few.
    #[cold]
    fn release_early(&mut self, now: Tick) {
        let Self { core, director, outputs, .. } = self;
        let counters = &director.counters[self.number];
        self.early.release(
            &director.fragments,
            now,
            counters,
            |mut frame, course| {
                let verdict = core.follow(&course, now, &mut frame, outputs);
                outputs.settle(frame, verdict, now, counters);
            },
            drop,
        );
    }

    /// What the control plane and the host's kernel have to say, on the worker that says it.
    fn send_control_frames(&mut self) -> bool {
        let Some(from_kernel) = &mut self.from_kernel else { return false };
        let mut sent = false;
        while let Some(frame) = self.outputs.arp.next_frame() {
            sent |= self.outputs.send(frame.port, &[frame.bytes()]);
        }
        let Outputs { send, dropped, .. } = &mut self.outputs;
        sent |= from_kernel.relay(|port, mbuf| send[usize::from(port.0)].push(mbuf), dropped) > 0;
        sent
    }

    fn flush(&mut self) {
        let counters = &self.director.counters[self.number];
        for output in &mut self.outputs.send {
            let failed = output.flush().failed;
            if failed > 0 {
                counters.drop_packets(DropReason::TransmitFull, failed);
            }
        }
        let refused = self.outputs.to_kernel.flush();
        if refused > 0 {
            counters.drop_packets(DropReason::KernelUnavailable, refused);
        }
        self.outputs.dropped.flush();
    }
}

/// The place of the port that an interface belongs to.
#[inline]
fn port_of(ports: &[InterfaceId], interface: InterfaceId) -> usize {
    usize::from(ports[usize::from(interface.0)].0)
}

impl Outputs {
    #[inline]
    fn settle(&mut self, mbuf: Mbuf, verdict: Verdict, now: Tick, counters: &WorkerCounters) {
        match verdict {
            Verdict::Send(interface) => self.send[port_of(&self.ports, interface)].push(mbuf),
            Verdict::Wait(pending) => {
                if let Some(oldest) = self.waiting.push(mbuf, pending, now, counters) {
                    self.dropped.push(oldest);
                }
            }
            Verdict::Punt(interface) => {
                if let Some(mbuf) = self.to_kernel.push(interface, mbuf) {
                    counters.drop_packets(DropReason::KernelUnavailable, 1);
                    self.dropped.push(mbuf);
                }
            }
            Verdict::Hold(..) | Verdict::Consumed | Verdict::Drop(_) => self.dropped.push(mbuf),
        }
    }
}

impl Surroundings for Outputs {
    fn neighbour_seen(&mut self, seen: NeighbourSeen) {
        self.arp.neighbour_seen(seen);
    }

    fn neighbour_wanted(&mut self, hop: Hop) {
        self.arp.neighbour_wanted(hop);
    }

    fn path_mtu_seen(&mut self, server: DestinationId, mtu: u16) {
        self.arp.path_mtu_seen(server, mtu);
    }

    fn send(&mut self, interface: InterfaceId, parts: &[&[u8]]) -> bool {
        let Some(mut mbuf) = self.pool.as_ref().and_then(Mbuf::alloc) else { return false };
        if !mbuf.resize(parts.iter().map(|part| part.len()).sum()) {
            return false;
        }
        let mut rest = mbuf.bytes_mut();
        for part in parts {
            let (place, behind) = rest.split_at_mut(part.len());
            place.copy_from_slice(part);
            rest = behind;
        }
        self.send[port_of(&self.ports, interface)].push(mbuf);
        true
    }
}
