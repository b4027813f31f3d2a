//! Why a command about marks is refused: iptables' own words, and the way out.

use super::CHAIN;
use super::chain::RULES_MAX;
use super::ports::MULTIPORT_MAX;
use super::rule::INTERFACE_LEN_MAX;

/// Why a command, or a line of a saved rule set, is refused. Nothing was changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MarksError {
    #[error("no command specified; write -A, -I, -D, -R, -C, -F, -L, -S or -P, save or restore")]
    NoCommand,
    #[error("Cannot use {second} with {first}; give one command at a time")]
    TwoCommands { first: &'static str, second: &'static str },
    #[error("unknown option \"{0}\"; docs/marks.md has those that there are")]
    UnknownOption(String),
    #[error("option \"{0}\" is not supported: {1}")]
    Unsupported(String, &'static str),
    #[error("option \"{0}\" requires an argument")]
    NoArgument(String),
    #[error("option \"{0}\" takes no argument; leave out what is behind `='")]
    ArgumentTooMany(String),
    #[error("Illegal option `{0}' with this command; leave it out")]
    IllegalOption(String),
    #[error("Bad argument `{0}'; an option has to come before it")]
    BadArgument(String),
    #[error("multiple consecutive ! not allowed; write one or none")]
    TwoNegations,
    #[error("nothing appropriate following !; write the option that it negates behind it")]
    NegatesNothing,
    #[error("cannot have ! before {0}; leave it out")]
    NotNegatable(String),
    #[error("multiple {0} flags not allowed; make two rules")]
    TwoFlags(&'static str),
    #[error("table `{0}' is not supported; packets are marked in mangle: `-t mangle', or no -t")]
    Table(String),
    #[error("No chain/target/match by the name `{0}'; packets are marked in {CHAIN}")]
    Chain(String),
    #[error("policy `{0}' of {CHAIN} is not supported; it is ACCEPT")]
    Policy(String),
    #[error("-P requires a chain and a policy; write -P {CHAIN} ACCEPT")]
    NoPolicy,
    #[error("Invalid rule number `{0}'; rules are numbered from 1, see -L --line-numbers")]
    RuleNumber(String),
    #[error("-R requires a rule number; see -L --line-numbers")]
    NoRuleNumber,
    #[error("Replacement rule does not specify a unique address; give one -s and one -d")]
    NotUnique,
    #[error("unknown protocol \"{0}\" specified; write a number or a name such as tcp")]
    Protocol(String),
    #[error("rule would never match {0}; leave it out")]
    Never(&'static str),
    #[error("host/network `{0}' not found; write {1}: names of hosts are not looked up")]
    Address(String, &'static str),
    #[error("invalid mask `{0}' specified; write the length of the prefix or the mask itself")]
    Mask(String),
    #[error("! not allowed with multiple source or destination IP addresses; make two rules")]
    NegatedList,
    #[error("Empty interface is likely to be undesired; leave -i out to mean all")]
    NoInterface,
    #[error("interface name `{0}' must not be longer than {INTERFACE_LEN_MAX} bytes")]
    InterfaceTooLong(String),
    #[error("interface `{name}' is none of the director's; there are {known}")]
    UnknownInterface { name: String, known: String },
    #[error("match `{0}' is not supported; there are tcp, udp, sctp, multiport, mark, comment")]
    UnknownMatch(String),
    #[error("{0} match requires `-p {1}'")]
    NeedsProtocol(&'static str, &'static str),
    #[error("multiport needs `-p tcp', `-p udp' or `-p sctp'")]
    MultiportProtocol,
    #[error(
        "invalid port/service `{0}' specified; write a number up to 65535 or a name of tcp's \
             or udp's services"
    )]
    Port(String),
    #[error("invalid portrange `{0}' (min > max); write the smaller port first")]
    PortRange(String),
    #[error("invalid portrange `{0}' specified; write the smaller port first, and one port alone")]
    MultiportRange(String),
    #[error(
        "too many ports specified: one multiport takes {MULTIPORT_MAX}, ranges count twice; \
             make two rules"
    )]
    TooManyPorts,
    #[error("{0}: option \"{1}\" can only be used once; make two rules")]
    Twice(&'static str, &'static str),
    #[error("{0}: option \"{1}\" cannot be used together with \"{2}\"; keep one")]
    Together(&'static str, &'static str, &'static str),
    #[error("{0}: {1} must be specified")]
    Missing(&'static str, &'static str),
    #[error(
        "{0}: bad integer value `{2}' for option \"{1}\", or out of range; write {3}, each up \
             to 0xffffffff"
    )]
    Number(&'static str, &'static str, String, &'static str),
    #[error("comment: at most 255 bytes, and no line feeds or other control characters")]
    Comment,
    #[error("target `{0}' is not supported; there are MARK, ACCEPT and RETURN")]
    Target(String),
    #[error("Index of {0} too big: there are {1} rules")]
    IndexTooBig(&'static str, usize),
    #[error("Bad rule (does a matching rule exist in that chain?); -S shows those that there are")]
    NoSuchRule,
    #[error(
        "too many rules: {RULES_MAX} is the limit; let one rule stand for several, with a \
             prefix, a range of ports or multiport"
    )]
    TooManyRules,
    #[error("line {line}: {problem}")]
    Line { line: usize, problem: Box<Self> },
    #[error("the line is none of iptables-save: {0}")]
    Form(&'static str),
    #[error("{0} is no mark; write a number from 1 to 0xffffffff")]
    Mark(String),
    #[error("mark {0:#x} is not intercepted; `marks intercept' lists those that are")]
    NotIntercepted(u32),
    #[error("unknown word `{0}'; write iptables' options, or save, restore, intercept")]
    Word(String),
}

impl MarksError {
    /// The exit code that iptables has for it: 1 if the rules do not allow it, 2 if it is not
    /// what can be asked.
    pub fn exit(&self) -> i32 {
        match self {
            Self::IndexTooBig(..)
            | Self::NoSuchRule
            | Self::TooManyRules
            | Self::Chain(_)
            | Self::Policy(_) => 1,
            Self::Line { problem, .. } => problem.exit(),
            _ => 2,
        }
    }
}
