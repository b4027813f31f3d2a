//! Words to options, the way popt does it.

use super::command::ParseError;
use super::grammar::{Argument, Meaning, WORDS, Word};

/// An option that was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found<'a> {
    pub(super) meaning: Meaning,
    /// The argument; `None` also where an optional one is absent.
    pub(super) argument: Option<&'a str>,
}

/// Reads options one by one and keeps the words that are none.
///
/// popt's rules, as observed: short options can be bundled (`-Ln`), the argument of the last one
/// may be attached (`-p60`, `-p=60`, `-gw5`) or be the next word whatever that looks like; long
/// options are written out in full, with `--name=value` or `--name value`; after `--` nothing is
/// an option; `-` alone is none.
#[derive(Debug)]
pub(super) struct Scanner<'a, W> {
    words: &'a [W],
    next: usize,
    /// What is left of a word of bundled short options.
    bundle: &'a str,
    options_ended: bool,
    arguments: Vec<&'a str>,
}

impl<'a, W: AsRef<str>> Scanner<'a, W> {
    pub(super) const fn new(words: &'a [W]) -> Self {
        Self { words, next: 0, bundle: "", options_ended: false, arguments: Vec::new() }
    }

    /// The next option, or `None` when there is no more.
    pub(super) fn next_option(&mut self) -> Result<Option<Found<'a>>, ParseError> {
        while self.bundle.is_empty() {
            let Some(word) = self.take_word() else {
                return Ok(None);
            };
            if self.options_ended || !word.starts_with('-') || word == "-" {
                self.arguments.push(word);
            } else if word == "--" {
                self.options_ended = true;
            } else if let Some(long) = word.strip_prefix("--") {
                return self.long_option(long).map(Some);
            } else {
                self.bundle = &word[1..];
            }
        }
        self.short_option().map(Some)
    }

    /// The word that was read last: what popt names in a complaint.
    pub(super) fn last_word(&self) -> &'a str {
        self.next.checked_sub(1).and_then(|last| self.words.get(last)).map_or("", AsRef::as_ref)
    }

    /// The words that were no options.
    pub(super) fn into_arguments(self) -> Vec<&'a str> {
        self.arguments
    }

    fn take_word(&mut self) -> Option<&'a str> {
        let word = self.words.get(self.next)?.as_ref();
        self.next += 1;
        Some(word)
    }

    fn long_option(&mut self, text: &'a str) -> Result<Found<'a>, ParseError> {
        let (name, attached) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        match WORDS.iter().find(|word| word.long == name) {
            Some(word) => self.with_argument(word, attached),
            None => Err(self.complaint("unknown option")),
        }
    }

    fn short_option(&mut self) -> Result<Found<'a>, ParseError> {
        let mut letters = self.bundle.chars();
        let letter = letters.next();
        let rest = letters.as_str();
        self.bundle = "";
        let Some(word) = WORDS.iter().find(|word| word.short.is_some() && word.short == letter)
        else {
            return Err(self.complaint("unknown option"));
        };
        if word.argument == Argument::None && !rest.starts_with('=') {
            self.bundle = rest;
            return Ok(Found { meaning: word.meaning, argument: None });
        }
        let attached = match rest.strip_prefix('=') {
            Some(value) => Some(value),
            None => Some(rest).filter(|rest| !rest.is_empty()),
        };
        self.with_argument(word, attached)
    }

    fn with_argument(
        &mut self,
        word: &Word,
        attached: Option<&'a str>,
    ) -> Result<Found<'a>, ParseError> {
        let argument = match (word.argument, attached) {
            (Argument::None, Some(_)) => {
                return Err(self.complaint("option does not take an argument"));
            }
            (Argument::None, None) => None,
            (_, Some(value)) => Some(value),
            (Argument::Required, None) => {
                let Some(value) = self.take_word() else {
                    return Err(self.complaint("missing argument"));
                };
                Some(value)
            }
            (Argument::Optional, None) => {
                let next = self.words.get(self.next).map(AsRef::as_ref);
                let value = next.filter(|next: &&str| !next.starts_with('-'));
                self.next += usize::from(value.is_some());
                value
            }
        };
        Ok(Found { meaning: word.meaning, argument })
    }

    fn complaint(&self, reason: &str) -> ParseError {
        ParseError::scan(self.last_word(), reason)
    }
}
