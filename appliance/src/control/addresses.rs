//! `sluicectl vips`: the addresses that the director answers for.

use std::net::IpAddr;

use lb_core::control::Control;
use serde::Serialize;

use super::report::{Report, Text};
use crate::line;

/// The addresses of a director.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Addresses(Vec<AddressLine>);

#[derive(Debug, Serialize)]
struct AddressLine {
    address: IpAddr,
    /// Why the director has it: [`lb_core::control::AddressOrigin`].
    origin: &'static str,
    owned: bool,
}

impl Addresses {
    /// As they are now.
    pub fn of(control: &Control) -> Self {
        let rows = control.address_rows().into_iter().map(|row| AddressLine {
            address: row.address,
            origin: row.origin.name(),
            owned: row.is_owned,
        });
        Self(rows.collect())
    }
}

impl Report for Addresses {
    fn text(&self, out: &mut Text) {
        for row in &self.0 {
            let owned = if row.owned { "owned" } else { "not-owned" };
            line!(out, "{} {} {owned}", row.address, row.origin);
        }
    }
}
