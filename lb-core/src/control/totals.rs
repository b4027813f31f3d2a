//! The statistics of all services together, and the rates of everything.

use super::Control;
use super::record::ServiceRecord;
use crate::clock::Tick;
use crate::estimator::{Estimator, PERIOD_S};
use crate::operations::{Stats, Totals};

/// What is kept for the totals. Removed real servers stay part of them, as in the kernel.
#[derive(Debug, Default)]
pub(super) struct RunningTotals {
    /// What removed real servers had counted, less what the slots of the present ones had counted
    /// before those came.
    elsewhere: Stats,
    /// What the totals were when they were zeroed last.
    baseline: Stats,
    estimator: Estimator,
    /// When all rates are estimated next.
    due: Tick,
}

impl RunningTotals {
    /// A real server came, of which the slot has counted so much.
    pub(super) fn add(&mut self, counted: Stats) {
        self.elsewhere = self.elsewhere.since(counted);
    }

    /// A real server was removed, of which the slot has counted so much.
    pub(super) fn remove(&mut self, counted: Stats) {
        self.elsewhere = self.elsewhere.plus(counted);
    }

    /// Statistics begin at 0 again; `counted` is what the present real servers' slots show.
    pub(super) fn zero(&mut self, counted: Stats) {
        let since_start = self.elsewhere.plus(counted);
        self.estimator.zero(since_start.since(self.baseline));
        self.baseline = since_start;
    }

    fn estimate(&mut self, counted: Stats) {
        self.estimator.estimate(self.elsewhere.plus(counted).since(self.baseline));
    }

    /// The totals as they are shown.
    pub(super) fn row(&self, counted: Stats) -> Totals {
        let since_start = self.elsewhere.plus(counted);
        let stats = since_start.since(self.baseline);
        Totals { since_start, stats, rates: self.estimator.rates() }
    }
}

impl Control {
    /// What the slots of all present real servers have counted.
    pub(super) fn counted(&self) -> Stats {
        let counted = self.services.values().map(|record| record.counted(&self.director));
        counted.fold(Stats::default(), Stats::plus)
    }

    /// Estimates rates every two seconds, unless `run_estimation` is off: then they stay as they
    /// are.
    pub(super) fn estimate_if_due(&mut self, now: Tick) {
        if now.is_before(self.totals.due) {
            return;
        }
        let next = self.totals.due.plus_seconds(PERIOD_S);
        self.totals.due = if now.is_before(next) { next } else { now.plus_seconds(PERIOD_S) };
        if self.settings.run_estimation {
            let director = &self.director;
            let counted = self
                .services
                .values_mut()
                .map(|record: &mut ServiceRecord| record.estimate(director));
            let counted = counted.fold(Stats::default(), Stats::plus);
            self.totals.estimate(counted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Network;
    use crate::director::Limits;
    use crate::flow::{FlowTable, Storage};
    use crate::hash::FlowHasher;
    use crate::ipvsadm::{Numeric, execute, restore_words};
    use crate::operations::{Operations, Rates};
    use crate::proc_files;
    use crate::settings::Switch;
    use crate::slots::DestinationId;

    const WEB: &str = "-t 10.0.0.100:80";

    /// Two services of one real server each, which have slots 0 and 1; tick 0 is over.
    fn control() -> Control {
        let hasher = FlowHasher::new([1, 2, 3]);
        let flows = FlowTable::new(64, Storage::leaked(64), hasher);
        let limits = Limits { destinations_max: 4, datagrams_max: 64 };
        let mut control = Control::new(flows, limits, 1, hasher, Network::default());
        run(&mut control, &format!("-A {WEB}"));
        run(&mut control, &format!("-a {WEB} -r 10.0.2.11 -m"));
        run(&mut control, "-A -u 10.0.0.100:53");
        run(&mut control, "-a -u 10.0.0.100:53 -r 10.0.2.12 -m");
        control.tick(Tick(0));
        control
    }

    fn run(control: &mut Control, line: &str) -> String {
        let outcome = execute(&restore_words(line), &[], control, &Numeric);
        assert_eq!((outcome.exit, outcome.stderr.as_str()), (0, ""), "{line}");
        outcome.stdout
    }

    /// The burst of the capture: 100 connections of a packet of 40 bytes, half of them answered.
    fn burst(control: &Control, server: u32) {
        let tally = control.director.counters[0].destination(DestinationId(server));
        tally.connections.add(100);
        tally.packets_in.add(100);
        tally.packets_out.add(50);
        tally.bytes_in.add(4000);
        tally.bytes_out.add(2000);
    }

    /// The numbers of each line of `-Ln --rate` behind the two heads.
    fn listed(control: &mut Control) -> Vec<String> {
        let text = run(control, "-Ln --rate");
        let numbers = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words[words.len() - 5..].join(" ")
        };
        text.lines().skip(3).map(numbers).collect()
    }

    const NONE: &str = "0 0 0 0 0";

    #[test]
    fn rates_are_listed_two_seconds_later_and_fade() {
        let mut control = control();
        burst(&control, 0);
        control.tick(Tick(15));
        assert_eq!(listed(&mut control), [NONE; 4]);
        control.tick(Tick(16));
        assert_eq!(listed(&mut control), ["12 12 6 500 250", "12 12 6 500 250", NONE, NONE]);
        control.tick(Tick(32));
        assert_eq!(listed(&mut control), ["9 9 5 375 187", "9 9 5 375 187", NONE, NONE]);
        let text = proc_files::text("ip_vs_stats", &control).unwrap();
        assert!(text.ends_with("       9        9        5              177               BB\n"));
    }

    #[test]
    fn a_round_that_comes_late_does_not_shift_the_next_one() {
        let mut control = control();
        control.tick(Tick(17));
        assert_eq!(control.totals.due, Tick(32));
        control.tick(Tick(100));
        assert_eq!(control.totals.due, Tick(116));
    }

    #[test]
    fn without_estimation_rates_stay_as_they_are() {
        let mut control = control();
        burst(&control, 0);
        control.tick(Tick(16));
        let before = listed(&mut control);
        let mut settings = *control.settings();
        let switch = Switch::named("run_estimation").unwrap();
        switch.set(&mut settings, 0).unwrap();
        control.set_settings(settings);
        control.tick(Tick(32));
        control.tick(Tick(48));
        assert_eq!(listed(&mut control), before);
        switch.set(&mut settings, 1).unwrap();
        control.set_settings(settings);
        control.tick(Tick(64));
        assert_eq!(listed(&mut control)[0], "9 9 5 375 187");
    }

    #[test]
    fn one_service_or_everything_is_zeroed() {
        let mut control = control();
        burst(&control, 0);
        burst(&control, 1);
        control.tick(Tick(16));
        run(&mut control, &format!("-Z {WEB}"));
        let [web, dns] = [NONE, "12 12 6 500 250"];
        assert_eq!(listed(&mut control), [web, web, dns, dns]);
        let totals = control.totals();
        assert_eq!((totals.stats.connections, totals.rates.connections), (200, 25));
        run(&mut control, "-Z");
        assert_eq!(listed(&mut control), [NONE; 4]);
        let Totals { since_start, stats, rates } = control.totals();
        assert_eq!((stats, rates), (Stats::default(), Rates::default()));
        assert_eq!(since_start.connections, 200, "of a CPU, which is never zeroed");
        control.tick(Tick(32));
        assert_eq!(listed(&mut control), [NONE; 4]);
    }

    #[test]
    fn a_removed_server_stays_in_the_totals_and_resumes_when_it_returns() {
        let mut control = control();
        burst(&control, 0);
        control.tick(Tick(16));
        run(&mut control, &format!("-d {WEB} -r 10.0.2.11"));
        assert_eq!(listed(&mut control)[0], "12 12 6 500 250", "the service keeps its rate");
        assert_eq!(control.totals().stats.connections, 100);
        control.tick(Tick(32));
        run(&mut control, &format!("-a {WEB} -r 10.0.2.11 -m"));
        assert_eq!(listed(&mut control)[..2], ["9 9 5 375 187", "12 12 6 500 250"]);
        run(&mut control, &format!("-D {WEB}"));
        assert_eq!(control.totals().stats.connections, 100);
        // Its slot was of another service then: what that counted is no rate of this one.
        run(&mut control, &format!("-A {WEB}"));
        run(&mut control, &format!("-a {WEB} -r 10.0.2.11 -m"));
        control.tick(Tick(48));
        assert_eq!(listed(&mut control), [NONE; 4]);
        assert_eq!(control.totals().stats.connections, 100);
    }
}
