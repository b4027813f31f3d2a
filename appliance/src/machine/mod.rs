//! What the machine is, as the kernel tells it in `/proc` and `/sys`.
//!
//! All is read below a folder, so that a machine with something taken away is a folder of files.

mod capabilities;
mod cpu;
mod cpu_list;
#[cfg(test)]
pub(crate) mod fixture;
mod hugepages;
mod interface;
mod iommu;
mod memory;
mod module;
mod pci;
mod pmd;
mod route;
mod ssh;

use std::fs;
use std::path::{Path, PathBuf};

pub use capabilities::{Capability, Rights};
pub use cpu::Cpus;
pub use cpu_list::show as show_cpus;
pub use hugepages::{HUGEPAGE_KIB, Pool};
pub use interface::Interface;
pub use iommu::Iommu;
pub use memory::Memory;
pub use module::ModuleState;
pub use pci::Nic;
pub use pmd::{Bound, Pmd, Pmds};
pub use route::Routes;

/// A machine, by the folder that its `/proc`, `/sys`, `/dev` and `/usr` are in.
#[derive(Clone, Debug)]
pub struct Machine {
    root: PathBuf,
}

impl Machine {
    /// The machine below a folder; `/` is this one.
    pub fn under(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Where a file of the machine is: `/proc/meminfo`.
    pub fn path(&self, absolute: &str) -> PathBuf {
        self.root.join(absolute.trim_start_matches('/'))
    }

    /// Whether it is the machine that this program runs on.
    pub fn is_here(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Whether there is such a file or folder.
    pub fn has(&self, absolute: &str) -> bool {
        self.path(absolute).exists()
    }

    /// The text of a file without white space around it, if it can be read.
    pub fn text(&self, absolute: &str) -> Option<String> {
        let bytes = fs::read(self.path(absolute)).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    /// The number that a file consists of.
    pub fn number(&self, absolute: &str) -> Option<u64> {
        self.text(absolute)?.parse().ok()
    }

    /// The names in a folder, sorted; none where there is no such folder.
    pub fn names(&self, absolute: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(absolute)).into_iter().flatten().flatten();
        let mut names: Vec<_> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// The last part of where a symbolic link leads: of `driver` the driver's name.
    pub fn link(&self, absolute: &str) -> Option<String> {
        let target = fs::read_link(self.path(absolute)).ok()?;
        Some(target.file_name()?.to_string_lossy().into_owned())
    }

    /// A field of a file of lines `name: value`, such as `/proc/self/status`.
    pub fn field(&self, absolute: &str, name: &str) -> Option<String> {
        let text = self.text(absolute)?;
        text.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            (found.trim() == name).then(|| value.trim().to_owned())
        })
    }

    /// Whether a program of that name runs.
    pub fn runs(&self, program: &str) -> bool {
        let numbers = self.names("/proc").into_iter();
        let mut processes = numbers.filter(|name| name.bytes().all(|b| b.is_ascii_digit()));
        processes.any(|id| self.text(&format!("/proc/{id}/comm")).as_deref() == Some(program))
    }
}
