//! The command line of `sluiced`.

use std::path::PathBuf;

use clap::Parser;

use crate::version;

/// The Sluice director: balances the traffic of virtual services, in the foreground.
#[derive(Debug, Parser)]
#[command(name = "sluiced", version = version::version())]
pub struct Arguments {
    /// Configuration file (YAML)
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Check the configuration, say what is wrong with it, and start nothing
    #[arg(long)]
    pub check: bool,
}
