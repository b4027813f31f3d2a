//! What packets cost in instructions, which do not depend on the clock: `bench/instructions` runs
//! one case after the other under callgrind, which counts within `measured` alone, and compares.
//!
//! With a name as argument it takes that case's packets through the packet path and prints how
//! many were measured; without one it prints the names. A case is a service, what its connections
//! have seen before, and the packets that are measured.
#![expect(clippy::print_stdout, reason = "a program that answers")]

use std::net::IpAddr;
use std::sync::Arc;

use lb_core::clock::Tick;
use lb_core::control::{Control, Network};
use lb_core::director::Limits;
use lb_core::flow::{FlowTable, Storage};
use lb_core::frame::Frame as _;
use lb_core::hash::FlowHasher;
use lb_core::interface::{Interface, InterfaceId};
use lb_core::ipvsadm::{Numeric, execute, restore_words};
use lb_core::punt::{PuntRule, PuntRules};
use lb_core::route::Hop;
use lb_core::wire::MacAddress;
use lb_core::wire::build::{Link, MemoryFrame, Tcp, Udp};
use lb_core::worker::{BURST_MAX, Unwatched, Verdict, Worker};

const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 2]);
const NOW: Tick = Tick(1000);
/// Connections of a case, 64 of each client; their packets come in their order, over and over.
const FLOWS: u16 = 1024;
/// Bursts that are measured.
const BURSTS: usize = 64;

/// The packet that a flow sends: `SA` towards its client (`<`) for example.
type Packet = &'static str;

struct Case {
    name: &'static str,
    /// The service, as ipvsadm has it, and how its real servers are reached.
    service: &'static str,
    method: &'static str,
    before: &'static [Packet],
    measured: Packet,
}

const TCP: &str = "-t 10.0.0.100:80";
const UDP: &str = "-u 10.0.0.100:80";
const TCP6: &str = "-t [fd00::100]:80";
const SHAKE: &[Packet] = &["S", "A"];

const fn case(
    name: &'static str,
    service: &'static str,
    method: &'static str,
    before: &'static [Packet],
    measured: Packet,
) -> Case {
    Case { name, service, method, before, measured }
}

const CASES: &[Case] = &[
    case("dr", TCP, "-g", SHAKE, "A"),
    // The same where the host's kernel gets some ports.
    case("dr-kernel", TCP, "-g", SHAKE, "A"),
    case("dr-udp", UDP, "-g", &["u"], "u"),
    case("dr-v6", TCP6, "-g", SHAKE, "A"),
    case("nat-request", TCP, "-m", SHAKE, "A"),
    case("nat-reply", TCP, "-m", &["S", "<SA", "A", "<A"], "<A"),
    case("nat-request-v6", TCP6, "-m", SHAKE, "A"),
    case("nat-reply-v6", TCP6, "-m", &["S", "<SA", "A", "<A"], "<A"),
    case("ipip", TCP, "-i", SHAKE, "A"),
    case("gue", TCP, "-i --tun-type gue --tun-port 6080 --tun-nocsum", SHAKE, "A"),
    case("gre", TCP, "-i --tun-type gre --tun-nocsum", SHAKE, "A"),
    // A SYN finds no connection: it is scheduled, and inserted.
    case("new", TCP, "-g", &[], "S"),
    // In the state that it is in, a FIN changes nothing any more.
    case("closing", TCP, "-g", &["S", "A", "F"], "F"),
];

const SERVERS: u16 = 8;

fn server(number: u16, is_v4: bool) -> IpAddr {
    address(0x0a02_0000, 0xfd02, u32::from(11 + number % SERVERS), is_v4)
}

fn client(flow: u16, is_v4: bool) -> IpAddr {
    address(0x0a01_0000, 0xfd01, u32::from(1 + flow / 64), is_v4)
}

fn address(v4: u32, v6: u128, last: u32, is_v4: bool) -> IpAddr {
    if is_v4 {
        IpAddr::from((v4 | last).to_be_bytes())
    } else {
        IpAddr::from((v6 << 112 | u128::from(last)).to_be_bytes())
    }
}

fn control(case: &Case) -> Control {
    let is_v4 = !case.service.contains('[');
    let interface = Interface::new("lan0", InterfaceId(0), MAC, 1500)
        .with_address([10, 2, 0, 1], 16)
        .with_address([10, 1, 255, 1], 16)
        .with_address(address(0, 0xfd02, 1, false), 16)
        .with_address(address(0, 0xfd01, 0xff01, false), 16);
    let neighbours = (0..SERVERS)
        .map(|number| server(number, is_v4))
        .chain((0..FLOWS).step_by(64).map(|flow| client(flow, is_v4)))
        .map(|neighbour| (Hop { interface: InterfaceId(0), neighbour }, MAC));
    let taken: &[u16] = if case.name == "dr-kernel" { &[22, 179] } else { &[] };
    let rules = taken.iter().map(|&port| PuntRule { protocol: 6, port });
    let network = Network {
        interfaces: vec![interface],
        permanent_neighbours: neighbours.collect(),
        punt_rules: PuntRules::new(rules),
        ..Network::default()
    };
    let hasher = FlowHasher::new([1, 2, 3]);
    let flows_max = 1 << 16;
    let flows = FlowTable::new(flows_max, Storage::leaked(flows_max), hasher);
    let mut control = Control::new(flows, Limits::of_destinations(16), 1, hasher, network);
    let added = (0..SERVERS).map(|number| match server(number, is_v4) {
        IpAddr::V4(address) => format!("-a {} -r {address}:80 {}", case.service, case.method),
        IpAddr::V6(address) => format!("-a {} -r [{address}]:80 {}", case.service, case.method),
    });
    for line in std::iter::once(format!("-A {} -s rr", case.service)).chain(added) {
        let outcome = execute(&restore_words(&line), &[], &mut control, &Numeric);
        assert_eq!(outcome.exit, 0, "{line}: {}", outcome.stderr);
    }
    control.publish();
    control
}

/// The frame of a flow. The servers take turns in the order in which connections begin, the last
/// one first, as in the kernel.
fn frame(case: &Case, flow: u16, packet: Packet) -> Vec<u8> {
    let is_v4 = !case.service.contains('[');
    let turn = SERVERS - 1 - flow % SERVERS;
    let client = std::net::SocketAddr::new(client(flow, is_v4), 1024 + flow % 64).to_string();
    let server = std::net::SocketAddr::new(server(turn, is_v4), 80).to_string();
    let service = &case.service[3..];
    let link = Link { destination: MAC, ..Link::default() };
    let mut frame = match packet.strip_prefix('<') {
        _ if packet == "u" => Udp { src: &client, dst: service, ..Udp::default() }.frame(&link),
        Some(flags) => Tcp { src: &server, dst: &client, flags, ..Tcp::default() }.frame(&link),
        None => Tcp { src: &client, dst: service, flags: packet, ..Tcp::default() }.frame(&link),
    };
    // As Ethernet pads it.
    frame.resize(frame.len().max(60), 0);
    frame
}

struct Bed {
    worker: Worker,
    frames: Vec<MemoryFrame>,
    verdicts: [Verdict; BURST_MAX],
}

impl Bed {
    fn receive(&mut self, frames: &[Vec<u8>]) {
        for (frame, bytes) in self.frames.iter_mut().zip(frames) {
            frame.refill(bytes);
        }
    }

    /// All that is counted. Never inlined: callgrind knows it by its name.
    #[inline(never)]
    fn measured(&mut self) {
        self.worker.boundary();
        self.worker.process(
            InterfaceId(0),
            NOW,
            &mut self.frames,
            &mut self.verdicts,
            &mut Unwatched,
        );
    }

    /// The burst left, and a reply in another name than it came in.
    fn expect_sent(&self, received: &[Vec<u8>], packet: Packet) {
        let is_sent = |verdict: &Verdict| *verdict == Verdict::Send(InterfaceId(0));
        assert!(self.verdicts.iter().all(is_sent), "{:?}", self.verdicts);
        for (frame, before) in self.frames.iter().zip(received) {
            let source = if before[14] >> 4 == 4 { 26..30 } else { 22..38 };
            let is_renamed = frame.bytes()[source.clone()] != before[source];
            assert!(is_renamed || !packet.starts_with('<'), "{:x?} is routed", frame.bytes());
        }
    }
}

fn run(case: &Case) {
    let control = control(case);
    let frames = |packet| (0..FLOWS).map(|flow| frame(case, flow, packet)).collect::<Vec<_>>();
    let mut bed = Bed {
        worker: Worker::new(Arc::clone(control.director()), 0),
        frames: (0..BURST_MAX).map(|_| MemoryFrame::new(&[0; 60])).collect(),
        verdicts: [Verdict::Consumed; BURST_MAX],
    };
    for packet in case.before {
        for burst in frames(packet).chunks(BURST_MAX) {
            bed.receive(burst);
            let Bed { worker, frames, verdicts } = &mut bed;
            worker.boundary();
            worker.process(InterfaceId(0), NOW, frames, verdicts, &mut Unwatched);
            bed.expect_sent(burst, packet);
        }
    }
    let measured = frames(case.measured);
    let bursts = if case.before.is_empty() { measured.len() / BURST_MAX } else { BURSTS };
    for burst in measured.chunks(BURST_MAX).cycle().take(bursts) {
        bed.receive(burst);
        bed.measured();
        if !case.method.starts_with("-i") {
            bed.expect_sent(burst, case.measured);
        }
    }
    println!("{}", bursts * BURST_MAX);
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
