//! Words to options, the way `getopt_long` does it.

use super::error::MarksError;
use super::grammar::{Argument, GLOBAL, Meaning, Word};

/// What was read.
#[derive(Debug)]
pub(super) enum Item<'a> {
    /// An option as it was written, for messages, with its argument.
    Option { written: String, meaning: Meaning, argument: Option<&'a str> },
    /// A word that is no option.
    Plain(&'a str),
}

/// Reads words one by one.
#[derive(Debug)]
pub(super) struct Scanner<'a> {
    words: &'a [&'a str],
    next: usize,
    /// What is left of a word of bundled short options.
    bundle: &'a str,
}

impl<'a> Scanner<'a> {
    pub(super) const fn new(words: &'a [&'a str]) -> Self {
        Self { words, next: 0, bundle: "" }
    }

    /// The next word, if it is neither an option nor `!`.
    pub(super) fn plain(&mut self) -> Option<&'a str> {
        let is_plain = |word: &&str| !word.starts_with('-') && *word != "!";
        let word = self.words.get(self.next).copied().filter(is_plain)?;
        self.next += 1;
        Some(word)
    }

    /// The next option or word. `loaded`: the options of matches and targets, the latest first.
    /// `None` at the end; `Err(None)` for a long option that is not known: it may be known to a
    /// match that is not loaded yet, see [`Scanner::back`].
    pub(super) fn next(
        &mut self,
        loaded: &[&'static [Word]],
    ) -> Result<Option<Item<'a>>, Option<MarksError>> {
        if self.bundle.is_empty() {
            let Some(&word) = self.words.get(self.next) else { return Ok(None) };
            self.next += 1;
            match word.strip_prefix("--") {
                Some(name) if !name.is_empty() => return self.long(name, loaded),
                _ if !word.starts_with('-') || word == "-" || word == "--" => {
                    return Ok(Some(Item::Plain(word)));
                }
                _ => self.bundle = &word[1..],
            }
        }
        self.short().map_err(Some)
    }

    /// Goes back to the long option that was not known.
    pub(super) const fn back(&mut self) {
        self.next -= 1;
    }

    /// The word that was read last.
    pub(super) fn last(&self) -> &'a str {
        self.next.checked_sub(1).and_then(|last| self.words.get(last)).copied().unwrap_or_default()
    }

    fn long(
        &mut self,
        text: &'a str,
        loaded: &[&'static [Word]],
    ) -> Result<Option<Item<'a>>, Option<MarksError>> {
        let (name, attached) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let lists = || loaded.iter().copied().chain([GLOBAL]);
        let exact = lists().flatten().find(|word| word.long == name);
        // A beginning will do, if it is the beginning of one option only.
        let word = exact.or_else(|| {
            let mut begun = lists().flatten().filter(|word| word.long.starts_with(name));
            let first = begun.next()?;
            begun.all(|word| word.meaning == first.meaning).then_some(first)
        });
        let word = word.ok_or(None)?;
        let written = format!("--{name}");
        self.with_argument(written, word, attached).map(Some).map_err(Some)
    }

    fn short(&mut self) -> Result<Option<Item<'a>>, MarksError> {
        let mut letters = self.bundle.chars();
        let letter = letters.next();
        let rest = letters.as_str();
        self.bundle = "";
        let written = letter.map_or_else(String::new, |letter| format!("-{letter}"));
        let Some(word) = GLOBAL.iter().find(|word| word.short.is_some() && word.short == letter)
        else {
            return Err(MarksError::UnknownOption(written));
        };
        if word.argument == Argument::None {
            self.bundle = rest;
            return Ok(Some(Item::Option { written, meaning: word.meaning, argument: None }));
        }
        self.with_argument(written, word, Some(rest).filter(|rest| !rest.is_empty())).map(Some)
    }

    fn with_argument(
        &mut self,
        written: String,
        word: &Word,
        attached: Option<&'a str>,
    ) -> Result<Item<'a>, MarksError> {
        let argument = match (word.argument, attached) {
            (Argument::None, Some(_)) => return Err(MarksError::ArgumentTooMany(written)),
            (Argument::None, None) => None,
            (_, Some(value)) => Some(value),
            (Argument::Optional, None) => self.plain(),
            (Argument::One, None) => {
                let Some(&value) = self.words.get(self.next) else {
                    return Err(MarksError::NoArgument(written));
                };
                self.next += 1;
                Some(value)
            }
        };
        Ok(Item::Option { written, meaning: word.meaning, argument })
    }
}
