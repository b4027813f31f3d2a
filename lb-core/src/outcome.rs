//! What became of a packet in the last stage, before it is counted.

use crate::clock::Tick;
use crate::drops::DropReason;
use crate::fragment::DatagramKey;
use crate::interface::InterfaceId;
use crate::route::Hop;
use crate::slots::DestinationId;

/// What became of a packet in the last stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It leaves: for its real server, its client, or on its route.
    Forwarded(InterfaceId),
    /// It left in pieces, made anew.
    Split,
    /// It will leave once the way is known.
    Waits(Pending),
    /// It is a fragment that came before the first one.
    Early(DatagramKey, Tick),
    /// The frame is an answer to itself.
    Answered,
    /// It is for the host's kernel.
    Punted,
    /// It told the director something; nothing leaves.
    Consumed,
    /// It does not fit the way, which takes so many bytes.
    TooLarge(u16),
    Refused(DropReason),
}

/// What a frame waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pending {
    /// The next hop of a destination.
    Server(DestinationId),
    /// A neighbour.
    Neighbour(Hop),
}
