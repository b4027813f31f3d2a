//! Makes a failing case small: leaves out lines as long as it still fails.
//!
//! After Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input" (2002): in
//! halves first, then in ever smaller parts.

use std::time::Instant;

/// The smallest list of lines that was found by `until` and of which `fails` says so.
pub(crate) fn shrink(
    mut lines: Vec<String>,
    until: Instant,
    mut fails: impl FnMut(&[String]) -> bool,
) -> Vec<String> {
    let mut part = lines.len().div_ceil(2);
    while part > 0 {
        let mut at = 0;
        let mut has_shrunk = false;
        while at < lines.len() {
            if Instant::now() > until {
                return lines;
            }
            let end = (at + part).min(lines.len());
            let fewer = [&lines[..at], &lines[end..]].concat();
            if !fewer.is_empty() && fails(&fewer) {
                lines = fewer;
                has_shrunk = true;
            } else {
                at = end;
            }
        }
        part = if part == 1 && has_shrunk { 1 } else { part / 2 };
    }
    lines
}

#[test]
fn what_matters_is_left() {
    let lines: Vec<String> = (0..40).map(|n| n.to_string()).collect();
    let until = Instant::now() + std::time::Duration::from_secs(60);
    let has = |lines: &[String], word: &str| lines.iter().any(|line| line == word);
    let small = shrink(lines, until, |lines| has(lines, "7") && has(lines, "31"));
    assert_eq!(small, ["7", "31"]);
}
