//! A connection: one hot line that packets touch, one cold line that they do not.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};

use crate::clock::Tick;
use crate::slots::DestinationId;

/// What identifies a connection, as in IPVS: protocol, client end, virtual end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowKey {
    /// IP protocol number.
    pub protocol: u8,
    pub client: Ipv4Addr,
    pub client_port: u16,
    pub virtual_address: Ipv4Addr,
    pub virtual_port: u16,
}

/// Kind of an entry, in the top byte of the first key word. 0 is "no connection": free memory,
/// or an entry that was removed in this burst.
const KIND_IPV4: u64 = 1;

impl FlowKey {
    /// The key as the two words that are stored and compared.
    #[inline]
    pub const fn words(&self) -> [u64; 2] {
        [
            self.client.to_bits() as u64
                | (self.client_port as u64) << 32
                | (self.protocol as u64) << 48
                | KIND_IPV4 << 56,
            self.virtual_address.to_bits() as u64 | (self.virtual_port as u64) << 32,
        ]
    }

    /// The key that two words stand for; `None` for an entry without a connection.
    #[expect(clippy::cast_possible_truncation, reason = "fields are cut out of words")]
    const fn from_words(words: [u64; 2]) -> Option<Self> {
        if words[0] >> 56 != KIND_IPV4 {
            return None;
        }
        Some(Self {
            protocol: (words[0] >> 48) as u8,
            client: Ipv4Addr::from_bits(words[0] as u32),
            client_port: (words[0] >> 32) as u16,
            virtual_address: Ipv4Addr::from_bits(words[1] as u32),
            virtual_port: (words[1] >> 32) as u16,
        })
    }
}

/// State of a connection and its flags in one word, so that a change of both is one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowState(u32);

impl FlowState {
    /// IPVS's `NOOUTPUT`: no packet from the real server was seen (always so for DR and TUN).
    const NO_OUTPUT: u32 = 1 << 8;
    /// Counted in the destination's ActiveConn (else in InActConn).
    const ACTIVE: u32 = 1 << 9;
    /// The connection is over; a worker may still hold it until its burst is done.
    const ENDED: u32 = 1 << 31;

    /// A state of the protocol's own numbering.
    #[inline]
    pub const fn new(number: u8, no_output: bool, active: bool) -> Self {
        Self(
            number as u32
                | if no_output { Self::NO_OUTPUT } else { 0 }
                | if active { Self::ACTIVE } else { 0 },
        )
    }

    /// Number of the state in its protocol.
    #[inline]
    pub const fn number(self) -> u8 {
        (self.0 & 0xff) as u8
    }

    /// Whether no packet from the real server was seen.
    #[inline]
    pub const fn no_output(self) -> bool {
        self.0 & Self::NO_OUTPUT != 0
    }

    /// Whether the connection is over.
    #[inline]
    pub const fn is_ended(self) -> bool {
        self.0 & Self::ENDED != 0
    }

    /// Whether the connection is counted as active.
    #[inline]
    pub const fn is_active(self) -> bool {
        self.0 & Self::ACTIVE != 0
    }
}

/// The line of a connection that its packets touch. All zero bytes are no connection.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Entry {
    key: [AtomicU64; 2],
    /// Tick at which the connection expires; stored by a packet only when it changed.
    deadline: AtomicU32,
    state: AtomicU32,
    destination: AtomicU32,
    /// Rewrite data: the real server's end.
    server: AtomicU32,
    server_port: AtomicU16,
    /// While the entry is not in use: the next one of the free list or of a limbo.
    pub(super) link: AtomicU32,
}

const _: () = assert!(size_of::<Entry>() == 64);

/// The line of a connection that only listings touch (and IPv6, whose addresses do not fit the
/// hot line). All zero bytes are valid.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Cold {
    /// Tick at which the connection was made.
    created: AtomicU32,
    /// Client, virtual and real server's address of an IPv6 connection.
    _addresses: [AtomicU64; 6],
}

const _: () = assert!(size_of::<Cold>() == 64);

impl Entry {
    /// Whether this is the live connection with that key.
    #[inline]
    pub fn is(&self, words: [u64; 2]) -> bool {
        self.key[0].load(Ordering::Relaxed) == words[0]
            && self.key[1].load(Ordering::Relaxed) == words[1]
    }

    /// The connection's key, if the entry is in use.
    pub fn key(&self) -> Option<FlowKey> {
        let words = self.key.each_ref().map(|word| word.load(Ordering::Relaxed));
        FlowKey::from_words(words)
    }

    /// Fills an entry that only the caller knows, before it is inserted.
    pub fn fill(
        &self,
        key: &FlowKey,
        state: FlowState,
        deadline: Tick,
        destination: DestinationId,
        server: (Ipv4Addr, u16),
    ) {
        for (word, value) in self.key.iter().zip(key.words()) {
            word.store(value, Ordering::Relaxed);
        }
        self.state.store(state.0, Ordering::Relaxed);
        self.deadline.store(deadline.0, Ordering::Relaxed);
        self.destination.store(destination.0, Ordering::Relaxed);
        self.server.store(server.0.to_bits(), Ordering::Relaxed);
        self.server_port.store(server.1, Ordering::Relaxed);
    }

    /// Makes the entry no connection; its other fields stay until it is filled again.
    pub(super) fn kill(&self) {
        self.key[0].store(0, Ordering::Relaxed);
    }

    /// Tick at which the connection expires.
    #[inline]
    pub fn deadline(&self) -> Tick {
        Tick(self.deadline.load(Ordering::Relaxed))
    }

    /// A packet restarts the timer; the line is written only when the coarse clock moved.
    #[inline]
    pub fn set_deadline(&self, deadline: Tick) {
        if self.deadline.load(Ordering::Relaxed) != deadline.0 {
            self.deadline.store(deadline.0, Ordering::Relaxed);
        }
    }

    /// State and flags.
    #[inline]
    pub fn state(&self) -> FlowState {
        FlowState(self.state.load(Ordering::Relaxed))
    }

    /// The last state of a connection that was removed. No packet can move it any more, so that
    /// what it counted as is undone exactly once.
    pub fn end_state(&self) -> FlowState {
        FlowState(self.state.swap(FlowState::ENDED, Ordering::AcqRel))
    }

    /// Moves from `old` to `new`; `false` if another worker moved it first.
    pub fn exchange_state(&self, old: FlowState, new: FlowState) -> bool {
        self.state.compare_exchange(old.0, new.0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// The real server that the connection is bound to.
    #[inline]
    pub fn destination(&self) -> DestinationId {
        DestinationId(self.destination.load(Ordering::Relaxed))
    }

    /// Address and port of the real server.
    pub fn server(&self) -> (Ipv4Addr, u16) {
        (
            Ipv4Addr::from_bits(self.server.load(Ordering::Relaxed)),
            self.server_port.load(Ordering::Relaxed),
        )
    }
}

impl Cold {
    /// Notes when the connection was made.
    pub fn fill(&self, created: Tick) {
        self.created.store(created.0, Ordering::Relaxed);
    }

    /// Tick at which the connection was made.
    pub fn created(&self) -> Tick {
        Tick(self.created.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_words() {
        let key = FlowKey {
            protocol: 17,
            client: Ipv4Addr::new(255, 1, 2, 3),
            client_port: 65535,
            virtual_address: Ipv4Addr::new(10, 0, 10, 100),
            virtual_port: 53,
        };
        assert_eq!(FlowKey::from_words(key.words()), Some(key));
        assert_eq!(FlowKey::from_words([0, 0]), None);
    }

    #[test]
    fn a_killed_entry_is_no_connection() {
        let key = FlowKey {
            protocol: 6,
            client: Ipv4Addr::new(10, 0, 1, 2),
            client_port: 0,
            virtual_address: Ipv4Addr::new(10, 0, 0, 100),
            virtual_port: 0,
        };
        let entry = Entry::default();
        assert_eq!(entry.key(), None);
        entry.fill(
            &key,
            FlowState::new(3, true, true),
            Tick(9),
            DestinationId(4),
            (Ipv4Addr::new(10, 0, 2, 11), 80),
        );
        assert!(entry.is(key.words()));
        assert_eq!(entry.key(), Some(key));
        assert!(entry.state().is_active() && entry.state().no_output());
        assert_eq!(entry.state().number(), 3);
        entry.kill();
        assert!(!entry.is(key.words()));
        assert_eq!(entry.key(), None);
    }
}
