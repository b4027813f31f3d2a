//! The format of a case, and how one is run.
//!
//! A case is a text: its head says why it is there, then it says what to do, line by line. A line
//! that begins with `=` is what the line before it must bring about. Everything happens in the
//! network of the kernel's captures (`bed::captured_network`), at one moment until `time` says
//! otherwise.
//!
//! | line | what it does | what it brings about |
//! | --- | --- | --- |
//! | a frame (`frames`) | through the packet path | `drop REASON` where one is counted, and the frame that leaves: `IF` and `wire::show`, `waits` where the neighbour is unknown, `early` where the first fragment is, `to the kernel`, `consumed`; `+N` are bytes behind its packet |
//! | `host` and a frame | the host's kernel sends it by `in=IF` | the frame as it leaves, or `drop REASON` |
//! | `-A`, `-e`, ... (`commands`) | ipvsadm | nothing, or the error |
//! | `list`, `stats`, `rates` | `ipvsadm -Ln`, `--stats`, `--rate` | services and servers |
//! | `connections` | `-Lnc` | state, seconds left |
//! | `flows` | entries of the table that are in use | number |
//! | `time +5s` | seconds pass | |
//! | `arp-out` | | the ARP that the control plane wanted to have sent |
//! | `take A`, `withdraw A` | a VIP comes or goes | nothing, or the error |
//! | `set NAME=VALUE`, `get NAME` | sysctl | nothing, or the value |
//! | `vip A`, `mtu IF N`, `route A/N via G`, `vlan-interface IF ID A/N`, `kernel IF`, `punt PROTOCOL PORT`, `table FLOWS SERVERS` | only before the rest; `kernel` gives an interface the host's kernel, which gets `punt` before any service does | |

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use lb_core::control::{NeighbourOut, Network};
use lb_core::destination::Destination;
use lb_core::interface::{Interface, InterfaceAddress, InterfaceId};
use lb_core::operations::{Operations, Rates, Stats};
use lb_core::protocol::Protocol;
use lb_core::punt::{PuntRule, PuntRules};
use lb_core::route::Route;
use lb_core::service::ServiceKey;
use lb_core::settings::Switch;
use lb_core::wire::{ipv4, show, vlan};
use lb_core::worker::Verdict;

use crate::bed::{Bed, Outcome, captured_network};
use crate::{commands, frames};

/// What a case is run on.
struct Run {
    network: Option<Network>,
    table: (usize, usize),
    bed: Option<Bed>,
}

/// The text of a case with what really happened.
pub(crate) fn run(text: &str) -> String {
    let mut run = Run { network: Some(captured_network()), table: (1024, 16), bed: None };
    let mut out = String::new();
    for line in text.lines().filter(|line| !line.starts_with('=')) {
        let _ = writeln!(out, "{line}");
        if line.is_empty() || line.starts_with('#') || run.setting(line) {
            continue;
        }
        for happened in run.step(line) {
            let _ = writeln!(out, "= {happened}");
        }
    }
    out
}

impl Run {
    /// Takes a line that describes the surroundings.
    fn setting(&mut self, line: &str) -> bool {
        let words: Vec<&str> = line.split_whitespace().collect();
        let subnet = |text: &str| {
            let (address, prefix) = text.split_once('/').expect("ADDRESS/PREFIX");
            let address = address.parse().expect("an address");
            InterfaceAddress { address, prefix: prefix.parse().expect("a prefix") }
        };
        if !["vip", "mtu", "route", "table", "vlan-interface", "kernel", "punt"].contains(&words[0])
        {
            return false;
        }
        let network = self.network.as_mut().unwrap_or_else(|| panic!("`{line}` comes too late"));
        match *words {
            ["vip", address] => network.vips.push(address.parse().expect("an address")),
            ["mtu", name, mtu] => {
                let mut interfaces = network.interfaces.iter_mut();
                let interface = interfaces.find(|interface| interface.name == name);
                interface.expect("an interface").mtu = mtu.parse().expect("a number");
            }
            ["vlan-interface", parent, id, address] => {
                let port = network.interfaces.iter().position(|i| i.name == parent);
                let port = InterfaceId(u8::try_from(port.expect("a port")).expect("few"));
                let parent = &network.interfaces[usize::from(port.0)];
                let InterfaceAddress { address, prefix } = subnet(address);
                let mut vlan =
                    Interface::new(&format!("{}.{id}", parent.name), port, parent.mac, 1500)
                        .with_address(address, prefix);
                vlan.vlan = Some(id.parse().expect("a VLAN"));
                network.interfaces.push(vlan);
            }
            ["kernel", name] => {
                let mut interfaces = network.interfaces.iter_mut();
                let interface = interfaces.find(|interface| interface.name == name);
                interface.expect("an interface").has_kernel = true;
            }
            ["punt", protocol, port] => {
                let protocol = protocol.parse().expect("a number");
                let rule = PuntRule { protocol, port: port.parse().expect("a port") };
                network.punt_rules = PuntRules::new([rule]);
            }
            ["route", to, "via", via] => {
                let via = via.parse().expect("an address");
                network.routes.push(Route::new(subnet(to), via));
            }
            ["table", flows, servers] => {
                self.table = (flows.parse().expect("flows"), servers.parse().expect("servers"));
            }
            _ => panic!("`{line}`: no such setting"),
        }
        true
    }

    fn bed(&mut self) -> &mut Bed {
        let (network, (flows, servers)) = (&mut self.network, self.table);
        self.bed
            .get_or_insert_with(|| Bed::new(network.take().expect("taken once"), flows, servers))
    }

    /// Does what a line says; returns what happened.
    fn step(&mut self, line: &str) -> Vec<String> {
        if let Some(frame) = line.strip_prefix("host ") {
            return self.host_frame(frame);
        }
        if frames::is_frame(line) {
            return self.frame(line);
        }
        if line.starts_with('-') {
            let done = commands::run(&mut self.bed().control, line);
            return done.err().into_iter().map(|error| format!("error: {error}")).collect();
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        match *words {
            ["list"] => list(self.bed()),
            ["stats"] => figures(self.bed(), |stats, _| stats),
            ["rates"] => figures(self.bed(), |_, rates| rates),
            ["connections"] => connections(self.bed()),
            ["flows"] => vec![self.bed().flows_used().to_string()],
            ["time", by] => {
                let seconds = by.strip_prefix('+').and_then(|by| by.strip_suffix('s'));
                self.bed().pass(seconds.and_then(|s| s.parse().ok()).expect("time +5s"));
                Vec::new()
            }
            ["arp-out"] => arp_out(self.bed()),
            ["take", address] => self.own(address, true),
            ["withdraw", address] => self.own(address, false),
            ["get", name] => {
                let switch = Switch::named(name).unwrap_or_else(|| panic!("no switch {name}"));
                vec![switch.get(self.bed().control.settings()).to_string()]
            }
            ["set", setting] => {
                let (name, value) = setting.split_once('=').expect("NAME=VALUE");
                let mut settings = *self.bed().control.settings();
                match name {
                    "tunnel_source_spread" => settings.tunnel_source_spread = value != "0",
                    "kernel_rate" => settings.kernel_rate = value.parse().expect("a number"),
                    name => {
                        let switch = Switch::named(name);
                        let switch = switch.unwrap_or_else(|| panic!("no setting {name}"));
                        switch.set_text(&mut settings, value).expect("a value of its own");
                    }
                }
                self.bed().control.set_settings(settings);
                Vec::new()
            }
            _ => panic!("`{line}`: not understood"),
        }
    }

    /// `sluicectl vip add` and `withdraw`.
    fn own(&mut self, address: &str, is_owned: bool) -> Vec<String> {
        let address = address.parse().expect("an address");
        let done = self.bed().control.set_owned(address, is_owned);
        done.err().into_iter().map(|error| format!("error: {error}")).collect()
    }

    fn host_frame(&mut self, line: &str) -> Vec<String> {
        let bed = self.bed();
        let input = frames::parse(line, bed.control.interfaces(), 0);
        let name = bed.control.interfaces()[usize::from(input.from.0)].name.clone();
        vec![match bed.hear(input.from, &input.frame) {
            Ok(frame) => format!("{name} {}{}", show(&frame), trailer(&frame)),
            Err(reason) => format!("drop {}", reason.name()),
        }]
    }

    fn frame(&mut self, line: &str) -> Vec<String> {
        let bed = self.bed();
        let times = frames::parse(line, bed.control.interfaces(), 0).times;
        let mut happened: Vec<(usize, Vec<String>)> = Vec::new();
        for round in (0..=u16::MAX).take(times) {
            let input = frames::parse(line, bed.control.interfaces(), round);
            let outcome = bed.process(input.from, &input.frame);
            let outcome = describe(bed, &outcome);
            match happened.last_mut() {
                Some((count, same)) if *same == outcome => *count += 1,
                _ => happened.push((1, outcome)),
            }
        }
        let numbered = |(count, lines): (usize, Vec<String>)| {
            let times = if count == 1 { String::new() } else { format!("{count} times ") };
            lines.into_iter().map(move |line| format!("{times}{line}"))
        };
        happened.into_iter().flat_map(numbered).collect()
    }
}

fn describe(bed: &Bed, outcome: &Outcome) -> Vec<String> {
    let dropped = outcome.dropped.map(|reason| format!("drop {}", reason.name()));
    let sent = outcome.sent.iter().map(|(interface, frame)| {
        let name = &bed.control.interfaces()[usize::from(interface.0)].name;
        format!("{name} {}{}", show(frame), trailer(frame))
    });
    let left = match outcome.verdict {
        Verdict::Send(_) | Verdict::Answer(..) => None,
        Verdict::Consumed if !outcome.sent.is_empty() => None,
        Verdict::Wait(_) => Some(format!("waits: {}", show(&outcome.frame))),
        Verdict::Hold(..) => Some("early".to_owned()),
        Verdict::Punt(interface) => {
            let name = &bed.control.interfaces()[usize::from(interface.0)].name;
            Some(format!("to the kernel, {name}: {}", show(&outcome.frame)))
        }
        Verdict::Consumed => Some("consumed".to_owned()),
        Verdict::Drop(reason) => {
            assert_eq!(Some(reason), outcome.dropped, "what is dropped is counted");
            None
        }
    };
    dropped.into_iter().chain(left).chain(sent).collect()
}

/// Bytes behind the IPv4 packet of a frame.
fn trailer(frame: &[u8]) -> String {
    let packet_end = vlan::network_offset(frame).and_then(|(_, offset)| {
        let packet = ipv4::Packet::check(&frame[offset..]).ok()?;
        Some(offset + usize::from(packet.header.total_length()))
    });
    match packet_end {
        Some(end) if end < frame.len() => format!(" +{}", frame.len() - end),
        _ => String::new(),
    }
}

fn name(key: &ServiceKey) -> String {
    match key {
        ServiceKey::Address { protocol, address, port } => format!("{protocol} {address}:{port}"),
        ServiceKey::Mark { mark, .. } => format!("FWM {mark}"),
    }
}

fn list(bed: &Bed) -> Vec<String> {
    let mut lines = Vec::new();
    for row in bed.control.services() {
        lines.push(format!("{} {}", name(&row.service.key), row.service.scheduler));
        for row in row.destinations {
            let server = &row.destination;
            lines.push(format!(
                "  -> {}:{} {} {} {} {}",
                server.address,
                server.port,
                server.method.name(),
                server.weight,
                row.active,
                row.inactive
            ));
        }
    }
    lines
}

/// The figures that `choose` takes, behind the names.
fn figures(bed: &Bed, choose: fn([u64; 5], [u64; 5]) -> [u64; 5]) -> Vec<String> {
    let text = |stats: Stats, rates: Rates| {
        let Stats { connections, packets_in, bytes_in, packets_out, bytes_out } = stats;
        let stats = [connections, packets_in, packets_out, bytes_in, bytes_out];
        let Rates { connections, packets_in, bytes_in, packets_out, bytes_out } = rates;
        let rates = [connections, packets_in, packets_out, bytes_in, bytes_out];
        choose(stats, rates).map(|figure| figure.to_string()).join(" ")
    };
    let mut lines = Vec::new();
    for row in bed.control.services() {
        lines.push(format!("{} {}", name(&row.service.key), text(row.stats, row.rates)));
        for row in row.destinations {
            let Destination { address, port, .. } = row.destination;
            lines.push(format!("  -> {address}:{port} {}", text(row.stats, row.rates)));
        }
    }
    lines
}

fn connections(bed: &Bed) -> Vec<String> {
    let mut rows = bed.control.connections();
    rows.sort_by_key(|row| (row.protocol, row.client, row.virtual_end));
    let line = |row: lb_core::operations::ConnectionRow| {
        let protocol = Protocol::from_number(row.protocol).map_or("?", Protocol::name);
        let end = |(address, port)| format!("{address}:{port}");
        let (client, service) = (end(row.client), end(row.virtual_end));
        let (state, server) = (row.state, end(row.destination));
        format!("{protocol} {} {state} {client} {service} {server}", row.expires_s)
    };
    rows.into_iter().map(line).collect()
}

fn arp_out(bed: &mut Bed) -> Vec<String> {
    let names: Vec<String> =
        bed.control.interfaces().iter().map(|interface| interface.name.clone()).collect();
    let line = |out: NeighbourOut| match out {
        NeighbourOut::Ask(question) => {
            let to =
                question.last_known.map_or_else(|| "everybody".to_owned(), |mac| mac.to_string());
            let hop = question.hop;
            format!("{} asks {to} for {}", names[usize::from(hop.interface.0)], hop.neighbour)
        }
        NeighbourOut::Announce { interface, address } => {
            format!("{} announces {address}", names[usize::from(interface.0)])
        }
    };
    std::mem::take(&mut bed.neighbours_out).into_iter().map(line).collect()
}

fn case_files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/cases");
    let entries = std::fs::read_dir(&folder).expect("the folder of cases");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "case"));
    files.sort();
    files
}

#[test]
fn every_case() {
    let regenerate = std::env::var_os("REGENERATE").is_some();
    let mut wrong = Vec::new();
    let files = case_files();
    for path in &files {
        let expected = std::fs::read_to_string(path).expect("a readable case");
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        assert!(expected.starts_with("# "), "{name}: a case begins by saying why it is there");
        println!("{name}");
        let happened = run(&expected);
        if regenerate {
            std::fs::write(path, &happened).expect("a writable case");
        } else if happened != expected {
            wrong.push(format!("{name}: {}", first_difference(&expected, &happened)));
        }
    }
    assert!(wrong.is_empty(), "{}\nREGENERATE=1 rewrites what is expected", wrong.join("\n"));
    assert_eq!(files.len(), 72, "cases found");
}

fn first_difference(expected: &str, happened: &str) -> String {
    let mut pairs = expected.lines().zip(happened.lines()).enumerate();
    match pairs.find(|(_, (expected, happened))| expected != happened) {
        Some((at, (expected, happened))) => {
            format!("line {}\n  expected {expected}\n  happened {happened}", at + 1)
        }
        None => "one is longer than the other".to_owned(),
    }
}

/// Reasons that only the program around the core can have: frames here are whole, nothing waits
/// until its time is over, and there is neither a device nor a kernel that takes nothing.
const OUTSIDE: [&str; 4] =
    ["segmented_frame", "neighbour_unresolved", "transmit_full", "kernel_unavailable"];

#[test]
fn every_drop_reason_has_a_case() {
    let text: String =
        case_files().iter().map(|path| std::fs::read_to_string(path).expect("a case")).collect();
    for reason in lb_core::drops::DropReason::ALL.iter().map(|reason| reason.name()) {
        let seen = text.lines().any(|line| line.ends_with(&format!("drop {reason}")));
        assert!(seen != OUTSIDE.contains(&reason), "{reason}: {seen}");
    }
}
