//! Switches of the connection handling, under the names and with the defaults of the kernel's
//! sysctls (`net.ipv4.vs.*`, `Documentation/networking/ipvs-sysctl.rst`).
//!
//! The one list of them: [`Settings`], the keys `settings` of the configuration, what
//! `sluicectl get` and `set` know, and the tables of the documentation come from here.

/// A switch: its name, what it may be set to, how it is read and written.
#[derive(Clone, Copy, Debug)]
pub struct Switch {
    /// As the kernel has it.
    pub name: &'static str,
    /// The key of the configuration.
    pub path: &'static str,
    /// The default, written as in the configuration.
    pub preset: &'static str,
    pub values: Values,
    /// One line for operators.
    pub help: &'static str,
    get: fn(&Settings) -> i64,
    set: fn(&mut Settings, i64),
}

/// What a switch may be set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// 0 is off, any other number is on.
    OnOff,
    Range {
        min: i64,
        max: i64,
    },
}

impl Values {
    /// Any number that the kernel's `int` holds.
    const INT: Self = Self::Range { min: i32::MIN as i64, max: i32::MAX as i64 };

    /// The smallest and the largest value.
    const fn limits(self) -> (i64, i64) {
        match self {
            Self::OnOff => (i32::MIN as i64, i32::MAX as i64),
            Self::Range { min, max } => (min, max),
        }
    }

    /// Whether a switch takes a value.
    pub const fn contain(self, value: i64) -> bool {
        let (min, max) = self.limits();
        min <= value && value <= max
    }

    /// The values for operators.
    pub fn describe(self) -> String {
        match self {
            Self::OnOff => "0 or 1".to_owned(),
            Self::Range { min, max } => format!("{min} to {max}"),
        }
    }

    /// What to write, for a message to somebody who wrote something else.
    pub fn way_out(self) -> String {
        match self {
            Self::OnOff => "write 0 or 1".to_owned(),
            Self::Range { .. } => format!("write a number from {}", self.describe()),
        }
    }
}

/// A value that a switch does not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{value}' is no value of {name}; {}", .values.way_out())]
pub struct WrongValue {
    name: &'static str,
    value: String,
    values: Values,
}

impl Switch {
    /// The value in `settings`.
    pub fn get(&self, settings: &Settings) -> i64 {
        (self.get)(settings)
    }

    /// Sets the value in `settings`.
    ///
    /// # Errors
    ///
    /// The switch does not take it; nothing is changed then.
    pub fn set(&self, settings: &mut Settings, value: i64) -> Result<(), WrongValue> {
        if !self.values.contain(value) {
            return Err(self.refusing(&value.to_string()));
        }
        (self.set)(settings, value);
        Ok(())
    }

    /// The same for a value as it is written.
    ///
    /// # Errors
    ///
    /// It is no number, or the switch does not take it; nothing is changed then.
    pub fn set_text(&self, settings: &mut Settings, text: &str) -> Result<(), WrongValue> {
        self.set(settings, text.parse().map_err(|_| self.refusing(text))?)
    }

    fn refusing(&self, text: &str) -> WrongValue {
        WrongValue { name: self.name, value: text.to_owned(), values: self.values }
    }

    /// The switch of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        Self::all().find(|switch| switch.name == name)
    }

    /// All switches: those of the section `settings`, and `ip_forward`.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        SWITCHES.iter().chain([&IP_FORWARD])
    }
}

/// Packets for other hosts are routed; a key of its own in the configuration.
pub static IP_FORWARD: Switch = Switch {
    name: "ip_forward",
    path: "ip_forward",
    preset: "1",
    values: Values::OnOff,
    help: "packets for other hosts that belong to no connection are routed",
    get: |settings| settings.ip_forward.into(),
    set: |settings, value| settings.ip_forward = value != 0,
};

/// How hard the director defends itself against too many connections. The values are the kernel's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Defence {
    /// Never.
    #[default]
    Off = 0,
    /// When room is short, which it is not now.
    AutomaticOff = 1,
    /// When room is short, which it is now.
    AutomaticOn = 2,
    /// Always.
    On = 3,
}

impl Defence {
    const ALL: [Self; 4] = [Self::Off, Self::AutomaticOff, Self::AutomaticOn, Self::On];

    /// What it may be set to.
    const VALUES: Values = Values::Range { min: 0, max: 3 };

    /// Whether the director defends itself now.
    #[inline]
    pub const fn is_on(self) -> bool {
        matches!(self, Self::AutomaticOn | Self::On)
    }

    /// The same defence, now that room is short or is not.
    #[must_use]
    pub const fn adapted(self, is_low: bool) -> Self {
        match self {
            Self::AutomaticOff | Self::AutomaticOn if is_low => Self::AutomaticOn,
            Self::AutomaticOff | Self::AutomaticOn => Self::AutomaticOff,
            fixed => fixed,
        }
    }
}

/// A field that is a switch's value. What it is given was checked.
trait Field: Copy {
    fn from_number(number: i64) -> Self;
    fn number(self) -> i64;
}

impl Field for bool {
    fn from_number(number: i64) -> Self {
        number != 0
    }

    fn number(self) -> i64 {
        self.into()
    }
}

impl Field for i32 {
    #[expect(clippy::cast_possible_truncation, reason = "the switch's values fit")]
    fn from_number(number: i64) -> Self {
        number as Self
    }

    fn number(self) -> i64 {
        self.into()
    }
}

impl Field for u32 {
    #[expect(clippy::cast_possible_truncation, reason = "the switch's values fit")]
    #[expect(clippy::cast_sign_loss, reason = "the switch's values are not negative")]
    fn from_number(number: i64) -> Self {
        number as Self
    }

    fn number(self) -> i64 {
        self.into()
    }
}

impl Field for Defence {
    fn from_number(number: i64) -> Self {
        usize::try_from(number).ok().and_then(|at| Self::ALL.get(at).copied()).unwrap_or_default()
    }

    fn number(self) -> i64 {
        self as i64
    }
}

macro_rules! switches {
    ($($field:ident $name:literal: $type:ty = $preset:literal, $values:expr, $help:literal;)*) => {
        /// The switches and limits that the director reads while it runs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Settings {
            $(#[doc = concat!("`", $name, "`: ", $help, ".")] pub $field: $type,)*
            /// `net.ipv4.ip_forward`: packets for other hosts that belong to no connection are
            /// routed.
            pub ip_forward: bool,
            /// Not the kernel's: the outer source port or address of a tunnel varies with the
            /// flow, so that RSS at the receiver spreads them.
            pub tunnel_source_spread: bool,
            /// Packets a second that a worker gives to the host's kernel at most.
            pub kernel_rate: u32,
        }

        impl Default for Settings {
            fn default() -> Self {
                Self {
                    $($field: Field::from_number($preset),)*
                    ip_forward: true,
                    tunnel_source_spread: false,
                    kernel_rate: 20_000,
                }
            }
        }

        /// The switches of the section `settings`, in the order of the documentation.
        pub const SWITCHES: &[Switch] = &[$(Switch {
            name: $name,
            path: concat!("settings.", $name),
            preset: stringify!($preset),
            values: $values,
            help: $help,
            get: |settings| Field::number(settings.$field),
            set: |settings, value| settings.$field = Field::from_number(value),
        },)*];
    };
}

/// The largest duration that the kernel's `int` holds in its ticks, with 100 of them in a second.
const SECONDS: Values = Values::Range { min: 0, max: i32::MAX as i64 / 100 };

switches! {
    conn_reuse_mode "conn_reuse_mode": i32 = 1, Values::INT,
        "not 0: a SYN may begin a new connection on one that is ending; 2, as a bit: also on one \
         in FIN_WAIT of which only the client is seen";
    expire_nodest_conn "expire_nodest_conn": bool = 0, Values::OnOff,
        "1: connections of a removed server end at their next packet; 0: they wait for its return";
    pmtu_disc "pmtu_disc": bool = 1, Values::OnOff,
        "1: tunnels carry DF as the packet in them has it; 0: they never set it";
    nat_icmp_send "nat_icmp_send": bool = 0, Values::OnOff,
        "1: a NAT server's packet that has no connection is answered by ICMP; 0: it is routed";
    sloppy_tcp "sloppy_tcp": bool = 0, Values::OnOff,
        "1: any TCP packet but RST begins a connection, not only a SYN";
    sloppy_sctp "sloppy_sctp": bool = 0, Values::OnOff,
        "1: any SCTP packet but ABORT begins an association, not only an INIT";
    schedule_icmp "schedule_icmp": bool = 0, Values::OnOff,
        "1: an ICMP error about a packet of no connection begins one, so that it reaches a server";
    cache_bypass "cache_bypass": bool = 0, Values::OnOff,
        "1: what a mark service has no real server for goes on to its own destination";
    expire_quiescent_template "expire_quiescent_template": bool = 0, Values::OnOff,
        "1: persistence does not lead to a real server of weight 0; 0: it does";
    lblc_expiration_s "lblc_expiration": u32 = 86400, SECONDS,
        "seconds after which lblc forgets a destination that nobody asks for";
    lblcr_expiration_s "lblcr_expiration": u32 = 86400, SECONDS,
        "the same for lblcr; and as long without a change lets the servers of one become fewer";
    load_counts_all "load_counts_all": bool = 0, Values::OnOff,
        "1: lc, wlc, lblc, lblcr and twos weigh a server by 256 * active + all connections, as \
         kernels since 2026; 0: by 256 * active + inactive";
    drop_entry "drop_entry": Defence = 0, Defence::VALUES,
        "end half-open and idle connections early: 0 never, 1 and 2 when room is short (2: it is \
         now), 3 always";
    drop_packet "drop_packet": Defence = 0, Defence::VALUES,
        "drop a share of the packets that would begin connections: 0 never, 1 and 2 when room is \
         short (2: it is now), 3 always, one in `am_droprate`";
    secure_tcp "secure_tcp": Defence = 0, Defence::VALUES,
        "let only the server's answer establish a TCP connection: 0 never, 1 and 2 when room is \
         short (2: it is now), 3 always";
    amemthresh "amemthresh": i32 = 1024, Values::INT,
        "room is short when fewer connections than this fit into the flow table";
    am_droprate "am_droprate": i32 = 10, Values::INT,
        "with `drop_packet` 3, one in so many packets is dropped; 1 drops all, 0 none";
    run_estimation "run_estimation": bool = 1, Values::OnOff,
        "1: the rates of `--rate` are estimated every two seconds; 0: they stay as they are";
    icmp_msgs_per_sec "icmp_msgs_per_sec": u32 = 1000, Values::Range { min: 0, max: 10_000_000 },
        "resets, ICMP errors and echo replies that each worker sends per second at most";
}

/// Of the sync daemons' switches.
const SYNC: &str = "the sync daemons have one way to work; see synchronisation.md";

/// Switches that the kernel has and the director does not, and why. They are refused by name: what
/// would have no effect is not accepted in silence.
pub const REFUSED: &[(&str, &str)] = &[
    ("conn_lfactor", "the flow table has the size of `flows.max` from the start"),
    ("conntrack", "there is no connection tracking beside the flow table"),
    ("debug_level", "the director has no debugging output; see `sluicectl drops`"),
    ("est_cpulist", "there is no thread that estimates rates"),
    ("est_nice", "there is no thread that estimates rates"),
    ("ignore_tunneled", "the director opens no tunnel whose packets could be balanced again"),
    ("snat_reroute", "replies of NAT servers are always routed by their new source"),
    ("svc_lfactor", "the table of services has the size that it needs"),
    ("backup_only", SYNC),
    ("sync_persist_mode", SYNC),
    ("sync_ports", SYNC),
    ("sync_qlen_max", SYNC),
    ("sync_refresh_period", SYNC),
    ("sync_retries", SYNC),
    ("sync_sock_size", SYNC),
    ("sync_threshold", SYNC),
    ("sync_version", SYNC),
];

/// Why the director does not have a switch that the kernel has.
pub fn refusal(name: &str) -> Option<String> {
    let (_, reason) = REFUSED.iter().find(|(refused, _)| *refused == name)?;
    Some(format!("`{name}' cannot be set: {reason}"))
}
