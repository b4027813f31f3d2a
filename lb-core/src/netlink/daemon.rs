//! The attribute DAEMON: the connection synchronisation.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::attribute::{Attributes, Policy, Put};
use super::errno::Errno;
use crate::operations::{DaemonRole, DaemonRow, DaemonSettings};

const STATE: u16 = 1;
const INTERFACE: u16 = 2;
const SYNC_ID: u16 = 3;
const LENGTH_MAX: u16 = 4;
const GROUP: u16 = 5;
const GROUP6: u16 = 6;
const PORT: u16 = 7;
const TTL: u16 = 8;

const POLICIES: [Policy; 8] = [
    Policy::U32,
    Policy::Text(15),
    Policy::U32,
    Policy::U16,
    Policy::U32,
    Policy::AtLeast(16),
    Policy::U16,
    Policy::U8,
];

const MASTER: u32 = 1;
const BACKUP: u32 = 2;

/// The number of a role.
pub(super) const fn state(role: DaemonRole) -> u32 {
    match role {
        DaemonRole::Master => MASTER,
        DaemonRole::Backup => BACKUP,
    }
}

/// The role of a number.
pub(super) const fn role(state: u32) -> Result<DaemonRole, Errno> {
    match state {
        MASTER => Ok(DaemonRole::Master),
        BACKUP => Ok(DaemonRole::Backup),
        _ => Err(Errno::EINVAL),
    }
}

fn parse(nest: Option<&[u8]>) -> Result<Attributes<'_, 8>, Errno> {
    Attributes::parse(nest.ok_or(Errno::EINVAL)?, &POLICIES).map_err(|_| Errno::EINVAL)
}

/// What NEW_DAEMON asks for, with the checks of `ip_vs_genl_new_daemon` in its order.
pub(super) fn start(nest: Option<&[u8]>) -> Result<DaemonSettings, Errno> {
    let attributes = parse(nest)?;
    let state = attributes.u32(STATE).ok_or(Errno::EINVAL)?;
    let interface = attributes.text(INTERFACE).ok_or(Errno::EINVAL)?;
    let sync_id = attributes.u32(SYNC_ID).ok_or(Errno::EINVAL)?;
    let group = match attributes.bytes::<4>(GROUP) {
        Some(bytes) => Some(IpAddr::from(Ipv4Addr::from(bytes))),
        None => attributes.bytes::<16>(GROUP6).map(|bytes| Ipv6Addr::from(bytes).into()),
    };
    if group.is_some_and(|group| !group.is_multicast()) {
        return Err(Errno::EINVAL);
    }
    Ok(DaemonSettings {
        role: role(state)?,
        interface,
        sync_id: u8::try_from(sync_id).map_err(|_| Errno::EOPNOTSUPP)?,
        max_length: attributes.u16(LENGTH_MAX).filter(|&length| length != 0),
        group,
        port: attributes.u16(PORT).filter(|&port| port != 0),
        ttl: attributes.u8(TTL).filter(|&ttl| ttl != 0),
    })
}

/// Which daemon DEL_DAEMON means: the role and the number, which does not count.
pub(super) fn stop(nest: Option<&[u8]>) -> Result<(DaemonRole, u8), Errno> {
    let attributes = parse(nest)?;
    let role = role(attributes.u32(STATE).ok_or(Errno::EINVAL)?)?;
    let [sync_id, ..] = attributes.u32(SYNC_ID).unwrap_or(0).to_le_bytes();
    Ok((role, sync_id))
}

/// Writes a daemon as the kernel lists it (`ip_vs_genl_fill_daemon`); `kind` is the attribute.
pub(super) fn fill(to: &mut Vec<u8>, kind: u16, row: &DaemonRow) {
    let nest = to.begin(kind);
    to.put_u32(STATE, state(row.role));
    to.put_text(INTERFACE, &row.interface);
    to.put_u32(SYNC_ID, u32::from(row.sync_id));
    to.put_u16(LENGTH_MAX, row.max_length);
    to.put_u16(PORT, row.port);
    to.put_u8(TTL, row.ttl);
    match row.group {
        IpAddr::V4(group) => to.put(GROUP, &group.octets()),
        IpAddr::V6(group) => to.put(GROUP6, &group.octets()),
    }
    to.end(nest);
}
