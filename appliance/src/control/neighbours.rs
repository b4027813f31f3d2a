//! `sluicectl neigh`, in the manner of `ip neigh`.

use std::net::IpAddr;

use lb_core::control::Control;
use serde::Serialize;

use super::report::{Report, Text, Tone};
use crate::line;

/// The neighbours of a director.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct NeighbourTable(Vec<NeighbourLine>);

#[derive(Debug, Serialize)]
struct NeighbourLine {
    address: IpAddr,
    interface: String,
    mac: Option<String>,
    state: &'static str,
    /// Real servers that are reached through it.
    real_servers: usize,
}

impl NeighbourTable {
    /// As they are now.
    pub fn of(control: &Control) -> Self {
        let rows = control.neighbours().map(|row| {
            let interface = control.interfaces().get(usize::from(row.hop.interface.0));
            NeighbourLine {
                address: row.hop.neighbour,
                interface: interface.map_or("?", |interface| &interface.name).to_owned(),
                mac: row.mac.map(|mac| mac.to_string()),
                state: row.state.name(),
                real_servers: row.users,
            }
        });
        Self(rows.collect())
    }
}

impl Report for NeighbourTable {
    fn text(&self, out: &mut Text) {
        for row in &self.0 {
            let mac = row.mac.as_ref().map(|mac| format!(" lladdr {mac}")).unwrap_or_default();
            let tone = match row.state {
                "reachable" | "permanent" => Tone::Good,
                "failed" => Tone::Bad,
                _ => Tone::Warning,
            };
            let state = out.toned(tone, row.state);
            let (address, interface, users) = (row.address, &row.interface, row.real_servers);
            line!(out, "{address} dev {interface}{mac} {state} real-servers {users}");
        }
    }
}
