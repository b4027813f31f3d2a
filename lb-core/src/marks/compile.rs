//! From a chain to its [`Classifier`].

use std::collections::{BTreeSet, HashMap};

use super::classifier::{
    Classifier, Effect, Entry, INDEXED_FROM, Item, Key, OddRule, Run, TUPLES_MAX, Tuple,
};
use super::ports::{End, PortMatch, PortRange};
use super::rule::{AddressMatch, Change, Interfaces, Match, Rule, Target};
use crate::hash::FlowHasher;
use crate::interface::{Interface, InterfaceId};

/// Steps that are taken to split a key's rules by ports, for each rule; where it takes more, they
/// are not split.
const STEPS_PER_RULE: usize = 64;
/// And this many at least.
const STEPS_MIN: usize = 4096;

/// Makes the classifier of a chain. `is_v4`: of which family.
pub(super) fn compile(
    rules: &[Rule],
    interfaces: &[Interface],
    is_v4: bool,
    hasher: FlowHasher,
) -> Classifier {
    let mut drafts = drafts(rules, interfaces, is_v4);
    limit_tuples(&mut drafts);
    let mut builder = Builder::default();
    let mut tuples: Vec<Tuple> = Vec::new();
    // In the order of the chain within a key; keys of one mask side by side.
    drafts.sort_by_key(|draft| (draft.mask.sortable(), draft.key.sortable(), draft.place));
    for of_key in drafts.chunk_by(|a, b| (a.mask, a.key) == (b.mask, b.key)) {
        let mask = of_key[0].mask;
        if tuples.last().is_none_or(|tuple| tuple.mask != mask) {
            tuples.push(Tuple { mask, entries: HashMap::with_hasher(hasher) });
        }
        let entry = builder.entry(of_key, rules, interfaces);
        if let Some(tuple) = tuples.last_mut() {
            tuple.entries.insert(of_key[0].key, entry);
        }
    }
    let sets_all = |item: &Item| {
        matches!(item.effect, Effect::Change(Change { mask: u32::MAX, .. })) && item.odd.is_none()
    };
    Classifier {
        is_plain: builder.items.iter().all(sets_all),
        tuples: tuples.into(),
        items: builder.items.into(),
        starts: builder.starts.into(),
        runs: builder.runs.into(),
        pages: builder.pages.into(),
        odd: builder.odd.into(),
    }
}

/// A rule on its way into an entry.
#[derive(Clone, Debug)]
struct Draft {
    place: u32,
    /// How many rules before it end the walk or ask for the mark: between two of them it does
    /// not matter which rule made a mark.
    epoch: u32,
    mask: Key,
    key: Key,
    /// Destination ports that it holds for, in order and apart from each other.
    ports: Vec<PortRange>,
    /// It holds for packets without ports.
    takes_portless: bool,
    /// More is to be checked.
    is_odd: bool,
    effect: Effect,
}

impl Key {
    const fn sortable(&self) -> ([u64; 4], u64) {
        (self.addresses, self.rest)
    }
}

fn drafts(rules: &[Rule], interfaces: &[Interface], is_v4: bool) -> Vec<Draft> {
    let mut epoch = 0;
    let mut drafts = Vec::with_capacity(rules.len());
    for (rule, place) in rules.iter().zip(0..) {
        let effect = match rule.target {
            None | Some(Target::Mark(Change { value: 0, mask: 0 })) => continue,
            Some(Target::Mark(change)) => Effect::Change(change),
            Some(Target::Accept | Target::Return) => Effect::End,
        };
        let asks_mark = rule.matches.iter().any(|match_| matches!(match_, Match::Mark { .. }));
        epoch += u32::from(asks_mark);
        drafts.extend(draft(
            rule,
            interfaces,
            is_v4,
            Draft {
                place,
                epoch,
                mask: Key::default(),
                key: Key::default(),
                ports: vec![PortRange::ALL],
                takes_portless: true,
                is_odd: asks_mark,
                effect,
            },
        ));
        epoch += u32::from(asks_mark || effect == Effect::End);
    }
    drafts
}

/// Fills in what a rule asks for. `None`: for an interface that is not there.
fn draft(rule: &Rule, interfaces: &[Interface], is_v4: bool, mut draft: Draft) -> Option<Draft> {
    let mut of = |end: &Option<AddressMatch>| {
        draft.is_odd |= end.is_some_and(|end| end.negated);
        end.filter(|end| !end.negated).map_or((0, 0), |end| (end.mask, end.bits))
    };
    let (source, destination) = (of(&rule.source), of(&rule.destination));
    draft.mask.addresses = Key::words(source.0, destination.0, is_v4);
    draft.key.addresses = Key::words(source.1, destination.1, is_v4);
    match rule.protocol {
        Some(protocol) if protocol.negated => draft.is_odd = true,
        Some(protocol) => {
            draft.mask.rest |= Key::protocol(u8::MAX);
            draft.key.rest |= Key::protocol(protocol.number);
        }
        None => {}
    }
    match &rule.interface {
        Some(wanted) if wanted.negated || wanted.pattern.ends_with('+') => draft.is_odd = true,
        Some(wanted) => {
            let place = interfaces.iter().position(|found| found.name == wanted.pattern)?;
            draft.mask.rest |= Key::interface(u8::MAX);
            draft.key.rest |= Key::interface(u8::try_from(place).ok()?);
        }
        None => {}
    }
    let mut is_split = false;
    for match_ in &rule.matches {
        let Match::Ports(ports) = match_ else { continue };
        draft.takes_portless = false;
        let (ranges, is_whole) = destination_ports(ports);
        match ranges {
            // Only one match splits.
            Some(_) if is_split => draft.is_odd = true,
            Some(ranges) => (draft.ports, is_split) = (ranges, true),
            None => {}
        }
        draft.is_odd |= !is_whole;
    }
    Some(draft)
}

/// The destination ports that a match takes, if it asks for them, and whether it asks for nothing
/// else.
fn destination_ports(match_: &PortMatch) -> (Option<Vec<PortRange>>, bool) {
    match match_ {
        PortMatch::Ends { source, destination, .. } => {
            let ranges = destination.map(|(range, negated)| sorted(&[range], negated));
            (ranges, source.is_none())
        }
        PortMatch::Multiport { end: End::Destination, ranges, negated } => {
            (Some(sorted(ranges, *negated)), true)
        }
        PortMatch::Multiport { .. } => (None, false),
    }
}

/// Ranges, or all that is in none of them: in order and apart from each other.
fn sorted(ranges: &[PortRange], negated: bool) -> Vec<PortRange> {
    let mut ranges = ranges.to_vec();
    ranges.sort_by_key(|range| range.first);
    let mut apart: Vec<PortRange> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match apart.last_mut() {
            Some(last) if range.first <= last.last.saturating_add(1) => {
                last.last = last.last.max(range.last);
            }
            _ => apart.push(range),
        }
    }
    if !negated {
        return apart;
    }
    let mut others = Vec::with_capacity(apart.len() + 1);
    let mut first = Some(0);
    for range in apart {
        if let (Some(first), Some(last)) = (first, range.first.checked_sub(1))
            && first <= last
        {
            others.push(PortRange { first, last });
        }
        first = range.last.checked_add(1);
    }
    others.extend(first.map(|first| PortRange { first, last: u16::MAX }));
    others
}

/// Keeps the tuples that have the most rules. Rules of others are checked for every packet.
fn limit_tuples(drafts: &mut [Draft]) {
    let mut counts: HashMap<([u64; 4], u64), usize> = HashMap::new();
    for draft in &*drafts {
        *counts.entry(draft.mask.sortable()).or_default() += 1;
    }
    let nothing = Key::default().sortable();
    counts.remove(&nothing);
    // One place is that of the rules that ask for none of this.
    if counts.len() < TUPLES_MAX {
        return;
    }
    let mut masks: Vec<_> = counts.into_iter().collect();
    masks.sort_by_key(|(mask, count)| (std::cmp::Reverse(*count), *mask));
    let odd: BTreeSet<_> = masks.drain(TUPLES_MAX - 1..).map(|(mask, _)| mask).collect();
    for draft in drafts.iter_mut().filter(|draft| odd.contains(&draft.mask.sortable())) {
        (draft.mask, draft.key, draft.is_odd) = (Key::default(), Key::default(), true);
    }
}

/// The arrays that entries point into.
#[derive(Default)]
struct Builder {
    items: Vec<Item>,
    starts: Vec<u16>,
    runs: Vec<Run>,
    pages: Vec<[u32; 257]>,
    odd: Vec<OddRule>,
}

impl Builder {
    /// The entry of one key.
    fn entry(&mut self, drafts: &[Draft], rules: &[Rule], interfaces: &[Interface]) -> Entry {
        let items: Vec<Item> =
            drafts.iter().map(|draft| self.item(draft, rules, interfaces)).collect();
        let mut steps = STEPS_PER_RULE.saturating_mul(drafts.len()).max(STEPS_MIN);
        let portless = (0..drafts.len()).filter(|&at| drafts[at].takes_portless);
        let portless: BTreeSet<_> = portless.collect();
        let mut one_walk = usize::MAX;
        let portless = self.run(&portless, drafts, &items, &mut one_walk);
        let (starts, runs) = (self.starts.len(), self.runs.len());
        let marks = self.items.len();
        if !self.split(drafts, &items, &mut steps) {
            self.starts.truncate(starts);
            self.runs.truncate(runs);
            self.items.truncate(marks);
            self.leave_whole(drafts, &items, rules, interfaces);
        }
        let segments = run_of(runs, self.runs.len());
        let page_index = (self.runs.len() - runs >= INDEXED_FROM).then(|| self.page(starts));
        Entry { portless, segments, page_index }
    }

    fn item(&mut self, draft: &Draft, rules: &[Rule], interfaces: &[Interface]) -> Item {
        let odd = draft.is_odd.then(|| self.odd_rule(draft, rules, interfaces));
        Item { place: draft.place, odd, effect: draft.effect }
    }

    fn odd_rule(&mut self, draft: &Draft, rules: &[Rule], interfaces: &[Interface]) -> u32 {
        let rule = rules[draft.place as usize].clone();
        let interfaces = rule.interface.as_ref().map(|wanted| {
            let mut set = Interfaces::default();
            for (found, id) in interfaces.iter().zip((0..=u8::MAX).map(InterfaceId)) {
                if wanted.holds(&found.name) {
                    set.insert(id);
                }
            }
            set
        });
        self.odd.push(OddRule { rule, interfaces });
        number(self.odd.len() - 1)
    }

    /// Makes the segments. `false` if that takes too many steps.
    fn split(&mut self, drafts: &[Draft], items: &[Item], steps: &mut usize) -> bool {
        // Where rules begin and end to hold.
        let mut edges: Vec<(u32, usize, bool)> = Vec::new();
        for (at, draft) in drafts.iter().enumerate() {
            for range in &draft.ports {
                edges.push((u32::from(range.first), at, true));
                edges.push((u32::from(range.last) + 1, at, false));
            }
        }
        edges.sort_unstable();
        let mut holding = BTreeSet::new();
        if edges.first().is_none_or(|(port, ..)| *port != 0) {
            self.segment(0, Run::default());
        }
        for of_port in edges.chunk_by(|a, b| a.0 == b.0) {
            for (_, at, begins) in of_port {
                if *begins {
                    holding.insert(*at);
                } else {
                    holding.remove(at);
                }
            }
            let Ok(port) = u16::try_from(of_port[0].0) else { break };
            let run = self.run(&holding, drafts, items, steps);
            if *steps == 0 {
                return false;
            }
            self.segment(port, run);
        }
        true
    }

    fn segment(&mut self, port: u16, run: Run) {
        self.starts.push(port);
        self.runs.push(run);
    }

    /// One segment for all ports: every rule is checked.
    fn leave_whole(
        &mut self,
        drafts: &[Draft],
        items: &[Item],
        rules: &[Rule],
        interfaces: &[Interface],
    ) {
        let first = self.items.len();
        for (draft, item) in drafts.iter().zip(items) {
            let odd = item.odd.or_else(|| Some(self.odd_rule(draft, rules, interfaces)));
            self.items.push(Item { odd, ..*item });
        }
        let run = run_of(first, self.items.len());
        self.segment(0, run);
    }

    /// The items of these rules, without those that cannot matter: what comes behind the end of
    /// the walk, and changes of bits that a later rule sets anyhow, unless some rule between them
    /// could see the change or keep the later one away.
    fn run(
        &mut self,
        holding: &BTreeSet<usize>,
        drafts: &[Draft],
        items: &[Item],
        steps: &mut usize,
    ) -> Run {
        let first = self.items.len();
        let (mut covered, mut epoch) = (0, u32::MAX);
        for &at in holding.iter().rev() {
            *steps = steps.saturating_sub(1);
            let (draft, item) = (&drafts[at], items[at]);
            if draft.epoch != epoch {
                (covered, epoch) = (0, draft.epoch);
            }
            match item.effect {
                Effect::Change(Change { value, mask }) => {
                    if (value | mask) & !covered != 0 {
                        self.items.push(item);
                    }
                    covered |= if item.odd.is_none() { mask } else { 0 };
                }
                Effect::End => {
                    if item.odd.is_none() {
                        self.items.truncate(first);
                    }
                    self.items.push(item);
                }
            }
            let is_decided = covered == u32::MAX && epoch == drafts[0].epoch;
            if is_decided || *steps == 0 {
                break;
            }
        }
        self.items[first..].reverse();
        run_of(first, self.items.len())
    }

    /// Says for each page of 256 ports how many segments begin before it.
    fn page(&mut self, first: usize) -> u32 {
        let starts = &self.starts[first..];
        let mut pages = [0; 257];
        for (page, count) in pages.iter_mut().enumerate() {
            *count = number(starts.partition_point(|&start| usize::from(start) < page << 8));
        }
        self.pages.push(pages);
        number(self.pages.len() - 1)
    }
}

fn run_of(first: usize, end: usize) -> Run {
    Run { first: number(first), end: number(end) }
}

/// A place in an array. What is built is bounded by the number of rules and steps, far below.
fn number(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drops::DropReason;
    use crate::marks::rule::ProtocolMatch;
    use crate::parse::{Class, Packet};
    use crate::protocol::Protocol;

    fn rule(first: u16, last: u16, change: Change) -> Rule {
        let ends = PortMatch::Ends {
            protocol: Protocol::Tcp,
            source: None,
            destination: Some((PortRange { first, last }, false)),
        };
        Rule {
            protocol: Some(ProtocolMatch { number: 6, negated: false }),
            matches: vec![Match::Ports(ends)],
            target: Some(Target::Mark(change)),
            ..Rule::default()
        }
    }

    fn classifier(rules: &[Rule]) -> Classifier {
        compile(rules, &[], true, FlowHasher::new([1, 2, 3]))
    }

    fn mark(classifier: &Classifier, port: u16) -> u32 {
        classifier.mark(&Packet {
            class: Class::Flow,
            protocol: 6,
            destination: crate::address::Address::v4(1),
            destination_port: port,
            ..Packet::dropped(DropReason::FrameTooShort)
        })
    }

    #[test]
    fn a_rule_that_is_undone_for_sure_is_not_kept() {
        let whole = |value| Change { value, mask: u32::MAX };
        let rules: Vec<_> = (0..500).map(|n| rule(0, 100, whole(n))).collect();
        let found = classifier(&rules);
        assert_eq!((found.items.len(), found.tuples.len(), found.is_plain), (1, 1, true));
        assert_eq!((mark(&found, 100), mark(&found, 101)), (499, 0));
    }

    /// Ranges in ranges, each of which toggles a bit: to split them would take as many items as
    /// the square of the rules.
    #[test]
    fn rules_that_take_too_many_steps_to_split_are_checked_one_by_one() {
        let toggle = Change { value: 1, mask: 0 };
        let rules: Vec<_> = (0..1000).map(|n| rule(n, 60_000 - n, toggle)).collect();
        let found = classifier(&rules);
        assert_eq!((found.starts.len(), found.items.len(), found.odd.len()), (1, 1000, 1000));
        for (port, expected) in [(0, 1), (1, 0), (2, 1), (30_000, 0), (59_999, 0), (60_001, 0)] {
            assert_eq!(mark(&found, port), expected, "{port}");
        }
    }

    #[test]
    fn what_no_rule_names_is_in_the_ranges_that_are_left() {
        let range = |first, last| PortRange { first, last };
        let ranges = [range(80, 80), range(0, 3), range(81, 90), range(5, 6)];
        assert_eq!(sorted(&ranges, false), [range(0, 3), range(5, 6), range(80, 90)]);
        let others = [range(4, 4), range(7, 79), range(91, u16::MAX)];
        assert_eq!(sorted(&ranges, true), others);
        assert_eq!(sorted(&[PortRange::ALL], true), []);
        assert_eq!(sorted(&[range(5, u16::MAX)], true), [range(0, 4)]);
    }
}
