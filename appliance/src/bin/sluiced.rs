//! The director.

use std::process::ExitCode;

use appliance::arguments::Arguments;
use appliance::{assemble, daemon};
use clap::Parser;

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
            ExitCode::FAILURE
        }
    }
}
