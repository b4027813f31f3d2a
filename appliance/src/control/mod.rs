//! The control socket: how commands come in (see `docs/control.md`).

pub mod addresses;
pub mod asker;
pub mod audit;
#[cfg(test)]
mod bench;
pub mod budget;
pub mod client;
pub mod command;
pub mod drain;
pub mod drops;
pub mod explain;
pub mod flows;
pub mod grammar;
pub mod listener;
pub mod log;
pub mod log_file;
pub mod marks;
pub mod neighbours;
pub mod netlink;
pub mod permissions;
pub mod places;
pub mod ports;
pub mod protocol;
pub mod reload;
pub mod report;
pub mod request;
pub mod routes;
pub mod server;
pub mod services;
pub mod status;
pub mod switches;
pub mod sync;
mod verb_name;

use std::path::PathBuf;

/// Where the control socket is unless somebody says otherwise.
pub const DEFAULT_SOCKET: &str = "/run/sluice/control.sock";

/// Where the netlink socket is unless somebody says otherwise.
pub const DEFAULT_NETLINK_SOCKET: &str = "/run/sluice/netlink.sock";

/// The control socket that a client talks to: the option, `$SLUICE_SOCKET`, or the default.
pub fn socket_path(option: Option<PathBuf>) -> PathBuf {
    option
        .or_else(|| std::env::var_os("SLUICE_SOCKET").map(PathBuf::from))
        .unwrap_or_else(|| DEFAULT_SOCKET.into())
}
