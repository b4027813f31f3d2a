//! What is counted where it happens, outside of the packet path: requests, reloads. And what the
//! system knows of this process. All of it with the crate `prometheus`.

use std::time::{Duration, SystemTime};

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::{Metric, MetricFamily, MetricType};
use prometheus::{Gauge, Histogram, HistogramOpts, IntCounterVec, IntGauge, Opts, Registry};

use super::catalogue::{self, Family};
use super::exposition::{Exposition, Labels};

/// Limits of the buckets for durations of requests, in seconds.
const REQUEST_SECONDS: [f64; 8] = [0.000_1, 0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0];

/// How something ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Ok,
    Refused,
}

impl Ended {
    /// Good or not.
    pub const fn well(good: bool) -> Self {
        if good { Self::Ok } else { Self::Refused }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
        }
    }
}

/// The counters.
#[derive(Clone, Debug)]
pub struct Tally {
    registry: Registry,
    commands: IntCounterVec,
    command_seconds: Histogram,
    reloads: IntCounterVec,
    reload_seconds: Gauge,
    reload_ok: IntGauge,
    reload_ok_time: Gauge,
    requests: IntCounterVec,
}

impl Tally {
    /// Nothing counted yet; the configuration was read just now.
    ///
    /// # Errors
    ///
    /// None with the names of the catalogue.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let counters = |family: &Family| IntCounterVec::new(opts(family), family.labels);
        let seconds = &catalogue::COMMAND_SECONDS;
        let histogram = HistogramOpts::new(seconds.name, seconds.help);
        let tally = Self {
            commands: counters(&catalogue::COMMANDS)?,
            command_seconds: Histogram::with_opts(histogram.buckets(REQUEST_SECONDS.to_vec()))?,
            reloads: counters(&catalogue::RELOADS)?,
            reload_seconds: Gauge::with_opts(opts(&catalogue::RELOAD_SECONDS))?,
            reload_ok: IntGauge::with_opts(opts(&catalogue::RELOAD_OK))?,
            reload_ok_time: Gauge::with_opts(opts(&catalogue::RELOAD_OK_TIME))?,
            requests: counters(&catalogue::HTTP_REQUESTS)?,
            registry,
        };
        let collectors: [Box<dyn Collector>; 8] = [
            Box::new(tally.commands.clone()),
            Box::new(tally.command_seconds.clone()),
            Box::new(tally.reloads.clone()),
            Box::new(tally.reload_seconds.clone()),
            Box::new(tally.reload_ok.clone()),
            Box::new(tally.reload_ok_time.clone()),
            Box::new(tally.requests.clone()),
            Box::new(ProcessCollector::for_self()),
        ];
        for collector in collectors {
            tally.registry.register(collector)?;
        }
        // A series that begins with its first event hides that event from rates.
        for result in [Ended::Ok, Ended::Refused] {
            tally.reloads.with_label_values(&[result.name()]);
        }
        tally.requests.with_label_values(&["/metrics", "200"]);
        tally.reload_ok.set(1);
        tally.reload_ok_time.set(now_s());
        Ok(tally)
    }

    /// A request was answered. The verb is a word of a grammar, never what somebody wrote.
    pub fn command(&self, verb: &str, ended: Ended, took: Duration) {
        self.commands.with_label_values(&[verb, ended.name()]).inc();
        self.command_seconds.observe(took.as_secs_f64());
    }

    /// The configuration was read again.
    pub fn reload(&self, ended: Ended, took: Duration) {
        self.reloads.with_label_values(&[ended.name()]).inc();
        self.reload_seconds.set(took.as_secs_f64());
        self.reload_ok.set((ended == Ended::Ok).into());
        if ended == Ended::Ok {
            self.reload_ok_time.set(now_s());
        }
    }

    /// An HTTP request was answered. The path is one that there is, or `other`.
    pub fn request(&self, path: &str, code: u16) {
        self.requests.with_label_values(&[path, &code.to_string()]).inc();
    }

    /// Writes all of it.
    pub fn write(&self, out: &mut Exposition) {
        for family in self.registry.gather() {
            if let Some(known) = Family::named(family.name()) {
                out.family(known);
                write_family(&family, out);
            }
        }
    }
}

fn opts(family: &Family) -> Opts {
    Opts::new(family.name, family.help)
}

fn now_s() -> f64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

fn write_family(family: &MetricFamily, out: &mut Exposition) {
    for metric in family.get_metric() {
        let pairs = metric.get_label().iter().map(|pair| (pair.name(), pair.value()));
        let labels = Labels::of(&pairs.collect::<Vec<_>>());
        match family.get_field_type() {
            MetricType::COUNTER => out.sample(&labels, metric.get_counter().get_value()),
            MetricType::GAUGE => out.sample(&labels, metric.get_gauge().get_value()),
            MetricType::HISTOGRAM => write_histogram(metric, &labels, out),
            // None of ours.
            MetricType::SUMMARY | MetricType::UNTYPED => {}
        }
    }
}

fn write_histogram(metric: &Metric, labels: &Labels, out: &mut Exposition) {
    let histogram = metric.get_histogram();
    let buckets = histogram.get_bucket().iter();
    let buckets: Vec<_> = buckets.map(|it| (it.upper_bound(), it.cumulative_count())).collect();
    out.histogram(labels, &buckets, histogram.get_sample_sum(), histogram.get_sample_count());
}

#[cfg(test)]
mod tests {
    use super::super::exposition::Format;
    use super::*;

    #[test]
    fn all_that_is_registered_is_in_the_catalogue_and_written() {
        let tally = Tally::new().unwrap();
        tally.command("-A", Ended::Ok, Duration::from_micros(300));
        tally.reload(Ended::Refused, Duration::from_millis(250));
        tally.request("/metrics", 200);
        for family in tally.registry.gather() {
            let known = Family::named(family.name()).unwrap_or_else(|| panic!("{}", family.name()));
            assert_eq!(known.help, family.help(), "{}", known.name);
        }
        let mut out = Exposition::new(Format::Text);
        tally.write(&mut out);
        let text = out.finish();
        for line in [
            "\nsluice_control_commands_total{result=\"ok\",verb=\"-A\"} 1\n",
            "\nsluice_control_command_duration_seconds_bucket{le=\"0.0001\"} 0\n",
            "\nsluice_control_command_duration_seconds_bucket{le=\"0.001\"} 1\n",
            "\nsluice_reloads_total{result=\"ok\"} 0\n",
            "\nsluice_reloads_total{result=\"refused\"} 1\n",
            "\nsluice_reload_last_duration_seconds 0.25\n",
            "\nsluice_reload_last_successful 0\n",
            "\nsluice_metrics_requests_total{code=\"200\",path=\"/metrics\"} 1\n",
            "\nprocess_open_fds ",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}
