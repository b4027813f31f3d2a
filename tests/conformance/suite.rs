//! Plays cases one after the other, says how each went, and keeps what is worth keeping.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::case::Case;
use crate::lab::Lab;
use crate::pair::{Fault, Pair};
use crate::random;
use crate::shrink::shrink;

/// How long a failing random case may be made smaller.
const SHRINK_TIME: Duration = Duration::from_secs(120);
/// How many of them are; the others are only named.
const SHRUNK_MAX: usize = 5;

/// Cases on their way.
#[derive(Debug)]
pub(crate) struct Suite<'lab> {
    lab: &'lab Lab,
    pair: Option<Pair<'lab>>,
    played: usize,
    frames: usize,
    took: Duration,
    failed: Vec<String>,
    /// Random cases that differed once, and not when they were played again.
    unsteady: Vec<String>,
}

impl<'lab> Suite<'lab> {
    pub(crate) fn new(lab: &'lab Lab) -> Self {
        let took = Duration::ZERO;
        Self {
            lab,
            pair: None,
            played: 0,
            frames: 0,
            took,
            failed: Vec::new(),
            unsteady: Vec::new(),
        }
    }

    /// Plays a case; where the two differ, says so and writes its log.
    pub(crate) fn play(&mut self, case: &Case) -> Option<Fault> {
        let lab = self.lab;
        let pair = self.pair.get_or_insert_with(|| Pair::new(lab));
        let outcome = pair.play(case, true);
        self.played += 1;
        self.frames += outcome.frames;
        self.took += outcome.took;
        let frames = format!("{} frames in {:.1?}", outcome.frames, outcome.took);
        let Some(fault) = outcome.fault else {
            println!("{}: {frames}", case.name);
            return None;
        };
        let log = folder().join(format!("{}.log", case.name));
        let text = format!("{}\n{}\n", outcome.log, fault.about);
        fs::write(&log, text).unwrap_or_else(|error| panic!("{}: {error}", log.display()));
        println!(
            "{}: {frames}: DIFFERS at {}    all of it: {}\n",
            case.name,
            fault.about,
            log.display()
        );
        self.failed.push(case.name.clone());
        Some(fault)
    }

    /// Plays the case of a seed; where the two differ, and differ again, makes it small and writes
    /// it down. On a busy machine a timer may run out within a case, on one side first.
    pub(crate) fn play_random(&mut self, seed: u64) {
        let name = format!("random-{seed}");
        let mut lines = random::case(seed);
        let Some(fault) = self.play(&Case::parse(&name, &lines.join("\n"))) else { return };
        if self.failed.len() > SHRUNK_MAX {
            return;
        }
        let is_at_end = fault.step >= lines.len();
        if !is_at_end {
            lines.truncate(fault.step + 1);
        }
        if self.retry(&name, &lines, is_at_end).is_none() {
            println!("{name} does not differ when it is played again: a matter of time\n");
            self.unsteady.extend(self.failed.pop());
            return;
        }
        let until = Instant::now() + SHRINK_TIME;
        let mut last = fault.about;
        let lines = shrink(lines, until, |lines| match self.retry(&name, lines, is_at_end) {
            Some(fault) => {
                last = fault.about;
                true
            }
            None => false,
        });
        let file = folder().join(format!("{name}.case"));
        let text = format!("# Made small from SEED={seed}.\n{}\n", lines.join("\n"));
        fs::write(&file, &text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        println!("{}:\n{text}\n{last}", file.display());
    }

    /// Plays lines in silence: where the two differ.
    fn retry(&mut self, name: &str, lines: &[String], is_thorough: bool) -> Option<Fault> {
        let lab = self.lab;
        let pair = self.pair.get_or_insert_with(|| Pair::new(lab));
        pair.play(&Case::parse(name, &lines.join("\n")), is_thorough).fault
    }

    /// Says what there was, and fails if a case did.
    pub(crate) fn end(self) {
        let Self { played, frames, took, failed, unsteady, .. } = self;
        if !unsteady.is_empty() {
            println!("differed once, and not again: {}", unsteady.join(" "));
        }
        println!("{played} cases, {frames} frames, {took:.0?}, {} differ", failed.len());
        assert!(played > 0, "no case has a name like that");
        assert!(failed.is_empty(), "not as in the kernel: {}", failed.join(" "));
    }
}

/// Where logs and shrunk cases go.
pub(crate) fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/conformance");
    fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    folder.canonicalize().unwrap_or(folder)
}

/// The files of cases.
pub(crate) fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/conformance/cases");
    let entries = fs::read_dir(folder).expect("the folder of cases");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}
