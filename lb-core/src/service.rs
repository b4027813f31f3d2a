//! What an operator says of a virtual service: the words of `ipvsadm -A`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

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

/// Words that name no service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}' is no service; write tcp:ADDRESS:PORT, udp:..., sctp:... (IPv6: tcp:[ADDRESS]:PORT), \
     fwm:MARK, or fwm6:MARK"
)]
pub struct NoServiceKey(String);

impl fmt::Display for ServiceKey {
    /// `tcp:10.0.10.100:80`, `udp:[fd00::100]:53`, `fwm:7`, of IPv6 `fwm6:7`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Address { protocol, address, port } => {
                let name = protocol.name().to_ascii_lowercase();
                write!(f, "{name}:{}", SocketAddr::new(address, port))
            }
            Self::Mark { mark, family: Family::V4 } => write!(f, "fwm:{mark}"),
            Self::Mark { mark, family: Family::V6 } => write!(f, "fwm6:{mark}"),
        }
    }
}

impl FromStr for ServiceKey {
    type Err = NoServiceKey;

    /// Reads what `Display` writes.
    fn from_str(text: &str) -> Result<Self, NoServiceKey> {
        let refused = || NoServiceKey(text.to_owned());
        let (kind, rest) = text.split_once(':').ok_or_else(refused)?;
        let mark = |family| {
            let mark = rest.parse().ok().filter(|&mark: &u32| mark != 0).ok_or_else(refused)?;
            Ok(Self::Mark { mark, family })
        };
        let protocol = match kind {
            "fwm" => return mark(Family::V4),
            "fwm6" => return mark(Family::V6),
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            "sctp" => Protocol::Sctp,
            _ => return Err(refused()),
        };
        let end: SocketAddr = rest.parse().map_err(|_| refused())?;
        Ok(Self::Address { protocol, address: end.ip(), port: end.port() })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_read_as_it_is_written() {
        for text in ["tcp:10.0.10.100:80", "udp:[fd00::100]:53", "sctp:10.0.0.1:0", "fwm:7"] {
            assert_eq!(text.parse::<ServiceKey>().unwrap().to_string(), text);
        }
        let six = ServiceKey::Mark { mark: 4_294_967_295, family: Family::V6 };
        assert_eq!("fwm6:4294967295".parse(), Ok(six));
        for text in ["", "80", "tcp", "tcp:", "tcp:10.0.0.1", "icmp:10.0.0.1:8", "fwm:0", "fwm:-1"]
        {
            let refusal = text.parse::<ServiceKey>().unwrap_err().to_string();
            assert!(refusal.starts_with(&format!("`{text}' is no service; write tcp:")));
        }
    }
}
