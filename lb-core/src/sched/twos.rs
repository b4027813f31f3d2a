//! twos, weighted random two choices (`ip_vs_twos.c`; Mitzenmacher, "The Power of Two Choices in
//! Randomized Load Balancing", 1996): two destinations are drawn by weight, and the one with less
//! load for its weight gets the connection.
//!
//! The numbers are a keyed hash of a counter and the client's end: whoever does not know the
//! secret cannot foresee them, and lcores share nothing but the counter.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Candidates, Request, wlc};
use crate::hash::FlowHasher;

/// The memory of twos.
#[derive(Debug)]
pub struct TwoChoices {
    hasher: FlowHasher,
    drawn: AtomicU64,
}

impl TwoChoices {
    /// A new row of random numbers.
    pub(super) const fn new(hasher: FlowHasher) -> Self {
        Self { hasher, drawn: AtomicU64::new(0) }
    }

    /// The same row, going on.
    pub(super) fn changed(&self) -> Self {
        Self { hasher: self.hasher, drawn: AtomicU64::new(self.drawn.load(Ordering::Relaxed)) }
    }

    /// The better one of two destinations drawn by weight.
    pub(super) fn pick(&self, request: &Request<'_>, candidates: Candidates<'_>) -> Option<usize> {
        let number = self.drawn.fetch_add(2, Ordering::Relaxed);
        let [high, low] = request.client.halves();
        let client = high ^ low.rotate_left(16) ^ u64::from(request.client_port);
        let draw = |number| self.hasher.words(&[number, client]);
        choose(request, candidates, [draw(number), draw(number + 1)])
    }
}

/// The choice for two random numbers of 64 bits.
fn choose(request: &Request<'_>, candidates: Candidates<'_>, random: [u64; 2]) -> Option<usize> {
    let usable = |&place: &usize| candidates.is_usable(place);
    let weight = |place| u64::from(candidates.slot(place).weight().max(0).unsigned_abs());
    let places = || (0..candidates.ids.len()).filter(usable);
    let sum: u64 = places().map(weight).sum();
    // 0 counts as well as the sum, as in the kernel: the first one gets that much more.
    let drawn = random.map(|random| ((u128::from(random) * (u128::from(sum) + 1)) >> 64) as u64);
    let [first, second] = drawn.map(|drawn| {
        let mut rest = drawn;
        places().find(|&place| {
            let reached = rest <= weight(place);
            rest = rest.saturating_sub(weight(place));
            reached
        })
    });
    let (first, second) = (first?, second?);
    let ratio = |place| wlc::ratio_of(candidates.slot(place), request.settings);
    Some(if ratio(second).is_below(ratio(first)) { second } else { first })
}

#[cfg(test)]
mod tests {
    use super::super::samples::Sample;
    use super::*;

    /// A random number that draws `value` of 0..=`sum`.
    fn drawing(value: u64, sum: u64) -> u64 {
        u64::try_from(((u128::from(value) << 64) / u128::from(sum + 1)) + 1).unwrap()
    }

    #[test]
    fn draws_fall_by_weight_and_pass_who_is_not_usable() {
        let sample = Sample::new(&[2, 0, 3, 5, 1]);
        sample.slot(3).configure(5, 1, 0);
        sample.slot(3).bind(false);
        let request = sample.request(2, 1);
        let pick = |value| {
            let random = drawing(value, 6);
            choose(&request, sample.candidates(), [random, random])
        };
        let picks: Vec<_> = (0..=6).map(|value| pick(value).unwrap()).collect();
        assert_eq!(picks, [0, 0, 0, 2, 2, 2, 4], "0 has (2 + 1) / (6 + 1)");
        assert_eq!(choose(&request, sample.candidates(), [u64::MAX, 0]), Some(4));
    }

    #[test]
    fn the_second_choice_wins_with_strictly_less_load_for_its_weight() {
        let sample = Sample::new(&[1, 2]);
        let request = sample.request(2, 1);
        let pick =
            |draws: [u64; 2]| choose(&request, sample.candidates(), draws.map(|it| drawing(it, 3)));
        assert_eq!((pick([0, 3]), pick([3, 0])), (Some(0), Some(1)), "equal: the first");
        sample.slot(0).bind(false);
        assert_eq!((pick([0, 3]), pick([3, 0])), (Some(1), Some(1)));
        sample.slot(1).bind(false);
        sample.slot(1).bind(false);
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
