//! Hostile input for the whole packet path: what fuzzers and property tests call.
//!
//! Input is a run of frames, each behind two bytes: 5 bits of seconds that pass before it, 11 bits
//! of its length. A frame may be cut off by the end of the input.

use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::clock::Tick;
use crate::control::{Control, Network};
use crate::destination::Destination;
use crate::director::Director;
use crate::drops::DropReason;
use crate::expiry::Sweeper;
use crate::flow::{FlowTable, Storage};
use crate::frame::Frame;
use crate::hash::FlowHasher;
use crate::interface::{Interface, InterfaceAddress, InterfaceId};
use crate::neighbour::ArpSeen;
use crate::operations::{OperationError, Operations};
use crate::protocol::Protocol;
use crate::route::Hop;
use crate::service::{Service, ServiceKey};
use crate::slots::DestinationId;
use crate::wire::MacAddress;
use crate::wire::build::MemoryFrame;
use crate::worker::{BURST_MAX, Observer, Verdict, Worker};

/// Link-layer address of the interface that frames come in by.
pub const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 2]);

/// Room of the flow table: so small that it is often full.
const FLOWS_MAX: usize = 64;
const SERVERS_MAX: usize = 8;
const MTU: u16 = 1500;

/// A director with a TCP service on 10.0.0.100:80 and a UDP service on 10.0.0.100:53, each with a
/// server that is resolved and one that is not.
#[derive(Debug)]
pub struct PacketPath {
    control: Control,
    director: Arc<Director>,
    worker: Worker,
    sweeper: Sweeper,
    now: Tick,
}

struct Ignore;

impl Observer for Ignore {
    fn arp_seen(&mut self, _: ArpSeen) {}
}

impl PacketPath {
    /// The director; its flow table is never freed.
    pub fn new() -> Result<Self, OperationError> {
        let hasher = FlowHasher::new([1, 2, 3]);
        let flows = FlowTable::new(FLOWS_MAX, Storage::leaked(FLOWS_MAX), hasher);
        let server = |last| Ipv4Addr::new(10, 0, 1, last);
        let hop = Hop { interface: InterfaceId(0), neighbour: server(11) };
        let network = Network {
            interfaces: vec![Interface {
                name: "lan0".to_owned(),
                mac: MAC,
                mtu: MTU,
                addresses: vec![InterfaceAddress { address: server(1), prefix: 24 }],
            }],
            permanent_neighbours: vec![(hop, MacAddress([2, 0, 0, 0, 2, 11]))],
            ..Network::default()
        };
        let mut control = Control::new(flows, SERVERS_MAX, 1, hasher, network);
        let address = Ipv4Addr::new(10, 0, 0, 100).into();
        for (protocol, port) in [(Protocol::Tcp, 80), (Protocol::Udp, 53)] {
            let key = ServiceKey::Address { protocol, address, port };
            control.add_service(Service::new(key))?;
            for last in [11, 12] {
                control.add_destination(&key, Destination::new(server(last).into(), port))?;
            }
        }
        control.publish();
        let director = Arc::clone(control.director());
        let worker = Worker::new(Arc::clone(&director), 0);
        let sweeper = control.sweeper();
        Ok(Self { control, director, worker, sweeper, now: Tick(1000) })
    }

    /// Takes an input's frames through the packet path, and lets everything expire.
    ///
    /// # Panics
    ///
    /// When a frame has no fate, or more than one, or something is left in the end.
    pub fn run(&mut self, mut input: &[u8]) {
        while let Some((head, rest)) = input.split_first_chunk::<2>() {
            let head = u16::from_be_bytes(*head);
            self.now = self.now.plus_seconds(u32::from(head >> 11));
            let (frame, rest) = rest.split_at(usize::from(head & 0x7ff).min(rest.len()));
            self.frames(&[frame]);
            input = rest;
        }
        self.expire_all();
    }

    /// Takes a burst of at most [`BURST_MAX`] frames through the packet path.
    pub fn frames(&mut self, frames: &[&[u8]]) {
        let before = self.fates();
        let mut buffers: Vec<_> = frames.iter().map(|bytes| MemoryFrame::new(bytes)).collect();
        let mut verdicts = [Verdict::Consumed; BURST_MAX];
        self.worker.boundary();
        let from = InterfaceId(0);
        self.worker.process(from, self.now, &mut buffers, &mut verdicts, &mut Ignore);
        let after = self.fates();
        let count = frames.len() as u64;
        assert_eq!(after.0 - before.0, count, "frames that were received");
        let is_waiting = |verdict: &&Verdict| matches!(verdict, Verdict::Wait(_));
        let waiting = verdicts.iter().filter(is_waiting).count() as u64;
        assert_eq!(after.1 - before.1 + waiting, count, "frames that have a fate");
        for (verdict, buffer) in verdicts.iter().zip(&buffers) {
            let leaves = matches!(verdict, Verdict::Send(_) | Verdict::Wait(_));
            let length = buffer.bytes().len();
            // Priority tags stay on answers, and ARP is never larger than what asked.
            assert!(
                !leaves || (14..=14 + 8 + usize::from(MTU)).contains(&length),
                "{length} bytes"
            );
        }
    }

    /// Frames received, and the sum of all that can become of a frame.
    fn fates(&self) -> (u64, u64) {
        let counters = &self.director.counters[0];
        let dropped: u64 = DropReason::ALL.iter().map(|&reason| counters.dropped(reason)).sum();
        let others = [&counters.forwarded, &counters.answered, &counters.consumed];
        (counters.received.get(), dropped + others.iter().map(|counter| counter.get()).sum::<u64>())
    }

    /// Lets time pass until no connection can be left.
    fn expire_all(&mut self) {
        self.now = self.now.plus_seconds(1000);
        self.worker.boundary();
        self.sweeper.step(&self.director, self.now);
        self.worker.boundary();
        self.sweeper.step(&self.director, self.now);
        assert_eq!(self.director.flows_used(), 0, "connections are left");
        let servers = self.control.services().into_iter().flat_map(|row| row.destinations);
        for row in servers {
            assert_eq!((row.active, row.inactive), (0, 0), "{:?}", row.destination);
        }
        for id in (0..4).map(DestinationId) {
            assert!(self.director.slots.get(id).is_idle());
        }
    }
}
