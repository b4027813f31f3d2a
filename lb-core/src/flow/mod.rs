//! The flow table: the connections of all workers, shared.
//!
//! ```text
//! hash of the client end ──► Bucket (one line): sequence/lock │ 8 tags │ 8 indices │ overflow
//!                                                                        │
//!                                     Entry (hot line): key, deadline, state, destination
//!                                     Cold  (cold line): IPv6 addresses, what only listings need
//! ```
//!
//! - **A hit takes no lock**: compare tags, load the entry, compare the key. Two lines, both
//!   prefetched by the pipeline a stage earlier.
//! - **The lock stripe is the bucket**: insert and remove make its sequence odd while they work. A
//!   reader that found nothing checks the sequence to be sure of it.
//! - **Entries hold no pointers**, only indices and plain data.
//! - **A removed entry is used again only after every worker has passed a burst boundary**
//!   ([`crate::quiescence`]), so what a worker found stays what it was until its burst is done.

mod bucket;
mod entry;
mod entry_cache;
mod flow_state;
mod free_list;
mod key;
mod limbo;
mod storage;
mod table;

pub use bucket::Bucket;
pub use entry::{Cold, Entry, NewFlow, PACKETS_MAX, TOMBSTONE_PORT};
pub use entry_cache::EntryCache;
pub use flow_state::FlowState;
pub use key::{FlowKey, ReplyKey};
pub(crate) use key::{client_word_v4, client_word_v6, end_word_v4};
pub use limbo::Limbo;
pub use storage::{Home, Storage};
pub use table::{FlowId, FlowTable, Inserted};
