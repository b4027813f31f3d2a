//! The session log: a JSON line for each connection that has ended.
//!
//! Who ends a connection puts it into a bounded queue of the core and goes on; a thread of its own
//! takes it out, finds the names, and writes. What finds no room in the queue, and what is more
//! than so many lines a second, is counted and left out.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use lb_core::clock::{TICKS_PER_SECOND, Tick};
use lb_core::closings::Closing;
use lb_core::control::{Control, SlotOwner};
use lb_core::director::Director;
use lb_core::protocol::Protocol;
use lb_core::slots::DestinationId;
use serde::Serialize;

use crate::clock::TickClock;
use crate::config::{AuditTarget, SessionLogConfig};
use crate::control::log_file::Log;
use crate::lock::lock;

/// Connections that wait to be written.
const WAITING_MAX: usize = 16 << 10;
/// How often the queue is emptied.
const ROUND: Duration = Duration::from_millis(200);

/// A line.
#[derive(Debug, Serialize)]
struct Line<'a> {
    begin: String,
    end: String,
    duration_s: f64,
    protocol: String,
    client: IpAddr,
    client_port: u16,
    virtual_address: IpAddr,
    virtual_port: u16,
    server: IpAddr,
    server_port: u16,
    forward: &'static str,
    /// `None`: gone since, or a connection that bypassed all servers.
    service: Option<&'a str>,
    state: &'static str,
    packets: u16,
    reason: &'static str,
    /// Connections since the start that have no line, those that `sample` leaves out aside.
    left_out: u64,
}

/// How many connections have a line and how many have none, for who asks while it is written.
#[derive(Debug, Default)]
pub struct SessionTally {
    lines: AtomicU64,
    beyond_rate: AtomicU64,
}

/// The same at a moment; all 0 where there is no log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SessionFigures {
    pub lines: u64,
    /// Without a line: not the one in `sample`.
    pub sample: u64,
    /// More than `rate` in their second.
    pub rate: u64,
    /// More than wait to be written.
    pub queue: u64,
}

impl SessionTally {
    /// As it is now; `None` where there is no log.
    pub fn figures(&self, director: &Director) -> Option<SessionFigures> {
        let closings = &director.closings;
        closings.ended().map(|_| SessionFigures {
            lines: self.lines.load(Ordering::Relaxed),
            sample: closings.passed_over(),
            rate: self.beyond_rate.load(Ordering::Relaxed),
            queue: closings.lost(),
        })
    }

    fn left_out(&self, director: &Director) -> u64 {
        self.beyond_rate.load(Ordering::Relaxed) + director.closings.lost()
    }
}

/// The log, on its thread.
#[derive(Debug)]
struct SessionLog {
    log: Log,
    control: Arc<Mutex<Control>>,
    director: Arc<Director>,
    clock: TickClock,
    /// Lines that there may be in this second still, and when it began.
    rate: u32,
    room: u32,
    since: Instant,
    tally: Arc<SessionTally>,
}

/// Starts the log, if the configuration wants one. It ends soon after `is_stopping` is set. What it
/// counts stays 0 where there is none.
///
/// # Errors
///
/// When the system has no thread left.
pub fn start(
    config: &SessionLogConfig,
    control: &Arc<Mutex<Control>>,
    clock: TickClock,
    is_stopping: &Arc<AtomicBool>,
) -> io::Result<(Arc<SessionTally>, Option<JoinHandle<()>>)> {
    let tally = Arc::<SessionTally>::default();
    let mut log = match &config.to {
        AuditTarget::Off => return Ok((tally, None)),
        AuditTarget::Stderr => Log::Stderr,
        AuditTarget::File(path) => Log::file("session log", path),
    };
    // A path that leads nowhere is found at the start.
    log.write(b"");
    let director = Arc::clone(lock(control).director());
    director.closings.start(config.sample, WAITING_MAX);
    let mut log = SessionLog {
        log,
        control: Arc::clone(control),
        director,
        clock,
        rate: config.rate,
        room: config.rate,
        since: Instant::now(),
        tally: Arc::clone(&tally),
    };
    let is_stopping = Arc::clone(is_stopping);
    let work = move || {
        while !is_stopping.load(Ordering::Relaxed) {
            log.write_down();
            thread::sleep(ROUND);
        }
        log.write_down();
    };
    let thread = thread::Builder::new().name("session-log".to_owned()).spawn(work)?;
    Ok((tally, Some(thread)))
}

impl SessionLog {
    /// Writes what waits.
    fn write_down(&mut self) {
        let Some(mut closing) = self.director.closings.next() else { return };
        let owners = names(lock(&self.control).owners_of_slots());
        let (now, wall) = (self.clock.now(), SystemTime::now());
        let mut lines = Vec::new();
        loop {
            if self.admit() {
                let left_out = self.tally.left_out(&self.director);
                let line = line(&closing, &owners, (now, wall), left_out);
                // Numbers and text: there is nothing that JSON could refuse.
                if serde_json::to_writer(&mut lines, &line).is_ok() {
                    lines.push(b'\n');
                    self.tally.lines.fetch_add(1, Ordering::Relaxed);
                }
            } else {
                self.tally.beyond_rate.fetch_add(1, Ordering::Relaxed);
            }
            match self.director.closings.next() {
                Some(next) => closing = next,
                None => break,
            }
        }
        if !lines.is_empty() {
            self.log.write(&lines);
        }
    }

    /// Whether there may be one more line now.
    fn admit(&mut self) -> bool {
        if self.since.elapsed() >= Duration::from_secs(1) {
            (self.since, self.room) = (Instant::now(), self.rate);
        }
        let has_room = self.room > 0;
        self.room -= u32::from(has_room);
        has_room
    }
}

fn names(owners: HashMap<DestinationId, SlotOwner>) -> HashMap<DestinationId, String> {
    owners.into_iter().map(|(slot, owner)| (slot, owner.service.to_string())).collect()
}

fn line<'a>(
    closing: &Closing,
    owners: &'a HashMap<DestinationId, String>,
    (now, wall): (Tick, SystemTime),
    left_out: u64,
) -> Line<'a> {
    let key = &closing.key;
    // Whole seconds are too coarse for what lives shortly.
    let ticks = now.0.wrapping_sub(closing.created.0);
    let duration_s = f64::from(ticks) / f64::from(TICKS_PER_SECOND);
    let protocol = Protocol::from_number(key.protocol);
    Line {
        begin: time(wall - Duration::from_secs_f64(duration_s)),
        end: time(wall),
        duration_s,
        protocol: protocol.map_or_else(|| key.protocol.to_string(), |it| it.name().to_lowercase()),
        client: key.client.to_ip(),
        client_port: key.client_port,
        virtual_address: key.virtual_address.to_ip(),
        virtual_port: key.virtual_port,
        server: closing.server.to_ip(),
        server_port: closing.server_port,
        forward: closing.method.name(),
        service: owners.get(&closing.destination).map(String::as_str),
        state: closing.state,
        packets: closing.packets,
        reason: closing.ending.name(),
        left_out,
    }
}

fn time(at: SystemTime) -> String {
    humantime::format_rfc3339_millis(at).to_string()
}
