//! The kernel's own protocol: generic netlink of the family IPVS, as `ipvsadm` and keepalived
//! speak it.
//!
//! Pure logic: [`answer`] takes one datagram of a program and returns the datagrams that go back.
//! What is accepted, which error comes first, the order of attributes and their padding are those
//! of the kernel (`ip_vs_ctl.c`, `af_netlink.c`, `genetlink.c`); the test replays what a kernel
//! said, byte for byte (`tests/captures/kernel/netlink.txt`). Where a kernel takes what Sluice
//! cannot hold, the request is refused (`docs/ipvs-differences.md`).
//!
//! ```text
//! datagram ─► message.rs: messages ─► controller.rs  which number has IPVS?
//!                                 ├─► ipvs.rs        service.rs, server.rs, daemon.rs
//!                                 └─► private.rs     what the kernel has in /proc and as socket
//!                                                    options (sockopt.rs)
//! ```

mod attribute;
mod controller;
mod daemon;
mod errno;
mod ipvs;
mod message;
mod private;
mod recorder;
mod server;
mod service;
mod sockopt;
mod statistics;

pub use errno::Errno;

use message::{Message, Replies};
use recorder::Recorder;

use crate::ipvsadm;
use crate::operations::Operations;

/// Longest datagram of a request in bytes. Programs that speak netlink send far less.
pub const REQUEST_MAX: usize = 64 << 10;

/// What a program may do. The kernel asks for CAP_NET_ADMIN for all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Learn that there is IPVS; all else is EPERM.
    None,
    /// Look.
    Read,
    /// Everything.
    Full,
}

/// A message that asked for a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The command line of ipvsadm that it amounts to; the name of the message, where it was
    /// refused before that was known.
    pub command: String,
    pub result: Result<(), Errno>,
}

/// Answers one datagram, which may hold several messages. They are applied in order, each for
/// itself; what is behind the last whole one is not looked at.
///
/// The replies are bounded by the request and by one listing: a second one in the same datagram is
/// refused as busy, as the kernel would be.
pub fn answer(datagram: &[u8], operations: &mut impl Operations, access: Access) -> Vec<Vec<u8>> {
    answer_and_tell(datagram, operations, access, |_| {})
}

/// The same, and tells what was to be changed and what came of it.
pub fn answer_and_tell(
    datagram: &[u8],
    operations: &mut impl Operations,
    access: Access,
    mut tell: impl FnMut(Change),
) -> Vec<Vec<u8>> {
    let mut rest = datagram;
    let operations = &mut Recorder::new(operations);
    let mut replies = Replies::default();
    while let Some(message) = Message::take(&mut rest) {
        let result = if message.is_request() && message.kind >= message::FAMILIES_MIN {
            let replies = &mut replies;
            match message.kind {
                controller::FAMILY => controller::answer(&message, replies),
                ipvs::FAMILY => ipvs::answer(&message, operations, access, replies),
                private::FAMILY => private::answer(&message, operations, access, replies),
                _ => Err(Errno::ENOENT),
            }
        } else {
            Ok(true)
        };
        if let Some(name) = change(&message) {
            let line = operations.take().first().and_then(ipvsadm::line);
            let command = line.map_or_else(|| name.to_owned(), |line| format!("ipvsadm {line}"));
            tell(Change { command, result: result.map(drop) });
        }
        match result {
            Ok(true) if message.wants_acknowledgement() => replies.acknowledge(&message, Ok(())),
            Ok(_) => {}
            Err(error) => replies.acknowledge(&message, Err(error)),
        }
    }
    replies.datagrams
}

/// The name of what a message changes, or is to change.
fn change(message: &Message<'_>) -> Option<&'static str> {
    if !message.is_request() {
        return None;
    }
    match message.kind {
        ipvs::FAMILY => ipvs::change(message),
        private::FAMILY => private::change(message),
        _ => None,
    }
}
