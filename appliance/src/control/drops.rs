//! `sluicectl drops`: packets dropped, by reason.

use lb_core::control::Control;
use lb_core::drops::DropReason;
use serde::Serialize;

use super::report::{Report, Text};
use crate::line;

/// What was dropped since the start.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Drops(Vec<DropLine>);

#[derive(Debug, Serialize)]
struct DropLine {
    reason: &'static str,
    packets: u64,
    meaning: &'static str,
}

impl Drops {
    /// As they are now; `all`: also reasons that never occurred.
    pub fn of(control: &Control, all: bool) -> Self {
        let director = control.director();
        let rows = DropReason::ALL.iter().map(|&reason| DropLine {
            reason: reason.name(),
            packets: director.dropped(reason),
            meaning: reason.meaning(),
        });
        Self(rows.filter(|row| all || row.packets > 0).collect())
    }
}

impl Report for Drops {
    fn text(&self, out: &mut Text) {
        line!(out, "{:<22}{:>14}  meaning", "reason", "packets");
        for DropLine { reason, packets, meaning } in &self.0 {
            line!(out, "{reason:<22}{packets:>14}  {meaning}");
        }
    }
}
