//! What iptables did with the same words (`tests/captures/iptables`), compared byte for byte, and
//! which marks the kernel gave.

use std::net::SocketAddrV4;

use super::request::{Request, request};
use super::saved::words;
use super::{MarkRules, Marks, MarksError};
use crate::drops::DropReason;
use crate::hash::FlowHasher;
use crate::interface::{Interface, InterfaceId};
use crate::ipvsadm::FixedNames;
use crate::parse::{Class, Packet, Part};
use crate::protocol::Protocol;
use crate::wire::MacAddress;

const RULES4: &str = include_str!("../../../tests/captures/iptables/rules4.captured");
const RULES6: &str = include_str!("../../../tests/captures/iptables/rules6.captured");
const SESSION: &str = include_str!("../../../tests/captures/iptables/session.captured");
const WALKS: &str = include_str!("../../../tests/captures/iptables/walks.captured");

/// What iptables takes and Sluice refuses, with the beginning of what it says.
const REFUSED: &[(&str, &str)] = &[
    ("-p udplite -m multiport --dports 80", "multiport needs"),
    ("-p tcp -m udp --dport 80", "UDP match requires"),
];

/// A command with what was recorded of it.
struct Block {
    command: String,
    exit: i32,
    stdout: String,
    rules: String,
    listed: String,
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for line in text.lines() {
        let (kind, rest) = line.split_at(1);
        let rest = rest.strip_prefix(' ').unwrap();
        if kind == "$" {
            let (command, text) = (rest.to_owned(), String::new);
            let (stdout, rules, listed) = (text(), text(), text());
            blocks.push(Block { command, exit: 0, stdout, rules, listed });
            continue;
        }
        let block = blocks.last_mut().unwrap();
        let to = match kind {
            "=" => {
                block.exit = rest.parse().unwrap();
                continue;
            }
            ">" => &mut block.stdout,
            "S" => &mut block.rules,
            "L" => &mut block.listed,
            // Standard error has a version, and no way out.
            _ => continue,
        };
        to.push_str(rest);
        to.push('\n');
    }
    assert!(blocks.len() > 15);
    blocks
}

fn names() -> FixedNames {
    let mut names = FixedNames::default();
    for (name, port) in [("http", 80), ("https", 443), ("ssh", 22), ("smtp", 25), ("domain", 53)] {
        names.add_service(name, port, Protocol::Tcp);
    }
    names
}

fn interfaces() -> [Interface; 2] {
    ["lan0", "lan0.100"].map(|name| Interface::new(name, InterfaceId(0), MacAddress([2; 6]), 1500))
}

fn run(rules: &mut MarkRules, words: &[String]) -> Result<String, MarksError> {
    let request = request(words, b"", &names())?;
    let before = rules.clone();
    let done = request.apply(rules, &interfaces());
    if done.is_err() || !request.changes() {
        assert_eq!(*rules, before, "what is refused or only asked changes nothing");
    }
    done.map(|()| request.print(rules, &names()))
}

fn compare(text: &str, family: &str) {
    let one = |rules: &mut MarkRules, line: &str| {
        run(rules, &words(&format!("{family} {line}")).unwrap())
    };
    for block in blocks(text) {
        let mut rules = MarkRules::default();
        let done = one(&mut rules, &format!("-t mangle -A PREROUTING {}", block.command));
        let refused = REFUSED.iter().find(|(command, _)| block.command.starts_with(command));
        if let Some((_, message)) = refused {
            assert!(done.unwrap_err().to_string().starts_with(message), "{}", block.command);
            continue;
        }
        let exit = done.as_ref().map_or_else(MarksError::exit, |_| 0);
        // What the kernel refused to iptables-legacy, iptables-nft refuses by itself, as bad words.
        let expected = if block.exit == 1 { 2 } else { block.exit };
        assert_eq!(exit, expected, "{}: {done:?}", block.command);
        let printed = one(&mut rules, "-S PREROUTING").unwrap();
        let printed = printed.strip_prefix("-P PREROUTING ACCEPT\n").unwrap();
        assert_eq!(printed, block.rules, "{}", block.command);
        let listed = one(&mut rules, "-L -n").unwrap();
        let listed: Vec<_> = listed.lines().skip(2).collect();
        assert_eq!(listed, block.listed.lines().collect::<Vec<_>>(), "{}", block.command);
        // What was printed makes the same rule again.
        let saved = one(&mut rules, "save").unwrap();
        let words = words(&format!("{family} restore")).unwrap();
        let again = request(&words, saved.as_bytes(), &names()).unwrap();
        let mut copy = MarkRules::default();
        again.apply(&mut copy, &interfaces()).unwrap();
        assert_eq!(copy, rules, "{saved}");
    }
}

#[test]
fn rules_are_taken_refused_and_printed_as_iptables_does() {
    compare(RULES4, "-4");
}

#[test]
fn rules_are_taken_refused_and_printed_as_ip6tables_does() {
    compare(RULES6, "-6");
}

#[test]
fn a_session_goes_as_with_iptables() {
    let mut rules = MarkRules::default();
    for block in blocks(SESSION) {
        let done = run(&mut rules, &words(&block.command).unwrap());
        let exit = done.as_ref().map_or_else(MarksError::exit, |_| 0);
        assert_eq!(exit, block.exit, "{}: {done:?}", block.command);
        assert_eq!(done.unwrap_or_default(), block.stdout, "{}", block.command);
    }
    assert!(matches!(request(&["save"], b"", &names()), Ok(Request::Save(_))));
}

/// A packet of a line such as `? tcp 192.0.2.1:1 198.51.100.1:2 lan1 later`.
fn packet(words: &[String], interfaces: &[Interface]) -> Packet {
    let end = |text: &str| text.parse::<SocketAddrV4>().unwrap();
    let (source, destination) = (end(&words[2]), end(&words[3]));
    let protocol = match words[1].as_str() {
        "tcp" => 6,
        "udp" => 17,
        "sctp" => 132,
        "icmp" => 1,
        _ => 50,
    };
    let place = interfaces.iter().position(|interface| words.contains(&interface.name));
    let is_later = words.iter().any(|word| word == "later");
    Packet {
        class: if is_later { Class::LaterFragment } else { Class::Flow },
        protocol,
        interface: InterfaceId(u8::try_from(place.unwrap_or(0)).unwrap()),
        source: (*source.ip()).into(),
        destination: (*destination.ip()).into(),
        // A later fragment has none; those of the packet before it may stand there.
        source_port: source.port(),
        destination_port: destination.port(),
        is_fragment: is_later,
        part: Part { offset: if is_later { 24 } else { 0 }, ..Part::default() },
        ..Packet::dropped(DropReason::FrameTooShort)
    }
}

#[test]
fn packets_get_the_marks_that_the_kernel_gives_them() {
    let interfaces = ["lan0", "lan1", "wan0"]
        .map(|name| Interface::new(name, InterfaceId(0), MacAddress([2; 6]), 1500));
    let mut rules = MarkRules::default();
    let mut packets = 0;
    for line in WALKS.lines() {
        let words = words(line).unwrap();
        match words[0].as_str() {
            "-" => rules = MarkRules::default(),
            "?" => {
                let marks = Marks::new(&rules, &interfaces, FlowHasher::new([1, 2, 3]));
                let found = marks.mark(&packet(&words, &interfaces));
                assert_eq!(format!("{found:#x}"), words[words.len() - 1], "{line}");
                packets += 1;
            }
            _ => {
                let request = request(&words, b"", &names()).unwrap();
                request.apply(&mut rules, &interfaces).unwrap();
            }
        }
    }
    assert!(packets > 20);
}
