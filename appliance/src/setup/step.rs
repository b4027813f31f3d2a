//! The single things that are done to a machine.

use std::fmt;

use crate::machine::Nic;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Loads a module.
    Load(String),
    Reserve(Pages),
    Bind(Binding),
    /// Gives pages back.
    Release(Pages),
    /// Gives a NIC back to its own driver, or to whichever the kernel finds.
    Return {
        address: String,
        from: String,
        to: Option<String>,
    },
}

/// Huge pages of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pages {
    /// The file that says how many there are to be.
    pub(super) file: String,
    pub(super) node: Option<usize>,
    pub(super) from: u64,
    pub(super) to: u64,
    /// How many the configuration needs.
    pub(super) needed: u64,
}

/// A NIC that is given away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binding {
    pub(super) nic: Nic,
    pub(super) mac: Option<String>,
    pub(super) port: Option<String>,
    /// The driver that it gets.
    pub(super) to: &'static str,
    pub(super) forced: bool,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let driver = |driver: &Option<String>| driver.clone().unwrap_or_else(|| "no driver".into());
        match self {
            Self::Load(module) => write!(f, "load the module {module}"),
            Self::Reserve(pages) => write!(f, "reserve huge pages{pages}"),
            Self::Release(pages) => write!(f, "give huge pages back{pages}"),
            Self::Bind(Binding { nic, port, to, .. }) => {
                write!(f, "bind {} to {to}, from {}", nic.address, driver(&nic.driver))?;
                if !nic.interfaces.is_empty() {
                    write!(f, ": the kernel loses {}", nic.interfaces.join(", "))?;
                }
                port.as_ref().map_or(Ok(()), |port| write!(f, " (port {port})"))
            }
            Self::Return { address, from, to } => {
                let to = to.as_deref().unwrap_or("whichever driver the kernel finds");
                write!(f, "give {address} back to {to}, from {from}")
            }
        }
    }
}

impl fmt::Display for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(node) = self.node {
            write!(f, " of node {node}")?;
        }
        write!(f, ": from {} to {} of 2M", self.from, self.to)
    }
}
