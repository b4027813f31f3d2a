//! The SCTP state machine of IPVS.
//!
//! As coarse as TCP's: one state for both ends, taken from the type of a packet's first chunk
//! (RFC 9260 section 3.2). Neither tags nor transmission sequence numbers are looked at.

use super::Direction;

/// The state of an SCTP association. The values are the kernel's (`IP_VS_SCTP_S_*` in
/// `include/net/ip_vs.h`), as are the meanings: the association as the real server sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SctpState {
    /// New: no packet has been looked at yet.
    #[default]
    None = 0,
    /// The client's first INIT: lives shortly, so that a flood of them does.
    Init1 = 1,
    /// The client has sent INIT again.
    Init = 2,
    /// The server has answered INIT with a cookie.
    CookieSent = 3,
    /// The client has sent the cookie back.
    CookieReplied = 4,
    /// The server has sent INIT.
    CookieWait = 5,
    /// The client has answered the server's INIT with a cookie.
    Cookie = 6,
    /// The server has sent the cookie back.
    CookieEchoed = 7,
    Established = 8,
    /// The server shuts down.
    ShutdownSent = 9,
    /// The client shuts down.
    ShutdownReceived = 10,
    /// The server agrees to a shutdown.
    ShutdownAckSent = 11,
    /// INIT was answered with ABORT: lives shortly.
    Rejected = 12,
    Closed = 13,
}

impl SctpState {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// All states by number.
    pub const ALL: [Self; 14] = [
        Self::None,
        Self::Init1,
        Self::Init,
        Self::CookieSent,
        Self::CookieReplied,
        Self::CookieWait,
        Self::Cookie,
        Self::CookieEchoed,
        Self::Established,
        Self::ShutdownSent,
        Self::ShutdownReceived,
        Self::ShutdownAckSent,
        Self::Rejected,
        Self::Closed,
    ];

    /// The state after a packet that means `event` and goes in `direction`
    /// (`set_sctp_state`).
    #[inline]
    #[must_use]
    pub const fn next(self, direction: Direction, event: SctpEvent) -> Self {
        NEXT[direction as usize][self as usize][event as usize]
    }

    /// The state with the kernel's number.
    #[inline]
    pub const fn from_number(number: u8) -> Option<Self> {
        if (number as usize) < Self::COUNT { Some(Self::ALL[number as usize]) } else { None }
    }

    /// The kernel's number.
    #[inline]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The name as listed: `C-` is for cookie, `S-` for shutdown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Init1 => "INIT1",
            Self::Init => "INIT",
            Self::CookieSent => "C-SENT",
            Self::CookieReplied => "C-REPLIED",
            Self::CookieWait => "C-WAIT",
            Self::Cookie => "COOKIE",
            Self::CookieEchoed => "C-ECHOED",
            Self::Established => "ESTABLISHED",
            Self::ShutdownSent => "S-SENT",
            Self::ShutdownReceived => "S-RECEIVED",
            Self::ShutdownAckSent => "S-ACK-SENT",
            Self::Rejected => "REJECTED",
            Self::Closed => "CLOSED",
        }
    }

    /// Whether the association counts as active. Unlike with TCP, one being set up does not.
    #[inline]
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Established)
    }

    /// Whether a new INIT from the same port may begin anew with another server
    /// (`is_new_conn_expected`).
    #[inline]
    pub const fn is_closed(self) -> bool {
        matches!(self, Self::Closed)
    }
}

/// Types of chunks (RFC 9260 section 3.2) that mean something to the state machine.
mod chunk {
    pub(super) const INIT: u8 = 1;
    pub(super) const INIT_ACK: u8 = 2;
    pub(super) const ABORT: u8 = 6;
    pub(super) const SHUTDOWN: u8 = 7;
    pub(super) const SHUTDOWN_ACK: u8 = 8;
    pub(super) const ERROR: u8 = 9;
    pub(super) const COOKIE_ECHO: u8 = 10;
    pub(super) const COOKIE_ACK: u8 = 11;
    pub(super) const SHUTDOWN_COMPLETE: u8 = 14;
}

/// What a packet's chunks mean to the state machine. The values are columns of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SctpEvent {
    /// DATA, and every type that has no event of its own.
    Data = 0,
    Init = 1,
    InitAck = 2,
    CookieEcho = 3,
    CookieAck = 4,
    Shutdown = 5,
    ShutdownAck = 6,
    ShutdownComplete = 7,
    Error = 8,
    Abort = 9,
}

impl SctpEvent {
    /// How many there are.
    pub const COUNT: usize = 10;

    /// The event of a packet by the types of its first two chunks; `second` is `None` where
    /// there is none.
    ///
    /// The first decides. But COOKIE ECHO and COOKIE ACK may be bundled with the ABORT that
    /// takes them back (RFC 9260 section 3.3.7), and then it is an ABORT.
    #[inline]
    pub const fn of(first: u8, second: Option<u8>) -> Self {
        match (first, second) {
            (chunk::COOKIE_ECHO | chunk::COOKIE_ACK, Some(chunk::ABORT)) => Self::Abort,
            (chunk::INIT, _) => Self::Init,
            (chunk::INIT_ACK, _) => Self::InitAck,
            (chunk::ABORT, _) => Self::Abort,
            (chunk::SHUTDOWN, _) => Self::Shutdown,
            (chunk::SHUTDOWN_ACK, _) => Self::ShutdownAck,
            (chunk::ERROR, _) => Self::Error,
            (chunk::COOKIE_ECHO, _) => Self::CookieEcho,
            (chunk::COOKIE_ACK, _) => Self::CookieAck,
            (chunk::SHUTDOWN_COMPLETE, _) => Self::ShutdownComplete,
            _ => Self::Data,
        }
    }

    /// Whether a packet whose first chunk is of this type may begin a connection: INIT, or with
    /// `sloppy_sctp` all but ABORT (`sctp_conn_schedule`).
    #[inline]
    pub const fn may_begin(first: u8, sloppy: bool) -> bool {
        first == chunk::INIT || (sloppy && first != chunk::ABORT)
    }
}

/// Next states by direction, state and event: 420 bytes.
type Table = [[[SctpState; SctpEvent::COUNT]; SctpState::COUNT]; Direction::COUNT];

const I1: SctpState = SctpState::Init1;
const IN: SctpState = SctpState::Init;
const CS: SctpState = SctpState::CookieSent;
const CR: SctpState = SctpState::CookieReplied;
const CW: SctpState = SctpState::CookieWait;
const CO: SctpState = SctpState::Cookie;
const CE: SctpState = SctpState::CookieEchoed;
const ES: SctpState = SctpState::Established;
const SS: SctpState = SctpState::ShutdownSent;
const SR: SctpState = SctpState::ShutdownReceived;
const SA: SctpState = SctpState::ShutdownAckSent;
const RJ: SctpState = SctpState::Rejected;
const CL: SctpState = SctpState::Closed;

// Rows: the current state, by number. Columns: DATA, INIT, INIT ACK, COOKIE ECHO, COOKIE ACK,
// SHUTDOWN, SHUTDOWN ACK, SHUTDOWN COMPLETE, ERROR, ABORT.

#[rustfmt::skip]
const NEXT: Table = [
    // client to server
    [
        [ES, I1, CW, CR, ES, SR, CL, CL, CL, CL], // NO
        [I1, IN, CW, IN, I1, I1, IN, CL, I1, CL], // I1
        [IN, IN, CW, IN, IN, IN, IN, CL, IN, CL], // IN
        [CS, CS, CS, CR, CS, CS, CS, CS, CS, CL], // CS
        [CR, CR, CR, CR, CR, CR, CR, CR, CR, CL], // CR
        [CW, CW, CO, CW, CW, CW, CW, CW, CW, RJ], // CW
        [CO, CO, CO, CO, CO, CO, CO, CO, CO, CL], // CO
        [CE, CE, CE, CE, ES, CE, CE, CE, CL, CL], // CE
        [ES, ES, ES, ES, ES, SR, ES, ES, ES, CL], // ES
        [SS, SS, SS, SS, SS, SS, CL, SS, SS, CL], // SS
        [SR, SR, SR, SR, SR, SR, SR, SR, SR, CL], // SR
        [SA, SA, SA, SA, SA, SA, CL, CL, SA, CL], // SA
        [RJ, IN, RJ, RJ, RJ, RJ, RJ, RJ, RJ, CL], // RJ
        [CL, IN, CL, CL, CL, CL, CL, CL, CL, CL], // CL
    ],
    // server to client
    [
        [ES, CW, CS, CE, ES, SS, SA, CL, CL, CL], // NO
        [I1, CW, CS, CE, ES, SS, SA, I1, CL, RJ], // I1
        [IN, CW, CS, CE, ES, SS, SA, IN, CL, CL], // IN
        [CS, CW, CS, CE, ES, SS, SA, CS, CL, CL], // CS
        [CR, CW, CR, CE, ES, SS, SA, CR, CL, CL], // CR
        [CW, CW, CW, CE, ES, SS, CW, CW, CW, CL], // CW
        [CO, CW, CO, CE, ES, SS, CO, CO, CO, CL], // CO
        [CE, CW, CE, CE, ES, SS, CE, CE, CE, CL], // CE
        [ES, ES, ES, ES, ES, SS, ES, ES, ES, CL], // ES
        [SS, CW, SS, SS, SS, SS, SA, SS, SS, CL], // SS
        [SR, CW, SR, SR, SR, SR, SA, SR, SR, CL], // SR
        [SA, CW, SA, SA, SA, SA, SA, SA, SA, CL], // SA
        [RJ, CW, RJ, RJ, RJ, RJ, RJ, RJ, RJ, CL], // RJ
        [CL, CW, CL, CL, CL, CL, CL, CL, CL, CL], // CL
    ],
    // client only
    [
        [ES, I1, CE, ES, ES, SR, CL, CL, CL, CL], // NO
        [I1, IN, CE, ES, I1, I1, IN, CL, I1, CL], // I1
        [IN, IN, CE, ES, IN, IN, IN, CL, IN, CL], // IN
        [CS, IN, CE, ES, ES, CS, CS, CL, CS, CL], // CS
        [CR, IN, CE, ES, ES, CR, CR, CL, CR, CL], // CR
        [ES, IN, CE, ES, CW, CW, CW, CW, CW, RJ], // CW
        [CO, CO, CO, CO, ES, CO, CO, CO, CO, CL], // CO
        [CE, CE, CE, CE, ES, CE, CE, CE, CE, CL], // CE
        [ES, ES, ES, ES, ES, SR, CL, ES, ES, CL], // ES
        [SS, SS, SS, SS, SS, SS, CL, SS, SS, CL], // SS
        [SR, SR, SR, SR, SR, SR, SR, CL, SR, CL], // SR
        [SA, SA, SA, SA, SA, SA, CL, CL, SA, CL], // SA
        [RJ, IN, RJ, RJ, RJ, RJ, RJ, RJ, RJ, CL], // RJ
        [CL, IN, CL, CL, CL, CL, CL, CL, CL, CL], // CL
    ],
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Timeouts;
    use serde_json::Value;

    const MACHINES: &str = include_str!("../../../tests/captures/kernel/state-machines.json");
    const COUNTERS: &str = include_str!("../../../tests/captures/kernel/counters-per-state.txt");

    fn machines() -> Value {
        serde_json::from_str(MACHINES).unwrap()
    }

    fn state(name: &str) -> SctpState {
        SctpState::ALL.into_iter().find(|state| state.name() == name).unwrap_or_else(|| {
            panic!("no state {name}");
        })
    }

    /// The direction of `in` and `out` in `sctp-nat`, `sctp-dr` and the like.
    fn step(current: SctpState, capture: &str, way: &str, chunk: &str) -> SctpState {
        let direction = match (way, capture.ends_with("-dr")) {
            ("in", false) => Direction::ClientToServer,
            ("in", true) => Direction::ClientOnly,
            ("out", false) => Direction::ServerToClient,
            other => panic!("{other:?} in {capture}"),
        };
        current.next(direction, SctpEvent::of(chunk.parse().unwrap(), None))
    }

    /// Follows a path as the captures write it: `[('in', 1), ('out', 2)]`.
    fn walk(capture: &str, path: &str) -> SctpState {
        let steps: Vec<&str> = path.split('(').skip(1).collect();
        assert!(!steps.is_empty(), "{path}");
        steps.into_iter().fold(SctpState::None, |current, words| {
            let (way, chunk) = words.split_once(')').unwrap().0.split_once(", ").unwrap();
            step(current, capture, way.trim_matches('\''), chunk)
        })
    }

    #[test]
    fn every_captured_transition() {
        let machines = machines();
        let mut checked = Vec::new();
        for capture in ["sctp-nat", "sctp-dr"] {
            let transitions = machines[capture]["transitions"].as_object().unwrap();
            for (key, next) in transitions {
                let (from, input) = key.split_once(' ').unwrap();
                let got = match input.split_once(':') {
                    Some((way, chunk)) => step(state(from), capture, way, chunk),
                    // "NONE [('in', 1)]": the first packet.
                    None => walk(capture, input),
                };
                assert_eq!(got.name(), next.as_str().unwrap(), "{capture} {key}");
            }
            checked.push(transitions.len());
        }
        assert_eq!(checked, [417, 97]);
    }

    #[test]
    fn every_captured_path_and_timeout() {
        let machines = machines();
        let timeouts = Timeouts::default();
        let mut checked = 0;
        for capture in ["sctp-nat", "sctp-dr"] {
            for (name, path) in machines[capture]["paths"].as_object().unwrap() {
                assert_eq!(walk(capture, path.as_str().unwrap()), state(name), "{capture} {path}");
                for seconds in machines[capture]["expires"][name].as_array().unwrap() {
                    assert_expires(seconds, timeouts.sctp(state(name)));
                    checked += 1;
                }
            }
        }
        assert_eq!(checked, 35);
    }

    #[test]
    fn every_captured_first_packet() {
        let machines = machines();
        let timeouts = Timeouts::default();
        let mut begun = Vec::new();
        for (capture, sloppy) in [("sctp-first-sloppy0", false), ("sctp-first-sloppy1", true)] {
            let rows = machines[capture].as_object().unwrap();
            begun.push(rows.values().filter(|row| row[0].is_string()).count());
            for (chunk, row) in rows {
                let begins = SctpEvent::may_begin(chunk.parse().unwrap(), sloppy);
                assert_eq!(begins, row[0].is_string(), "{capture} {chunk}");
                if let Some(name) = row[0].as_str() {
                    let got = step(SctpState::None, capture, "in", chunk);
                    assert_eq!(got.name(), name, "{capture} {chunk}");
                    assert_expires(&row[1], timeouts.sctp(got));
                }
            }
        }
        assert_eq!(begun, [1, 15]);
    }

    #[test]
    fn every_captured_counter() {
        let mut checked = 0;
        for line in COUNTERS.lines().filter(|line| line.starts_with("sctp-")) {
            let mut words = line.split_whitespace();
            let (capture, name) = (words.next().unwrap(), words.next().unwrap());
            assert_eq!(words.next().unwrap(), format!("now={name}"));
            let active = words.next() == Some("active=1");
            assert_eq!(words.next().unwrap(), format!("inact={}", u8::from(!active)));
            let got = walk(capture, line.split_once(" via ").unwrap().1);
            assert_eq!(got, state(name), "{line}");
            assert_eq!(got.is_active(), active, "{line}");
            checked += 1;
        }
        assert_eq!(checked, 19);
    }

    #[test]
    fn numbers_are_positions() {
        for (number, state) in SctpState::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(state.number()), number);
        }
    }

    #[test]
    fn an_abort_takes_back_only_the_cookie_before_it() {
        for first in 0..=255 {
            let alone = SctpEvent::of(first, None);
            for second in 0..=255 {
                let cookie = matches!(alone, SctpEvent::CookieEcho | SctpEvent::CookieAck);
                let expected = if cookie && second == 6 { SctpEvent::Abort } else { alone };
                assert_eq!(SctpEvent::of(first, Some(second)), expected, "{first} {second}");
            }
        }
        assert_eq!(SctpEvent::of(11, Some(6)), SctpEvent::Abort);
    }

    #[test]
    fn only_a_closed_association_begins_anew() {
        for state in SctpState::ALL {
            assert_eq!(state.is_closed(), state.name() == "CLOSED");
        }
    }

    /// A listing shows the timeout, or one second less where the clock moved in between.
    fn assert_expires(listed: &Value, timeout_s: u32) {
        let listed = listed.as_u64().unwrap();
        let timeout_s = u64::from(timeout_s);
        assert!(listed == timeout_s || listed + 1 == timeout_s, "{listed} for {timeout_s}");
    }
}
