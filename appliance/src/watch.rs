//! What changes by itself is noticed here, once a second, and said: links, neighbours, services
//! without a real server, room in the flow table. Workers are not asked: their counters are read.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use lb_core::clock::Tick;
use lb_core::control::Control;
use lb_core::drops::DropReason;
use lb_core::neighbour::State;

use crate::logging;
use crate::ports::Ports;

/// Seconds between two lines about drops.
const DROPS_S: u32 = 10;
/// Of so many parts of the flow table that there is room for, one being free is short.
const SHORT: u64 = 10;

/// What was so when it was looked at last.
#[derive(Debug, Default)]
pub struct Watch {
    links: BTreeMap<String, bool>,
    silent: BTreeSet<IpAddr>,
    /// Services that have real servers, none of them usable: of the last look, and of the last two.
    found_down: BTreeSet<String>,
    down: BTreeSet<String>,
    is_short: bool,
    drop_rate: i32,
    drops: Vec<u64>,
    drops_due: Tick,
}

impl Watch {
    /// Looks at links. Devices may take their time, so no lock of the director is held.
    pub fn look_at_ports(&mut self, ports: &Ports) {
        for (name, is_up) in ports.links() {
            match self.links.insert(name.clone(), is_up) {
                Some(before) if before == is_up => {}
                None if is_up => {}
                _ if is_up => log::info!(target: logging::PORTS, port = name; "the link is up"),
                _ => log::warn!(target: logging::PORTS, port = name; "the link is down"),
            }
        }
    }

    /// Looks at all else.
    pub fn look_at_control(&mut self, control: &Control, now: Tick) {
        self.look_at_neighbours(control);
        self.look_at_services(control);
        self.look_at_flows(control);
        if !now.is_before(self.drops_due) {
            self.drops_due = now.plus_seconds(DROPS_S);
            self.look_at_drops(control);
        }
    }

    /// Those that somebody depends on: real servers, gateways.
    fn look_at_neighbours(&mut self, control: &Control) {
        let silent: BTreeSet<_> = control
            .neighbours()
            .filter(|row| row.state == State::Failed && row.users > 0)
            .map(|row| row.hop.neighbour)
            .collect();
        for address in silent.difference(&self.silent) {
            log::warn!(target: logging::NEIGHBOURS, address = address.to_string(); "is silent");
        }
        let answering = |address: &IpAddr| {
            let mut rows = control.neighbours();
            rows.any(|row| row.hop.neighbour == *address && row.state == State::Reachable)
        };
        for address in self.silent.difference(&silent).filter(|address| answering(address)) {
            log::info!(target: logging::NEIGHBOURS, address = address.to_string(); "answers again");
        }
        self.silent = silent;
    }

    fn look_at_services(&mut self, control: &Control) {
        let found =
            control.usable_servers().filter(|(_, servers, usable)| *servers > 0 && *usable == 0);
        let found: BTreeSet<_> = found.map(|(key, ..)| key.to_string()).collect();
        // New servers are asked for their addresses first.
        let down = found.intersection(&self.found_down).cloned().collect::<BTreeSet<_>>();
        self.found_down = found;
        for service in down.difference(&self.down) {
            log::warn!(target: logging::SERVICES, service = service.as_str();
                "no real server takes connections");
        }
        for service in self.down.difference(&down) {
            log::info!(target: logging::SERVICES, service = service.as_str();
                "is down no more, or gone");
        }
        self.down = down;
    }

    fn look_at_flows(&mut self, control: &Control) {
        let director = control.director();
        let (used, max) = (director.flows_used(), director.flows.flows_max() as u64);
        let is_short = max.saturating_sub(used) * SHORT < max;
        match (self.is_short, is_short) {
            (false, true) => log::warn!(target: logging::FLOWS, used, max; "room runs short"),
            (true, false) => log::info!(target: logging::FLOWS, used, max; "there is room again"),
            _ => {}
        }
        self.is_short = is_short;
        let rate = director.drop_rate.get();
        if (rate == 0) != (self.drop_rate == 0) {
            if rate == 0 {
                log::info!(target: logging::FLOWS, "drop_packet drops no more");
            } else {
                log::warn!(target: logging::FLOWS, one_in = rate.max(1);
                    "drop_packet drops packets that would begin connections");
            }
        }
        self.drop_rate = rate;
    }

    fn look_at_drops(&mut self, control: &Control) {
        if log::max_level() < log::LevelFilter::Debug {
            self.drops.clear();
            return;
        }
        let now: Vec<_> =
            DropReason::ALL.iter().map(|&reason| control.director().dropped(reason)).collect();
        let since = DropReason::ALL.iter().zip(&now).zip(&self.drops);
        for ((reason, now), before) in since.filter(|((_, now), before)| now > before) {
            let (reason, packets) = (reason.name(), now - before);
            log::debug!(target: logging::DROPS, reason, packets, seconds = DROPS_S; "dropped");
        }
        self.drops = now;
    }
}
