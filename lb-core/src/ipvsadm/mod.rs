//! ipvsadm's own language: its command lines, its listings, its save format.
//!
//! What goes in and comes out is what `ipvsadm` 1.31 (Debian, popt build) reads and prints, byte
//! for byte, trailing blanks and exit codes included. There is no I/O here: words come in, an
//! [`Outcome`] goes out, and names are looked up by a [`Names`] that the caller gives.
//!
//! ```text
//! words --grammar, scan, parser--> Command --apply--> Reply --print--> Outcome
//!        (may look names up)              (the table)       (may look names up)
//! ```
//!
//! Only the middle step touches the director, so a caller that shares one director among several
//! operators can lock it for that step alone: [`parse`], [`apply`] and [`print()`] are public.
//! [`execute`] does all three, [`restore`] does them line by line, and [`restore_all`] for all
//! lines at once. `--atomic` and `--full` are the only words that ipvsadm does not have.

mod address;
mod command;
mod connections;
mod execute;
mod grammar;
mod help;
mod line;
mod listing;
mod names;
mod parser;
mod rules;
mod save;
mod scan;
mod sort;
mod text;

pub use command::{Command, Format, ListOptions, ParseError, Subject};
pub use execute::{
    Outcome, Reply, apply, execute, print, reads_input, refusal, restore, restore_all,
    restore_words,
};
pub use help::{HelpWord, usage, words};
pub use line::line;
pub use names::{FixedNames, Names, Numeric};
pub use parser::parse;
pub(crate) use text::ipv6 as ipv6_text;
pub use text::{netmask, scheduler_flags};
