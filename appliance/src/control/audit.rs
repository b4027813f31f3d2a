//! The audit log: who changed what, when, and what came of it. One JSON object a line.
//!
//! Lines are made and written outside of the director's lock, when the change has been published
//! and before its answer is sent: whoever has the answer finds the line. A file is opened again
//! where it was renamed or removed, so that logrotate needs no signal. What cannot be written is
//! lost, counted, and said once.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use lb_core::ipvsadm::{self, Command, Reply};
use lb_core::netlink::{Change, Errno};
use serde::Serialize;
use signal_hook::low_level::siginfo::Process;

use super::asker::Asker;
use super::permissions::user_name;
use super::protocol::{self, Answer};
use crate::config::AuditTarget;
use crate::lock::lock;
use crate::logging;

/// Bytes of lines that wait to be written together.
const TOGETHER: usize = 64 << 10;
/// Bytes of a request's input that a line shows.
const INPUT_SHOWN: usize = 64 << 10;
/// Lines about refusals in each second: who may not change anything cannot fill a disk either.
const REFUSALS_PER_SECOND: u32 = 20;
/// Only root and the group may read a log: it names people.
const FILE_MODE: u32 = 0o640;

/// By which way a change came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Door {
    Control,
    Netlink,
    Signal,
    /// The director's own start.
    Start,
}

/// Who did it. What is not known is left out.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Who {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
}

/// A line of the log.
#[derive(Debug, Serialize)]
struct Entry<'a> {
    time: String,
    door: Door,
    #[serde(flatten)]
    who: &'a Who,
    command: &'a str,
    /// What was read behind the command: a line of `-R`.
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<&'a str>,
    #[serde(flatten)]
    result: Result<'a>,
    /// Refusals before this one that have no line.
    #[serde(skip_serializing_if = "is_zero")]
    suppressed: u64,
}

/// What came of it: an exit code, or an error number of the kernel's protocol; 0 is success.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Result<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    exit: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errno: Option<i32>,
    #[serde(skip_serializing_if = "str::is_empty")]
    error: &'a str,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The log.
#[derive(Debug)]
pub struct Audit {
    /// `None`: nothing is written down.
    log: Option<Mutex<Log>>,
    refusals: Mutex<Refusals>,
}

impl Audit {
    /// A log that goes there. That a file cannot be opened is said, and keeps nobody from working.
    pub fn to(target: &AuditTarget) -> Self {
        let log = match target {
            AuditTarget::Off => None,
            AuditTarget::Stderr => Some(Log::Stderr),
            AuditTarget::File(path) => Some(Log::File(LogFile::new(path.clone()))),
        };
        let audit = Self { log: log.map(Mutex::new), refusals: Mutex::default() };
        // A path that leads nowhere is found at the start, not at the first change.
        audit.write(b"");
        audit
    }

    /// Lines about what somebody does on one connection.
    pub fn entries<'a>(&'a self, door: Door, asker: &'a Asker) -> Entries<'a> {
        Entries { audit: self, door, asker, who: None, lines: Vec::new() }
    }

    /// Writes down what did not come over a socket.
    pub fn write_down(&self, door: Door, who: &Who, command: &str) {
        if self.log.is_none() {
            return;
        }
        let mut line = Vec::new();
        push(&mut line, door, who, command, None, Result::default(), 0);
        self.write(&line);
    }

    /// The same, with what came of it.
    pub fn write_result(&self, door: Door, who: &Who, command: &str, exit: i32, error: &str) {
        if self.log.is_none() {
            return;
        }
        let mut line = Vec::new();
        let result = Result { exit: Some(exit), error, ..Result::default() };
        push(&mut line, door, who, command, None, result, 0);
        self.write(&line);
    }

    fn write(&self, lines: &[u8]) {
        if let Some(log) = &self.log {
            lock(log).write(lines);
        }
    }
}

impl Who {
    /// This process.
    pub fn oneself() -> Self {
        let pid = i32::try_from(std::process::id()).ok();
        let uid = nix::unistd::Uid::effective().as_raw();
        let gid = nix::unistd::Gid::effective().as_raw();
        Self { gid: Some(gid), ..Self::sender(pid, Some(uid)) }
    }

    /// Who sent a signal.
    pub fn sender_of(process: Option<Process>) -> Self {
        let pid = process.map(|sender| sender.pid).filter(|&pid| pid != 0);
        Self::sender(pid, process.map(|sender| sender.uid))
    }

    /// A process of which no more is known.
    pub fn sender(pid: Option<i32>, uid: Option<u32>) -> Self {
        let program = pid.map(super::asker::program).filter(|program| !program.is_empty());
        Self { uid, user: uid.and_then(user_name), gid: None, pid, program }
    }

    fn of(asker: &Asker) -> Self {
        Self {
            uid: Some(asker.uid),
            user: asker.user().map(str::to_owned),
            gid: Some(asker.gid),
            pid: Some(asker.pid),
            program: Some(asker.program.clone()).filter(|program| !program.is_empty()),
        }
    }
}

/// Lines about one connection that wait to be written.
#[derive(Debug)]
pub struct Entries<'a> {
    audit: &'a Audit,
    door: Door,
    asker: &'a Asker,
    /// Looked up for the first line.
    who: Option<Who>,
    lines: Vec<u8>,
}

impl Entries<'_> {
    /// A request that changes something, with its input, and its answer.
    pub fn add(&mut self, words: &[String], input: Option<&[u8]>, answer: &Answer) {
        let input = input.map(|input| &input[..input.len().min(INPUT_SHOWN)]);
        let input = input.map(String::from_utf8_lossy);
        let result =
            Result { exit: Some(answer.exit), error: answer.stderr.trim_end(), errno: None };
        self.push(&shown(words), input.as_deref(), result, 0);
    }

    /// A request that whoever asks may not make.
    pub fn add_refused(&mut self, words: &[String], answer: &Answer) {
        if let Some(suppressed) = self.admit_refusal() {
            let (exit, error) = (Some(answer.exit), answer.stderr.trim_end());
            self.push(&shown(words), None, Result { exit, error, errno: None }, suppressed);
        }
    }

    /// A line of a restore that changes something, and what the director said.
    pub fn add_line(&mut self, words: &[String], command: &Command, reply: &Reply) {
        if self.audit.log.is_none() {
            return;
        }
        let Some(line) = ipvsadm::line(command) else { return };
        let (exit, error) = match reply {
            Reply::Refused(error) => (255, error.to_string()),
            _ => (0, String::new()),
        };
        let result = Result { exit: Some(exit), error: &error, errno: None };
        self.push(&shown(words), Some(&line), result, 0);
    }

    /// A message of the kernel's protocol that changes something.
    pub fn add_change(&mut self, change: &Change) {
        let number = change.result.map_or_else(|Errno(number)| number, |()| 0);
        let suppressed =
            if change.result == Err(Errno::EPERM) { self.admit_refusal() } else { Some(0) };
        let Some(suppressed) = suppressed else { return };
        let error = if number == 0 { String::new() } else { error_text(number) };
        let result = Result { errno: Some(number), error: &error, exit: None };
        self.push(&change.command, None, result, suppressed);
    }

    /// Writes what waits.
    pub fn write(&mut self) {
        if !self.lines.is_empty() {
            self.audit.write(&self.lines);
            self.lines.clear();
        }
    }

    fn admit_refusal(&self) -> Option<u64> {
        lock(&self.audit.refusals).admit(Instant::now())
    }

    fn push(&mut self, command: &str, input: Option<&str>, result: Result<'_>, suppressed: u64) {
        if self.audit.log.is_none() {
            return;
        }
        let who = self.who.get_or_insert_with(|| Who::of(self.asker));
        push(&mut self.lines, self.door, who, command, input, result, suppressed);
        if self.lines.len() >= TOGETHER {
            self.write();
        }
    }
}

fn push(
    lines: &mut Vec<u8>,
    door: Door,
    who: &Who,
    command: &str,
    input: Option<&str>,
    result: Result<'_>,
    suppressed: u64,
) {
    let time = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
    let entry = Entry { time, door, who, command, input, result, suppressed };
    // Text and numbers have a JSON form, and a vector takes all.
    if serde_json::to_writer(&mut *lines, &entry).is_ok() {
        lines.push(b'\n');
    }
}

/// The words of a request as one line, the program's name first.
fn shown(words: &[String]) -> String {
    let words = without_surroundings(words);
    let line = protocol::encode(&words);
    match words.first().map(String::as_str) {
        Some("ipvsadm" | "sluicectl") => line,
        Some(first) if first.starts_with('-') => format!("ipvsadm {line}"),
        _ => format!("sluicectl {line}"),
    }
}

/// The words without those that say where the program talks to, and how its terminal looks.
fn without_surroundings(words: &[String]) -> Vec<String> {
    let mut kept = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--socket" => drop(words.next()),
            "--colour" => {}
            word if word.starts_with("--socket=") => {}
            word => kept.push(word.to_owned()),
        }
    }
    kept
}

/// What the C library calls an error.
fn error_text(number: i32) -> String {
    let text = io::Error::from_raw_os_error(number).to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// How many refusals there were in this second.
#[derive(Debug, Default)]
struct Refusals {
    since: Option<Instant>,
    lines: u32,
    suppressed: u64,
}

impl Refusals {
    /// Whether one more may have a line; then, how many before it had none.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        let is_new = |since| now.duration_since(since) >= Duration::from_secs(1);
        if self.since.is_none_or(is_new) {
            self.since = Some(now);
            self.lines = 0;
        }
        if self.lines >= REFUSALS_PER_SECOND {
            self.suppressed += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[derive(Debug)]
enum Log {
    Stderr,
    File(LogFile),
}

impl Log {
    fn write(&mut self, lines: &[u8]) {
        match self {
            // There is nobody to tell.
            Self::Stderr => drop(io::stderr().write_all(lines)),
            Self::File(file) => file.write(lines),
        }
    }
}

/// A file that is appended to, whichever file has its name.
#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    /// With its device and number.
    open: Option<(File, u64, u64)>,
    /// The last line in it may have no end.
    is_cut: bool,
    /// Lines that could not be written, since it was said.
    lost: Option<usize>,
}

impl LogFile {
    const fn new(path: PathBuf) -> Self {
        Self { path, open: None, is_cut: false, lost: None }
    }

    fn write(&mut self, lines: &[u8]) {
        let count = lines.iter().filter(|&&byte| byte == b'\n').count();
        let written = self.try_write(lines);
        let path = self.path.display();
        match (written, self.lost) {
            (Ok(()), None) => {}
            (Ok(()), Some(lost)) => {
                log::info!(target: logging::AUDIT, "{path} is written again; {lost} lines are lost");
                self.lost = None;
            }
            (Err(problem), None) => {
                log::error!(target: logging::AUDIT, "{path} cannot be written: {problem}");
                self.lost = Some(count);
            }
            (Err(_), Some(lost)) => self.lost = Some(lost + count),
        }
    }

    fn try_write(&mut self, lines: &[u8]) -> io::Result<()> {
        let named = fs::metadata(&self.path).ok().map(|found| (found.dev(), found.ino()));
        let is_open = |(_, dev, ino): &(File, u64, u64)| named == Some((*dev, *ino));
        if !self.open.as_ref().is_some_and(is_open) {
            // The old one may be out of reach, and must not get more lines.
            self.open = None;
            self.open = Some(open(&self.path)?);
            self.is_cut = false;
        }
        let Some((file, ..)) = &mut self.open else { return Ok(()) };
        if self.is_cut {
            file.write_all(b"\n")?;
            self.is_cut = false;
        }
        let written = file.write_all(lines);
        self.is_cut = written.is_err();
        written
    }
}

fn open(path: &PathBuf) -> io::Result<(File, u64, u64)> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let file = OpenOptions::new().create(true).append(true).mode(FILE_MODE).open(path)?;
    let metadata = file.metadata()?;
    Ok((file, metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let name = format!("sluice-audit-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_log_follows_its_name() {
        let folder = folder("rotation");
        let path = folder.join("further").join("audit.log");
        let audit = Audit::to(&AuditTarget::File(path.clone()));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, FILE_MODE);
        let text = |path: &PathBuf| fs::read_to_string(path).unwrap();
        audit.write(b"one\n");
        let rotated = path.with_extension("log.1");
        fs::rename(&path, &rotated).unwrap();
        audit.write(b"two\n");
        fs::remove_file(&path).unwrap();
        audit.write(b"three\n");
        audit.write(b"four\n");
        assert_eq!((text(&rotated), text(&path)), ("one\n".into(), "three\nfour\n".into()));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_log_that_cannot_be_written_loses_lines_and_nothing_else() {
        let folder = folder("lost");
        let path = folder.join("audit.log");
        // A device that is always full.
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let mut file = LogFile::new(path.clone());
        file.write(b"one\ntwo\n");
        file.write(b"three\n");
        assert_eq!(file.lost, Some(3));
        fs::remove_file(&path).unwrap();
        file.write(b"four\n");
        assert_eq!((file.lost, fs::read_to_string(&path).unwrap()), (None, "four\n".to_owned()));
        // A file where a folder should be.
        let mut file = LogFile::new(path.join("x"));
        file.write(b"five\n");
        assert_eq!(file.lost, Some(1));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_line_says_who_what_and_what_came_of_it() {
        let mut line = Vec::new();
        let who =
            Who { uid: Some(7), pid: Some(9), program: Some("a\"b".into()), ..Who::default() };
        let result = Result { exit: Some(255), error: "No such service", errno: None };
        push(&mut line, Door::Control, &who, "ipvsadm -C", Some("x\ny"), result, 3);
        let text = String::from_utf8(line).unwrap();
        let (time, rest) = text.split_once("Z\"").unwrap();
        assert_eq!(time.len(), "{\"time\":\"2026-01-02T03:04:05.678".len(), "{text}");
        let expected = ",\"door\":\"control\",\"uid\":7,\"pid\":9,\"program\":\"a\\\"b\",\
                        \"command\":\"ipvsadm -C\",\"input\":\"x\\ny\",\"exit\":255,\
                        \"error\":\"No such service\",\"suppressed\":3}\n";
        assert_eq!(rest, expected);
        assert_eq!(error_text(17), "File exists");
    }

    #[test]
    fn commands_carry_the_programs_name() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(shown(&words("-A -t a:1")), "ipvsadm -A -t a:1");
        assert_eq!(shown(&words("ipvsadm -C")), "ipvsadm -C");
        assert_eq!(shown(&words("sluicectl --colour vips add ::1")), "sluicectl vips add ::1");
        let socket = "sluicectl --socket /a/b vips add ::1 --socket=/c";
        assert_eq!(shown(&words(socket)), "sluicectl vips add ::1");
        assert_eq!(shown(&["vips".into(), "a b".into()]), "sluicectl vips a\\sb");
    }

    #[test]
    fn refusals_have_so_many_lines_a_second() {
        let mut refusals = Refusals::default();
        let now = Instant::now();
        let admitted = (0..100).filter(|_| refusals.admit(now).is_some()).count();
        assert_eq!(admitted, 20);
        assert_eq!(refusals.admit(now + Duration::from_secs(1)), Some(80));
        assert_eq!(refusals.admit(now + Duration::from_secs(1)), Some(0));
    }
}
