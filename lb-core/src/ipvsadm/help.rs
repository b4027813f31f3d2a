//! The texts of `-h` and `-v`. They are ipvsadm's interface, so they name ipvsadm.

use super::grammar::{Argument, WORDS};

/// What `-v` prints, and the first line of `-h`.
pub(super) const VERSION: &str = "ipvsadm v1.31 2019/12/24 (compiled with popt and IPVS v1.2.1)\n";

/// The rest of what `-h` prints.
pub(super) const USAGE: &str = include_str!("help.txt");

/// A word of the language, for manuals and completions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HelpWord {
    pub short: Option<char>,
    pub long: &'static str,
    pub takes_value: bool,
    /// What `-h` says about it; nothing about `-v`.
    pub about: &'static str,
    /// Whether ipvsadm does not have it, so that `-h` does not either.
    pub is_own: bool,
}

/// Options that only sluiceadm has.
const OWN: &[(&str, &str)] = &[
    ("atomic", "with --restore: run all lines or none"),
    ("full", "with --save: also what ipvsadm's format loses"),
];

/// What `-h` prints but for its first line.
pub const fn usage() -> &'static str {
    USAGE
}

/// Every word; `list` has two letters and is there twice.
pub fn words() -> impl Iterator<Item = HelpWord> {
    WORDS.iter().map(|word| {
        let own = OWN.iter().find(|(long, _)| *long == word.long);
        HelpWord {
            short: word.short,
            long: word.long,
            takes_value: word.argument != Argument::None,
            about: own.map_or_else(|| about(word.long), |(_, about)| about),
            is_own: own.is_some(),
        }
    })
}

/// The last column of the line that begins with the option.
fn about(long: &str) -> &'static str {
    let is_its = |line: &&str| {
        let rest = line.trim_start().strip_prefix("--").and_then(|line| line.strip_prefix(long));
        rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '-'))
    };
    let line = USAGE.lines().find(is_its).unwrap_or_default();
    line.rsplit("  ").next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_explained() {
        for word in words().filter(|word| word.long != "version") {
            assert!(!word.about.is_empty() && !word.about.starts_with('-'), "{word:?}");
        }
        let weight = words().find(|word| word.long == "weight").unwrap();
        assert_eq!((weight.takes_value, weight.about), (true, "capacity of real server"));
    }
}
