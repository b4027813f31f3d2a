//! What reading a frame costs, by what is in it; and the hash of a connection. Frames of a burst
//! lie in the cache, as a device leaves them.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lb_core::address::Address;
use lb_core::control::{Control, Network};
use lb_core::director::Limits;
use lb_core::drops::DropReason;
use lb_core::flow::{FlowTable, Storage};
use lb_core::frame::Frame;
use lb_core::hash::FlowHasher;
use lb_core::interface::{Interface, InterfaceId};
use lb_core::parse::{Class, Packet};
use lb_core::wire::MacAddress;
use lb_core::wire::build::{Link, MemoryFrame, Tcp, Udp};

const BURST: usize = 32;
const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 2]);

fn parse(c: &mut Criterion) {
    let network = Network {
        interfaces: vec![Interface::new("lan0", InterfaceId(0), MAC, 1500)],
        ..Network::default()
    };
    let hasher = FlowHasher::new([1, 2, 3]);
    let flows = FlowTable::new(1024, Storage::leaked(1024), hasher);
    let mut control = Control::new(flows, Limits::of_destinations(16), 1, hasher, network);
    control.publish();
    let snapshot = control.director().snapshot.load();
    let link = Link { destination: MAC, ..Link::default() };
    let v6 = Tcp { src: "[fd00:2::1]:1024", dst: "[fd00:1::1]:80", ..Tcp::default() };
    let mut group = c.benchmark_group("parse");
    group.throughput(Throughput::Elements(BURST as u64));
    for (name, bytes) in [
        ("tcp", Tcp::default().frame(&link)),
        ("udp", Udp::default().frame(&link)),
        ("tcp over IPv6", v6.frame(&link)),
    ] {
        let frames: Vec<_> = (0..BURST).map(|_| MemoryFrame::new(&bytes)).collect();
        let mut packets = [Packet::dropped(DropReason::FrameTooShort); BURST];
        let mut read = || {
            for (frame, packet) in frames.iter().zip(&mut packets) {
                packet.parse(black_box(frame.bytes()), InterfaceId(0), &snapshot);
            }
            packets.iter().filter(|packet| packet.class == Class::Flow).count()
        };
        assert_eq!(read(), BURST, "{name}: all are packets of connections");
        group.bench_function(name, |b| b.iter(&mut read));
    }
    group.finish();
}

fn hash(c: &mut Criterion) {
    let table = FlowTable::new(1024, Storage::leaked(1024), FlowHasher::new([1, 2, 3]));
    let v6 = |number: u16| Address::from(std::net::Ipv6Addr::new(0xfd00, 2, 0, 0, 0, 0, 0, number));
    let ends = |is_v4: bool| -> Vec<_> {
        (0..32_u16)
            .map(|n| if is_v4 { Address::v4(0x0a40_0000 + u32::from(n)) } else { v6(n) })
            .zip(1024..)
            .collect()
    };
    let mut group = c.benchmark_group("hash");
    group.throughput(Throughput::Elements(BURST as u64));
    for (name, ends) in [("IPv4", ends(true)), ("IPv6", ends(false))] {
        group.bench_function(name, |b| {
            b.iter(|| {
                let of = |&(client, port): &(Address, u16)| table.hash(6, client, port);
                black_box(&ends).iter().map(of).fold(0, |sum, hash| sum ^ hash)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, parse, hash);
criterion_main!(benches);
