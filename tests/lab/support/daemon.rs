//! A daemon of the distribution, as packaged, in a host of the lab.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use super::director::send_signal;
use super::lab::{Lab, eventually};

/// A daemon in a host. It ends with the lab at the latest, by its id; on failure of a test it shows
/// what it has said.
#[derive(Debug)]
pub(crate) struct Daemon<'lab> {
    lab: &'lab Lab,
    name: String,
    log: PathBuf,
}

impl<'lab> Daemon<'lab> {
    /// Starts a program of the distribution. Its output is its log.
    pub(crate) fn start(lab: &'lab Lab, host: &str, program: &str, arguments: &str) -> Self {
        Self::start_by(lab, host, "", program, arguments)
    }

    /// The same by another program, whose arguments end with the daemon's command line.
    pub(crate) fn start_by(
        lab: &'lab Lab,
        host: &str,
        starter: &str,
        program: &str,
        arguments: &str,
    ) -> Self {
        let name = format!("{host}-{program}");
        let path = format!("$(command -v {program} || echo /usr/sbin/{program})");
        let log = lab.dir().join(format!("{name}.log"));
        // What one of that name has said before is nothing to wait for.
        let _was_none = std::fs::remove_file(&log);
        lab.sh(&format!("lab_spawn {host} {name} {starter} {path} {arguments}"));
        Self { lab, name, log }
    }

    /// All that it has said.
    pub(crate) fn messages(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// How often it has said so.
    pub(crate) fn count(&self, text: &str) -> usize {
        self.messages().matches(text).count()
    }

    /// Waits until it has said so.
    pub(crate) fn wait_for(&self, text: &str) {
        self.wait_for_more(text, 0);
    }

    /// Waits until it has said so more than `count` times.
    pub(crate) fn wait_for_more(&self, text: &str, count: usize) {
        let what = format!("{}: {text}", self.name);
        eventually(Duration::from_secs(30), &what, || (self.count(text) > count).then_some(()));
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        let path = self.lab.dir().join(format!("{}.pid", self.name));
        let text = std::fs::read_to_string(path).expect("the lab writes it");
        text.trim().parse().expect("a number")
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        send_signal(self.pid(), name);
    }

    /// Tells it to end, and waits until it has done so by itself.
    pub(crate) fn stop(&self) {
        self.signal("TERM");
        self.lab.sh(&format!("lab_wait 20 lab_gone {}", self.pid()));
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("-- {}\n{}", self.name, self.messages());
        }
    }
}

/// A file of a daemon; what `lab_spawn` makes has other names.
pub(crate) fn file_of(lab: &Lab, host: &str, name: &str) -> PathBuf {
    lab.dir().join(format!("{host}.{name}"))
}
