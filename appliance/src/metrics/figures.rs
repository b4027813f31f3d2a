//! All figures of a director at one moment, as plain values: what the formats and the status page
//! are written from.
//!
//! Taking them holds the control plane's lock for as long as it takes to copy what it guards; they
//! are written without it. Workers take no lock and are not asked: their counters are read.

use std::collections::BTreeMap;

use lb_core::control::{Control, DetailedService};
use lb_core::drops::DropReason;
use lb_core::neighbour::State;
use lb_core::operations::{DaemonRole, Operations, Stats};
use lb_core::sync::Tally as SyncTally;

use crate::control::command::Commands;
use crate::dpdk::PortStats;
use crate::dpdk::clock::hz;
use crate::lcore_counters::BURST_KINDS;
use crate::lock::lock;
use crate::ports::PortRow;
use crate::session_log::SessionFigures;

/// Buckets of the flow table that are looked at for the lengths of chains.
const SAMPLE: usize = 1024;

/// The figures.
#[derive(Debug)]
pub struct Figures {
    pub totals: Stats,
    pub services: Vec<DetailedService>,
    pub servers: usize,
    pub servers_max: usize,
    pub servers_removed: usize,
    pub workers: Vec<WorkerFigures>,
    pub cycles_per_second: u64,
    /// All reasons in the order of the list.
    pub drops: Vec<(DropReason, u64)>,
    pub ports: Vec<PortRow>,
    /// By interface, seen from the port: received is what the kernel sent.
    pub kernel: Vec<(String, PortStats)>,
    pub table: TableFigures,
    pub datagrams: usize,
    pub datagrams_max: usize,
    pub neighbours: BTreeMap<&'static str, usize>,
    pub defence: [(&'static str, u8); 3],
    /// One in so many packets that would begin a connection is dropped; 0: none.
    pub drop_rate: u32,
    pub sync_roles: Vec<DaemonRole>,
    pub sync: SyncTally,
    pub sessions: SessionFigures,
}

/// One worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerFigures {
    pub cpu: usize,
    pub received: u64,
    pub forwarded: u64,
    pub answered: u64,
    pub to_kernel: u64,
    pub consumed: u64,
    /// Instead of another outcome.
    pub dropped: u64,
    pub split: u64,
    pub errors_sent: u64,
    pub waiting: u64,
    pub held: u64,
    pub pieces: u64,
    pub control_frames: u64,
    pub relayed: u64,
    pub relay_refused: u64,
    pub sent: u64,
    pub busy_cycles: u64,
    pub idle_cycles: u64,
    pub bursts: [u64; BURST_KINDS],
}

/// The flow table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableFigures {
    pub used: u64,
    pub max: usize,
    pub inserted: u64,
    pub removed: u64,
    pub evicted: u64,
    pub buckets: usize,
    pub overflow: usize,
    /// Of the buckets that were looked at: how many have 0, 1, ... entries.
    pub chains: Vec<usize>,
}

/// Whether a drop comes after another outcome was counted for the packet.
pub const fn is_late(reason: DropReason) -> bool {
    matches!(reason, DropReason::TransmitFull | DropReason::KernelUnavailable)
}

impl Figures {
    /// As they are now. `turn` chooses which part of the flow table is looked at.
    pub fn take(commands: &Commands, turn: usize) -> Self {
        let ports = commands.ports.rows();
        let kernel = commands.kernel.rows();
        let control = lock(&commands.control);
        let director = control.director();
        let interface = |id: usize| control.interfaces().get(id).map(|it| it.name.clone());
        let kernel = kernel
            .into_iter()
            .filter_map(|row| Some((interface(usize::from(row.interface.0))?, row.stats.ok()?)));
        let sync_daemons = lock(control.sync_daemons());
        let settings = control.settings();
        Self {
            totals: control.totals().since_start,
            services: control.detailed_services(None),
            servers: control.destinations_count(),
            servers_max: director.slots.len(),
            servers_removed: control.removed_servers().len(),
            workers: workers(&control, commands),
            cycles_per_second: hz(),
            drops: DropReason::ALL.iter().map(|&it| (it, director.dropped(it))).collect(),
            kernel: kernel.collect(),
            ports,
            table: table(&control, turn),
            datagrams: director.fragments.live_lately(),
            datagrams_max: director.fragments.capacity(),
            neighbours: neighbours(&control),
            defence: [
                ("drop_entry", settings.drop_entry as u8),
                ("drop_packet", settings.drop_packet as u8),
                ("secure_tcp", settings.secure_tcp as u8),
            ],
            drop_rate: match director.drop_rate.get() {
                0 => 0,
                rate => rate.max(1).unsigned_abs(),
            },
            sync_roles: sync_daemons.rows().into_iter().map(|row| row.role).collect(),
            sync: sync_daemons.tally(),
            sessions: commands.sessions.figures(director).unwrap_or_default(),
        }
    }
}

fn workers(control: &Control, commands: &Commands) -> Vec<WorkerFigures> {
    let counters = control.director().counters.iter();
    let cpus = commands.about.worker_cpus.iter();
    cpus.zip(counters)
        .zip(&*commands.lcores)
        .map(|((&cpu, counters), lcore)| {
            let rare = lcore.rare();
            let reasons = DropReason::ALL.iter().filter(|reason| !is_late(**reason));
            let dropped: u64 = reasons.map(|&reason| counters.dropped(reason)).sum();
            WorkerFigures {
                cpu,
                received: counters.received.get(),
                forwarded: counters.forwarded.get(),
                answered: counters.answered.get(),
                to_kernel: counters.punted.get(),
                consumed: counters.consumed.get(),
                dropped: dropped.saturating_sub(rare.heard_dropped.get()),
                split: counters.split.get(),
                errors_sent: counters.errors_sent.get(),
                waiting: rare.waiting.get(),
                held: rare.held.get(),
                pieces: rare.pieces.get(),
                control_frames: rare.control_frames.get(),
                relayed: rare.relayed.get(),
                relay_refused: rare.heard.get().saturating_sub(rare.relayed.get()),
                sent: rare.sent.get(),
                busy_cycles: lcore.busy_cycles.get(),
                idle_cycles: lcore.idle_cycles(),
                bursts: lcore.bursts.each_ref().map(lb_core::counters::Counter::get),
            }
        })
        .collect()
}

fn table(control: &Control, turn: usize) -> TableFigures {
    let director = control.director();
    let flows = &director.flows;
    let buckets = flows.buckets();
    // Spread over the whole table, and others each time.
    let step = (buckets / SAMPLE).max(1);
    let sample = (0..SAMPLE.min(buckets)).map(|place| place * step + turn % step);
    TableFigures {
        used: director.flows_used(),
        max: flows.flows_max(),
        inserted: director.counters.iter().map(|it| it.flows_inserted.get()).sum(),
        removed: director.flows_removed(),
        evicted: director.counters.iter().map(|it| it.flows_dropped.get()).sum(),
        buckets,
        overflow: flows.overflow_used(),
        chains: flows.chain_lengths_of(sample).to_vec(),
    }
}

fn neighbours(control: &Control) -> BTreeMap<&'static str, usize> {
    let all = [State::Permanent, State::Reachable, State::Probe, State::Incomplete, State::Failed];
    let mut counts: BTreeMap<_, _> = all.into_iter().map(|state| (state.name(), 0)).collect();
    for row in control.neighbours() {
        *counts.entry(row.state.name()).or_default() += 1;
    }
    counts
}
