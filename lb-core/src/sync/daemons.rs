//! The two sync daemons of a director, and the door to the network that it is given.

use std::fmt::Debug;

use super::backup::Backup;
use super::master::Master;
use crate::clock::Tick;
use crate::connection::Connections;
use crate::director::Director;
use crate::operations::{DaemonRole, DaemonRow, DaemonSettings, OperationError};

/// The kernel's defaults: 224.0.0.81, port 8848, TTL 1.
const GROUP: [u8; 4] = [224, 0, 0, 81];
const PORT: u16 = 8848;
const TTL: u8 = 1;
/// Headers of IP and UDP in front of a datagram.
const HEADERS_V4: u32 = 28;
const HEADERS_V6: u32 = 48;
/// Longest datagram of a master unless it is told (an MTU of 1500).
const MTU: u32 = 1500;
/// What a backup can take at the least.
const BACKUP_LENGTH_MIN: u16 = 1024;
/// MTUs that count for a backup.
const BACKUP_MTUS: std::ops::RangeInclusive<u32> = 1500..=65535;
/// Datagrams that are taken in one step, so that the others of its thread have their turn.
const DATAGRAMS_MAX: usize = 256;

/// Sends and receives datagrams of the synchronisation.
pub trait Transport: Debug + Send {
    /// The MTU of a network interface; `None`: there is none of that name.
    fn mtu(&self, interface: &str) -> Option<u32>;
    /// Opens the socket of a daemon.
    ///
    /// # Errors
    ///
    /// Why it cannot be opened.
    fn open(&mut self, daemon: &DaemonRow) -> Result<(), OperationError>;
    /// Closes it.
    fn close(&mut self, role: DaemonRole);
    /// Sends a datagram of the master. `false`: it could not be sent.
    fn send(&mut self, datagram: &[u8]) -> bool;
    /// A datagram for the backup into `buffer`, if there is one; its length.
    fn receive(&mut self, buffer: &mut [u8]) -> Option<usize>;
}

/// What the daemons have done since they began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub sent_datagrams: u64,
    pub sent_records: u64,
    /// Datagrams that the network did not take.
    pub send_errors: u64,
    pub received_datagrams: u64,
    /// Connections and templates that were taken over or updated.
    pub taken_records: u64,
    pub ignored_records: u64,
    pub malformed_datagrams: u64,
}

/// The daemons. Without a [`Transport`] none can be started.
#[derive(Debug, Default)]
pub struct Daemons {
    transport: Option<Box<dyn Transport>>,
    master: Option<(DaemonRow, Master)>,
    backup: Option<(DaemonRow, Backup)>,
    /// What the backup makes and ends connections with; it outlives the backup.
    connections: Connections,
    buffer: Vec<u8>,
    tally: Tally,
}

impl Daemons {
    /// Gives them their network.
    pub fn set_transport(&mut self, transport: Box<dyn Transport>) {
        self.transport = Some(transport);
    }

    /// Starts a daemon, for a flow table of that size.
    ///
    /// # Errors
    ///
    /// There is one of that role already, no such interface, or no network at all.
    pub fn start(
        &mut self,
        settings: DaemonSettings,
        flows_max: usize,
    ) -> Result<(), OperationError> {
        let Some(transport) = &mut self.transport else {
            return Err(OperationError::NotSupported(format!(
                "The {} sync daemon on '{}' cannot be started: this director has no network for \
                 it",
                settings.role.name(),
                settings.interface,
            )));
        };
        let is_running = match settings.role {
            DaemonRole::Master => self.master.is_some(),
            DaemonRole::Backup => self.backup.is_some(),
        };
        if is_running {
            return Err(OperationError::DaemonRunning);
        }
        let mtu = transport.mtu(&settings.interface).ok_or(OperationError::NoSuchDevice)?;
        let row = complete(settings, mtu);
        transport.open(&row)?;
        match row.role {
            DaemonRole::Master => {
                let master = Master::new(row.sync_id, row.max_length, flows_max);
                self.master = Some((row, master));
            }
            DaemonRole::Backup => {
                self.buffer.resize(usize::from(row.max_length), 0);
                let backup = Backup::new(row.sync_id);
                self.backup = Some((row, backup));
            }
        }
        Ok(())
    }

    /// Stops a daemon. What a backup took over stays.
    ///
    /// # Errors
    ///
    /// None of that role is running.
    pub fn stop(&mut self, role: DaemonRole) -> Result<(), OperationError> {
        let was_running = match role {
            DaemonRole::Master => self.master.take().is_some(),
            DaemonRole::Backup => self.backup.take().is_some(),
        };
        if !was_running {
            return Err(OperationError::NoDaemon);
        }
        if let Some(transport) = &mut self.transport {
            transport.close(role);
        }
        Ok(())
    }

    /// Whether any daemon runs.
    pub const fn are_running(&self) -> bool {
        self.master.is_some() || self.backup.is_some()
    }

    /// The running daemons, the master first.
    pub fn rows(&self) -> Vec<DaemonRow> {
        let master = self.master.iter().map(|(row, _)| row);
        master.chain(self.backup.iter().map(|(row, _)| row)).cloned().collect()
    }

    /// What they have done.
    pub const fn tally(&self) -> Tally {
        self.tally
    }

    /// Regular work, about once per tick.
    pub fn step(&mut self, director: &Director, now: Tick) {
        let Some(transport) = &mut self.transport else { return };
        let tally = &mut self.tally;
        if let Some((_, master)) = &mut self.master {
            let before = master.records;
            master.step(director, now, &mut |datagram| {
                if transport.send(datagram) {
                    tally.sent_datagrams += 1;
                } else {
                    tally.send_errors += 1;
                }
            });
            tally.sent_records += master.records - before;
        }
        if let Some((_, backup)) = &mut self.backup {
            let before = (backup.taken, backup.ignored, backup.malformed);
            for _ in 0..DATAGRAMS_MAX {
                let Some(length) = transport.receive(&mut self.buffer) else { break };
                tally.received_datagrams += 1;
                let datagram = &self.buffer[..length.min(self.buffer.len())];
                backup.take(director, &mut self.connections, datagram, now);
            }
            tally.taken_records += backup.taken - before.0;
            tally.ignored_records += backup.ignored - before.1;
            tally.malformed_datagrams += backup.malformed - before.2;
        }
        self.connections.release(director);
    }
}

/// Fills in what was left to the director.
fn complete(settings: DaemonSettings, mtu: u32) -> DaemonRow {
    let group = settings.group.unwrap_or_else(|| GROUP.into());
    let headers = if group.is_ipv6() { HEADERS_V6 } else { HEADERS_V4 };
    let length = |mtu: u32| u16::try_from(mtu - headers).unwrap_or(u16::MAX);
    let max_length = match settings.role {
        DaemonRole::Master => settings.max_length.unwrap_or_else(|| length(MTU)),
        DaemonRole::Backup => settings.max_length.map_or_else(
            || length(mtu.clamp(*BACKUP_MTUS.start(), *BACKUP_MTUS.end())),
            |given| given.max(BACKUP_LENGTH_MIN),
        ),
    };
    DaemonRow {
        role: settings.role,
        interface: settings.interface,
        sync_id: settings.sync_id,
        max_length,
        group,
        port: settings.port.unwrap_or(PORT),
        ttl: settings.ttl.unwrap_or(TTL),
    }
}
