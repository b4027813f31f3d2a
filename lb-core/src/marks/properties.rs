//! The classifier against a walk over the rules, for random rules and packets.

use std::net::IpAddr;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::ports::{End, PortMatch, PortRange};
use super::rule::{AddressMatch, Change, InterfaceMatch, Match, ProtocolMatch, Rule, Target};
use super::{MarkRules, Marks};
use crate::drops::DropReason;
use crate::hash::FlowHasher;
use crate::interface::{Interface, InterfaceId};
use crate::parse::{Class, Packet, Part};
use crate::protocol::Protocol;
use crate::wire::MacAddress;

const NAMES: [&str; 4] = ["lan0", "lan1", "lan0.7", "wan0"];

fn interfaces() -> Vec<Interface> {
    NAMES.map(|name| Interface::new(name, InterfaceId(0), MacAddress([2; 6]), 1500)).into()
}

/// What the chain means: one rule after the other.
fn walk(rules: &[Rule], packet: &Packet) -> u32 {
    let name = NAMES[usize::from(packet.interface.0)];
    let mut mark = 0;
    for rule in rules {
        if rule.interface.as_ref().is_some_and(|wanted| !wanted.holds(name))
            || !rule.holds(packet, mark)
        {
            continue;
        }
        match rule.target {
            Some(Target::Mark(change)) => mark = change.apply(mark),
            Some(Target::Accept | Target::Return) => return mark,
            None => {}
        }
    }
    mark
}

/// Few addresses, so that rules and packets meet.
fn address(is_v4: bool) -> BoxedStrategy<IpAddr> {
    if is_v4 {
        (0_u8..3, 0_u8..3).prop_map(|(c, d)| IpAddr::from([10, 0, c, d])).boxed()
    } else {
        (0_u16..3, 0_u16..3).prop_map(|(a, b)| IpAddr::from([0xfd00, a, 0, 0, 0, 0, 0, b])).boxed()
    }
}

fn address_match(is_v4: bool) -> impl Strategy<Value = AddressMatch> {
    let masks = if is_v4 { &[32, 32, 24, 23, 16, 31][..] } else { &[128, 128, 64, 32, 31, 127] };
    let width = if is_v4 { 32 } else { 128 };
    let prefix = prop::sample::select(masks).prop_map(move |length| u128::MAX << (width - length));
    let scattered = Just(0xff00_00ff_u128);
    let mask = prop_oneof![9 => prefix, 1 => scattered];
    let parts = (address(is_v4), mask, prop::bool::weighted(0.1));
    parts.prop_map(|(address, mask, negated)| AddressMatch::new(address, mask, negated))
}

fn range() -> impl Strategy<Value = PortRange> {
    let port = || prop_oneof![0_u16..6, 250_u16..260, 65_530..=u16::MAX];
    (port(), port(), prop::bool::ANY).prop_map(|(a, b, is_one)| {
        let last = if is_one { a } else { a.max(b) };
        PortRange { first: a.min(last), last }
    })
}

fn ports(protocol: Protocol) -> impl Strategy<Value = Match> {
    let negated = || prop::bool::weighted(0.2);
    let end = || option::of((range(), negated()));
    let ends = (option::weighted(0.2, (range(), negated())), end())
        .prop_map(move |(source, destination)| PortMatch::Ends { protocol, source, destination });
    let which = prop::sample::select(vec![End::Source, End::Destination, End::Either]);
    let multiport = (which, vec(range(), 1..5), negated())
        .prop_map(|(end, ranges, negated)| PortMatch::Multiport { end, ranges, negated });
    prop_oneof![ends, multiport].prop_map(Match::Ports)
}

fn target() -> impl Strategy<Value = Option<Target>> {
    let value = || prop::sample::select(vec![0, 1, 2, 3, 10, 0xff, 0xffff_0000]);
    let whole = value().prop_map(|value| Change { value, mask: u32::MAX });
    let some = (value(), value()).prop_map(|(value, mask)| Change { value, mask });
    prop_oneof![
        12 => whole.prop_map(|change| Some(Target::Mark(change))),
        6 => some.prop_map(|change| Some(Target::Mark(change))),
        1 => Just(Some(Target::Return)),
        1 => Just(None),
    ]
}

fn rule(is_v4: bool) -> impl Strategy<Value = Rule> {
    let patterns = vec!["lan0", "lan1", "lan0.7", "lan+", "lan0+", "gone"];
    let interface = (prop::sample::select(patterns), prop::bool::weighted(0.3))
        .prop_map(|(pattern, negated)| InterfaceMatch { pattern: pattern.to_owned(), negated });
    let protocols =
        prop::sample::select(vec![Protocol::Tcp, Protocol::Tcp, Protocol::Udp, Protocol::Sctp]);
    let matches = protocols.prop_flat_map(|protocol| {
        let number = ProtocolMatch { number: protocol.number(), negated: false };
        (Just(Some(number)), vec(ports(protocol), 0..3))
    });
    let other = (prop::sample::select(vec![1_u8, 6, 50]), prop::bool::ANY)
        .prop_map(|(number, negated)| (Some(ProtocolMatch { number, negated }), Vec::new()));
    let protocol = prop_oneof![3 => Just((None, Vec::new())), 6 => matches, 1 => other];
    let marks = (0_u32..4, prop::sample::select(vec![1, 3, u32::MAX]), prop::bool::ANY)
        .prop_map(|(value, mask, negated)| Match::Mark { value, mask, negated });
    (
        option::of(address_match(is_v4)),
        option::of(address_match(is_v4)),
        option::weighted(0.2, interface),
        protocol,
        option::weighted(0.05, marks),
        target(),
    )
        .prop_map(|(source, destination, interface, (protocol, mut matches), mark, target)| {
            matches.extend(mark);
            Rule { source, destination, interface, protocol, matches, target }
        })
}

fn packet(is_v4: bool) -> impl Strategy<Value = Packet> {
    let port = || prop_oneof![0_u16..6, 250_u16..260, 65_530..=u16::MAX];
    (
        (address(is_v4), address(is_v4)),
        (port(), port()),
        prop::sample::select(vec![6_u8, 6, 17, 132, 1, 50]),
        0_u8..4,
        prop::bool::weighted(0.1),
        prop::sample::select(vec![Class::Flow, Class::Flow, Class::Truncated]),
    )
        .prop_map(|(addresses, ports, protocol, interface, is_later, class)| {
            let offset = if is_later { 8 } else { 0 };
            Packet {
                class,
                source: addresses.0.into(),
                destination: addresses.1.into(),
                source_port: ports.0,
                destination_port: ports.1,
                protocol,
                interface: InterfaceId(interface),
                is_fragment: is_later,
                part: Part { offset, ..Part::default() },
                ..Packet::dropped(DropReason::FrameTooShort)
            }
        })
}

fn agree(is_v4: bool, rules: Vec<Rule>, packets: &[Packet]) -> Result<(), TestCaseError> {
    let rules = Arc::new(rules);
    let set = if is_v4 {
        MarkRules { v4: Arc::clone(&rules), ..MarkRules::default() }
    } else {
        MarkRules { v6: Arc::clone(&rules), ..MarkRules::default() }
    };
    let marks = Marks::new(&set, &interfaces(), FlowHasher::new([1, 2, 3]));
    for packet in packets {
        prop_assert_eq!(marks.mark(packet), walk(&rules, packet), "{:?}", packet);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_classifier_gives_the_mark_of_a_walk(
        (is_v4, rules, packets) in prop::bool::ANY.prop_flat_map(|is_v4| {
            (Just(is_v4), vec(rule(is_v4), 0..40), vec(packet(is_v4), 40))
        })
    ) {
        agree(is_v4, rules, &packets)?;
    }

    /// One key, so that segments, their index, and the limit of steps are met.
    #[test]
    fn many_rules_for_one_address_are_told_apart_by_ports(
        ranges in vec((0_u16..700, 0_u16..9, target(), prop::bool::weighted(0.1)), 0..300),
        packets in vec((packet(true), 0_u16..720), 100),
        is_partial in prop::bool::ANY,
    ) {
        let rules = ranges.into_iter().map(|(first, more, target, negated)| {
            let range = PortRange { first, last: first + more };
            let ends = PortMatch::Ends {
                protocol: Protocol::Tcp,
                source: None,
                destination: Some((range, negated)),
            };
            let partial = Target::Mark(Change { value: u32::from(range.last), mask: 1 });
            Rule {
                protocol: Some(ProtocolMatch { number: 6, negated: false }),
                matches: vec![Match::Ports(ends)],
                target: if is_partial { Some(partial) } else { target },
                ..Rule::default()
            }
        });
        let packets: Vec<_> = packets
            .into_iter()
            .map(|(packet, destination_port)| Packet { destination_port, ..packet })
            .collect();
        agree(true, rules.collect(), &packets)?;
    }

    /// More kinds of masks than there are tuples.
    #[test]
    fn rules_beyond_the_last_tuple_hold_too(
        rules in vec((0_u32..=32, 0_u32..=32, address(true), target()), 100..150),
        packets in vec(packet(true), 40),
    ) {
        let rules = rules.into_iter().map(|(from, to, address, target)| {
            let end = |length: u32| {
                let mask = u128::MAX.checked_shl(32 - length).unwrap_or(0);
                (length > 0).then(|| AddressMatch::new(address, mask, false))
            };
            Rule { source: end(from), destination: end(to), target, ..Rule::default() }
        });
        agree(true, rules.collect(), &packets)?;
    }
}
