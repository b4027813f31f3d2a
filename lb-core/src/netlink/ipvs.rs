//! The family IPVS and its commands.

use super::attribute::{Attributes, Policy, Put};
use super::errno::Errno;
use super::message::{Message, Replies};
use super::{Access, daemon, server, service};
use crate::operations::{Operations, TimeoutSettings};

/// The number of the family. The kernel chooses one at each start; this one is always the same.
pub(super) const FAMILY: u16 = 28;
pub(super) const NAME: &str = "IPVS";
pub(super) const VERSION: u8 = 1;

/// Attributes of every command.
const SERVICE: u16 = 1;
const SERVER: u16 = 2;
const DAEMON: u16 = 3;
const TIMEOUT_TCP: u16 = 4;
const TIMEOUT_TCP_FIN: u16 = 5;
const TIMEOUT_UDP: u16 = 6;
pub(super) const ATTRIBUTES_MAX: u16 = TIMEOUT_UDP;

const POLICIES: [Policy; 6] =
    [Policy::Nested, Policy::Nested, Policy::Nested, Policy::U32, Policy::U32, Policy::U32];

/// Attributes of the reply to GET_INFO.
const INFO_VERSION: u16 = 1;
const INFO_TABLE_SIZE: u16 = 2;
/// IPVS 1.2.1.
pub(super) const IPVS_VERSION: u32 = 0x0001_0201;

/// Longest timeout in seconds: what a kernel of 100 ticks a second takes.
pub(super) const TIMEOUT_MAX_S: u32 = i32::MAX.cast_unsigned() / 100;

/// The commands that can be asked for; the numbers are the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Command {
    NewService = 1,
    SetService = 2,
    DelService = 3,
    GetService = 4,
    NewServer = 5,
    SetServer = 6,
    DelServer = 7,
    GetServer = 8,
    NewDaemon = 9,
    DelDaemon = 10,
    GetDaemon = 11,
    SetConfig = 12,
    GetConfig = 13,
    GetInfo = 15,
    Zero = 16,
    Flush = 17,
}

/// The reply to GET_INFO; as a request it is unknown.
const SET_INFO: u8 = 14;

impl Command {
    pub(super) const ALL: [Self; 16] = [
        Self::NewService,
        Self::SetService,
        Self::DelService,
        Self::GetService,
        Self::NewServer,
        Self::SetServer,
        Self::DelServer,
        Self::GetServer,
        Self::NewDaemon,
        Self::DelDaemon,
        Self::GetDaemon,
        Self::SetConfig,
        Self::GetConfig,
        Self::GetInfo,
        Self::Zero,
        Self::Flush,
    ];

    pub(super) const fn number(self) -> u8 {
        self as u8
    }

    fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|command| command.number() == number)
    }

    /// Whether it can be asked for once.
    pub(super) const fn can_do(self) -> bool {
        !matches!(self, Self::GetServer | Self::GetDaemon)
    }

    /// Whether it can be asked for as a dump.
    pub(super) const fn can_dump(self) -> bool {
        matches!(self, Self::GetService | Self::GetServer | Self::GetDaemon)
    }

    const fn changes(self) -> bool {
        self.change().is_some()
    }

    /// The kernel's name of a command that changes something.
    const fn change(self) -> Option<&'static str> {
        match self {
            Self::GetService
            | Self::GetServer
            | Self::GetDaemon
            | Self::GetConfig
            | Self::GetInfo => None,
            Self::NewService => Some("IPVS_CMD_NEW_SERVICE"),
            Self::SetService => Some("IPVS_CMD_SET_SERVICE"),
            Self::DelService => Some("IPVS_CMD_DEL_SERVICE"),
            Self::NewServer => Some("IPVS_CMD_NEW_DEST"),
            Self::SetServer => Some("IPVS_CMD_SET_DEST"),
            Self::DelServer => Some("IPVS_CMD_DEL_DEST"),
            Self::NewDaemon => Some("IPVS_CMD_NEW_DAEMON"),
            Self::DelDaemon => Some("IPVS_CMD_DEL_DAEMON"),
            Self::SetConfig => Some("IPVS_CMD_SET_CONFIG"),
            Self::Zero => Some("IPVS_CMD_ZERO"),
            Self::Flush => Some("IPVS_CMD_FLUSH"),
        }
    }
}

/// The name of what a message changes.
pub(super) fn change(message: &Message<'_>) -> Option<&'static str> {
    Command::from_number(message.command().ok()?.0)?.change()
}

/// Answers a message of the family. `Ok(true)` may be acknowledged; a dump ends by itself.
pub(super) fn answer(
    message: &Message<'_>,
    operations: &mut impl Operations,
    access: Access,
    replies: &mut Replies,
) -> Result<bool, Errno> {
    let (command, attributes) = message.command()?;
    let command = Command::from_number(command).ok_or(Errno::EOPNOTSUPP)?;
    if access < (if command.changes() { Access::Full } else { Access::Read }) {
        return Err(Errno::EPERM);
    }
    let is_possible = if message.is_dump() { command.can_dump() } else { command.can_do() };
    if !is_possible {
        return Err(Errno::EOPNOTSUPP);
    }
    if message.is_dump() {
        dump(command, message, attributes, operations, replies)?;
        return Ok(false);
    }
    let attributes = Attributes::parse(attributes, &POLICIES)?;
    match command {
        Command::GetService | Command::GetConfig | Command::GetInfo => {
            get(command, message, &attributes, operations, replies)?;
        }
        Command::NewDaemon => operations.start_daemon(daemon::start(attributes.get(DAEMON))?)?,
        Command::DelDaemon => {
            let (role, sync_id) = daemon::stop(attributes.get(DAEMON))?;
            operations.stop_daemon(role, sync_id)?;
        }
        _ => set(command, &attributes, operations)?,
    }
    Ok(true)
}

fn dump(
    command: Command,
    message: &Message<'_>,
    attributes: &[u8],
    operations: &impl Operations,
    replies: &mut Replies,
) -> Result<(), Errno> {
    let reply = |command: Command| (command.number(), VERSION);
    match command {
        Command::GetServer => {
            // Whatever is wrong with the question, the answer is a dump without anything.
            let found = || {
                let attributes = Attributes::parse(attributes, &POLICIES).ok()?;
                let request = service::Request::parse(attributes.get(SERVICE)).ok()?;
                operations.service(&request.key?)
            };
            let servers = found().map(|row| row.destinations).unwrap_or_default();
            let fill = |to: &mut Vec<u8>, row: &_| server::fill(to, SERVER, row);
            replies.dump(message, reply(Command::NewServer), servers, fill)
        }
        Command::GetDaemon => {
            let fill = |to: &mut Vec<u8>, row: &_| daemon::fill(to, DAEMON, row);
            replies.dump(message, reply(Command::NewDaemon), operations.daemons(), fill)
        }
        _ => {
            let fill = |to: &mut Vec<u8>, row: &_| service::fill(to, SERVICE, row);
            replies.dump(message, reply(Command::NewService), operations.services(), fill)
        }
    }
}

fn get(
    command: Command,
    message: &Message<'_>,
    attributes: &Attributes<'_, 6>,
    operations: &impl Operations,
    replies: &mut Replies,
) -> Result<(), Errno> {
    match command {
        Command::GetConfig => {
            let TimeoutSettings { tcp_s, tcp_fin_s, udp_s } = operations.timeouts();
            replies.reply(message, (Command::SetConfig.number(), VERSION), |to| {
                to.put_u32(TIMEOUT_TCP, tcp_s);
                to.put_u32(TIMEOUT_TCP_FIN, tcp_fin_s);
                to.put_u32(TIMEOUT_UDP, udp_s);
            });
        }
        Command::GetInfo => {
            let size = u32::try_from(operations.table_size()).unwrap_or(u32::MAX);
            replies.reply(message, (SET_INFO, VERSION), |to| {
                to.put_u32(INFO_VERSION, IPVS_VERSION);
                to.put_u32(INFO_TABLE_SIZE, size);
            });
        }
        _ => {
            let request = service::Request::parse(attributes.get(SERVICE))?;
            let row = request.key.and_then(|key| operations.service(&key)).ok_or(Errno::ESRCH)?;
            let reply = (Command::NewService.number(), VERSION);
            replies.reply(message, reply, |to| service::fill(to, SERVICE, &row));
        }
    }
    Ok(())
}

/// The commands of `ip_vs_genl_set_cmd`, with its checks in its order.
fn set(
    command: Command,
    attributes: &Attributes<'_, 6>,
    operations: &mut impl Operations,
) -> Result<(), Errno> {
    let nest = attributes.get(SERVICE);
    match command {
        Command::Flush => {
            operations.clear();
            return Ok(());
        }
        Command::SetConfig => return set_timeouts(attributes, operations),
        Command::Zero if nest.is_none() => return Ok(operations.zero(None)?),
        _ => {}
    }
    let request = service::Request::parse(nest)?;
    if matches!(command, Command::NewService | Command::SetService) {
        request.check_whole()?;
        let Some(key) = request.key else {
            let is_new = command == Command::NewService;
            return Err(if is_new { Errno::EPROTONOSUPPORT } else { Errno::ESRCH });
        };
        let before = operations.service_settings(&key);
        return match (command, before) {
            (Command::NewService, Some(_)) => Err(Errno::EEXIST),
            (Command::NewService, None) => {
                Ok(operations.add_service(request.settings(key, None)?)?)
            }
            (_, None) => Err(Errno::ESRCH),
            (_, Some(before)) => {
                Ok(operations.edit_service(request.settings(key, Some(&before))?)?)
            }
        };
    }
    let key = request.key.filter(|key| operations.has_service(key)).ok_or(Errno::ESRCH)?;
    let server = |is_whole| server::Request::parse(attributes.get(SERVER), is_whole);
    match command {
        Command::DelService => operations.delete_service(&key)?,
        Command::NewServer => {
            operations.add_destination(&key, server(true)?.settings(key.family())?)?;
        }
        Command::SetServer => {
            operations.edit_destination(&key, server(true)?.settings(key.family())?)?;
        }
        Command::DelServer => {
            let (address, port) = server(false)?.end(key.family())?;
            operations.delete_destination(&key, address, port)?;
        }
        _ => operations.zero(Some(&key))?,
    }
    Ok(())
}

fn set_timeouts(
    attributes: &Attributes<'_, 6>,
    operations: &mut impl Operations,
) -> Result<(), Errno> {
    let timeouts = TimeoutSettings {
        tcp_s: attributes.u32(TIMEOUT_TCP).unwrap_or(0),
        tcp_fin_s: attributes.u32(TIMEOUT_TCP_FIN).unwrap_or(0),
        udp_s: attributes.u32(TIMEOUT_UDP).unwrap_or(0),
    };
    check_timeouts(timeouts)?;
    operations.set_timeouts(timeouts);
    Ok(())
}

/// What both of the kernel's interfaces check (`ip_vs_set_timeout`).
pub(super) fn check_timeouts(timeouts: TimeoutSettings) -> Result<(), Errno> {
    let TimeoutSettings { tcp_s, tcp_fin_s, udp_s } = timeouts;
    let fits = [tcp_s, tcp_fin_s, udp_s].into_iter().all(|timeout_s| timeout_s <= TIMEOUT_MAX_S);
    if fits { Ok(()) } else { Err(Errno::EINVAL) }
}
