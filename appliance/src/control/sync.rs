//! `sluicectl sync`: what the sync daemons have done.

use std::net::IpAddr;

use lb_core::control::Control;
use lb_core::operations::{DaemonRow, Operations};
use lb_core::sync::Tally;
use serde::Serialize;

use super::report::{Report, Text};
use crate::line;
use crate::lock::lock;

/// The daemons and their counters.
#[derive(Debug, Serialize)]
pub struct Synchronisation {
    daemons: Vec<DaemonLine>,
    sent_datagrams: u64,
    sent_connections: u64,
    send_errors: u64,
    received_datagrams: u64,
    taken_connections: u64,
    ignored_connections: u64,
    malformed_datagrams: u64,
}

/// A running daemon.
#[derive(Debug, Serialize)]
pub(super) struct DaemonLine {
    pub(super) role: &'static str,
    pub(super) interface: String,
    pub(super) sync_id: u8,
    pub(super) max_length: u16,
    pub(super) group: IpAddr,
    pub(super) port: u16,
    pub(super) ttl: u8,
}

impl From<DaemonRow> for DaemonLine {
    fn from(row: DaemonRow) -> Self {
        let DaemonRow { role, interface, sync_id, max_length, group, port, ttl } = row;
        Self { role: role.name(), interface, sync_id, max_length, group, port, ttl }
    }
}

impl Synchronisation {
    /// As it is now.
    pub fn of(control: &Control) -> Self {
        let daemons = control.daemons().into_iter().map(DaemonLine::from).collect();
        let Tally {
            sent_datagrams,
            sent_records,
            send_errors,
            received_datagrams,
            taken_records,
            ignored_records,
            malformed_datagrams,
        } = lock(control.sync_daemons()).tally();
        Self {
            daemons,
            sent_datagrams,
            sent_connections: sent_records,
            send_errors,
            received_datagrams,
            taken_connections: taken_records,
            ignored_connections: ignored_records,
            malformed_datagrams,
        }
    }
}

impl Report for Synchronisation {
    fn text(&self, out: &mut Text) {
        if self.daemons.is_empty() {
            line!(out, "no sync daemon is running; see sluiceadm --start-daemon");
        }
        for DaemonLine { role, interface, sync_id, group, port, .. } in &self.daemons {
            line!(out, "{role} syncid {sync_id} on {interface}, group {group} port {port}");
        }
        line!(
            out,
            "sent      {} datagrams, {} connections, {} errors",
            self.sent_datagrams,
            self.sent_connections,
            self.send_errors,
        );
        line!(
            out,
            "received  {} datagrams, {} connections taken over, {} ignored, {} datagrams malformed",
            self.received_datagrams,
            self.taken_connections,
            self.ignored_connections,
            self.malformed_datagrams,
        );
    }
}
