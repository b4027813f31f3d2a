//! The words of iptables' command line, as far as marks need them.

/// What follows an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Argument {
    None,
    One,
    /// In the same word, or the next one if it is no option.
    Optional,
}

/// An option and what it means.
#[derive(Debug)]
pub(super) struct Word {
    pub(super) short: Option<char>,
    pub(super) long: &'static str,
    pub(super) argument: Argument,
    pub(super) meaning: Meaning,
}

/// What an option asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Command(Verb),
    Table,
    Family4,
    Family6,
    Source,
    Destination,
    Interface,
    Protocol,
    Jump,
    LoadMatch,
    Numeric,
    /// How counters are listed: there are none.
    Exact,
    Verbose,
    LineNumbers,
    /// Of no effect here, and of none on the rules in iptables either.
    Ignored,
    /// Known to iptables; the text says why not here.
    Refused(&'static str),
    /// Of a match or a target that was loaded before.
    Own(Own),
}

/// The commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Append,
    Insert,
    Replace,
    Delete,
    Check,
    Flush,
    List,
    Print,
    Policy,
    DeleteChains,
}

impl Verb {
    pub(super) const fn option(self) -> &'static str {
        match self {
            Self::Append => "-A",
            Self::Insert => "-I",
            Self::Replace => "-R",
            Self::Delete => "-D",
            Self::Check => "-C",
            Self::Flush => "-F",
            Self::List => "-L",
            Self::Print => "-S",
            Self::Policy => "-P",
            Self::DeleteChains => "-X",
        }
    }
}

/// Options of matches and targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Own {
    SourcePort,
    DestinationPort,
    SourcePorts,
    DestinationPorts,
    EitherPorts,
    Mark,
    Comment,
    SetXmark,
    SetMark,
    AndMark,
    OrMark,
    XorMark,
}

const fn word(short: char, long: &'static str, argument: Argument, meaning: Meaning) -> Word {
    Word { short: Some(short), long, argument, meaning }
}

const fn long(long: &'static str, argument: Argument, meaning: Meaning) -> Word {
    Word { short: None, long, argument, meaning }
}

const fn own(name: &'static str, meaning: Own) -> Word {
    long(name, Argument::One, Meaning::Own(meaning))
}

const ONE_CHAIN: &str = "there is one chain, PREROUTING";
const NO_COUNTERS: &str = "rules do not count packets";
const NO_OUT: &str = "packets are marked before it is known where they leave";
const NO_FRAGMENTS: &str = "later fragments follow the first one of their datagram";

/// What holds in every command.
pub(super) const GLOBAL: &[Word] = &[
    word('A', "append", Argument::One, Meaning::Command(Verb::Append)),
    word('I', "insert", Argument::One, Meaning::Command(Verb::Insert)),
    word('R', "replace", Argument::One, Meaning::Command(Verb::Replace)),
    word('D', "delete", Argument::One, Meaning::Command(Verb::Delete)),
    word('C', "check", Argument::One, Meaning::Command(Verb::Check)),
    word('F', "flush", Argument::Optional, Meaning::Command(Verb::Flush)),
    word('L', "list", Argument::Optional, Meaning::Command(Verb::List)),
    word('S', "list-rules", Argument::Optional, Meaning::Command(Verb::Print)),
    word('P', "policy", Argument::One, Meaning::Command(Verb::Policy)),
    word('X', "delete-chain", Argument::Optional, Meaning::Command(Verb::DeleteChains)),
    word('N', "new-chain", Argument::One, Meaning::Refused(ONE_CHAIN)),
    word('E', "rename-chain", Argument::One, Meaning::Refused(ONE_CHAIN)),
    word('Z', "zero", Argument::Optional, Meaning::Refused(NO_COUNTERS)),
    word('t', "table", Argument::One, Meaning::Table),
    word('4', "ipv4", Argument::None, Meaning::Family4),
    word('6', "ipv6", Argument::None, Meaning::Family6),
    word('s', "source", Argument::One, Meaning::Source),
    long("src", Argument::One, Meaning::Source),
    word('d', "destination", Argument::One, Meaning::Destination),
    long("dst", Argument::One, Meaning::Destination),
    word('i', "in-interface", Argument::One, Meaning::Interface),
    word('o', "out-interface", Argument::One, Meaning::Refused(NO_OUT)),
    word('p', "protocol", Argument::One, Meaning::Protocol),
    word('j', "jump", Argument::One, Meaning::Jump),
    word('g', "goto", Argument::One, Meaning::Refused(ONE_CHAIN)),
    word('f', "fragments", Argument::None, Meaning::Refused(NO_FRAGMENTS)),
    word('m', "match", Argument::One, Meaning::LoadMatch),
    word('n', "numeric", Argument::None, Meaning::Numeric),
    word('v', "verbose", Argument::None, Meaning::Verbose),
    word('x', "exact", Argument::None, Meaning::Exact),
    word('w', "wait", Argument::Optional, Meaning::Ignored),
    word('W', "wait-interval", Argument::One, Meaning::Ignored),
    word('c', "set-counters", Argument::One, Meaning::Refused(NO_COUNTERS)),
    long("line-numbers", Argument::None, Meaning::LineNumbers),
];

/// `-m tcp`, `-m udp`, `-m sctp`.
pub(super) const PORTS: &[Word] = &[
    own("source-port", Own::SourcePort),
    own("sport", Own::SourcePort),
    own("destination-port", Own::DestinationPort),
    own("dport", Own::DestinationPort),
];

/// `-m multiport`.
pub(super) const MULTIPORT: &[Word] = &[
    own("source-ports", Own::SourcePorts),
    own("sports", Own::SourcePorts),
    own("destination-ports", Own::DestinationPorts),
    own("dports", Own::DestinationPorts),
    own("ports", Own::EitherPorts),
];

/// `-m mark`.
pub(super) const MARK_MATCH: &[Word] = &[own("mark", Own::Mark)];

/// `-m comment`.
pub(super) const COMMENT: &[Word] = &[own("comment", Own::Comment)];

/// `-j MARK`.
pub(super) const MARK_TARGET: &[Word] = &[
    own("set-xmark", Own::SetXmark),
    own("set-mark", Own::SetMark),
    own("and-mark", Own::AndMark),
    own("or-mark", Own::OrMark),
    own("xor-mark", Own::XorMark),
];
