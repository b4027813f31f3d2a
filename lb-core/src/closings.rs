//! Connections that have ended, for who writes them down: a queue that nobody waits for.
//!
//! Off until it is started; then each connection that ends costs one look, and one in so many a
//! place in the queue. Where the queue is full, they are counted and gone.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::queue::ArrayQueue;

use crate::clock::Tick;
use crate::control::flows::state_name;
use crate::director::Director;
use crate::flow::{FlowId, FlowKey, FlowState};
use crate::slots::DestinationId;

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// No packet came for as long as its state lets it live.
    Expired,
    /// Its real server was removed, and `expire_nodest_conn` is on.
    ServerRemoved,
    /// A new one with the same ends took its place.
    Replaced,
    /// By a command.
    Killed,
    /// To make room: `drop_entry`.
    Shed,
}

impl Ending {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::ServerRemoved => "server_removed",
            Self::Replaced => "replaced",
            Self::Killed => "killed",
            Self::Shed => "shed",
        }
    }
}

/// A connection that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closing {
    pub key: FlowKey,
    pub server: crate::address::Address,
    pub server_port: u16,
    pub destination: DestinationId,
    /// Its last state, as listings name it.
    pub state: &'static str,
    pub method: crate::destination::ForwardingMethod,
    pub created: Tick,
    /// From the client, as far as they are counted ([`crate::flow::PACKETS_MAX`]).
    pub packets: u16,
    pub ending: Ending,
}

/// The queue.
#[derive(Debug, Default)]
pub struct Closings {
    started: OnceLock<Started>,
    lost: AtomicU64,
}

#[derive(Debug)]
struct Started {
    queue: ArrayQueue<Closing>,
    /// One in so many.
    every: u64,
    ended: AtomicU64,
}

impl Closings {
    /// Keeps one in `every` connections that end from now on, `room` of them at a time. Once.
    pub fn start(&self, every: u32, room: usize) {
        self.started.get_or_init(|| Started {
            queue: ArrayQueue::new(room.max(1)),
            every: u64::from(every.max(1)),
            ended: AtomicU64::new(0),
        });
    }

    /// The next one.
    pub fn next(&self) -> Option<Closing> {
        self.started.get()?.queue.pop()
    }

    /// Connections that have ended since it was started; `None`: it was not.
    pub fn ended(&self) -> Option<u64> {
        Some(self.started.get()?.ended.load(Ordering::Relaxed))
    }

    /// Those of them that are not among the one in so many.
    pub fn passed_over(&self) -> u64 {
        self.started.get().map_or(0, |started| {
            let ended = started.ended.load(Ordering::Relaxed);
            ended - ended.div_ceil(started.every)
        })
    }

    /// Those that found no room.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// A connection was removed from the table; its entry is not in use again yet.
    #[inline]
    pub(crate) fn note(&self, director: &Director, id: FlowId, last: FlowState, ending: Ending) {
        if let Some(started) = self.started.get()
            && !last.is_template()
        {
            self.keep(started, director, id, last, ending);
        }
    }

    #[cold]
    fn keep(
        &self,
        started: &Started,
        director: &Director,
        id: FlowId,
        last: FlowState,
        ending: Ending,
    ) {
        if !started.ended.fetch_add(1, Ordering::Relaxed).is_multiple_of(started.every) {
            return;
        }
        let flows = &director.flows;
        let entry = flows.entry(id);
        let key = flows.last_key(id);
        let closing = Closing {
            key,
            server: flows.server(id),
            server_port: entry.server_port(),
            destination: entry.destination(),
            state: state_name(key.protocol, last),
            method: last.method(),
            created: flows.cold(id).created(),
            packets: entry.packets(),
            ending,
        };
        if started.queue.push(closing).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}
