//! The main lcore's rounds: neighbours, announcements, expiry, sync daemons, retired snapshots, and
//! the word to systemd's watchdog that they go on.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use lb_core::clock::Tick;
use lb_core::control::Control;
use lb_core::expiry::Sweeper;

use crate::clock::TickClock;
use crate::lock::lock;
use crate::neighbourhood::Neighbourhood;
use crate::notify;
use crate::ports::Ports;
use crate::watch::Watch;
use crate::watchdog::Watchdog;

/// Longest sleep between two rounds: shorter than a tick, so that no tick is missed.
const ROUND: Duration = Duration::from_millis(50);
/// Rounds that do not begin for so many seconds stand still.
const STILL_S: u32 = 5;

/// Shows others that the rounds go on.
#[derive(Debug, Default)]
pub struct Pulse(AtomicU32);

impl Pulse {
    fn beat(&self, now: Tick) {
        self.0.store(now.0, Ordering::Relaxed);
    }

    /// Whether a round began lately.
    pub fn is_alive(&self, now: Tick) -> bool {
        !Tick(self.0.load(Ordering::Relaxed)).plus_seconds(STILL_S).is_before(now)
    }
}

/// Goes its rounds until `is_stopping` is set. News from workers and commands wake it earlier.
pub fn run(
    control: &Mutex<Control>,
    neighbourhood: &Neighbourhood,
    clock: TickClock,
    ports: &Ports,
    pulse: &Pulse,
    is_stopping: &AtomicBool,
) {
    let (director, daemons) = {
        let control = lock(control);
        (control.director().clone(), control.sync_daemons().clone())
    };
    let mut sweeper = Sweeper::default();
    let mut last_sweep = Tick(u32::MAX);
    let mut watch = Watch::begin(ports.links());
    let mut watchdog = Watchdog::of_environment();
    // Neighbours have to be asked first.
    let mut watch_due = clock.now().plus_seconds(2);
    while !is_stopping.load(Ordering::Relaxed) {
        let now = clock.now();
        pulse.beat(now);
        {
            let mut control = lock(control);
            neighbourhood.learn(&mut control);
            let wanted = control.tick(now);
            neighbourhood.send(&control, &wanted);
        }
        if !now.is_before(watch_due) {
            watch_due = now.plus_seconds(1);
            let came_up = watch.look_at_links(ports.links());
            let mut control = lock(control);
            if came_up {
                control.announce_again();
            }
            watch.look_at_control(&control, now);
        }
        if now != last_sweep {
            sweeper.step(&director, now);
            director.fragments.sweep(now);
            lock(&daemons).step(&director, now);
            last_sweep = now;
        }
        if let Some(watchdog) = &mut watchdog {
            watchdog.round(&director.epochs, now);
        }
        if !neighbourhood.has_news() {
            std::thread::park_timeout(ROUND);
        }
    }
    notify::announce("STOPPING=1");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_that_stand_still_are_noticed() {
        let pulse = Pulse::default();
        pulse.beat(Tick(100));
        assert!(pulse.is_alive(Tick(100)) && pulse.is_alive(Tick(100).plus_seconds(STILL_S)));
        assert!(!pulse.is_alive(Tick(101).plus_seconds(STILL_S)));
    }
}
