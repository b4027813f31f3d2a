//! What happened to the destinations of a service, one change after the other, for schedulers that
//! go by each.

use std::collections::BTreeMap;

use crate::slots::DestinationId;

/// A destination was added, removed or edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The one that was removed, and the one before it in the list at that time.
    pub removed: Option<(DestinationId, Option<DestinationId>)>,
    /// What the weights are since then.
    pub rounds: Rounds,
}

/// What wrr makes of the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rounds {
    /// Greatest common divisor of all positive weights, 1 if there are none.
    pub step: i32,
    /// Highest weight, lowered by `step - 1`: the threshold at which a round of rounds begins.
    pub highest: i32,
}

impl Rounds {
    /// Of these weights, those above 0.
    pub fn of(weights: impl Iterator<Item = i32>) -> Self {
        let (mut step, mut highest) = (0, 0);
        for weight in weights.filter(|&weight| weight > 0) {
            step = gcd(step, weight);
            highest = weight.max(highest);
        }
        Self::new(step, highest)
    }

    /// Of a greatest common divisor and a highest weight, both 0 if there are no positive weights.
    fn new(step: i32, highest: i32) -> Self {
        let step = step.max(1);
        Self { step, highest: if highest == 0 { 0 } else { highest - (step - 1) } }
    }
}

const fn gcd(mut a: i32, mut b: i32) -> i32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// The weights of a service's destinations, each with the number of those that have it.
#[derive(Debug, Default)]
pub struct Weights(BTreeMap<i32, usize>);

impl Weights {
    /// A destination has this weight from now on.
    pub fn add(&mut self, weight: i32) {
        *self.0.entry(weight).or_default() += 1;
    }

    /// A destination has it no more.
    pub fn remove(&mut self, weight: i32) {
        if let Some(count) = self.0.get_mut(&weight) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&weight);
            }
        }
    }

    /// What wrr makes of them.
    pub fn rounds(&self) -> Rounds {
        let mut step = 0;
        for &weight in self.0.keys().filter(|&&weight| weight > 0) {
            step = gcd(step, weight);
            if step == 1 {
                break;
            }
        }
        Rounds::new(step, self.0.keys().next_back().map_or(0, |&highest| highest.max(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_follow_the_weights_that_there_are() {
        let mut weights = Weights::default();
        let expect = |weights: &Weights, step, highest| {
            assert_eq!(weights.rounds(), Rounds { step, highest });
        };
        expect(&weights, 1, 0);
        weights.add(0);
        expect(&weights, 1, 0);
        weights.add(6);
        weights.add(6);
        expect(&weights, 6, 1);
        weights.add(9);
        expect(&weights, 3, 7);
        weights.remove(6);
        expect(&weights, 3, 7);
        weights.remove(6);
        expect(&weights, 9, 1);
        weights.add(i32::MAX);
        expect(&weights, 1, i32::MAX);
        weights.remove(5);
        weights.remove(i32::MAX);
        weights.remove(9);
        expect(&weights, 1, 0);
    }
}
