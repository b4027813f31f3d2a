//! A case: a small file that says what is done to both directors, and nothing of what comes of it.
//!
//! | line | |
//! | --- | --- |
//! | `# ...` | says why |
//! | `-A ...`, `-a ...`, `--set ...`, any other of ipvsadm | its command line |
//! | `set NAME VALUE` | a switch: the kernel's `net.ipv4.vs.NAME`, `sluicectl set` |
//! | `mark -A PREROUTING ...` | a rule of iptables in the table mangle, `sluicectl marks`; `mark6`: of ip6tables |
//! | `> tcp 10.0.1.2:1001 > 10.0.0.100:80 S` | a frame comes in; the words are those of `tests/golden/frames.rs` |
//! | `> lan0 HEX` | the same, any bytes |
//! | `reply SA` | to each packet that the last line brought to a NAT server it answers: TCP's flags, or words of a frame (`chunk=2`, `text=...`) |
//! | `open A > B` | the client's SYN, the server's answer if it is masqueraded, the client's ACK |
//! | `close A > B` | the same with FIN, which the client sends first |
//! | `wait SECONDS` | |
//! | `list` | compares all listings but the statistics |
//! | `stats` | compares the statistics; takes two seconds, in which the kernel sums them up |
//! | `differs KEY` | what the next line brings about differs on purpose; the key is one of `docs/ipvs-differences.md` |
//!
//! `1..3` anywhere in a frame makes it three, with 1, 2 and 3; of several such ranges the last
//! turns fastest. A frame comes in by the wire of its sender (`in=lan1` says otherwise) and has
//! that one's MAC address (`MAC > MAC` in front says otherwise). At the end of each case there is
//! a `list` and a `stats`. Before `-D`, `-C` and `-Z` the kernel gets two seconds to sum up its
//! statistics, as these commands take what is summed up for zero.

use std::path::Path;

use crate::frames;
use crate::network::{self, WIRES, interfaces};
use crate::wires;

/// A case and where it is from.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) steps: Vec<Step>,
}

/// A line that does something.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// From 1.
    pub(crate) number: usize,
    pub(crate) line: String,
    pub(crate) actions: Vec<Action>,
    /// Why it may differ: a key of the page of differences.
    pub(crate) differs: Option<String>,
}

/// What is done to both directors.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Ipvs(String),
    Set(String, String),
    Mark(Family, String),
    Frame(Input),
    /// Servers answer all frames of the last step that had any: words behind the ends.
    Reply(String),
    /// A server answers the last frame: words behind the ends.
    Answer(String),
    /// Milliseconds.
    Wait(u64),
    List,
    Stats,
}

/// Whose rules.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Family {
    V4,
    V6,
}

/// A frame that comes in.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub(crate) wire: String,
    pub(crate) frame: Vec<u8>,
}

impl Case {
    /// Reads a file of cases.
    pub(crate) fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path);
        let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        Self::parse(&name, &text)
    }

    /// Understands lines. Panics where it cannot, and names the line.
    pub(crate) fn parse(name: &str, text: &str) -> Self {
        let mut steps = Vec::new();
        let mut differs = None;
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(key) = line.strip_prefix("differs ") {
                differs = Some(key.to_owned());
                continue;
            }
            let actions = actions(line)
                .unwrap_or_else(|| panic!("{name}.case line {}: `{line}`: not understood", at + 1));
            let line = line.to_owned();
            steps.push(Step { number: at + 1, line, actions, differs: differs.take() });
        }
        Self { name: name.to_owned(), steps }
    }

    /// The lines that do something.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.steps.iter().map(|step| step.line.clone()).collect()
    }
}

fn actions(line: &str) -> Option<Vec<Action>> {
    if line.starts_with('-') {
        return Some(vec![Action::Ipvs(line.to_owned())]);
    }
    let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
    let one = |action| Some(vec![action]);
    match first {
        "set" => {
            let (name, value) = rest.split_once(' ')?;
            one(Action::Set(name.to_owned(), value.to_owned()))
        }
        "mark" => one(Action::Mark(Family::V4, rest.to_owned())),
        "mark6" => one(Action::Mark(Family::V6, rest.to_owned())),
        "reply" => one(Action::Reply(rest.to_owned())),
        "wait" => one(Action::Wait(milliseconds(rest)?)),
        "list" => one(Action::List),
        "stats" => one(Action::Stats),
        ">" => Some(expand(rest).iter().flat_map(|line| inputs(line)).map(Action::Frame).collect()),
        "open" => Some(exchange(rest, "S", "SA", "A")),
        "close" => Some(exchange(rest, "FA", "FA", "A")),
        _ => None,
    }
}

/// Three packets of each connection, of which the second is the server's.
fn exchange(ends: &str, first: &str, answer: &str, last: &str) -> Vec<Action> {
    let packet = |ends: &str, flags: &str| inputs(&format!("tcp {ends} {flags}"));
    let three = |ends: &String| {
        let mut actions: Vec<Action> = packet(ends, first).into_iter().map(Action::Frame).collect();
        actions.push(Action::Answer(answer.to_owned()));
        actions.extend(packet(ends, last).into_iter().map(Action::Frame));
        actions
    };
    expand(ends).iter().flat_map(three).collect()
}

/// A decimal number of seconds.
fn milliseconds(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let part = format!("{part:0<3}");
    Some(whole.parse::<u64>().ok()? * 1000 + part.get(..3)?.parse::<u64>().ok()?)
}

/// The lines that a line with ranges stands for.
fn expand(line: &str) -> Vec<String> {
    let Some(dots) = line.find("..") else { return vec![line.to_owned()] };
    let (before, behind) = (&line[..dots], &line[dots + 2..]);
    let digits = before.len() - before.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (head, from) = before.split_at(before.len() - digits);
    let length = behind.len() - behind.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (to, tail) = behind.split_at(length);
    let number = |text: &str| {
        text.parse::<u32>().unwrap_or_else(|_| panic!("`{line}`: FROM..TO are two numbers"))
    };
    let tails = expand(tail);
    (number(from)..=number(to))
        .flat_map(|n| tails.iter().map(move |tail| format!("{head}{n}{tail}")))
        .collect()
}

/// The frame of such words, as often as they say.
pub(crate) fn inputs(words: &str) -> Vec<Input> {
    if let Some((wire, digits)) = words.split_once(' ').filter(|(wire, _)| WIRES.contains(wire)) {
        return vec![Input { wire: wire.to_owned(), frame: wires::bytes(digits) }];
    }
    let mut line = words.to_owned();
    let source = source(words);
    let named = words.split(' ').find_map(|word| word.strip_prefix("in="));
    let (mut wire, mac) = network::mac_of(&source);
    if let Some(name) = named {
        wire = WIRES.iter().position(|wire| *wire == name).unwrap_or(wire);
    } else {
        line = format!("in={} {line}", WIRES[wire]);
    }
    let interfaces = interfaces();
    let first = line.split(' ').find(|word| !word.contains('='));
    let is_addressed = first.is_some_and(|word| word.matches(':').count() == 5);
    if !is_addressed {
        line = format!("{mac} > {} {line}", interfaces[wire].mac);
    }
    let input = frames::parse(&line, &interfaces, 0);
    let one = Input { wire: WIRES[wire].to_owned(), frame: input.frame };
    vec![one; input.times]
}

/// The sender's address in the words of a frame: what is before the last ` > ` of the outer packet.
fn source(words: &str) -> String {
    let outer = words.split(" about ").next().unwrap_or_default();
    let before = outer.rsplit_once(" > ").map_or("", |(before, _)| before);
    let end = before.rsplit(' ').next().unwrap_or_default();
    match end.strip_prefix('[').and_then(|end| end.split_once(']')) {
        Some((address, _)) => address.to_owned(),
        None if end.matches(':').count() == 1 => {
            end.split_once(':').map_or("", |(address, _)| address).to_owned()
        }
        None => end.to_owned(),
    }
}
