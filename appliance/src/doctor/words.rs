//! The words of `sluicectl doctor`.

use std::path::PathBuf;

use clap::Args;

/// `doctor`
#[derive(Args, Clone, Debug)]
pub struct DoctorWords {
    /// The configuration to look for [default: /etc/sluice/sluice.yaml, if there is one]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The folder that the machine's files are below
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    pub root: PathBuf,
}
