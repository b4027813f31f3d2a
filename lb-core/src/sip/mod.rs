//! The persistence engine `sip`: calls go to one real server, whoever sends their messages.
//!
//! A message (RFC 3261) over UDP has a `Call-ID`; the template of a client has it besides its key.
//! With a wide netmask it alone decides. In the kernel: `ip_vs_pe_sip.c`.

mod call_id;
mod calls;
mod path;

pub use call_id::{CALL_ID_MAX, call_id};
pub use calls::Calls;
