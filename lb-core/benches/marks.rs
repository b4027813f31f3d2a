//! What the mark of a packet costs, by the number of rules.
//!
//! Packets hit rules in random order; each rule set is one tuple, as operators' mostly are, or
//! four (`mixed`).

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use lb_core::drops::DropReason;
use lb_core::hash::FlowHasher;
use lb_core::ipvsadm::Numeric;
use lb_core::marks::{MarkRules, Marks, saved};
use lb_core::parse::{Class, Packet};
use lb_core::service::Family;

const PACKETS: usize = 4096;

/// Writes the rule of a number.
type Kind = fn(usize) -> String;

/// The address of a rule.
fn vip(number: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a00_0000 + u32::try_from(number).unwrap_or(0))
}

fn addresses(number: usize) -> String {
    format!("-A PREROUTING -d {} -p tcp --dport 80 -j MARK --set-mark {number}", vip(number))
}

fn ports(number: usize) -> String {
    format!("-A PREROUTING -d 10.0.0.1 -p tcp --dport {number} -j MARK --set-mark {number}")
}

fn mixed(number: usize) -> String {
    let to = vip(number);
    match number % 4 {
        0 => format!("-A PREROUTING -d {to} -p tcp --dport 80:443 -j MARK --or-mark 1"),
        1 => format!("-A PREROUTING -d {to} -j MARK --set-mark 2"),
        2 => format!("-A PREROUTING -s 192.0.2.0/24 -d {to} -p tcp -j MARK --set-mark 3/0xff"),
        _ => format!("-A PREROUTING -d {to}/31 -p tcp --dport 80 -j MARK --set-mark 4"),
    }
}

fn packets(rules: usize, is_port: bool) -> Vec<Packet> {
    // A multiplicative walk: every rule, in no order that a prefetcher knows.
    let number = |n: usize| 1 + n.wrapping_mul(0x9e37_79b1) % rules.max(1);
    (0..PACKETS)
        .map(|n| {
            let mut packet = Packet::dropped(DropReason::FrameTooShort);
            packet.class = Class::Flow;
            packet.protocol = 6;
            packet.source = Ipv4Addr::new(192, 0, 2, 7).into();
            packet.destination = vip(if is_port { 1 } else { number(n) }).into();
            packet.destination_port =
                if is_port { u16::try_from(number(n)).unwrap_or(80) } else { 80 };
            packet
        })
        .collect()
}

fn marks(c: &mut Criterion) {
    let mut group = c.benchmark_group("marks");
    group.throughput(Throughput::Elements(PACKETS as u64));
    let kinds = [("addresses", addresses as Kind), ("ports", ports), ("mixed", mixed)];
    for (name, rule) in kinds {
        for count in [0, 1, 10, 1_000, 10_000] {
            let lines: Vec<_> = (1..=count).map(rule).collect();
            let lines: Vec<_> = lines.iter().map(String::as_str).collect();
            let (rules, wrong) = saved::configured(&lines, Family::V4, &[], &Numeric);
            assert!(wrong.is_empty(), "{wrong:?}");
            let rules = MarkRules { v4: Arc::new(rules), ..MarkRules::default() };
            let marks = Marks::new(&rules, &[], FlowHasher::new([1, 2, 3]));
            let packets = packets(count, name == "ports");
            group.bench_function(BenchmarkId::new(name, count), |bencher| {
                bencher.iter(|| {
                    packets.iter().fold(0_u32, |sum, packet| {
                        sum.wrapping_add(black_box(&marks).mark(black_box(packet)))
                    })
                });
            });
        }
    }
    group.finish();
}

fn compile(c: &mut Criterion) {
    let lines: Vec<_> = (1..=10_000).map(addresses).collect();
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    let (rules, _) = saved::configured(&lines, Family::V4, &[], &Numeric);
    let rules = MarkRules { v4: Arc::new(rules), ..MarkRules::default() };
    c.bench_function("marks/compile/10000", |bencher| {
        bencher.iter(|| Marks::new(black_box(&rules), &[], FlowHasher::new([1, 2, 3])));
    });
}

criterion_group!(benches, marks, compile);
criterion_main!(benches);
