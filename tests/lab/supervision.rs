//! What systemd is told, and what of it is held back so that it starts another director.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use nix::sys::ptrace;
use nix::unistd::Pid;

use crate::support::config::Config;
use crate::support::director::Director;
use crate::support::lab::{Lab, eventually};

/// What systemd hears.
struct Ear(UnixDatagram);

impl Ear {
    /// The next words; none within a second and a half is silence.
    fn hear(&self) -> Option<String> {
        let mut bytes = [0; 256];
        let count = self.0.recv(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[..count]).into_owned())
    }

    /// Hears all that was said until nothing is said any more.
    fn wait_for_silence(&self) {
        let began = Instant::now();
        while self.hear().is_some() {
            assert!(began.elapsed() < Duration::from_secs(20), "systemd is told on and on");
        }
    }
}

/// The thread of that name.
fn thread_of(director: &Director<'_>, name: &str) -> Pid {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", director.pid())).unwrap();
    let mut paths = tasks.map(|task| task.unwrap().path());
    let is_wanted = |path: &std::path::PathBuf| {
        std::fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim() == name)
    };
    let path = paths.find(is_wanted).unwrap_or_else(|| panic!("no thread {name}"));
    Pid::from_raw(path.file_name().unwrap().to_str().unwrap().parse().unwrap())
}

#[test]
fn the_watchdog_hears_nothing_while_a_worker_or_the_control_plane_stands_still() {
    let lab = Lab::one_segment();
    let path = lab.dir().join("notify.sock");
    let ear = Ear(UnixDatagram::bind(&path).unwrap());
    ear.0.set_read_timeout(Some(Duration::from_millis(1500))).unwrap();
    // Said four times in this time.
    let environment = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "1000000")];
    let mut director = Director::start_with(&lab, "director", &Config::web("rr"), &environment);
    assert_eq!(ear.hear().as_deref(), Some("READY=1\nSTATUS=Forwards"));

    let main = Pid::from_raw(i32::try_from(director.pid()).unwrap());
    for thread in [thread_of(&director, "worker-0"), main] {
        for _ in 0..4 {
            assert_eq!(ear.hear().as_deref(), Some("WATCHDOG=1"));
        }
        ptrace::seize(thread, ptrace::Options::empty()).unwrap();
        ptrace::interrupt(thread).unwrap();
        ear.wait_for_silence();
        eventually(Duration::from_secs(5), "the thread goes on", || {
            ptrace::detach(thread, None).ok()
        });
    }
    assert_eq!(ear.hear().as_deref(), Some("WATCHDOG=1"));
    let said = director.messages();
    for text in ["workers: stands still", "workers: goes on worker=0"] {
        assert!(said.contains(text), "{text}: {said}");
    }

    assert!(director.signal("TERM").success());
    let mut last = None;
    while let Some(words) = ear.hear() {
        last = Some(words);
    }
    assert_eq!(last.as_deref(), Some("STOPPING=1"));
}
