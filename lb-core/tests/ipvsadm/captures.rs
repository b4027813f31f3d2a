//! Captured runs of ipvsadm on kernel IPVS: the same words must print the same bytes.

use std::fs;
use std::path::Path;

use lb_core::ipvsadm::FixedNames;
use lb_core::protocol::Protocol;

use lb_core::operations::Operations;

use crate::director::{control, director};
use crate::shell::Shell;

/// Captures that are not about ipvsadm's language, by the number at the start of their name.
const SKIPPED: [(&str, &str); 11] = [
    ("021", "reads /proc"),
    ("022", "reads /proc"),
    ("023", "reads /proc"),
    ("024", "reads /proc"),
    ("025", "reads /proc"),
    ("026", "reads /proc"),
    ("027", "reads sysctls"),
    ("030", "services without sorting come in the order of the kernel's hash table"),
    ("058", "reads /proc"),
    ("267", "needs a kernel that refuses its user"),
    ("268", "writes sysctls"),
];

/// How many captures there are to run; more are welcome, fewer are a broken test.
const CAPTURES_MIN: usize = 235;

struct Capture {
    name: String,
    setup: String,
    command: String,
    exit: i32,
    stdout: String,
    stderr: String,
}

/// Sections start with `### NAME`; one capture has its sections in a fixed order.
fn read(path: &Path) -> Capture {
    let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
    let text = fs::read_to_string(path).unwrap();
    let between = |start: &str, end: &str| {
        let from = text.find(start).unwrap_or_else(|| panic!("{name}: no {start:?}"));
        let body = &text[from + start.len()..];
        body[..body.find(end).unwrap_or_else(|| panic!("{name}: no {end:?}"))].to_owned()
    };
    Capture {
        setup: between("### setup\n", "### command\n"),
        command: between("### command\n", "### exit "),
        exit: between("### exit ", "\n").parse().unwrap(),
        stdout: between("### stdout\n", "### stderr\n"),
        stderr: between("### stderr\n", "### end"),
        name,
    }
}

/// The part of `/etc/hosts` and `/etc/services` that the captures use.
fn names() -> FixedNames {
    let mut names = FixedNames::default();
    names.add_host([127, 0, 0, 1].into(), "localhost");
    for (name, port, protocols) in [
        ("tcpmux", 1, &[Protocol::Tcp][..]),
        ("ssh", 22, &[Protocol::Tcp]),
        ("domain", 53, &[Protocol::Tcp, Protocol::Udp]),
        ("http", 80, &[Protocol::Tcp]),
        ("www", 80, &[Protocol::Tcp]),
        ("https", 443, &[Protocol::Tcp, Protocol::Udp]),
        ("sip", 5060, &[Protocol::Tcp, Protocol::Udp]),
        ("http-alt", 8080, &[Protocol::Tcp, Protocol::Udp]),
    ] {
        for &protocol in protocols {
            names.add_service(name, port, protocol);
        }
    }
    names
}

fn captures() -> Vec<Capture> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/captures/ipvsadm");
    let mut paths: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

/// Whether a capture is not about ipvsadm's language.
fn is_skipped(capture: &Capture) -> bool {
    let number = &capture.name[..3];
    SKIPPED.iter().any(|(skipped, _)| *skipped == number)
}

#[test]
fn captured_command_lines_print_the_same_bytes() {
    let run = replay(director());
    assert!(run >= CAPTURES_MIN, "only {run} captures were run");
}

#[test]
fn the_real_control_plane_prints_the_same_bytes() {
    let run = replay(control());
    assert!(run >= CAPTURES_MIN, "only {run} captures were run");
}

/// Runs all captures, and returns how many they were.
fn replay(operations: impl Operations) -> usize {
    let mut shell = Shell::new(operations, names());
    let mut setup = String::new();
    let mut run = 0;
    let mut failures = Vec::new();
    for capture in captures() {
        if is_skipped(&capture) {
            continue;
        }
        // A run of captures with the same set-up shares one table; the set-up happens once.
        if capture.setup != setup || setup.is_empty() {
            shell.run("ipvsadm -C");
            shell.run(&capture.setup);
            setup.clone_from(&capture.setup);
        }
        shell.start_anew();
        shell.run(&capture.command);
        run += 1;
        let got = (shell.exit(), shell.stdout.as_str(), shell.stderr.as_str());
        let expected = (capture.exit, capture.stdout.as_str(), capture.stderr.as_str());
        if got != expected {
            failures.push(format!(
                "{}: {}\nexpected exit {}\n{}{}got exit {}\n{}{}",
                capture.name,
                capture.command,
                expected.0,
                expected.1,
                expected.2,
                got.0,
                got.1,
                got.2,
            ));
        }
    }
    assert!(failures.is_empty(), "{} of {run}:\n{}", failures.len(), failures.join("\n"));
    run
}
