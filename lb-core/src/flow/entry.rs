//! A connection: one hot line that packets touch, one cold line that they do not.

use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};

use super::table::FlowId;
use crate::address::Address;
use crate::clock::Tick;
use crate::destination::ForwardingMethod;
use crate::slots::DestinationId;
use crate::ways::WayId;

/// What identifies a connection, as in IPVS: protocol, client end, virtual end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowKey {
    /// IP protocol number.
    pub protocol: u8,
    pub client: Address,
    pub client_port: u16,
    pub virtual_address: Address,
    pub virtual_port: u16,
}

/// What identifies the connection of a packet from a real server that NAT leads to: protocol,
/// client end, real server's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyKey {
    /// IP protocol number.
    pub protocol: u8,
    pub client: Address,
    pub client_port: u16,
    pub server: Address,
    pub server_port: u16,
}

/// Kind of an entry, in the top byte of the first key word. 0 is "no connection": free memory,
/// or an entry that was removed in this burst.
const KIND_IPV4: u64 = 1;
/// The same: the addresses are in the cold line.
const KIND_IPV6: u64 = 2;
/// Where the first word of an IPv6 key does not depend on the virtual end.
const CLIENT_PART: u64 = 0xffff_ffff_0000_0000;

impl FlowKey {
    /// The key as the two words that are stored and compared. Of an IPv6 key they are a first
    /// sieve: its addresses are compared in the cold line.
    #[inline]
    pub const fn words(&self) -> [u64; 2] {
        let first = first_word(self.protocol, self.client, self.client_port);
        if self.client.is_v4() {
            return [
                first | self.client.low_32() as u64,
                self.virtual_address.low_32() as u64 | (self.virtual_port as u64) << 32,
            ];
        }
        let [client_high, client_low] = self.client.halves();
        let [virtual_high, virtual_low] = self.virtual_address.halves();
        [
            first | self.virtual_port as u64,
            client_low ^ client_high.rotate_left(16) ^ virtual_low.rotate_left(32) ^ virtual_high,
        ]
    }
}

/// Kind, protocol and client port.
#[inline]
const fn first_word(protocol: u8, client: Address, client_port: u16) -> u64 {
    let kind = if client.is_v4() { KIND_IPV4 } else { KIND_IPV6 };
    (client_port as u64) << 32 | (protocol as u64) << 48 | kind << 56
}

/// State of a connection and its flags in one word, so that a change of both is one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowState(u32);

impl FlowState {
    /// IPVS's `NOOUTPUT`: no packet from the real server was seen (always so for DR and TUN).
    const NO_OUTPUT: u32 = 1 << 8;
    /// Counted in the destination's ActiveConn (else in InActConn).
    const ACTIVE: u32 = 1 << 9;
    /// The forwarding method, copied from the destination when the connection begins.
    const METHOD_SHIFT: u32 = 10;
    const METHOD: u32 = 7 << Self::METHOD_SHIFT;
    /// The control connection of FTP under NAT: its payload is read.
    const FTP: u32 = 1 << 13;
    /// IPVS's `NO_CPORT`: the client's port is not known yet (FTP data).
    const NO_CLIENT_PORT: u32 = 1 << 14;
    /// The real server has an address of the other family than the client (tunneling).
    const MIXED: u32 = 1 << 15;
    /// What a change of state leaves as it is.
    const FIXED: u32 = Self::METHOD | Self::FTP | Self::NO_CLIENT_PORT | Self::MIXED;
    /// The connection is over; a worker may still hold it until its burst is done.
    const ENDED: u32 = 1 << 31;

    /// A state of the protocol's own numbering, of a connection of that method.
    #[inline]
    pub const fn new(number: u8, method: ForwardingMethod, active: bool) -> Self {
        let no_output = !matches!(method, ForwardingMethod::Masquerading);
        Self((method as u32) << Self::METHOD_SHIFT).moved(number, no_output, active)
    }

    /// The same connection in another state.
    #[inline]
    #[must_use]
    pub const fn moved(self, number: u8, no_output: bool, active: bool) -> Self {
        Self(
            self.0 & Self::FIXED
                | number as u32
                | if no_output { Self::NO_OUTPUT } else { 0 }
                | if active { Self::ACTIVE } else { 0 },
        )
    }

    /// The same, as the control connection of FTP.
    #[must_use]
    pub const fn with_ftp(self) -> Self {
        Self(self.0 | Self::FTP)
    }

    /// The same, of a client whose port is not known yet.
    #[must_use]
    pub const fn without_client_port(self) -> Self {
        Self(self.0 | Self::NO_CLIENT_PORT)
    }

    /// The same, now that the client's port is known.
    #[must_use]
    pub const fn with_client_port(self) -> Self {
        Self(self.0 & !Self::NO_CLIENT_PORT)
    }

    /// Whether its payload is FTP's control dialogue.
    #[inline]
    pub const fn is_ftp(self) -> bool {
        self.0 & Self::FTP != 0
    }

    /// Whether the client's port is not known yet.
    #[inline]
    pub const fn lacks_client_port(self) -> bool {
        self.0 & Self::NO_CLIENT_PORT != 0
    }

    /// How its packets get to the real server.
    #[inline]
    pub const fn method(self) -> ForwardingMethod {
        match (self.0 & Self::METHOD) >> Self::METHOD_SHIFT {
            0 => ForwardingMethod::Masquerading,
            1 => ForwardingMethod::Local,
            2 => ForwardingMethod::Tunneling,
            3 => ForwardingMethod::DirectRouting,
            _ => ForwardingMethod::Bypass,
        }
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
    /// While the entry is not in use: the next one of the free list or of a limbo.
    pub(super) link: AtomicU32,
    /// Rewrite data: the real server's IPv4 address (an IPv6 one is in the cold line) and port.
    server: AtomicU32,
    server_port: AtomicU16,
    /// The way to the client, and the generation of the picture that it is of: what a reply looks
    /// up once for each picture.
    way_back: AtomicU64,
}

const _: () = assert!(size_of::<Entry>() == 64);

/// The line of a connection that IPv4 packets do not touch: IPv6 addresses, which do not fit the
/// hot line, and what is rarely asked. All zero bytes are valid.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Cold {
    /// Client, virtual and real server's address of an IPv6 connection.
    addresses: [AtomicU64; 6],
    /// Tick at which the connection was made.
    created: AtomicU32,
    /// The connection that controls this one (FTP), 0 for none.
    controller: AtomicU32,
    /// How many connections this one controls.
    controlled: AtomicU32,
}

const _: () = assert!(size_of::<Cold>() == 64);

/// What a new connection is made of, besides its key.
#[derive(Clone, Copy, Debug)]
pub struct NewFlow {
    pub key: FlowKey,
    pub state: FlowState,
    pub deadline: Tick,
    pub destination: DestinationId,
    pub server: Address,
    pub server_port: u16,
    pub created: Tick,
    /// The connection that controls it.
    pub controller: FlowId,
}

/// Fills an entry that only the caller knows, before it is inserted.
pub(super) fn fill(entry: &Entry, cold: &Cold, flow: &NewFlow) {
    let NewFlow { key, state, deadline, destination, server, server_port, .. } = flow;
    for (word, value) in entry.key.iter().zip(key.words()) {
        word.store(value, Ordering::Relaxed);
    }
    let is_mixed = key.client.is_v4() != server.is_v4();
    let mixed = if is_mixed { FlowState::MIXED } else { 0 };
    entry.state.store(state.0 | mixed, Ordering::Relaxed);
    entry.deadline.store(deadline.0, Ordering::Relaxed);
    entry.destination.store(destination.0, Ordering::Relaxed);
    entry.server.store(server.low_32(), Ordering::Relaxed);
    entry.server_port.store(*server_port, Ordering::Relaxed);
    entry.way_back.store(0, Ordering::Relaxed);
    cold.created.store(flow.created.0, Ordering::Relaxed);
    cold.controller.store(flow.controller.0, Ordering::Relaxed);
    cold.controlled.store(0, Ordering::Relaxed);
    if is_mixed || !key.client.is_v4() {
        for (place, address) in [key.client, key.virtual_address, *server].into_iter().enumerate() {
            cold.set_address(place, address);
        }
    }
}

/// The key of an entry, if it is in use.
#[expect(clippy::cast_possible_truncation, reason = "fields are cut out of words")]
pub(super) fn key(entry: &Entry, cold: &Cold) -> Option<FlowKey> {
    let words = entry.key.each_ref().map(|word| word.load(Ordering::Relaxed));
    let (client, virtual_address, virtual_port) = match words[0] >> 56 {
        KIND_IPV4 => {
            (Address::v4(words[0] as u32), Address::v4(words[1] as u32), (words[1] >> 32) as u16)
        }
        KIND_IPV6 => (cold.address(0), cold.address(1), words[0] as u16),
        _ => return None,
    };
    Some(FlowKey {
        protocol: (words[0] >> 48) as u8,
        client,
        client_port: (words[0] >> 32) as u16,
        virtual_address,
        virtual_port,
    })
}

/// Whether this is the live connection of a packet from the client. `words` are the key's.
#[inline]
pub(super) fn is(entry: &Entry, cold: &Cold, key: &FlowKey, words: [u64; 2]) -> bool {
    entry.key[0].load(Ordering::Relaxed) == words[0]
        && entry.key[1].load(Ordering::Relaxed) == words[1]
        && (key.client.is_v4()
            || cold.address(0) == key.client && cold.address(1) == key.virtual_address)
}

/// Whether this is the live NAT connection of a packet from a real server.
#[inline]
pub(super) fn is_reply(entry: &Entry, cold: &Cold, key: &ReplyKey) -> bool {
    let first = entry.key[0].load(Ordering::Relaxed);
    let wanted = first_word(key.protocol, key.client, key.client_port);
    let is_ends = if key.client.is_v4() {
        first == wanted | u64::from(key.client.low_32())
            && entry.server.load(Ordering::Relaxed) == key.server.low_32()
    } else {
        first & CLIENT_PART == wanted
            && cold.address(0) == key.client
            && cold.address(2) == key.server
    };
    is_ends
        && entry.server_port.load(Ordering::Relaxed) == key.server_port
        && entry.state().method() as u8 == ForwardingMethod::Masquerading as u8
}

/// Address and port of the virtual service of an entry in use.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "fields are cut out of words")]
pub(super) fn virtual_end(entry: &Entry, cold: &Cold) -> (Address, u16) {
    let first = entry.key[0].load(Ordering::Relaxed);
    if first >> 56 == KIND_IPV4 {
        let second = entry.key[1].load(Ordering::Relaxed);
        (Address::v4(second as u32), (second >> 32) as u16)
    } else {
        (cold.address(1), first as u16)
    }
}

/// Address of the real server of an entry in use.
pub(super) fn server(entry: &Entry, cold: &Cold) -> Address {
    // A server of the other family than its client's is in the cold line, whatever the key's.
    let is_v4 = entry.key[0].load(Ordering::Relaxed) >> 56 == KIND_IPV4;
    let is_mixed = entry.state().0 & FlowState::MIXED != 0;
    if is_v4 && !is_mixed { entry.server_v4() } else { cold.address(2) }
}

impl Entry {
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

    /// Port of the real server.
    #[inline]
    pub fn server_port(&self) -> u16 {
        self.server_port.load(Ordering::Relaxed)
    }

    /// IPv4 address of the real server of an IPv4 connection.
    #[inline]
    pub fn server_v4(&self) -> Address {
        Address::v4(self.server.load(Ordering::Relaxed))
    }

    /// The way to the client, if it was looked up in the picture of this generation.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the two halves of a word")]
    pub fn way_back(&self, generation: u32) -> Option<WayId> {
        let word = self.way_back.load(Ordering::Relaxed);
        ((word >> 32) as u32 == generation).then_some(WayId(word as u32))
    }

    /// Remembers the way to the client.
    #[inline]
    pub fn set_way_back(&self, generation: u32, way: WayId) {
        let word = u64::from(generation) << 32 | u64::from(way.0);
        self.way_back.store(word, Ordering::Relaxed);
    }
}

impl Cold {
    /// Client (0), virtual (1) or real server's (2) address.
    #[inline]
    fn address(&self, place: usize) -> Address {
        let half = |at: usize| self.addresses[at].load(Ordering::Relaxed);
        Address::from_halves([half(2 * place), half(2 * place + 1)])
    }

    fn set_address(&self, place: usize, address: Address) {
        let [high, low] = address.halves();
        self.addresses[2 * place].store(high, Ordering::Relaxed);
        self.addresses[2 * place + 1].store(low, Ordering::Relaxed);
    }

    /// The connection that controls this one.
    pub fn controller(&self) -> FlowId {
        FlowId(self.controller.load(Ordering::Relaxed))
    }

    /// How many connections this one controls.
    pub fn controlled(&self) -> u32 {
        self.controlled.load(Ordering::Relaxed)
    }

    /// One more connection is controlled by this one, or one less.
    pub fn count_controlled(&self, more: bool) {
        if more {
            self.controlled.fetch_add(1, Ordering::Relaxed);
        } else {
            let less = |count: u32| count.checked_sub(1);
            let _none_left =
                self.controlled.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        }
    }

    /// Tick at which the connection was made.
    pub fn created(&self) -> Tick {
        Tick(self.created.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        text.parse::<std::net::IpAddr>().unwrap().into()
    }

    fn flow(client: &str, vip: &str, server: &str, method: ForwardingMethod) -> NewFlow {
        NewFlow {
            key: FlowKey {
                protocol: 17,
                client: address(client),
                client_port: 65535,
                virtual_address: address(vip),
                virtual_port: 53,
            },
            state: FlowState::new(3, method, true),
            deadline: Tick(9),
            destination: DestinationId(4),
            server: address(server),
            server_port: 5353,
            created: Tick(7),
            controller: FlowId::NONE,
        }
    }

    fn filled(flow: &NewFlow) -> (Entry, Cold) {
        let (entry, cold) = (Entry::default(), Cold::default());
        assert_eq!(key(&entry, &cold), None);
        fill(&entry, &cold, flow);
        (entry, cold)
    }

    #[test]
    fn a_key_survives_its_entry() {
        let all = [
            flow("255.1.2.3", "10.0.10.100", "10.0.2.11", ForwardingMethod::DirectRouting),
            flow("fd00:1::2", "fd00::100", "fd00:2::11", ForwardingMethod::Masquerading),
            flow("fd00:1::2", "fd00::100", "10.0.2.14", ForwardingMethod::Tunneling),
            flow("10.0.1.2", "10.0.0.100", "fd00:2::15", ForwardingMethod::Tunneling),
        ];
        for flow in &all {
            let (entry, cold) = filled(flow);
            assert_eq!(key(&entry, &cold), Some(flow.key));
            assert_eq!(server(&entry, &cold), flow.server);
            assert_eq!(entry.server_port(), 5353);
            assert_eq!(entry.state().method(), flow.state.method());
            assert_eq!(entry.destination(), DestinationId(4));
            for other in &all {
                let found = is(&entry, &cold, &other.key, other.key.words());
                assert_eq!(found, other.key == flow.key);
            }
        }
    }

    #[test]
    fn a_reply_finds_nat_and_nothing_else() {
        for (client, vip, server) in
            [("10.0.1.2", "10.0.0.100", "10.0.2.11"), ("fd00:1::2", "fd00::100", "fd00:2::11")]
        {
            let nat = flow(client, vip, server, ForwardingMethod::Masquerading);
            let (entry, cold) = filled(&nat);
            let reply = ReplyKey {
                protocol: 17,
                client: nat.key.client,
                client_port: 65535,
                server: nat.server,
                server_port: 5353,
            };
            assert!(is_reply(&entry, &cold, &reply));
            assert!(!is_reply(&entry, &cold, &ReplyKey { server_port: 53, ..reply }));
            assert!(!is_reply(&entry, &cold, &ReplyKey { client_port: 1, ..reply }));
            assert!(!is_reply(&entry, &cold, &ReplyKey { protocol: 6, ..reply }));
            let vip = nat.key.virtual_address;
            assert!(!is_reply(&entry, &cold, &ReplyKey { server: vip, ..reply }));
            assert!(!is_reply(&entry, &cold, &ReplyKey { client: vip, ..reply }));
            let routed = FlowState::new(3, ForwardingMethod::DirectRouting, true);
            let (entry, cold) = filled(&NewFlow { state: routed, ..nat });
            assert!(!is_reply(&entry, &cold, &reply));
        }
    }

    #[test]
    fn a_killed_entry_is_no_connection() {
        let flow = flow("10.0.1.2", "10.0.0.100", "10.0.2.11", ForwardingMethod::DirectRouting);
        let (entry, cold) = filled(&flow);
        assert!(entry.state().is_active() && entry.state().no_output());
        assert_eq!(entry.state().number(), 3);
        entry.kill();
        assert!(!is(&entry, &cold, &flow.key, flow.key.words()));
        assert_eq!(key(&entry, &cold), None);
    }

    #[test]
    fn a_change_of_state_keeps_what_is_fixed() {
        let state = FlowState::new(3, ForwardingMethod::Masquerading, true).with_ftp();
        assert!(!state.no_output(), "replies of NAT pass the director");
        let moved = state.moved(1, false, false);
        assert!(moved.is_ftp() && !moved.is_active() && moved.number() == 1);
        assert_eq!(moved.method(), ForwardingMethod::Masquerading);
    }

    #[test]
    fn a_way_back_holds_for_its_generation() {
        let entry = Entry::default();
        assert_eq!(entry.way_back(1), None);
        entry.set_way_back(7, WayId(3));
        assert_eq!(entry.way_back(7), Some(WayId(3)));
        assert_eq!(entry.way_back(8), None);
    }
}
