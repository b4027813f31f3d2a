//! Header views: bytes as RFCs lay them out, read and rewritten in place.
//!
//! # The contract
//!
//! A header view (`ipv4::Header`, `tcp::Header`, ...) lies over a window of exactly the fixed
//! part of that header: `&[u8; 20]`, `&mut [u8; 8]`. Every accessor reads constant offsets in it,
//! so **no accessor can panic**, whatever the bytes are.
//!
//! What a header *claims* about lengths is another matter. `check` (`ipv4::Packet::check`,
//! `tcp::Segment::check`, ...) compares the claims with the bytes that are there, and hands out
//! header, options and payload as slices that were cut by those claims. So:
//!
//! - bytes from the wire: `check`, then use the slices, or keep offsets and take windows;
//! - bytes to be written: [`field::window_mut`] and `Header::over`; never `check` what a
//!   recycled buffer holds.
//!
//! Checks are about structure only. Whether a checksum is right is a question of its own, asked
//! by those who must know (`verify_checksum` and the like).
//!
//! Every file has the same order: field offsets, view with `check`, getters, setters, tests.

pub mod arp;
pub mod checksum;
pub mod ethernet;
pub mod extension;
pub mod field;
pub mod gre;
pub mod gue;
pub mod icmp;
pub mod icmpv6;
pub mod ipv4;
pub mod ipv6;
pub mod ipv6_options;
pub mod mac;
pub mod ndp;
pub mod options;
pub mod ports;
pub mod sctp;
pub mod show;
pub mod tcp;
pub mod udp;
pub mod vlan;

#[cfg(any(test, feature = "test-support"))]
pub mod build;

pub use mac::MacAddress;
pub use show::{show, show_packet};

/// Why bytes are not the header that they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Malformed {
    /// Fewer bytes than the fixed part of the header.
    #[error("shorter than its fixed header")]
    Truncated,
    /// The version, or the kind of address that it is about, is not the one of this view.
    #[error("wrong version or address kind")]
    Version,
    /// The header length is below the minimum or beyond the end.
    #[error("header length does not fit")]
    HeaderLength,
    /// The total length is below the header's or beyond the end.
    #[error("total length does not fit")]
    TotalLength,
    /// More IPv6 extension headers than anybody sends, or two fragment headers.
    #[error("too many extension headers")]
    Extensions,
}
