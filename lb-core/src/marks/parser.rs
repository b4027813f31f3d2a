//! A command line to a [`Command`]: the grammar of iptables and ip6tables.

use super::chain::Action;
use super::error::MarksError;
use super::grammar::{Meaning, Verb};
use super::listing::ListOptions;
use super::number::number;
use super::scan::{Item, Scanner};
use super::specification::Specification;
use super::{CHAIN, TABLE};
use crate::ipvsadm::Names;
use crate::service::Family;

/// What a command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    pub family: Family,
    pub action: Action,
}

/// Reads the words behind the program's name. `family`: what they mean without `-4` and `-6`.
///
/// # Errors
///
/// The first thing that is wrong, in iptables' words.
pub fn parse(words: &[&str], family: Family, names: &dyn Names) -> Result<Command, MarksError> {
    let mut parser = Parser {
        scanner: Scanner::new(words),
        names,
        family,
        negated: false,
        verb: None,
        chain: None,
        number: None,
        has_table: false,
        list: ListOptions::default(),
        specification: Specification::default(),
    };
    parser.read()?;
    parser.finish()
}

struct Parser<'a> {
    scanner: Scanner<'a>,
    names: &'a dyn Names,
    family: Family,
    /// A `!` waits for its option.
    negated: bool,
    verb: Option<Verb>,
    chain: Option<&'a str>,
    number: Option<&'a str>,
    has_table: bool,
    list: ListOptions,
    specification: Specification,
}

impl<'a> Parser<'a> {
    fn read(&mut self) -> Result<(), MarksError> {
        loop {
            let loaded = self.specification.loaded();
            match self.scanner.next(&loaded) {
                Ok(None) if self.negated => return Err(MarksError::NegatesNothing),
                Ok(None) => return Ok(()),
                Ok(Some(Item::Plain("!"))) if self.negated => return Err(MarksError::TwoNegations),
                Ok(Some(Item::Plain("!"))) => self.negated = true,
                Ok(Some(Item::Plain(word))) => {
                    return Err(MarksError::BadArgument(word.to_owned()));
                }
                Ok(Some(Item::Option { written, meaning, argument })) => {
                    let negated = std::mem::take(&mut self.negated);
                    self.take(&written, meaning, argument.unwrap_or_default(), negated)?;
                }
                Err(None) if self.specification.load_protocol() => self.scanner.back(),
                Err(None) => {
                    return Err(MarksError::UnknownOption(self.scanner.last().to_owned()));
                }
                Err(Some(problem)) => return Err(problem),
            }
        }
    }

    fn take(
        &mut self,
        written: &str,
        meaning: Meaning,
        text: &'a str,
        negated: bool,
    ) -> Result<(), MarksError> {
        let negatable = matches!(
            meaning,
            Meaning::Source
                | Meaning::Destination
                | Meaning::Interface
                | Meaning::Protocol
                | Meaning::Own(_)
                | Meaning::Refused(_)
        );
        if negated && !negatable {
            return Err(MarksError::NotNegatable(written.to_owned()));
        }
        let is_of_rule = negatable || matches!(meaning, Meaning::Jump | Meaning::LoadMatch);
        if is_of_rule && self.specification.first.is_none() {
            self.specification.first = Some(written.to_owned());
        }
        let specification = &mut self.specification;
        match meaning {
            Meaning::Command(verb) => return self.take_command(verb, text),
            Meaning::Table if text != TABLE => return Err(MarksError::Table(text.to_owned())),
            Meaning::Table if self.has_table => return Err(MarksError::TwoFlags("-t")),
            Meaning::Table => self.has_table = true,
            Meaning::Family4 => self.family = Family::V4,
            Meaning::Family6 => self.family = Family::V6,
            Meaning::Source => specification.set_address(true, text, negated)?,
            Meaning::Destination => specification.set_address(false, text, negated)?,
            Meaning::Interface => specification.set_interface(text, negated)?,
            Meaning::Protocol => specification.set_protocol(text, negated)?,
            Meaning::Jump => specification.set_target(text)?,
            Meaning::LoadMatch => specification.load_match(text)?,
            Meaning::Own(own) => specification.set_own(own, text, negated, self.names)?,
            Meaning::Numeric => self.list.numeric = true,
            Meaning::Exact => self.list.exact = true,
            Meaning::Verbose => self.list.verbose = true,
            Meaning::LineNumbers => self.list.line_numbers = true,
            Meaning::Ignored => {}
            Meaning::Refused(why) => {
                return Err(MarksError::Unsupported(written.to_owned(), why));
            }
        }
        Ok(())
    }

    /// A command and the words behind it: the chain, a rule's number, a policy.
    fn take_command(&mut self, verb: Verb, chain: &'a str) -> Result<(), MarksError> {
        if let Some(before) = self.verb.replace(verb) {
            let (first, second) = (before.option(), verb.option());
            return Err(MarksError::TwoCommands { first, second });
        }
        let names_chain = !chain.is_empty()
            || !matches!(verb, Verb::List | Verb::Print | Verb::Flush | Verb::DeleteChains);
        if names_chain {
            if chain != CHAIN {
                return Err(MarksError::Chain(chain.to_owned()));
            }
            self.chain = Some(chain);
        }
        match verb {
            Verb::Insert | Verb::Delete | Verb::Replace | Verb::List | Verb::Print => {
                if self.chain.is_some() {
                    self.number = self.scanner.plain();
                }
                if verb == Verb::Replace && self.number.is_none() {
                    return Err(MarksError::NoRuleNumber);
                }
            }
            Verb::Policy => {
                let policy = self.scanner.plain().ok_or(MarksError::NoPolicy)?;
                if policy != "ACCEPT" {
                    return Err(MarksError::Policy(policy.to_owned()));
                }
            }
            // A chain that exists always cannot be deleted.
            Verb::DeleteChains if self.chain.is_some() => {
                return Err(MarksError::Unsupported("-X".to_owned(), "the chain is always there"));
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(self) -> Result<Command, MarksError> {
        let verb = self.verb.ok_or(MarksError::NoCommand)?;
        let takes_rule = match verb {
            Verb::Append | Verb::Insert | Verb::Replace | Verb::Check => true,
            Verb::Delete => self.number.is_none(),
            _ => false,
        };
        if let Some(first) = self.specification.first.as_ref().filter(|_| !takes_rule) {
            return Err(MarksError::IllegalOption(first.clone()));
        }
        if verb != Verb::List {
            let list = &self.list;
            let illegal =
                [(list.numeric, "-n"), (list.exact, "-x"), (list.line_numbers, "--line-numbers")];
            if let Some((_, name)) = illegal.iter().find(|(is_given, _)| *is_given) {
                return Err(MarksError::IllegalOption((*name).to_owned()));
            }
        }
        let number = self.number.map(rule_number).transpose()?;
        let family = self.family;
        let rules = || self.specification.finish(family);
        let action = match verb {
            Verb::Append => Action::Append(rules()?),
            Verb::Insert => Action::Insert { at: number.unwrap_or(1), rules: rules()? },
            Verb::Replace => {
                let mut rules = rules()?;
                match (rules.pop(), rules.is_empty(), number) {
                    (Some(rule), true, Some(at)) => Action::Replace { at, rule },
                    _ => return Err(MarksError::NotUnique),
                }
            }
            Verb::Delete => match number {
                Some(at) => Action::DeleteAt(at),
                None => Action::Delete(rules()?),
            },
            Verb::Check => Action::Check(rules()?),
            Verb::Flush => Action::Flush,
            Verb::List => Action::List { at: number, options: self.list },
            Verb::Print => Action::Print { at: number },
            Verb::Policy | Verb::DeleteChains => Action::Nothing,
        };
        Ok(Command { family, action })
    }
}

/// A rule's number, from 1.
fn rule_number(text: &str) -> Result<usize, MarksError> {
    let number = number(text, u32::MAX).filter(|&number| number > 0);
    number
        .and_then(|number| usize::try_from(number).ok())
        .ok_or_else(|| MarksError::RuleNumber(text.to_owned()))
}
