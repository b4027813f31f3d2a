//! A connection: one hot line that packets touch, one cold line that they do not.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};

use super::flow_state::FlowState;
use super::key::{CLIENT_PART, FlowKey, ReplyKey, end_word_v4, first_word, kind};
use super::table::FlowId;
use crate::address::Address;
use crate::clock::Tick;
use crate::destination::ForwardingMethod;
use crate::slots::DestinationId;
use crate::ways::WayId;

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
    /// Packets from the client, as far as anybody wants to know: [`PACKETS_MAX`].
    packets: AtomicU16,
    /// The way to the client, and the generation of the picture that it is of: what a reply looks
    /// up once for each picture.
    way_back: AtomicU64,
    /// Seconds that a template lives without a new connection.
    lifetime_s: AtomicU32,
}

const _: () = assert!(size_of::<Entry>() == 64);

/// Where the count of packets stops, so that a busy connection's line is not written for it.
/// `drop_entry` spares connections of more than 8.
pub const PACKETS_MAX: u16 = 9;

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
    /// What the hash has in it besides the client's end: 0, or of a template's engine data.
    salt: AtomicU32,
}

const _: () = assert!(size_of::<Cold>() == 64);

/// The ports of a template that no new connection finds.
pub const TOMBSTONE_PORT: u16 = 65535;

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
    /// Of a template: seconds that it lives without a new connection.
    pub lifetime_s: u32,
    /// Of a template: what its engine's data makes of the hash, see [`FlowTable::salted`]. Else 0.
    ///
    /// [`FlowTable::salted`]: super::FlowTable::salted
    pub salt: u32,
}

impl NewFlow {
    /// The key as its entry has it.
    pub(super) const fn words(&self) -> [u64; 2] {
        let [first, second] = self.key.words();
        [first | kind_of(self.state), second]
    }
}

/// What the state says about the kind of an entry.
const fn kind_of(state: FlowState) -> u64 {
    if state.is_template() {
        kind::TEMPLATE
    } else if state.is_alone() {
        kind::LONE
    } else {
        0
    }
}

/// Fills an entry that only the caller knows, before it is inserted.
pub(super) fn fill(entry: &Entry, cold: &Cold, flow: &NewFlow) {
    let NewFlow { key, state, deadline, destination, server, server_port, .. } = flow;
    for (word, value) in entry.key.iter().zip(flow.words()) {
        word.store(value, Ordering::Relaxed);
    }
    let is_mixed = key.client.is_v4() != server.is_v4();
    let mixed = if is_mixed { FlowState::MIXED } else { 0 };
    entry.state.store(state.0 | mixed, Ordering::Relaxed);
    entry.deadline.store(deadline.0, Ordering::Relaxed);
    entry.destination.store(destination.0, Ordering::Relaxed);
    entry.server.store(server.low_32(), Ordering::Relaxed);
    entry.server_port.store(*server_port, Ordering::Relaxed);
    entry.packets.store(0, Ordering::Relaxed);
    entry.way_back.store(0, Ordering::Relaxed);
    entry.lifetime_s.store(flow.lifetime_s, Ordering::Relaxed);
    cold.created.store(flow.created.0, Ordering::Relaxed);
    cold.controller.store(flow.controller.0, Ordering::Relaxed);
    cold.controlled.store(0, Ordering::Relaxed);
    cold.salt.store(flow.salt, Ordering::Relaxed);
    if is_mixed || !key.client.is_v4() {
        for (place, address) in [key.client, key.virtual_address, *server].into_iter().enumerate() {
            cold.set_address(place, address);
        }
    }
}

/// The key of an entry, if it is one of the table.
pub(super) fn key(entry: &Entry, cold: &Cold) -> Option<FlowKey> {
    let first = entry.key[0].load(Ordering::Relaxed);
    (first & (kind::USED | kind::LONE) == kind::USED).then(|| last_key(entry, cold))
}

/// The key that an entry has, or had when it was removed and is not in use again yet.
#[expect(clippy::cast_possible_truncation, reason = "fields are cut out of words")]
pub(super) fn last_key(entry: &Entry, cold: &Cold) -> FlowKey {
    let words = entry.key.each_ref().map(|word| word.load(Ordering::Relaxed));
    let (client, virtual_address, virtual_port) = if words[0] & kind::IPV6 == 0 {
        (Address::v4(words[0] as u32), Address::v4(words[1] as u32), (words[1] >> 32) as u16)
    } else {
        (cold.address(0), cold.address(1), words[0] as u16)
    };
    FlowKey {
        protocol: (words[0] >> 48) as u8,
        client,
        client_port: (words[0] >> 32) as u16,
        virtual_address,
        virtual_port,
    }
}

/// Whether this is the live entry of a key. `words` are the key's, and say of which kind.
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
    if first & kind::IPV6 == 0 {
        let second = entry.key[1].load(Ordering::Relaxed);
        (Address::v4(second as u32), (second >> 32) as u16)
    } else {
        (cold.address(1), first as u16)
    }
}

/// Address of the real server of an entry in use.
pub(super) fn server(entry: &Entry, cold: &Cold) -> Address {
    // A server of the other family than its client's is in the cold line, whatever the key's.
    let is_v4 = entry.key[0].load(Ordering::Relaxed) & kind::IPV6 == 0;
    let is_mixed = entry.state().0 & FlowState::MIXED != 0;
    if is_v4 && !is_mixed { entry.server_v4() } else { cold.address(2) }
}

impl Entry {
    /// Whether this is the live entry of an IPv4 packet from its client, by the key's words.
    #[inline]
    pub(crate) fn is_request_v4(&self, client: u64, virtual_end: u64) -> bool {
        self.key[0].load(Ordering::Relaxed) == client
            && self.key[1].load(Ordering::Relaxed) == virtual_end
    }

    /// Whether this is the live NAT connection of an IPv4 packet from its real server.
    #[inline]
    pub(crate) fn is_reply_v4(&self, client: u64, server_end: u64) -> bool {
        let (address, port) = (self.server.load(Ordering::Relaxed), self.server_port());
        self.key[0].load(Ordering::Relaxed) == client
            && end_word_v4(address, port) == server_end
            && self.state().method() as u8 == ForwardingMethod::Masquerading as u8
    }

    /// Whether this is the live entry of an IPv6 packet from its client, by the key's first word
    /// and both addresses.
    #[inline]
    pub(crate) fn is_request_v6(
        &self,
        cold: &Cold,
        first: u64,
        (client, virtual_address): (Address, Address),
    ) -> bool {
        self.key[0].load(Ordering::Relaxed) == first
            && cold.address(0) == client
            && cold.address(1) == virtual_address
    }

    /// Address and port of the virtual service of an IPv4 connection.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "fields are cut out of a word")]
    pub(crate) fn virtual_end_v4(&self) -> (IpAddr, u16) {
        let word = self.key[1].load(Ordering::Relaxed);
        (Ipv4Addr::from_bits(word as u32).into(), (word >> 32) as u16)
    }

    /// Another one that says the same, for as long as this one does not change.
    pub(super) fn image(&self) -> Self {
        let image = Self::default();
        image.copy_from(self);
        image
    }

    /// Says what another one says.
    pub(super) fn copy_from(&self, other: &Self) {
        for (word, of) in self.key.iter().zip(&other.key) {
            word.store(of.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        self.deadline.store(other.deadline.load(Ordering::Relaxed), Ordering::Relaxed);
        self.state.store(other.state.load(Ordering::Relaxed), Ordering::Relaxed);
        self.destination.store(other.destination.load(Ordering::Relaxed), Ordering::Relaxed);
        self.server.store(other.server.load(Ordering::Relaxed), Ordering::Relaxed);
        self.server_port.store(other.server_port.load(Ordering::Relaxed), Ordering::Relaxed);
        self.packets.store(other.packets.load(Ordering::Relaxed), Ordering::Relaxed);
        self.way_back.store(other.way_back.load(Ordering::Relaxed), Ordering::Relaxed);
        self.lifetime_s.store(other.lifetime_s.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Makes the entry no connection; its other fields, and the rest of its key, stay until it is
    /// filled again.
    pub(super) fn kill(&self) {
        let first = self.key[0].load(Ordering::Relaxed);
        self.key[0].store(first & !kind::USED, Ordering::Relaxed);
    }

    /// Makes a template one that no new connection finds: its ports become 65535
    /// (`ip_vs_check_template`). `false` if it is one already.
    pub(super) fn bury(&self) -> bool {
        const PORT: u64 = TOMBSTONE_PORT as u64;
        let place = usize::from(self.key[0].load(Ordering::Relaxed) & kind::IPV6 == 0);
        let shift = 32 * place;
        let word = self.key[place].load(Ordering::Relaxed);
        let buried = word & !(0xffff << shift) | PORT << shift;
        self.key[place].store(buried, Ordering::Relaxed);
        self.server_port.store(TOMBSTONE_PORT, Ordering::Relaxed);
        word != buried
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

    /// Packets from the client, up to [`PACKETS_MAX`].
    pub fn packets(&self) -> u16 {
        self.packets.load(Ordering::Relaxed)
    }

    /// A packet came from the client.
    #[inline]
    pub fn count_packet(&self) {
        let packets = self.packets.load(Ordering::Relaxed);
        if packets < PACKETS_MAX {
            self.packets.store(packets + 1, Ordering::Relaxed);
        }
    }

    /// Seconds that a template lives without a new connection.
    pub fn lifetime_s(&self) -> u32 {
        self.lifetime_s.load(Ordering::Relaxed)
    }

    /// Changes how long a template lives without a new connection.
    pub fn set_lifetime_s(&self, seconds: u32) {
        self.lifetime_s.store(seconds, Ordering::Relaxed);
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
    /// Another one that says the same, for as long as this one does not change.
    pub(super) fn image(&self) -> Self {
        let image = Self::default();
        image.copy_from(self);
        image
    }

    /// Says what another one says.
    pub(super) fn copy_from(&self, other: &Self) {
        for (word, of) in self.addresses.iter().zip(&other.addresses) {
            word.store(of.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        self.created.store(other.created.load(Ordering::Relaxed), Ordering::Relaxed);
        self.controlled.store(other.controlled.load(Ordering::Relaxed), Ordering::Relaxed);
        self.salt.store(other.salt.load(Ordering::Relaxed), Ordering::Relaxed);
        self.set_controller(other.controller());
    }

    /// Changes who controls this one.
    pub(super) fn set_controller(&self, controller: FlowId) {
        self.controller.store(controller.0, Ordering::Relaxed);
    }

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

    /// What the hash has in it besides the client's end.
    pub(super) fn salt(&self) -> u32 {
        self.salt.load(Ordering::Relaxed)
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
        text.parse::<IpAddr>().unwrap().into()
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
            lifetime_s: 0,
            salt: 0,
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
    fn packets_find_neither_templates_nor_lone_packets() {
        for (client, vip, rip) in
            [("10.0.1.2", "10.0.0.100", "10.0.2.11"), ("fd00:1::2", "fd00::100", "fd00:2::11")]
        {
            let plain = flow(client, vip, rip, ForwardingMethod::Masquerading);
            let template = FlowState::template(ForwardingMethod::Masquerading);
            for (state, is_in_table) in [(template, true), (plain.state.alone(), false)] {
                let (entry, cold) = filled(&NewFlow { state, ..plain });
                assert!(!is(&entry, &cold, &plain.key, plain.key.words()));
                let reply = ReplyKey {
                    protocol: 17,
                    client: plain.key.client,
                    client_port: 65535,
                    server: plain.server,
                    server_port: 5353,
                };
                assert!(!is_reply(&entry, &cold, &reply));
                assert_eq!(key(&entry, &cold).is_some(), is_in_table);
                assert_eq!(server(&entry, &cold), plain.server);
                assert_eq!(virtual_end(&entry, &cold), (plain.key.virtual_address, 53));
            }
        }
    }

    #[test]
    fn a_buried_template_keeps_all_but_its_ports() {
        for (client, vip, rip) in
            [("10.0.1.0", "10.0.0.100", "10.0.2.11"), ("fd00:1::", "fd00::100", "10.0.2.11")]
        {
            let state = FlowState::template(ForwardingMethod::Tunneling);
            let template = flow(client, vip, rip, ForwardingMethod::Tunneling);
            let (entry, cold) = filled(&NewFlow { state, ..template });
            assert!(entry.bury());
            let buried = FlowKey { virtual_port: TOMBSTONE_PORT, ..template.key };
            assert_eq!(key(&entry, &cold), Some(buried));
            assert_eq!(entry.server_port(), TOMBSTONE_PORT);
            assert_eq!(server(&entry, &cold), template.server);
            assert!(!entry.bury(), "only once");
        }
    }

    #[test]
    fn packets_are_counted_as_far_as_anybody_asks() {
        let entry = Entry::default();
        for _ in 0..100 {
            entry.count_packet();
        }
        assert_eq!(entry.packets(), PACKETS_MAX);
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
