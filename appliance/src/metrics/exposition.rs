//! Figures as text, in the two formats of Prometheus: the older one, and OpenMetrics 1.0.
//!
//! Families are written one after the other, and all series of one together. With thousands of real
//! servers it is the labels that take the time: they are made once for each server.

use std::fmt::Write as _;

use super::catalogue::{Family, Kind};

/// How figures are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The text format 0.0.4 of Prometheus.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// The one that the `Accept` header of a request likes best; text where it says nothing.
    pub fn accepted(header: Option<&str>) -> Self {
        let quality = |kind: &str| {
            let of = |range: &str| {
                let mut parts = range.split(';').map(str::trim);
                let is_it = parts.next().is_some_and(|it| it.eq_ignore_ascii_case(kind));
                let weight = parts.find_map(|part| part.strip_prefix("q="));
                is_it.then(|| weight.map_or(1.0, |q| q.parse::<f32>().unwrap_or(0.0)))
            };
            let ranges = header.unwrap_or_default().split(',').filter_map(of);
            ranges.fold(0.0, f32::max)
        };
        let text = quality("text/plain");
        let open = quality("application/openmetrics-text");
        if open > 0.0 && open >= text { Self::OpenMetrics } else { Self::Text }
    }

    /// The value of the `Content-Type` header.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The value of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    Whole(u64),
    Signed(i64),
    Real(f64),
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Whole(value.into())
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::Whole(value as u64)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Signed(value.into())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Whole(value.into())
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

/// Labels of a series as they are written, without braces; made once, used often.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(String);

impl Labels {
    /// None.
    pub const NONE: Self = Self(String::new());

    /// These names and values.
    pub fn of(pairs: &[(&str, &str)]) -> Self {
        let mut text = String::new();
        for (name, value) in pairs {
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(name);
            text.push_str("=\"");
            for letter in value.chars() {
                match letter {
                    '\\' => text.push_str("\\\\"),
                    '"' => text.push_str("\\\""),
                    '\n' => text.push_str("\\n"),
                    other => text.push(other),
                }
            }
            text.push('"');
        }
        Self(text)
    }
}

/// Figures that are being written.
#[derive(Debug)]
pub struct Exposition {
    out: String,
    format: Format,
    family: Option<&'static Family>,
    series: usize,
}

impl Exposition {
    /// Nothing yet.
    pub const fn new(format: Format) -> Self {
        Self { out: String::new(), format, family: None, series: 0 }
    }

    /// Makes room for so many more series.
    pub fn reserve(&mut self, series: usize) {
        /// Bytes of a series of a real server, about.
        const SERIES_BYTES: usize = 128;
        self.out.reserve(series.saturating_mul(SERIES_BYTES));
    }

    /// Series that were written.
    pub const fn series(&self) -> usize {
        self.series
    }

    /// The series that follow are of this family.
    pub fn family(&mut self, family: &'static Family) {
        self.family = Some(family);
        let (name, kind, unit) = match self.format {
            Format::Text if family.kind == Kind::Info => (family.name, Kind::Gauge, None),
            Format::Text => (family.name, family.kind, None),
            Format::OpenMetrics => (family.base(), family.kind, family.unit()),
        };
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(self.out, "# HELP {name} {}", family.help);
        let _ = writeln!(self.out, "# TYPE {name} {}", kind.name());
        if let Some(unit) = unit {
            let _ = writeln!(self.out, "# UNIT {name} {unit}");
        }
    }

    /// A series of the family.
    pub fn sample(&mut self, labels: &Labels, value: impl Into<Value>) {
        self.line("", labels, "", value.into());
    }

    /// A family of one series without labels.
    pub fn single(&mut self, family: &'static Family, value: impl Into<Value>) {
        self.family(family);
        self.sample(&Labels::NONE, value);
    }

    /// A histogram of the family. Each bucket has a limit and the number of observations up to it.
    pub fn histogram(&mut self, labels: &Labels, buckets: &[(f64, u64)], sum: f64, count: u64) {
        for (limit, observed) in buckets {
            self.line("_bucket", labels, &format!("{limit:?}"), Value::Whole(*observed));
        }
        self.line("_bucket", labels, "+Inf", Value::Whole(count));
        self.line("_sum", labels, "", Value::Real(sum));
        self.line("_count", labels, "", Value::Whole(count));
    }

    fn line(&mut self, suffix: &str, Labels(labels): &Labels, limit: &str, value: Value) {
        let Some(family) = self.family else { return };
        self.series += 1;
        let out = &mut self.out;
        out.push_str(family.name);
        out.push_str(suffix);
        if !labels.is_empty() || !limit.is_empty() {
            out.push('{');
            out.push_str(labels);
            if !limit.is_empty() {
                let comma = if labels.is_empty() { "" } else { "," };
                let _ = write!(out, "{comma}le=\"{limit}\"");
            }
            out.push('}');
        }
        let _ = match value {
            Value::Whole(value) => writeln!(out, " {value}"),
            Value::Signed(value) => writeln!(out, " {value}"),
            Value::Real(value) if value == f64::INFINITY => writeln!(out, " +Inf"),
            Value::Real(value) if value == f64::NEG_INFINITY => writeln!(out, " -Inf"),
            Value::Real(value) => writeln!(out, " {value}"),
        };
    }

    /// All that was written.
    pub fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.out.push_str("# EOF\n");
        }
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::{BUILD_INFO, COMMAND_SECONDS, PORT_RX_BYTES, SERVER_WEIGHT};
    use super::*;

    fn written(format: Format) -> String {
        let mut out = Exposition::new(format);
        out.family(&BUILD_INFO);
        out.sample(&Labels::of(&[("version", "1\\2\"3\n"), ("dpdk", "é")]), 1_u64);
        out.family(&PORT_RX_BYTES);
        out.sample(&Labels::of(&[("port", "lan0")]), u64::MAX);
        out.family(&SERVER_WEIGHT);
        out.sample(&Labels::NONE, -1);
        out.family(&COMMAND_SECONDS);
        out.histogram(&Labels::NONE, &[(0.5, 1), (1.0, 3)], 2.25, 4);
        assert_eq!(out.series(), 8);
        out.finish()
    }

    #[test]
    fn the_older_format_is_written() {
        assert_eq!(
            written(Format::Text),
            "# HELP sluice_build_info Versions of the director and of its DPDK.\n\
             # TYPE sluice_build_info gauge\n\
             sluice_build_info{version=\"1\\\\2\\\"3\\n\",dpdk=\"é\"} 1\n\
             # HELP sluice_port_receive_bytes_total Their bytes.\n\
             # TYPE sluice_port_receive_bytes_total counter\n\
             sluice_port_receive_bytes_total{port=\"lan0\"} 18446744073709551615\n\
             # HELP sluice_server_weight Weight; 0 takes no new connections.\n\
             # TYPE sluice_server_weight gauge\n\
             sluice_server_weight -1\n\
             # HELP sluice_control_command_duration_seconds \
             Time that the control socket's requests took.\n\
             # TYPE sluice_control_command_duration_seconds histogram\n\
             sluice_control_command_duration_seconds_bucket{le=\"0.5\"} 1\n\
             sluice_control_command_duration_seconds_bucket{le=\"1.0\"} 3\n\
             sluice_control_command_duration_seconds_bucket{le=\"+Inf\"} 4\n\
             sluice_control_command_duration_seconds_sum 2.25\n\
             sluice_control_command_duration_seconds_count 4\n"
        );
    }

    #[test]
    fn openmetrics_has_its_own_names_units_and_end() {
        let text = written(Format::OpenMetrics);
        for line in [
            "# TYPE sluice_build info\nsluice_build_info{",
            "# TYPE sluice_port_receive_bytes counter\n# UNIT sluice_port_receive_bytes bytes\n\
             sluice_port_receive_bytes_total{",
            "# UNIT sluice_control_command_duration_seconds seconds\n",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
        assert!(text.ends_with("_count 4\n# EOF\n"));
    }

    #[test]
    fn the_format_is_what_the_client_likes_best() {
        let of_prometheus = "application/openmetrics-text;version=1.0.0,\
                             application/openmetrics-text;version=0.0.1;q=0.75,\
                             text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (header, format) in [
            (None, Format::Text),
            (Some("*/*"), Format::Text),
            (Some(""), Format::Text),
            (Some(of_prometheus), Format::OpenMetrics),
            (Some("text/plain, application/openmetrics-text;q=0.5"), Format::Text),
            (Some("application/openmetrics-text;q=0"), Format::Text),
            (Some("application/openmetrics-text; q=nonsense"), Format::Text),
            (Some("APPLICATION/OPENMETRICS-TEXT"), Format::OpenMetrics),
        ] {
            assert_eq!(Format::accepted(header), format, "{header:?}");
        }
    }
}
