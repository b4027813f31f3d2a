//! What a command line says, once it is understood.

use std::net::IpAddr;

use crate::destination::Destination;
use crate::operations::{DaemonRole, DaemonSettings, TimeoutSettings};
use crate::service::{Service, ServiceKey};

/// One ipvsadm command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `-A`
    AddService(Service),
    /// `-E`
    EditService(Service),
    /// `-D`
    DeleteService(ServiceKey),
    /// `-C`
    Clear,
    /// `-a`
    AddDestination { service: ServiceKey, destination: Destination },
    /// `-e`
    EditDestination { service: ServiceKey, destination: Destination },
    /// `-d`
    DeleteDestination { service: ServiceKey, address: IpAddr, port: u16 },
    /// `-L`, and no words at all
    List(ListOptions),
    /// `-S`; with `--full`, an option of sluiceadm's own, nothing is lost.
    Save { numeric: bool, full: bool },
    /// `-Z`
    Zero(Option<ServiceKey>),
    /// `--set`
    SetTimeouts(TimeoutSettings),
    /// `--start-daemon`
    StartDaemon(DaemonSettings),
    /// `--stop-daemon`
    StopDaemon { role: DaemonRole, sync_id: u8 },
    /// `-R`: the commands are lines of standard input.
    Restore,
    /// `-R --atomic`: the same, all of them or none. An option of sluiceadm's own.
    RestoreAll,
    /// `-h`
    Help,
    /// `-v`
    Version,
}

impl Command {
    /// The option that stands for it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::AddService(_) => "-A",
            Self::EditService(_) => "-E",
            Self::DeleteService(_) => "-D",
            Self::Clear => "-C",
            Self::AddDestination { .. } => "-a",
            Self::EditDestination { .. } => "-e",
            Self::DeleteDestination { .. } => "-d",
            Self::List(_) => "-L",
            Self::Save { .. } => "-S",
            Self::Zero(_) => "-Z",
            Self::SetTimeouts(_) => "--set",
            Self::StartDaemon(_) => "--start-daemon",
            Self::StopDaemon { .. } => "--stop-daemon",
            Self::Restore | Self::RestoreAll => "-R",
            Self::Help => "-h",
            Self::Version => "-v",
        }
    }

    /// Whether it changes the director; a restore may.
    pub const fn changes(&self) -> bool {
        !matches!(self, Self::List(_) | Self::Save { .. } | Self::Help | Self::Version)
    }
}

/// What `-L` shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListOptions {
    pub subject: Subject,
    pub format: Format,
    /// `-n`: no name look-ups.
    pub numeric: bool,
    /// `--exact`: no K, M, G, T.
    pub exact: bool,
    /// Not `--nosort`.
    pub sorted: bool,
    /// `--persistent-conn` with `-c`: also engine name and data.
    pub engine_data: bool,
}

/// The thing that is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Every service, under a header line.
    Table,
    /// One service.
    Service(ServiceKey),
    /// `-c`
    Connections,
    /// `--timeout`
    Timeouts,
    /// `--daemon`
    Daemons,
}

/// The columns of a listing of services. Where several are asked for, the first one named here
/// wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Stats,
    Rate,
    Thresholds,
    PersistentConnections,
    TunnelInfo,
    Default,
}

/// A command line that was refused before anything was done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ParseError {
    /// The exit code of ipvsadm: 2, or 255 where popt or the missing command is the reason.
    pub exit: i32,
    /// The text for standard error, without its line end.
    pub message: String,
    /// Whether ipvsadm ends here even in the middle of a restore. popt's own complaints do not
    /// end it: the next line is read.
    pub fatal: bool,
}

impl ParseError {
    /// What the parser itself refuses: exit code 2.
    pub(super) fn refused(message: impl Into<String>) -> Self {
        Self { exit: 2, message: message.into(), fatal: true }
    }

    /// What popt refuses after a valid command.
    pub(super) fn scan(word: &str, reason: &str) -> Self {
        Self { exit: 255, message: format!("{word}: {reason}"), fatal: false }
    }

    /// No command, or not as the first option.
    pub(super) fn try_help() -> Self {
        Self {
            exit: 255,
            message: "Try `ipvsadm -h' or 'ipvsadm --help' for more information.".to_owned(),
            fatal: true,
        }
    }
}
