//! Captures of what passes the director, with what became of it: `sluicectl capture`.
//!
//! ```text
//! sluicectl: filter ─► libpcap ─► program ─┐ request
//!                                          ▼
//! worker ─► tapper ─► takes? ─► ring ─► control-client ─► pcapng ─► sluicectl ─► file, or lines
//!           (copies)            (lost: counted)  (comments)
//! ```
//!
//! Workers compare and copy; a thread of the control socket makes a file of it. A capture has a
//! ring for each worker, allocated when it begins. Where the ring is full, because the client does
//! not read or more comes than it can take, frames are lost to the capture alone, and counted.

pub mod bpf;
pub mod client;
pub mod filter;
pub mod pcapng;
pub mod record;
pub mod ring;
pub mod stream;
pub mod tap;
pub mod tapper;
pub mod verdict;

/// Bytes of a frame that can be captured: more than any port takes.
pub const FRAME_MAX: usize = 10 << 10;
