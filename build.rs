//! The build script of `appliance`: stamps what `--version` shows. Nothing else happens here.
//!
//! - `SLUICE_VERSION`: the workspace's version
//! - `SLUICE_GIT_REVISION`: the commit, or `unknown` outside of git; a packager who builds from an
//!   archive sets the variable of that name in the environment
//! - `SLUICE_DPDK_VERSION`: the libdpdk that `dpdk-sys` was built against

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=../build.rs");
    stamp("SLUICE_VERSION", &variable("CARGO_PKG_VERSION"));
    stamp("SLUICE_GIT_REVISION", &git_revision());
    stamp("SLUICE_DPDK_VERSION", &variable("DEP_DPDK_VERSION"));
}

fn stamp(name: &str, value: &str) {
    println!("cargo:rustc-env={name}={value}");
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| "unknown".to_owned())
}

fn git_revision() -> String {
    println!("cargo:rerun-if-env-changed=SLUICE_GIT_REVISION");
    if let Ok(revision) = env::var("SLUICE_GIT_REVISION") {
        return revision;
    }
    if !is_own_repository() {
        return "unknown".to_owned();
    }
    // The reference log is appended to by every commit and checkout, where HEAD often only names
    // a branch.
    for file in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", file])
            && Path::new(&path).exists()
        {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".to_owned())
}

/// An unpacked archive may lie inside of somebody else's repository, whose commit says nothing.
fn is_own_repository() -> bool {
    let workspace = PathBuf::from(variable("CARGO_MANIFEST_DIR")).join("..").canonicalize();
    let top = git(&["rev-parse", "--show-toplevel"]).map(|top| PathBuf::from(top).canonicalize());
    matches!((workspace, top), (Ok(workspace), Some(Ok(top))) if workspace == top)
}

/// One line of git's answer; `None` where git is absent or refuses.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let line = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !line.is_empty()).then_some(line)
}
