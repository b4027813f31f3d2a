//! Interfaces of the kernel.

use super::Machine;

/// An interface of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    pub name: String,
    pub mac: Option<String>,
    /// Whether somebody has set it up.
    pub is_up: bool,
    /// Whether the cable is in, where the kernel says it.
    pub has_link: Option<bool>,
    pub speed_mbps: Option<u64>,
}

impl Machine {
    /// The interface of that name.
    pub fn interface(&self, name: &str) -> Option<Interface> {
        let folder = format!("/sys/class/net/{name}");
        if name.is_empty() || name.contains('/') || !self.has(&folder) {
            return None;
        }
        let flags = self.text(&format!("{folder}/flags")).unwrap_or_default();
        let flags = u64::from_str_radix(flags.trim_start_matches("0x"), 16).unwrap_or(0);
        Some(Interface {
            name: name.to_owned(),
            mac: self.text(&format!("{folder}/address")).filter(|mac| !mac.is_empty()),
            // IFF_UP of netdevice(7).
            is_up: flags & 1 == 1,
            // Cannot be read while the interface is down.
            has_link: self.number(&format!("{folder}/carrier")).map(|carrier| carrier == 1),
            speed_mbps: self.number(&format!("{folder}/speed")).filter(|speed| *speed > 0),
        })
    }

    /// An interface and what it rests on: of a bond its members, of a VLAN its parent.
    pub fn with_lower(&self, name: &str) -> Vec<String> {
        let mut found = vec![name.to_owned()];
        let mut at = 0;
        while let Some(name) = found.get(at).cloned() {
            for entry in self.names(&format!("/sys/class/net/{name}")) {
                if let Some(lower) = entry.strip_prefix("lower_")
                    && !found.iter().any(|known| known == lower)
                {
                    found.push(lower.to_owned());
                }
            }
            at += 1;
        }
        found
    }
}
