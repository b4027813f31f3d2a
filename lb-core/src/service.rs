//! What an operator says of a virtual service: the words of `ipvsadm -A`.

use std::net::IpAddr;

use crate::protocol::Protocol;

/// Address family of a firewall-mark service (an address service has its address's).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    V4,
    V6,
}

/// What identifies a virtual service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServiceKey {
    /// `-t`, `-u`, `--sctp-service`. Port 0 is every port of the address.
    Address { protocol: Protocol, address: IpAddr, port: u16 },
    /// `-f MARK [-6]`. A mark is never 0.
    Mark { mark: u32, family: Family },
}

impl ServiceKey {
    /// The address family of the service.
    pub const fn family(&self) -> Family {
        match self {
            Self::Address { address: IpAddr::V4(_), .. } => Family::V4,
            Self::Address { address: IpAddr::V6(_), .. } => Family::V6,
            Self::Mark { family, .. } => *family,
        }
    }

    /// The service port; a mark service has port 0, as in the kernel.
    pub const fn port(&self) -> u16 {
        match self {
            Self::Address { port, .. } => *port,
            Self::Mark { .. } => 0,
        }
    }
}

/// Scheduler flags of `-b`, as bits. What a flag means depends on the scheduler
/// (`sh-fallback` is flag 1 of sh, `sh-port` flag 2; the same for mh).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SchedulerFlags(pub u8);

impl SchedulerFlags {
    pub const FLAG_1: Self = Self(1);
    pub const FLAG_2: Self = Self(2);
    pub const FLAG_3: Self = Self(4);

    /// Whether every flag of `other` is set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Everything that `-A` and `-E` set. Fields that the command line does not give are at the
/// defaults of [`Service::new`]: `-E` does not merge with what was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    pub key: ServiceKey,
    /// Name of the scheduler as given (at most 15 bytes); whether it exists is the table's
    /// question, so that an unknown one is refused with the kernel's error. `none` is legal.
    pub scheduler: String,
    pub scheduler_flags: SchedulerFlags,
    /// `-p`: seconds, 1..=2,678,400; `None` is not persistent.
    pub persistence_timeout_s: Option<u32>,
    /// `-M`: IPv4 mask in host order, or IPv6 prefix length 1..=128. Kept without `-p` too.
    pub netmask: u32,
    /// `--pe`: name of the persistence engine, at most 16 bytes.
    pub persistence_engine: Option<String>,
    /// `-o`: one-packet scheduling.
    pub one_packet: bool,
}

impl Service {
    /// The default scheduler of ipvsadm.
    pub const DEFAULT_SCHEDULER: &'static str = "wlc";

    /// The service that `-A` makes when only the service address is given.
    pub fn new(key: ServiceKey) -> Self {
        Self {
            key,
            scheduler: Self::DEFAULT_SCHEDULER.to_owned(),
            scheduler_flags: SchedulerFlags::default(),
            persistence_timeout_s: None,
            netmask: Self::full_netmask(key.family()),
            persistence_engine: None,
            one_packet: false,
        }
    }

    /// The netmask that stands for a single client.
    pub const fn full_netmask(family: Family) -> u32 {
        match family {
            Family::V4 => u32::MAX,
            Family::V6 => 128,
        }
    }
}
