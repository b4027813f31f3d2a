//! The TCP state machine of IPVS.
//!
//! Coarser than TCP's own: one state for both ends, taken from the flags alone. No sequence
//! numbers are looked at, so a director cannot be brought out of step by losses, and any packet
//! with the right addresses moves the state.

use super::Direction;
use crate::wire::tcp::Flags;

/// The state of a TCP connection. The values are the kernel's (`IP_VS_TCP_S_*` in
/// `include/net/ip_vs.h`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum TcpState {
    /// New: no packet has been looked at yet.
    #[default]
    None = 0,
    Established = 1,
    SynSent = 2,
    SynRecv = 3,
    FinWait = 4,
    TimeWait = 5,
    Close = 6,
    CloseWait = 7,
    LastAck = 8,
    /// Where FTP data connections begin.
    Listen = 9,
    /// Only with `secure_tcp`: a SYN has been answered, or in DR may have been.
    SynAck = 10,
}

impl TcpState {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// All states by number.
    pub const ALL: [Self; 11] = [
        Self::None,
        Self::Established,
        Self::SynSent,
        Self::SynRecv,
        Self::FinWait,
        Self::TimeWait,
        Self::Close,
        Self::CloseWait,
        Self::LastAck,
        Self::Listen,
        Self::SynAck,
    ];

    /// The state after a packet with `flags` that goes in `direction`. `secure` is
    /// `secure_tcp` in force.
    #[inline]
    #[must_use]
    pub const fn next(self, direction: Direction, flags: Flags, secure: bool) -> Self {
        let Some(event) = TcpEvent::of(flags) else {
            return Self::Close;
        };
        let table = if secure { &SECURE } else { &NORMAL };
        table[direction as usize][self as usize][event as usize]
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

    /// The name as listed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Established => "ESTABLISHED",
            Self::SynSent => "SYN_SENT",
            Self::SynRecv => "SYN_RECV",
            Self::FinWait => "FIN_WAIT",
            Self::TimeWait => "TIME_WAIT",
            Self::Close => "CLOSE",
            Self::CloseWait => "CLOSE_WAIT",
            Self::LastAck => "LAST_ACK",
            Self::Listen => "LISTEN",
            Self::SynAck => "SYNACK",
        }
    }

    /// Whether the connection counts as active. A half-open one does: its server is busy.
    #[inline]
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Established | Self::SynSent | Self::SynRecv | Self::SynAck)
    }
}

/// What a segment's flags mean to the state machine. The values are columns of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum TcpEvent {
    Syn = 0,
    Fin = 1,
    Ack = 2,
    Rst = 3,
}

impl TcpEvent {
    /// How many there are.
    pub const COUNT: usize = 4;

    /// The first of RST, SYN, FIN, ACK that is set. `None` where none is: such a segment closes.
    #[inline]
    pub const fn of(flags: Flags) -> Option<Self> {
        if flags.contains(Flags::RST) {
            Some(Self::Rst)
        } else if flags.contains(Flags::SYN) {
            Some(Self::Syn)
        } else if flags.contains(Flags::FIN) {
            Some(Self::Fin)
        } else if flags.contains(Flags::ACK) {
            Some(Self::Ack)
        } else {
            None
        }
    }
}

/// Next states by direction, state and event: 132 bytes, at most four cache lines, of which a
/// busy director uses one or two.
type Table = [[[TcpState; TcpEvent::COUNT]; TcpState::COUNT]; Direction::COUNT];

const ES: TcpState = TcpState::Established;
const SS: TcpState = TcpState::SynSent;
const SR: TcpState = TcpState::SynRecv;
const FW: TcpState = TcpState::FinWait;
const TW: TcpState = TcpState::TimeWait;
const CL: TcpState = TcpState::Close;
const CW: TcpState = TcpState::CloseWait;
const LA: TcpState = TcpState::LastAck;
const LI: TcpState = TcpState::Listen;
const SA: TcpState = TcpState::SynAck;

// Rows: the current state, by number. Columns: SYN, FIN, ACK, RST.

/// `secure_tcp` off.
#[rustfmt::skip]
const NORMAL: Table = [
    // client to server
    [
        [SR, CL, ES, CL], // NO
        [ES, CW, ES, CL], // ES
        [ES, SS, SS, CL], // SS
        [SR, TW, ES, SR], // SR
        [SR, TW, FW, CL], // FW
        [SR, TW, TW, CL], // TW
        [SR, CL, CL, CL], // CL
        [SR, CW, CW, CL], // CW
        [SR, LA, CL, LA], // LA
        [SR, LI, LI, LI], // LI
        [SR, TW, ES, SR], // SA
    ],
    // server to client
    [
        [SS, TW, ES, CL], // NO
        [ES, FW, ES, CL], // ES
        [SS, SS, SS, SS], // SS
        [SR, TW, ES, CL], // SR
        [SS, FW, FW, CL], // FW
        [SS, TW, TW, TW], // TW
        [SS, CL, CL, CL], // CL
        [SS, TW, CW, CL], // CW
        [SS, LA, LA, CL], // LA
        [LI, LI, ES, CL], // LI
        [SR, TW, ES, CL], // SA
    ],
    // client only
    [
        [SR, CL, ES, CL], // NO
        [ES, FW, ES, CL], // ES
        [ES, SS, SS, CL], // SS
        [SR, TW, ES, SR], // SR
        [SR, FW, FW, CL], // FW
        [SR, TW, TW, CL], // TW
        [SR, CL, CL, CL], // CL
        [SR, CW, CW, CL], // CW
        [SR, LA, CL, LA], // LA
        [SR, LI, LI, LI], // LI
        [SR, TW, ES, CL], // SA
    ],
];

/// `secure_tcp` on: only the server's packet makes a NAT connection established.
#[rustfmt::skip]
const SECURE: Table = [
    // client to server
    [
        [SR, CL, ES, CL], // NO
        [ES, CW, ES, CL], // ES
        [ES, SS, SS, CL], // SS
        [SR, TW, SR, SR], // SR
        [SR, TW, FW, CL], // FW
        [SR, TW, TW, CL], // TW
        [SR, CL, CL, CL], // CL
        [SR, CW, CW, CL], // CW
        [SR, LA, CL, LA], // LA
        [SR, LI, LI, LI], // LI
        [SA, SA, SA, CL], // SA
    ],
    // server to client
    [
        [SS, TW, ES, CL], // NO
        [ES, FW, ES, CL], // ES
        [SS, SS, SS, SS], // SS
        [SA, TW, ES, CL], // SR
        [SS, FW, FW, CL], // FW
        [SS, TW, TW, TW], // TW
        [SS, CL, CL, CL], // CL
        [SS, TW, CW, CL], // CW
        [SS, LA, LA, CL], // LA
        [LI, LI, ES, CL], // LI
        [SA, TW, ES, CL], // SA
    ],
    // client only
    [
        [SA, CL, ES, CL], // NO
        [ES, FW, ES, CL], // ES
        [ES, SS, SS, CL], // SS
        [SR, TW, ES, SR], // SR
        [SA, FW, FW, CL], // FW
        [SA, TW, TW, CL], // TW
        [SA, CL, CL, CL], // CL
        [SA, CW, CW, CL], // CW
        [SA, LA, CL, LA], // LA
        [SA, LI, LI, LI], // LI
        [SA, TW, ES, CL], // SA
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

    fn state(name: &str) -> TcpState {
        TcpState::ALL.into_iter().find(|state| state.name() == name).unwrap_or_else(|| {
            panic!("no state {name}");
        })
    }

    /// The direction of `in` and `out` in a capture, and whether `secure_tcp` was on: captures
    /// are named `tcp-nat-secure0`, `tcp-dr-secure3` and so on.
    fn step(current: TcpState, capture: &str, way: &str, flags: &str) -> TcpState {
        let direction = match (way, capture.contains("-dr")) {
            ("in", false) => Direction::ClientToServer,
            ("in", true) => Direction::ClientOnly,
            ("out", false) => Direction::ServerToClient,
            other => panic!("{other:?} in {capture}"),
        };
        let secure = capture.ends_with("-secure3");
        current.next(direction, Flags::from_letters(flags).unwrap(), secure)
    }

    /// Follows a path as the captures write it: `[('in', 'S'), ('out', 'SA')]`.
    fn walk(capture: &str, path: &str) -> TcpState {
        let words: Vec<&str> = path.split('\'').skip(1).step_by(2).collect();
        assert!(!words.is_empty() && words.len().is_multiple_of(2), "{path}");
        words
            .chunks(2)
            .fold(TcpState::None, |current, word| step(current, capture, word[0], word[1]))
    }

    #[test]
    fn every_captured_transition() {
        let machines = machines();
        let mut checked = Vec::new();
        for capture in ["tcp-nat-secure0", "tcp-dr-secure0", "tcp-nat-secure3", "tcp-dr-secure3"] {
            let transitions = machines[capture]["transitions"].as_object().unwrap();
            for (key, next) in transitions {
                let (from, input) = key.split_once(' ').unwrap();
                let got = match input.split_once(':') {
                    Some((way, flags)) => step(state(from), capture, way, flags),
                    // "NONE [('in', 'S')]": the first packet.
                    None => walk(capture, input),
                };
                assert_eq!(got.name(), next.as_str().unwrap(), "{capture} {key}");
            }
            checked.push(transitions.len());
        }
        assert_eq!(checked, [141, 51, 161, 51]);
    }

    #[test]
    fn every_captured_path_and_timeout() {
        let machines = machines();
        let timeouts = Timeouts::default();
        let mut checked = 0;
        for capture in ["tcp-nat-secure0", "tcp-dr-secure0", "tcp-nat-secure3", "tcp-dr-secure3"] {
            for (name, path) in machines[capture]["paths"].as_object().unwrap() {
                assert_eq!(walk(capture, path.as_str().unwrap()), state(name), "{capture} {path}");
                for seconds in machines[capture]["expires"][name].as_array().unwrap() {
                    assert_expires(seconds, timeouts.tcp(state(name)));
                    checked += 1;
                }
            }
        }
        assert_eq!(checked, 46);
    }

    #[test]
    fn every_captured_first_packet() {
        let machines = machines();
        let timeouts = Timeouts::default();
        let mut checked = 0;
        for capture in
            ["tcp-first-packet-sloppy0", "tcp-first-packet-sloppy1", "tcp-first-packet-sloppy1-dr"]
        {
            for (flags, row) in machines[capture].as_object().unwrap() {
                // Null is "made no connection", which is not the state machine's decision.
                let Some(name) = row[0].as_str() else {
                    continue;
                };
                let got = step(TcpState::None, capture, "in", flags);
                assert_eq!(got.name(), name, "{capture} {flags}");
                assert_expires(&row[1], timeouts.tcp(got));
                checked += 1;
            }
        }
        assert_eq!(checked, 18);
    }

    #[test]
    fn every_captured_counter() {
        let mut checked = 0;
        for line in COUNTERS.lines().filter(|line| line.starts_with("tcp-")) {
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
        assert_eq!(checked, 25);
    }

    #[test]
    fn numbers_are_positions() {
        for (number, state) in TcpState::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(state.number()), number);
        }
    }

    #[test]
    fn first_of_four_flags_decides() {
        let event = |letters| TcpEvent::of(Flags::from_letters(letters).unwrap());
        assert_eq!(event("FSRA"), Some(TcpEvent::Rst));
        assert_eq!(event("FSA"), Some(TcpEvent::Syn));
        assert_eq!(event("FPA"), Some(TcpEvent::Fin));
        assert_eq!(event("PAUEC"), Some(TcpEvent::Ack));
        assert_eq!(event("PUEC"), None);
    }

    /// A listing shows the timeout, or one second less where the clock moved in between.
    fn assert_expires(listed: &Value, timeout_s: u32) {
        let listed = listed.as_u64().unwrap();
        let timeout_s = u64::from(timeout_s);
        assert!(listed == timeout_s || listed + 1 == timeout_s, "{listed} for {timeout_s}");
    }
}
