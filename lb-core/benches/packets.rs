//! The whole packet path on frames in memory, and the schedulers.
//!
//! `frames alone` is what a round costs without the packet path: each burst's frames are made
//! to be of the next flows. Subtract it.

use std::net::Ipv4Addr;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lb_core::address::Address;
use lb_core::clock::Tick;
use lb_core::control::{Control, Network};
use lb_core::destination::{Destination, ForwardingMethod, Tunnel, TunnelChecksum};
use lb_core::director::Limits;
use lb_core::flow::{FlowTable, Storage};
use lb_core::hash::FlowHasher;
use lb_core::interface::{Interface, InterfaceId};
use lb_core::operations::Operations;
use lb_core::protocol::Protocol;
use lb_core::route::Hop;
use lb_core::sched::{Candidates, NAMES, Request, Scheduler};
use lb_core::service::SchedulerFlags;
use lb_core::service::{Service, ServiceKey};
use lb_core::settings::Settings;
use lb_core::slots::{DestinationId, DestinationSlots};
use lb_core::virtual_service::RealServer;
use lb_core::wire::MacAddress;
use lb_core::wire::build::{Link, MemoryFrame, Tcp};
use lb_core::worker::{BURST_MAX, Unwatched, Verdict, Worker};

const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 2]);
const NOW: Tick = Tick(1000);

/// The forwarding methods by the names of the groups.
fn methods() -> [(&'static str, ForwardingMethod, Tunnel); 5] {
    let checksum = TunnelChecksum::None;
    [
        ("established DR", ForwardingMethod::DirectRouting, Tunnel::Ipip),
        ("established NAT", ForwardingMethod::Masquerading, Tunnel::Ipip),
        ("established IPIP", ForwardingMethod::Tunneling, Tunnel::Ipip),
        ("established GUE", ForwardingMethod::Tunneling, Tunnel::Gue { port: 6080, checksum }),
        ("established GRE", ForwardingMethod::Tunneling, Tunnel::Gre { checksum }),
    ]
}

fn control(flows_max: usize, method: ForwardingMethod, tunnel: Tunnel) -> Control {
    let server = |last| Ipv4Addr::new(10, 0, 2, last);
    let hop = |last| Hop { interface: InterfaceId(0), neighbour: server(last).into() };
    let network = Network {
        interfaces: vec![
            Interface::new("lan0", InterfaceId(0), MAC, 1500).with_address(server(1), 24),
        ],
        permanent_neighbours: (11..19)
            .map(|last| (hop(last), MacAddress([2, 0, 0, 0, 2, last])))
            .collect(),
        ..Network::default()
    };
    let hasher = FlowHasher::new([1, 2, 3]);
    let flows = FlowTable::new(flows_max, Storage::leaked(flows_max), hasher);
    let mut control = Control::new(flows, Limits::of_destinations(16), 1, hasher, network);
    let address = Ipv4Addr::new(10, 0, 0, 100).into();
    let key = ServiceKey::Address { protocol: Protocol::Tcp, address, port: 80 };
    let service = Service { scheduler: "rr".to_owned(), ..Service::new(key) };
    let done = control.add_service(service);
    assert_eq!(done, Ok(()));
    for last in 11..19 {
        let server = Destination::new(server(last).into(), 80);
        let done = control.add_destination(&key, Destination { method, tunnel, ..server });
        assert_eq!(done, Ok(()));
    }
    control.publish();
    control
}

/// What differs between the frames of two flows: source address, IP checksum, port.
#[derive(Clone, Copy)]
struct Flow {
    source: [u8; 4],
    port: [u8; 2],
    checksum: [u8; 2],
}

/// Flows in an order that no prefetcher foresees.
fn flows(count: usize) -> Vec<Flow> {
    let flow = |number: u32| {
        let source = Ipv4Addr::from_bits(0x0a01_0000 + number / 64);
        let port = u16::try_from(1024 + number % 64).unwrap_or_default();
        let src = format!("{source}:{port}");
        let packet = Tcp { src: &src, ..Tcp::default() }.packet();
        Flow {
            source: source.octets(),
            port: port.to_be_bytes(),
            checksum: [packet[10], packet[11]],
        }
    };
    let mut flows: Vec<_> = (0..).map(flow).take(count).collect();
    let mut random = 88_172_645_463_325_252_usize;
    for place in (1..count).rev() {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        flows.swap(place, random % (place + 1));
    }
    flows
}

/// A director that knows the connections, and the frames that come.
struct Bed {
    flows: Vec<Flow>,
    burst: usize,
    frames: Vec<MemoryFrame>,
    worker: Worker,
    verdicts: [Verdict; BURST_MAX],
}

impl Bed {
    fn new(count: usize, method: ForwardingMethod, tunnel: Tunnel) -> Self {
        let control = control(1 << 20, method, tunnel);
        let mut bed = Self {
            flows: flows(count),
            burst: 0,
            frames: (0..BURST_MAX).map(|_| MemoryFrame::new(&template("A"))).collect(),
            worker: Worker::new(Arc::clone(control.director()), 0),
            verdicts: [Verdict::Consumed; BURST_MAX],
        };
        for template in ["S", "A"].map(template) {
            for _ in 0..count / BURST_MAX {
                bed.receive(template);
                bed.process();
                let is_sent = |verdict: &Verdict| *verdict == Verdict::Send(InterfaceId(0));
                assert!(bed.verdicts.iter().all(is_sent));
            }
        }
        bed
    }

    /// Puts the frames of the next flows where those of the last burst were, as a device would.
    fn receive(&mut self, template: [u8; 60]) {
        let mut bytes = template;
        self.burst = (self.burst + BURST_MAX) % self.flows.len();
        for (frame, flow) in self.frames.iter_mut().zip(&self.flows[self.burst..]) {
            bytes[24..26].copy_from_slice(&flow.checksum);
            bytes[26..30].copy_from_slice(&flow.source);
            bytes[34..36].copy_from_slice(&flow.port);
            frame.refill(&bytes);
        }
    }

    fn process(&mut self) {
        let Self { frames, worker, verdicts, .. } = self;
        worker.boundary();
        worker.process(InterfaceId(0), NOW, frames, verdicts, &mut Unwatched);
    }
}

/// A frame to the service, of which [`Bed::receive`] makes those of each flow.
fn template(flags: &str) -> [u8; 60] {
    let frame =
        Tcp { flags, ..Tcp::default() }.frame(&Link { destination: MAC, ..Link::default() });
    let mut template = [0; 60];
    template[..frame.len()].copy_from_slice(&frame);
    template
}

fn established(c: &mut Criterion) {
    let template = template("A");
    for (name, method, tunnel) in methods() {
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements(BURST_MAX as u64));
        for count in [64, 8192, 1_000_000] {
            // Made by the first that is to run, so that a filter spares the others.
            let mut bed = None;
            group.bench_function(format!("{count} flows"), |b| {
                let bed = bed.get_or_insert_with(|| Bed::new(count, method, tunnel));
                b.iter(|| {
                    bed.receive(template);
                    bed.process();
                });
            });
            group.bench_function(format!("{count} flows, frames alone"), |b| {
                let bed = bed.get_or_insert_with(|| Bed::new(count, method, tunnel));
                b.iter(|| bed.receive(template));
            });
        }
        group.finish();
    }
}

/// A service in its steady state: 20,000 connections.
struct Churn {
    slots: DestinationSlots,
    ids: Vec<DestinationId>,
    servers: Vec<RealServer>,
    /// Real servers of connections in the order in which they began; the older half is inactive.
    connections: Vec<DestinationId>,
    oldest: usize,
}

impl Churn {
    const CONNECTIONS: usize = 20_000;

    fn new(count: u32) -> Self {
        let slots = DestinationSlots::new(count as usize);
        let ids: Vec<_> = (0..count).map(DestinationId).collect();
        for &id in &ids {
            slots.configure(id, 1 + i32::try_from(id.0 % 7).unwrap_or_default(), 0, 0);
        }
        let server = |number| RealServer {
            address: Address::v4(0x0a00_0200 + number),
            port: 80,
            method: ForwardingMethod::DirectRouting,
        };
        let servers = (0..count).map(server).collect();
        Self { slots, ids, servers, connections: Vec::new(), oldest: 0 }
    }

    fn candidates(&self) -> Candidates<'_> {
        Candidates { ids: &self.ids, servers: &self.servers, slots: &self.slots }
    }

    /// Connections as the scheduler makes them.
    fn begin(&mut self, mut pick: impl FnMut(&Self) -> Option<DestinationId>) {
        for id in self.connections.drain(..) {
            self.slots.unbind(id, true);
        }
        for _ in 0..Self::CONNECTIONS {
            let Some(id) = pick(self) else { continue };
            self.slots.bind(id, true);
            self.connections.push(id);
        }
        let half = self.connections.len() / 2;
        self.connections[..half].iter().for_each(|&id| self.slots.set_active(id, false));
        self.oldest = 0;
    }

    /// A connection begins, another one becomes inactive, a third one ends.
    fn turn(&mut self, begun: DestinationId) {
        let count = self.connections.len();
        self.slots.bind(begun, true);
        self.slots.set_active(self.connections[(self.oldest + count / 2) % count], false);
        let ended = std::mem::replace(&mut self.connections[self.oldest], begun);
        self.slots.unbind(ended, false);
        self.oldest = (self.oldest + 1) % count;
    }
}

/// A pick, and what a connection changes at its destination from its beginning to its end.
fn picks(c: &mut Criterion) {
    let mut group = c.benchmark_group("pick");
    for count in [2_u32, 100, 1000] {
        let settings = Settings::default();
        let request = |number: u32| Request {
            client: Address::v4(0x0a00_0000 + number % 5000),
            client_port: 40000,
            destination: Address::v4(0x0a32_0000 + number % 3000),
            flags: SchedulerFlags::default(),
            now: Tick(1000),
            settings: &settings,
        };
        for name in NAMES.iter().filter(|&&name| name != "none") {
            let mut churn = Churn::new(count);
            let hasher = FlowHasher::new([1, 2, 3]);
            let Some(scheduler) = Scheduler::start(name, churn.candidates(), hasher) else {
                continue;
            };
            churn.candidates().arrange(scheduler.is_indexed());
            let mut number = 0;
            let mut pick = |churn: &Churn| {
                number += 1;
                let place = scheduler.pick(&request(number), churn.candidates())?;
                Some(churn.ids[place])
            };
            churn.begin(&mut pick);
            group.bench_function(format!("{name}/{count}"), |b| {
                b.iter(|| {
                    if let Some(id) = pick(&churn) {
                        churn.turn(id);
                    }
                });
            });
        }
        let mut churn = Churn::new(count);
        churn.candidates().arrange(true);
        churn.begin(|churn| churn.ids.first().copied());
        let mut number = 0;
        group.bench_function(format!("turn alone/{count}"), |b| {
            b.iter(|| {
                number = (number + 1) % churn.ids.len();
                churn.turn(churn.ids[number]);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, established, picks);
criterion_main!(benches);
