//! What is shared with DPDK's own programs.

/// Which of DPDK's own programs may look at this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Attach {
    /// None: nothing is shared, nothing is left behind.
    #[default]
    Off,
    /// Those that ask over the telemetry socket, which DPDK serves with a thread of its own.
    Telemetry,
    /// Also secondary processes: memory is in files that they map.
    Processes,
}

impl Attach {
    /// The EAL's arguments for it.
    pub(super) fn arguments(self) -> Vec<String> {
        let prefix = format!("--file-prefix=sluice-{}", std::process::id());
        match self {
            Self::Off => vec!["--no-telemetry".to_owned(), prefix],
            Self::Telemetry => vec![prefix],
            // What a killed one leaves is found by the next one of the same name, and removed.
            Self::Processes => {
                ["--file-prefix=sluice", "--proc-type=primary"].map(str::to_owned).into()
            }
        }
    }

    /// Listens for those who want to see packets. The EAL has to be set up.
    pub(super) fn serve(self) {
        if self == Self::Processes {
            // SAFETY: the EAL is set up. It is refused where this DPDK cannot serve them, and then
            // they are told so.
            let _served = unsafe { dpdk_sys::rte_pdump_init() };
        }
    }
}
