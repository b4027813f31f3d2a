//! What `sluicectl marks` asks for: iptables' commands, and words for what has programs of its
//! own there.

use std::sync::Arc;

use super::chain::{self, Action};
use super::error::MarksError;
use super::number::number;
use super::parser::{Command, parse};
use super::{CHAIN, MarkRules, TABLE, listing, saved, show};
use crate::interface::Interface;
use crate::ipvsadm::Names;
use crate::service::Family;

/// A request that was read, and not carried out yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A command of iptables or ip6tables.
    Rules(Command),
    /// `save`, as `iptables-save`.
    Save(Family),
    /// `restore`, as `iptables-restore`.
    Restore(Restore),
    /// `intercept`: lists the marks that make packets the director's own.
    Intercepted,
    /// `intercept add` and `intercept delete`.
    Intercept { mark: u32, begins: bool },
}

/// A saved rule set, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restore {
    family: Family,
    /// With the number of its line.
    commands: Vec<(usize, Command)>,
    /// `-n`: the rules that there are stay.
    keeps: bool,
    /// `-t`: only looks whether it could be done.
    is_test: bool,
}

/// Whether a request reads standard input: a caller has to read it first.
pub fn reads_input<W: AsRef<str>>(words: &[W]) -> bool {
    let mut words = words.iter().map(AsRef::as_ref).filter(|word| family_of(word).is_none());
    words.next() == Some("restore")
}

/// Reads a request: the words behind `marks`, and its input.
///
/// # Errors
///
/// The first thing that is wrong.
pub fn request<W: AsRef<str>>(
    words: &[W],
    input: &[u8],
    names: &dyn Names,
) -> Result<Request, MarksError> {
    let mut words: Vec<_> = words.iter().map(AsRef::as_ref).collect();
    let mut family = Family::V4;
    while let Some(found) = words.first().and_then(|word| family_of(word)) {
        family = found;
        words.remove(0);
    }
    match words[..] {
        ["save", ref options @ ..] => save(options, family),
        ["restore", ref options @ ..] => restore(options, family, input, names),
        ["intercept"] | ["intercept", "list"] => Ok(Request::Intercepted),
        ["intercept", "add", text] => Ok(Request::Intercept { mark: mark(text)?, begins: true }),
        ["intercept", "delete", text] => {
            Ok(Request::Intercept { mark: mark(text)?, begins: false })
        }
        ["intercept", ..] => {
            Err(MarksError::Form("write intercept, or with add MARK, delete MARK"))
        }
        [word, ..] if !word.starts_with(['-', '!']) => Err(MarksError::Word(word.to_owned())),
        _ => parse(&words, family, names).map(Request::Rules),
    }
}

fn family_of(word: &str) -> Option<Family> {
    match word {
        "-4" | "--ipv4" => Some(Family::V4),
        "-6" | "--ipv6" => Some(Family::V6),
        _ => None,
    }
}

/// A mark by its number; 0 is no mark.
///
/// # Errors
///
/// It is no number, or no mark.
pub fn mark(text: &str) -> Result<u32, MarksError> {
    let mark = number(text, u32::MAX).filter(|&mark| mark != 0);
    mark.ok_or_else(|| MarksError::Mark(format!("`{text}'")))
}

fn save(options: &[&str], mut family: Family) -> Result<Request, MarksError> {
    let mut options = options.iter().copied();
    while let Some(option) = options.next() {
        match option {
            "-t" | "--table" => match options.next() {
                Some(TABLE) => {}
                Some(table) => return Err(MarksError::Table(table.to_owned())),
                None => return Err(MarksError::NoArgument(option.to_owned())),
            },
            "-c" | "--counters" => {
                return Err(MarksError::Unsupported(
                    option.to_owned(),
                    "rules do not count packets",
                ));
            }
            _ => match family_of(option) {
                Some(found) => family = found,
                None => return Err(MarksError::UnknownOption(option.to_owned())),
            },
        }
    }
    Ok(Request::Save(family))
}

fn restore(
    options: &[&str],
    mut family: Family,
    input: &[u8],
    names: &dyn Names,
) -> Result<Request, MarksError> {
    let (mut keeps, mut is_test) = (false, false);
    for option in options {
        match *option {
            "-n" | "--noflush" => keeps = true,
            "-t" | "--test" => is_test = true,
            _ => match family_of(option) {
                Some(found) => family = found,
                None => return Err(MarksError::UnknownOption((*option).to_owned())),
            },
        }
    }
    let text = String::from_utf8_lossy(input);
    let commands = saved::commands(&text, family, names)?;
    Ok(Request::Restore(Restore { family, commands, keeps, is_test }))
}

impl Request {
    /// Whether it may change something.
    pub const fn changes(&self) -> bool {
        match self {
            Self::Rules(command) => command.action.changes(),
            Self::Restore(restore) => !restore.is_test,
            Self::Intercept { .. } => true,
            Self::Save(_) | Self::Intercepted => false,
        }
    }

    /// Whether it shows rules or marks.
    pub const fn lists(&self) -> bool {
        match self {
            Self::Rules(Command { action, .. }) => {
                matches!(action, Action::List { .. } | Action::Print { .. })
            }
            Self::Save(_) | Self::Intercepted => true,
            Self::Restore(_) | Self::Intercept { .. } => false,
        }
    }

    /// Does it.
    ///
    /// # Errors
    ///
    /// What is there does not allow it; then nothing is changed.
    pub fn apply(&self, rules: &mut MarkRules, interfaces: &[Interface]) -> Result<(), MarksError> {
        match self {
            Self::Rules(Command { family, action }) => {
                let family_chain = rules.chain_mut(*family);
                match action {
                    Action::Check(rules) => chain::check(family_chain, rules),
                    _ if action.changes() => action.apply(Arc::make_mut(family_chain), interfaces),
                    _ => Ok(()),
                }
            }
            Self::Restore(restore) => {
                let chain = rules.chain_mut(restore.family);
                let kept = if restore.keeps { chain.to_vec() } else { Vec::new() };
                let made = saved::rebuild(&restore.commands, interfaces, kept)?;
                if !restore.is_test {
                    *chain = Arc::new(made);
                }
                Ok(())
            }
            Self::Intercept { mark, begins } => {
                let place = rules.intercepted.iter().position(|known| known == mark);
                match (place, begins) {
                    // What is so already is no mistake, as with `vip add`.
                    (None, true) => rules.intercepted.push(*mark),
                    (Some(place), false) => {
                        rules.intercepted.remove(place);
                    }
                    (None, false) => return Err(MarksError::NotIntercepted(*mark)),
                    (Some(_), true) => {}
                }
                Ok(())
            }
            Self::Save(_) | Self::Intercepted => Ok(()),
        }
    }

    /// What is printed when it was done, with the rules as they are then. May look up names of
    /// hosts: not under the director's lock.
    pub fn print(&self, rules: &MarkRules, names: &dyn Names) -> String {
        match self {
            Self::Rules(Command { family, action: Action::List { at, options } }) => {
                listing::chain(rules.chain(*family), *family, *at, *options, names)
            }
            Self::Rules(Command { family, action: Action::Print { at } }) => {
                print(rules, *family, *at)
            }
            Self::Save(family) => saved::table(rules.chain(*family), *family),
            Self::Intercepted => {
                rules.intercepted.iter().map(|mark| format!("{mark:#x}\n")).collect()
            }
            _ => String::new(),
        }
    }
}

/// `iptables -S`
fn print(rules: &MarkRules, family: Family, at: Option<usize>) -> String {
    let chain = rules.chain(family);
    let mut out = String::new();
    if at.is_none() {
        out.push_str("-P ");
        out.push_str(CHAIN);
        out.push_str(" ACCEPT\n");
    }
    for (rule, number) in chain.iter().zip(1..) {
        if at.is_none_or(|at| at == number) {
            out.push_str(&show::rule(rule, family));
            out.push('\n');
        }
    }
    out
}
