//! A worker: receives bursts, takes them through the core's stages, sends what comes out.
//!
//! Runs to completion on one lcore: no frame is handed to another worker. In each turn of the loop
//! every queue of the worker is asked once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lb_core::clock::Tick;
use lb_core::director::Director;
use lb_core::drops::DropReason;
use lb_core::interface::InterfaceId;
use lb_core::waiting::Waiting;
use lb_core::worker::{BURST_MAX, Verdict, Worker};

use crate::arp::ArpChannel;
use crate::clock::TickClock;
use crate::dpdk::{Burst, DropList, MBUFS_MAX, Mbuf, Mempool, RxQueue, TxBuffer};
use crate::idle::Idle;

const _: () = assert!(MBUFS_MAX <= BURST_MAX, "a burst fits the core's arrays");

/// What a worker is made of; see [`PacketWorker::new`].
#[derive(Debug)]
pub struct Equipment {
    pub director: Arc<Director>,
    pub number: usize,
    /// The queues to receive from, with the interface that each belongs to.
    pub receive: Vec<(InterfaceId, RxQueue)>,
    /// A way out of each interface, in their order.
    pub send: Vec<TxBuffer>,
    /// Frames that may wait for neighbours.
    pub waiting_max: usize,
    pub arp: Arc<ArpChannel>,
    /// Buffers for frames of the control plane; only one worker sends them.
    pub control_frames: Option<Mempool>,
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
    burst: Burst,
    verdicts: [Verdict; BURST_MAX],
    arp: Arc<ArpChannel>,
    control_frames: Option<Mempool>,
    clock: TickClock,
    idle: Idle,
    is_stopping: Arc<AtomicBool>,
}

/// Where frames go after their verdict.
#[derive(Debug)]
struct Outputs {
    send: Vec<TxBuffer>,
    dropped: DropList,
    waiting: Waiting<Mbuf>,
}

impl PacketWorker {
    /// To be made on the lcore that it will run on, where its memory is near.
    pub fn new(equipment: Equipment) -> Self {
        let Equipment { director, number, receive, send, waiting_max, .. } = equipment;
        Self {
            core: Worker::new(Arc::clone(&director), number),
            director,
            number,
            receive,
            outputs: Outputs { send, dropped: DropList::new(), waiting: Waiting::new(waiting_max) },
            burst: Burst::new(),
            verdicts: [Verdict::Consumed; BURST_MAX],
            arp: equipment.arp,
            control_frames: equipment.control_frames,
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
        for (interface, queue) in &self.receive {
            let received = self.burst.rx(queue);
            if received == 0 {
                continue;
            }
            frames += received;
            let mut observer = &*self.arp;
            let bytes = self.burst.frames_mut();
            self.core.process(*interface, now, bytes, &mut self.verdicts, &mut observer);
            let counters = &self.director.counters[self.number];
            for (mbuf, verdict) in self.burst.drain().zip(&self.verdicts) {
                self.outputs.settle(mbuf, *verdict, now, counters);
            }
        }
        if !self.outputs.waiting.is_empty() {
            self.release_waiting(now);
        }
        let sent = self.send_control_frames();
        self.flush();
        frames > 0 || sent
    }

    fn release_waiting(&mut self, now: Tick) {
        let Outputs { send, dropped, waiting } = &mut self.outputs;
        waiting.release(
            &self.director,
            self.core.snapshot(),
            now,
            &self.director.counters[self.number],
            |frame, interface| send[usize::from(interface.0)].push(frame),
            |frame| dropped.push(frame),
        );
    }

    fn send_control_frames(&mut self) -> bool {
        let Some(pool) = &self.control_frames else { return false };
        let mut sent = false;
        while let Some(frame) = self.arp.next_frame() {
            if let Some(mut mbuf) = Mbuf::alloc(pool)
                && mbuf.copy_from(&frame.bytes)
            {
                self.outputs.send[usize::from(frame.interface.0)].push(mbuf);
                sent = true;
            }
        }
        sent
    }

    fn flush(&mut self) {
        for output in &mut self.outputs.send {
            let failed = output.flush().failed;
            if failed > 0 {
                let counters = &self.director.counters[self.number];
                counters.drop_packets(DropReason::TransmitFull, failed);
            }
        }
        self.outputs.dropped.flush();
    }
}

impl Outputs {
    #[inline]
    fn settle(
        &mut self,
        mbuf: Mbuf,
        verdict: Verdict,
        now: Tick,
        counters: &lb_core::counters::WorkerCounters,
    ) {
        match verdict {
            Verdict::Send(interface) => self.send[usize::from(interface.0)].push(mbuf),
            Verdict::Wait(server) => {
                if let Some(oldest) = self.waiting.push(mbuf, server, now, counters) {
                    self.dropped.push(oldest);
                }
            }
            Verdict::Consumed | Verdict::Drop(_) => self.dropped.push(mbuf),
        }
    }
}
