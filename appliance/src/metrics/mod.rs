//! Figures for Prometheus over HTTP, and the status page (see `docs/metrics.md`).
//!
//! ```text
//! counters of workers ─┐                       ┌─► write.rs ─► exposition.rs ─► /metrics
//! control plane, ports ┼─► figures.rs, copied ─┤
//! flow table, a sample ┘     at each request   └─► status page
//! requests, reloads ─────► tally.rs, counted where they happen ─► exposition.rs
//! ```
//!
//! Nothing is collected while nobody asks. What there is to be served stands in one list,
//! `catalogue.rs`.
//!
//! The crate `prometheus` counts what is counted outside of the packet path (`tally.rs`). Workers'
//! counters and real servers do not go through it: its values are objects with labels of their own,
//! of which 10,000 servers would need 140,000 at each request; and it does not write OpenMetrics.

pub mod catalogue;
pub mod door;
pub mod exposition;
pub mod figures;
pub mod http;
pub mod status;
pub mod tally;
pub mod write;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::control::command::Commands;
use crate::lock::lock;
use catalogue as of;
use exposition::{Exposition, Format, Labels};
use figures::Figures;
use status::Document;
use tally::Tally;
use write::Limits;

/// A worker that does not come round within that is not well: it sleeps for a second at most.
const ROUND_TIME: Duration = Duration::from_secs(2);

/// What figures are taken from.
#[derive(Debug)]
pub struct Exporter {
    commands: Arc<Commands>,
    limits: Limits,
    turn: AtomicUsize,
    started_ms: u64,
}

impl Exporter {
    /// Of a running director.
    pub fn new(commands: Arc<Commands>, limits: Limits) -> Self {
        let (turn, started_ms) = (AtomicUsize::new(0), status::now_ms());
        Self { commands, limits, turn, started_ms }
    }

    /// The figures as they are now.
    pub fn figures(&self) -> Figures {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        Figures::take(&self.commands, turn)
    }

    /// What is counted where it happens.
    pub fn tally(&self) -> &Tally {
        &self.commands.tally
    }

    /// What stands still: a worker that does not come round, the main thread.
    pub fn unwell(&self) -> Option<String> {
        let control = lock(&self.commands.control);
        let director = Arc::clone(control.director());
        drop(control);
        if !self.commands.pulse.is_alive(self.commands.about.clock.now()) {
            return Some("the main thread's rounds stand still".to_owned());
        }
        let epoch = director.epochs.advance();
        let end = Instant::now() + ROUND_TIME;
        while director.epochs.passed() < epoch {
            if Instant::now() > end {
                return Some(format!("a worker has not come round within {ROUND_TIME:?}"));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        None
    }

    /// Why the director should get no traffic: ports without a link.
    pub fn unready(&self) -> Option<String> {
        let down: Vec<_> =
            self.commands.ports.rows().into_iter().filter(|port| !port.is_up).collect();
        let names: Vec<_> = down.iter().map(|port| port.name.as_str()).collect();
        (!down.is_empty()).then(|| format!("no link: {}", names.join(", ")))
    }

    /// What the status page shows, as JSON.
    pub fn status(&self) -> String {
        let figures = self.figures();
        let about = &self.commands.about;
        let document = Document::of(&figures, about, self.started_ms, self.limits.servers);
        // Text and numbers have a JSON form.
        serde_json::to_string(&document).unwrap_or_default()
    }

    /// All metrics as text.
    pub fn metrics(&self, format: Format) -> String {
        let begin = Instant::now();
        let figures = self.figures();
        let took = begin.elapsed();
        let mut out = Exposition::new(format);
        let about = &self.commands.about;
        out.family(&of::BUILD_INFO);
        let versions = [("version", &*about.version), ("dpdk", &*about.dpdk_version)];
        out.sample(&Labels::of(&versions), true);
        write::write_rest(&figures, &mut out);
        self.commands.tally.write(&mut out);
        let omitted = write::write_services(&figures.services, self.limits, &mut out);
        out.single(&of::SCRAPE_SECONDS, took.as_secs_f64());
        out.single(&of::SERIES_OMITTED, omitted);
        let series = out.series() + 1;
        out.single(&of::SERIES, series);
        out.finish()
    }
}
