//! The chain: its rules in order, and what commands do to them.

use super::error::MarksError;
use super::listing::ListOptions;
use super::rule::Rule;
use crate::interface::Interface;

/// Rules that one family can have.
pub const RULES_MAX: usize = 65_536;

/// What a command does to the chain. Numbers count from 1. Where addresses were given as a list a
/// command has several rules, and does all of it or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Append(Vec<Rule>),
    Insert {
        at: usize,
        rules: Vec<Rule>,
    },
    Replace {
        at: usize,
        rule: Rule,
    },
    DeleteAt(usize),
    Delete(Vec<Rule>),
    Check(Vec<Rule>),
    Flush,
    List {
        at: Option<usize>,
        options: ListOptions,
    },
    Print {
        at: Option<usize>,
    },
    /// What is so already: the policy, no chains of the operator's.
    Nothing,
}

impl Action {
    /// Whether it may change the rules.
    pub const fn changes(&self) -> bool {
        !matches!(self, Self::Check(_) | Self::List { .. } | Self::Print { .. } | Self::Nothing)
    }

    /// Does it. `interfaces`: those that rules may name.
    ///
    /// # Errors
    ///
    /// The rules, or the interfaces, do not allow it; then nothing is changed.
    pub fn apply(&self, chain: &mut Vec<Rule>, interfaces: &[Interface]) -> Result<(), MarksError> {
        let index = |at: usize, what: &'static str, count: usize| {
            if at > count { Err(MarksError::IndexTooBig(what, count)) } else { Ok(at - 1) }
        };
        match self {
            Self::Append(rules) => {
                make_room(chain, rules, interfaces)?;
                chain.extend_from_slice(rules);
            }
            Self::Insert { at, rules } => {
                if *at > chain.len() + 1 {
                    return Err(MarksError::IndexTooBig("insertion", chain.len()));
                }
                make_room(chain, rules, interfaces)?;
                // Each one at that place, so the last one comes first.
                chain.splice(at - 1..at - 1, rules.iter().rev().cloned());
            }
            Self::Replace { at, rule } => {
                let index = index(*at, "replacement", chain.len())?;
                check_interface(rule, interfaces)?;
                chain[index] = rule.clone();
            }
            Self::DeleteAt(at) => {
                chain.remove(index(*at, "deletion", chain.len())?);
            }
            Self::Delete(rules) => delete(chain, rules)?,
            Self::Flush => chain.clear(),
            Self::Check(rules) => return check(chain, rules),
            Self::List { .. } | Self::Print { .. } | Self::Nothing => {}
        }
        Ok(())
    }
}

/// Whether all of these rules are there.
///
/// # Errors
///
/// One of them is not.
pub(super) fn check(chain: &[Rule], rules: &[Rule]) -> Result<(), MarksError> {
    if rules.iter().all(|rule| chain.contains(rule)) { Ok(()) } else { Err(MarksError::NoSuchRule) }
}

fn make_room(chain: &[Rule], rules: &[Rule], interfaces: &[Interface]) -> Result<(), MarksError> {
    if chain.len() + rules.len() > RULES_MAX {
        return Err(MarksError::TooManyRules);
    }
    // The rules of one command differ in their addresses only.
    rules.first().map_or(Ok(()), |rule| check_interface(rule, interfaces))
}

/// A rule for an interface that is not there would never hold: most likely the name is wrong.
fn check_interface(rule: &Rule, interfaces: &[Interface]) -> Result<(), MarksError> {
    let Some(wanted) = rule.interface.as_ref().filter(|wanted| !wanted.negated) else {
        return Ok(());
    };
    if interfaces.iter().any(|interface| wanted.names(&interface.name)) {
        return Ok(());
    }
    let known: Vec<_> = interfaces.iter().map(|interface| interface.name.as_str()).collect();
    Err(MarksError::UnknownInterface { name: wanted.pattern.clone(), known: known.join(", ") })
}

fn delete(chain: &mut Vec<Rule>, rules: &[Rule]) -> Result<(), MarksError> {
    let mut places = Vec::with_capacity(rules.len());
    for rule in rules {
        let place =
            (0..chain.len()).find(|place| chain[*place] == *rule && !places.contains(place));
        places.push(place.ok_or(MarksError::NoSuchRule)?);
    }
    places.sort_unstable();
    for place in places.into_iter().rev() {
        chain.remove(place);
    }
    Ok(())
}
