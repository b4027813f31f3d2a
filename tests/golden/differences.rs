//! Where the replay may differ from the kernel: `tests/captures/kernel/differences.txt`, whose keys
//! are rows of `docs/ipvs-differences.md`.

use std::collections::BTreeMap;
use std::path::Path;

/// What may differ: by capture and line, why.
pub(crate) struct Differences {
    lines: BTreeMap<(String, usize), String>,
    /// Captures of which nothing can be said, because their services are refused.
    whole: BTreeMap<String, String>,
}

impl Differences {
    /// Reads the list: `KEY CAPTURE LINE…`, or `KEY CAPTURE *` for a whole capture.
    pub(crate) fn read() -> Self {
        let mut differences = Self { lines: BTreeMap::new(), whole: BTreeMap::new() };
        for line in text("tests/captures/kernel/differences.txt").lines() {
            let mut words = line.split_whitespace();
            let (key, capture) = match (words.next(), words.next()) {
                (None, _) => continue,
                (Some(word), _) if word.starts_with('#') => continue,
                (Some(key), Some(capture)) => (key.to_owned(), capture.to_owned()),
                (Some(_), None) => panic!("`{line}`: not KEY CAPTURE LINE…"),
            };
            for word in words {
                let before = if word == "*" {
                    differences.whole.insert(capture.clone(), key.clone())
                } else {
                    let number =
                        word.parse().unwrap_or_else(|_| panic!("`{line}`: no line {word}"));
                    differences.lines.insert((capture.clone(), number), key.clone())
                };
                assert_eq!(before, None, "{capture} {word} is there twice");
            }
        }
        differences
    }

    /// Whether all of a capture may differ.
    pub(crate) fn covers(&self, capture: &str) -> bool {
        self.whole.contains_key(capture)
    }

    /// Whether what a line of a capture brought about may differ; each is asked for once.
    pub(crate) fn take(&mut self, capture: &str, line: usize) -> bool {
        self.lines.remove(&(capture.to_owned(), line)).is_some()
    }

    /// Lines that were not asked for: there it is as in the kernel.
    pub(crate) fn left(&self) -> Vec<String> {
        self.lines.iter().map(|((capture, line), key)| format!("{key} {capture} {line}")).collect()
    }
}

fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_difference_is_explained() {
    let differences = Differences::read();
    let explained = text("docs/ipvs-differences.md");
    let is_explained = |key: &&String| explained.contains(&format!("| `{key}` |"));
    let keys = differences.lines.values().chain(differences.whole.values());
    let missing: std::collections::BTreeSet<_> = keys.filter(|key| !is_explained(key)).collect();
    assert!(missing.is_empty(), "no row `| `KEY` |` in docs/ipvs-differences.md: {missing:?}");
}
