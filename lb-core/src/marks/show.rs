//! A rule in the words of `iptables -S` and `iptables-save`.

use std::fmt::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::CHAIN;
use super::number::quoted;
use super::ports::{PortMatch, PortRange};
use super::protocols;
use super::rule::{AddressMatch, Match, Rule, Target};
use super::specification::protocol_word;
use crate::ipvsadm;
use crate::service::Family;

/// The line that makes the rule again.
pub(super) fn rule(rule: &Rule, family: Family) -> String {
    let mut out = format!("-A {CHAIN}");
    // Writing to a String cannot fail.
    let _ = write_rule(&mut out, rule, family);
    out
}

fn not(negated: bool) -> &'static str {
    if negated { " !" } else { "" }
}

fn write_rule(out: &mut String, rule: &Rule, family: Family) -> fmt::Result {
    for (end, option) in [(&rule.source, "-s"), (&rule.destination, "-d")] {
        if let Some(end) = end {
            write!(out, "{} {option} {}", not(end.negated), address(end, family))?;
            // `-S` names the length also where it says nothing.
            if end.prefix(family) == Some(width(family)) {
                write!(out, "/{}", width(family))?;
            }
        }
    }
    if let Some(interface) = &rule.interface {
        write!(out, "{} -i {}", not(interface.negated), interface.pattern)?;
    }
    if let Some(protocol) = rule.protocol {
        write!(out, "{} -p ", not(protocol.negated))?;
        match protocols::name_of(protocol.number) {
            Some(name) => out.push_str(name),
            None => write!(out, "{}", protocol.number)?,
        }
    }
    rule.matches.iter().try_for_each(|match_| write_match(out, match_))?;
    match rule.target {
        Some(Target::Mark(change)) => {
            write!(out, " -j MARK --set-xmark {:#x}/{:#x}", change.value, change.mask)
        }
        Some(Target::Accept) => write!(out, " -j ACCEPT"),
        Some(Target::Return) => write!(out, " -j RETURN"),
        None => Ok(()),
    }
}

fn write_match(out: &mut String, match_: &Match) -> fmt::Result {
    match match_ {
        Match::Ports(PortMatch::Ends { protocol, source, destination }) => {
            write!(out, " -m {}", protocol_word(*protocol))?;
            for (end, option) in [(source, "--sport"), (destination, "--dport")] {
                if let Some((range, negated)) = end {
                    write!(out, "{} {option} {range}", not(*negated))?;
                }
            }
            Ok(())
        }
        Match::Ports(PortMatch::Multiport { end, ranges, negated }) => {
            write!(out, " -m multiport{} {} ", not(*negated), end.option())?;
            for (place, range) in ranges.iter().enumerate() {
                write!(out, "{}{range}", if place == 0 { "" } else { "," })?;
            }
            Ok(())
        }
        Match::Mark { value, mask, negated } => {
            write!(out, " -m mark{} --mark {value:#x}", not(*negated))?;
            if *mask == u32::MAX { Ok(()) } else { write!(out, "/{mask:#x}") }
        }
        Match::Comment(text) => write!(out, " -m comment --comment {}", quoted(text)),
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        if self.first == self.last { Ok(()) } else { write!(f, ":{}", self.last) }
    }
}

/// Bits of an address.
pub(super) const fn width(family: Family) -> u32 {
    match family {
        Family::V4 => 32,
        Family::V6 => 128,
    }
}

/// The address with its mask, unless that is a whole one.
pub(super) fn address(end: &AddressMatch, family: Family) -> String {
    let text = |bits: u128| match family {
        // The lower half is the address.
        Family::V4 => {
            Ipv4Addr::from_bits(crate::address::Address::from_bits(bits).low_32()).to_string()
        }
        Family::V6 => ipvsadm::ipv6_text(Ipv6Addr::from_bits(bits)),
    };
    let address = text(end.bits);
    match end.prefix(family) {
        Some(prefix) if prefix == width(family) => address,
        Some(prefix) => format!("{address}/{prefix}"),
        None => format!("{address}/{}", text(end.mask)),
    }
}

/// The address of one host, for the names of hosts.
pub(super) fn host(end: &AddressMatch, family: Family) -> Option<IpAddr> {
    (end.prefix(family) == Some(width(family))).then(|| match family {
        Family::V4 => end.address(),
        Family::V6 => Ipv6Addr::from_bits(end.bits).into(),
    })
}
