//! Why a packet cannot be rewritten.

use crate::drops::DropReason;

/// Why a rewrite did not happen. The frame may be changed in part: free it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// The bytes are not what the layout says of them.
    #[error("malformed")]
    Malformed,
    /// The packet ends inside its transport header.
    #[error("ends inside its transport header")]
    TransportTruncated,
    /// A part of a datagram, where the checksum needs all of it.
    #[error("fragment")]
    Fragment,
    /// The checksum is wrong, so the rewritten packet would say so of nothing.
    #[error("wrong checksum")]
    Checksum,
    /// The new address is of the other family.
    #[error("the address is of the other family")]
    Family,
    /// Longer than an IP packet can be.
    #[error("too long")]
    TooLong,
    /// The buffer has no head room.
    #[error("no room in the buffer")]
    NoRoom,
    /// What could be sent through the tunnel is less than its family's smallest MTU.
    #[error("MTU below the smallest of the family")]
    MtuTooSmall,
    /// Nobody may be told by an ICMP error (RFC 1122 section 3.2.2).
    #[error("not to be answered by an ICMP error")]
    NotAnswerable,
}

impl Refusal {
    /// The reason to count it under.
    pub const fn reason(self) -> DropReason {
        match self {
            Self::Malformed | Self::TransportTruncated | Self::Family => {
                DropReason::TransportTruncated
            }
            Self::Fragment => DropReason::FragmentUntranslatable,
            Self::Checksum => DropReason::IcmpChecksum,
            Self::TooLong | Self::NoRoom => DropReason::NoRoom,
            Self::MtuTooSmall => DropReason::TunnelMtu,
            Self::NotAnswerable => DropReason::IcmpIgnored,
        }
    }
}
