//! What rewriting costs: a packet of each kind, in a buffer that is in the cache.
//!
//! A round of NAT takes 32 frames to the server and back. A tunnel's frame is made anew each time:
//! subtract `frames alone`. Direct routing changes a TTL and nothing else: `packets` has it.

use std::hint::black_box;
use std::net::IpAddr;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lb_core::destination::{Tunnel, TunnelChecksum};
use lb_core::forward::tunnel::{Outer, encapsulate};
use lb_core::forward::{Layout, masquerade};
use lb_core::frame::Frame;
use lb_core::wire::build::{Link, MemoryFrame, Tcp, Udp};

const BURST: usize = 32;

fn nat(c: &mut Criterion) {
    let server = (IpAddr::from([10, 0, 2, 11]), 8080);
    let vip = (IpAddr::from([10, 0, 0, 100]), 80);
    let tcp = Tcp::default().frame(&Link::default());
    let udp = Udp::default().frame(&Link::default());
    let mut group = c.benchmark_group("nat");
    group.throughput(Throughput::Elements(2 * BURST as u64));
    for (name, bytes, protocol) in [("tcp", tcp, 6), ("udp", udp, 17)] {
        let mut frames = vec![bytes; BURST];
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                for frame in &mut frames {
                    let layout = black_box(Layout::plain_v4(protocol));
                    let _ = black_box(masquerade::to_server(frame, &layout, black_box(server)));
                }
                for frame in &mut frames {
                    let layout = black_box(Layout::plain_v4(protocol));
                    let _ = black_box(masquerade::to_client(frame, &layout, black_box(vip)));
                }
            });
        });
    }
    group.finish();
}

fn tunnels(c: &mut Criterion) {
    let small = Tcp::default().frame(&Link::default());
    let large = Tcp { payload: &[7; 1400], ..Tcp::default() }.frame(&Link::default());
    let mut group = c.benchmark_group("tunnel");
    group.throughput(Throughput::Elements(BURST as u64));
    let mut run = |name, bytes: &[u8], tunnel: Option<Tunnel>| {
        let mut frames: Vec<_> = (0..BURST).map(|_| MemoryFrame::new(bytes)).collect();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                for frame in &mut frames {
                    frame.refill(bytes);
                    let Some(tunnel) = tunnel else { continue };
                    let outer = Outer {
                        tunnel,
                        source: [10, 0, 2, 1].into(),
                        destination: [10, 0, 2, 11].into(),
                        identification: 7,
                        source_port: 40_000,
                        pmtu_disc: true,
                    };
                    let _ = black_box(encapsulate(frame, 14, true, black_box(&outer)));
                }
                black_box(frames.iter().map(|frame| frame.bytes().len()).sum::<usize>())
            });
        });
    };
    let gue = |checksum| Some(Tunnel::Gue { port: 6080, checksum });
    run("frames alone", &small, None);
    run("ipip", &small, Some(Tunnel::Ipip));
    run("gre", &small, Some(Tunnel::Gre { checksum: TunnelChecksum::None }));
    run("gue", &small, gue(TunnelChecksum::None));
    run("frames of 1,440 bytes alone", &large, None);
    run("gue with checksum, 1,440 bytes", &large, gue(TunnelChecksum::Full));
    group.finish();
}

criterion_group!(benches, nat, tunnels);
criterion_main!(benches);
