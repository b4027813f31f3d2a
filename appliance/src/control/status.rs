//! What `sluicectl` shows.

use std::fmt::Write as _;

use lb_core::control::Control;
use lb_core::counters::{Counter, WorkerCounters};
use lb_core::drops::DropReason;
use lb_core::interface::InterfaceId;

use super::command::Commands;
use crate::clock::TickClock;
use crate::dpdk::{PortError, PortStats};
use crate::kernel::KernelRow;
use crate::lock::lock;

/// What does not change while the director runs.
#[derive(Clone, Debug)]
pub struct About {
    pub version: String,
    pub dpdk_version: String,
    pub clock: TickClock,
    /// CPU of each worker.
    pub worker_cpus: Vec<usize>,
    /// What packet memory and flow table lie on.
    pub packet_memory: String,
    pub flow_memory: String,
}

/// Appends a line; writing to a string cannot fail.
macro_rules! line {
    ($out:ident, $($format:tt)*) => { let _ = writeln!($out, $($format)*); };
}

/// `sluicectl status`
pub fn status(commands: &Commands) -> String {
    let about = &commands.about;
    let control = lock(&commands.control);
    let director = control.director();
    let mut out = String::new();
    let uptime = about.clock.uptime().as_secs();
    line!(
        out,
        "sluiced {} ({}), up {}:{:02}:{:02}",
        about.version,
        about.dpdk_version,
        uptime / 3600,
        uptime / 60 % 60,
        uptime % 60
    );
    line!(out, "{:<14}{}", "memory", about.packet_memory);
    let (used, max) = (director.flows_used(), director.flows.flows_max());
    line!(out, "{:<14}{used} of {max}, {}", "flows", about.flow_memory);
    line!(out, "{:<14}{}", "defence", defence(&control));
    line!(out, "{:<14}{}", "services", control.services_count());
    let (destinations, slots) = (control.destinations_count(), director.slots.len());
    line!(out, "{:<14}{destinations} of {slots}", "real servers");
    line!(out, "");
    line!(
        out,
        "{:<8}{:>4} {:>14} {:>14} {:>12} {:>12} {:>12} {:>12} {:>12}",
        "worker",
        "CPU",
        "received",
        "forwarded",
        "answered",
        "to kernel",
        "errors sent",
        "consumed",
        "dropped"
    );
    for (number, cpu) in about.worker_cpus.iter().enumerate() {
        let counters = &director.counters[number];
        worker_line(&mut out, number, *cpu, counters);
    }
    out
}

/// How hard the director defends itself against overload.
fn defence(control: &Control) -> String {
    let settings = control.settings();
    let [entry, packet, secure] =
        [settings.drop_entry, settings.drop_packet, settings.secure_tcp].map(|it| it as u8);
    let rate = match control.director().drop_rate.get() {
        0 => String::new(),
        rate => format!(" (1 in {})", rate.max(1)),
    };
    let ended = control.director().housekeeping_counters().flows_dropped.get();
    format!(
        "drop_entry {entry}, drop_packet {packet}{rate}, secure_tcp {secure}; \
         room is short below {}; {ended} ended early",
        settings.amemthresh
    )
}

fn worker_line(out: &mut String, number: usize, cpu: usize, counters: &WorkerCounters) {
    let shown = |counter: &Counter| counter.get();
    let dropped: u64 = DropReason::ALL.iter().map(|&reason| counters.dropped(reason)).sum();
    line!(
        out,
        "{number:<8}{cpu:>4} {:>14} {:>14} {:>12} {:>12} {:>12} {:>12} {dropped:>12}",
        shown(&counters.received),
        shown(&counters.forwarded),
        shown(&counters.answered),
        shown(&counters.punted),
        shown(&counters.errors_sent),
        shown(&counters.consumed),
    );
}

/// `sluicectl ports`
pub fn ports(commands: &Commands) -> String {
    let interfaces = lock(&commands.control).interfaces().to_vec();
    let kernel = commands.kernel.rows();
    let mut out = String::new();
    for (row, id) in commands.ports.rows().iter().zip((0..=u8::MAX).map(InterfaceId)) {
        line!(out, "{}: {}", row.name, row.device);
        line!(
            out,
            "    driver {} mac {} mtu {} link {} queues rx {} tx {}",
            row.driver,
            row.mac,
            row.mtu,
            row.link,
            row.rx_queues,
            row.tx_queues
        );
        device_counters(&mut out, row.stats.as_ref());
        let of_port = interfaces.iter().zip((0..=u8::MAX).map(InterfaceId));
        for (interface, number) in of_port.filter(|(interface, _)| interface.port == id) {
            if let Some(vlan) = interface.vlan {
                line!(out, "    vlan {vlan}: {} mtu {}", interface.name, interface.mtu);
            }
            let indent = if interface.vlan.is_some() { "        " } else { "    " };
            for own in &interface.addresses {
                line!(out, "{indent}address {}/{}", own.address, own.prefix);
            }
            if let Some(row) = kernel.iter().find(|row| row.interface == number) {
                kernel_counters(&mut out, indent, &interface.name, row);
            }
        }
    }
    out
}

fn device_counters(out: &mut String, stats: Result<&PortStats, &PortError>) {
    let stats = match stats {
        Ok(stats) => stats,
        Err(problem) => {
            line!(out, "    {problem}");
            return;
        }
    };
    line!(
        out,
        "    rx packets {} bytes {} missed {} errors {} no-mbuf {}",
        stats.rx_packets,
        stats.rx_bytes,
        stats.rx_missed,
        stats.rx_errors,
        stats.rx_no_mbuf
    );
    line!(
        out,
        "    tx packets {} bytes {} errors {}",
        stats.tx_packets,
        stats.tx_bytes,
        stats.tx_errors
    );
}

/// The interface of the kernel: what it got and what it said, in its own terms.
fn kernel_counters(out: &mut String, indent: &str, name: &str, row: &KernelRow) {
    match &row.stats {
        Ok(stats) => {
            line!(
                out,
                "{indent}kernel {name} rx packets {} bytes {} tx packets {} bytes {}",
                stats.tx_packets,
                stats.tx_bytes,
                stats.rx_packets,
                stats.rx_bytes
            );
        }
        Err(problem) => {
            line!(out, "{indent}kernel {name} {problem}");
        }
    }
}

/// `sluicectl vip list`
pub fn addresses(control: &Control) -> String {
    let mut out = String::new();
    for row in control.address_rows() {
        let owned = if row.is_owned { "owned" } else { "not-owned" };
        line!(out, "{} {} {owned}", row.address, row.origin.name());
    }
    out
}

/// `sluicectl neigh`, in the manner of `ip neigh`
pub fn neighbours(control: &Control) -> String {
    let mut out = String::new();
    for row in control.neighbours() {
        let interface = control.interfaces().get(usize::from(row.hop.interface.0));
        let name = interface.map_or("?", |interface| interface.name.as_str());
        let mac = row.mac.map(|mac| format!(" lladdr {mac}")).unwrap_or_default();
        let users = row.users;
        line!(
            out,
            "{} dev {name}{mac} {} real-servers {users}",
            row.hop.neighbour,
            row.state.name()
        );
    }
    out
}

/// `sluicectl drops`
pub fn drops(control: &Control, all: bool) -> String {
    let director = control.director();
    let mut out = String::new();
    line!(out, "{:<22}{:>14}  meaning", "reason", "packets");
    for &reason in DropReason::ALL {
        let packets = director.dropped(reason);
        if packets > 0 || all {
            line!(out, "{:<22}{packets:>14}  {}", reason.name(), reason.meaning());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use lb_core::control::Network;
    use lb_core::director::Limits;
    use lb_core::flow::{FlowTable, Storage};
    use lb_core::hash::FlowHasher;
    use lb_core::settings::Switch;

    use super::*;

    #[test]
    fn the_defence_is_shown_as_it_is_now() {
        let hasher = FlowHasher::new([1, 2, 3]);
        let flows = FlowTable::new(512, Storage::leaked(512), hasher);
        let limits = Limits::of_destinations(1);
        let mut control = Control::new(flows, limits, 0, hasher, Network::default());
        assert_eq!(
            defence(&control),
            "drop_entry 0, drop_packet 0, secure_tcp 0; room is short below 1024; 0 ended early"
        );
        let mut settings = *control.settings();
        for (name, value) in [("drop_entry", 3), ("drop_packet", 1), ("secure_tcp", 1)] {
            Switch::named(name).unwrap().set(&mut settings, value).unwrap();
        }
        control.set_settings(settings);
        assert_eq!(
            defence(&control),
            "drop_entry 3, drop_packet 2 (1 in 2), secure_tcp 2; room is short below 1024; \
             0 ended early"
        );
    }
}
