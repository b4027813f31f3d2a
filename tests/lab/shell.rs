//! `make lab`: the page that leads through it is typed into its shell.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::director::{program, reply};
use crate::support::lab::Lab;

/// The commands of `docs/lab.md`, as a script that ends with the first one that does not end as it
/// should: those with `!` in front have to fail.
fn script() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/lab.md");
    let page = std::fs::read_to_string(path).expect("the page is there");
    let blocks = page.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lines = blocks.flat_map(str::lines).map(|line| match line.strip_prefix("! ") {
        Some(fails) => format!("if {fails}; then exit 9; fi\n"),
        None => format!("{line}\n"),
    });
    format!("set -euo pipefail\nset -x\n{}", lines.collect::<String>())
}

#[test]
fn the_page_about_the_lab_can_be_typed_into_it() {
    // Nothing is done in this one: it has the turn, and a folder.
    let lab = Lab::new();
    let typed = lab.dir().join("typed");
    let told = lab.dir().join("told");
    let script = script() + "echo \"left behind: $LAB_DIR\"\n";
    std::fs::write(&typed, script).expect("the lab's folder is writable");
    let file = std::fs::File::create(&told).expect("the lab's folder is writable");
    let folder = program("sluiced");
    let status = Command::new("timeout")
        .args(["-s", "TERM", "60", "bash"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo/lab"))
        .env("SLUICE_PROGRAMS", folder.parent().expect("it is in a folder"))
        .stdin(std::fs::File::open(&typed).expect("written above"))
        .stdout(file.try_clone().expect("a descriptor is free"))
        .stderr(Stdio::from(file))
        .status()
        .expect("bash is installed");
    let told = std::fs::read_to_string(&told).expect("it is text");
    assert!(status.success(), "{status}:\n{told}");
    let shown =
        ["rs1\n", "rs2\n", "rs3\n", "rs4\n", " SYN_RECV ", " ASSURED ", "Complete requests:"];
    for text in shown {
        assert!(told.contains(text), "no {text:?} in\n{told}");
    }
    let (_, folder) = told.rsplit_once("left behind: ").expect("the last line");
    let folder = Path::new(folder.trim());
    assert!(!folder.exists(), "{} is left behind", folder.display());
    let name = folder.file_name().and_then(|name| name.to_str()).expect("a name");
    let prefix = name.split('.').next().expect("a prefix");
    let hosts = reply(Command::new("ip").args(["netns", "list"])).stdout;
    assert!(!hosts.contains(&format!("{prefix}-")), "{prefix}: {hosts}");
}
