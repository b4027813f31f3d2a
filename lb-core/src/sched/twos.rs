//! twos, weighted random two choices (`ip_vs_twos.c`; Mitzenmacher, "The Power of Two Choices in
//! Randomized Load Balancing", 1996): two destinations are drawn by weight, and the one with less
//! load for its weight gets the connection.
//!
//! The numbers are a keyed hash of a counter and the client's end: whoever does not know the
//! secret cannot foresee them, and lcores share nothing but the counter.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use super::least::{group_size, leader_of};
use super::{Candidates, Request, wlc};
use crate::hash::FlowHasher;

/// Of a group whose weights have been added up.
const ADDED: u64 = 1 << 32;

/// The memory of twos.
#[derive(Debug)]
pub struct TwoChoices {
    hasher: FlowHasher,
    drawn: AtomicU64,
    group_size: usize,
    /// Usable weights of the groups of the list.
    groups: Box<[Sum]>,
}

/// The usable weights of a group.
#[derive(Debug, Default)]
struct Sum {
    /// The leader's `turns` before they were added up, with [`ADDED`].
    stamp: AtomicU64,
    sum: AtomicU64,
}

impl TwoChoices {
    /// A new row of random numbers.
    pub(super) fn new(candidates: Candidates<'_>, hasher: FlowHasher) -> Self {
        Self::at(candidates, hasher, 0)
    }

    /// The same row, going on.
    pub(super) fn changed(&self, now: Candidates<'_>) -> Self {
        Self::at(now, self.hasher, self.drawn.load(Ordering::Relaxed))
    }

    fn at(candidates: Candidates<'_>, hasher: FlowHasher, drawn: u64) -> Self {
        let count = candidates.ids.len();
        let group_size = group_size(count).unwrap_or_else(|| count.max(1));
        let groups = (0..count.div_ceil(group_size)).map(|_| Sum::default()).collect();
        Self { hasher, drawn: AtomicU64::new(drawn), group_size, groups }
    }

    /// The better one of two destinations drawn by weight.
    pub(super) fn pick(&self, request: &Request<'_>, candidates: Candidates<'_>) -> Option<usize> {
        let number = self.drawn.fetch_add(2, Ordering::Relaxed);
        let [high, low] = request.client.halves();
        let client = high ^ low.rotate_left(16) ^ u64::from(request.client_port);
        let draw = |number| self.hasher.words(&[number, client]);
        self.choose(request, candidates, [draw(number), draw(number + 1)])
    }

    /// The choice for two random numbers of 64 bits.
    fn choose(
        &self,
        request: &Request<'_>,
        candidates: Candidates<'_>,
        random: [u64; 2],
    ) -> Option<usize> {
        let sum: u64 = self.sums(candidates).map(|(_, sum)| sum).sum();
        // 0 counts as well as the sum, as in the kernel: the first one gets that much more.
        let drawn = random.map(|random| high_half(random, u128::from(sum) + 1));
        let [first, second] = drawn.map(|drawn| self.at_weight(candidates, drawn));
        let (first, second) = (first?, second?);
        let ratio = |place| wlc::ratio_of(candidates.slot(place), request.settings);
        Some(if ratio(second).is_below(ratio(first)) { second } else { first })
    }

    /// The groups that have usable weights, and the sums.
    fn sums(&self, candidates: Candidates<'_>) -> impl Iterator<Item = (Range<usize>, u64)> {
        let count = candidates.ids.len();
        let ranges = (0..count).step_by(self.group_size);
        self.groups.iter().zip(ranges).filter_map(move |(group, first)| {
            let range = first..(first + self.group_size).min(count);
            let leader = candidates.slot(leader_of(first, self.group_size, count));
            let stamp = u64::from(leader.turns()) | ADDED;
            // Without groups nobody is told of turns.
            let is_known = self.groups.len() > 1 && group.stamp.load(Ordering::Acquire) == stamp;
            let sum = if is_known {
                group.sum.load(Ordering::Relaxed)
            } else {
                let sum = usable(candidates, range.clone()).map(|(_, weight)| weight).sum();
                group.sum.store(sum, Ordering::Relaxed);
                group.stamp.store(stamp, Ordering::Release);
                sum
            };
            (sum > 0).then_some((range, sum))
        })
    }

    /// The destination at which the weights, added up, reach a number.
    fn at_weight(&self, candidates: Candidates<'_>, number: u64) -> Option<usize> {
        let mut rest = number;
        let (range, _) = self.sums(candidates).find(|&(_, sum)| !passes(&mut rest, sum))?;
        let mut of_group = usable(candidates, range);
        let found = of_group.find(|&(_, weight)| !passes(&mut rest, weight));
        // An overload may have come in between.
        found.or_else(|| usable(candidates, 0..candidates.ids.len()).next()).map(|(place, _)| place)
    }
}

/// Whether a number is beyond a weight, which is taken off it then.
const fn passes(rest: &mut u64, weight: u64) -> bool {
    let passes = *rest > weight;
    if passes {
        *rest -= weight;
    }
    passes
}

/// The usable destinations of a part of the list, with their weights.
fn usable(
    candidates: Candidates<'_>,
    range: Range<usize>,
) -> impl Iterator<Item = (usize, u64)> + '_ {
    let weight = move |place| u64::from(candidates.slot(place).weight().max(0).unsigned_abs());
    range.filter(move |&place| candidates.is_usable(place)).map(move |place| (place, weight(place)))
}

/// `random` of 2^64, scaled to `limit`.
const fn high_half(random: u64, limit: u128) -> u64 {
    ((random as u128 * limit) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::super::samples::{HASHER, Sample};
    use super::*;
    use crate::slots::DestinationId;

    /// A random number that draws `value` of 0..=`sum`.
    fn drawing(value: u64, sum: u64) -> u64 {
        u64::try_from(((u128::from(value) << 64) / u128::from(sum + 1)) + 1).unwrap()
    }

    #[test]
    fn draws_fall_by_weight_and_pass_who_is_not_usable() {
        let sample = Sample::new(&[2, 0, 3, 5, 1]);
        sample.slots.configure(DestinationId(3), 5, 1, 0);
        sample.slots.bind(DestinationId(3), false);
        let request = sample.request(2, 1);
        let twos = TwoChoices::new(sample.candidates(), HASHER);
        let pick = |value| {
            let random = drawing(value, 6);
            twos.choose(&request, sample.candidates(), [random, random])
        };
        let picks: Vec<_> = (0..=6).map(|value| pick(value).unwrap()).collect();
        assert_eq!(picks, [0, 0, 0, 2, 2, 2, 4], "0 has (2 + 1) / (6 + 1)");
        assert_eq!(twos.choose(&request, sample.candidates(), [u64::MAX, 0]), Some(4));
    }

    #[test]
    fn the_second_choice_wins_with_strictly_less_load_for_its_weight() {
        let sample = Sample::new(&[1, 2]);
        let request = sample.request(2, 1);
        let twos = TwoChoices::new(sample.candidates(), HASHER);
        let pick = |draws: [u64; 2]| {
            twos.choose(&request, sample.candidates(), draws.map(|it| drawing(it, 3)))
        };
        assert_eq!((pick([0, 3]), pick([3, 0])), (Some(0), Some(1)), "equal: the first");
        sample.slots.bind(DestinationId(0), false);
        assert_eq!((pick([0, 3]), pick([3, 0])), (Some(1), Some(1)));
        sample.slots.bind(DestinationId(1), false);
        sample.slots.bind(DestinationId(1), false);
        assert_eq!((pick([0, 3]), pick([3, 0])), (Some(0), Some(1)), "equal again");
        assert_eq!(pick([0, 0]), Some(0));
    }

    /// Chi-square of 100,000 picks of idle servers against the shares that weights promise: five
    /// places, so above 18.5 once in a thousand rows of numbers, and this row is always the same.
    #[test]
    fn shares_are_those_of_the_weights() {
        let weights = [1, 2, 3, 10, 4];
        let sample = Sample::new(&weights);
        let twos = sample.start("twos");
        let mut counts = [0_u32; 5];
        for client in 0..100_000 {
            let request = sample.request(client % 7, 1);
            counts[twos.pick(&request, sample.candidates()).unwrap()] += 1;
        }
        let deviation: f64 = (0..5)
            .map(|place| {
                let share = f64::from(weights[place] + i32::from(place == 0)) / 21.0;
                let expected = share * 100_000.0;
                (f64::from(counts[place]) - expected).powi(2) / expected
            })
            .sum();
        assert!(deviation < 18.5, "{deviation}: {counts:?}");
    }

    #[test]
    fn nothing_usable_is_no_pick() {
        let sample = Sample::new(&[0, 0]);
        assert_eq!(sample.pick(&sample.start("twos"), 1), None);
        let sample = Sample::new(&[]);
        assert_eq!(sample.pick(&sample.start("twos"), 1), None);
    }

    #[test]
    fn the_largest_weights_do_not_overflow() {
        let sample = Sample::new(&[i32::MAX, i32::MAX]);
        let twos = sample.start("twos");
        let picked = |id| (0..100).any(|_| sample.pick(&twos, 1) == Some(id));
        assert!(picked(0) && picked(1));
    }
}
