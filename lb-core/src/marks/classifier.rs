//! The rules of one family as the packet path asks them.
//!
//! Walking the chain would cost the more the longer it is. Instead the rules are sorted by what
//! they ask for (tuple space search): all that name a source of the same prefix length, a
//! destination of the same, and a protocol or an interface or not, are one **tuple**. In a tuple a
//! packet's own values, cut to those lengths, are a key, and one look into a hash table finds the
//! rules for it. Ports of the destination split what was found into **segments**. So a packet
//! asks once for each tuple, of which a rule set has few and a classifier 32 at most, however many
//! rules there are.
//!
//! What was found is merged in the order of the chain, and nothing else is looked at: a rule whose
//! change is undone by later ones for the same key is not even kept (`compile.rs`). Odd rules
//! (negated, of source ports, of marks, ...) stand with their key and are checked one by one.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};

use super::ports;
use super::rule::{Change, Interfaces, Rule};
use crate::hash::FlowHasher;
use crate::parse::Packet;

/// Tuples of a classifier; rules of further ones are odd.
pub(super) const TUPLES_MAX: usize = 32;

/// Segments from which on an entry has an index of its own.
pub(super) const INDEXED_FROM: usize = 32;

/// What a rule does to a packet that it holds for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Change(Change),
    End,
}

/// A rule for a key and a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    /// Its place in the chain.
    pub(super) place: u32,
    /// What is left to be checked: an index into [`Classifier::odd`].
    pub(super) odd: Option<u32>,
    pub(super) effect: Effect,
}

/// A rule that is to be checked as a whole.
#[derive(Debug)]
pub(super) struct OddRule {
    pub(super) rule: Rule,
    /// Those that it holds for; `None` are all.
    pub(super) interfaces: Option<Interfaces>,
}

/// Some items that follow each other.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Run {
    pub(super) first: u32,
    pub(super) end: u32,
}

/// What a key leads to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// For packets without ports.
    pub(super) portless: Run,
    /// For all others: segments, of which there is at least one; the first begins at port 0.
    pub(super) segments: Run,
    /// Where segments begin in pages of 256 ports: an index into [`Classifier::pages`].
    pub(super) page_index: Option<u32>,
}

/// Packet's addresses, protocol and interface, cut to what a tuple asks for.
#[derive(Clone, Copy, Debug, Default, Eq)]
pub(super) struct Key {
    /// IPv4: both in the first word. IPv6: two words each.
    pub(super) addresses: [u64; 4],
    pub(super) rest: u64,
}

impl PartialEq for Key {
    /// Word by word: a comparison of the whole would read what was just written in parts.
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        let ([a, b, c, d], [e, f, g, h]) = (self.addresses, other.addresses);
        (a ^ e) | (b ^ f) | (c ^ g) | (d ^ h) | (self.rest ^ other.rest) == 0
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [first, second, third, fourth] = self.addresses;
        // The one word of IPv4 is hashed once. `rest` is short: spread over it.
        if second | third | fourth != 0 {
            [second, third, fourth].iter().for_each(|&word| state.write_u64(word));
        }
        state.write_u64(first ^ self.rest.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }
}

impl Key {
    #[inline]
    pub(super) const fn of(packet: &Packet) -> Self {
        let rest = Self::protocol(packet.protocol) | Self::interface(packet.interface.0);
        Self {
            addresses: Self::words(packet.source.bits(), packet.destination.bits(), packet.is_v4()),
            rest,
        }
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the halves of addresses")]
    pub(super) const fn words(source: u128, destination: u128, is_v4: bool) -> [u64; 4] {
        if is_v4 {
            return [(source as u64) << 32 | destination as u32 as u64, 0, 0, 0];
        }
        [(source >> 64) as u64, source as u64, (destination >> 64) as u64, destination as u64]
    }

    pub(super) const fn protocol(number: u8) -> u64 {
        number as u64
    }

    pub(super) const fn interface(id: u8) -> u64 {
        (id as u64) << 8
    }

    #[inline]
    pub(super) const fn cut(&self, to: &Self) -> Self {
        let ([a, b, c, d], [e, f, g, h]) = (self.addresses, to.addresses);
        Self { addresses: [a & e, b & f, c & g, d & h], rest: self.rest & to.rest }
    }
}

/// All rules that ask for the same parts of a packet.
#[derive(Debug)]
pub(super) struct Tuple {
    /// The parts.
    pub(super) mask: Key,
    pub(super) entries: HashMap<Key, Entry, FlowHasher>,
}

/// A compiled chain.
#[derive(Debug, Default)]
pub(super) struct Classifier {
    pub(super) tuples: Box<[Tuple]>,
    pub(super) items: Box<[Item]>,
    /// First ports of segments.
    pub(super) starts: Box<[u16]>,
    /// Items of segments.
    pub(super) runs: Box<[Run]>,
    /// How many segments of an entry begin before each page, and in all.
    pub(super) pages: Box<[[u32; 257]]>,
    pub(super) odd: Box<[OddRule]>,
    /// Every item sets the whole mark, whatever it was: the last one counts.
    pub(super) is_plain: bool,
}

impl Classifier {
    /// The mark that the chain gives to a packet.
    pub(super) fn mark(&self, packet: &Packet) -> u32 {
        if self.is_plain { self.last(packet) } else { self.merged(packet) }
    }

    /// The items for a packet, of each tuple that has some.
    #[inline]
    fn found(&self, packet: &Packet) -> impl Iterator<Item = &[Item]> {
        let key = Key::of(packet);
        let port = ports::of(packet).map(|(_, to)| to);
        self.tuples.iter().filter_map(move |tuple| {
            let run = self.run(tuple.entries.get(&key.cut(&tuple.mask))?, port);
            self.items.get(run.first as usize..run.end as usize)
        })
    }

    /// The mark of the last item, where each one sets the whole mark.
    fn last(&self, packet: &Packet) -> u32 {
        let last = self.found(packet).filter_map(<[Item]>::last).max_by_key(|item| item.place);
        match last.map(|item| item.effect) {
            Some(Effect::Change(change)) => change.value,
            _ => 0,
        }
    }

    fn merged(&self, packet: &Packet) -> u32 {
        let mut found: [&[Item]; TUPLES_MAX] = [&[]; TUPLES_MAX];
        let mut count = 0;
        for (place, items) in found.iter_mut().zip(self.found(packet)) {
            *place = items;
            count += 1;
        }
        self.merge(&mut found[..count], packet)
    }

    #[inline]
    fn run(&self, entry: &Entry, port: Option<u16>) -> Run {
        let Some(port) = port else { return entry.portless };
        let Run { mut first, mut end } = entry.segments;
        if let Some(index) = entry.page_index {
            let pages = &self.pages[index as usize];
            let page = usize::from(port >> 8);
            // The segment that a page begins in may have begun before it.
            (first, end) = (first + pages[page].saturating_sub(1), first + pages[page + 1]);
        }
        let starts = &self.starts[first as usize..end as usize];
        let behind = starts.partition_point(|&start| start <= port);
        self.runs[first as usize + behind.saturating_sub(1)]
    }

    /// Applies what was found in the order of the chain.
    fn merge(&self, found: &mut [&[Item]], packet: &Packet) -> u32 {
        let mut mark = 0;
        loop {
            let mut next: Option<(usize, Item)> = None;
            for (place, items) in found.iter().enumerate() {
                if let Some(&item) = items.first()
                    && next.is_none_or(|(_, next)| item.place < next.place)
                {
                    next = Some((place, item));
                }
            }
            let Some((place, item)) = next else { return mark };
            found[place] = found[place].get(1..).unwrap_or_default();
            if let Some(odd) = item.odd {
                let odd = &self.odd[odd as usize];
                if odd.interfaces.is_some_and(|set| !set.contains(packet.interface))
                    || !odd.rule.holds(packet, mark)
                {
                    continue;
                }
            }
            match item.effect {
                Effect::Change(change) => mark = change.apply(mark),
                Effect::End => return mark,
            }
        }
    }
}
