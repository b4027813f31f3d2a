//! The kernel's picks, replayed through control plane and packet path: every one must be equal.
//!
//! `schedulers-golden.json` holds picks of undisturbed services. `schedulers-random.txt` holds
//! random operations and what the kernel did at each:
//!
//! ```text
//! sequence 0 tcp address rr                     a new service: of VIP and port 1000, or mark 1000
//! add 12 3 0 0 | 12:0/0                         server, weight, -x, -y | counts afterwards
//! packet 10.0.1.2:10000 10.0.0.100 S > 12 | 12:1/0      client, to, flags > where it came out
//! service sh -b sh-port | 12:1/0                -E with a scheduler, mostly the same
//! wait 12 | 12:1/0                              seconds
//! ```
//!
//! Counts are active/inactive connections of each server, in the kernel's order. A packet comes
//! out at a server, as `icmp` or `reset` to the client, or as `nothing`. `lblcr_expiration` is 10.

use std::fmt::Write as _;
use std::sync::Arc;

use lb_core::drops::DropReason;
use lb_core::frame::Frame as _;
use lb_core::interface::InterfaceId;
use lb_core::marks::MarkRules;
use lb_core::marks::rule::{Change, Rule, Target};
use lb_core::operations::Operations;
use lb_core::protocol::Protocol;
use lb_core::service::{Family, ServiceKey};
use lb_core::settings::Settings;
use lb_core::wire::build::{Link, MemoryFrame, Tcp, Udp};
use lb_core::wire::{MacAddress, field::window, ipv4};
use lb_core::worker::Verdict;
use serde_json::Value;

use crate::bed::{Bed, captured_network};
use crate::commands;

const GOLDEN: &str = include_str!("../captures/kernel/schedulers-golden.json");
const RANDOM: &str = include_str!("../captures/kernel/schedulers-random.txt");

const VIP: &str = "10.0.0.100";

/// A service of the recordings and the way a packet takes.
struct Replay {
    bed: Bed,
    protocol: Protocol,
    port: u16,
    /// The service is that of a mark, which is the port's number.
    by_mark: bool,
}

impl Replay {
    fn new(protocol: &str, port: u16, scheduler: &str) -> Self {
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            other => panic!("protocol {other}"),
        };
        let bed = Bed::new(captured_network(), 4096, 16);
        let mut replay = Self { bed, protocol, port, by_mark: false };
        replay.command("-A", &format!("-s {scheduler}"));
        replay
    }

    /// The service of a mark, which all packets of clients have, wherever they go.
    fn by_mark(protocol: &str, mark: u16, scheduler: &str) -> Self {
        let mut replay = Self::new(protocol, mark, scheduler);
        replay.command("-D", "");
        replay.by_mark = true;
        replay.command("-A", &format!("-s {scheduler}"));
        let change = Change { value: mark.into(), mask: u32::MAX };
        let rule = Rule { target: Some(Target::Mark(change)), ..Rule::default() };
        let intercepted = vec![mark.into()];
        let rules = MarkRules { v4: Arc::new(vec![rule]), intercepted, ..MarkRules::default() };
        replay.bed.set_marks(rules);
        let settings = Settings { lblcr_expiration_s: 10, ..*replay.bed.control.settings() };
        replay.bed.control.set_settings(settings);
        replay
    }

    fn command(&mut self, command: &str, rest: &str) {
        let service = match (self.by_mark, self.protocol) {
            (true, _) => format!("-f {}", self.port),
            (false, Protocol::Tcp) => format!("-t {VIP}:{}", self.port),
            (false, _) => format!("-u {VIP}:{}", self.port),
        };
        let line = format!("{command} {service} {rest}");
        commands::run(&mut self.bed.control, &line)
            .unwrap_or_else(|error| panic!("{line}: {error}"));
    }

    fn server_command(&mut self, command: &str, server: &str, rest: &str) {
        let port = if self.by_mark { String::new() } else { format!(":{}", self.port) };
        self.command(command, &format!("-r 10.0.2.{server}{port} {rest}"));
    }

    /// Sends a packet; says where it came out, as the recordings do.
    fn packet(&mut self, src: &str, to: &str, flags: &str) -> String {
        let link = Link { destination: MacAddress([2, 0, 0, 0, 0, 0x61]), ..Link::default() };
        let dst = format!("{to}:{}", self.port);
        let frame = match self.protocol {
            Protocol::Tcp => Tcp { src, dst: &dst, flags, ..Tcp::default() }.frame(&link),
            _ => Udp { src, dst: &dst, ..Udp::default() }.frame(&link),
        };
        let outcome = self.bed.process(InterfaceId(0), &frame);
        match outcome.verdict {
            Verdict::Send(InterfaceId(1)) => outcome.frame[5].to_string(),
            Verdict::Answer(..) => {
                let answer = MemoryFrame::new(&outcome.frame);
                let header =
                    ipv4::Header::over(window(answer.bytes(), 14).expect("an IPv4 answer"));
                let is_reset = header.protocol() == ipv4::protocol::TCP;
                if is_reset { "reset" } else { "icmp" }.to_owned()
            }
            Verdict::Drop(DropReason::DestinationRemoved | DropReason::NoConnection) => {
                "nothing".to_owned()
            }
            // The answer would leave for a client that no route leads to here; but an address that
            // is the director's by the mark alone never answers.
            Verdict::Drop(DropReason::NoDestination) => {
                if self.by_mark { "nothing" } else { "icmp" }.to_owned()
            }
            other => panic!("{other:?}"),
        }
    }

    fn counts(&self) -> String {
        let address = VIP.parse().expect("an address");
        let key = if self.by_mark {
            ServiceKey::Mark { mark: self.port.into(), family: Family::V4 }
        } else {
            ServiceKey::Address { protocol: self.protocol, address, port: self.port }
        };
        let row = self.bed.control.service(&key).expect("the service");
        let mut text = String::new();
        for row in row.destinations {
            let server = row.destination.address.to_string();
            let last = server.rsplit('.').next().unwrap_or_default();
            let _ = write!(text, "{last}:{}/{} ", row.active, row.inactive);
        }
        if text.is_empty() { "-".to_owned() } else { text.trim_end().to_owned() }
    }

    /// Does one recorded operation; says where its packet came out.
    fn operation(&mut self, words: &[&str]) -> Option<String> {
        match *words {
            ["add", server, weight, upper, lower] => {
                self.server_command("-a", server, &format!("-w {weight} -x {upper} -y {lower}"));
            }
            ["edit", server, weight, upper, lower] => {
                self.server_command("-e", server, &format!("-w {weight} -x {upper} -y {lower}"));
            }
            ["delete", server] => self.server_command("-d", server, ""),
            ["service", ref scheduler @ ..] => {
                self.command("-E", &format!("-s {}", scheduler.join(" ")));
            }
            // One second for the sweeper to come round.
            ["wait", seconds] => self.bed.pass(seconds.parse().expect("seconds")),
            ["packet", client, to, flags, ">", _] => return Some(self.packet(client, to, flags)),
            _ => panic!("operation {words:?}"),
        }
        None
    }
}

#[test]
fn every_pick_of_random_operations() {
    let mut replay = None;
    let (mut packets, mut operations, mut picks) = (0, 0, 0);
    for (number, line) in RANDOM.lines().enumerate().filter(|(_, line)| !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let ["sequence", place, protocol, by, ref scheduler @ ..] = *words {
            let number = 1000 + place.parse::<u16>().expect("a number");
            let begin = if by == "mark" { Replay::by_mark } else { Replay::new };
            replay = Some(begin(protocol, number, &scheduler.join(" ")));
            continue;
        }
        let (what, counts) = line.split_once(" | ").expect("OPERATION | COUNTS");
        let words: Vec<&str> = what.split_whitespace().collect();
        let replay = replay.as_mut().expect("a sequence first");
        if let Some(out) = replay.operation(&words) {
            assert_eq!(out, words[5], "line {}: {line}", number + 1);
            packets += 1;
            picks += usize::from(out.parse::<u8>().is_ok());
        }
        assert_eq!(replay.counts(), counts, "line {}: {line}", number + 1);
        operations += 1;
    }
    assert_eq!((operations, packets, picks), (14_629, 11_897, 10_086), "the recording is complete");
}

/// Where a packet comes out by the golden file: the last part of a server's address.
fn expected<'a>(replay: &Replay, pick: &'a Value) -> &'a str {
    let none = if replay.by_mark { "nothing" } else { "icmp" };
    pick.as_str().map_or(none, |address| address.rsplit('.').next().expect("a part"))
}

/// Servers are 10.0.2.11 and upwards.
fn add_servers(replay: &mut Replay, run: &Value) {
    let weights = run["weights_in_add_order"].as_array().expect("weights");
    for (last, weight) in (11..).zip(weights) {
        replay.server_command("-a", &last.to_string(), &format!("-w {weight}"));
    }
}

/// Only the first packets of a TCP run are determined where the load counts: the recording does
/// not say when connections ended after that.
#[test]
fn every_pick_of_undisturbed_services() {
    let golden: Value = serde_json::from_str(GOLDEN).expect("JSON");
    let mut picks = 0;
    for scheduler in ["rr", "wrr", "lc", "wlc", "sed", "nq", "fo", "ovf"] {
        for (place, run) in golden[scheduler].as_array().expect("runs").iter().enumerate() {
            let protocol = run["proto"].as_str().expect("proto");
            let mut replay = Replay::new(protocol, 80, scheduler);
            add_servers(&mut replay, run);
            let determined = protocol == "udp" || ["rr", "wrr", "fo"].contains(&scheduler);
            let recorded = run["picked"].as_array().expect("picks");
            let servers = run["weights_in_add_order"].as_array().map_or(0, Vec::len);
            let count = if determined { recorded.len() } else { servers };
            for (client, pick) in recorded[..count].iter().enumerate() {
                let out = replay.packet(&format!("10.0.1.2:{}", 10_000 + client), VIP, "S");
                assert_eq!(out, expected(&replay, pick), "{scheduler} {place} pick {client}");
                picks += 1;
            }
        }
    }
    assert_eq!(picks, 1615, "the recording is complete");
}

#[test]
fn every_pick_by_the_clients_address() {
    let golden: Value = serde_json::from_str(GOLDEN).expect("JSON");
    let mut picks = 0;
    for scheduler in ["sh", "mh"] {
        for (place, run) in golden[scheduler].as_array().expect("runs").iter().enumerate() {
            let port = run["service_port"].as_u64().and_then(|port| u16::try_from(port).ok());
            let flags = run["flags"].as_str().expect("flags");
            let mut replay =
                Replay::new("udp", port.expect("a port"), &format!("{scheduler} {flags}"));
            add_servers(&mut replay, run);
            for client in run["map"].as_array().expect("clients") {
                let [address, port, pick] = &client.as_array().expect("a client")[..] else {
                    panic!("{client}")
                };
                let out =
                    replay.packet(&format!("{}:{port}", address.as_str().expect("text")), VIP, "S");
                assert_eq!(out, expected(&replay, pick), "{scheduler} {place} client {client}");
                picks += 1;
            }
        }
    }
    assert_eq!(picks, 3255, "the recording is complete");
}

#[test]
fn every_pick_by_the_destination_address() {
    let golden: Value = serde_json::from_str(GOLDEN).expect("JSON");
    let mut picks = 0;
    for (scheduler, key) in [("dh", "map"), ("lblc", "seq"), ("lblcr", "seq")] {
        for (place, run) in golden[scheduler].as_array().expect("runs").iter().enumerate() {
            let mut replay = Replay::by_mark("udp", 80, scheduler);
            add_servers(&mut replay, run);
            for (client, pair) in (10_000..).zip(run[key].as_array().expect("picks")) {
                let [address, pick] = &pair.as_array().expect("a pair")[..] else {
                    panic!("{pair}")
                };
                let to = address.as_str().expect("an address");
                let out = replay.packet(&format!("10.0.1.2:{client}"), to, "S");
                assert_eq!(out, expected(&replay, pick), "{scheduler} {place} {pair}");
                picks += 1;
            }
        }
    }
    assert_eq!(picks, 520, "the recording is complete");
}
