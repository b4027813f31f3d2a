//! The one table of ipvsadm's words: parsing, checks and messages all come from here.

/// A command; the order is the order of the columns in [`OPTIONS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CommandName {
    AddService,
    EditService,
    DeleteService,
    Clear,
    Restore,
    Save,
    AddServer,
    EditServer,
    DeleteServer,
    List,
    Zero,
    Set,
    StartDaemon,
    StopDaemon,
    Help,
    Version,
}

impl CommandName {
    /// The name that messages use.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::AddService => "add-service",
            Self::EditService => "edit-service",
            Self::DeleteService => "delete-service",
            Self::Clear => "flush",
            Self::Restore => "restore",
            Self::Save => "save",
            Self::AddServer => "add-server",
            Self::EditServer => "edit-server",
            Self::DeleteServer => "delete-server",
            Self::List => "list",
            Self::Zero => "zero",
            Self::Set => "set",
            Self::StartDaemon => "start-daemon",
            Self::StopDaemon => "stop-daemon",
            Self::Help => "help",
            Self::Version => "version",
        }
    }
}

/// An option as checks and messages see it; several words can be the same option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opt {
    Numeric,
    Connection,
    ServiceAddress,
    Scheduler,
    Persistent,
    Netmask,
    RealServer,
    ForwardingMethod,
    Weight,
    UpperThreshold,
    LowerThreshold,
    McastInterface,
    Timeout,
    Daemon,
    Stats,
    Rate,
    Thresholds,
    PersistentConn,
    NoSort,
    SyncId,
    Exact,
    Ops,
    PersistenceEngine,
    SchedulerFlags,
    McastGroup,
    McastPort,
    McastTtl,
    SyncMaxLength,
    TunnelInfo,
    TunnelType,
    TunnelPort,
    TunnelNoChecksum,
    TunnelChecksum,
    TunnelRemoteChecksum,
    Atomic,
    Full,
}

impl Opt {
    /// The name that messages use.
    pub(super) const fn name(self) -> &'static str {
        OPTIONS[self as usize].1
    }
}

/// Options in the order in which they are checked: the option, its name in messages, and one
/// letter per command: `+` required, `.` allowed, `x` refused, `1` at most one of these.
///
/// ```text
/// columns: A E D C R S a e d L Z --set --start-daemon --stop-daemon
/// ```
pub(super) const OPTIONS: [(Opt, &str, &[u8; 14]); 36] = [
    (Opt::Numeric, "numeric", b"xxxxx.xxx.xxxx"),
    (Opt::Connection, "connection", b"xxxxxxxxx1xxxx"),
    (Opt::ServiceAddress, "service-address", b"+++xxx+++1.xxx"),
    (Opt::Scheduler, "scheduler", b"..xxxxxxxxxxxx"),
    (Opt::Persistent, "persistent", b"..xxxxxxxxxxxx"),
    (Opt::Netmask, "netmask", b"..xxxxxxxxxxxx"),
    (Opt::RealServer, "real-server", b"xxxxxx+++xxxxx"),
    (Opt::ForwardingMethod, "forwarding-method", b"xxxxxx..xxxxxx"),
    (Opt::Weight, "weight", b"xxxxxx..xxxxxx"),
    (Opt::UpperThreshold, "u-threshold", b"xxxxxx..xxxxxx"),
    (Opt::LowerThreshold, "l-threshold", b"xxxxxx..xxxxxx"),
    (Opt::McastInterface, "mcast-interface", b"xxxxxxxxxxxx.x"),
    (Opt::Timeout, "timeout", b"xxxxxxxxx1xxxx"),
    (Opt::Daemon, "daemon", b"xxxxxxxxx1xxxx"),
    (Opt::Stats, "stats", b"xxxxxxxxx.xxxx"),
    (Opt::Rate, "rate", b"xxxxxxxxx.xxxx"),
    (Opt::Thresholds, "thresholds", b"xxxxxxxxx.xxxx"),
    (Opt::PersistentConn, "persistent-conn", b"xxxxxxxxx.xxxx"),
    (Opt::NoSort, "nosort", b"xxxxxxxxx.xxxx"),
    (Opt::SyncId, "syncid", b"xxxxxxxxx.xx.."),
    (Opt::Exact, "exact", b"xxxxxxxxx.xxxx"),
    (Opt::Ops, "ops", b"..xxxxxxxxxxxx"),
    (Opt::PersistenceEngine, "pe", b"..xxxxxxxxxxxx"),
    (Opt::SchedulerFlags, "sched-flags", b"..xxxxxxxxxxxx"),
    (Opt::McastGroup, "mcast-group", b"xxxxxxxxxxxx.x"),
    (Opt::McastPort, "mcast-port", b"xxxxxxxxxxxx.x"),
    (Opt::McastTtl, "mcast-ttl", b"xxxxxxxxxxxx.x"),
    (Opt::SyncMaxLength, "sync-maxlen", b"xxxxxxxxxxxx.x"),
    (Opt::TunnelInfo, "tun-info", b"xxxxxxxxx.xxxx"),
    (Opt::TunnelType, "tun-type", b"xxxxxx..xxxxxx"),
    (Opt::TunnelPort, "tun-port", b"xxxxxx..xxxxxx"),
    (Opt::TunnelNoChecksum, "tun-nocsum", b"xxxxxx..xxxxxx"),
    (Opt::TunnelChecksum, "tun-csum", b"xxxxxx..xxxxxx"),
    (Opt::TunnelRemoteChecksum, "tun-remcsum", b"xxxxxx..xxxxxx"),
    // Not ipvsadm's.
    (Opt::Atomic, "atomic", b"xxxx.xxxxxxxxx"),
    (Opt::Full, "full", b"xxxxx.xxxxxxxx"),
];

/// Tunnel options in the order in which they are checked, with one letter per tunnel type
/// (columns: ipip, gue, gre), as in [`OPTIONS`].
pub(super) const TUNNEL_OPTIONS: [(Opt, &[u8; 3]); 4] = [
    (Opt::TunnelPort, b"x+x"),
    (Opt::TunnelNoChecksum, b"x11"),
    (Opt::TunnelChecksum, b"x11"),
    (Opt::TunnelRemoteChecksum, b"x1x"),
];

/// Whether a word takes an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Argument {
    None,
    Required,
    /// Attached, or the next word if that does not start with `-`.
    Optional,
}

/// What a word means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Command(CommandName),
    Option(OptionWord),
}

/// The option words. Most are one [`Opt`] each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OptionWord {
    TcpService,
    UdpService,
    SctpService,
    MarkService,
    Gatewaying,
    Ipip,
    Masquerading,
    Ipv6,
    Sort,
    Plain(Opt),
}

/// A word of the language.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word {
    pub(super) short: Option<char>,
    pub(super) long: &'static str,
    pub(super) argument: Argument,
    pub(super) meaning: Meaning,
}

const fn command(short: Option<char>, long: &'static str, name: CommandName) -> Word {
    let argument = match name {
        CommandName::StartDaemon | CommandName::StopDaemon => Argument::Required,
        _ => Argument::None,
    };
    Word { short, long, argument, meaning: Meaning::Command(name) }
}

const fn flag(short: Option<char>, long: &'static str, word: OptionWord) -> Word {
    Word { short, long, argument: Argument::None, meaning: Meaning::Option(word) }
}

const fn value(short: Option<char>, long: &'static str, word: OptionWord) -> Word {
    Word { short, long, argument: Argument::Required, meaning: Meaning::Option(word) }
}

use OptionWord::Plain;

/// Every word. Long options cannot be shortened.
pub(super) const WORDS: &[Word] = &[
    command(Some('A'), "add-service", CommandName::AddService),
    command(Some('E'), "edit-service", CommandName::EditService),
    command(Some('D'), "delete-service", CommandName::DeleteService),
    command(Some('C'), "clear", CommandName::Clear),
    command(Some('R'), "restore", CommandName::Restore),
    command(Some('S'), "save", CommandName::Save),
    command(Some('a'), "add-server", CommandName::AddServer),
    command(Some('e'), "edit-server", CommandName::EditServer),
    command(Some('d'), "delete-server", CommandName::DeleteServer),
    command(Some('L'), "list", CommandName::List),
    command(Some('l'), "list", CommandName::List),
    command(Some('Z'), "zero", CommandName::Zero),
    command(None, "set", CommandName::Set),
    command(None, "start-daemon", CommandName::StartDaemon),
    command(None, "stop-daemon", CommandName::StopDaemon),
    command(Some('h'), "help", CommandName::Help),
    command(Some('v'), "version", CommandName::Version),
    value(Some('t'), "tcp-service", OptionWord::TcpService),
    value(Some('u'), "udp-service", OptionWord::UdpService),
    value(None, "sctp-service", OptionWord::SctpService),
    value(Some('f'), "fwmark-service", OptionWord::MarkService),
    flag(Some('6'), "ipv6", OptionWord::Ipv6),
    value(Some('s'), "scheduler", Plain(Opt::Scheduler)),
    Word {
        short: Some('p'),
        long: "persistent",
        argument: Argument::Optional,
        meaning: Meaning::Option(Plain(Opt::Persistent)),
    },
    value(Some('M'), "netmask", Plain(Opt::Netmask)),
    value(None, "pe", Plain(Opt::PersistenceEngine)),
    value(Some('b'), "sched-flags", Plain(Opt::SchedulerFlags)),
    flag(Some('o'), "ops", Plain(Opt::Ops)),
    value(Some('r'), "real-server", Plain(Opt::RealServer)),
    flag(Some('g'), "gatewaying", OptionWord::Gatewaying),
    flag(Some('i'), "ipip", OptionWord::Ipip),
    flag(Some('m'), "masquerading", OptionWord::Masquerading),
    value(Some('w'), "weight", Plain(Opt::Weight)),
    value(Some('x'), "u-threshold", Plain(Opt::UpperThreshold)),
    value(Some('y'), "l-threshold", Plain(Opt::LowerThreshold)),
    value(None, "tun-type", Plain(Opt::TunnelType)),
    value(None, "tun-port", Plain(Opt::TunnelPort)),
    flag(None, "tun-nocsum", Plain(Opt::TunnelNoChecksum)),
    flag(None, "tun-csum", Plain(Opt::TunnelChecksum)),
    flag(None, "tun-remcsum", Plain(Opt::TunnelRemoteChecksum)),
    flag(Some('n'), "numeric", Plain(Opt::Numeric)),
    flag(Some('c'), "connection", Plain(Opt::Connection)),
    flag(None, "timeout", Plain(Opt::Timeout)),
    flag(None, "daemon", Plain(Opt::Daemon)),
    flag(None, "stats", Plain(Opt::Stats)),
    flag(None, "rate", Plain(Opt::Rate)),
    flag(None, "thresholds", Plain(Opt::Thresholds)),
    flag(None, "persistent-conn", Plain(Opt::PersistentConn)),
    flag(None, "tun-info", Plain(Opt::TunnelInfo)),
    flag(Some('X'), "exact", Plain(Opt::Exact)),
    flag(None, "nosort", Plain(Opt::NoSort)),
    flag(None, "sort", OptionWord::Sort),
    value(None, "mcast-interface", Plain(Opt::McastInterface)),
    value(None, "syncid", Plain(Opt::SyncId)),
    value(None, "sync-maxlen", Plain(Opt::SyncMaxLength)),
    value(None, "mcast-group", Plain(Opt::McastGroup)),
    value(None, "mcast-port", Plain(Opt::McastPort)),
    value(None, "mcast-ttl", Plain(Opt::McastTtl)),
    flag(None, "atomic", Plain(Opt::Atomic)),
    flag(None, "full", Plain(Opt::Full)),
];

impl OptionWord {
    /// The option that the word is, for the checks; `--sort` and `-6` are none.
    pub(super) const fn option(self) -> Option<Opt> {
        match self {
            Self::TcpService | Self::UdpService | Self::SctpService | Self::MarkService => {
                Some(Opt::ServiceAddress)
            }
            Self::Gatewaying | Self::Ipip | Self::Masquerading => Some(Opt::ForwardingMethod),
            Self::Ipv6 | Self::Sort => None,
            Self::Plain(option) => Some(option),
        }
    }
}

/// A set of options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OptionSet(u64);

impl OptionSet {
    pub(super) const fn contains(self, option: Opt) -> bool {
        self.0 & (1 << option as u32) != 0
    }

    pub(super) const fn insert(&mut self, option: Opt) {
        self.0 |= 1 << option as u32;
    }

    pub(super) fn contains_any(self, options: &[Opt]) -> bool {
        options.iter().any(|&option| self.contains(option))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_options_is_in_the_order_of_the_enumeration() {
        for (index, (option, ..)) in OPTIONS.iter().enumerate() {
            assert_eq!(*option as usize, index);
        }
    }

    #[test]
    fn every_option_has_a_word_and_no_word_is_there_twice() {
        for (option, name, _) in OPTIONS {
            let found = WORDS.iter().any(
                |word| matches!(word.meaning, Meaning::Option(w) if w.option() == Some(option)),
            );
            assert!(found, "{name} cannot be written");
        }
        for (index, word) in WORDS.iter().enumerate() {
            for other in &WORDS[index + 1..] {
                assert!(word.short.is_none() || word.short != other.short, "-{:?}", word.short);
                assert!(word.long != other.long || word.long == "list", "--{}", word.long);
            }
        }
    }
}
