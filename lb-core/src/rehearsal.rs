//! A director for rehearsals: it knows what another one knows, and nothing that is done with it
//! happens there.
//!
//! The pictures (services, ways) are the same objects, as they never change. Connections are taken
//! over one by one when they are asked for ([`FlowTable::copy`]), with what FTP and SIP remember of
//! them; slots and fragments are copied as a whole; schedulers pick from a copy of their memory
//! ([`Scheduler::twin`]). Its counters are its own.
//!
//! [`FlowTable::copy`]: crate::flow::FlowTable
//! [`Scheduler::twin`]: crate::sched::Scheduler

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arc_swap::ArcSwap;

use crate::closings::Closings;
use crate::counters::{Counter, WorkerCounters};
use crate::director::Director;
use crate::flow::Storage;
use crate::ftp::Sessions;
use crate::overload::DropRate;
use crate::quiescence::Epochs;
use crate::sip::Calls;

/// Connections that a rehearsal has room for: those that a frame may ask for, and those that a
/// worker keeps at hand.
const FLOWS: usize = 512;

/// Room for a rehearsal, to be used again.
#[derive(Debug)]
pub(crate) struct Stage {
    storage: Storage,
}

impl Default for Stage {
    fn default() -> Self {
        Self { storage: Storage::leaked(FLOWS) }
    }
}

impl Stage {
    /// A director like that one, for one worker. There may be one at a time.
    pub(crate) fn director(&mut self, real: &Arc<Director>) -> Director {
        self.storage.clear();
        let (ftp, calls) = (Arc::<Sessions>::default(), Arc::<Calls>::default());
        let told = {
            let (real, ftp, calls) = (Arc::clone(real), Arc::clone(&ftp), Arc::clone(&calls));
            move |from, to| {
                if let Some(session) = real.ftp.of(from) {
                    ftp.with(to, |known| *known = session);
                }
                if let Some(call) = real.calls.of(from) {
                    calls.remember(to, &call);
                }
            }
        };
        let has_room = real.flows_used() < real.flows.flows_max() as u64;
        // One more than there are destinations: see `DestinationSlots::nobody`.
        let counters = WorkerCounters::new(real.slots.len() + 1);
        Director {
            flows: real.flows.copy((FLOWS, self.storage), has_room, Box::new(told)),
            slots: real.slots.copy(),
            counters: Box::new([counters]),
            epochs: Epochs::new(1),
            snapshot: Arc::new(ArcSwap::new(real.snapshot.load_full())),
            ways: Arc::new(ArcSwap::new(real.ways.load_full())),
            fragments: real.fragments.twin(),
            ftp,
            calls,
            drop_rate: DropRate::default(),
            closings: Closings::default(),
            flows_ended: Counter::default(),
            has_orphans: AtomicBool::new(false),
            hasher: real.hasher,
        }
    }
}
