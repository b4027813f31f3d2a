//! Does what is planned, one step after the other, and remembers it.

use std::io;

use super::kernel::Kernel;
use super::remembered::{MemoryError, Remembered, ReservedPages, TakenNic};
use super::step::{Binding, Pages, Step};
use crate::machine::{Machine, ModuleState};

const PROBE: &str = "/sys/bus/pci/drivers_probe";
const COMPACT: &str = "/proc/sys/vm/compact_memory";

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum StepError {
    #[error("{path}: {source}{}", way_out(source))]
    Put { path: String, source: io::Error },
    #[error("{0}")]
    Load(io::Error),
    #[error(
        "the kernel found room for {got} of {wanted}: memory is in pieces; reserve them at boot, \
         with the kernel argument hugepages={wanted}"
    )]
    Pages { got: u64, wanted: u64 },
    #[error("the kernel did not give it to {wanted}, but to {got}{}", given_back(*.is_back))]
    Driver { wanted: String, got: String, is_back: bool },
    #[error(transparent)]
    Memory(#[from] MemoryError),
}

fn way_out(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied => "; run this as root",
        _ => "",
    }
}

fn given_back(is_back: bool) -> &'static str {
    if is_back { "; its own driver has it again. `dmesg` may say why" } else { "; see `dmesg`" }
}

/// Does steps.
pub(super) struct Hands<'a> {
    pub(super) machine: &'a Machine,
    pub(super) kernel: &'a dyn Kernel,
    pub(super) remembered: &'a mut Remembered,
}

impl Hands<'_> {
    pub(super) fn take(&mut self, step: &Step) -> Result<(), StepError> {
        match step {
            Step::Load(module) => self.load(module),
            Step::Reserve(pages) => self.reserve(pages),
            Step::Bind(binding) => self.bind(binding),
            Step::Release(pages) => self.release(pages),
            Step::Return { address, to, .. } => self.give_back(address, to.as_deref()),
        }
    }

    fn load(&mut self, module: &str) -> Result<(), StepError> {
        self.kernel.load(module).map_err(StepError::Load)?;
        if !self.remembered.modules.iter().any(|known| known == module) {
            self.remembered.modules.push(module.to_owned());
        }
        Ok(self.remembered.write(self.machine)?)
    }

    fn reserve(&mut self, pages: &Pages) -> Result<(), StepError> {
        self.set_pages(pages, pages.to)?;
        let mut got = self.pages(pages);
        if got < pages.to && self.kernel.put(COMPACT, "1").is_ok() {
            self.set_pages(pages, pages.to)?;
            got = self.pages(pages);
        }
        let before = self.remembered.pages_of(pages.node).cloned();
        // After a boot nothing is left of what was added before.
        let before = before.filter(|entry| pages.from >= entry.total);
        let added = got.saturating_sub(pages.from) + before.map_or(0, |entry| entry.added);
        self.remembered.hugepages.retain(|entry| entry.node != pages.node);
        self.remembered.hugepages.push(ReservedPages {
            node: pages.node,
            needed: pages.needed,
            added,
            // Not what was got: the next time it is tried again.
            total: pages.to,
        });
        self.remembered.write(self.machine)?;
        if got < pages.to {
            return Err(StepError::Pages { got, wanted: pages.to });
        }
        Ok(())
    }

    fn release(&mut self, pages: &Pages) -> Result<(), StepError> {
        self.set_pages(pages, pages.to)?;
        self.remembered.hugepages.retain(|entry| entry.node != pages.node);
        Ok(self.remembered.write(self.machine)?)
    }

    fn pages(&self, pages: &Pages) -> u64 {
        self.machine.number(&pages.file).unwrap_or(0)
    }

    fn set_pages(&self, pages: &Pages, count: u64) -> Result<(), StepError> {
        self.put(&pages.file, &count.to_string())
    }

    fn bind(&mut self, binding: &Binding) -> Result<(), StepError> {
        let Binding { nic, mac, to, forced, .. } = binding;
        // Remembered before it is done: a NIC that nobody knows the driver of is lost.
        let known = self.remembered.nic(&nic.address).cloned();
        let entry = known.clone().unwrap_or_else(|| TakenNic {
            address: nic.address.clone(),
            id: nic.id(),
            mac: mac.clone(),
            interface: nic.interfaces.first().cloned(),
            before: nic.driver.clone(),
            forced: *forced,
        });
        let is_new = known.is_none();
        if is_new {
            self.remembered.nics.push(entry);
            self.remembered.write(self.machine)?;
        }
        let done = self.rebind(&nic.address, Some(to)).and_then(|()| {
            let got = self.driver(&nic.address);
            if got.as_deref() == Some(to) { Ok(()) } else { Err(self.wrong_driver(got, to)) }
        });
        let Err(problem) = done else { return Ok(()) };
        // As if nothing had been.
        let is_back =
            self.rebind(&nic.address, None).is_ok() && self.driver(&nic.address) == nic.driver;
        if is_back && is_new {
            self.remembered.nics.retain(|it| it.address != nic.address);
            self.remembered.write(self.machine)?;
        }
        Err(match problem {
            StepError::Driver { wanted, got, .. } => StepError::Driver { wanted, got, is_back },
            other => other,
        })
    }

    fn give_back(&mut self, address: &str, to: Option<&str>) -> Result<(), StepError> {
        if let Some(to) = to
            && self.machine.module(to) == ModuleState::Loadable
        {
            self.kernel.load(to).map_err(StepError::Load)?;
        }
        self.rebind(address, None)?;
        let got = self.driver(address);
        if to.is_some_and(|to| got.as_deref() != Some(to)) {
            return Err(self.wrong_driver(got, to.unwrap_or_default()));
        }
        self.remembered.nics.retain(|nic| nic.address != address);
        Ok(self.remembered.write(self.machine)?)
    }

    fn wrong_driver(&self, got: Option<String>, wanted: &str) -> StepError {
        let got = got.unwrap_or_else(|| "nobody".to_owned());
        StepError::Driver { wanted: wanted.to_owned(), got, is_back: false }
    }

    /// Gives a device to a driver, or to the one that the kernel chooses.
    fn rebind(&self, address: &str, driver: Option<&str>) -> Result<(), StepError> {
        let folder = format!("/sys/bus/pci/devices/{address}");
        // An empty line is how it is cleared.
        let wish = driver.map_or_else(|| "\n".to_owned(), |driver| format!("{driver}\n"));
        self.put(&format!("{folder}/driver_override"), &wish)?;
        if self.driver(address).is_some() {
            self.put(&format!("{folder}/driver/unbind"), address)?;
        }
        match self.put(PROBE, address) {
            // The answer of a driver that does not want it; what came of it is looked at.
            Err(StepError::Put { source, .. }) if source.raw_os_error().is_some() => Ok(()),
            other => other,
        }
    }

    fn driver(&self, address: &str) -> Option<String> {
        self.machine.link(&format!("/sys/bus/pci/devices/{address}/driver"))
    }

    fn put(&self, path: &str, text: &str) -> Result<(), StepError> {
        let wrong = |source| StepError::Put { path: path.to_owned(), source };
        self.kernel.put(path, text).map_err(wrong)
    }
}
