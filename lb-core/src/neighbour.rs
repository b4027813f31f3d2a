//! Neighbours: the link-layer addresses of real servers, gateways and clients on the link (ARP,
//! RFC 826; neighbour discovery, RFC 4861).
//!
//! Most neighbours that the director needs it knows beforehand: whom its real servers and
//! gateways are behind. It keeps all of them resolved, asks again before it stops believing an
//! answer, and publishes each change into the slots of the destinations that depend on it. Others
//! (a client on the link that replies go to) are wanted by packets; of these there is a limit.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use crate::clock::{TICKS_PER_SECOND, Tick};
use crate::interface::InterfaceId;
use crate::next_hop::NextHop;
use crate::route::Hop;
use crate::slots::{DestinationId, DestinationSlots};
use crate::wire::MacAddress;

/// What ARP or neighbour discovery told: who has an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighbourSeen {
    pub interface: InterfaceId,
    pub address: IpAddr,
    pub mac: MacAddress,
}

/// A question to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    pub hop: Hop,
    /// Where it was last: a probe goes there alone. `None` asks everybody.
    pub last_known: Option<MacAddress>,
}

/// How patient the director is with its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Ticks between questions that stay unanswered.
    pub retry_ticks: u32,
    /// Unanswered probes after which a neighbour is not believed to be there any more.
    pub attempts: u32,
    /// Ticks for which an answer is believed before the neighbour is probed again.
    pub reachable_ticks: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self { retry_ticks: TICKS_PER_SECOND, attempts: 3, reachable_ticks: 30 * TICKS_PER_SECOND }
    }
}

/// How much is known of a neighbour, in the words of `ip neigh`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Configured; never asked, never changed.
    Permanent,
    /// Answered lately.
    Reachable,
    /// Answered once; being asked again, used meanwhile.
    Probe,
    /// Never answered so far.
    Incomplete,
    /// Stopped answering, or never began within the allowed attempts; asked on and on.
    Failed,
}

impl State {
    /// The word in listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Permanent => "permanent",
            Self::Reachable => "reachable",
            Self::Probe => "probe",
            Self::Incomplete => "incomplete",
            Self::Failed => "failed",
        }
    }
}

/// A neighbour.
#[derive(Debug)]
struct Neighbour {
    state: State,
    mac: Option<MacAddress>,
    /// When it last answered.
    confirmed: Tick,
    /// When it was last asked; `None` if not since its last answer.
    asked: Option<Tick>,
    /// Questions since its last answer.
    attempts: u32,
    users: Vec<DestinationId>,
    interest: Interest,
}

/// Why a neighbour is kept besides the destinations that are reached through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Interest {
    /// For nothing else.
    None,
    /// A packet wanted it: kept as long as it answers.
    Packets,
    /// A gateway of the configuration, or permanent.
    Configured,
}

/// A line of `sluicectl neigh`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeighbourRow {
    pub hop: Hop,
    pub mac: Option<MacAddress>,
    pub state: State,
    /// Destinations that are reached through it.
    pub users: usize,
}

/// All neighbours.
#[derive(Debug)]
pub struct Neighbours {
    patience: Patience,
    table: BTreeMap<Hop, Neighbour>,
    /// How many may be kept because packets wanted them.
    wanted_max: usize,
    wanted: usize,
    /// Those that packets wanted, in that order; some have answered since.
    unanswered: VecDeque<Hop>,
    /// What is known differs from what [`Neighbours::take_changed`] last told of.
    is_changed: bool,
}

impl Neighbours {
    /// No neighbours yet.
    pub const fn new(patience: Patience, wanted_max: usize) -> Self {
        Self {
            patience,
            table: BTreeMap::new(),
            wanted_max,
            wanted: 0,
            unanswered: VecDeque::new(),
            is_changed: true,
        }
    }

    /// A configured neighbour.
    pub fn set_permanent(&mut self, hop: Hop, mac: MacAddress) {
        let neighbour = self.keep(hop);
        neighbour.state = State::Permanent;
        neighbour.mac = Some(mac);
        self.is_changed = true;
    }

    /// A gateway: to be resolved whether destinations are behind it or not.
    pub fn keep_gateway(&mut self, hop: Hop) {
        self.keep(hop);
    }

    fn keep(&mut self, hop: Hop) -> &mut Neighbour {
        let was_wanted =
            self.table.get(&hop).is_some_and(|known| known.interest == Interest::Packets);
        self.wanted -= usize::from(was_wanted);
        let neighbour = self.entry(hop);
        neighbour.interest = Interest::Configured;
        neighbour
    }

    /// How patient to be from now on, and how many to keep that packets wanted. Those that are
    /// there stay.
    pub const fn set_patience(&mut self, patience: Patience, wanted_max: usize) {
        self.patience = patience;
        self.wanted_max = wanted_max;
    }

    /// The configuration names these neighbours from now on, and no others: what is known of
    /// those stays known as long as they are needed. Routes are taken to have changed.
    pub fn set_configured(
        &mut self,
        gateways: &[Hop],
        permanent: &[(Hop, MacAddress)],
        slots: &DestinationSlots,
    ) {
        let is_permanent = |hop: &Hop| permanent.iter().any(|(other, _)| other == hop);
        for (hop, neighbour) in &mut self.table {
            if neighbour.interest == Interest::Configured {
                neighbour.interest = Interest::None;
            }
            if neighbour.state == State::Permanent && !is_permanent(hop) {
                // It is believed until it was asked.
                neighbour.state = State::Probe;
            }
        }
        for &gateway in gateways {
            self.keep_gateway(gateway);
        }
        for &(hop, mac) in permanent {
            self.set_permanent(hop, mac);
            if let Some(neighbour) = self.table.get(&hop) {
                neighbour.publish(hop.interface, slots);
            }
        }
        self.table.retain(|_, neighbour| {
            neighbour.interest != Interest::None || !neighbour.users.is_empty()
        });
        self.is_changed = true;
    }

    /// A packet waits for this neighbour. Not known yet and the limit reached: it takes the place
    /// of the oldest one that was asked and did not answer, so that a scan of addresses that do
    /// not exist keeps nobody out (RFC 6583). Where all have answered, or were not asked yet,
    /// nothing happens, and the packet waits in vain.
    pub fn want(&mut self, hop: Hop) {
        if self.table.contains_key(&hop) || (self.wanted >= self.wanted_max && !self.make_room()) {
            return;
        }
        self.entry(hop).interest = Interest::Packets;
        self.wanted += 1;
        self.unanswered.push_back(hop);
    }

    fn make_room(&mut self) -> bool {
        while let Some(&hop) = self.unanswered.front() {
            let silent = self.table.get(&hop).filter(|neighbour| {
                neighbour.state == State::Incomplete
                    && neighbour.interest == Interest::Packets
                    && neighbour.users.is_empty()
            });
            if silent.is_some_and(|neighbour| neighbour.attempts == 0) {
                return false;
            }
            let is_silent = silent.is_some();
            self.unanswered.pop_front();
            if is_silent {
                self.table.remove(&hop);
                self.wanted -= 1;
                return true;
            }
        }
        false
    }

    /// Whether what is known changed since the last call.
    pub const fn take_changed(&mut self) -> bool {
        std::mem::replace(&mut self.is_changed, false)
    }

    /// Where frames for each neighbour go that is known.
    pub fn known(&self) -> impl Iterator<Item = (Hop, NextHop)> {
        self.table.iter().filter_map(|(&hop, neighbour)| {
            neighbour.next_hop(hop.interface).map(|next_hop| (hop, next_hop))
        })
    }

    /// A destination is reached through this hop from now on.
    pub fn add_user(&mut self, hop: Hop, user: DestinationId, slots: &DestinationSlots) {
        let neighbour = self.entry(hop);
        neighbour.users.push(user);
        slots.get(user).set_next_hop(neighbour.next_hop(hop.interface));
    }

    /// A destination is gone. A neighbour that nobody needs any more is forgotten.
    pub fn remove_user(&mut self, hop: Hop, user: DestinationId) {
        if let Some(neighbour) = self.table.get_mut(&hop) {
            neighbour.users.retain(|&other| other != user);
            if neighbour.users.is_empty() && neighbour.interest == Interest::None {
                self.table.remove(&hop);
                self.is_changed = true;
            }
        }
    }

    fn entry(&mut self, hop: Hop) -> &mut Neighbour {
        self.table.entry(hop).or_insert(Neighbour {
            state: State::Incomplete,
            mac: None,
            confirmed: Tick(0),
            asked: None,
            attempts: 0,
            users: Vec::new(),
            interest: Interest::None,
        })
    }

    /// Learns from an ARP packet. Only neighbours that the director needs are learnt: nobody can
    /// fill the table.
    pub fn seen(&mut self, seen: &NeighbourSeen, now: Tick, slots: &DestinationSlots) {
        let hop = Hop { interface: seen.interface, neighbour: seen.address };
        let Some(neighbour) = self.table.get_mut(&hop) else { return };
        if neighbour.state == State::Permanent || !seen.mac.is_unicast() {
            return;
        }
        let published = neighbour.next_hop(seen.interface);
        neighbour.confirmed = now;
        neighbour.asked = None;
        neighbour.attempts = 0;
        neighbour.state = State::Reachable;
        neighbour.mac = Some(seen.mac);
        if neighbour.next_hop(seen.interface) != published {
            neighbour.publish(seen.interface, slots);
            self.is_changed = true;
        }
    }

    /// What is to be asked now. To be called about once per tick.
    pub fn questions(&mut self, now: Tick, slots: &DestinationSlots) -> Vec<Question> {
        let patience = self.patience;
        let mut questions = Vec::new();
        for (&hop, neighbour) in &mut self.table {
            if neighbour.is_due(now, &patience) {
                self.is_changed |= neighbour.ask(now, &patience, hop.interface, slots);
                let unicast = neighbour.state == State::Probe;
                let last_known = neighbour.mac.filter(|_| unicast);
                questions.push(Question { hop, last_known });
            }
        }
        self.forget_silent();
        questions
    }

    /// Who was only wanted by packets and does not answer is forgotten: the next packet wants it
    /// anew.
    fn forget_silent(&mut self) {
        let before = self.wanted;
        let wanted = &mut self.wanted;
        self.table.retain(|_, neighbour| {
            let is_over = neighbour.state == State::Failed
                && neighbour.interest == Interest::Packets
                && neighbour.users.is_empty();
            *wanted -= usize::from(is_over);
            !is_over
        });
        if self.wanted < before {
            self.unanswered.retain(|hop| self.table.contains_key(hop));
        }
    }

    /// All neighbours, by interface and address.
    pub fn rows(&self) -> impl Iterator<Item = NeighbourRow> {
        self.table.iter().map(|(&hop, known)| NeighbourRow {
            hop,
            mac: known.mac,
            state: known.state,
            users: known.users.len(),
        })
    }
}

impl Neighbour {
    fn is_due(&self, now: Tick, patience: &Patience) -> bool {
        let since = |then: Tick| now.0.wrapping_sub(then.0);
        match (self.state, self.asked) {
            (State::Permanent, _) => false,
            (_, Some(asked)) => since(asked) >= patience.retry_ticks,
            (State::Reachable, None) => since(self.confirmed) >= patience.reachable_ticks,
            (_, None) => true,
        }
    }

    /// Notes a question; too many of them without an answer and the neighbour is not believed to
    /// be there. Returns whether that changed what is known.
    fn ask(
        &mut self,
        now: Tick,
        patience: &Patience,
        interface: InterfaceId,
        slots: &DestinationSlots,
    ) -> bool {
        let gives_up = self.attempts >= patience.attempts && self.state != State::Failed;
        if gives_up {
            self.state = State::Failed;
            self.publish(interface, slots);
        } else if self.state == State::Reachable {
            self.state = State::Probe;
        }
        self.asked = Some(now);
        self.attempts = self.attempts.saturating_add(1);
        gives_up
    }

    const fn is_published(&self) -> bool {
        !matches!(self.state, State::Failed | State::Incomplete)
    }

    fn next_hop(&self, interface: InterfaceId) -> Option<NextHop> {
        let mac = self.mac.filter(|_| self.is_published())?;
        Some(NextHop::new(mac, interface))
    }

    fn publish(&self, interface: InterfaceId, slots: &DestinationSlots) {
        let next_hop = self.next_hop(interface);
        for &user in &self.users {
            slots.get(user).set_next_hop(next_hop);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 10, 83));
    const HOP: Hop = Hop { interface: InterfaceId(0), neighbour: SERVER };
    const USER: DestinationId = DestinationId(0);

    fn answer(last: u8) -> NeighbourSeen {
        let mac = MacAddress([2, 0, 0, 0, 0, last]);
        NeighbourSeen { interface: InterfaceId(0), address: SERVER, mac }
    }

    fn neighbours() -> Neighbours {
        Neighbours::new(Patience::default(), 2)
    }

    fn published(slots: &DestinationSlots) -> Option<u8> {
        slots.get(USER).next_hop().map(|next_hop| next_hop.mac().0[5])
    }

    fn asked(neighbours: &mut Neighbours, now: u32, slots: &DestinationSlots) -> Vec<Option<u8>> {
        let questions = neighbours.questions(Tick(now), slots);
        questions.iter().map(|question| question.last_known.map(|mac| mac.0[5])).collect()
    }

    #[test]
    fn asks_learns_probes_and_gives_up() {
        let slots = DestinationSlots::new(1);
        let mut neighbours =
            Neighbours::new(Patience { retry_ticks: 8, attempts: 3, reachable_ticks: 100 }, 0);
        neighbours.add_user(HOP, USER, &slots);
        assert_eq!(asked(&mut neighbours, 10, &slots), [None], "asked at once, everybody");
        assert!(asked(&mut neighbours, 17, &slots).is_empty());
        assert_eq!(asked(&mut neighbours, 18, &slots), [None], "and again");
        assert_eq!(published(&slots), None);
        neighbours.seen(&answer(1), Tick(20), &slots);
        assert_eq!(published(&slots), Some(1));
        assert!(asked(&mut neighbours, 119, &slots).is_empty());
        assert_eq!(asked(&mut neighbours, 120, &slots), [Some(1)], "a probe goes to where it was");
        assert_eq!(published(&slots), Some(1), "used while it is probed");
        neighbours.seen(&answer(2), Tick(121), &slots);
        assert_eq!(published(&slots), Some(2), "the new address is believed at once");
        assert_eq!(asked(&mut neighbours, 221, &slots), [Some(2)]);
        assert_eq!(asked(&mut neighbours, 229, &slots), [Some(2)]);
        assert_eq!(asked(&mut neighbours, 237, &slots), [Some(2)]);
        assert_eq!(published(&slots), Some(2));
        assert_eq!(asked(&mut neighbours, 245, &slots), [None], "given up, everybody is asked");
        assert_eq!(published(&slots), None);
        assert_eq!(neighbours.rows().next().map(|row| row.state), Some(State::Failed));
        assert_eq!(asked(&mut neighbours, 253, &slots), [None], "asked on and on");
        neighbours.seen(&answer(2), Tick(254), &slots);
        assert_eq!(published(&slots), Some(2), "back");
    }

    #[test]
    fn strangers_and_impossible_addresses_are_not_learnt() {
        let slots = DestinationSlots::new(1);
        let mut neighbours = neighbours();
        neighbours.seen(&answer(1), Tick(0), &slots);
        assert_eq!(neighbours.rows().count(), 0);
        neighbours.add_user(HOP, USER, &slots);
        let broadcast = NeighbourSeen { mac: MacAddress::BROADCAST, ..answer(1) };
        neighbours.seen(&broadcast, Tick(0), &slots);
        assert_eq!(published(&slots), None);
        let elsewhere = NeighbourSeen { interface: InterfaceId(1), ..answer(1) };
        neighbours.seen(&elsewhere, Tick(0), &slots);
        assert_eq!(published(&slots), None, "the right address on the wrong interface");
    }

    #[test]
    fn a_permanent_neighbour_is_never_asked_nor_changed() {
        let slots = DestinationSlots::new(2);
        let mut neighbours = neighbours();
        neighbours.set_permanent(HOP, MacAddress([2, 0, 0, 0, 0, 0x83]));
        neighbours.add_user(HOP, USER, &slots);
        assert_eq!(published(&slots), Some(0x83));
        neighbours.seen(&answer(1), Tick(0), &slots);
        assert_eq!(published(&slots), Some(0x83));
        assert!(asked(&mut neighbours, 10_000, &slots).is_empty());
        neighbours.remove_user(HOP, USER);
        assert_eq!(neighbours.rows().count(), 1);
    }

    #[test]
    fn a_neighbour_that_nobody_needs_is_forgotten() {
        let slots = DestinationSlots::new(2);
        let mut neighbours = neighbours();
        neighbours.add_user(HOP, USER, &slots);
        neighbours.add_user(HOP, DestinationId(1), &slots);
        neighbours.remove_user(HOP, USER);
        assert_eq!(neighbours.rows().count(), 1);
        neighbours.remove_user(HOP, DestinationId(1));
        assert_eq!(neighbours.rows().count(), 0);
    }

    #[test]
    fn what_packets_want_is_bounded_and_forgotten_when_silent() {
        let slots = DestinationSlots::new(1);
        let mut neighbours = neighbours();
        let hop = |last| Hop { neighbour: [10, 0, 10, last].into(), ..HOP };
        assert!(neighbours.take_changed());
        for last in [1, 2, 1, 3] {
            neighbours.want(hop(last));
        }
        assert_eq!(neighbours.rows().count(), 2, "two are the limit here");
        assert_eq!(asked(&mut neighbours, 10, &slots), [None, None]);
        let seen = NeighbourSeen { address: hop(1).neighbour, ..answer(7) };
        neighbours.seen(&seen, Tick(10), &slots);
        assert!(neighbours.take_changed());
        assert_eq!(neighbours.known().map(|(hop, _)| hop).collect::<Vec<_>>(), [hop(1)]);
        for tick in [18, 26, 34, 42] {
            asked(&mut neighbours, tick, &slots);
        }
        assert_eq!(neighbours.rows().map(|row| row.hop).collect::<Vec<_>>(), [hop(1)]);
        neighbours.want(hop(3));
        assert_eq!(neighbours.rows().count(), 2, "there is room again");
    }

    /// Those that answered are in no scanner's way, nor is who comes after the scan.
    #[test]
    fn silent_neighbours_make_room_for_new_ones() {
        let slots = DestinationSlots::new(1);
        let patience = Patience { retry_ticks: 8, attempts: 30, reachable_ticks: 100 };
        let mut neighbours = Neighbours::new(patience, 2);
        let hop = |last: u8| Hop {
            interface: InterfaceId(0),
            neighbour: IpAddr::from([10, 0, 10, last]),
        };
        let known = |neighbours: &Neighbours| -> Vec<Hop> {
            neighbours.rows().map(|row| row.hop).collect()
        };
        neighbours.want(HOP);
        neighbours.want(hop(1));
        neighbours.want(hop(2));
        assert_eq!(known(&neighbours), [hop(1), HOP], "nobody was asked yet");
        neighbours.questions(Tick(0), &slots);
        neighbours.seen(&answer(7), Tick(1), &slots);
        neighbours.want(hop(3));
        assert_eq!(known(&neighbours), [hop(3), HOP], "the silent one gave way");
        neighbours.want(hop(4));
        assert_eq!(known(&neighbours), [hop(3), HOP], "3 has its chance first");
        neighbours.questions(Tick(8), &slots);
        neighbours.want(hop(4));
        assert_eq!(known(&neighbours), [hop(4), HOP]);
    }
}
