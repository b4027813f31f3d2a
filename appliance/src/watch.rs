//! What changes by itself is noticed here, once a second, and said: links, neighbours, services
//! without a real server, room in the flow table. Workers are not asked: their counters are read.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use lb_core::clock::Tick;
use lb_core::control::Control;
use lb_core::drops::DropReason;
use lb_core::neighbour::State;

use crate::logging;

/// Seconds between two lines about drops.
const DROPS_S: u32 = 10;
/// Of so many parts of the flow table that there is room for, one being free is short.
const SHORT: u64 = 10;

/// What was so when it was looked at last.
#[derive(Debug, Default)]
pub struct Watch {
    links: BTreeMap<String, bool>,
    /// Ports that had no link when the director started, until the first look.
    without_link: BTreeSet<String>,
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
    /// The state of all links (by name, up or not) at the start. A NIC needs seconds for its link,
    /// so nothing is said of those that are down.
    pub fn begin(links: impl IntoIterator<Item = (String, bool)>) -> Self {
        let down = links.into_iter().filter(|(_, is_up)| !is_up).map(|(name, _)| name);
        Self { without_link: down.collect(), ..Self::default() }
    }

    /// Looks at links, and returns whether one came up that was down before. Devices may take their
    /// time, so no lock of the director is held.
    pub fn look_at_links(&mut self, links: impl IntoIterator<Item = (String, bool)>) -> bool {
        let mut came_up = false;
        for (port, is_up) in links {
            let began_down = self.without_link.remove(&port);
            match (self.links.insert(port.clone(), is_up), is_up) {
                (None | Some(true), false) => {
                    log::warn!(target: logging::PORTS, port; "the link is down");
                }
                (before, true) if before == Some(false) || began_down => {
                    log::info!(target: logging::PORTS, port; "the link is up");
                    came_up = true;
                }
                _ => {}
            }
        }
        came_up
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_comes_up_is_noticed_once() {
        let links = |first, second| [("lan0".to_owned(), first), ("wan0".to_owned(), second)];
        let mut watch = Watch::begin(links(true, false));
        assert!(watch.look_at_links(links(true, true)), "wan0 was slow");
        assert!(!watch.look_at_links(links(true, true)));
        assert!(!watch.look_at_links(links(false, true)));
        assert!(!watch.look_at_links(links(false, true)));
        assert!(watch.look_at_links(links(true, true)));

        let mut watch = Watch::begin(links(true, false));
        assert!(!watch.look_at_links(links(true, false)), "still down");
        assert!(watch.look_at_links(links(true, true)));
    }
}
