//! What a capture costs a packet in instructions: `bench/instructions capture` runs one case after
//! the other under callgrind, which counts within `measured` alone.
//!
//! Packets of known TCP connections by direct routing, as in the case `dr` of the core's own
//! benchmark; around the packet path what a worker does for captures, and no device. With a name
//! as argument it prints how many packets were measured, without one the names.
#![expect(clippy::print_stdout, reason = "a program that answers")]

use std::net::IpAddr;
use std::sync::Arc;

use appliance::capture::bpf::Program;
use appliance::capture::filter::compiled;
use appliance::capture::record::Record;
use appliance::capture::tap::{Tap, Taps, Wanted};
use appliance::capture::tapper::Tapper;
use lb_core::clock::Tick;
use lb_core::control::{Control, Network};
use lb_core::director::Limits;
use lb_core::flow::{FlowTable, Storage};
use lb_core::frame::Frame as _;
use lb_core::hash::FlowHasher;
use lb_core::interface::{Interface, InterfaceId};
use lb_core::ipvsadm::{Numeric, execute, restore_words};
use lb_core::route::Hop;
use lb_core::wire::MacAddress;
use lb_core::wire::build::{Link, MemoryFrame, Tcp};
use lb_core::worker::{BURST_MAX, Unwatched, Verdict, Worker};

const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 2]);
const LAN: InterfaceId = InterfaceId(0);
const NOW: Tick = Tick(1000);
const FLOWS: u16 = 1024;
/// Bursts that are measured.
const BURSTS: usize = 64;
const RING_BYTES: usize = 4 << 20;

struct Case {
    name: &'static str,
    /// The filter of the capture, if there is one.
    filter: Option<&'static str>,
    ring_bytes: usize,
    /// Whether what is captured is read, before there is no room for more.
    is_read: bool,
    /// Whether packets leave the fast path though nobody captures.
    is_thorough: bool,
}

const fn case(name: &'static str, filter: Option<&'static str>) -> Case {
    Case { name, filter, ring_bytes: RING_BYTES, is_read: true, is_thorough: false }
}

const CASES: &[Case] = &[
    case("off", None),
    Case { is_thorough: true, ..case("off-all-stages", None) },
    case("of-another-host", Some("tcp port 80 and host 192.0.2.1")),
    case("of-all", Some("")),
    case("of-the-service", Some("tcp port 80")),
    Case { is_read: false, ring_bytes: 4096, ..case("of-all-no-room", Some("")) },
];

fn control() -> Control {
    let interface = Interface::new("lan0", LAN, MAC, 1500)
        .with_address([10, 2, 0, 1], 16)
        .with_address([10, 1, 255, 1], 16);
    let server = |last: u8| IpAddr::from([10, 2, 0, last]);
    let hop = |neighbour| (Hop { interface: LAN, neighbour }, MAC);
    let network = Network {
        interfaces: vec![interface],
        permanent_neighbours: (11..19).map(server).map(hop).collect(),
        ..Network::default()
    };
    let hasher = FlowHasher::new([1, 2, 3]);
    let flows = FlowTable::new(1 << 16, Storage::leaked(1 << 16), hasher);
    let mut control = Control::new(flows, Limits::of_destinations(16), 1, hasher, network);
    let added = (11..19).map(|last| format!("-a -t 10.0.0.100:80 -r 10.2.0.{last} -g"));
    for line in std::iter::once("-A -t 10.0.0.100:80 -s rr".to_owned()).chain(added) {
        let outcome = execute(&restore_words(&line), &[], &mut control, &Numeric);
        assert_eq!(outcome.exit, 0, "{line}: {}", outcome.stderr);
    }
    control.publish();
    control
}

fn frame(flow: u16, flags: &str) -> Vec<u8> {
    let client = format!("10.1.0.{}:{}", 1 + flow / 64, 1024 + flow % 64);
    let link = Link { destination: MAC, ..Link::default() };
    Tcp { src: &client, dst: "10.0.0.100:80", flags, ..Tcp::default() }.frame(&link)
}

struct Bed {
    worker: Worker,
    tapper: Tapper,
    frames: Vec<MemoryFrame>,
    verdicts: [Verdict; BURST_MAX],
}

impl Bed {
    fn receive(&mut self, frames: &[Vec<u8>]) {
        for (frame, bytes) in self.frames.iter_mut().zip(frames) {
            frame.refill(bytes);
        }
    }

    /// All that is counted: what a turn of a worker does with a burst. Never inlined: callgrind
    /// knows it by its name.
    #[inline(never)]
    fn measured(&mut self) {
        let Self { worker, tapper, frames, verdicts } = self;
        worker.boundary();
        if tapper.look() {
            worker.set_thorough(tapper.is_on());
        }
        let is_tapped = tapper.is_on();
        if is_tapped {
            tapper.keep(frames.iter().map(|frame| frame.bytes()));
        }
        worker.process(LAN, NOW, frames, verdicts, &mut Unwatched);
        if is_tapped {
            tapper.judge(LAN, worker.packets().iter().zip(&*frames), &*verdicts);
        }
    }
}

fn run(case: &Case) {
    let control = control();
    let taps = Arc::<Taps>::default();
    let tap = case.filter.map(|filter| {
        let program = Some(filter).filter(|filter| !filter.is_empty()).map(|filter| {
            Program::read(&compiled(filter).expect("a filter")).expect("libpcap compiles for it")
        });
        let ring_bytes = case.ring_bytes;
        let wanted = Wanted { program, interfaces: None, snaplen: 65_535, ring_bytes };
        let tap = Arc::new(Tap::new(wanted, 1));
        taps.begin(Arc::clone(&tap)).expect("there is room for one");
        tap
    });
    let mut bed = Bed {
        worker: Worker::new(Arc::clone(control.director()), 0),
        tapper: Tapper::new(taps, 0),
        frames: (0..BURST_MAX).map(|_| MemoryFrame::new(&[0; 60])).collect(),
        verdicts: [Verdict::Consumed; BURST_MAX],
    };
    bed.worker.set_thorough(case.is_thorough);
    let frames = |flags| (0..FLOWS).map(|flow| frame(flow, flags)).collect::<Vec<_>>();
    let (mut bytes, mut captured) = (Vec::new(), 0);
    for (flags, bursts) in [("S", 16), ("A", 16), ("A", BURSTS)] {
        let all = frames(flags);
        for burst in all.chunks(BURST_MAX).cycle().take(bursts) {
            bed.receive(burst);
            if bursts == BURSTS {
                bed.measured();
            } else {
                let Bed { worker, frames, verdicts, .. } = &mut bed;
                worker.boundary();
                worker.process(LAN, NOW, frames, verdicts, &mut Unwatched);
            }
            assert!(bed.verdicts.iter().all(|it| *it == Verdict::Send(LAN)), "{:?}", bed.verdicts);
            let Some(tap) = tap.as_ref().filter(|_| case.is_read) else { continue };
            while Record::read(&tap.lanes()[0].ring, &mut bytes).is_some() {
                captured += 1;
            }
        }
    }
    let packets = BURSTS * BURST_MAX;
    let takes_all = case.is_read && matches!(case.filter, Some("" | "tcp port 80"));
    // Each comes in and leaves.
    assert_eq!(captured, if takes_all { 2 * packets } else { 0 }, "{}", case.name);
    println!("{packets}");
}

fn main() {
    // Cargo gives benchmarks an argument of its own.
    let wanted = std::env::args().nth(1).filter(|argument| !argument.starts_with('-'));
    match wanted {
        None => CASES.iter().for_each(|case| println!("{}", case.name)),
        Some(name) => match CASES.iter().find(|case| case.name == name) {
            Some(case) => run(case),
            None => {
                eprintln!("there is no case `{name}`; without an argument all are printed");
                std::process::exit(2);
            }
        },
    }
}
