//! The house style, as far as a program can see it, and the pages that follow lists in the code.
//!
//! What is too long today stands in a list with its length and a reason: it may shrink, not grow.
//! `REGENERATE=1 cargo test -p lb-core --test tidy` rewrites the table of `docs/drops.md`.

use std::fs;
use std::path::{Path, PathBuf};

use lb_core::drops::DropReason;

const COLUMNS_MAX: usize = 100;
/// Of a file, up to its unit tests.
const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
const README_LINES_MAX: usize = 150;

/// Something that is beyond a limit: the file (and the function in it), how much it may be, why.
type Allowance = (&'static str, usize, &'static str);

/// Files longer than [`FILE_LINES_MAX`].
const LONG_FILES: &[Allowance] = &[
    ("appliance/src/config/tests.rs", 732, "one test for each mistake that a file can have"),
    ("appliance/src/dpdk/port.rs", 589, "half of it says, field by field, what a port can refuse"),
];

/// Functions longer than [`FUNCTION_LINES_MAX`].
const LONG_FUNCTIONS: &[Allowance] =
    &[("appliance/src/config/tests.rs: types_are_those_of_the_keys", 87, "a table of mistakes")];

/// Lines of a file that are wider than [`COLUMNS_MAX`].
const WIDE_LINES: &[Allowance] =
    &[("appliance/src/config/tests.rs", 5, "the expected messages, as they are printed")];

/// Where `unsafe` may stand.
const UNSAFE_PLACES: &[&str] = &[
    "dpdk-sys/",
    "appliance/src/dpdk/",
    "lb-core/src/prefetch.rs",
    "preload/",
    "tests/lab/support/lab.rs",
];

#[test]
fn files_are_short_enough_to_read() {
    let mut wrong = Vec::new();
    for file in files(&["rs"]) {
        let lines = file.text.lines().take_while(|line| *line != "#[cfg(test)]").count();
        wrong.extend(beyond(LONG_FILES, &file.path, lines, FILE_LINES_MAX, "lines of code"));
    }
    report(&wrong);
}

/// Texts in quotes, links, and tables in comments may be wider.
#[test]
fn lines_fit_a_window() {
    let mut wrong = Vec::new();
    for file in files(&["rs"]) {
        let may_be_wide =
            |line: &str| ["\"", "://", "//! |", "/// |"].map(|mark| line.contains(mark));
        let is_wide =
            |line: &&str| line.chars().count() > COLUMNS_MAX && !may_be_wide(line).contains(&true);
        let wide = file.text.lines().filter(is_wide).count();
        wrong.extend(beyond(WIDE_LINES, &file.path, wide, 0, "lines of more than 100 columns"));
    }
    report(&wrong);
}

#[test]
fn functions_fit_a_screen() {
    let mut wrong = Vec::new();
    for file in files(&["rs"]) {
        for (name, lines) in functions(&file.text) {
            let what = format!("{}: {name}", file.path);
            wrong.extend(beyond(LONG_FUNCTIONS, &what, lines, FUNCTION_LINES_MAX, "lines"));
        }
    }
    report(&wrong);
}

#[test]
fn every_allowance_is_needed() {
    let known: Vec<String> = files(&["rs"]).into_iter().map(|file| file.path).collect();
    for (what, _, reason) in LONG_FILES.iter().chain(LONG_FUNCTIONS).chain(WIDE_LINES) {
        let path = what.split(": ").next().unwrap_or_default();
        assert!(known.iter().any(|known| known == path), "{path} is gone: take it off the list");
        assert!(!reason.is_empty(), "{what}: why?");
    }
}

#[test]
fn unsafe_code_is_explained_and_in_its_places() {
    let mut wrong = Vec::new();
    for file in files(&["rs"]) {
        let lines: Vec<&str> = file.text.lines().collect();
        for number in (0..lines.len()).filter(|&number| is_unsafe(lines[number])) {
            let place = format!("{}:{}", file.path, number + 1);
            if !UNSAFE_PLACES.iter().any(|allowed| file.path.starts_with(allowed)) {
                wrong.push(format!("{place}: unsafe code belongs into {UNSAFE_PLACES:?}"));
            }
            if !is_explained(&lines[..number]) {
                wrong.push(format!("{place}: no `SAFETY:` above it"));
            }
        }
    }
    report(&wrong);
}

#[test]
fn nothing_is_left_for_later() {
    // Taken apart, or this file would be the first to be found.
    let marks = [["to", "do!("], ["unimple", "mented!("], ["FIX", "ME"], ["XX", "X"]];
    let mut wrong = Vec::new();
    for file in files(&["rs", "md", "sh", "yaml", "toml", "c", "h", "service"]) {
        for (number, line) in file.text.lines().enumerate() {
            for mark in marks.map(|halves| halves.concat()) {
                if has_word(line, &mark) {
                    wrong.push(format!("{}:{}: {mark}", file.path, number + 1));
                }
            }
        }
    }
    report(&wrong);
}

#[test]
fn links_lead_somewhere() {
    let mut wrong = Vec::new();
    for file in files(&["md"]) {
        let folder = root().join(&file.path).parent().map(Path::to_owned).unwrap_or_default();
        let prose = file.text.split("```").step_by(2).collect::<String>();
        for target in prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().unwrap_or_default();
            let is_ours = !path.is_empty() && !target.contains("://");
            if is_ours && !folder.join(path).exists() {
                wrong.push(format!("{}: {target} does not exist", file.path));
            }
        }
    }
    report(&wrong);
}

#[test]
fn the_first_page_is_short() {
    let lines = read("README.md").lines().count();
    assert!(lines <= README_LINES_MAX, "README.md: {lines} lines, {README_LINES_MAX} are enough");
}

#[test]
fn the_drop_reasons_have_their_page() {
    const BEGIN: &str = "<!-- The table is checked against the list in the code. -->\n\n";
    const END: &str = "\n<!-- End of the table. -->\n";
    let mut expected = "| reason | meaning | what to do |\n| --- | --- | --- |\n".to_owned();
    for reason in DropReason::ALL {
        let (name, meaning, advice) = (reason.name(), reason.meaning(), reason.advice());
        expected.push_str(&format!("| `{name}` | {meaning} | {advice} |\n"));
    }
    let page = read("docs/drops.md");
    let (before, rest) = page.split_once(BEGIN).expect("the table begins");
    let (table, after) = rest.split_once(END).expect("the table ends");
    if std::env::var_os("REGENERATE").is_some() {
        let page = [before, BEGIN, &expected, END, after].concat();
        fs::write(root().join("docs/drops.md"), page).expect("docs/drops.md is writable");
    } else {
        assert_eq!(table, expected, "REGENERATE=1 rewrites the table");
    }
}

/// A complaint where something is beyond its limit, or beyond what it is allowed instead.
fn beyond(
    allowances: &[Allowance],
    what: &str,
    size: usize,
    limit: usize,
    unit: &str,
) -> Option<String> {
    let allowed = allowances.iter().find(|(allowed, ..)| *allowed == what);
    let limit = allowed.map_or(limit, |(_, size, _)| *size);
    (size > limit).then(|| format!("{what}: {size} {unit}, at most {limit}"))
}

#[track_caller]
fn report(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} to mend:\n{}", wrong.len(), wrong.join("\n"));
}

/// Name and number of lines of every function: as rustfmt writes it, a body ends at the first
/// closing brace that stands where its function began.
fn functions(text: &str) -> Vec<(&str, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let indent = line.len() - line.trim_start().len();
        let is_end = |line: &&str| line.trim() == "}" && line.len() == indent + 1;
        let opens = |line: &&str| line.ends_with(['{', ';', '}']);
        // A declaration without a body, or all on one line.
        if lines[start..].iter().find(|line| opens(line)).is_none_or(|line| !line.ends_with('{')) {
            continue;
        }
        let end = lines[start..].iter().position(is_end);
        found.push((name, end.map_or(lines.len() - start, |end| end + 1)));
    }
    found
}

/// The name of the function that a line begins.
fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let modifiers = ["pub", "pub(crate)", "pub(super)", "const", "unsafe", "extern", "\"C\""];
    let begins = before.split_whitespace().all(|word| modifiers.contains(&word));
    let name = after.split(['(', '<']).next()?;
    (begins && name.chars().all(|c| c.is_alphanumeric() || c == '_')).then_some(name)
}

/// Whether code of a line (not its comment) begins something unsafe.
fn is_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    let kinds = ["{", "fn ", "impl ", "impl<", "trait ", "extern "];
    code.split("unsafe ").skip(1).any(|rest| kinds.iter().any(|kind| rest.starts_with(kind)))
}

/// Whether the comment of a line's statement, of which these are the lines above, gives a reason.
fn is_explained(above: &[&str]) -> bool {
    for line in above.iter().rev().map(|line| line.trim()) {
        let is_comment = line.starts_with("//");
        if is_comment && (line.contains("SAFETY:") || line.contains("# Safety")) {
            return true;
        }
        // Attributes stand between a comment and what it is about.
        if !is_comment && !line.starts_with("#[") && line.ends_with([';', '{', '}']) {
            return false;
        }
    }
    false
}

/// Whether a word stands alone in a line.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let letter = |c: char| c.is_alphanumeric() || c == '_';
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(letter) && (word.ends_with('(') || !after.is_some_and(letter))
    })
}

/// A file of the project.
struct File {
    /// From the root of the project, with `/`.
    path: String,
    text: String,
}

/// All files with these endings, in order.
fn files(endings: &[&str]) -> Vec<File> {
    let mut found = Vec::new();
    collect(&root(), endings, &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!found.is_empty(), "no file ends with one of {endings:?}");
    found
}

fn collect(folder: &Path, endings: &[&str], found: &mut Vec<File>) {
    for entry in fs::read_dir(folder).expect("a folder of the project").flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let kind = entry.file_type().expect("a file has a type");
        if kind.is_dir() && !name.starts_with('.') && name != "target" && name != "captures" {
            collect(&path, endings, found);
        }
        let has_ending = path.extension().is_some_and(|e| endings.iter().any(|known| e == *known));
        if kind.is_file() && has_ending {
            let text = fs::read_to_string(&path).expect("a text of the project");
            let path = path.strip_prefix(root()).expect("below the root").to_string_lossy();
            found.push(File { path: path.into_owned(), text });
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
