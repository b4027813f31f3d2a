//! Neighbours: the link-layer addresses of real servers and gateways (ARP, RFC 826).
//!
//! The director needs few neighbours and knows them beforehand: whom its real servers and
//! gateways are behind. It keeps all of them resolved, asks again before it stops believing an
//! answer, and publishes each change into the slots of the destinations that depend on it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use crate::clock::{TICKS_PER_SECOND, Tick};
use crate::interface::InterfaceId;
use crate::route::Hop;
use crate::slots::{DestinationId, DestinationSlots, NextHop};
use crate::wire::MacAddress;

/// What an ARP packet told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArpSeen {
    pub interface: InterfaceId,
    pub sender: Ipv4Addr,
    pub sender_mac: MacAddress,
    pub target: Ipv4Addr,
    /// A request; else a reply.
    pub request: bool,
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
#[derive(Debug, Default)]
pub struct Neighbours {
    patience: Patience,
    table: BTreeMap<(InterfaceId, Ipv4Addr), Neighbour>,
}

impl Neighbours {
    /// No neighbours yet.
    pub const fn new(patience: Patience) -> Self {
        Self { patience, table: BTreeMap::new() }
    }

    /// A configured neighbour.
    pub fn set_permanent(&mut self, hop: Hop, mac: MacAddress) {
        let neighbour = self.entry(hop);
        neighbour.state = State::Permanent;
        neighbour.mac = Some(mac);
    }

    /// A destination is reached through this hop from now on.
    pub fn add_user(&mut self, hop: Hop, user: DestinationId, slots: &DestinationSlots) {
        let neighbour = self.entry(hop);
        neighbour.users.push(user);
        slots.get(user).set_next_hop(neighbour.next_hop(hop.interface));
    }

    /// A destination is gone. A neighbour that nobody needs any more is forgotten.
    pub fn remove_user(&mut self, hop: Hop, user: DestinationId) {
        let key = (hop.interface, hop.neighbour);
        if let Some(neighbour) = self.table.get_mut(&key) {
            neighbour.users.retain(|&other| other != user);
            if neighbour.users.is_empty() && neighbour.state != State::Permanent {
                self.table.remove(&key);
            }
        }
    }

    fn entry(&mut self, hop: Hop) -> &mut Neighbour {
        self.table.entry((hop.interface, hop.neighbour)).or_insert(Neighbour {
            state: State::Incomplete,
            mac: None,
            confirmed: Tick(0),
            asked: None,
            attempts: 0,
            users: Vec::new(),
        })
    }

    /// Learns from an ARP packet. Only neighbours that the director needs are learnt: nobody can
    /// fill the table.
    pub fn seen(&mut self, seen: &ArpSeen, now: Tick, slots: &DestinationSlots) {
        let Some(neighbour) = self.table.get_mut(&(seen.interface, seen.sender)) else { return };
        if neighbour.state == State::Permanent || !seen.sender_mac.is_unicast() {
            return;
        }
        let published = neighbour.next_hop(seen.interface);
        neighbour.confirmed = now;
        neighbour.asked = None;
        neighbour.attempts = 0;
        neighbour.state = State::Reachable;
        neighbour.mac = Some(seen.sender_mac);
        if neighbour.next_hop(seen.interface) != published {
            neighbour.publish(seen.interface, slots);
        }
    }

    /// What is to be asked now. To be called about once per tick.
    pub fn questions(&mut self, now: Tick, slots: &DestinationSlots) -> Vec<Question> {
        let patience = self.patience;
        let mut questions = Vec::new();
        for (&(interface, address), neighbour) in &mut self.table {
            if neighbour.is_due(now, &patience) {
                neighbour.ask(now, &patience, interface, slots);
                let unicast = neighbour.state == State::Probe;
                questions.push(Question {
                    hop: Hop { interface, neighbour: address },
                    last_known: neighbour.mac.filter(|_| unicast),
                });
            }
        }
        questions
    }

    /// All neighbours, by interface and address.
    pub fn rows(&self) -> impl Iterator<Item = NeighbourRow> {
        self.table.iter().map(|(&(interface, neighbour), known)| NeighbourRow {
            hop: Hop { interface, neighbour },
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
    /// be there.
    fn ask(
        &mut self,
        now: Tick,
        patience: &Patience,
        interface: InterfaceId,
        slots: &DestinationSlots,
    ) {
        if self.attempts >= patience.attempts && self.state != State::Failed {
            self.state = State::Failed;
            self.publish(interface, slots);
        } else if self.state == State::Reachable {
            self.state = State::Probe;
        }
        self.asked = Some(now);
        self.attempts = self.attempts.saturating_add(1);
    }

    const fn is_published(&self) -> bool {
        !matches!(self.state, State::Failed | State::Incomplete)
    }

    fn next_hop(&self, interface: InterfaceId) -> Option<NextHop> {
        let mac = self.mac.filter(|_| self.is_published())?;
        Some(NextHop { mac, interface })
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

    const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 10, 83);
    const HOP: Hop = Hop { interface: InterfaceId(0), neighbour: SERVER };
    const USER: DestinationId = DestinationId(0);

    fn answer(last: u8) -> ArpSeen {
        ArpSeen {
            interface: InterfaceId(0),
            sender: SERVER,
            sender_mac: MacAddress([2, 0, 0, 0, 0, last]),
            target: Ipv4Addr::new(10, 0, 10, 61),
            request: false,
        }
    }

    fn published(slots: &DestinationSlots) -> Option<u8> {
        slots.get(USER).next_hop().map(|next_hop| next_hop.mac.0[5])
    }

    fn asked(neighbours: &mut Neighbours, now: u32, slots: &DestinationSlots) -> Vec<Option<u8>> {
        let questions = neighbours.questions(Tick(now), slots);
        questions.iter().map(|question| question.last_known.map(|mac| mac.0[5])).collect()
    }

    #[test]
    fn asks_learns_probes_and_gives_up() {
        let slots = DestinationSlots::new(1);
        let mut neighbours =
            Neighbours::new(Patience { retry_ticks: 8, attempts: 3, reachable_ticks: 100 });
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
        let mut neighbours = Neighbours::default();
        neighbours.seen(&answer(1), Tick(0), &slots);
        assert_eq!(neighbours.rows().count(), 0);
        neighbours.add_user(HOP, USER, &slots);
        let broadcast = ArpSeen { sender_mac: MacAddress::BROADCAST, ..answer(1) };
        neighbours.seen(&broadcast, Tick(0), &slots);
        assert_eq!(published(&slots), None);
        let elsewhere = ArpSeen { interface: InterfaceId(1), ..answer(1) };
        neighbours.seen(&elsewhere, Tick(0), &slots);
        assert_eq!(published(&slots), None, "the right address on the wrong interface");
    }

    #[test]
    fn a_permanent_neighbour_is_never_asked_nor_changed() {
        let slots = DestinationSlots::new(2);
        let mut neighbours = Neighbours::default();
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
        let mut neighbours = Neighbours::default();
        neighbours.add_user(HOP, USER, &slots);
        neighbours.add_user(HOP, DestinationId(1), &slots);
        neighbours.remove_user(HOP, USER);
        assert_eq!(neighbours.rows().count(), 1);
        neighbours.remove_user(HOP, DestinationId(1));
        assert_eq!(neighbours.rows().count(), 0);
    }
}
