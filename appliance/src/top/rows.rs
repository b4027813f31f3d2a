//! Rows of a list: from two samples to rates, sorted and filtered.

use std::cmp::Ordering;

use super::sample::{Drop, Figures, Port, Sample, Server, Service, Traffic};

/// What is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum View {
    Services,
    /// Of one service, or of all.
    Servers(Option<String>),
    Ports,
    Drops,
}

/// A column of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    pub title: &'static str,
    pub width: u16,
}

const fn column(title: &'static str, width: u16) -> Column {
    Column { title, width }
}

/// What a cell shows and is sorted by.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Text(String),
    Count(u64),
    /// A second.
    Rate(f64),
    /// Bits a second.
    Bits(f64),
}

/// How a row stands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Plain,
    /// Takes nothing new.
    Quiet,
    Bad,
}

/// A row.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What it is about, by which it is found again.
    pub name: String,
    pub cells: Vec<Cell>,
    pub mood: Mood,
}

impl View {
    /// The next one in the round.
    pub const fn next(&self) -> Self {
        match self {
            Self::Services => Self::Servers(None),
            Self::Servers(_) => Self::Ports,
            Self::Ports => Self::Drops,
            Self::Drops => Self::Services,
        }
    }

    /// Its columns; the first one takes what room is left.
    pub const fn columns(&self) -> &'static [Column] {
        const SERVICES: &[Column] = &[
            column("service", 20),
            column("sched", 5),
            column("srv", 4),
            column("active", 6),
            column("inact", 6),
            column("conn/s", 7),
            column("pkt/s", 6),
            column("in b/s", 6),
            column("out b/s", 7),
        ];
        const SERVERS: &[Column] = &[
            column("server", 20),
            column("fwd", 6),
            column("weight", 6),
            column("active", 6),
            column("inact", 6),
            column("conn/s", 7),
            column("pkt/s", 6),
            column("in b/s", 6),
            column("out b/s", 7),
        ];
        const PORTS: &[Column] = &[
            column("port", 12),
            column("link", 18),
            column("in pkt/s", 9),
            column("in b/s", 6),
            column("out pkt/s", 9),
            column("out b/s", 7),
            column("lost", 7),
        ];
        const DROPS: &[Column] =
            &[column("reason", 24), column("pkt/s", 10), column("packets", 14)];
        match self {
            Self::Services => SERVICES,
            Self::Servers(_) => SERVERS,
            Self::Ports => PORTS,
            Self::Drops => DROPS,
        }
    }

    /// The column that it is sorted by at first: what is busy stands on top.
    pub const fn first_sort(&self) -> usize {
        match self {
            Self::Services | Self::Servers(_) => 6,
            Self::Ports => 0,
            Self::Drops => 1,
        }
    }

    /// The rows as of `now`, with rates since `before`, if there is one.
    pub fn rows(&self, before: Option<&Sample>, now: &Sample) -> Vec<Row> {
        let pace = Pace::between(before, now);
        match self {
            Self::Services => {
                let old = |service: &Service| find_service(before?, &service.service);
                let row = |it| service_row(it, old(it).map(|old| &old.stats), pace);
                now.services.iter().map(row).collect()
            }
            Self::Servers(of) => server_rows(of.as_deref(), before, now, pace),
            Self::Ports => {
                let old = |name: &str| before?.ports.iter().find(|it| it.name == name)?.counters;
                now.ports.iter().map(|it| port_row(it, old(&it.name), pace)).collect()
            }
            Self::Drops => drop_rows(before, now),
        }
    }
}

/// Reasons that occurred, with the rate of now.
pub fn drop_rows(before: Option<&Sample>, now: &Sample) -> Vec<Row> {
    let pace = Pace::between(before, now);
    let occurred = now.drops.iter().filter(|it| it.packets > 0);
    let row = |it: &Drop| {
        let old = before.and_then(|sample| sample.drops.iter().find(|old| old.reason == it.reason));
        let rate = pace.rate(it.packets, old.map(|old| old.packets));
        Row {
            name: it.reason.clone(),
            cells: vec![Cell::Text(it.reason.clone()), Cell::Rate(rate), Cell::Count(it.packets)],
            mood: if rate > 0.0 { Mood::Bad } else { Mood::Plain },
        }
    };
    occurred.map(row).collect()
}

/// Time between two samples.
#[derive(Clone, Copy, Debug)]
pub struct Pace(Option<f64>);

impl Pace {
    /// From one to the other.
    pub fn between(before: Option<&Sample>, now: &Sample) -> Self {
        let seconds = before.map(|before| now.at.duration_since(before.at).as_secs_f64());
        Self(seconds.filter(|&seconds| seconds > 0.0))
    }

    /// How much more it is a second; 0 where nothing is known, or it was set back.
    #[expect(clippy::cast_precision_loss, reason = "for eyes")]
    pub fn rate(self, now: u64, before: Option<u64>) -> f64 {
        match (self.0, before) {
            (Some(seconds), Some(before)) => now.saturating_sub(before) as f64 / seconds,
            _ => 0.0,
        }
    }
}

fn find_service<'a>(sample: &'a Sample, name: &str) -> Option<&'a Service> {
    sample.services.iter().find(|it| it.service == name)
}

fn figures(now: &Figures, old: Option<&Figures>, pace: Pace) -> [Cell; 4] {
    let rate = |of: fn(&Figures) -> u64| pace.rate(of(now), old.map(of));
    [
        Cell::Rate(rate(|it| it.connections)),
        Cell::Rate(rate(|it| it.packets_in + it.packets_out)),
        Cell::Bits(8.0 * rate(|it| it.bytes_in)),
        Cell::Bits(8.0 * rate(|it| it.bytes_out)),
    ]
}

fn service_row(service: &Service, old: Option<&Figures>, pace: Pace) -> Row {
    let sum = |of: fn(&Server) -> u64| Cell::Count(service.servers.iter().map(of).sum());
    let takes = |it: &Server| it.weight > 0 && !it.overloaded;
    let mut cells = vec![
        Cell::Text(service.service.clone()),
        Cell::Text(service.scheduler.clone()),
        Cell::Count(service.servers.len() as u64),
        sum(|it| it.active),
        sum(|it| it.inactive),
    ];
    cells.extend(figures(&service.stats, old, pace));
    let mood = if service.servers.iter().any(takes) { Mood::Plain } else { Mood::Bad };
    Row { name: service.service.clone(), cells, mood }
}

fn server_rows(of: Option<&str>, before: Option<&Sample>, now: &Sample, pace: Pace) -> Vec<Row> {
    let meant = now.services.iter().filter(|it| of.is_none_or(|name| name == it.service));
    let mut rows = Vec::new();
    for service in meant {
        let old = before.and_then(|before| find_service(before, &service.service));
        for server in &service.servers {
            let same = |it: &&Server| (it.address, it.port) == (server.address, server.port);
            let old = old.and_then(|old| old.servers.iter().find(same));
            let name = server.name();
            let mut cells = vec![
                Cell::Text(name.clone()),
                Cell::Text(server.forward.clone()),
                Cell::Count(u64::from(server.weight.max(0).unsigned_abs())),
                Cell::Count(server.active),
                Cell::Count(server.inactive),
            ];
            cells.extend(figures(&server.stats, old.map(|old| &old.stats), pace));
            let is_reached = matches!(server.reach.as_str(), "known" | "local");
            let mood = match () {
                () if !is_reached => Mood::Bad,
                () if server.weight == 0 || server.overloaded => Mood::Quiet,
                () => Mood::Plain,
            };
            rows.push(Row { name: format!("{} {name}", service.service), cells, mood });
        }
    }
    rows
}

fn port_row(port: &Port, old: Option<Traffic>, pace: Pace) -> Row {
    let now = port.counters.unwrap_or_default();
    let rate = |of: fn(&Traffic) -> u64| pace.rate(of(&now), old.as_ref().map(of));
    let is_up = port.link.starts_with("up");
    Row {
        name: port.name.clone(),
        cells: vec![
            Cell::Text(port.name.clone()),
            Cell::Text(port.link.clone()),
            Cell::Rate(rate(|it| it.rx_packets)),
            Cell::Bits(8.0 * rate(|it| it.rx_bytes)),
            Cell::Rate(rate(|it| it.tx_packets)),
            Cell::Bits(8.0 * rate(|it| it.tx_bytes)),
            Cell::Count(now.rx_missed + now.rx_errors + now.rx_no_mbuf),
        ],
        mood: if is_up { Mood::Plain } else { Mood::Bad },
    }
}

/// Keeps the rows that have the text, and sorts them by a column: text upwards, figures downwards,
/// unless reversed.
pub fn arrange(rows: &mut Vec<Row>, filter: &str, sort: usize, is_reversed: bool) {
    let filter = filter.to_lowercase();
    rows.retain(|row| row.name.to_lowercase().contains(&filter));
    rows.sort_by(|a, b| {
        let order = match (a.cells.get(sort), b.cells.get(sort)) {
            (Some(a), Some(b)) => a.order(b),
            _ => Ordering::Equal,
        };
        let order = if is_reversed { order.reverse() } else { order };
        order.then_with(|| a.name.cmp(&b.name))
    });
}

impl Cell {
    fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Count(a), Self::Count(b)) => b.cmp(a),
            (Self::Rate(a) | Self::Bits(a), Self::Rate(b) | Self::Bits(b)) => b.total_cmp(a),
            _ => Ordering::Equal,
        }
    }

    /// As it stands in the list.
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            #[expect(clippy::cast_precision_loss, reason = "for eyes")]
            Self::Count(count) => short(*count as f64),
            Self::Rate(rate) | Self::Bits(rate) => short(*rate),
        }
    }

    /// Whether it stands at the left.
    pub const fn is_text(&self) -> bool {
        matches!(self, Self::Text(_))
    }
}

/// A number of at most five characters: 0, 7.5, 950, 12.3k, 4.56M.
pub fn short(number: f64) -> String {
    const UNITS: [&str; 6] = ["", "k", "M", "G", "T", "P"];
    let (mut number, mut unit) = (number.max(0.0), 0);
    while number >= 999.5 && unit + 1 < UNITS.len() {
        number /= 1000.0;
        unit += 1;
    }
    let decimals = match (unit, number) {
        (_, number) if number == number.trunc() => 0,
        (0, number) if number >= 9.95 => 0,
        (0, _) => 1,
        (_, number) if number >= 99.95 => 0,
        (_, number) if number >= 9.995 => 1,
        _ => 2,
    };
    format!("{number:.decimals$}{}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::top::sample::tests::sample;

    fn names(rows: &[Row]) -> Vec<&str> {
        rows.iter().map(|row| row.name.as_str()).collect()
    }

    #[test]
    fn numbers_are_short() {
        let all = [0.0, 0.25, 7.5, 9.96, 950.0, 999.6, 1000.0, 12_345.0, 999_999.0, 4_560_000.0];
        let texts = all.map(short);
        assert_eq!(
            texts,
            ["0", "0.2", "7.5", "10", "950", "1.00k", "1k", "12.3k", "1.00M", "4.56M"]
        );
        for exponent in 0..60 {
            assert!(short(1.234 * 2_f64.powi(exponent)).len() <= 5, "{exponent}");
        }
        assert_eq!(short(-1.0), "0");
    }

    #[test]
    fn rates_are_of_the_time_between() {
        let begin = Instant::now();
        let (first, second) = (sample(begin, 2), sample(begin, 4));
        let rows = View::Services.rows(Some(&first), &second);
        let cells = &rows[0].cells;
        assert_eq!(cells[3], Cell::Count(40));
        assert_eq!(cells[5], Cell::Rate(2.0));
        assert_eq!(cells[6], Cell::Rate(300.0));
        assert_eq!(cells[7], Cell::Bits(160_000.0));
        let alone = View::Services.rows(None, &second);
        assert_eq!(alone[0].cells[6], Cell::Rate(0.0), "nothing is known yet");
        let back = View::Services.rows(Some(&second), &sample(begin + (second.at - begin) * 2, 0));
        assert_eq!(back[0].cells[6], Cell::Rate(0.0), "zeroed in between");
    }

    #[test]
    fn rows_are_sorted_and_filtered() {
        let begin = Instant::now();
        let (first, second) = (sample(begin, 1), sample(begin, 2));
        let mut rows = View::Services.rows(Some(&first), &second);
        arrange(&mut rows, "", View::Services.first_sort(), false);
        let by_packets = ["tcp:[fd00:10::100]:443", "tcp:10.0.10.100:80", "udp:10.0.10.100:53"];
        assert_eq!(names(&rows), by_packets);
        arrange(&mut rows, "", 0, false);
        assert_eq!(names(&rows)[0], "tcp:10.0.10.100:80");
        arrange(&mut rows, "", 0, true);
        assert_eq!(names(&rows)[0], "udp:10.0.10.100:53");
        arrange(&mut rows, "UDP", 0, true);
        assert_eq!(names(&rows), ["udp:10.0.10.100:53"]);
    }

    #[test]
    fn servers_are_those_of_their_service() {
        let now = sample(Instant::now(), 1);
        let of = Some("tcp:10.0.10.100:80".to_owned());
        let rows = View::Servers(of).rows(None, &now);
        assert_eq!(names(&rows).len(), 2);
        assert_eq!(rows[0].mood, Mood::Plain);
        assert_eq!(rows[1].mood, Mood::Bad, "not resolved");
        assert_eq!(View::Servers(None).rows(None, &now).len(), 4);
    }
}
