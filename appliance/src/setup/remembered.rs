//! What was set up, so that it is done again at the next boot, and can be undone.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::machine::Machine;

/// Where it is kept.
pub const FILE: &str = "/var/lib/sluice/setup.json";

/// The form of the file.
const VERSION: u32 = 1;

/// All that is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    version: u32,
    /// NICs that were taken from their drivers.
    pub nics: Vec<TakenNic>,
    /// Huge pages that were reserved.
    pub hugepages: Vec<ReservedPages>,
    /// Modules that were loaded.
    pub modules: Vec<String>,
}

impl Default for Remembered {
    fn default() -> Self {
        Self { version: VERSION, nics: Vec::new(), hugepages: Vec::new(), modules: Vec::new() }
    }
}

/// A NIC that was taken from its driver, as it was before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenNic {
    /// Its PCI address.
    pub address: String,
    /// Vendor and device, `8086:10d3`: by them it is known that it is still the same.
    pub id: String,
    pub mac: Option<String>,
    /// The kernel's interface on it.
    pub interface: Option<String>,
    /// The driver that it had; none: nobody had it.
    pub before: Option<String>,
    /// Whether it was taken though somebody used it.
    pub forced: bool,
}

/// Huge pages that were reserved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservedPages {
    /// The node; none: wherever there was room.
    pub node: Option<usize>,
    /// How many the configuration needed.
    pub needed: u64,
    /// How many were added for that.
    pub added: u64,
    /// How many there were then.
    pub total: u64,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    #[error("{}: cannot be read: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "{}: is not what `sluicectl setup` writes ({problem}); move it away, and give NICs back by \
         hand that were taken",
        path.display()
    )]
    Form { path: PathBuf, problem: String },
    #[error("{}: cannot be written: {source}; run this as root", path.display())]
    Write { path: PathBuf, source: io::Error },
}

impl Remembered {
    /// Reads it; nothing is remembered where there is no file.
    ///
    /// # Errors
    ///
    /// Where there is one that cannot be used.
    pub fn read(machine: &Machine) -> Result<Self, MemoryError> {
        let path = machine.path(FILE);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(MemoryError::Read { path, source }),
        };
        let form = |problem: String| MemoryError::Form { path: path.clone(), problem };
        let read: Self = serde_json::from_slice(&bytes).map_err(|it| form(it.to_string()))?;
        if read.version != VERSION {
            return Err(form(format!("version {}, not {VERSION}", read.version)));
        }
        Ok(read)
    }

    /// Writes it, as a whole or not at all; where nothing is left, there is no file.
    ///
    /// # Errors
    ///
    /// Where it cannot be written.
    pub fn write(&self, machine: &Machine) -> Result<(), MemoryError> {
        let path = machine.path(FILE);
        let wrong = |source| MemoryError::Write { path: path.clone(), source };
        if *self == Self::default() {
            return match fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => Err(wrong(source)),
                _ => Ok(()),
            };
        }
        let write = || {
            fs::create_dir_all(path.parent().unwrap_or(&path))?;
            let new = path.with_extension("json.new");
            let mut file = File::create(&new)?;
            file.write_all(&serde_json::to_vec_pretty(self)?)?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            fs::rename(&new, &path)
        };
        write().map_err(wrong)
    }

    /// The entry of pages on a node.
    pub fn pages_of(&self, node: Option<usize>) -> Option<&ReservedPages> {
        self.hugepages.iter().find(|entry| entry.node == node)
    }

    /// The NIC with that address.
    pub fn nic(&self, address: &str) -> Option<&TakenNic> {
        self.nics.iter().find(|nic| nic.address == address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::fixture::Fixture;

    #[test]
    fn what_is_written_is_read_and_nothing_is_no_file() {
        let fixture = Fixture::new();
        let machine = fixture.machine();
        assert_eq!(Remembered::read(&machine).unwrap(), Remembered::default());
        let remembered = Remembered {
            hugepages: vec![ReservedPages { node: Some(1), needed: 5, added: 4, total: 9 }],
            ..Remembered::default()
        };
        remembered.write(&machine).unwrap();
        assert_eq!(Remembered::read(&machine).unwrap(), remembered);
        Remembered::default().write(&machine).unwrap();
        Remembered::default().write(&machine).unwrap();
        assert!(!machine.has(FILE));
    }

    #[test]
    fn a_file_of_another_form_is_named() {
        let fixture = Fixture::new();
        for text in ["{", "{}", r#"{"version":2,"nics":[],"hugepages":[],"modules":[]}"#] {
            fixture.write(FILE, text);
            let problem = Remembered::read(&fixture.machine()).unwrap_err().to_string();
            assert!(problem.contains("setup.json: is not what"), "{problem}");
        }
    }
}
