//! Recorded runs of ipvsadm on the kernel's IPVS: the same program on `sluiced` must print the same
//! bytes, and so must `sluiceadm`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::director::{Director, Outcome, outcome, program};

/// Captures of other things than IPVS, by number.
const SKIPPED: &[(&str, &str)] = &[
    ("027", "reads sysctls of the host"),
    ("267", "needs another user, see `programs.rs`"),
    ("268", "writes sysctls of the host"),
];

/// Captures that differ by way of either program, by number.
const DIFFERENT: &[(&str, &str)] = &[
    ("030", "services without sorting come in the order of the kernel's hash table"),
    ("058", "the same"),
];

/// What `sluiceadm` is not asked for.
const PROC: &[&str] = &["021", "022", "023", "024", "025", "026", "058"];

/// How many captures there are to run at least.
const CAPTURES_MIN: usize = 235;

/// Who runs the command lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Ipvsadm,
    Sluiceadm,
}

#[derive(Clone, Debug)]
struct Capture {
    name: String,
    setup: String,
    command: String,
    outcome: Outcome,
}

fn read(path: &Path) -> Capture {
    let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
    let text = fs::read_to_string(path).unwrap();
    let between = |start: &str, end: &str| {
        let from = text.find(start).unwrap_or_else(|| panic!("{name}: no {start:?}"));
        let body = &text[from + start.len()..];
        body[..body.find(end).unwrap_or_else(|| panic!("{name}: no {end:?}"))].to_owned()
    };
    let outcome = Outcome {
        exit: between("### exit ", "\n").parse().ok(),
        stdout: between("### stdout\n", "### stderr\n"),
        stderr: between("### stderr\n", "### end"),
    };
    let setup = between("### setup\n", "### command\n");
    let command = between("### command\n", "### exit ");
    Capture { name, setup, command, outcome }
}

fn captures() -> Vec<Capture> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/captures/ipvsadm");
    let mut paths: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    paths.sort();
    let mut all: Vec<_> = paths.iter().map(|path| read(path)).collect();
    all.retain(|capture| !is_listed(SKIPPED, capture));
    assert!(all.len() >= CAPTURES_MIN, "{} captures", all.len());
    all
}

fn is_listed(list: &[(&str, &str)], capture: &Capture) -> bool {
    list.iter().any(|(number, _)| capture.name.starts_with(number))
}

/// Runs captures on one director; says of each whether it did as recorded, else how.
fn replay(by: By, captures: &[Capture]) -> Vec<Result<(), String>> {
    let director = Director::start();
    write_sluiceadm(&director);
    // Files that the captures make are in a folder of this test.
    let local = |text: &str| text.replace("/run/", &format!("{}/", director.folder().display()));
    let run = |text: &str| match by {
        By::Ipvsadm => director.sh(&local(text)),
        By::Sluiceadm => {
            let bin = director.folder().join("bin");
            let line = format!("PATH={}:$PATH\n{}", bin.display(), local(text));
            outcome(std::process::Command::new("bash").arg("-c").arg(line))
        }
    };
    let mut setup = String::new();
    let mut results = Vec::new();
    for capture in captures {
        if capture.setup != setup || setup.is_empty() {
            run(&format!("ipvsadm -C\n{}", capture.setup));
            setup.clone_from(&capture.setup);
        }
        let got = run(&capture.command);
        let Capture { name, command, outcome, .. } = capture;
        results.push(if got == *outcome {
            Ok(())
        } else {
            Err(format!("{name}: {command}expected {outcome:#?}\ngot {got:#?}"))
        });
    }
    results
}

/// `sluiceadm` by the name of ipvsadm, and the two scripts around it.
fn write_sluiceadm(director: &Director) {
    let bin = director.folder().join("bin");
    fs::create_dir_all(&bin).unwrap();
    let sluiceadm = program("sluiceadm");
    let socket = director.folder().join("control.sock");
    let ipvsadm =
        format!("exec timeout 60 {} --socket {} \"$@\"", sluiceadm.display(), socket.display());
    let restore = "input=$(grep -v '^#'); ipvsadm -C; echo \"$input\" | ipvsadm -R";
    for (name, text) in [
        ("ipvsadm", ipvsadm.as_str()),
        ("ipvsadm-save", "exec ipvsadm -S \"$@\""),
        ("ipvsadm-restore", restore),
    ] {
        let path = bin.join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// Compares all captures; each that is known to differ must.
fn compare(by: By, captures: &[Capture]) {
    let results = replay(by, captures);
    let all = || captures.iter().zip(&results);
    let wrong: Vec<_> = all()
        .filter(|(capture, _)| !is_listed(DIFFERENT, capture))
        .filter_map(|(_, result)| result.as_ref().err().cloned())
        .collect();
    let (total, count) = (captures.len(), wrong.len());
    assert!(wrong.is_empty(), "{count} of {total}:\n{}", wrong.join("\n"));
    for (capture, result) in all().filter(|(capture, _)| is_listed(DIFFERENT, capture)) {
        assert!(result.is_err(), "{}: no exception any more", capture.name);
    }
}

fn compare_all(by: By) {
    let mut all = captures();
    if by == By::Sluiceadm {
        all.retain(|capture| !PROC.iter().any(|number| capture.name.starts_with(number)));
    }
    compare(by, &all);
}

#[test]
fn debians_ipvsadm_prints_on_sluiced_what_it_prints_on_the_kernel() {
    compare_all(By::Ipvsadm);
}

#[test]
fn sluiceadm_prints_on_sluiced_what_ipvsadm_prints_on_the_kernel() {
    compare_all(By::Sluiceadm);
}
