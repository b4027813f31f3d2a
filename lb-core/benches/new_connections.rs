//! What a new connection costs: found to be none, scheduled, inserted; and what its end does.
//!
//! The housekeeping thread's walk over the table is not in it: it costs the same for each second,
//! however many connections come. `frames alone` of the benchmark `packets` is in it.
#![expect(clippy::disallowed_methods, reason = "a benchmark has a clock")]

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lb_core::clock::Tick;
use lb_core::control::{Control, Network};
use lb_core::director::{Director, Limits};
use lb_core::expiry::Sweeper;
use lb_core::flow::{FlowTable, Storage};
use lb_core::hash::FlowHasher;
use lb_core::interface::{Interface, InterfaceId};
use lb_core::ipvsadm::{Numeric, execute, restore_words};
use lb_core::route::Hop;
use lb_core::wire::MacAddress;
use lb_core::wire::build::{Link, MemoryFrame, Tcp, Udp};
use lb_core::worker::{BURST_MAX, Unwatched, Verdict, Worker};

const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 2]);

/// Clients' ends, 64 of each client. When one comes again, its connection has expired: they come
/// round in 64 seconds, and a connection of one SYN lives for 60.
const ENDS: u32 = 1 << 18;
const BURSTS_PER_TICK: u32 = 8;

/// A director with one service of so many real servers.
fn control(service: &str, key: &str, servers: u32) -> Control {
    let address = |number: u32| Ipv4Addr::from_bits(0x0a02_0000 + 256 + number);
    let hop = |number| Hop { interface: InterfaceId(0), neighbour: address(number).into() };
    let interface = Interface::new("lan0", InterfaceId(0), MAC, 1500);
    let network = Network {
        interfaces: vec![interface.with_address([10, 2, 0, 1], 16)],
        vips: vec![[10, 0, 0, 100].into()],
        permanent_neighbours: (0..servers).map(|number| (hop(number), MAC)).collect(),
        ..Network::default()
    };
    let hasher = FlowHasher::new([1, 2, 3]);
    let flows_max = 1 << 20;
    let flows = FlowTable::new(flows_max, Storage::leaked(flows_max), hasher);
    let limits = Limits::of_destinations(servers as usize);
    let mut control = Control::new(flows, limits, 1, hasher, network);
    let added = (0..servers).map(|number| format!("-a {key} -r {} -g", address(number)));
    for line in std::iter::once(format!("-A {key} {service}")).chain(added) {
        let outcome = execute(&restore_words(&line), &[], &mut control, &Numeric);
        assert_eq!(outcome.exit, 0, "{line}: {}", outcome.stderr);
    }
    control.publish();
    control
}

/// A director, and the first packets of connections without end.
struct Bed {
    director: Arc<Director>,
    worker: Worker,
    sweeper: Sweeper,
    template: Vec<u8>,
    frames: Vec<MemoryFrame>,
    verdicts: [Verdict; BURST_MAX],
    next: u32,
    now: Tick,
}

impl Bed {
    fn new(control: &Control, template: Vec<u8>) -> Self {
        let director = Arc::clone(control.director());
        let frames = (0..BURST_MAX).map(|_| MemoryFrame::new(&template)).collect();
        Self {
            worker: Worker::new(Arc::clone(&director), 0),
            sweeper: control.sweeper(),
            director,
            template,
            frames,
            verdicts: [Verdict::Consumed; BURST_MAX],
            next: 0,
            now: Tick(1000),
        }
    }

    /// The next burst of first packets.
    fn receive(&mut self) {
        for frame in &mut self.frames {
            // In an order that no prefetcher foresees: an odd factor visits all ends.
            let end = self.next.wrapping_mul(0x9e37_79b1) % ENDS;
            self.next = self.next.wrapping_add(1);
            let source = 0x0a01_0000 + end / 64;
            self.template[26..30].copy_from_slice(&source.to_be_bytes());
            self.template[34..36].copy_from_slice(&(1024 + end % 64).to_be_bytes()[2..]);
            // The header's checksum is that of the template, less what the source adds.
            self.template[24..26].fill(0);
            let sum = checksum(&self.template[14..34]);
            self.template[24..26].copy_from_slice(&sum.to_be_bytes());
            frame.refill(&self.template);
        }
    }

    fn process(&mut self) {
        let Self { frames, worker, verdicts, .. } = self;
        worker.boundary();
        worker.process(InterfaceId(0), self.now, frames, verdicts, &mut Unwatched);
    }

    /// What happens between two bursts.
    fn keep_house(&mut self) {
        if self.next.is_multiple_of(BURSTS_PER_TICK * 64) {
            self.now = Tick(self.now.0 + 1);
            self.sweeper.step(&self.director, self.now);
        }
    }

    /// The time that so many bursts take the worker.
    fn time(&mut self, bursts: u64) -> Duration {
        let mut time = Duration::ZERO;
        for _ in 0..bursts {
            let start = Instant::now();
            self.receive();
            self.process();
            time += start.elapsed();
            self.keep_house();
        }
        time
    }
}

fn checksum(header: &[u8]) -> u16 {
    let words =
        header.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap_or_default()
}

fn new_connections(c: &mut Criterion) {
    let link = Link { destination: MAC, ..Link::default() };
    let syn = Tcp { dst: "10.0.0.100:80", ..Tcp::default() }.frame(&link);
    let datagram = Udp { dst: "10.0.0.100:53", ..Udp::default() }.frame(&link);
    let mut group = c.benchmark_group("new connection");
    group.throughput(Throughput::Elements(BURST_MAX as u64));
    for (name, service, key, servers, frame) in [
        ("rr, 8 servers", "-s rr", "-t 10.0.0.100:80", 8, &syn),
        ("wlc, 8 servers", "-s wlc", "-t 10.0.0.100:80", 8, &syn),
        ("wlc, 1000 servers", "-s wlc", "-t 10.0.0.100:80", 1000, &syn),
        ("mh, 1000 servers", "-s mh", "-t 10.0.0.100:80", 1000, &syn),
        ("persistent", "-s rr -p 300", "-t 10.0.0.100:80", 8, &syn),
        ("persistent, 1000 servers", "-s rr -p 300", "-t 10.0.0.100:80", 1000, &syn),
        ("one packet", "-s rr -o", "-u 10.0.0.100:53", 8, &datagram),
        ("one packet, persistent", "-s rr -o -p 300", "-u 10.0.0.100:53", 8, &datagram),
    ] {
        let mut bed = None;
        group.bench_function(name, |b| {
            let bed = bed.get_or_insert_with(|| {
                let mut bed = Bed::new(&control(service, key, servers), frame.clone());
                // Once round, so that entries come and go.
                bed.time(u64::from(2 * ENDS / 64));
                let is_sent = |verdict: &Verdict| *verdict == Verdict::Send(InterfaceId(0));
                assert!(bed.verdicts.iter().all(is_sent));
                bed
            });
            b.iter_custom(|bursts| bed.time(bursts));
        });
    }
    group.finish();
}

/// A walk over a table in which every connection is over.
fn ends(c: &mut Criterion) {
    let link = Link { destination: MAC, ..Link::default() };
    let syn = Tcp { dst: "10.0.0.100:80", ..Tcp::default() }.frame(&link);
    let mut group = c.benchmark_group("end of a connection");
    let connections = 1 << 14;
    group.throughput(Throughput::Elements(connections));
    let mut bed = None;
    group.bench_function("expiry", |b| {
        let bed = bed
            .get_or_insert_with(|| Bed::new(&control("-s rr", "-t 10.0.0.100:80", 8), syn.clone()));
        b.iter_custom(|rounds| {
            let mut time = Duration::ZERO;
            for _ in 0..rounds {
                for _ in 0..connections / 64 {
                    bed.receive();
                    bed.process();
                }
                bed.now = bed.now.plus_seconds(61);
                let start = Instant::now();
                while bed.director.flows_used() > 0 {
                    bed.sweeper.step(&bed.director, bed.now);
                }
                time += start.elapsed();
                // What has ended is free again after a burst boundary.
                bed.worker.boundary();
                bed.sweeper.step(&bed.director, bed.now);
            }
            time
        });
    });
    group.finish();
}

criterion_group!(benches, new_connections, ends);
criterion_main!(benches);
