//! What an operator can do to a director and see of it, whichever door the command came in by.
//!
//! [`Operations`] is the one way to change services: the ipvsadm command line (and later the
//! kernel's netlink protocol) are translations to it. Errors are the kernel's own (facts:
//! `net/netfilter/ipvs/ip_vs_ctl.c`), so that every door can print or encode what IPVS would.

use std::net::IpAddr;

use crate::destination::Destination;
use crate::ipvsadm::Command;
use crate::protocol::Protocol;
use crate::service::{Service, ServiceKey};

/// Why a change was refused. Nothing has changed when one of these is returned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OperationError {
    /// EEXIST on a service.
    #[error("Service already exists")]
    ServiceExists,
    /// ENOENT on a service: unknown scheduler or persistence engine.
    #[error("Scheduler or persistence engine not found")]
    SchedulerNotFound,
    /// ESRCH for `-E`, `-D`, `-Z`, `-L`.
    #[error("No such service")]
    NoSuchService,
    /// ESRCH for `-a`, `-e`, `-d`.
    #[error("Service not defined")]
    ServiceNotDefined,
    /// EEXIST on a destination.
    #[error("Destination already exists")]
    DestinationExists,
    /// ENOENT on a destination.
    #[error("No such destination")]
    NoSuchDestination,
    /// ERANGE: the lower threshold is above the upper one.
    #[error("Numerical result out of range")]
    Range,
    /// EINVAL: for example a destination address that is not unicast.
    #[error("Invalid operation.  Possibly wrong module version, address not unicast, ...")]
    Invalid,
    /// EEXIST on a sync daemon.
    #[error("Daemon has already run")]
    DaemonRunning,
    /// ESRCH on a sync daemon.
    #[error("No daemon is running")]
    NoDaemon,
    /// ENODEV: the interface of a sync daemon.
    #[error("No such device")]
    NoSuchDevice,
    /// ENOMEM: a limit that was fixed at start is reached; the text names it.
    #[error("Memory allocation problem: {0}")]
    Limit(String),
    /// What IPVS can do and this director cannot yet; the text says what, and what works instead.
    #[error("{0}")]
    NotSupported(String),
}

/// The first of several commands that cannot be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("command {}: {error}", .index + 1)]
pub struct Refused {
    /// Which one, from 0.
    pub index: usize,
    pub error: OperationError,
}

/// Totals since start or since the last `-Z`. Bytes are IP packets without link-layer headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub connections: u64,
    pub packets_in: u64,
    pub packets_out: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
}

/// Traffic per second, as the [`estimator`](crate::estimator) smooths it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    pub connections: u64,
    pub packets_in: u64,
    pub packets_out: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
}

/// What all services count together (`/proc/net/ip_vs_stats`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Since the director started, whatever was zeroed.
    pub since_start: Stats,
    /// Since the last `-Z` of everything.
    pub stats: Stats,
    pub rates: Rates,
}

/// A destination as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationRow {
    pub destination: Destination,
    pub active: u32,
    pub inactive: u32,
    pub persistent: u32,
    pub stats: Stats,
    pub rates: Rates,
}

/// A service as it is listed. Destinations are in kernel order: newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRow {
    pub service: Service,
    pub stats: Stats,
    pub rates: Rates,
    pub destinations: Vec<DestinationRow>,
}

/// A connection or persistence template as `-Lnc` lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionRow {
    /// IP protocol number; 0 is the template of a mark service, printed `IP`.
    pub protocol: u8,
    /// Time until the entry expires if no packet comes.
    pub expires_s: u32,
    /// Name of the state, for example `ESTABLISHED`.
    pub state: &'static str,
    pub client: (IpAddr, u16),
    pub virtual_end: (IpAddr, u16),
    pub destination: (IpAddr, u16),
    /// Whether another director told of it.
    pub is_synced: bool,
    /// Name and data of the persistence engine, where the template has them.
    pub engine: Option<(String, String)>,
}

/// The three timeouts of `--set` and `-L --timeout`, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeoutSettings {
    pub tcp_s: u32,
    pub tcp_fin_s: u32,
    pub udp_s: u32,
}

/// The two roles of the connection synchronisation daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DaemonRole {
    /// Sends its connections.
    Master,
    /// Takes another director's connections.
    Backup,
}

impl DaemonRole {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Backup => "backup",
        }
    }
}

/// What `--start-daemon` asks for. `None` leaves the choice to the director.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonSettings {
    pub role: DaemonRole,
    /// At most 15 bytes.
    pub interface: String,
    pub sync_id: u8,
    /// Longest message in bytes, 1..=65,507.
    pub max_length: Option<u16>,
    /// Always a multicast address.
    pub group: Option<IpAddr>,
    /// Never 0.
    pub port: Option<u16>,
    /// Never 0.
    pub ttl: Option<u8>,
}

impl DaemonSettings {
    /// A daemon that leaves all choices to the director.
    pub fn new(role: DaemonRole, interface: &str) -> Self {
        Self {
            role,
            interface: interface.to_owned(),
            sync_id: 0,
            max_length: None,
            group: None,
            port: None,
            ttl: None,
        }
    }
}

/// A sync daemon as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonRow {
    pub role: DaemonRole,
    pub interface: String,
    pub sync_id: u8,
    pub max_length: u16,
    pub group: IpAddr,
    pub port: u16,
    pub ttl: u8,
}

/// The operations. Implementations apply each of them wholly or not at all.
pub trait Operations {
    /// `-A`
    fn add_service(&mut self, service: Service) -> Result<(), OperationError>;
    /// `-E`: replaces all settings of the service with the same key.
    fn edit_service(&mut self, service: Service) -> Result<(), OperationError>;
    /// `-D`: connections of the service live on until they expire.
    fn delete_service(&mut self, key: &ServiceKey) -> Result<(), OperationError>;
    /// `-C`
    fn clear(&mut self);
    /// `-a`: the new destination becomes the first of the service.
    fn add_destination(
        &mut self,
        key: &ServiceKey,
        destination: Destination,
    ) -> Result<(), OperationError>;
    /// `-e`: replaces all settings of the destination with the same address and port.
    fn edit_destination(
        &mut self,
        key: &ServiceKey,
        destination: Destination,
    ) -> Result<(), OperationError>;
    /// `-d`
    fn delete_destination(
        &mut self,
        key: &ServiceKey,
        address: IpAddr,
        port: u16,
    ) -> Result<(), OperationError>;
    /// `-Z`: of one service and its destinations, or of everything.
    fn zero(&mut self, key: Option<&ServiceKey>) -> Result<(), OperationError>;
    /// `--set`; a field that is 0 leaves its timeout unchanged.
    fn set_timeouts(&mut self, timeouts: TimeoutSettings);
    /// `-L --timeout`
    fn timeouts(&self) -> TimeoutSettings;
    /// All services in the table's own order (what `--nosort` shows).
    fn services(&self) -> Vec<ServiceRow>;
    /// One service.
    fn service(&self, key: &ServiceKey) -> Option<ServiceRow>;
    /// The settings of one service.
    fn service_settings(&self, key: &ServiceKey) -> Option<Service> {
        self.service(key).map(|row| row.service)
    }
    /// What all services count together.
    fn totals(&self) -> Totals;
    /// Whether there is such a service.
    fn has_service(&self, key: &ServiceKey) -> bool {
        self.service_settings(key).is_some()
    }
    /// All connections and templates, in the table's own order.
    fn connections(&self) -> Vec<ConnectionRow>;
    /// `-R --atomic`: all of these commands, or none of them.
    ///
    /// # Errors
    ///
    /// The first command that is refused; nothing has changed then.
    fn apply_all(&mut self, commands: &[Command]) -> Result<(), Refused> {
        let Some(command) = commands.first() else { return Ok(()) };
        let error = format!("{}: this table changes by single commands only", command.name());
        Err(Refused { index: 0, error: OperationError::NotSupported(error) })
    }
    /// `--start-daemon`
    fn start_daemon(&mut self, settings: DaemonSettings) -> Result<(), OperationError> {
        Err(OperationError::NotSupported(format!(
            "The {} sync daemon on '{}' cannot be started: this director does not synchronise \
             connections",
            settings.role.name(),
            settings.interface,
        )))
    }
    /// `--stop-daemon`
    fn stop_daemon(&mut self, _role: DaemonRole, _sync_id: u8) -> Result<(), OperationError> {
        Err(OperationError::NoDaemon)
    }
    /// The running sync daemons, the master first.
    fn daemons(&self) -> Vec<DaemonRow> {
        Vec::new()
    }
    /// The `size=` of the header line: buckets of the connection table.
    fn table_size(&self) -> usize;
}

/// IP protocol number of a listed connection as a [`Protocol`], where it is one.
pub const fn row_protocol(row: &ConnectionRow) -> Option<Protocol> {
    Protocol::from_number(row.protocol)
}
