//! What became of a packet in the last stage, before it is counted.

use crate::drops::DropReason;
use crate::interface::InterfaceId;

/// What became of a packet in the last stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It leaves for its real server.
    Forwarded(InterfaceId),
    /// It will, once the way is known.
    Waits,
    /// The frame is an answer to itself.
    Answered,
    /// It told the director something; nothing leaves.
    Consumed,
    Refused(DropReason),
}
