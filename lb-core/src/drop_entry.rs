//! `drop_entry`: when room is short, connections that are half-open or hardly used end early
//! (`ip_vs_random_dropentry`, `todrop_entry`).
//!
//! Each second a 32nd of the table is looked at, at random and with repetition, so that nobody can
//! know where it is safe. What is in use stays.

use crate::clock::{TICKS_PER_SECOND, Tick};
use crate::closings::Ending;
use crate::director::Director;
use crate::flow::{FlowId, FlowKey, FlowState, Limbo, PACKETS_MAX};
use crate::protocol::Protocol;
use crate::state::{SctpState, State, TcpState, Timeouts};

/// The part of the table that is looked at in a second.
const SHARE: u64 = 32;
/// Seconds that a connection has been silent before it counts as hardly used.
const IDLE_S: u32 = 60;

/// Why a connection may end early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// It got nowhere.
    Unfinished,
    /// It had so many packets and has been silent for long: one in so many of these ends.
    Idle(u16),
}

/// Thins the table out.
#[derive(Debug)]
pub(crate) struct Thinner {
    /// How many entries were drawn.
    drawn: u64,
    /// What is left to be looked at, in entries times [`SHARE`] times ticks.
    debt: u64,
    /// For each number of packets: how many more idle connections stay.
    left: [u16; PACKETS_MAX as usize],
}

impl Default for Thinner {
    fn default() -> Self {
        Self { drawn: 0, debt: 0, left: [0; PACKETS_MAX as usize] }
    }
}

impl Thinner {
    /// One step, to be called about once per tick. Returns how many connections ended.
    pub(crate) fn step(&mut self, director: &Director, now: Tick, limbo: &mut Limbo) -> usize {
        const PARTS: u64 = SHARE * TICKS_PER_SECOND as u64;
        let snapshot = director.snapshot.load();
        let entries = director.flows.high_water();
        self.debt += u64::try_from(entries).unwrap_or(0);
        let looks = self.debt / PARTS;
        self.debt %= PARTS;
        let mut ended = 0;
        for _ in 0..looks {
            let place = self.draw(director, entries);
            let found = director.flows.live(place..place + 1).next();
            ended += found.map_or(0, |(id, key)| {
                self.try_drop(director, &snapshot.timeouts, now, (id, key), limbo)
            });
        }
        ended
    }

    /// The place of some entry. Drawn by the hash of the table: its secrets are nobody's business.
    #[expect(clippy::cast_possible_truncation, reason = "less than the number of entries")]
    fn draw(&mut self, director: &Director, entries: usize) -> usize {
        self.drawn = self.drawn.wrapping_add(1);
        let product =
            u128::from(director.flows.random(self.drawn)) * u128::try_from(entries).unwrap_or(0);
        (product >> 64) as usize
    }

    /// Ends a connection if its state says so and it is its turn, and what it was under with it if
    /// nobody else is. This is no worker: both may have become another connection meanwhile, so
    /// each is looked at again under its bucket's lock.
    fn try_drop(
        &mut self,
        director: &Director,
        timeouts: &Timeouts,
        now: Tick,
        (id, key): (FlowId, FlowKey),
        limbo: &mut Limbo,
    ) -> usize {
        let flows = &director.flows;
        let cause = |id, key: &FlowKey| cause(director, timeouts, now, id, key);
        let Some(found) = cause(id, &key) else { return 0 };
        if !self.is_its_turn(found) {
            return 0;
        }
        let is_still = |_: &_| flows.key(id) == Some(key) && cause(id, &key) == Some(found);
        if !flows.remove_if(id, is_still) {
            return 0;
        }
        let controller = flows.cold(id).controller();
        let counters = director.housekeeping_counters();
        director.settle_connection(id, limbo, &counters.flows_removed, Ending::Shed);
        let is_left_over = |_: &_| is_left_over(director, controller, &key);
        let ended = if controller.is_some() && flows.remove_if(controller, is_left_over) {
            director.settle_connection(controller, limbo, &counters.flows_removed, Ending::Shed);
            2
        } else {
            1
        };
        counters.flows_dropped.add(ended as u64);
        ended
    }

    /// Whether it is this connection's turn among those that have had as many packets.
    fn is_its_turn(&mut self, cause: Cause) -> bool {
        let Cause::Idle(packets) = cause else { return true };
        let left = &mut self.left[usize::from(packets)];
        *left = left.saturating_sub(1);
        if *left > 0 {
            return false;
        }
        *left = packets;
        true
    }
}

/// Whether a connection may end early, and why.
fn cause(
    director: &Director,
    timeouts: &Timeouts,
    now: Tick,
    id: FlowId,
    key: &FlowKey,
) -> Option<Cause> {
    let state = director.flows.entry(id).state();
    if state.is_ended() || director.is_needed(id) {
        return None;
    }
    if state.is_template() && !state.is_alone() {
        return (state.number() != FlowState::ASSURED).then_some(Cause::Unfinished);
    }
    let protocol = Protocol::from_number(key.protocol).unwrap_or(Protocol::Udp);
    let idle = |timeout_s| idle(director, timeout_s, now, id);
    if state.is_template() {
        return idle(director.flows.entry(id).lifetime_s());
    }
    match State::from_number(protocol, state.number())? {
        State::Tcp(TcpState::SynRecv | TcpState::SynAck)
        | State::Sctp(SctpState::Init1 | SctpState::Init) => Some(Cause::Unfinished),
        known @ (State::Tcp(TcpState::Established)
        | State::Sctp(SctpState::Established)
        | State::Udp(_)) => idle(timeouts.of(known)),
        State::Tcp(_) | State::Sctp(_) => None,
    }
}

/// Whether a connection was silent for long, and had few packets, but some.
fn idle(director: &Director, timeout_s: u32, now: Tick, id: FlowId) -> Option<Cause> {
    let entry = director.flows.entry(id);
    let packets = entry.packets();
    let is_silent = !now.plus_seconds(timeout_s).is_before(entry.deadline().plus_seconds(IDLE_S));
    (is_silent && (1..PACKETS_MAX).contains(&packets)).then_some(Cause::Idle(packets))
}

/// Whether what a dropped connection was under has nobody else and may go, too: a template that is
/// not assured, or its client's FTP control connection.
fn is_left_over(director: &Director, id: FlowId, dropped: &FlowKey) -> bool {
    let state = director.flows.entry(id).state();
    let is_free = director.flows.cold(id).controlled() == 0;
    let may_go = if state.is_template() {
        state.number() != FlowState::ASSURED
    } else {
        state.is_ftp() && director.flows.key(id).is_some_and(|key| key.client == dropped.client)
    };
    is_free && may_go && !state.is_ended()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::address::Address;
    use crate::control::{Control, Network};
    use crate::destination::ForwardingMethod;
    use crate::director::Limits;
    use crate::expiry::Sweeper;
    use crate::flow::{EntryCache, FlowTable, Inserted, NewFlow, Storage};
    use crate::hash::FlowHasher;
    use crate::settings::{Defence, Settings};
    use crate::slots::DestinationId;

    const TCP: u8 = 6;
    const UDP: u8 = 17;
    const SCTP: u8 = 132;
    const NOW: Tick = Tick(80_000);
    const METHOD: ForwardingMethod = ForwardingMethod::Masquerading;

    /// A director, and connections put into its table by hand.
    struct Table {
        control: Control,
        director: Arc<Director>,
        free: EntryCache,
        port: u16,
    }

    impl Table {
        fn new(flows: usize) -> Self {
            let hasher = FlowHasher::new([1, 2, 3]);
            let table = FlowTable::new(flows, Storage::leaked(flows), hasher);
            let limits = Limits::of_destinations(1);
            let mut control = Control::new(table, limits, 1, hasher, Network::default());
            let settings = Settings { drop_entry: Defence::On, ..Settings::default() };
            control.set_settings(settings);
            control.publish();
            let director = Arc::clone(control.director());
            director.slots.get(DestinationId(0)).set_available(true);
            Self { control, director, free: EntryCache::default(), port: 0 }
        }

        /// A connection or template whose time is over in `left_s`, after so many packets.
        fn put(&mut self, protocol: u8, state: FlowState, left_s: u32, packets: u16) -> FlowId {
            self.put_under(FlowId::NONE, protocol, state, left_s, packets)
        }

        fn put_under(
            &mut self,
            controller: FlowId,
            protocol: u8,
            state: FlowState,
            left_s: u32,
            packets: u16,
        ) -> FlowId {
            self.port += 1;
            let key = FlowKey {
                protocol,
                client: Address::v4(0x0a00_0102),
                client_port: self.port,
                virtual_address: Address::v4(0x0a00_0064),
                virtual_port: 80,
            };
            let flow = NewFlow {
                key,
                state,
                deadline: NOW.plus_seconds(left_s),
                destination: DestinationId(0),
                server: Address::v4(0x0a00_020b),
                server_port: 80,
                created: NOW,
                controller,
                lifetime_s: 300,
                salt: 0,
            };
            let flows = &self.director.flows;
            let id = self.free.take(flows).unwrap();
            let hash = flows.hash(protocol, key.client, key.client_port);
            assert_eq!(flows.insert(hash, &flow, id), Inserted::New);
            self.director.count_connection(DestinationId(0), state, true);
            self.director.control(controller, true);
            self.director.counters[0].flows_inserted.add(1);
            (0..packets).for_each(|_| flows.entry(id).count_packet());
            id
        }

        fn cause(&self, id: FlowId) -> Option<Cause> {
            let key = self.director.flows.key(id).unwrap();
            cause(&self.director, &Timeouts::default(), NOW, id, &key)
        }

        /// Whether it is there no more, after having been looked at once.
        fn is_dropped(&self, id: FlowId) -> bool {
            let key = self.director.flows.key(id).unwrap();
            let mut limbo = Limbo::default();
            let timeouts = Timeouts::default();
            Thinner::default().try_drop(&self.director, &timeouts, NOW, (id, key), &mut limbo);
            !self.is_there(id)
        }

        fn is_there(&self, id: FlowId) -> bool {
            self.director.flows.key(id).is_some()
        }
    }

    const fn tcp(state: TcpState) -> FlowState {
        FlowState::new(state.number(), METHOD, state.is_active())
    }

    const fn sctp(state: SctpState) -> FlowState {
        FlowState::new(state.number(), METHOD, state.is_active())
    }

    const UDP_STATE: FlowState = FlowState::new(0, METHOD, false);

    #[test]
    fn half_open_connections_end_whenever_they_are_seen() {
        let mut table = Table::new(64);
        for state in TcpState::ALL {
            let id = table.put(TCP, tcp(state), 1000, 1);
            let is_half_open = matches!(state, TcpState::SynRecv | TcpState::SynAck);
            assert_eq!(table.cause(id) == Some(Cause::Unfinished), is_half_open, "{state:?}");
            assert_eq!(table.is_dropped(id), is_half_open, "{state:?}");
        }
        for number in 0..14 {
            let state = SctpState::from_number(number).unwrap();
            let id = table.put(SCTP, sctp(state), 1000, 1);
            let is_half_open = matches!(state, SctpState::Init1 | SctpState::Init);
            assert_eq!(table.is_dropped(id), is_half_open, "{state:?}");
        }
    }

    #[test]
    fn others_end_when_they_were_silent_for_a_minute_after_few_packets() {
        let mut table = Table::new(1024);
        let kinds = [
            (TCP, tcp(TcpState::Established), 900),
            (SCTP, sctp(SctpState::Established), 900),
            (UDP, UDP_STATE, 300),
        ];
        for (protocol, state, timeout_s) in kinds {
            for packets in 0..=20 {
                let is_few = (1..=8).contains(&packets);
                let idle = table.put(protocol, state, timeout_s - 60, packets);
                let expected = is_few.then_some(Cause::Idle(packets));
                assert_eq!(table.cause(idle), expected, "{protocol} {packets}");
                let busy = table.put(protocol, state, timeout_s - 59, packets);
                assert_eq!(table.cause(busy), None, "{protocol} {packets}");
            }
        }
        let closing = table.put(TCP, tcp(TcpState::FinWait), 1, 3);
        assert_eq!(table.cause(closing), None, "it ends soon enough");
    }

    #[test]
    fn of_idle_connections_one_in_as_many_ends_as_they_had_packets() {
        let mut thinner = Thinner::default();
        let mut turns = |packets, count| {
            let turns = (0..count).map(|_| thinner.is_its_turn(Cause::Idle(packets)));
            turns.map(u8::from).collect::<Vec<_>>()
        };
        assert_eq!(turns(1, 4), [1, 1, 1, 1]);
        assert_eq!(turns(3, 2), [1, 0]);
        assert_eq!(turns(2, 5), [1, 0, 1, 0, 1]);
        assert_eq!(turns(3, 5), [0, 1, 0, 0, 1], "each number has its own count");
        assert_eq!(turns(8, 9), [1, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert!(thinner.is_its_turn(Cause::Unfinished) && thinner.is_its_turn(Cause::Unfinished));
    }

    #[test]
    fn templates_stay_once_a_connection_was_established() {
        let mut table = Table::new(64);
        let template = FlowState::template(METHOD);
        let unassured = table.put(TCP, template, 300, 0);
        assert_eq!(table.cause(unassured), Some(Cause::Unfinished));
        let assured = table.put(TCP, template.moved(FlowState::ASSURED, false, false), 1, 0);
        assert_eq!(table.cause(assured), None);
        let alone = table.put(UDP, template.alone(), 1, 0);
        assert_eq!(table.cause(alone), None, "of one-packet services: no packet came");
        let counted = table.put(UDP, template.alone(), 240, 2);
        assert_eq!(table.cause(counted), Some(Cause::Idle(2)));
        let held = table.put(TCP, template, 300, 0);
        table.put_under(held, TCP, tcp(TcpState::Established), 900, 1);
        assert_eq!(table.cause(held), None, "what controls others stays");
    }

    #[test]
    fn a_template_goes_with_its_last_connection_unless_it_is_assured() {
        let mut table = Table::new(64);
        let half_open = tcp(TcpState::SynRecv);
        let template = table.put(TCP, FlowState::template(METHOD), 300, 0);
        let first = table.put_under(template, TCP, half_open, 60, 1);
        let second = table.put_under(template, TCP, half_open, 60, 1);
        assert!(table.is_dropped(first) && table.is_there(template), "the second needs it");
        assert!(table.is_dropped(second) && !table.is_there(template));
        assert_eq!(table.director.housekeeping_counters().flows_dropped.get(), 3);

        let state = FlowState::template(METHOD).moved(FlowState::ASSURED, false, false);
        let assured = table.put(TCP, state, 300, 0);
        let last = table.put_under(assured, TCP, half_open, 60, 1);
        assert!(table.is_dropped(last) && table.is_there(assured));

        let control = table.put(TCP, tcp(TcpState::Established).with_ftp(), 900, 9);
        let data = table.put_under(control, TCP, half_open, 60, 1);
        assert!(table.is_dropped(data) && !table.is_there(control));

        let stranger = table.put(TCP, tcp(TcpState::Established), 900, 9);
        let other = table.put_under(stranger, TCP, half_open, 60, 1);
        assert!(table.is_dropped(other) && table.is_there(stranger));
        let slot = table.director.slots.get(DestinationId(0));
        assert_eq!((slot.active(), slot.persistent()), (1, 1), "counted out exactly once");
    }

    #[test]
    fn a_second_looks_at_a_32nd_of_the_table_and_in_the_end_at_all() {
        const FLOWS: usize = 6400;
        let mut table = Table::new(FLOWS);
        for _ in 0..FLOWS {
            table.put(TCP, tcp(TcpState::SynRecv), 60, 1);
        }
        let mut sweeper = Sweeper::default();
        let mut second = |table: &Table| -> usize {
            (0..TICKS_PER_SECOND).map(|_| sweeper.step(&table.director, NOW)).sum()
        };
        let first = second(&table);
        assert!((190..=200).contains(&first), "{first}: with a few repetitions");
        let more: usize = (0..400).map(|_| second(&table)).sum();
        assert_eq!(first + more, FLOWS);
        assert_eq!(table.director.flows_used(), 0);
        assert_eq!(table.director.housekeeping_counters().flows_dropped.get(), FLOWS as u64);

        table.port = 0;
        let id = table.put(TCP, tcp(TcpState::SynRecv), 60, 1);
        let off = Settings { drop_entry: Defence::AutomaticOff, ..Settings::default() };
        table.control.set_settings(off);
        table.control.publish();
        assert_eq!((0..400).map(|_| second(&table)).sum::<usize>(), 0, "it is off");
        assert!(table.is_there(id));
    }
}
