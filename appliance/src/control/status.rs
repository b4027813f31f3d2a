//! `sluicectl status`: what the director is, and how full and busy.

use lb_core::control::Control;
use lb_core::drops::DropReason;
use serde::Serialize;

use super::command::Commands;
use super::report::{Report, Text};
use crate::clock::TickClock;
use crate::line;
use crate::lock::lock;
use crate::session_log::SessionFigures;

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

/// A director in short.
#[derive(Debug, Serialize)]
pub struct Status {
    version: String,
    dpdk_version: String,
    uptime_s: u64,
    packet_memory: String,
    flow_memory: String,
    flows: u64,
    flows_max: u64,
    defence: Defence,
    services: usize,
    real_servers: usize,
    real_servers_max: usize,
    /// `None`: there is no session log.
    session_log: Option<SessionFigures>,
    workers: Vec<WorkerLine>,
}

/// How hard the director defends itself against overload.
#[derive(Debug, Serialize)]
struct Defence {
    drop_entry: u8,
    drop_packet: u8,
    /// One in so many packets that would begin a connection is dropped; 0: none.
    drop_rate: u32,
    secure_tcp: u8,
    /// Fewer free entries of the flow table than that are an overload.
    short_below: i32,
    flows_ended_early: u64,
}

/// Frames by what became of them.
#[derive(Debug, Serialize)]
struct WorkerLine {
    worker: usize,
    cpu: usize,
    received: u64,
    forwarded: u64,
    answered: u64,
    to_kernel: u64,
    errors_sent: u64,
    consumed: u64,
    dropped: u64,
    /// Cycles with and without work since it began.
    busy_cycles: u64,
    idle_cycles: u64,
}

impl Status {
    /// As it is now.
    pub fn of(commands: &Commands) -> Self {
        let about = &commands.about;
        let control = lock(&commands.control);
        let director = control.director();
        let counted = director.counters.iter().zip(&*commands.lcores);
        let workers = about.worker_cpus.iter().zip(counted).enumerate();
        let workers = workers.map(|(worker, (&cpu, (counters, lcore)))| WorkerLine {
            worker,
            cpu,
            received: counters.received.get(),
            forwarded: counters.forwarded.get(),
            answered: counters.answered.get(),
            to_kernel: counters.punted.get(),
            errors_sent: counters.errors_sent.get(),
            consumed: counters.consumed.get(),
            dropped: DropReason::ALL.iter().map(|&reason| counters.dropped(reason)).sum(),
            busy_cycles: lcore.busy_cycles.get(),
            idle_cycles: lcore.idle_cycles(),
        });
        Self {
            version: about.version.clone(),
            dpdk_version: about.dpdk_version.clone(),
            uptime_s: about.clock.uptime().as_secs(),
            packet_memory: about.packet_memory.clone(),
            flow_memory: about.flow_memory.clone(),
            flows: director.flows_used(),
            flows_max: director.flows.flows_max() as u64,
            defence: Defence::of(&control),
            services: control.services_count(),
            real_servers: control.destinations_count(),
            real_servers_max: director.slots.len(),
            session_log: commands.sessions.figures(director),
            workers: workers.collect(),
        }
    }
}

impl Defence {
    fn of(control: &Control) -> Self {
        let settings = control.settings();
        Self {
            drop_entry: settings.drop_entry as u8,
            drop_packet: settings.drop_packet as u8,
            drop_rate: match control.director().drop_rate.get() {
                0 => 0,
                rate => rate.max(1).unsigned_abs(),
            },
            secure_tcp: settings.secure_tcp as u8,
            short_below: settings.amemthresh,
            flows_ended_early: control.director().housekeeping_counters().flows_dropped.get(),
        }
    }

    fn text(&self) -> String {
        let Self { drop_entry, drop_packet, drop_rate, secure_tcp, short_below, .. } = self;
        let rate = match drop_rate {
            0 => String::new(),
            rate => format!(" (1 in {rate})"),
        };
        format!(
            "drop_entry {drop_entry}, drop_packet {drop_packet}{rate}, secure_tcp {secure_tcp}; \
             room is short below {short_below}; {} ended early",
            self.flows_ended_early
        )
    }
}

impl Report for Status {
    fn text(&self, out: &mut Text) {
        let (uptime, version) = (self.uptime_s, &self.version);
        let (hours, minutes, seconds) = (uptime / 3600, uptime / 60 % 60, uptime % 60);
        line!(
            out,
            "sluiced {version} ({}), up {hours}:{minutes:02}:{seconds:02}",
            self.dpdk_version
        );
        line!(out, "{:<14}{}", "memory", self.packet_memory);
        line!(out, "{:<14}{} of {}, {}", "flows", self.flows, self.flows_max, self.flow_memory);
        line!(out, "{:<14}{}", "defence", self.defence.text());
        line!(out, "{:<14}{}", "services", self.services);
        line!(out, "{:<14}{} of {}", "real servers", self.real_servers, self.real_servers_max);
        if let Some(sessions) = &self.session_log {
            line!(out, "{:<14}{}", "session log", log_text(sessions));
        }
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
        for row in &self.workers {
            line!(
                out,
                "{:<8}{:>4} {:>14} {:>14} {:>12} {:>12} {:>12} {:>12} {:>12}",
                row.worker,
                row.cpu,
                row.received,
                row.forwarded,
                row.answered,
                row.to_kernel,
                row.errors_sent,
                row.consumed,
                row.dropped
            );
        }
    }
}

/// `12 lines; without one: 990 by sample, 3 by rate, 0 by its queue`
fn log_text(sessions: &SessionFigures) -> String {
    let SessionFigures { lines, sample, rate, queue } = sessions;
    format!("{lines} lines; without one: {sample} by sample, {rate} by rate, {queue} by its queue")
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
            Defence::of(&control).text(),
            "drop_entry 0, drop_packet 0, secure_tcp 0; room is short below 1024; 0 ended early"
        );
        let mut settings = *control.settings();
        for (name, value) in [("drop_entry", 3), ("drop_packet", 1), ("secure_tcp", 1)] {
            Switch::named(name).unwrap().set(&mut settings, value).unwrap();
        }
        control.set_settings(settings);
        assert_eq!(
            Defence::of(&control).text(),
            "drop_entry 3, drop_packet 2 (1 in 2), secure_tcp 2; room is short below 1024; \
             0 ended early"
        );
    }
}
