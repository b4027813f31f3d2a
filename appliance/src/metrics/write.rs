//! Figures to series, in the order of the catalogue.

use lb_core::control::{DetailedService, Reach, ServerDetail};
use lb_core::operations::{DaemonRole, DestinationRow, Stats};

use super::catalogue as of;
use super::catalogue::Family;
use super::exposition::{Exposition, Labels};
use super::figures::{Figures, TableFigures, WorkerFigures, is_late};
use crate::lcore_counters::BURST_SIZES;
use crate::logging;

/// What limits the number of series.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Whether each real server has series of its own.
    pub servers: bool,
    pub series: usize,
}

/// Writes all but the services, whose number is theirs to choose.
pub fn write_rest(figures: &Figures, out: &mut Exposition) {
    let Stats { connections, packets_in, packets_out, bytes_in, bytes_out } = figures.totals;
    out.single(&of::CONNECTIONS, connections);
    out.single(&of::INCOMING_PACKETS, packets_in);
    out.single(&of::OUTGOING_PACKETS, packets_out);
    out.single(&of::INCOMING_BYTES, bytes_in);
    out.single(&of::OUTGOING_BYTES, bytes_out);
    out.single(&of::SERVICES, figures.services.len());
    out.single(&of::SERVERS, figures.servers);
    out.single(&of::SERVERS_MAX, figures.servers_max);
    out.single(&of::SERVERS_REMOVED, figures.servers_removed);
    write_workers(figures, out);
    out.family(&of::DROPPED);
    for (reason, packets) in &figures.drops {
        let stage = if is_late(*reason) { "output" } else { "path" };
        out.sample(&Labels::of(&[("reason", reason.name()), ("stage", stage)]), *packets);
    }
    write_ports(figures, out);
    write_table(&figures.table, out);
    out.single(&of::DATAGRAMS, figures.datagrams);
    out.single(&of::DATAGRAMS_MAX, figures.datagrams_max);
    out.family(&of::NEIGHBOURS);
    for (state, count) in &figures.neighbours {
        out.sample(&Labels::of(&[("state", state)]), *count);
    }
    out.family(&of::DEFENCE);
    for (switch, value) in figures.defence {
        out.sample(&Labels::of(&[("switch", switch)]), u32::from(value));
    }
    out.single(&of::DROP_RATE, figures.drop_rate);
    write_sync(figures, out);
    let sessions = figures.sessions;
    out.single(&of::SESSION_LINES, sessions.lines);
    out.family(&of::SESSION_LEFT_OUT);
    for (reason, connections) in
        [("sample", sessions.sample), ("rate", sessions.rate), ("queue", sessions.queue)]
    {
        out.sample(&Labels::of(&[("reason", reason)]), connections);
    }
    let modules = logging::MODULES.iter();
    let modules: Vec<_> =
        modules.map(|module| (Labels::of(&[("module", module.name)]), module)).collect();
    each(out, &of::LOG_LINES, &modules, |module| Some(module.lines()));
    each(out, &of::LOG_SUPPRESSED, &modules, |module| Some(module.suppressed()));
}

/// A family with one series for each of `rows`; `None` has none.
fn each<R>(
    out: &mut Exposition,
    family: &'static Family,
    rows: &[(Labels, R)],
    value: impl Fn(&R) -> Option<u64>,
) {
    out.family(family);
    for (labels, row) in rows {
        if let Some(value) = value(row) {
            out.sample(labels, value);
        }
    }
}

fn write_workers(figures: &Figures, out: &mut Exposition) {
    out.family(&of::WORKER_INFO);
    for (number, worker) in figures.workers.iter().enumerate() {
        let (number, cpu) = (number.to_string(), worker.cpu.to_string());
        out.sample(&Labels::of(&[("worker", &number), ("cpu", &cpu)]), true);
    }
    let rows: Vec<_> = figures.workers.iter().enumerate().collect();
    let rows: Vec<_> = rows
        .into_iter()
        .map(|(number, worker)| (Labels::of(&[("worker", &number.to_string())]), worker))
        .collect();
    each(out, &of::WORKER_RECEIVED, &rows, |it| Some(it.received));
    kinds(figures, out, &of::WORKER_OUTCOMES, "outcome", |it| {
        vec![
            ("forwarded", it.forwarded),
            ("answered", it.answered),
            ("to_kernel", it.to_kernel),
            ("consumed", it.consumed),
            ("dropped", it.dropped),
        ]
    });
    kinds(figures, out, &of::WORKER_WAITING, "queue", |it| {
        vec![("neighbour", it.waiting), ("fragment", it.held)]
    });
    each(out, &of::WORKER_SPLIT, &rows, |it| Some(it.split));
    each(out, &of::WORKER_ERRORS_SENT, &rows, |it| Some(it.errors_sent));
    kinds(figures, out, &of::WORKER_MADE, "origin", |it| {
        vec![("pieces", it.pieces), ("control_plane", it.control_frames)]
    });
    kinds(figures, out, &of::WORKER_FROM_KERNEL, "outcome", |it| {
        vec![("relayed", it.relayed), ("refused", it.relay_refused)]
    });
    each(out, &of::WORKER_SENT, &rows, |it| Some(it.sent));
    each(out, &of::WORKER_BUSY, &rows, |it| Some(it.busy_cycles));
    each(out, &of::WORKER_IDLE, &rows, |it| Some(it.idle_cycles));
    out.family(&of::WORKER_BURSTS);
    for (labels, worker) in &rows {
        let mut observed = 0;
        let buckets: Vec<_> = BURST_SIZES
            .iter()
            .zip(worker.bursts)
            .map(|(&most, bursts)| {
                observed += bursts;
                (most as f64, observed)
            })
            .collect();
        out.histogram(labels, &buckets, worker.received as f64, observed);
    }
    out.single(&of::TSC_FREQUENCY, figures.cycles_per_second);
}

/// A family with several series for each worker, told apart by a second label.
fn kinds(
    figures: &Figures,
    out: &mut Exposition,
    family: &'static Family,
    label: &str,
    values: impl Fn(&WorkerFigures) -> Vec<(&'static str, u64)>,
) {
    out.family(family);
    for (number, worker) in figures.workers.iter().enumerate() {
        for (kind, value) in values(worker) {
            let labels = Labels::of(&[("worker", &number.to_string()), (label, kind)]);
            out.sample(&labels, value);
        }
    }
}

fn write_ports(figures: &Figures, out: &mut Exposition) {
    out.family(&of::PORT_INFO);
    for port in &figures.ports {
        let mac = port.mac.to_string();
        let labels = Labels::of(&[
            ("port", &port.name),
            ("device", &port.device),
            ("driver", &port.driver),
            ("mac", &mac),
        ]);
        out.sample(&labels, true);
    }
    let named = figures.ports.iter().map(|port| (Labels::of(&[("port", &port.name)]), port));
    let rows: Vec<_> = named.collect();
    each(out, &of::PORT_UP, &rows, |it| Some(it.is_up.into()));
    each(out, &of::PORT_SPEED, &rows, |it| it.speed_mbps.map(|speed| u64::from(speed) * 125_000));
    each(out, &of::PORT_MTU, &rows, |it| Some(it.mtu.into()));
    let counted = rows
        .iter()
        .filter_map(|(labels, port)| port.stats.as_ref().ok().map(|stats| (labels.clone(), stats)));
    let counted: Vec<_> = counted.collect();
    each(out, &of::PORT_RX_PACKETS, &counted, |it| Some(it.rx_packets));
    each(out, &of::PORT_RX_BYTES, &counted, |it| Some(it.rx_bytes));
    each(out, &of::PORT_RX_MISSED, &counted, |it| Some(it.rx_missed));
    each(out, &of::PORT_RX_ERRORS, &counted, |it| Some(it.rx_errors));
    each(out, &of::PORT_RX_NO_MBUF, &counted, |it| Some(it.rx_no_mbuf));
    each(out, &of::PORT_TX_PACKETS, &counted, |it| Some(it.tx_packets));
    each(out, &of::PORT_TX_BYTES, &counted, |it| Some(it.tx_bytes));
    each(out, &of::PORT_TX_ERRORS, &counted, |it| Some(it.tx_errors));
    each(out, &of::PORT_MBUFS, &rows, |it| Some(it.mbufs.into()));
    each(out, &of::PORT_MBUFS_USED, &rows, |it| Some(it.mbufs_in_use.into()));
    let queues = figures.ports.iter().flat_map(|port| {
        port.queues.iter().map(|(queue, stats)| {
            (Labels::of(&[("port", &port.name), ("queue", &queue.to_string())]), stats)
        })
    });
    let queues: Vec<_> = queues.collect();
    each(out, &of::QUEUE_RX_PACKETS, &queues, |it| Some(it.rx_packets));
    each(out, &of::QUEUE_RX_BYTES, &queues, |it| Some(it.rx_bytes));
    each(out, &of::QUEUE_RX_ERRORS, &queues, |it| Some(it.rx_errors));
    each(out, &of::QUEUE_TX_PACKETS, &queues, |it| Some(it.tx_packets));
    each(out, &of::QUEUE_TX_BYTES, &queues, |it| Some(it.tx_bytes));
    let kernel = figures.kernel.iter();
    let kernel: Vec<_> =
        kernel.map(|(name, stats)| (Labels::of(&[("interface", name)]), stats)).collect();
    each(out, &of::KERNEL_RX_PACKETS, &kernel, |it| Some(it.tx_packets));
    each(out, &of::KERNEL_RX_BYTES, &kernel, |it| Some(it.tx_bytes));
    each(out, &of::KERNEL_TX_PACKETS, &kernel, |it| Some(it.rx_packets));
    each(out, &of::KERNEL_TX_BYTES, &kernel, |it| Some(it.rx_bytes));
}

fn write_table(table: &TableFigures, out: &mut Exposition) {
    out.single(&of::FLOWS, table.used);
    out.single(&of::FLOWS_MAX, table.max);
    out.single(&of::FLOWS_INSERTED, table.inserted);
    out.single(&of::FLOWS_REMOVED, table.removed);
    out.single(&of::FLOWS_EVICTED, table.evicted);
    out.single(&of::FLOW_BUCKETS, table.buckets);
    out.single(&of::FLOW_OVERFLOW, table.overflow);
    out.family(&of::FLOW_CHAINS);
    let looked_at = table.chains.iter().sum::<usize>().max(1);
    for (entries, buckets) in table.chains.iter().enumerate() {
        let labels = Labels::of(&[("entries", &entries.to_string())]);
        out.sample(&labels, *buckets as f64 / looked_at as f64);
    }
}

fn write_sync(figures: &Figures, out: &mut Exposition) {
    out.family(&of::SYNC_DAEMONS);
    for role in [DaemonRole::Master, DaemonRole::Backup] {
        let labels = Labels::of(&[("role", role.name())]);
        out.sample(&labels, figures.sync_roles.contains(&role));
    }
    let sync = &figures.sync;
    out.single(&of::SYNC_SENT, sync.sent_datagrams);
    out.single(&of::SYNC_SENT_CONNECTIONS, sync.sent_records);
    out.single(&of::SYNC_SEND_ERRORS, sync.send_errors);
    out.single(&of::SYNC_RECEIVED, sync.received_datagrams);
    out.single(&of::SYNC_TAKEN, sync.taken_records);
    out.single(&of::SYNC_IGNORED, sync.ignored_records);
    out.single(&of::SYNC_MALFORMED, sync.malformed_datagrams);
}

/// Series of a service, and of a real server at most.
const SERVICE_SERIES: usize = 11;
const SERVER_SERIES: usize = 14;

/// Writes services and real servers, as many as there is room for; returns how many series are left
/// out.
pub fn write_services(services: &[DetailedService], limits: Limits, out: &mut Exposition) -> usize {
    let room = limits.series.saturating_sub(out.series()) / SERVICE_SERIES;
    let shown = &services[..room.min(services.len())];
    let mut omitted = (services.len() - shown.len()) * SERVICE_SERIES;
    out.reserve(shown.len() * SERVICE_SERIES);
    out.family(&of::SERVICE_INFO);
    for DetailedService { row, .. } in shown {
        let key = row.service.key.to_string();
        let labels = [("service", key.as_str()), ("scheduler", row.service.scheduler.as_str())];
        out.sample(&Labels::of(&labels), true);
    }
    let label = |service: &DetailedService| {
        Labels::of(&[("service", &service.row.service.key.to_string())])
    };
    let rows: Vec<_> = shown.iter().map(|service| (label(service), service)).collect();
    each(out, &of::SERVICE_CONNECTIONS, &rows, |it| Some(it.row.stats.connections));
    each(out, &of::SERVICE_INCOMING_PACKETS, &rows, |it| Some(it.row.stats.packets_in));
    each(out, &of::SERVICE_OUTGOING_PACKETS, &rows, |it| Some(it.row.stats.packets_out));
    each(out, &of::SERVICE_INCOMING_BYTES, &rows, |it| Some(it.row.stats.bytes_in));
    each(out, &of::SERVICE_OUTGOING_BYTES, &rows, |it| Some(it.row.stats.bytes_out));
    let sum = |service: &DetailedService, of: fn(&DestinationRow) -> u32| {
        Some(service.row.destinations.iter().map(|row| u64::from(of(row))).sum())
    };
    each(out, &of::SERVICE_ACTIVE, &rows, |it| sum(it, |row| row.active));
    each(out, &of::SERVICE_INACTIVE, &rows, |it| sum(it, |row| row.inactive));
    each(out, &of::SERVICE_PERSISTENT, &rows, |it| sum(it, |row| row.persistent));
    each(out, &of::SERVICE_SERVERS, &rows, |it| Some(it.details.len() as u64));
    each(out, &of::SERVICE_USABLE_SERVERS, &rows, |it| {
        Some(it.details.iter().filter(|detail| detail.is_usable).count() as u64)
    });
    let servers = shown.iter().flat_map(|service| {
        let rows = service.row.destinations.iter().zip(&service.details);
        rows.map(move |(row, detail)| (service, row, detail))
    });
    if !limits.servers {
        return omitted;
    }
    let room = limits.series.saturating_sub(out.series()) / SERVER_SERIES;
    let all: usize = services.iter().map(|service| service.details.len()).sum();
    omitted += all.saturating_sub(room) * SERVER_SERIES;
    out.reserve(room.min(all) * SERVER_SERIES);
    write_servers(&servers.take(room).collect::<Vec<_>>(), out);
    omitted
}

/// Whether the way to a real server is known to its end.
const fn is_reached(detail: &ServerDetail) -> bool {
    matches!(detail.reach, Reach::Here | Reach::Link { mac: Some(_), .. })
}

type Server<'a> = (&'a DetailedService, &'a DestinationRow, &'a ServerDetail);

fn write_servers(servers: &[Server<'_>], out: &mut Exposition) {
    out.family(&of::SERVER_INFO);
    let mut rows = Vec::with_capacity(servers.len());
    for (service, row, detail) in servers {
        let key = service.row.service.key.to_string();
        let end = std::net::SocketAddr::new(row.destination.address, row.destination.port);
        let end = end.to_string();
        let (labels, forward) = ([("service", &*key), ("server", &*end)], row.destination.method);
        out.sample(&Labels::of(&[labels[0], labels[1], ("forward", forward.name())]), true);
        rows.push((Labels::of(&labels), (*row, *detail)));
    }
    let threshold = |value: u32| (value > 0).then(|| u64::from(value));
    each(out, &of::SERVER_CONNECTIONS, &rows, |(row, _)| Some(row.stats.connections));
    each(out, &of::SERVER_INCOMING_PACKETS, &rows, |(row, _)| Some(row.stats.packets_in));
    each(out, &of::SERVER_OUTGOING_PACKETS, &rows, |(row, _)| Some(row.stats.packets_out));
    each(out, &of::SERVER_INCOMING_BYTES, &rows, |(row, _)| Some(row.stats.bytes_in));
    each(out, &of::SERVER_OUTGOING_BYTES, &rows, |(row, _)| Some(row.stats.bytes_out));
    each(out, &of::SERVER_ACTIVE, &rows, |(row, _)| Some(row.active.into()));
    each(out, &of::SERVER_INACTIVE, &rows, |(row, _)| Some(row.inactive.into()));
    each(out, &of::SERVER_PERSISTENT, &rows, |(row, _)| Some(row.persistent.into()));
    out.family(&of::SERVER_WEIGHT);
    for (labels, (row, _)) in &rows {
        out.sample(labels, row.destination.weight);
    }
    each(out, &of::SERVER_UPPER_THRESHOLD, &rows, |(row, _)| {
        threshold(row.destination.upper_threshold)
    });
    each(out, &of::SERVER_LOWER_THRESHOLD, &rows, |(row, _)| {
        threshold(row.destination.lower_threshold)
    });
    each(out, &of::SERVER_OVERLOADED, &rows, |(_, detail)| Some(detail.is_overloaded.into()));
    each(out, &of::SERVER_REACHED, &rows, |(_, detail)| Some(is_reached(detail).into()));
}
