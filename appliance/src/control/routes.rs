//! `sluicectl routes`, in the manner of `ip route`.

use std::net::IpAddr;

use lb_core::control::Control;
use serde::Serialize;

use super::report::{Report, Text};
use crate::line;

/// The ways of a director, in the order in which they are tried.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct RouteTable(Vec<RouteLine>);

#[derive(Debug, Serialize)]
struct RouteLine {
    to: String,
    /// The gateway; null where the network is on the link.
    via: Option<IpAddr>,
    interface: String,
}

impl RouteTable {
    /// As they are now.
    pub fn of(control: &Control) -> Self {
        let rows = control.routes().rows().map(|(to, interface, via)| {
            let interface = control.interfaces().get(usize::from(interface.0));
            RouteLine {
                to: format!("{}/{}", to.network(), to.prefix),
                via,
                interface: interface.map_or("?", |interface| &interface.name).to_owned(),
            }
        });
        Self(rows.collect())
    }
}

impl Report for RouteTable {
    fn text(&self, out: &mut Text) {
        for row in &self.0 {
            let via = row.via.map(|via| format!(" via {via}")).unwrap_or_default();
            line!(out, "{}{via} dev {}", row.to, row.interface);
        }
    }
}
