//! The family nlctrl, of which programs ask what number the family IPVS has.

use super::attribute::{Attributes, Policy, Put};
use super::errno::Errno;
use super::ipvs;
use super::message::{Message, Replies};

/// The number of this family (`GENL_ID_CTRL`).
pub(super) const FAMILY: u16 = 0x10;
const VERSION: u8 = 2;

const GET_FAMILY: u8 = 3;
const NEW_FAMILY: u8 = 1;

const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
const FAMILY_VERSION: u16 = 3;
const HEADER_SIZE: u16 = 4;
const ATTRIBUTES_MAX: u16 = 5;
const OPERATIONS: u16 = 6;
const OPERATION_ID: u16 = 1;
const OPERATION_FLAGS: u16 = 2;

/// Names are shorter than `GENL_NAMSIZ`.
const NAME_MAX: usize = 15;
const POLICIES: [Policy; 2] = [Policy::U16, Policy::Text(NAME_MAX)];

/// Needs CAP_NET_ADMIN, has rules for its attributes.
const FLAGS: u32 = 0x01 | 0x08;
const CAN_DO: u32 = 0x02;
const CAN_DUMP: u32 = 0x04;

/// Answers a message of the family.
pub(super) fn answer(message: &Message<'_>, replies: &mut Replies) -> Result<bool, Errno> {
    let (command, attributes) = message.command()?;
    if command != GET_FAMILY {
        return Err(Errno::EOPNOTSUPP);
    }
    let reply = (NEW_FAMILY, VERSION);
    if message.is_dump() {
        replies.dump(message, reply, [()], |to, ()| fill(to))?;
        return Ok(false);
    }
    let attributes = Attributes::parse(attributes, &POLICIES)?;
    let by_id = attributes.u16(FAMILY_ID).map(|id| id == ipvs::FAMILY);
    let by_name = attributes.text(FAMILY_NAME).map(|name| name == ipvs::NAME);
    match by_name.or(by_id) {
        Some(true) => replies.reply(message, reply, fill),
        Some(false) => return Err(Errno::ENOENT),
        None => return Err(Errno::EINVAL),
    }
    Ok(true)
}

fn fill(to: &mut Vec<u8>) {
    to.put_text(FAMILY_NAME, ipvs::NAME);
    to.put_u16(FAMILY_ID, ipvs::FAMILY);
    to.put_u32(FAMILY_VERSION, u32::from(ipvs::VERSION));
    to.put_u32(HEADER_SIZE, 0);
    to.put_u32(ATTRIBUTES_MAX, u32::from(ipvs::ATTRIBUTES_MAX));
    let operations = to.begin(OPERATIONS);
    for (number, command) in (1..).zip(ipvs::Command::ALL) {
        let operation = to.begin(number);
        to.put_u32(OPERATION_ID, u32::from(command.number()));
        let can_do = if command.can_do() { CAN_DO } else { 0 };
        let can_dump = if command.can_dump() { CAN_DUMP } else { 0 };
        to.put_u32(OPERATION_FLAGS, FLAGS | can_do | can_dump);
        to.end(operation);
    }
    to.end(operations);
}
