//! What the user may do, and the device behind the kernel's interfaces.

use super::{Item, Severity, Subject};
use crate::machine::Capability;

pub(super) fn look(subject: &Subject<'_>) -> Vec<Item> {
    vec![tun(subject), rights(subject)]
}

fn tun(subject: &Subject<'_>) -> Item {
    let name = "tun";
    if subject.machine.has("/dev/net/tun") {
        return Item::fine(name, "/dev/net/tun is there");
    }
    let severity = match &subject.needs {
        None => Severity::Warning,
        Some(needs) if needs.tun => Severity::Error,
        Some(_) => {
            return Item::fine(name, "there is no /dev/net/tun, and no port has `kernel: true`");
        }
    };
    let found = "there is no /dev/net/tun: ports cannot have interfaces of the kernel";
    Item::wrong(name, severity, found, "modprobe tun")
}

fn rights(subject: &Subject<'_>) -> Item {
    let name = "rights";
    let rights = subject.machine.rights();
    let uses_nics = subject.needs.as_ref().is_none_or(|needs| !needs.nics.is_empty());
    let wanted = [
        (Capability::NetAdmin, true),
        (Capability::NetRaw, true),
        (Capability::IpcLock, uses_nics),
        (Capability::SysRawio, uses_nics),
        (Capability::SysAdmin, uses_nics),
    ];
    let missing = wanted.iter().filter(|(right, is_wanted)| *is_wanted && !rights.has(*right));
    let missing: Vec<_> = missing.map(|(right, _)| right.name()).collect();
    if missing.is_empty() {
        return Item::fine(name, "this user may do what the director does");
    }
    let mut found = format!("this user lacks {}", missing.join(", "));
    if let Some(bytes) = rights.locked_max
        && missing.contains(&Capability::IpcLock.name())
    {
        found.push_str(&format!(", and may lock {} MiB of memory", bytes >> 20));
    }
    Item::warning(name, found, "run the director and this as root, as its unit does")
}
