//! The director on emulated hardware: QEMU with NICs of several kinds, bound to the kernel's
//! drivers for user space, in a lab with real clients and real servers; and the appliance's image.
//!
//! `make test-machine` runs it. It needs root and what `scripts/setup machine` gets, and emulates
//! the processor in software unless told otherwise, so it works without KVM, and slowly.
//!
//! | variable | |
//! | --- | --- |
//! | `ONLY=TEXT` | the machines whose name has that |
//! | `SLUICE_PROGRAMS=FOLDER` | tests the programs in that folder instead of those just built |
//! | `SLUICE_IMAGE=FILE` | boots that image instead of `target/image/sluice.img` |
//! | `SLUICE_ACCEL=kvm` | lets QEMU run processors by that instead of `tcg,thread=multi` |

#[path = "../lab/support"]
#[expect(dead_code, reason = "the lab uses the rest")]
mod support {
    pub(crate) mod config;
    pub(crate) mod director;
    pub(crate) mod lab;
    pub(crate) mod tools;
}

mod agent; // commands for a guest
mod appliance; // a guest that boots the image
mod checks; // what is claimed, and what came of it
mod images; // what the image lives through
mod machine; // an emulated machine
mod monitor; // QEMU's own control
mod network; // what the machine is in
mod nics; // kinds of NICs, and what the director does on each
mod service; // what clients get
mod small; // a guest with little more than the director

use std::process::ExitCode;

use self::checks::Checks;
use self::support::{config, director, lab, tools};

fn main() -> ExitCode {
    // `cargo test` runs every test program; this one takes minutes.
    if !std::env::args().any(|argument| argument == "--run") {
        println!("the machines are run by `make test-machine`");
        return ExitCode::SUCCESS;
    }
    let only = std::env::var("ONLY").unwrap_or_default();
    let mut checks = Checks::default();
    nics::run(&only, &mut checks);
    images::run(&only, &mut checks);
    checks.conclude()
}
