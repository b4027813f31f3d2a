//! Words to a [`Command`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::address::{self, Endpoint};
use super::command::{Command, Format, ListOptions, ParseError, Subject};
use super::grammar::{CommandName, Meaning, Opt, OptionSet, OptionWord};
use super::names::Names;
use super::rules::{self, TunnelKind};
use super::scan::{Found, Scanner};
use crate::destination::{Destination, ForwardingMethod};
use crate::operations::{DaemonRole, DaemonSettings, TimeoutSettings};
use crate::protocol::Protocol;
use crate::service::{Family, Service, ServiceKey};

/// The longest timeout of `-p` and `--set`: 31 days.
const TIMEOUT_MAX_S: i64 = 31 * 24 * 60 * 60;
/// The timeout of `-p` without a value. (ipvsadm's manual page says 300.)
const PERSISTENCE_DEFAULT_S: u32 = 360;
/// Bytes of the name of a scheduler (the kernel's field has 16 with its end mark).
const SCHEDULER_NAME_MAX: usize = 15;
/// Bytes of the name of a persistence engine.
const ENGINE_NAME_MAX: usize = 15;
/// Bytes of the name of a network interface.
const INTERFACE_NAME_MAX: usize = 15;
/// The interface of a sync daemon where none is named.
const INTERFACE_DEFAULT: &str = "eth0";

/// Reads a command line, the words behind the program's name. No words at all list the table.
///
/// # Errors
///
/// What ipvsadm refuses before it asks the kernel, with its message and exit code.
pub fn parse<W: AsRef<str>>(words: &[W], names: &dyn Names) -> Result<Command, ParseError> {
    if words.is_empty() {
        return Line::new(CommandName::List).finish();
    }
    let mut scanner = Scanner::new(words);
    // Whatever is wrong with the first option, the advice is the same.
    let Ok(Some(Found { meaning: Meaning::Command(name), argument })) = scanner.next_option()
    else {
        return Err(ParseError::try_help());
    };
    let mut line = Line::new(name);
    match name {
        CommandName::Help => return Ok(Command::Help),
        CommandName::Version => return Ok(Command::Version),
        CommandName::StartDaemon | CommandName::StopDaemon => {
            line.daemon.role = daemon_role(name, argument.unwrap_or_default())?;
        }
        _ => {}
    }
    while let Some(found) = scanner.next_option()? {
        let Meaning::Option(word) = found.meaning else {
            return Err(refused(format!("invalid option `{}'", scanner.last_word())));
        };
        line.take(word, found.argument.unwrap_or_default(), found.argument.is_some(), names)?;
    }
    line.take_arguments(&scanner.into_arguments())?;
    line.finish()
}

fn refused(message: impl Into<String>) -> ParseError {
    ParseError::refused(message)
}

fn daemon_role(command: CommandName, name: &str) -> Result<DaemonRole, ParseError> {
    match (name, command) {
        ("master", _) => Ok(DaemonRole::Master),
        ("backup", _) => Ok(DaemonRole::Backup),
        // Both spellings are ipvsadm's.
        (_, CommandName::StartDaemon) => Err(refused("illegal start-daemon parameter specified")),
        _ => Err(refused("illegal start_daemon specified")),
    }
}

fn timeout(text: &str, min_s: i64) -> Result<u32, ParseError> {
    address::number_in(text, min_s, TIMEOUT_MAX_S)
        .ok_or_else(|| refused(format!("invalid timeout value `{text}' specified")))
}

/// A number between `min` and `max`, or the message that its option has.
fn value<T: TryFrom<i64>>(text: &str, min: i64, max: i64, what: &str) -> Result<T, ParseError> {
    address::number_in(text, min, max).ok_or_else(|| refused(format!("illegal {what} specified")))
}

/// The first `max` bytes of a name, or fewer where a character would be cut apart.
fn cut(name: &str, max: usize) -> &str {
    let end = (0..=max.min(name.len())).rev().find(|&end| name.is_char_boundary(end));
    &name[..end.unwrap_or(0)]
}

/// A command line as far as it is read.
///
/// Options take effect in their order, as in ipvsadm: `-M` is read by the family that is known so
/// far, `-r` without a port takes the port that is known so far.
struct Line {
    command: CommandName,
    given: OptionSet,
    /// The service named so far.
    key: Option<ServiceKey>,
    /// All of the service but its key; the key in here means nothing.
    service: Service,
    scheduler_flags: String,
    server: Option<Endpoint>,
    /// All of the server but its end; the address in here means nothing.
    destination: Destination,
    tunnel: TunnelKind,
    tunnel_port: u16,
    daemon: DaemonSettings,
    timeouts: TimeoutSettings,
}

impl Line {
    fn new(command: CommandName) -> Self {
        let unspecified = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let nothing =
            ServiceKey::Address { protocol: Protocol::Tcp, address: unspecified, port: 0 };
        Self {
            command,
            given: OptionSet::default(),
            key: None,
            service: Service::new(nothing),
            scheduler_flags: String::new(),
            server: None,
            destination: Destination::new(unspecified, 0),
            tunnel: TunnelKind::default(),
            tunnel_port: 0,
            daemon: DaemonSettings::new(DaemonRole::Master, INTERFACE_DEFAULT),
            timeouts: TimeoutSettings { tcp_s: 0, tcp_fin_s: 0, udp_s: 0 },
        }
    }

    fn family(&self) -> Family {
        self.key.map_or(Family::V4, |key| key.family())
    }

    /// Takes one option. `text` is its argument, empty where there is none.
    fn take(
        &mut self,
        word: OptionWord,
        text: &str,
        has_text: bool,
        names: &dyn Names,
    ) -> Result<(), ParseError> {
        if let Some(option) = word.option() {
            if self.given.contains(option) {
                return Err(refused(format!("multiple '{}' options specified", option.name())));
            }
            self.given.insert(option);
        }
        match word {
            OptionWord::TcpService => self.take_address(Protocol::Tcp, text, names),
            OptionWord::UdpService => self.take_address(Protocol::Udp, text, names),
            OptionWord::SctpService => self.take_address(Protocol::Sctp, text, names),
            OptionWord::MarkService => self.take_mark(text),
            OptionWord::Ipv6 => self.take_ipv6(),
            OptionWord::Gatewaying => self.take_method(ForwardingMethod::DirectRouting),
            OptionWord::Ipip => self.take_method(ForwardingMethod::Tunneling),
            OptionWord::Masquerading => self.take_method(ForwardingMethod::Masquerading),
            OptionWord::Sort => Ok(()),
            OptionWord::Plain(option) => self.take_plain(option, text, has_text, names),
        }
    }

    fn take_plain(
        &mut self,
        option: Opt,
        text: &str,
        has_text: bool,
        names: &dyn Names,
    ) -> Result<(), ParseError> {
        const INT_MAX: i64 = i32::MAX as i64;
        match option {
            Opt::Scheduler => text.clone_into(&mut self.service.scheduler),
            Opt::Persistent => {
                let timeout_s = if has_text { timeout(text, 1)? } else { PERSISTENCE_DEFAULT_S };
                self.service.persistence_timeout_s = Some(timeout_s);
            }
            Opt::Netmask => self.service.netmask = self.netmask(text, names)?,
            Opt::PersistenceEngine => {
                let name = cut(text, ENGINE_NAME_MAX);
                self.service.persistence_engine =
                    Some(name.to_owned()).filter(|name| !name.is_empty());
            }
            Opt::SchedulerFlags => text.clone_into(&mut self.scheduler_flags),
            Opt::Ops => self.service.one_packet = true,
            Opt::RealServer => self.take_server(text, names)?,
            Opt::Weight => self.destination.weight = value(text, 0, INT_MAX, "weight")?,
            Opt::UpperThreshold => {
                self.destination.upper_threshold = value(text, 0, INT_MAX, "u_threshold")?;
            }
            Opt::LowerThreshold => {
                self.destination.lower_threshold = value(text, 0, INT_MAX, "l_threshold")?;
            }
            Opt::TunnelType => {
                self.tunnel = TunnelKind::from_name(text)
                    .ok_or_else(|| refused("illegal tunnel type specified"))?;
            }
            Opt::TunnelPort => self.tunnel_port = value(text, 1, 65535, "tunnel port")?,
            _ => self.take_daemon(option, text)?,
        }
        Ok(())
    }

    fn take_daemon(&mut self, option: Opt, text: &str) -> Result<(), ParseError> {
        let daemon = &mut self.daemon;
        match option {
            Opt::McastInterface => cut(text, INTERFACE_NAME_MAX).clone_into(&mut daemon.interface),
            Opt::SyncId => daemon.sync_id = value(text, 0, 255, "syncid")?,
            Opt::SyncMaxLength => {
                daemon.max_length = Some(value(text, 1, 65507, "sync-maxlen")?);
            }
            Opt::McastGroup => daemon.group = Some(multicast_group(text)?),
            Opt::McastPort => daemon.port = Some(value(text, 1, 65535, "mcast-port")?),
            Opt::McastTtl => daemon.ttl = Some(value(text, 1, 255, "mcast-ttl")?),
            // The others have no value: that they are given is all they say.
            _ => {}
        }
        Ok(())
    }

    fn take_address(
        &mut self,
        protocol: Protocol,
        text: &str,
        names: &dyn Names,
    ) -> Result<(), ParseError> {
        let end = address::endpoint(text, Some(protocol), names)
            .ok_or_else(|| refused("illegal virtual server address[:port] specified"))?;
        if end.address.is_ipv6() {
            self.service.netmask = Service::full_netmask(Family::V6);
        }
        let port = end.port.unwrap_or(0);
        self.key = Some(ServiceKey::Address { protocol, address: end.address, port });
        Ok(())
    }

    fn take_mark(&mut self, text: &str) -> Result<(), ParseError> {
        let mark = address::number_in(text, 1, u32::MAX.into())
            .ok_or_else(|| refused(format!("invalid fwmark value `{text}' specified")))?;
        self.key = Some(ServiceKey::Mark { mark, family: Family::V4 });
        Ok(())
    }

    fn take_ipv6(&mut self) -> Result<(), ParseError> {
        let Some(ServiceKey::Mark { mark, .. }) = self.key else {
            return Err(refused("-6 used before -f\n"));
        };
        self.key = Some(ServiceKey::Mark { mark, family: Family::V6 });
        self.service.netmask = Service::full_netmask(Family::V6);
        Ok(())
    }

    fn take_method(&mut self, method: ForwardingMethod) -> Result<(), ParseError> {
        self.destination.method = method;
        Ok(())
    }

    fn take_server(&mut self, text: &str, names: &dyn Names) -> Result<(), ParseError> {
        // Port names of a mark's servers are looked up as TCP ones.
        let protocol = self.key.map(|key| match key {
            ServiceKey::Address { protocol, .. } => protocol,
            ServiceKey::Mark { .. } => Protocol::Tcp,
        });
        let mut end = address::endpoint(text, protocol, names)
            .ok_or_else(|| refused("illegal real server address[:port] specified"))?;
        let service_port = self.key.map_or(0, |key| key.port());
        end.port = end.port.or(Some(service_port));
        self.server = Some(end);
        Ok(())
    }

    fn netmask(&self, text: &str, names: &dyn Names) -> Result<u32, ParseError> {
        match self.family() {
            Family::V4 => address::ipv4_or_name(text, names)
                .map(u32::from)
                .ok_or_else(|| refused("illegal virtual server persistent mask specified")),
            Family::V6 => u32::try_from(address::leading_number(text))
                .ok()
                .filter(|prefix| (1..=128).contains(prefix))
                .ok_or_else(|| refused("illegal ipv6 netmask specified")),
        }
    }

    /// Takes the words that are no options: the values of `--set`, and nothing else.
    fn take_arguments(&mut self, arguments: &[&str]) -> Result<(), ParseError> {
        let rest = match (self.command, arguments) {
            (CommandName::Set, [tcp, tcp_fin, udp, rest @ ..]) => {
                self.timeouts = TimeoutSettings {
                    tcp_s: timeout(tcp, 0)?,
                    tcp_fin_s: timeout(tcp_fin, 0)?,
                    udp_s: timeout(udp, 0)?,
                };
                rest
            }
            (CommandName::Set, _) => return Err(refused("--set option requires 3 timeout values")),
            (_, rest) => rest,
        };
        match rest.first() {
            Some(argument) => Err(refused(format!("unexpected argument {argument}"))),
            None => Ok(()),
        }
    }

    /// Checks the line as a whole and makes the command of it.
    fn finish(mut self) -> Result<Command, ParseError> {
        let scheduler = cut(&self.service.scheduler, SCHEDULER_NAME_MAX);
        let scheduler = if scheduler.is_empty() { Service::DEFAULT_SCHEDULER } else { scheduler };
        let flags = rules::scheduler_flags(&self.scheduler_flags, scheduler)?;
        self.service.scheduler = scheduler.to_owned();
        self.service.scheduler_flags = flags;
        rules::check_options(self.command, self.given)?;
        Ok(match self.command {
            CommandName::AddService => Command::AddService(self.into_service()?),
            CommandName::EditService => Command::EditService(self.into_service()?),
            CommandName::DeleteService => Command::DeleteService(self.needed_key()?),
            CommandName::Clear => Command::Clear,
            CommandName::Restore if self.given.contains(Opt::Atomic) => Command::RestoreAll,
            CommandName::Restore => Command::Restore,
            CommandName::Save => Command::Save {
                numeric: self.given.contains(Opt::Numeric),
                full: self.given.contains(Opt::Full),
            },
            CommandName::AddServer => {
                let (service, destination) = self.into_destination()?;
                Command::AddDestination { service, destination }
            }
            CommandName::EditServer => {
                let (service, destination) = self.into_destination()?;
                Command::EditDestination { service, destination }
            }
            CommandName::DeleteServer => {
                let service = self.needed_key()?;
                let (address, port) = self.needed_server()?;
                Command::DeleteDestination { service, address, port }
            }
            CommandName::List => Command::List(self.list()?),
            CommandName::Zero => Command::Zero(self.key),
            CommandName::Set => Command::SetTimeouts(self.timeouts),
            CommandName::StartDaemon => Command::StartDaemon(self.daemon),
            CommandName::StopDaemon => {
                Command::StopDaemon { role: self.daemon.role, sync_id: self.daemon.sync_id }
            }
            CommandName::Help => Command::Help,
            CommandName::Version => Command::Version,
        })
    }

    fn into_service(self) -> Result<Service, ParseError> {
        let key = self.needed_key()?;
        if let ServiceKey::Address { protocol, port, .. } = key {
            if port == 0 && self.service.persistence_timeout_s.is_none() {
                return Err(refused("Zero port specified for non-persistent service"));
            }
            if self.service.one_packet && protocol != Protocol::Udp {
                let text = "One-Packet Scheduling is only for UDP virtual services";
                return Err(refused(text));
            }
        }
        Ok(Service { key, ..self.service })
    }

    fn into_destination(self) -> Result<(ServiceKey, Destination), ParseError> {
        let key = self.needed_key()?;
        let (address, mut port) = self.needed_server()?;
        let tunneling = self.destination.method == ForwardingMethod::Tunneling;
        let same_family = address.is_ipv6() == (key.family() == Family::V6);
        if !same_family && !tunneling {
            let text = "Different address family is allowed only for tunneling servers";
            return Err(refused(text));
        }
        let tunnel_options = [
            Opt::TunnelType,
            Opt::TunnelPort,
            Opt::TunnelNoChecksum,
            Opt::TunnelChecksum,
            Opt::TunnelRemoteChecksum,
        ];
        if !tunneling && self.given.contains_any(&tunnel_options) {
            return Err(refused("Tunnel options conflict with forward method"));
        }
        let kind = if tunneling { self.tunnel } else { TunnelKind::Ipip };
        let tunnel = rules::tunnel(kind, self.tunnel_port, self.given)?;
        // Only NAT can change the port; marks have none to replace it with.
        if self.destination.method != ForwardingMethod::Masquerading
            && let ServiceKey::Address { port: service_port, .. } = key
        {
            port = service_port;
        }
        Ok((key, Destination { address, port, tunnel, ..self.destination }))
    }

    fn list(&self) -> Result<ListOptions, ParseError> {
        rules::check_list(self.given)?;
        let given = |option| self.given.contains(option);
        let subject = match self.key {
            _ if given(Opt::Connection) => Subject::Connections,
            Some(key) => Subject::Service(key),
            None if given(Opt::Timeout) => Subject::Timeouts,
            None if given(Opt::Daemon) => Subject::Daemons,
            None => Subject::Table,
        };
        let formats = [
            (Opt::Stats, Format::Stats),
            (Opt::Rate, Format::Rate),
            (Opt::Thresholds, Format::Thresholds),
            (Opt::PersistentConn, Format::PersistentConnections),
            (Opt::TunnelInfo, Format::TunnelInfo),
        ];
        let format = formats.into_iter().find(|&(option, _)| given(option));
        Ok(ListOptions {
            subject,
            format: format.map_or(Format::Default, |(_, format)| format),
            numeric: given(Opt::Numeric),
            exact: given(Opt::Exact),
            sorted: !given(Opt::NoSort),
            engine_data: given(Opt::PersistentConn),
        })
    }

    /// The service; the table has refused a line without one before this is asked.
    fn needed_key(&self) -> Result<ServiceKey, ParseError> {
        self.key.ok_or_else(ParseError::try_help)
    }

    /// The server; the table has refused a line without one before this is asked.
    fn needed_server(&self) -> Result<(IpAddr, u16), ParseError> {
        let end = self.server.ok_or_else(ParseError::try_help)?;
        Ok((end.address, end.port.unwrap_or(0)))
    }
}

fn multicast_group(text: &str) -> Result<IpAddr, ParseError> {
    if text.contains(':') {
        let group = text.parse::<Ipv6Addr>().ok().filter(Ipv6Addr::is_multicast);
        return group
            .map(IpAddr::V6)
            .ok_or_else(|| refused(format!("invalid IPv6 mcast-group `{text}'")));
    }
    let group = text.parse::<Ipv4Addr>().ok().filter(Ipv4Addr::is_multicast);
    group.map(IpAddr::V4).ok_or_else(|| refused(format!("invalid IPv4 mcast-group `{text}'")))
}
