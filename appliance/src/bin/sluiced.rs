//! The director.

use std::path::PathBuf;
use std::process::ExitCode;

use appliance::{assemble, daemon, version};
use clap::Parser;

/// The Sluice director: balances the traffic of virtual services, in the foreground.
#[derive(Debug, Parser)]
#[command(name = "sluiced", version = version::version())]
struct Arguments {
    /// Configuration file (YAML)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Check the configuration, say what is wrong with it, and start nothing
    #[arg(long)]
    check: bool,
}

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
