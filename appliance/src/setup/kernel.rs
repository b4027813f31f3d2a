//! What changes a machine: files of the kernel, and modules.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::process::Command;

use crate::machine::Machine;

/// The kernel, as far as it is told something.
pub trait Kernel {
    /// Writes into one of its files, which exists.
    ///
    /// # Errors
    ///
    /// When there is no such file, or it refuses.
    fn put(&self, path: &str, text: &str) -> io::Result<()>;

    /// Loads a module.
    ///
    /// # Errors
    ///
    /// What `modprobe` says.
    fn load(&self, module: &str) -> io::Result<()>;
}

impl Kernel for Machine {
    fn put(&self, path: &str, text: &str) -> io::Result<()> {
        OpenOptions::new().write(true).open(self.path(path))?.write_all(text.as_bytes())
    }

    fn load(&self, module: &str) -> io::Result<()> {
        if !self.is_here() {
            return Err(io::Error::other("this is not the machine that runs"));
        }
        // An ordinary user's search path has no folder for administrators.
        let mut command = Command::new("modprobe");
        let output = command.arg(module).env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin").output()?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(io::Error::other(format!("modprobe: {}", said.trim())))
    }
}
