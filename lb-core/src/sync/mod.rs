//! The connection synchronisation of IPVS: a director that others can take over from.
//!
//! ```text
//! flow table ─► Master: looks at each connection once a second ─► Batch ─► datagram ─► multicast
//! flow table ◄─ Backup: finds the server of each record       ◄── read  ◄─ datagram ◄─┘
//! ```
//!
//! The messages are the kernel's, byte for byte (`net/netfilter/ipvs/ip_vs_sync.c`), so that the
//! other director may be one of kernel IPVS. Both work on the housekeeping thread, beside the
//! workers: a packet does nothing for it. So a connection is not sent with its third packet but
//! within a second after it.

mod backup;
mod daemons;
mod master;
mod message;

pub use daemons::{Daemons, Tally, Transport};
pub use message::{Batch, Flags, ReadTally, Record, read};
