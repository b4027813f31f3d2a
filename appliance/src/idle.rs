//! How a worker waits when there is nothing to do.

use std::time::Duration;

/// Turns without a frame before a worker sleeps for the first time: a few microseconds, so that
/// the gaps within a stream of packets never cost a sleep.
const PATIENT_TURNS: u32 = 256;
/// The first sleep; each further one is twice as long, up to the limit.
const SLEEP_MIN: Duration = Duration::from_micros(5);

/// The waiting of one worker.
#[derive(Debug)]
pub struct Idle {
    /// Longest sleep; zero polls without a pause, as a dedicated lcore does.
    sleep_max: Duration,
    empty_turns: u32,
    sleep: Duration,
}

impl Idle {
    /// Never sleeps.
    pub const fn poll() -> Self {
        Self::sleep_up_to(Duration::ZERO)
    }

    /// Sleeps longer and longer, up to `sleep_max`, so that a shared CPU is not burnt.
    pub const fn sleep_up_to(sleep_max: Duration) -> Self {
        Self { sleep_max, empty_turns: 0, sleep: SLEEP_MIN }
    }

    /// To be called after each turn of the worker's loop.
    #[inline]
    pub fn after_turn(&mut self, had_work: bool) {
        if had_work {
            self.empty_turns = 0;
            return;
        }
        if !self.sleep_max.is_zero() {
            self.wait();
        }
    }

    fn wait(&mut self) {
        self.empty_turns += 1;
        if self.empty_turns < PATIENT_TURNS {
            std::hint::spin_loop();
            return;
        }
        if self.empty_turns == PATIENT_TURNS {
            self.sleep = SLEEP_MIN;
        }
        std::thread::sleep(self.sleep.min(self.sleep_max));
        self.empty_turns = PATIENT_TURNS + 1;
        self.sleep = (self.sleep * 2).min(self.sleep_max);
    }
}
