//! The configuration file of `sluiced`.
//!
//! Two steps lead from text to settings, and every mistake on the way is collected, not only the
//! first one:
//!
//! 1. `yaml` reads the text into a tree in which every node knows its line and column, and
//!    `raw` reads that tree by the one list of keys (`keys`) into what the file said, each
//!    value with its position.
//! 2. `validate` looks at what the values say of each other (overlapping addresses, gateways
//!    that no port reaches, ...) and makes the [`Config`], in which nothing is open any more.
//!
//! Two crates share the reading, for a reason. `serde_yaml` stops at the first mistake and gives
//! its values no positions, so structure and positions come from the events of `saphyr-parser`.
//! Streaming them also means that depth and number of nodes are bounded while reading and that
//! aliases, which are refused, are never expanded. What an unquoted scalar *is* (a number, null,
//! text) follows `serde_yaml`, and a test holds the tree against `serde_yaml`'s own reading.
//!
//! Nothing here knows DPDK: a configuration can be checked on any machine.

mod addresses;
mod attach;
mod device;
mod effect;
mod error;
mod interfaces;
mod keys;
mod links;
mod marks;
mod raw;
mod section;
mod services;
mod session_log;
mod settings;
mod suggestion;
#[cfg(test)]
mod tests;
mod validate;
mod values;
mod yaml;

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use lb_core::ipvsadm::Names;

pub use attach::Attach;
pub use device::{Device, NicName};
pub use effect::{Changed, Effect, changed};
pub use error::{ConfigError, ConfigErrors, Position};
pub use keys::{Fallback, Key, Kind, keys, markdown_table};
pub use session_log::SessionLogConfig;
pub use settings::{
    ArpConfig, AuditTarget, Config, ControlConfig, EalConfig, FragmentsConfig, Hugepages,
    IdleConfig, IdleMode, InterfaceAddress, InterfaceConfig, KernelConfig, LogConfig, MarksConfig,
    Mbufs, MetricsConfig, PortConfig, Route, StaticNeighbour, Subnet, TakenProtocol, TunnelConfig,
    VlanConfig, Workers,
};

/// Longest configuration file that is read: 16 MiB, which is some 300,000 service lines.
pub const FILE_BYTES_MAX: u64 = 16 << 20;

/// What the checks need to know of the world outside the file.
pub struct Environment<'a> {
    /// The CPUs that workers may run on.
    pub cpus: Vec<usize>,
    /// Checks the commands of `services` as a whole: gets them without comments and empty lines,
    /// without white space around them, and names each wrong one by its index in that slice.
    pub check_services: CheckServices<'a>,
    /// Names of ports in `marks`.
    pub names: &'a dyn Names,
    /// The PCI address of a NIC that is named otherwise, or why there is none.
    pub find_nic: FindNic<'a>,
}

/// Finds a NIC.
pub type FindNic<'a> = &'a dyn Fn(&NicName) -> Result<String, String>;

/// Finds none: for configurations of no machine.
#[cfg(test)]
pub(crate) fn no_nics(name: &NicName) -> Result<String, String> {
    Err(format!("no NIC has the {name}"))
}

/// A check of service lines: (index in the slice, what is wrong) for each mistake.
pub type CheckServices<'a> = &'a dyn Fn(&[&str]) -> Vec<(usize, String)>;

impl fmt::Debug for Environment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").field("cpus", &self.cpus).finish_non_exhaustive()
    }
}

/// Reads and checks a configuration file.
///
/// # Errors
///
/// Every mistake of the file, sorted by position; or the one reason why it could not be read.
pub fn load(path: &Path, environment: &Environment<'_>) -> Result<Config, ConfigErrors> {
    let name = path.display().to_string();
    let mut errors = ConfigErrors::new(&name);
    match read(path) {
        Ok(bytes) => match text_of(&bytes) {
            Ok(text) => return parse(&name, text, environment),
            Err((position, message)) => errors.at(position, message),
        },
        Err(message) => errors.of_file(message),
    }
    Err(errors)
}

/// Checks the text of a configuration file that messages call `name`.
///
/// # Errors
///
/// Every mistake of the text, sorted by position.
pub fn parse(
    name: &str,
    text: &str,
    environment: &Environment<'_>,
) -> Result<Config, ConfigErrors> {
    let mut errors = ConfigErrors::new(name);
    let config = check(text, environment, &mut errors);
    errors.sort();
    match config {
        Some(config) if errors.is_empty() => Ok(config),
        _ => Err(errors),
    }
}

fn check(text: &str, environment: &Environment<'_>, errors: &mut ConfigErrors) -> Option<Config> {
    if text.len() as u64 > FILE_BYTES_MAX {
        errors.of_file(too_long());
        return None;
    }
    let tree = yaml::read(text, errors)?;
    let raw = raw::read(&tree, errors)?;
    validate::validate(raw, text, environment, errors)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    // Asked before the file is opened: opening a FIFO would wait for its writer.
    let metadata = path.metadata().map_err(|e| cannot_read(&e))?;
    if metadata.is_dir() {
        return Err("is a directory; name the configuration file in it".to_owned());
    }
    if !metadata.is_file() {
        return Err("is not a regular file; name a file that holds the configuration".to_owned());
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|e| cannot_read(&e))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(too_long());
    }
    Ok(bytes)
}

fn cannot_read(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "does not exist; name an existing file".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "may not be read by this user; change its permissions".to_owned()
        }
        _ => format!("cannot be read: {error}"),
    }
}

fn too_long() -> String {
    format!(
        "is longer than {} MiB; is it the right file? Services can also be loaded through the \
         control socket",
        FILE_BYTES_MAX >> 20
    )
}

/// The text of a file's bytes, or where it stops being UTF-8.
fn text_of(bytes: &[u8]) -> Result<&str, (Position, String)> {
    std::str::from_utf8(bytes).map_err(|error| {
        let good = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        let line = good.matches('\n').count() + 1;
        let column = good.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
        let byte = bytes.get(error.valid_up_to()).copied().unwrap_or_default();
        let message = format!("byte 0x{byte:02x} is not UTF-8; save the file as UTF-8 text");
        (Position::new(line, column), message)
    })
}
