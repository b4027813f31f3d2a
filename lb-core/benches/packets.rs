//! The whole packet path on frames in memory, and the schedulers.
//!
//! `frames alone` is what a round costs without the packet path: each burst's 32 frames are made
//! to be of the next 32 flows. Subtract it.

use std::net::Ipv4Addr;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lb_core::clock::Tick;
use lb_core::control::{Control, Network};
use lb_core::destination::Destination;
use lb_core::director::Limits;
use lb_core::flow::{FlowTable, Storage};
use lb_core::frame::Frame;
use lb_core::hash::FlowHasher;
use lb_core::interface::{Interface, InterfaceId};
use lb_core::neighbour::NeighbourSeen;
use lb_core::operations::Operations;
use lb_core::protocol::Protocol;
use lb_core::route::Hop;
use lb_core::sched::{Candidates, Scheduler};
use lb_core::service::{Service, ServiceKey};
use lb_core::slots::{DestinationId, DestinationSlots};
use lb_core::wire::MacAddress;
use lb_core::wire::build::{Link, MemoryFrame, Tcp};
use lb_core::worker::{BURST_MAX, Surroundings, Verdict, Worker};

const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 2]);
const NOW: Tick = Tick(1000);

struct Ignore;

impl Surroundings for Ignore {
    fn neighbour_seen(&mut self, _: NeighbourSeen) {}

    fn neighbour_wanted(&mut self, _: Hop) {}

    fn path_mtu_seen(&mut self, _: DestinationId, _: u16) {}

    fn send(&mut self, _: InterfaceId, _: &[&[u8]]) -> bool {
        true
    }
}

fn control(flows_max: usize) -> Control {
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
        let done = control.add_destination(&key, Destination::new(server(last).into(), 80));
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

/// Turns the frames of the last burst into those of these flows, as a device would write them.
fn receive(frames: &mut [MemoryFrame], flows: &[Flow]) {
    for (frame, flow) in frames.iter_mut().zip(flows) {
        let Some(head) = frame.bytes_mut().first_chunk_mut::<60>() else { continue };
        head[..6].copy_from_slice(&MAC.0);
        head[22] = 64;
        head[24..26].copy_from_slice(&flow.checksum);
        head[26..30].copy_from_slice(&flow.source);
        head[34..36].copy_from_slice(&flow.port);
    }
}

fn burst_of(flags: &str) -> Vec<MemoryFrame> {
    let mut bytes =
        Tcp { flags, ..Tcp::default() }.frame(&Link { destination: MAC, ..Link::default() });
    bytes.resize(60, 0);
    (0..BURST_MAX).map(|_| MemoryFrame::new(&bytes)).collect()
}

fn established(c: &mut Criterion) {
    let mut group = c.benchmark_group("established DR");
    group.throughput(Throughput::Elements(BURST_MAX as u64));
    for count in [64, 8192, 1_000_000] {
        let flows = flows(count);
        let control = control(1 << 20);
        let mut worker = Worker::new(Arc::clone(control.director()), 0);
        let mut verdicts = [Verdict::Consumed; BURST_MAX];
        for flags in ["S", "A"] {
            let mut frames = burst_of(flags);
            for burst in flows.chunks_exact(BURST_MAX) {
                receive(&mut frames, burst);
                worker.boundary();
                worker.process(InterfaceId(0), NOW, &mut frames, &mut verdicts, &mut Ignore);
                assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Send(InterfaceId(0))));
            }
        }
        let mut frames = burst_of("A");
        let mut bursts = flows.chunks_exact(BURST_MAX).cycle();
        group.bench_function(format!("{count} flows"), |b| {
            b.iter(|| {
                receive(&mut frames, bursts.next().unwrap_or_default());
                worker.boundary();
                worker.process(InterfaceId(0), NOW, &mut frames, &mut verdicts, &mut Ignore);
            });
        });
        group.bench_function(format!("{count} flows, frames alone"), |b| {
            b.iter(|| receive(&mut frames, bursts.next().unwrap_or_default()));
        });
    }
    group.finish();
}

fn picks(c: &mut Criterion) {
    let mut group = c.benchmark_group("pick");
    for count in [8_u32, 1000] {
        let slots = DestinationSlots::new(count as usize);
        let ids: Vec<_> = (0..count).map(DestinationId).collect();
        for &id in &ids {
            slots.get(id).configure(1 + i32::try_from(id.0 % 7).unwrap_or_default(), 0, 0);
        }
        let candidates = Candidates { ids: &ids, slots: &slots };
        for name in ["rr", "wrr", "lc", "wlc"] {
            let Some(scheduler) = Scheduler::start(name, candidates) else { continue };
            group.bench_function(format!("{name}/{count}"), |b| {
                b.iter(|| {
                    let place = scheduler.pick(candidates);
                    // As a connection that begins, so that lc and wlc move on.
                    place.inspect(|&place| slots.get(ids[place]).bind(true))
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, established, picks);
criterion_main!(benches);
