//! `iptables -L`: the chain as a table.

use std::fmt::Write as _;

use super::CHAIN;
use super::ports::{End, PortMatch, PortRange};
use super::protocols;
use super::rule::{AddressMatch, Change, Match, Rule, Target};
use super::show;
use super::specification::protocol_word;
use crate::ipvsadm::Names;
use crate::protocol::Protocol;
use crate::service::Family;

/// How a chain is listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// `-n`: numbers instead of names.
    pub numeric: bool,
    /// `-x`: counters in full, of which there are none.
    pub exact: bool,
    /// `-v`: with interfaces. Packets are not counted, so there are no columns for them.
    pub verbose: bool,
    pub line_numbers: bool,
}

/// The chain, or the one rule `at`, counted from 1.
pub(super) fn chain(
    rules: &[Rule],
    family: Family,
    at: Option<usize>,
    options: ListOptions,
    names: &dyn Names,
) -> String {
    let table = Table { family, options, names };
    let mut out = String::new();
    if at.is_none() {
        table.head(&mut out);
    }
    for (place, rule) in rules.iter().enumerate() {
        if at.is_none_or(|at| at == place + 1) {
            table.line(&mut out, place + 1, rule);
        }
    }
    out
}

/// Appends formatted text; writing to a string cannot fail.
macro_rules! put {
    ($out:ident, $($format:tt)*) => { let _ = write!($out, $($format)*); };
}

struct Table<'a> {
    family: Family,
    options: ListOptions,
    names: &'a dyn Names,
}

impl Table<'_> {
    fn head(&self, out: &mut String) {
        put!(out, "Chain {CHAIN} (policy ACCEPT)\n");
        if self.options.line_numbers {
            put!(out, "num  ");
        }
        put!(out, "target     prot opt");
        if self.options.verbose {
            put!(out, " in     out    ");
        }
        put!(out, " source               destination         \n");
    }

    fn line(&self, out: &mut String, number: usize, rule: &Rule) {
        if self.options.line_numbers {
            put!(out, "{number:<4} ");
        }
        let target = match rule.target {
            Some(Target::Mark(_)) => "MARK",
            Some(Target::Accept) => "ACCEPT",
            Some(Target::Return) => "RETURN",
            None => "",
        };
        let not = |negated: bool| if negated { '!' } else { ' ' };
        let (protocol, negated) = rule.protocol.map_or((0, false), |p| (p.number, p.negated));
        put!(out, "{target:<9} {}{:<4} -- ", not(negated), self.protocol(protocol));
        if self.options.verbose {
            let any = if self.options.numeric { "*" } else { "any" };
            let interface = rule.interface.as_ref().map_or_else(
                || any.to_owned(),
                |i| format!("{}{}", if i.negated { "!" } else { "" }, i.pattern),
            );
            put!(out, " {interface:<6} {any:<6} ");
        }
        for end in [&rule.source, &rule.destination] {
            let negated = end.is_some_and(|end| end.negated);
            put!(out, "{}{:<19} ", not(negated), self.address(end.as_ref()));
        }
        for match_ in &rule.matches {
            self.match_(out, match_, protocol);
        }
        if let Some(Target::Mark(change)) = rule.target {
            put!(out, " MARK {}", changed(change));
        }
        out.push('\n');
    }

    fn protocol(&self, number: u8) -> String {
        match number {
            0 if !self.options.numeric => "all".to_owned(),
            _ if self.options.numeric => number.to_string(),
            _ => protocols::name_of(number).map_or_else(|| number.to_string(), str::to_owned),
        }
    }

    fn address(&self, end: Option<&AddressMatch>) -> String {
        let numeric = self.options.numeric;
        let Some(end) = end else {
            return match self.family {
                _ if !numeric => "anywhere",
                Family::V4 => "0.0.0.0/0",
                Family::V6 => "::/0",
            }
            .to_owned();
        };
        let name = show::host(end, self.family)
            .filter(|_| !numeric)
            .and_then(|host| self.names.host_of(host));
        name.unwrap_or_else(|| show::address(end, self.family))
    }

    fn match_(&self, out: &mut String, match_: &Match, protocol: u8) {
        match match_ {
            Match::Ports(PortMatch::Ends { protocol, source, destination }) => {
                put!(out, " {}", protocol_word(*protocol));
                for (end, name) in [(source, "spt"), (destination, "dpt")] {
                    let Some((range, negated)) = end else { continue };
                    let plural = if range.first == range.last { "" } else { "s" };
                    let not = if *negated { "!" } else { "" };
                    put!(out, " {name}{plural}:{not}{}", self.ports(*range, Some(*protocol)));
                }
            }
            Match::Ports(PortMatch::Multiport { end, ranges, negated }) => {
                let end = match end {
                    End::Source => "sports",
                    End::Destination => "dports",
                    End::Either => "ports",
                };
                put!(out, " multiport {end} {}", if *negated { " !" } else { "" });
                let protocol = Protocol::from_number(protocol);
                for (place, range) in ranges.iter().enumerate() {
                    let comma = if place == 0 { "" } else { "," };
                    put!(out, "{comma}{}", self.ports(*range, protocol));
                }
            }
            Match::Mark { value, mask, negated } => {
                put!(out, " mark match{} {value:#x}", if *negated { " !" } else { "" });
                if *mask != u32::MAX {
                    put!(out, "/{mask:#x}");
                }
            }
            Match::Comment(text) => {
                put!(out, " /* {text} */");
            }
        }
    }

    fn ports(&self, range: PortRange, protocol: Option<Protocol>) -> String {
        let port = |port: u16| {
            let name = protocol
                .filter(|_| !self.options.numeric)
                .and_then(|protocol| self.names.service_of(port, protocol));
            name.unwrap_or_else(|| port.to_string())
        };
        if range.first == range.last {
            port(range.first)
        } else {
            format!("{}:{}", port(range.first), port(range.last))
        }
    }
}

/// What a change does, in its shortest form (`mark_tg_print`).
fn changed(change: Change) -> String {
    let Change { value, mask } = change;
    if value == 0 {
        format!("and {:#x}", !mask)
    } else if value == mask {
        format!("or {value:#x}")
    } else if mask == 0 {
        format!("xor {value:#x}")
    } else if mask == u32::MAX {
        format!("set {value:#x}")
    } else {
        format!("xset {value:#x}/{mask:#x}")
    }
}
