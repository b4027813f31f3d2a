//! A family of Sluice's own, for the preload library: what programs get from the kernel's IPVS
//! otherwise than by netlink. Its number is fixed and nlctrl does not tell it. `docs/netlink.md`
//! describes the messages.

use super::attribute::{Attributes, Policy, Put};
use super::errno::Errno;
use super::message::{Message, Replies};
use super::{Access, sockopt};
use crate::operations::Operations;
use crate::proc_files;

/// The number of the family.
pub(super) const FAMILY: u16 = 29;
const VERSION: u8 = 1;

/// The text of a file of `/proc/net`: NAME in, a dump with pieces of it as VALUE out.
const READ_FILE: u8 = 1;
/// `getsockopt`: OPTION, SIZE and VALUE in, a dump with pieces of the value as VALUE out.
const GET_OPTION: u8 = 2;
/// `setsockopt`: OPTION and VALUE in.
const SET_OPTION: u8 = 3;

const NAME: u16 = 1;
const OPTION: u16 = 2;
const SIZE: u16 = 3;
const VALUE: u16 = 4;
const POLICIES: [Policy; 4] = [Policy::Text(31), Policy::U32, Policy::U32, Policy::AtMost(1024)];

/// Bytes of a piece: one fits into a datagram.
const PIECE: usize = 8000;

/// The name of what a message changes.
pub(super) fn change(message: &Message<'_>) -> Option<&'static str> {
    message.command().is_ok_and(|(command, _)| command == SET_OPTION).then_some("setsockopt")
}

/// Answers a message of the family. `Ok(true)` may be acknowledged.
pub(super) fn answer(
    message: &Message<'_>,
    operations: &mut impl Operations,
    access: Access,
    replies: &mut Replies,
) -> Result<bool, Errno> {
    let (command, attributes) = message.command()?;
    let wanted = match command {
        READ_FILE | GET_OPTION => Access::Read,
        SET_OPTION => Access::Full,
        _ => return Err(Errno::EOPNOTSUPP),
    };
    if access < wanted {
        return Err(Errno::EPERM);
    }
    let attributes = Attributes::parse(attributes, &POLICIES)?;
    let value = attributes.get(VALUE).unwrap_or_default();
    let option = || attributes.u32(OPTION).ok_or(Errno::EINVAL);
    let bytes = match command {
        READ_FILE => {
            let name = attributes.text(NAME).ok_or(Errno::EINVAL)?;
            proc_files::text(&name, operations).ok_or(Errno::ENOENT)?.into_bytes()
        }
        GET_OPTION => {
            let size = attributes.u32(SIZE).ok_or(Errno::EINVAL)?;
            sockopt::get(option()?, value, size, operations)?
        }
        _ => {
            sockopt::set(option()?, value, operations)?;
            return Ok(true);
        }
    };
    let pieces = bytes.chunks(PIECE);
    replies.dump(message, (command, VERSION), pieces, |to, piece| to.put(VALUE, piece))?;
    Ok(false)
}
