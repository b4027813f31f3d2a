//! What the director says of its own accord, on standard error: for people, for the journal, for
//! programs.
//!
//! Each line is of a module of the one list below, whose level can be changed while the director
//! runs (`sluicectl log`). A module says 20 lines a second at most, so that nothing that packets or
//! clients do can fill a disk: further ones are counted, and how many there were is said.
//!
//! ```text
//! sluiced: warning: ports: the link is down port=lan0              on a terminal, in a file
//! <4>sluiced: ports: the link is down port=lan0                    where the journal listens
//! {"time":"...","level":"warning","module":"ports",...}            log.format: json
//! ```
//!
//! Workers say nothing: what they have to say is counted, and others read their counters.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use log::kv::{self, Key, Value, VisitSource};
use log::{Level, LevelFilter, Log, Metadata, Record};
use serde_json::{Map, Value as Json};

use crate::lock::lock;

/// Lines of a module in each second.
const LINES_PER_SECOND: u32 = 20;

/// A part of the director that has something to say.
#[derive(Debug)]
pub struct Module {
    pub name: &'static str,
    /// What about.
    pub meaning: &'static str,
    level: AtomicU8,
    lines: AtomicU64,
    suppressed: AtomicU64,
    pace: Mutex<Pace>,
}

macro_rules! modules {
    ($($constant:ident $name:literal $meaning:literal;)*) => {
        $(#[doc = $meaning] pub const $constant: &str = $name;)*

        /// All modules.
        pub static MODULES: [Module; [$($name),*].len()] = [$(Module::new($name, $meaning),)*];
    };
}

modules! {
    START "start" "what was decided at the start, and why";
    RELOAD "reload" "reloads of the configuration by SIGHUP";
    CONTROL "control" "requests on the control socket (debug), and who is refused";
    PORTS "ports" "links of the ports";
    NEIGHBOURS "neighbours" "real servers and gateways that fall silent, and answer again";
    SERVICES "services" "services that lose their last usable real server, and get one again";
    WORKERS "workers" "workers that stand still, where systemd's watchdog is on";
    FLOWS "flows" "room in the flow table that runs short, and the defence against overload";
    DROPS "drops" "packets dropped, by reason, every ten seconds (debug)";
    METRICS "metrics" "HTTP requests for figures (debug)";
    AUDIT "audit" "an audit or session log that cannot be written";
    DPDK "dpdk" "what DPDK says";
}

/// Lines of this second.
#[derive(Debug)]
struct Pace {
    since: Option<Instant>,
    lines: u32,
    held_back: u64,
}

impl Module {
    const fn new(name: &'static str, meaning: &'static str) -> Self {
        Self {
            name,
            meaning,
            level: AtomicU8::new(Level::Info as u8),
            lines: AtomicU64::new(0),
            suppressed: AtomicU64::new(0),
            pace: Mutex::new(Pace { since: None, lines: 0, held_back: 0 }),
        }
    }

    /// The module of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        MODULES.iter().find(|module| module.name == name)
    }

    /// What is said: lines of this level, and more important ones.
    pub fn level(&self) -> LevelFilter {
        let level = usize::from(self.level.load(Ordering::Relaxed));
        LevelFilter::iter().nth(level).unwrap_or(LevelFilter::Off)
    }

    fn set_level(&self, level: LevelFilter) {
        self.level.store(level as u8, Ordering::Relaxed);
    }

    /// Lines that were said.
    pub fn lines(&self) -> u64 {
        self.lines.load(Ordering::Relaxed)
    }

    /// Lines that were too many.
    pub fn suppressed(&self) -> u64 {
        self.suppressed.load(Ordering::Relaxed)
    }
}

impl Pace {
    /// Whether one more line may be said; then, how many before it were not.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        let is_over = |since| now.duration_since(since) >= Duration::from_secs(1);
        if self.since.is_none_or(is_over) {
            (self.since, self.lines) = (Some(now), 0);
        }
        if self.lines >= LINES_PER_SECOND {
            self.held_back += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.held_back))
    }
}

/// The word for a level, as syslog has it.
pub const fn level_name(level: LevelFilter) -> &'static str {
    match level {
        LevelFilter::Off => "off",
        LevelFilter::Error => "error",
        LevelFilter::Warn => "warning",
        LevelFilter::Info => "info",
        LevelFilter::Debug => "debug",
        LevelFilter::Trace => "trace",
    }
}

/// The level of that name.
fn level_named(name: &str) -> Option<LevelFilter> {
    LevelFilter::iter().find(|level| level_name(*level) == name)
}

/// Levels of all modules, or of some: `warning`, `info,ports=debug`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Levels(Vec<(Option<&'static str>, LevelFilter)>);

impl std::str::FromStr for Levels {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let one = |word: &str| {
            let (module, level) = match word.split_once('=') {
                Some((module, level)) => (Some(module.trim()), level.trim()),
                None => (None, word),
            };
            let module = module.map(|name| {
                let names: Vec<_> = MODULES.iter().map(|module| module.name).collect();
                let known = Module::named(name).map(|module| module.name);
                known.ok_or_else(|| format!("no module `{name}`; there are {}", names.join(", ")))
            });
            let level = level_named(level).ok_or_else(|| {
                let names: Vec<_> = LevelFilter::iter().map(level_name).collect();
                format!("no level `{level}`; there are {}", names.join(", "))
            });
            Ok((module.transpose()?, level?))
        };
        text.split(',').map(str::trim).map(one).collect::<Result<_, String>>().map(Self)
    }
}

impl fmt::Display for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (module, level)) in self.0.iter().enumerate() {
            let comma = if place > 0 { "," } else { "" };
            let equals = module.map_or(String::new(), |module| format!("{module}="));
            write!(f, "{comma}{equals}{}", level_name(*level))?;
        }
        Ok(())
    }
}

impl Levels {
    /// Makes them those of the director, from left to right.
    pub fn apply(&self) {
        for (name, level) in &self.0 {
            let meant = MODULES.iter().filter(|module| name.is_none_or(|it| it == module.name));
            meant.for_each(|module| module.set_level(*level));
        }
        let most = MODULES.iter().map(Module::level).max();
        log::set_max_level(most.unwrap_or(LevelFilter::Off));
    }
}

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    Json,
}

impl Format {
    pub const NAMES: &'static [&'static str] = &["text", "json"];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }

    /// The format of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Text, Self::Json].into_iter().find(|format| format.name() == name)
    }
}

/// The one logger of the process.
#[derive(Debug, Default)]
struct StandardError {
    is_json: AtomicBool,
    is_journal: OnceLock<bool>,
}

static LOGGER: StandardError =
    StandardError { is_json: AtomicBool::new(false), is_journal: OnceLock::new() };

/// From here on lines are said.
pub fn begin(levels: &Levels, format: Format) {
    LOGGER.is_json.store(format == Format::Json, Ordering::Relaxed);
    // Fails where it was begun before, in a test.
    let _ = log::set_logger(&LOGGER);
    levels.apply();
}

impl Log for StandardError {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let module = Module::named(metadata.target());
        module.is_some_and(|module| metadata.level() <= module.level())
    }

    fn log(&self, record: &Record<'_>) {
        let Some(module) = Module::named(record.target()) else { return };
        if record.level() > module.level() {
            return;
        }
        // A reload says all of what it did, and nobody but the operator causes one.
        let is_paced = !matches!(module.name, START | RELOAD);
        let admitted = if is_paced { lock(&module.pace).admit(Instant::now()) } else { Some(0) };
        let Some(held_back) = admitted else {
            module.suppressed.fetch_add(1, Ordering::Relaxed);
            return;
        };
        module.lines.fetch_add(1, Ordering::Relaxed);
        let line = if self.is_json.load(Ordering::Relaxed) {
            json(record, held_back)
        } else {
            text(record, held_back, *self.is_journal.get_or_init(is_journal))
        };
        // There is nobody to tell.
        let _ = io::stderr().write_all(line.as_bytes());
    }

    fn flush(&self) {}
}

/// Whether standard error is the journal's socket (systemd.exec(5), `$JOURNAL_STREAM`).
fn is_journal() -> bool {
    let named = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    let stderr = std::fs::metadata("/proc/self/fd/2");
    stderr.is_ok_and(|it| named == format!("{}:{}", it.dev(), it.ino()))
}

fn text(record: &Record<'_>, held_back: u64, for_journal: bool) -> String {
    // The priorities of syslog(3).
    let (priority, level) = match record.level() {
        Level::Error => (3, "error: "),
        Level::Warn => (4, "warning: "),
        Level::Info => (6, ""),
        Level::Debug | Level::Trace => (7, "debug: "),
    };
    let (priority, level) =
        if for_journal { (format!("<{priority}>"), "") } else { (String::new(), level) };
    let mut fields = Fields(String::new());
    // Writing to a String cannot fail, here and below.
    let _ = record.key_values().visit(&mut fields);
    if held_back > 0 {
        let _ = write!(fields.0, " suppressed={held_back}");
    }
    let message = record.args().to_string();
    // One line, whatever somebody put into it.
    let message = message.trim_end().replace(|c: char| c.is_control(), " ");
    format!("{priority}sluiced: {level}{}: {message}{}\n", record.target(), fields.0)
}

/// Fields as ` name=value`, in quotes where a value has spaces.
struct Fields(String);

impl<'kvs> VisitSource<'kvs> for Fields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        let value = value.to_string();
        let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && !"\"=".contains(c);
        let _ = if !value.is_empty() && value.chars().all(is_plain) {
            write!(self.0, " {key}={value}")
        } else {
            write!(self.0, " {key}={}", Json::String(value))
        };
        Ok(())
    }
}

fn json(record: &Record<'_>, held_back: u64) -> String {
    let mut object = Map::new();
    let time = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
    object.insert("time".to_owned(), time.into());
    let level = level_name(record.level().to_level_filter());
    object.insert("level".to_owned(), level.into());
    object.insert("module".to_owned(), record.target().into());
    object.insert("message".to_owned(), record.args().to_string().trim_end().into());
    let mut fields = JsonFields(object);
    let _ = record.key_values().visit(&mut fields);
    if held_back > 0 {
        fields.0.insert("suppressed".to_owned(), held_back.into());
    }
    format!("{}\n", Json::Object(fields.0))
}

struct JsonFields(Map<String, Json>);

impl<'kvs> VisitSource<'kvs> for JsonFields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        let json = match (value.to_u64(), value.to_bool()) {
            (Some(number), _) => number.into(),
            (_, Some(truth)) => truth.into(),
            _ => value.to_string().into(),
        };
        self.0.insert(key.to_string(), json);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(level: Level, message: &str, show: impl Fn(&Record<'_>) -> String) -> String {
        let fields = [("port", Value::from("lan 0\n")), ("count", Value::from(7))];
        show(
            &Record::builder()
                .level(level)
                .target(PORTS)
                .args(format_args!("{message}"))
                .key_values(&fields)
                .build(),
        )
    }

    #[test]
    fn lines_have_a_level_a_module_and_fields() {
        let plain = record(Level::Warn, "the link\nis down", |it| text(it, 0, false));
        assert_eq!(plain, "sluiced: warning: ports: the link is down port=\"lan 0\\n\" count=7\n");
        let journal = record(Level::Info, "up", |it| text(it, 3, true));
        assert_eq!(journal, "<6>sluiced: ports: up port=\"lan 0\\n\" count=7 suppressed=3\n");
        let line = record(Level::Error, "x\"y", |it| json(it, 0));
        let read: Json = serde_json::from_str(&line).unwrap();
        assert_eq!(read["level"], "error");
        assert_eq!(read["message"], "x\"y");
        assert_eq!(read["port"], "lan 0\n");
        assert_eq!(read["count"], 7);
    }

    #[test]
    fn a_module_says_so_much_a_second() {
        let mut pace = Pace { since: None, lines: 0, held_back: 0 };
        let begin = Instant::now();
        for _ in 0..LINES_PER_SECOND {
            assert_eq!(pace.admit(begin), Some(0));
        }
        assert_eq!(pace.admit(begin), None);
        assert_eq!(pace.admit(begin + Duration::from_millis(999)), None);
        assert_eq!(pace.admit(begin + Duration::from_secs(1)), Some(2));
        assert_eq!(pace.admit(begin + Duration::from_secs(1)), Some(0));
    }

    #[test]
    fn levels_are_read_and_shown() {
        for text in ["warning", "info,ports=debug", "off,neighbours=trace,dpdk=error"] {
            assert_eq!(text.parse::<Levels>().unwrap().to_string(), text);
        }
        let problem = |text: &str| text.parse::<Levels>().unwrap_err();
        assert!(problem("loud").starts_with("no level `loud`; there are off, error, warning,"));
        assert!(problem("nic=info").starts_with("no module `nic`; there are start, reload,"));
        assert!(problem("").starts_with("no level ``"));
        let module = Module::new("x", "y");
        assert_eq!(module.level(), LevelFilter::Info);
        for level in LevelFilter::iter() {
            module.set_level(level);
            assert_eq!(module.level(), level);
        }
    }
}
