//! How long a connection lives without a packet.

use super::{SctpState, State, TcpState, UdpState};
use crate::operations::TimeoutSettings;

/// Timeout of each state in seconds. Restarted by every packet of the connection, in either
/// direction; a changed value holds from an entry's next packet on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    tcp_s: [u32; TcpState::COUNT],
    udp_s: u32,
    sctp_s: [u32; SctpState::COUNT],
}

impl Timeouts {
    /// The kernel's defaults.
    pub const DEFAULT: Self = {
        let mut tcp_s = [0; TcpState::COUNT];
        tcp_s[TcpState::None as usize] = 2;
        tcp_s[TcpState::Established as usize] = 900;
        tcp_s[TcpState::SynSent as usize] = 120;
        tcp_s[TcpState::SynRecv as usize] = 60;
        tcp_s[TcpState::FinWait as usize] = 120;
        tcp_s[TcpState::TimeWait as usize] = 120;
        tcp_s[TcpState::Close as usize] = 10;
        tcp_s[TcpState::CloseWait as usize] = 60;
        tcp_s[TcpState::LastAck as usize] = 30;
        tcp_s[TcpState::Listen as usize] = 120;
        tcp_s[TcpState::SynAck as usize] = 120;
        // One second more than the longest retransmission timeout (RTO.Max) that SCTP may take.
        let mut sctp_s = [61; SctpState::COUNT];
        sctp_s[SctpState::None as usize] = 2;
        sctp_s[SctpState::Init1 as usize] = 4;
        sctp_s[SctpState::Established as usize] = 900;
        sctp_s[SctpState::Rejected as usize] = 4;
        Self { tcp_s, udp_s: 300, sctp_s }
    };

    /// Seconds that a connection may stay in `state`.
    #[inline]
    pub const fn of(&self, state: State) -> u32 {
        match state {
            State::Tcp(state) => self.tcp(state),
            State::Udp(state) => self.udp(state),
            State::Sctp(state) => self.sctp(state),
        }
    }

    /// Seconds that a TCP connection may stay in `state`.
    #[inline]
    pub const fn tcp(&self, state: TcpState) -> u32 {
        self.tcp_s[state as usize]
    }

    /// Seconds that a UDP flow may be silent.
    #[inline]
    pub const fn udp(&self, _state: UdpState) -> u32 {
        self.udp_s
    }

    /// Seconds that an SCTP association may stay in `state`; nothing changes them.
    #[inline]
    pub const fn sctp(&self, state: SctpState) -> u32 {
        self.sctp_s[state as usize]
    }

    /// `--set`: the timeouts of ESTABLISHED, FIN_WAIT and UDP, and of nothing else. A field that
    /// is 0 leaves its timeout unchanged. The range of the values is the command line's matter.
    pub const fn set(&mut self, settings: TimeoutSettings) {
        if settings.tcp_s != 0 {
            self.tcp_s[TcpState::Established as usize] = settings.tcp_s;
        }
        if settings.tcp_fin_s != 0 {
            self.tcp_s[TcpState::FinWait as usize] = settings.tcp_fin_s;
        }
        if settings.udp_s != 0 {
            self.udp_s = settings.udp_s;
        }
    }

    /// What `-L --timeout` prints.
    pub const fn settings(&self) -> TimeoutSettings {
        TimeoutSettings {
            tcp_s: self.tcp(TcpState::Established),
            tcp_fin_s: self.tcp(TcpState::FinWait),
            udp_s: self.udp_s,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_changes_three_and_zero_changes_none() {
        let mut timeouts = Timeouts::default();
        assert_eq!(timeouts.settings(), TimeoutSettings { tcp_s: 900, tcp_fin_s: 120, udp_s: 300 });
        timeouts.set(TimeoutSettings { tcp_s: 0, tcp_fin_s: 0, udp_s: 0 });
        assert_eq!(timeouts, Timeouts::DEFAULT);
        timeouts.set(TimeoutSettings { tcp_s: 7, tcp_fin_s: 0, udp_s: 9 });
        assert_eq!(timeouts.settings(), TimeoutSettings { tcp_s: 7, tcp_fin_s: 120, udp_s: 9 });
        timeouts.set(TimeoutSettings { tcp_s: 0, tcp_fin_s: 8, udp_s: 0 });
        assert_eq!(timeouts.settings(), TimeoutSettings { tcp_s: 7, tcp_fin_s: 8, udp_s: 9 });
        for state in TcpState::ALL {
            let expected = match state {
                TcpState::Established => 7,
                TcpState::FinWait => 8,
                other => Timeouts::DEFAULT.tcp(other),
            };
            assert_eq!(timeouts.tcp(state), expected, "{}", state.name());
        }
        for state in SctpState::ALL {
            assert_eq!(timeouts.sctp(state), Timeouts::DEFAULT.sctp(state), "{}", state.name());
        }
        assert_eq!(timeouts.of(State::Udp(UdpState::Normal)), 9);
        assert_eq!(timeouts.of(State::Tcp(TcpState::FinWait)), 8);
        assert_eq!(timeouts.of(State::Sctp(SctpState::Init1)), 4);
    }
}
