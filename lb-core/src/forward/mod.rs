//! Forwarding methods: what a packet looks like when it leaves for its real server.

mod direct;
mod link;
mod split;

pub use direct::direct;
pub use link::{address_link, is_dressed, strip};
pub use split::{SplitError, split};
