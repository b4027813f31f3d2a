//! Forwarding methods: what a packet looks like when it leaves for its real server.
//!
//! `direct`, [`masquerade`] and [`tunnel`] are the three methods; [`icmp`] and [`tunnel_error`]
//! are what they do to ICMP errors about packets that they rewrote before. [`address_link`] is the
//! last step of all.

mod atomic;
mod direct;
pub mod icmp;
mod layout;
mod link;
pub mod masquerade;
mod refusal;
mod side;
mod split;
mod split6;
pub mod tunnel;
pub mod tunnel_error;

#[cfg(test)]
mod captured;
#[cfg(test)]
mod samples;

pub use atomic::take_fragment_header;
pub use direct::{hop, set_hops};
pub use layout::Layout;
pub(crate) use link::HEADER_LEN;
pub(crate) use link::{address, tag};
pub use link::{address_link, insert_tag, is_dressed, link_header, strip, strip_tags};
pub use masquerade::End;
pub use refusal::Refusal;
pub use split::{SplitError, split};
pub use split6::split6;
