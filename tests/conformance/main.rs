//! The conformance suite: the same commands and the same frames, at the same times, to the kernel's
//! IPVS and to Sluice. What leaves on every wire and every listing must be the same, but for what
//! `normal.rs` lists. Nothing expected is written down: the kernel is the expectation.
//!
//! Needs root, and the kernel that `scripts/setup conformance` gets.
//!
//! | variable | |
//! | --- | --- |
//! | `ONLY=TEXT` | the cases whose name has that |
//! | `LOOK=1` | compares nothing and prints what the kernel does |
//! | `SEED=N`, `CASES=N` | random cases: where they begin, how many |
//! | `SLUICE_KERNEL=FOLDER` | where the kernel is |

#[path = "../lab/support"]
#[expect(dead_code, reason = "the lab uses the rest")]
mod support {
    pub(crate) mod config;
    pub(crate) mod director;
    pub(crate) mod lab;
}

#[path = "../golden/frames.rs"]
#[expect(dead_code, reason = "golden cases use the rest")]
mod frames; // readable frames

mod answering; // what servers answer
mod case; // the language of cases
mod dice; // numbers by chance
mod kernel; // Linux as a director
mod network; // the network that both are in
mod normal; // what may differ
mod pair; // both in lockstep
mod random; // cases by chance
mod shrink; // makes them small
mod sluice; // the director under test
mod suite; // many cases
mod wires; // frames in and out

use self::case::Case;
use self::suite::Suite;
use self::support::{config, director, lab};

/// What `make test` compares: one case of each subject.
const FEW: [&str; 5] = ["basics", "life-nat", "persistence-edit", "sched-mh-both-six", "sctp-nat"];

#[test]
fn a_few_cases_come_out_as_in_the_kernel() {
    play(|name| FEW.contains(&name));
}

#[test]
#[ignore = "takes minutes: make conformance"]
fn every_case_comes_out_as_in_the_kernel() {
    let only = variable("ONLY").unwrap_or_default();
    play(|name| name.contains(&only));
}

#[test]
#[ignore = "takes minutes: make conformance"]
fn random_cases_come_out_as_in_the_kernel() {
    let number = |name| {
        let text = variable(name)?;
        Some(text.parse().unwrap_or_else(|_| panic!("{name}={text}: no whole number")))
    };
    let now = || std::time::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_secs());
    let first = number("SEED").unwrap_or_else(now);
    let count = number("CASES").unwrap_or(25);
    println!("random cases: SEED={first} CASES={count}");
    let lab = lab::Lab::new();
    let mut suite = Suite::new(&lab);
    for seed in first..first.saturating_add(count) {
        suite.play_random(seed);
    }
    suite.end();
}

#[test]
fn every_difference_has_its_row() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/ipvs-differences.md");
    let page = std::fs::read_to_string(page).expect("the page");
    for case in suite::cases().iter().map(|path| Case::read(path)) {
        for key in case.steps.iter().filter_map(|step| step.differs.as_ref()) {
            assert!(page.contains(&format!("| `{key}` |")), "{}.case: {key}", case.name);
        }
    }
}

/// An environment variable; one that is empty is not set.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

fn play(is_wanted: impl Fn(&str) -> bool) {
    let lab = lab::Lab::new();
    let mut suite = Suite::new(&lab);
    for case in suite::cases().iter().map(|path| Case::read(path)) {
        if is_wanted(&case.name) {
            let _said = suite.play(&case);
        }
    }
    suite.end();
}
