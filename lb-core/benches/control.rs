//! What the control plane's commands cost with many real servers: restores, single commands that
//! are published each, listings, and the estimation of all rates.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use lb_core::clock::Tick;
use lb_core::control::{Control, Network};
use lb_core::director::Limits;
use lb_core::flow::{FlowTable, Storage};
use lb_core::hash::FlowHasher;
use lb_core::interface::{Interface, InterfaceId};
use lb_core::ipvsadm::{Numeric, Reply, apply, execute, parse, restore, restore_words};
use lb_core::wire::MacAddress;

const SERVERS: u32 = 10_000;

/// Services among which the real servers are divided, and their scheduler.
const TABLES: [(u32, &str); 4] = [(100, "wlc"), (1, "wlc"), (1, "wrr"), (1, "rr")];

fn name((services, scheduler): (u32, &str)) -> String {
    format!("{services} x {}, {scheduler}", SERVERS / services)
}

/// A director at 10.2.0.1/16 without services.
fn empty() -> Control {
    let mac = MacAddress([2, 0, 0, 0, 0, 2]);
    let interface = Interface::new("lan0", InterfaceId(0), mac, 1500);
    let network = Network {
        interfaces: vec![interface.with_address([10, 2, 0, 1], 16)],
        ..Network::default()
    };
    let hasher = FlowHasher::new([1, 2, 3]);
    let flows = FlowTable::new(64, Storage::leaked(64), hasher);
    Control::new(flows, Limits::of_destinations(SERVERS as usize + 16), 2, hasher, network)
}

fn service(number: u32) -> String {
    format!("-t 10.0.{}.{}:80", number / 200, number % 200 + 1)
}

fn server(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a02_0100 + number)
}

/// What `-S` prints of a table.
fn saved((services, scheduler): (u32, &str)) -> String {
    let mut text = String::new();
    for number in 0..services {
        let _ = writeln!(text, "-A {} -s {scheduler}", service(number));
        for server_number in (number..SERVERS).step_by(services as usize) {
            let (to, weight) = (server(server_number), server_number % 7 + 1);
            let _ = writeln!(text, "-a {} -r {to}:80 -m -w {weight}", service(number));
        }
    }
    text
}

fn restored(table: (u32, &str)) -> Control {
    let mut control = empty();
    let outcome = execute(&["-R"], saved(table).as_bytes(), &mut control, &Numeric);
    assert_eq!((outcome.exit, outcome.stderr.as_str()), (0, ""));
    control.publish();
    control
}

fn restores(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("restore");
    group.throughput(Throughput::Elements(SERVERS.into())).sample_size(10);
    for table in TABLES {
        let text = saved(table);
        let run = |control: &mut Control, text: &str| {
            let outcome = restore(text.as_bytes(), |command| apply(command, control), &Numeric);
            assert_eq!(outcome.exit, 0);
            control.publish();
        };
        group.bench_function(BenchmarkId::new("of an empty director", name(table)), |bencher| {
            let timed = |mut control: Control| {
                run(&mut control, &text);
                control
            };
            bencher.iter_batched(empty, timed, BatchSize::PerIteration);
        });
        let again = format!("-C\n{text}");
        let mut control = restored(table);
        group.bench_function(BenchmarkId::new("after -C", name(table)), |bencher| {
            bencher.iter(|| run(&mut control, &again));
        });
        group.bench_function(BenchmarkId::new("--atomic, after -C", name(table)), |bencher| {
            bencher.iter(|| {
                let words = ["-R", "--atomic"];
                let outcome = execute(&words, again.as_bytes(), &mut control, &Numeric);
                assert_eq!(outcome.exit, 0);
                control.publish();
            });
        });
    }
    group.finish();
}

/// Each is parsed, applied and published, as for a client that waits for every answer. Old pictures
/// are freed now and then, as the main thread does.
fn single_commands(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("a command");
    for table in TABLES {
        let mut control = restored(table);
        let mut count = 0_u32;
        let mut run = |line: &str| {
            let command = parse(&restore_words(line), &Numeric).expect("a command");
            assert_eq!(apply(&command, &mut control), Reply::Done);
            control.publish();
            count += 1;
            if count.is_multiple_of(32) {
                control.tick(Tick(0));
            }
        };
        let mut number = 0;
        let mut next = || {
            number = (number + 4099) % SERVERS;
            let end = format!("{} -r {}:80", service(number % table.0), server(number));
            (end, number % 5 + 1)
        };
        group.bench_function(BenchmarkId::new("-e", name(table)), |bencher| {
            bencher.iter(|| {
                let (end, weight) = next();
                run(&format!("-e {end} -m -w {weight}"));
            });
        });
        group.bench_function(BenchmarkId::new("-d and -a", name(table)), |bencher| {
            bencher.iter(|| {
                let (end, weight) = next();
                run(&format!("-d {end}"));
                run(&format!("-a {end} -m -w {weight}"));
            });
        });
    }
    group.finish();
}

fn listings(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("10,000 real servers");
    let mut control = restored(TABLES[0]);
    for words in [["-L", "-n"], ["-S", "-n"]] {
        group.bench_function(words.join(" "), |bencher| {
            bencher.iter(|| execute(&words, &[], &mut control, &Numeric));
        });
    }
    let mut now = Tick(0);
    group.bench_function("a round with an estimation", |bencher| {
        bencher.iter(|| {
            now = now.plus_seconds(2);
            control.tick(now)
        });
    });
    group.finish();
}

criterion_group!(benches, restores, single_commands, listings);
criterion_main!(benches);
