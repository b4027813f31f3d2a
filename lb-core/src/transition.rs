//! How a packet moves its connection's state, whatever the protocol.

use crate::burst::Burst;
use crate::flow::{FlowId, FlowState};
use crate::parse::Packet;
use crate::protocol::Protocol;
use crate::settings::Settings;
use crate::snapshot::Snapshot;
use crate::state::{Direction, SctpEvent, SctpState, State, TcpState, UdpState};
use crate::wire::tcp::Flags;

/// What of a packet moves its connection's state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) protocol: u8,
    pub(crate) is_reply: bool,
    /// Of TCP.
    pub(crate) flags: Flags,
    /// Of SCTP.
    pub(crate) chunk: u8,
}

impl Event {
    /// What it is of a packet.
    #[inline]
    pub(crate) const fn of(packet: &Packet) -> Self {
        Self {
            protocol: packet.protocol,
            is_reply: packet.is_reply,
            flags: packet.state_flags(),
            chunk: packet.state_chunk(),
        }
    }
}

/// The state that the first packet of a connection puts it into.
pub(crate) fn first_state(packet: &Packet, direction: Direction, settings: &Settings) -> State {
    match Protocol::from_number(packet.protocol) {
        Some(Protocol::Tcp) => {
            let secure = settings.secure_tcp.is_on();
            State::Tcp(TcpState::None.next(direction, packet.state_flags(), secure))
        }
        Some(Protocol::Sctp) => {
            State::Sctp(SctpState::None.next(direction, SctpEvent::of(packet.state_chunk(), None)))
        }
        _ => State::Udp(UdpState::Normal),
    }
}

/// Whether this is the packet that most are: one that leaves a TCP connection established
/// (`TcpState::next` with the event ACK, in every direction).
#[inline(always)]
pub(crate) fn keeps_established(state: FlowState, event: Event) -> bool {
    const EVENTS: u8 = Flags::SYN.0 | Flags::FIN.0 | Flags::RST.0 | Flags::ACK.0;
    event.protocol == Protocol::Tcp.number()
        && state.number() == TcpState::Established.number()
        && event.flags.0 & EVENTS == Flags::ACK.0
}

/// Moves the state of a connection by a packet, and the destination's counts with it.
#[inline]
pub(crate) fn follow(
    burst: &Burst<'_>,
    id: FlowId,
    mut state: FlowState,
    event: Event,
) -> FlowState {
    let director = burst.director;
    let entry = director.flows.entry(id);
    loop {
        // A packet from the real server shows that its replies pass the director.
        let no_output = state.no_output() && !event.is_reply;
        let Some(next) = next(state, no_output, event, &burst.snapshot.settings) else {
            return state;
        };
        let new = state.moved(next.number(), no_output, next.is_active());
        if new.is_unassured() && assures(next, event.is_reply) {
            director.assure_template(id);
            state = entry.state();
            continue;
        }
        if new == state || state.is_ended() {
            return state;
        }
        if entry.exchange_state(state, new) {
            if new.is_active() != state.is_active() {
                director.slots.set_active(entry.destination(), new.is_active());
            }
            return new;
        }
        state = entry.state();
    }
}

/// Whether a connection has got somewhere: its template may be believed in. Of TCP and SCTP the
/// connection is established, of UDP a reply came (`udp_state_transition`).
pub(crate) fn assures(state: State, is_reply: bool) -> bool {
    match state {
        State::Tcp(state) => state == TcpState::Established,
        State::Sctp(state) => state == SctpState::Established,
        State::Udp(_) => is_reply,
    }
}

/// The state after a packet; `None` where packets of its protocol move nothing.
#[inline]
fn next(state: FlowState, no_output: bool, event: Event, settings: &Settings) -> Option<State> {
    let direction = if event.is_reply {
        Direction::ServerToClient
    } else if no_output {
        Direction::ClientOnly
    } else {
        Direction::ClientToServer
    };
    match Protocol::from_number(event.protocol)? {
        Protocol::Tcp => {
            let now = TcpState::from_number(state.number())?;
            let secure = settings.secure_tcp.is_on();
            Some(State::Tcp(now.next(direction, event.flags, secure)))
        }
        Protocol::Sctp => {
            let now = SctpState::from_number(state.number())?;
            Some(State::Sctp(now.next(direction, SctpEvent::of(event.chunk, None))))
        }
        Protocol::Udp => Some(State::Udp(UdpState::Normal)),
    }
}

/// Seconds that a connection of a packet's protocol lives in a state without another packet.
#[inline]
pub(crate) fn timeout_s(snapshot: &Snapshot, protocol: u8, state: u8) -> u32 {
    let protocol = Protocol::from_number(protocol).unwrap_or(Protocol::Udp);
    State::from_number(protocol, state).map_or(0, |state| snapshot.timeouts.of(state))
}
