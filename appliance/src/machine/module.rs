//! Modules of the kernel.

use super::Machine;

/// Whether a module can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModuleState {
    /// It is loaded, or a part of the kernel.
    Present,
    /// `modprobe` finds it.
    Loadable,
    /// The running kernel has none of that name.
    Missing,
}

impl Machine {
    /// What there is of a module. In its name `-` and `_` are the same.
    pub fn module(&self, name: &str) -> ModuleState {
        let plain = name.replace('-', "_");
        // Parts of the kernel stand there, too, but only those that have parameters.
        if self.has(&format!("/sys/module/{plain}"))
            || self.has(&format!("/sys/bus/pci/drivers/{name}"))
        {
            return ModuleState::Present;
        }
        let release = self.text("/proc/sys/kernel/osrelease").unwrap_or_default();
        let lists = |file: &str| {
            let text = self.text(&format!("/lib/modules/{release}/{file}")).unwrap_or_default();
            text.lines().any(|line| {
                let path = line.split(':').next().unwrap_or_default();
                let file = path.rsplit('/').next().unwrap_or_default();
                let stem = file.split(".ko").next().unwrap_or_default();
                stem.replace('-', "_") == plain
            })
        };
        if lists("modules.builtin") {
            ModuleState::Present
        } else if lists("modules.dep") {
            ModuleState::Loadable
        } else {
            ModuleState::Missing
        }
    }
}
