//! Tells systemd's watchdog (`WatchdogSec=`) that the director is alive: that the control plane
//! goes its rounds, and that every worker has come to a burst boundary since it was told so last.
//! Once it is not told in time it kills the director and starts another.
//!
//! Workers do nothing for it: they announce epochs anyway.

use std::env;
use std::ffi::OsString;
use std::process;

use lb_core::clock::{TICKS_PER_SECOND, Tick};
use lb_core::quiescence::Epochs;

use crate::logging;
use crate::notify;

/// Of the time in which systemd wants to be told; a worker may be late three times.
const PARTS: u64 = 4;

/// Says at intervals that all are alive, if they are.
#[derive(Debug)]
pub struct Watchdog {
    interval_ticks: u32,
    due: Tick,
    /// Announced by every worker that came to a burst boundary since it was advanced.
    epoch: u64,
    /// Workers that were missing last time.
    missing: Vec<usize>,
}

impl Watchdog {
    /// As systemd wants it of this process: `$WATCHDOG_USEC`, `$WATCHDOG_PID`. `None` where it
    /// does not.
    pub fn of_environment() -> Option<Self> {
        Self::of(env::var_os("WATCHDOG_USEC"), env::var_os("WATCHDOG_PID"))
    }

    fn of(time: Option<OsString>, pid: Option<OsString>) -> Option<Self> {
        let number = |text: OsString| text.to_str()?.parse::<u64>().ok();
        if pid.is_some_and(|pid| number(pid) != Some(u64::from(process::id()))) {
            return None;
        }
        let microseconds = time.and_then(number).filter(|time| *time > 0)?;
        let ticks = microseconds.saturating_mul(u64::from(TICKS_PER_SECOND)) / PARTS / 1_000_000;
        let interval_ticks = u32::try_from(ticks.max(1)).unwrap_or(u32::MAX / 4);
        Some(Self { interval_ticks, due: Tick::default(), epoch: 0, missing: Vec::new() })
    }

    /// To be called in each round of the control plane.
    pub fn round(&mut self, epochs: &Epochs, now: Tick) {
        if now.is_before(self.due) {
            return;
        }
        self.due = Tick(now.0.wrapping_add(self.interval_ticks));
        if self.all_are_alive(epochs) {
            notify::announce("WATCHDOG=1");
        }
    }

    /// Whether all workers came to a burst boundary since this was asked last and was so.
    fn all_are_alive(&mut self, epochs: &Epochs) -> bool {
        let missing: Vec<_> = epochs.behind(self.epoch).collect();
        if missing != self.missing {
            for worker in missing.iter().filter(|worker| !self.missing.contains(worker)) {
                log::error!(target: logging::WORKERS, worker;
                    "stands still: if it does not go on, systemd starts another director");
            }
            for worker in self.missing.iter().filter(|worker| !missing.contains(worker)) {
                log::info!(target: logging::WORKERS, worker; "goes on");
            }
            self.missing = missing;
        }
        let are_alive = self.missing.is_empty();
        if are_alive {
            self.epoch = epochs.advance();
        }
        are_alive
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watchdog(time: &str, pid: Option<&str>) -> Option<Watchdog> {
        Watchdog::of(Some(time.into()), pid.map(OsString::from))
    }

    #[test]
    fn it_speaks_four_times_in_the_time_and_only_for_this_process() {
        let interval = |time| watchdog(time, None).map(|it| it.interval_ticks);
        assert_eq!(interval("20000000"), Some(5 * TICKS_PER_SECOND));
        assert_eq!(interval("1000"), Some(1));
        assert_eq!((interval("0"), interval("soon")), (None, None));
        assert!(Watchdog::of(None, None).is_none());
        let own = process::id().to_string();
        assert!(watchdog("20000000", Some(&own)).is_some());
        assert!(watchdog("20000000", Some("1")).is_none());
    }

    #[test]
    fn a_worker_that_stands_still_is_found_and_may_go_on() {
        let epochs = Epochs::new(3);
        epochs.online(0);
        epochs.online(1);
        let mut watchdog = watchdog("20000000", None).unwrap();
        assert!(watchdog.all_are_alive(&epochs), "they have just begun");
        epochs.announce(0);
        for _ in 0..2 {
            assert!(!watchdog.all_are_alive(&epochs));
            assert_eq!(watchdog.missing, [1]);
        }
        epochs.announce(1);
        assert!(watchdog.all_are_alive(&epochs), "worker 2 does not run");
        assert!(!watchdog.all_are_alive(&epochs), "nobody came to a boundary since");
    }
}
