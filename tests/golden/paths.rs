//! What the kernel did with frames, replayed: every frame that left it leaves here, byte for byte
//! but for what both choose freely.
//!
//! A capture has the network and the services in `ip`, `sysctl` and `ipvsadm` lines, frames that
//! came in (`> lan0 HEX`), and behind each what left (`< lan1 HEX`); see
//! `tests/captures/kernel/README.md`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lb_core::control::Network;
use lb_core::interface::{InterfaceAddress, InterfaceId};
use lb_core::ipvsadm::{Numeric, execute, restore_words};
use lb_core::marks::MarkRules;
use lb_core::marks::rule::{Change, InterfaceMatch, Rule, Target};
use lb_core::route::Route;
use lb_core::settings::{Settings, Switch};
use lb_core::wire::show;

use crate::bed::{Bed, captured_network};
use crate::commands;
use crate::differences::Differences;
use crate::masks::{Left, is_fragment, masked};

/// A replay of one capture.
struct Replay {
    network: Option<Network>,
    bed: Option<Bed>,
    settings: Settings,
    marks: MarkRules,
    gue_ports: Vec<u16>,
    /// Frames that left and were compared.
    compared: usize,
    wrong: Vec<Fault>,
    run: Run,
}

/// What was not as in the kernel, and behind which line of the capture.
struct Fault {
    line: usize,
    about: String,
}

/// What a frame, or several fragments one behind the other, brought about.
#[derive(Default)]
struct Run {
    number: usize,
    about: String,
    expected: Vec<Left>,
    happened: Vec<Left>,
}

impl Replay {
    fn bed(&mut self) -> &mut Bed {
        let (network, settings) = (&mut self.network, self.settings);
        self.bed.get_or_insert_with(|| {
            let mut bed = Bed::new(network.take().expect("taken once"), 4096, 64);
            bed.control.set_settings(settings);
            bed
        })
    }

    fn line(&mut self, number: usize, line: &str, expected: &[&str]) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match *words {
            ["ip", ..] if self.bed.is_none() => self.surroundings(&words),
            ["sysctl", setting] => self.sysctl(setting),
            ["modprobe", _] => {}
            ["wait", seconds] => {
                let (whole, part) = seconds.split_once('.').unwrap_or((seconds, ""));
                self.bed().pass(whole.parse().expect("wait SECONDS"));
                if !part.is_empty() {
                    self.bed().pass_moment();
                }
            }
            ["connections"] => {
                self.bed().pass_moment();
                let happened = connections(self.bed());
                self.compare(number, line, expected, &happened);
            }
            ["calls"] => {
                self.bed().pass_moment();
                let mut happened = listing(self.bed(), "-L -n -c --persistent-conn", 2);
                happened.sort_by_key(|row| without_timer(row));
                self.compare(number, line, expected, &happened);
            }
            ["persistent"] => {
                let happened = listing(self.bed(), "-L -n --persistent-conn", 3);
                self.compare(number, line, expected, &happened);
            }
            ["mark", interface, mark] => {
                self.marks.v4 = rule_of(interface, mark);
                self.marks.v6 = rule_of(interface, mark);
                self.set_marks();
            }
            ["intercept", mark] => {
                self.marks.intercepted = vec![mark.parse().expect("a mark")];
                self.set_marks();
            }
            ["stats"] => {
                let happened = stats(self.bed());
                self.compare(number, line, expected, &happened);
            }
            [">", interface, hex, ..] => self.frame(number, line, interface, hex, expected),
            [word, ..] if word.starts_with('-') => {
                let port = line.split_once("--tun-port ").map(|(_, rest)| rest);
                let port = port.and_then(|rest| rest.split(' ').next()?.parse::<u16>().ok());
                self.gue_ports.extend(port);
                let done = commands::run(&mut self.bed().control, line);
                let happened: Vec<String> =
                    done.err().into_iter().map(|text| format!("error {text}")).collect();
                let without_code = |line: &&str| {
                    let (_, text) = line.strip_prefix("= error ")?.split_once(' ')?;
                    Some(format!("error {text}"))
                };
                let expected: Vec<String> = expected.iter().filter_map(without_code).collect();
                assert_eq!(happened, expected, "line {number}: {line}");
            }
            _ => panic!("line {number}: `{line}`: not understood"),
        }
    }

    /// A line about the network, before the first service.
    fn surroundings(&mut self, words: &[&str]) {
        let network = self.network.as_mut().expect("before the rest");
        let subnet = |text: &str| {
            let (address, prefix) = text.split_once('/').expect("ADDRESS/PREFIX");
            let prefix = prefix.parse().expect("a prefix");
            InterfaceAddress { address: address.parse().expect("an address"), prefix }
        };
        match *words {
            ["ip", "link", "set", name, "mtu", mtu] => {
                let mut interfaces = network.interfaces.iter_mut();
                let interface = interfaces.find(|interface| interface.name == name);
                interface.expect("an interface").mtu = mtu.parse().expect("a number");
            }
            ["ip", "route", "add", to, "via", via] => {
                let via = via.parse().expect("an address");
                network.routes.push(Route::new(subnet(to), via));
            }
            ["ip", "addr", "add", address, "dev", "lo"] => {
                network.vips.push(subnet(address).address);
            }
            ["ip", "neigh", "add", address, "lladdr", mac, "dev", name, ..] => {
                let place = network.interfaces.iter().position(|i| i.name == name);
                let interface = InterfaceId(u8::try_from(place.expect("one")).expect("few"));
                let neighbour = address.parse().expect("an address");
                let hop = lb_core::route::Hop { interface, neighbour };
                network.permanent_neighbours.push((hop, mac.parse().expect("a MAC address")));
            }
            _ => panic!("{words:?}: not understood"),
        }
    }

    fn set_marks(&mut self) {
        let marks = self.marks.clone();
        self.bed().set_marks(marks);
    }

    fn sysctl(&mut self, setting: &str) {
        let (name, value) = setting.split_once('=').expect("NAME=VALUE");
        let name = name.rsplit('.').next().unwrap_or_default();
        let switch = Switch::named(name).unwrap_or_else(|| panic!("no sysctl {name}"));
        switch.set_text(&mut self.settings, value).expect("a value of its own");
        let settings = self.settings;
        self.bed().control.set_settings(settings);
    }

    /// A frame comes in. What fragments bring about is compared when their run has ended: the
    /// kernel holds them back until all are there.
    fn frame(&mut self, number: usize, line: &str, from: &str, hex: &str, expected: &[&str]) {
        let from = InterfaceId(u8::from(from == "lan1"));
        let frame = bytes(hex);
        if !is_fragment(&frame) {
            self.end_run();
        }
        let sent = self.bed().process(from, &frame).sent;
        let names: Vec<String> =
            self.bed().control.interfaces().iter().map(|i| i.name.clone()).collect();
        let run = &mut self.run;
        run.number = number;
        run.about = line.split_once('#').map_or("", |(_, about)| about).to_owned();
        run.happened
            .extend(sent.into_iter().map(|(to, frame)| (names[usize::from(to.0)].clone(), frame)));
        run.expected.extend(expected.iter().filter_map(|line| {
            let mut words = line.strip_prefix("< ")?.split(' ');
            Some((words.next()?.to_owned(), bytes(words.next()?)))
        }));
        if !is_fragment(&frame) {
            self.end_run();
        }
    }

    /// Compares what left since the last call.
    fn end_run(&mut self) {
        let Run { number, about, expected, happened } = std::mem::take(&mut self.run);
        self.compared += expected.len();
        let (want, have) = (masked(&expected, &self.gue_ports), masked(&happened, &self.gue_ports));
        if want == have {
            return;
        }
        let mut text = about;
        for (what, frames) in [("want", &want), ("have", &have)] {
            for (to, frame) in frames {
                let _ = write!(text, "\n    {what} {to} {}", show(frame));
                let _ = write!(text, "\n         {}", hex_of(frame));
            }
            if frames.is_empty() {
                let _ = write!(text, "\n    {what} nothing");
            }
        }
        self.wrong.push(Fault { line: number, about: text });
    }

    fn compare(&mut self, number: usize, line: &str, expected: &[&str], happened: &[String]) {
        let mut expected: Vec<&str> =
            expected.iter().filter_map(|line| line.strip_prefix("= ")).collect();
        if line == "connections" || line == "calls" {
            expected.sort_by_key(|row| without_timer(row));
        }
        self.compared += 1;
        let is_same = expected.len() == happened.len()
            && expected.iter().zip(happened).all(|(want, have)| is_about(want, have));
        if !is_same {
            let both = format!("want {expected:#?}\n    have {happened:#?}");
            self.wrong.push(Fault { line: number, about: format!("{line}\n    {both}") });
        }
    }
}

/// The rule that gives all packets of an interface a mark.
fn rule_of(interface: &str, mark: &str) -> Arc<Vec<Rule>> {
    let change = Change { value: mark.parse().expect("a mark"), mask: u32::MAX };
    let interface = InterfaceMatch { pattern: interface.to_owned(), negated: false };
    Arc::new(vec![Rule {
        interface: Some(interface),
        target: Some(Target::Mark(change)),
        ..Rule::default()
    }])
}

/// Rows of `ipvsadm -Lnc`, sorted.
fn connections(bed: &mut Bed) -> Vec<String> {
    let mut rows = listing(bed, "-L -n -c", 2);
    rows.sort_by_key(|row| without_timer(row));
    rows
}

/// Rows of `ipvsadm -Ln --stats --exact`.
fn stats(bed: &mut Bed) -> Vec<String> {
    listing(bed, "-L -n --stats --exact", 3)
}

fn listing(bed: &mut Bed, line: &str, titles: usize) -> Vec<String> {
    let outcome = execute(&restore_words(line), &[], &mut bed.control, &Numeric);
    let rows = outcome.stdout.lines().skip(titles);
    rows.map(|row| row.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// What a capture says against what happened: (compared, wrong).
fn replay(text: &str) -> (usize, Vec<Fault>) {
    let mut replay = Replay {
        network: Some(Network {
            vips: vec![[10, 0, 0, 100].into(), "fd00::100".parse().expect("an address")],
            ..captured_network()
        }),
        bed: None,
        settings: Settings { icmp_msgs_per_sec: u32::MAX, ..Settings::default() },
        marks: MarkRules::default(),
        gue_ports: Vec::new(),
        compared: 0,
        wrong: Vec::new(),
        run: Run::default(),
    };
    let lines: Vec<&str> = text.lines().collect();
    let is_result = |line: &&str| line.starts_with("< ") || line.starts_with("= ");
    for (at, line) in lines.iter().enumerate() {
        if is_result(line) {
            continue;
        }
        if line.is_empty() || line.starts_with('#') {
            replay.end_run();
            continue;
        }
        let behind = &lines[at + 1..];
        let results = behind.iter().take_while(|line| is_result(line)).count();
        if !line.starts_with('>') {
            replay.end_run();
        }
        replay.line(at + 1, line, &behind[..results]);
    }
    replay.end_run();
    (replay.compared, replay.wrong)
}

/// The captures, or those of the folder `CAPTURES`.
fn captures() -> Vec<PathBuf> {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/captures/kernel/paths");
    let folder = std::env::var_os("CAPTURES").map_or(ours, PathBuf::from);
    let entries = std::fs::read_dir(folder).expect("the folder of captures");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

#[test]
fn what_the_kernel_did_happens_here() {
    let only = std::env::var_os("ONLY").unwrap_or_default().into_string().expect("text");
    let mut differences = Differences::read();
    let (mut compared, mut differing, mut wrong) = (0, 0, 0);
    for path in captures().iter().filter(|path| path.to_string_lossy().contains(&only)) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(path).expect("a capture");
        if differences.covers(&name) {
            let agrees = std::panic::catch_unwind(|| replay(&text)).is_ok_and(|it| it.1.is_empty());
            assert!(!agrees, "{name} may be replayed: it agrees with the kernel");
            continue;
        }
        let (frames, faults) = replay(&text);
        compared += frames;
        for Fault { line, about } in faults {
            if differences.take(&name, line) {
                differing += 1;
            } else {
                wrong += 1;
                println!("{name} line {line}: {about}");
            }
        }
    }
    println!("{compared} compared, {differing} differ as said, {wrong} wrong");
    assert_eq!(wrong, 0, "neither as the kernel nor in tests/captures/kernel/differences.txt");
    let is_all = only.is_empty() && std::env::var_os("CAPTURES").is_none();
    let left = if is_all { differences.left() } else { Vec::new() };
    assert!(left.is_empty(), "as the kernel, so not to be listed: {left:#?}");
}

/// A row of `-Lnc` without the time that is left.
fn without_timer(row: &str) -> String {
    let words = row.split(' ').enumerate().filter(|(at, _)| *at != 1);
    words.map(|(_, word)| word).collect::<Vec<_>>().join(" ")
}

/// Whether two rows are the same but for seconds that the recording took.
fn is_about(want: &str, have: &str) -> bool {
    let seconds = |row: &str| {
        let (minutes, seconds) = row.split(' ').nth(1)?.split_once(':')?;
        Some(minutes.parse::<u32>().ok()? * 60 + seconds.parse::<u32>().ok()?)
    };
    match (seconds(want), seconds(have)) {
        (Some(wanted), Some(had)) => {
            wanted.abs_diff(had) <= 9 && without_timer(want) == without_timer(have)
        }
        _ => want == have,
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.map(|pair| byte(pair).unwrap_or_else(|| panic!("not hex: {hex}"))).collect()
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
