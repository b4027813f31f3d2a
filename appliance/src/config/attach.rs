//! Which of DPDK's own programs may look at the running director.

/// The choice of `eal.attach`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attach {
    /// None.
    Off,
    /// Those that ask over DPDK's telemetry socket.
    Telemetry,
    /// Also those that share its memory as secondary processes.
    Processes,
}

impl Attach {
    pub(super) const NAMES: &'static [&'static str] = &["off", "telemetry", "processes"];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Telemetry => "telemetry",
            Self::Processes => "processes",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        [Self::Off, Self::Telemetry, Self::Processes].into_iter().find(|it| it.name() == name)
    }
}
