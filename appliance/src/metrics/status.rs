//! What the status page shows, as a JSON document: totals since the start, from which the page
//! computes rates.

use std::time::SystemTime;

use lb_core::control::{DetailedService, Reach};
use serde::Serialize;

use super::figures::Figures;
use crate::control::status::About;

/// Services and real servers that a document has at most: a page can show no more.
const SERVICES_MAX: usize = 200;
const SERVERS_MAX: usize = 1000;

/// The document.
#[derive(Debug, Serialize)]
pub struct Document<'a> {
    host: String,
    version: &'a str,
    dpdk: &'a str,
    uptime_s: u64,
    /// Milliseconds since 1970: now, and when the director started, which tells it from the next.
    time_ms: u64,
    started: u64,
    totals: Totals,
    active: u64,
    workers: Vec<Worker>,
    /// Name, used, room.
    room: Vec<(String, u64, u64)>,
    ports: Vec<Port<'a>>,
    /// Those that occurred.
    drops: Vec<Drop>,
    /// The busiest first.
    services: Vec<Service>,
    services_omitted: usize,
    servers_omitted: usize,
}

#[derive(Debug, Serialize)]
struct Totals {
    connections: u64,
    packets_in: u64,
    packets_out: u64,
    bytes_in: u64,
    bytes_out: u64,
}

#[derive(Debug, Serialize)]
struct Worker {
    cpu: usize,
    received: u64,
    sent: u64,
    dropped: u64,
    busy: u64,
    idle: u64,
}

#[derive(Debug, Serialize)]
struct Port<'a> {
    name: &'a str,
    up: bool,
    link: &'a str,
    rx_bytes: u64,
    tx_bytes: u64,
    /// Missed, broken, or without a buffer; or not sent.
    lost: u64,
}

#[derive(Debug, Serialize)]
struct Drop {
    reason: &'static str,
    meaning: &'static str,
    packets: u64,
}

#[derive(Debug, Serialize)]
struct Service {
    service: String,
    scheduler: String,
    connections: u64,
    bytes_in: u64,
    bytes_out: u64,
    active: u64,
    inactive: u64,
    servers: usize,
    usable: usize,
    list: Vec<Server>,
}

#[derive(Debug, Serialize)]
struct Server {
    server: String,
    forward: &'static str,
    weight: i32,
    connections: u64,
    bytes_in: u64,
    bytes_out: u64,
    active: u32,
    inactive: u32,
    overloaded: bool,
    reached: bool,
}

impl<'a> Document<'a> {
    /// Of these figures; `with_servers`: each real server, too.
    pub fn of(figures: &'a Figures, about: &'a About, started_ms: u64, with_servers: bool) -> Self {
        let stats = figures.totals;
        let (services, servers_omitted) = services(&figures.services, with_servers);
        Self {
            host: host(),
            version: &about.version,
            dpdk: &about.dpdk_version,
            uptime_s: about.clock.uptime().as_secs(),
            time_ms: now_ms(),
            started: started_ms,
            totals: Totals {
                connections: stats.connections,
                packets_in: stats.packets_in,
                packets_out: stats.packets_out,
                bytes_in: stats.bytes_in,
                bytes_out: stats.bytes_out,
            },
            active: figures.services.iter().map(|it| sum(it, |row| row.active)).sum(),
            workers: workers(figures),
            room: room(figures),
            ports: figures.ports.iter().map(port).collect(),
            drops: drops(figures),
            services_omitted: figures.services.len() - services.len(),
            services,
            servers_omitted,
        }
    }
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

fn workers(figures: &Figures) -> Vec<Worker> {
    let workers = figures.workers.iter().map(|it| Worker {
        cpu: it.cpu,
        received: it.received,
        sent: it.sent,
        dropped: it.dropped,
        busy: it.busy_cycles,
        idle: it.idle_cycles,
    });
    workers.collect()
}

fn room(figures: &Figures) -> Vec<(String, u64, u64)> {
    let row = |name: &str, used: u64, max: usize| (name.to_owned(), used, max as u64);
    let mut rows = vec![
        row("flow table", figures.table.used, figures.table.max),
        row("real servers", figures.servers as u64, figures.servers_max),
        row("datagrams", figures.datagrams as u64, figures.datagrams_max),
    ];
    rows.extend(figures.ports.iter().map(|port| {
        let name = format!("buffers {}", port.name);
        (name, port.mbufs_in_use.into(), port.mbufs.into())
    }));
    rows
}

fn port(row: &crate::ports::PortRow) -> Port<'_> {
    let stats = row.stats.as_ref().copied().unwrap_or_default();
    let lost = stats.rx_missed + stats.rx_errors + stats.rx_no_mbuf + stats.tx_errors;
    let (rx_bytes, tx_bytes) = (stats.rx_bytes, stats.tx_bytes);
    Port { name: &row.name, up: row.is_up, link: &row.link, rx_bytes, tx_bytes, lost }
}

fn drops(figures: &Figures) -> Vec<Drop> {
    let occurred = figures.drops.iter().filter(|(_, packets)| *packets > 0);
    let drops = occurred.map(|(reason, packets)| Drop {
        reason: reason.name(),
        meaning: reason.meaning(),
        packets: *packets,
    });
    drops.collect()
}

fn sum(service: &DetailedService, of: impl Fn(&lb_core::operations::DestinationRow) -> u32) -> u64 {
    service.row.destinations.iter().map(|row| u64::from(of(row))).sum()
}

/// The services with the most connections now, and how many of their real servers are left out.
fn services(all: &[DetailedService], with_servers: bool) -> (Vec<Service>, usize) {
    let mut by_load: Vec<_> = all.iter().collect();
    by_load.sort_by_cached_key(|it| {
        let now = sum(it, |row| row.active + row.inactive);
        (std::cmp::Reverse((now, it.row.stats.connections)), it.row.service.key.to_string())
    });
    let mut room = if with_servers { SERVERS_MAX } else { 0 };
    let shown: Vec<_> = by_load
        .into_iter()
        .take(SERVICES_MAX)
        .map(|it| {
            let list = servers(it, room);
            room -= list.len();
            Service {
                service: it.row.service.key.to_string(),
                scheduler: it.row.service.scheduler.clone(),
                connections: it.row.stats.connections,
                bytes_in: it.row.stats.bytes_in,
                bytes_out: it.row.stats.bytes_out,
                active: sum(it, |row| row.active),
                inactive: sum(it, |row| row.inactive),
                servers: it.details.len(),
                usable: it.details.iter().filter(|detail| detail.is_usable).count(),
                list,
            }
        })
        .collect();
    let servers: usize = all.iter().map(|it| it.details.len()).sum();
    let listed: usize = shown.iter().map(|it| it.list.len()).sum();
    (shown, servers - listed)
}

fn servers(service: &DetailedService, most: usize) -> Vec<Server> {
    let rows = service.row.destinations.iter().zip(&service.details);
    rows.take(most)
        .map(|(row, detail)| {
            let of = row.destination;
            Server {
                server: std::net::SocketAddr::new(of.address, of.port).to_string(),
                forward: of.method.name(),
                weight: of.weight,
                connections: row.stats.connections,
                bytes_in: row.stats.bytes_in,
                bytes_out: row.stats.bytes_out,
                active: row.active,
                inactive: row.inactive,
                overloaded: detail.is_overloaded,
                reached: matches!(detail.reach, Reach::Here | Reach::Link { mac: Some(_), .. }),
            }
        })
        .collect()
}
