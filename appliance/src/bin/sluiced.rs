//! The director.

use std::process::ExitCode;

use appliance::arguments::Arguments;
use appliance::config::ConfigErrors;
use appliance::{assemble, daemon};
use clap::Parser;

/// Exit code for a configuration that is wrong, as sysexits.h has it: to try again is of no use.
const CONFIG: u8 = 78;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = if arguments.check {
        assemble::load(&arguments.config).map_err(anyhow::Error::new).map(|_| {
            println!("{}: the configuration is valid", arguments.config.display());
        })
    } else {
        daemon::run(&arguments.config)
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem:#}");
            let errors = problem.downcast_ref::<ConfigErrors>();
            if errors.is_some_and(|errors| !errors.may_pass()) {
                ExitCode::from(CONFIG)
            } else {
                // A NIC that was pulled out may be put in again.
                ExitCode::FAILURE
            }
        }
    }
}
