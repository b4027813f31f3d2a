//! A map that knows the order in which its entries came: the table's order, and the order of a
//! service's real servers.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// Entries by key, and in the order of their insertion. All operations but the walks take
/// logarithmic time.
#[derive(Debug)]
pub(super) struct OrderedMap<K, V> {
    numbers: HashMap<K, u64>,
    entries: BTreeMap<u64, (K, V)>,
    next: u64,
}

impl<K, V> Default for OrderedMap<K, V> {
    fn default() -> Self {
        Self { numbers: HashMap::new(), entries: BTreeMap::new(), next: 0 }
    }
}

impl<K: Copy + Eq + Hash, V> OrderedMap<K, V> {
    /// Number of entries.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether there is an entry of that key.
    pub(super) fn contains(&self, key: &K) -> bool {
        self.numbers.contains_key(key)
    }

    /// The entry of a key.
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(self.numbers.get(key)?).map(|(_, value)| value)
    }

    /// The same, to be changed.
    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(self.numbers.get(key)?).map(|(_, value)| value)
    }

    /// Adds an entry behind all others; one that the key had before goes.
    pub(super) fn insert(&mut self, key: K, value: V) {
        self.remove(&key);
        self.numbers.insert(key, self.next);
        self.entries.insert(self.next, (key, value));
        self.next += 1;
    }

    /// Removes an entry.
    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let number = self.numbers.remove(key)?;
        self.entries.remove(&number).map(|(_, value)| value)
    }

    /// Keys and entries, oldest first.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.entries.values().map(|(key, value)| (key, value))
    }

    /// Entries, oldest first.
    pub(super) fn values(&self) -> impl DoubleEndedIterator<Item = &V> {
        self.entries.values().map(|(_, value)| value)
    }

    /// The same, to be changed.
    pub(super) fn values_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut V> {
        self.entries.values_mut().map(|(_, value)| value)
    }

    /// Entries that came after the one of a key, oldest first.
    pub(super) fn after(&self, key: &K) -> impl Iterator<Item = &V> {
        let from = self.numbers.get(key).map_or(u64::MAX, |number| number + 1);
        self.entries.range(from..).map(|(_, (_, value))| value)
    }

    /// Keeps the entries that `stays` says yes to.
    pub(super) fn retain(&mut self, mut stays: impl FnMut(&mut V) -> bool) {
        let numbers = &mut self.numbers;
        self.entries.retain(|_, (key, value)| {
            let stays = stays(value);
            if !stays {
                numbers.remove(key);
            }
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a list that is searched.
        #[test]
        fn entries_are_found_in_the_order_in_which_they_came(
            steps in prop::collection::vec((0_u8..4, 0_u8..8), 0..60),
        ) {
            let mut map = OrderedMap::default();
            let mut list: Vec<(u8, usize)> = Vec::new();
            for (value, (step, key)) in steps.into_iter().enumerate() {
                let place = list.iter().position(|(other, _)| *other == key);
                match step {
                    0 => {
                        let removed = place.map(|place| list.remove(place).1);
                        prop_assert_eq!(map.remove(&key), removed);
                    }
                    1 => {
                        list.retain(|(_, value)| value % 3 != 0);
                        map.retain(|value| *value % 3 != 0);
                    }
                    _ => {
                        list.retain(|(other, _)| *other != key);
                        list.push((key, value));
                        map.insert(key, value);
                    }
                }
                let place = list.iter().position(|(other, _)| *other == key);
                prop_assert_eq!(map.get(&key).copied(), place.map(|place| list[place].1));
                prop_assert_eq!(map.get_mut(&key).copied(), map.get(&key).copied());
                prop_assert_eq!(map.contains(&key), place.is_some());
                let after = place.map_or(&[][..], |place| &list[place + 1..]);
                prop_assert!(map.after(&key).eq(after.iter().map(|(_, value)| value)));
                prop_assert!(map.values().eq(list.iter().map(|(_, value)| value)));
                prop_assert!(map.iter().map(|(key, value)| (*key, *value)).eq(list.clone()));
                prop_assert_eq!((map.len(), map.is_empty()), (list.len(), list.is_empty()));
            }
        }
    }
}
