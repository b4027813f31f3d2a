//! Marks: numbers that rules give to packets before the service is looked up.
//!
//! The rules are those of iptables' table `mangle`, chain `PREROUTING`, in its own words. A packet
//! begins with mark 0 and walks the chain in order; a rule with the target MARK changes the mark
//! and lets it walk on, so later rules see and change what earlier ones made.

#[cfg(test)]
mod captured;
pub mod chain;
mod classifier;
mod compile;
pub mod error;
mod grammar;
pub mod listing;
mod number;
pub mod parser;
pub mod ports;
#[cfg(test)]
mod properties;
mod protocols;
pub mod request;
pub mod rule;
pub mod saved;
mod scan;
mod show;
mod specification;

use std::sync::Arc;

use crate::hash::FlowHasher;
use crate::interface::Interface;
use crate::parse::Packet;
use crate::service::Family;
pub use error::MarksError;

use classifier::Classifier;
use rule::Rule;

/// The table of iptables that marks packets.
const TABLE: &str = "mangle";
/// Its chain that packets walk before anything else is decided.
const CHAIN: &str = "PREROUTING";

/// What an operator has set: the rules of both families, and which marks are the director's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MarkRules {
    /// `iptables -t mangle`, chain `PREROUTING`.
    pub v4: Arc<Vec<Rule>>,
    /// `ip6tables -t mangle`, chain `PREROUTING`.
    pub v6: Arc<Vec<Rule>>,
    /// Packets with one of these marks are taken as the director's own, whoever they are for.
    pub intercepted: Vec<u32>,
}

impl MarkRules {
    /// The rules of a family, in order.
    pub fn chain(&self, family: Family) -> &[Rule] {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    pub(crate) const fn chain_mut(&mut self, family: Family) -> &mut Arc<Vec<Rule>> {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }
}

/// The rules as the packet path asks them. Empty, as it mostly is, it costs a packet one
/// comparison.
#[derive(Debug, Default)]
pub struct Marks {
    has_rules: bool,
    v4: Classifier,
    v6: Classifier,
    intercepted: Box<[u32]>,
}

impl Marks {
    /// The rules, for a director with these interfaces.
    pub fn new(rules: &MarkRules, interfaces: &[Interface], hasher: FlowHasher) -> Self {
        let mut intercepted = rules.intercepted.clone();
        intercepted.sort_unstable();
        Self {
            has_rules: !(rules.v4.is_empty() && rules.v6.is_empty()),
            v4: compile::compile(&rules.v4, interfaces, true, hasher),
            v6: compile::compile(&rules.v6, interfaces, false, hasher),
            intercepted: intercepted.into(),
        }
    }

    /// Whether no packet has a mark.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        !self.has_rules
    }

    /// The mark of a packet; 0 is none.
    #[inline]
    pub fn mark(&self, packet: &Packet) -> u32 {
        if self.has_rules { self.classify(packet) } else { 0 }
    }

    fn classify(&self, packet: &Packet) -> u32 {
        if packet.is_v4() { self.v4.mark(packet) } else { self.v6.mark(packet) }
    }

    /// Whether some mark makes packets the director's own.
    #[inline]
    pub const fn intercepts(&self) -> bool {
        !self.intercepted.is_empty()
    }

    /// Whether packets with this mark are the director's own, whoever they are for.
    #[inline]
    pub fn is_intercepted(&self, mark: u32) -> bool {
        self.intercepted.binary_search(&mark).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::rule::{Change, Target};
    use super::*;
    use crate::drops::DropReason;

    fn rule(value: u32, mask: u32) -> Rule {
        Rule { target: Some(Target::Mark(Change { value, mask })), ..Rule::default() }
    }

    #[test]
    fn later_rules_see_and_change_the_mark_of_earlier_ones() {
        let rules = MarkRules {
            v6: Arc::new(vec![rule(10, u32::MAX), rule(1, 1), rule(0x30, 0x20)]),
            intercepted: vec![7, 5],
            ..MarkRules::default()
        };
        let marks = Marks::new(&rules, &[], FlowHasher::new([1, 2, 3]));
        let mut packet = Packet::dropped(DropReason::FrameTooShort);
        assert_eq!(marks.mark(&packet), 0x3b);
        packet.destination = crate::address::Address::v4(1);
        assert_eq!(marks.mark(&packet), 0, "rules of the other family");
        assert!(marks.intercepts() && marks.is_intercepted(7) && !marks.is_intercepted(6));
        let none = Marks::default();
        assert!(none.is_empty() && !none.intercepts() && !none.is_intercepted(0));
    }
}
