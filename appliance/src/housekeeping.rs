//! The main lcore's rounds: neighbours, announcements, expiry, sync daemons, retired snapshots.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lb_core::clock::Tick;
use lb_core::control::Control;
use lb_core::expiry::Sweeper;

use crate::clock::TickClock;
use crate::lock::lock;
use crate::neighbourhood::Neighbourhood;

/// Longest sleep between two rounds: shorter than a tick, so that no tick is missed.
const ROUND: Duration = Duration::from_millis(50);

/// Goes its rounds until `is_stopping` is set. News from workers and commands wake it earlier.
pub fn run(
    control: &Mutex<Control>,
    neighbourhood: &Neighbourhood,
    clock: TickClock,
    is_stopping: &AtomicBool,
) {
    let (director, daemons) = {
        let control = lock(control);
        (control.director().clone(), control.sync_daemons().clone())
    };
    let mut sweeper = Sweeper::default();
    let mut last_sweep = Tick(u32::MAX);
    while !is_stopping.load(Ordering::Relaxed) {
        let now = clock.now();
        {
            let mut control = lock(control);
            neighbourhood.learn(&mut control);
            let wanted = control.tick(now);
            neighbourhood.send(&control, &wanted);
        }
        if now != last_sweep {
            sweeper.step(&director, now);
            director.fragments.sweep(now);
            lock(&daemons).step(&director, now);
            last_sweep = now;
        }
        if !neighbourhood.has_news() {
            std::thread::park_timeout(ROUND);
        }
    }
}
