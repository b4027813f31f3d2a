//! Which options a command line may combine, and what is checked once all of it is read.

use super::command::ParseError;
use super::grammar::{CommandName, OPTIONS, Opt, OptionSet, TUNNEL_OPTIONS};
use crate::destination::{Tunnel, TunnelChecksum};
use crate::service::SchedulerFlags;

/// The type of a tunnel as `--tun-type` names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum TunnelKind {
    #[default]
    Ipip,
    Gue,
    Gre,
}

impl TunnelKind {
    pub(super) fn from_name(name: &str) -> Option<Self> {
        [Self::Ipip, Self::Gue, Self::Gre].into_iter().find(|kind| kind.name() == name)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Ipip => "ipip",
            Self::Gue => "gue",
            Self::Gre => "gre",
        }
    }
}

/// Scheduler flags by name: the scheduler that has the flag (none: all have it) and the flag.
/// Listings use the names of the scheduler, and the plain ones where it has none.
pub(super) const SCHEDULER_FLAGS: [(&str, Option<&str>, SchedulerFlags); 7] = [
    ("sh-fallback", Some("sh"), SchedulerFlags::FLAG_1),
    ("sh-port", Some("sh"), SchedulerFlags::FLAG_2),
    ("mh-fallback", Some("mh"), SchedulerFlags::FLAG_1),
    ("mh-port", Some("mh"), SchedulerFlags::FLAG_2),
    ("flag-1", None, SchedulerFlags::FLAG_1),
    ("flag-2", None, SchedulerFlags::FLAG_2),
    ("flag-3", None, SchedulerFlags::FLAG_3),
];

/// The flags of `-b`, for a scheduler.
pub(super) fn scheduler_flags(list: &str, scheduler: &str) -> Result<SchedulerFlags, ParseError> {
    let mut flags = SchedulerFlags::default();
    for name in list.split(',').filter(|name| !name.is_empty()) {
        let Some((_, owner, flag)) = SCHEDULER_FLAGS.iter().find(|(known, ..)| *known == name)
        else {
            return Err(ParseError::refused(format!("invalid scheduler flag `{name}'")));
        };
        if owner.is_some_and(|owner| owner != scheduler) {
            return Err(ParseError::refused(format!("incompatible scheduler flag `{name}'")));
        }
        flags.0 |= flag.0;
    }
    Ok(flags)
}

/// Checks the options of a command against the table.
pub(super) fn check_options(command: CommandName, given: OptionSet) -> Result<(), ParseError> {
    let rules = OPTIONS
        .iter()
        .filter_map(|(option, _, rules)| rules.get(command as usize).map(|&rule| (*option, rule)));
    let of = format!("with the '{}' command", command.name());
    let needs = format!("for the '{}' command", command.name());
    let among = format!("in the '{}' command", command.name());
    check(rules, given, &of, &needs, &among)
}

/// The tunnel of a tunneling server.
///
/// `port` is the value of `--tun-port`, 0 if it is not given.
pub(super) fn tunnel(kind: TunnelKind, port: u16, given: OptionSet) -> Result<Tunnel, ParseError> {
    let rules = TUNNEL_OPTIONS.iter().map(|(option, rules)| (*option, rules[kind as usize]));
    let of = format!("with the '{}' tunnel type", kind.name());
    let needs = format!("for the '{}' tunnel type", kind.name());
    let among = format!("in the '{}' tunnel type", kind.name());
    check(rules, given, &of, &needs, &among)?;
    let checksum = if given.contains(Opt::TunnelChecksum) {
        TunnelChecksum::Full
    } else if given.contains(Opt::TunnelRemoteChecksum) {
        TunnelChecksum::Remote
    } else {
        TunnelChecksum::None
    };
    Ok(match kind {
        TunnelKind::Ipip => Tunnel::Ipip,
        TunnelKind::Gue => Tunnel::Gue { port, checksum },
        TunnelKind::Gre => Tunnel::Gre { checksum },
    })
}

/// What `-L` checks beyond the table.
pub(super) fn check_list(given: OptionSet) -> Result<(), ParseError> {
    let not_services = [Opt::Connection, Opt::Timeout, Opt::Daemon];
    let columns = [Opt::Stats, Opt::Rate, Opt::Thresholds];
    let settings = [Opt::Timeout, Opt::Daemon];
    if given.contains_any(&not_services) && given.contains_any(&columns)
        || given.contains_any(&settings) && given.contains(Opt::PersistentConn)
    {
        return Err(ParseError::refused("options conflicts in the list command"));
    }
    Ok(())
}

fn check(
    rules: impl Iterator<Item = (Opt, u8)>,
    given: OptionSet,
    of: &str,
    needs: &str,
    among: &str,
) -> Result<(), ParseError> {
    let mut chosen: Option<Opt> = None;
    for (option, rule) in rules {
        let name = option.name();
        match (rule, given.contains(option)) {
            (b'+', false) => {
                let text = format!("You need to supply the '{name}' option {needs}");
                return Err(ParseError::refused(text));
            }
            (b'x', true) => {
                return Err(ParseError::refused(format!("Illegal '{name}' option {of}")));
            }
            (b'1', true) => {
                if let Some(other) = chosen {
                    let other = other.name();
                    return Err(ParseError::refused(format!(
                        "The option '{name}' conflicts with the '{other}' option {among}"
                    )));
                }
                chosen = Some(option);
            }
            _ => {}
        }
    }
    Ok(())
}
