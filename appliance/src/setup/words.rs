//! The words of `sluicectl setup`.

use std::path::PathBuf;

use clap::Args;

/// `setup`
#[derive(Args, Clone, Debug, Default)]
pub struct SetupWords {
    /// Does it, and remembers it for the next boots
    #[arg(long, conflicts_with_all = ["undo", "restore"])]
    pub apply: bool,
    /// Gives NICs and huge pages back, and forgets them
    #[arg(long, conflicts_with = "restore")]
    pub undo: bool,
    /// Does again what is remembered, as at boot
    #[arg(long)]
    pub restore: bool,
    /// With --restore: also what the configuration asks for, though nobody has applied it
    #[arg(long, requires = "restore")]
    pub auto: bool,
    /// Takes a NIC even from the default route, an ssh session or its addresses
    #[arg(long)]
    pub force: bool,
    /// The configuration [default: /etc/sluice/sluice.yaml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The folder that the machine's files are below
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    pub root: PathBuf,
}
