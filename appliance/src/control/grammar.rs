//! The words of `sluicectl`: the one list behind its command line, its help, and what the director
//! understands. The director reads a request by the same grammar as the program.
//!
//! A verb is a noun of what it shows; what it does besides follows as an action (`vips add`).

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum, value_parser};
use clap_complete::Shell;
use lb_core::control::{Clients, FlowFilter, FlowProtocol, ServerEnd, StateName};
use lb_core::protocol::Protocol;
use lb_core::service::ServiceKey;
use lb_core::wire::sctp::ChunkType;
use lb_core::wire::tcp::Flags;

use super::flows::LIMIT_MAX;
use crate::capture::FRAME_MAX;
use crate::doctor::DoctorWords;
use crate::logging::Levels;
use crate::manual::Program;
use crate::setup::SetupWords;
use crate::version;

/// Shows and changes what ipvsadm has no word for in a running Sluice director
#[derive(Clone, Debug, Parser)]
#[command(name = "sluicectl", version = version::version(), arg_required_else_help = true)]
pub struct CommandLine {
    /// Control socket [default: $SLUICE_SOCKET, then /run/sluice/control.sock]
    #[arg(long, value_name = "PATH", global = true)]
    pub socket: Option<PathBuf>,
    #[command(flatten)]
    pub output: Output,
    #[command(subcommand)]
    pub verb: Verb,
}

/// How the answer is to look.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct Output {
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Colour the text, as the program asks for on a terminal
    #[arg(long, global = true, hide = true)]
    pub colour: bool,
}

/// What can be asked for.
#[derive(Clone, Debug, Subcommand)]
pub enum Verb {
    /// What the director is, and how full and busy
    Status,
    /// The director live on a terminal: services, servers, lcores, drops
    Top(TopWords),
    /// Virtual services and real servers: settings, connections, counters, ways
    Services {
        /// Only this one: tcp:ADDRESS:PORT, udp:..., sctp:..., fwm:MARK, fwm6:MARK
        service: Option<ServiceKey>,
    },
    /// Connections and persistence templates: list, count, kill
    Flows {
        #[arg(value_enum, default_value = "list")]
        action: FlowAction,
        #[command(flatten)]
        words: FlowWords,
    },
    /// What would become of a packet, and why; changes nothing
    Explain(ExplainWords),
    /// Packets as they come and go with what becomes of them, for tcpdump and Wireshark
    Capture(CaptureWords),
    /// Takes new connections from a real server: weight 0 wherever it serves
    Drain(DrainWords),
    /// Ports with their devices, links and counters
    Ports,
    /// Real servers and gateways on the link: addresses and how sure they are
    Neigh,
    /// Ways to the networks of the ports and behind gateways
    Routes,
    /// Addresses of the director, and who has them
    #[command(visible_alias = "vip")]
    Vips {
        #[command(subcommand)]
        action: Option<VipAction>,
    },
    /// Switches of the connection handling, named as the kernel's sysctls
    Settings {
        #[command(subcommand)]
        action: Option<SettingAction>,
    },
    /// The same as `settings get`
    #[command(hide = true)]
    Get { name: Option<String> },
    /// The same as `settings set`
    #[command(hide = true)]
    Set { name: String, value: String },
    /// Rules that mark packets: iptables' own words; save, restore, intercept
    #[command(disable_help_flag = true)]
    Marks {
        /// Words of iptables, or save, restore, intercept; -6 first: IPv6
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Packets dropped, by reason
    Drops {
        /// Also reasons that never occurred
        #[arg(long)]
        all: bool,
    },
    /// What the director says of its own accord, by module; changes levels
    Log {
        /// `info`, `ports=debug`, or several: `warning,ports=debug`
        levels: Option<Levels>,
    },
    /// Takes what changed in the configuration file; connections and counters stay
    Reload(ReloadOptions),
    /// What is running against what the configuration file says
    Diff {
        /// Another file, read by the director, which does not take it
        #[arg(long, value_name = "PATH")]
        file: Option<PathBuf>,
    },
    /// What the sync daemons have sent and taken over
    Sync,
    /// Runs a program so that its IPVS is the director: ipvsadm, keepalived
    Exec {
        /// The director's socket for it [default: $SLUICE_NETLINK_SOCKET, then
        /// /run/sluice/netlink.sock]
        #[arg(long, value_name = "PATH")]
        netlink_socket: Option<PathBuf>,
        /// The program and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
    /// Whether this machine has what a director needs, and what to do; asks no director
    Doctor(DoctorWords),
    /// Makes this machine ready for its configuration: huge pages, NICs, modules
    Setup(SetupWords),
    /// Prints the manual page of a program
    #[command(hide = true)]
    Manual { program: Program },
    /// Prints the script that completes a program's command lines in a shell
    #[command(hide = true)]
    Completion {
        shell: Shell,
        #[arg(default_value = "sluicectl")]
        program: Program,
    },
}

/// `reload`
#[derive(Args, Clone, Copy, Debug)]
pub struct ReloadOptions {
    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
    /// Change nothing if something needs a restart
    #[arg(long)]
    pub strict: bool,
    /// Where both a command and the file changed something, take the file's
    #[arg(long, conflicts_with = "command_wins")]
    pub file_wins: bool,
    /// Where both a command and the file changed something, keep the command's
    #[arg(long)]
    pub command_wins: bool,
}

/// `flows`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FlowAction {
    /// Shows them
    List,
    /// Counts them by state and by real server
    Count,
    /// Ends them
    Kill,
}

/// Which connections.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct FlowWords {
    /// From these clients
    #[arg(long, value_name = "ADDRESS[/LENGTH][:PORT]")]
    client: Option<Clients>,
    /// Of this service: tcp:ADDRESS:PORT, udp:..., sctp:..., fwm:MARK, fwm6:MARK
    #[arg(long, value_name = "SERVICE", group = "which")]
    service: Option<ServiceKey>,
    /// Of this service of TCP
    #[arg(short = 't', long, value_name = "ADDRESS:PORT", group = "which",
          value_parser = |text: &str| format!("tcp:{text}").parse::<ServiceKey>())]
    tcp_service: Option<ServiceKey>,
    /// Of this service of UDP
    #[arg(short = 'u', long, value_name = "ADDRESS:PORT", group = "which",
          value_parser = |text: &str| format!("udp:{text}").parse::<ServiceKey>())]
    udp_service: Option<ServiceKey>,
    /// Of this service of SCTP
    #[arg(long, value_name = "ADDRESS:PORT", group = "which",
          value_parser = |text: &str| format!("sctp:{text}").parse::<ServiceKey>())]
    sctp_service: Option<ServiceKey>,
    /// Of the service of this mark
    #[arg(short = 'f', long, value_name = "MARK", group = "which",
          value_parser = |text: &str| format!("fwm:{text}").parse::<ServiceKey>())]
    fwmark_service: Option<ServiceKey>,
    /// On this real server
    #[arg(long, value_name = "ADDRESS[:PORT]")]
    server: Option<ServerEnd>,
    /// In this state, as the list names it
    #[arg(long, value_name = "NAME")]
    state: Option<StateName>,
    /// Of this protocol: tcp, udp, sctp; ip: templates of marks
    #[arg(long, value_name = "NAME")]
    protocol: Option<FlowProtocol>,
    /// Lists so many at most
    #[arg(long, value_name = "COUNT", default_value = "1000", value_parser = limit)]
    pub limit: usize,
    /// Lists on from where an earlier answer ended
    #[arg(long, value_name = "PLACE", default_value = "0")]
    pub from: usize,
    /// Kills all connections where no filter is given
    #[arg(long)]
    pub all: bool,
}

fn limit(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|&number| number <= LIMIT_MAX);
    number.ok_or_else(|| format!("write a number from 0 to {LIMIT_MAX}"))
}

impl FlowWords {
    /// What they say.
    pub fn filter(&self) -> FlowFilter {
        FlowFilter {
            clients: self.client,
            service: self
                .service
                .or(self.tcp_service)
                .or(self.udp_service)
                .or(self.sctp_service)
                .or(self.fwmark_service),
            server: self.server,
            state: self.state,
            protocol: self.protocol,
        }
    }
}

/// `drain`
#[derive(Args, Clone, Debug)]
pub struct DrainWords {
    /// The real server: ADDRESS or ADDRESS:PORT
    pub server: ServerEnd,
    /// At this service alone: tcp:ADDRESS:PORT, udp:..., sctp:..., fwm:MARK, fwm6:MARK
    #[arg(long)]
    pub service: Option<ServiceKey>,
    /// Gives it its weights back
    #[arg(long, conflicts_with_all = ["wait", "look"])]
    pub undo: bool,
    /// Waits until nothing is left of it
    #[arg(long)]
    pub wait: bool,
    /// Waits so long at most: 90, 90s, 15m, 2h
    #[arg(long, requires = "wait", value_parser = duration)]
    pub timeout: Option<Duration>,
    /// Changes nothing, shows what is left
    #[arg(long, conflicts_with = "wait")]
    pub look: bool,
}

/// `top`
#[derive(Args, Clone, Copy, Debug)]
pub struct TopWords {
    /// Time between two looks: 1s, 500ms
    #[arg(short = 'd', long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    pub interval: Duration,
    /// Ends after so many looks
    #[arg(short = 'n', long, value_name = "LOOKS", value_parser = value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// Prints text instead of drawing on the terminal
    #[arg(short = 'b', long)]
    pub batch: bool,
}

fn interval(text: &str) -> Result<Duration, String> {
    let seconds = match text.strip_suffix("ms") {
        Some(number) => number.parse::<u32>().ok().map(|ms| Duration::from_millis(ms.into())),
        None => duration(text).ok(),
    };
    let fits =
        |it: &Duration| (Duration::from_millis(100)..=Duration::from_secs(3600)).contains(it);
    seconds.filter(fits).ok_or_else(|| "write a time from 100ms to 1h".to_owned())
}

/// `capture`
#[derive(Args, Clone, Debug)]
pub struct CaptureWords {
    /// Only of this port, or this VLAN
    #[arg(short = 'i', long, value_name = "PORT")]
    pub interface: Option<String>,
    /// Ends after so many packets
    #[arg(short = 'c', long, value_name = "PACKETS", value_parser = value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// Writes a file in pcapng's format; -: to standard output
    #[arg(short = 'w', long, value_name = "FILE")]
    pub write: Option<PathBuf>,
    /// Bytes of each frame
    #[arg(short = 's', long, value_name = "BYTES", default_value_t = FRAME_MAX as u32,
          value_parser = value_parser!(u32).range(14..=FRAME_MAX as i64))]
    pub snaplen: u32,
    /// KiB of memory for each worker in which packets wait to be sent
    #[arg(short = 'B', long, value_name = "KIB", default_value_t = 4096,
          value_parser = value_parser!(u32).range(32..=1 << 20))]
    pub buffer: u32,
    /// The filter as a program: what `tcpdump -ddd` prints, with commas between the lines
    #[arg(long, value_name = "PROGRAM", conflicts_with = "filter")]
    pub program: Option<String>,
    /// The packets that are wanted, in tcpdump's words (pcap-filter(7))
    #[arg(trailing_var_arg = true)]
    pub filter: Vec<String>,
}

/// `explain`
#[derive(Args, Clone, Debug)]
pub struct ExplainWords {
    /// tcp, udp or sctp
    #[arg(value_parser = protocol, requires = "destination",
          required_unless_present_any = ["frame", "pcap"])]
    protocol: Option<Protocol>,
    /// ADDRESS:PORT of the sender
    source: Option<SocketAddr>,
    /// ADDRESS:PORT that it is for
    destination: Option<SocketAddr>,
    /// The port or VLAN by which it comes
    #[arg(long = "in", value_name = "NAME")]
    pub by: Option<String>,
    /// Flags of TCP: syn, or several: syn,ack; or letters: SA; none
    #[arg(long, default_value = "syn", value_parser = flags)]
    pub flags: Flags,
    /// The chunk of SCTP: init, data, ...
    #[arg(long, default_value = "init", value_parser = chunk)]
    pub chunk: ChunkType,
    /// A whole Ethernet frame, in hexadecimal digits
    #[arg(long, value_name = "HEX", conflicts_with = "protocol")]
    pub frame: Option<String>,
    /// A frame of this file of tcpdump
    #[arg(long, value_name = "FILE", conflicts_with_all = ["protocol", "frame"])]
    pub pcap: Option<PathBuf>,
    /// Which one, from 1
    #[arg(long, default_value = "1", requires = "pcap")]
    pub number: usize,
}

impl ExplainWords {
    /// The packet in words, if it is not a frame.
    pub fn ends(&self) -> Option<(Protocol, SocketAddr, SocketAddr)> {
        Some((self.protocol?, self.source?, self.destination?))
    }
}

fn protocol(text: &str) -> Result<Protocol, String> {
    let all = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
    let found = all.into_iter().find(|it| it.name().eq_ignore_ascii_case(text));
    found.ok_or_else(|| "there are tcp, udp and sctp; of others give the --frame".to_owned())
}

fn flags(text: &str) -> Result<Flags, String> {
    const NAMES: [(&str, Flags); 9] = [
        ("none", Flags(0)),
        ("syn", Flags::SYN),
        ("ack", Flags::ACK),
        ("fin", Flags::FIN),
        ("rst", Flags::RST),
        ("psh", Flags::PSH),
        ("urg", Flags::URG),
        ("ece", Flags::ECE),
        ("cwr", Flags::CWR),
    ];
    let flag = |word: &str| NAMES.iter().find(|(name, _)| *name == word).map(|(_, flag)| *flag);
    let named = text.split(',').map(flag).try_fold(Flags(0), |all, it| Some(all.union(it?)));
    named.or_else(|| Flags::from_letters(text).filter(|_| !text.is_empty())).ok_or_else(|| {
        let names = NAMES.map(|(name, _)| name).join(", ");
        format!("there are {names}; or letters of FSRPAUEC")
    })
}

fn chunk(text: &str) -> Result<ChunkType, String> {
    const NAMES: [(&str, ChunkType); 12] = [
        ("data", ChunkType::DATA),
        ("init", ChunkType::INIT),
        ("init-ack", ChunkType::INIT_ACK),
        ("sack", ChunkType::SACK),
        ("heartbeat", ChunkType::HEARTBEAT),
        ("abort", ChunkType::ABORT),
        ("shutdown", ChunkType::SHUTDOWN),
        ("shutdown-ack", ChunkType::SHUTDOWN_ACK),
        ("error", ChunkType::ERROR),
        ("cookie-echo", ChunkType::COOKIE_ECHO),
        ("cookie-ack", ChunkType::COOKIE_ACK),
        ("shutdown-complete", ChunkType::SHUTDOWN_COMPLETE),
    ];
    let found = NAMES.iter().find(|(name, _)| *name == text).map(|(_, chunk)| *chunk);
    found.ok_or_else(|| format!("there are {}", NAMES.map(|(name, _)| name).join(", ")))
}

fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit_s) = match text.char_indices().next_back() {
        Some((at, 's')) => (&text[..at], 1),
        Some((at, 'm')) => (&text[..at], 60),
        Some((at, 'h')) => (&text[..at], 3600),
        _ => (text, 1),
    };
    let seconds = number.parse::<u32>().ok().map(|number| u64::from(number) * unit_s);
    let seconds = seconds.ok_or("write seconds, or a number with s, m or h")?;
    Ok(Duration::from_secs(seconds))
}

/// `vips`
#[derive(Clone, Debug, Subcommand)]
pub enum VipAction {
    /// Shows all addresses, and whether they are owned
    List,
    /// Takes an address, and announces it
    Add { address: IpAddr },
    /// Gives an address up
    Withdraw { address: IpAddr },
}

/// `settings`
#[derive(Clone, Debug, Subcommand)]
pub enum SettingAction {
    /// Shows all switches
    List,
    /// Shows one switch
    Get { name: String },
    /// Changes a switch
    Set { name: String, value: String },
}

impl Verb {
    /// Whether it changes what the director does. What `marks` does its own language says.
    pub fn changes(&self) -> bool {
        match self {
            Self::Top(_) | Self::Status | Self::Services { .. } | Self::Ports | Self::Neigh => {
                false
            }
            Self::Routes | Self::Diff { .. } | Self::Sync => false,
            Self::Reload(options) => !options.dry_run,
            Self::Get { .. } | Self::Drops { .. } | Self::Marks { .. } => false,
            // The program's requests say for themselves.
            Self::Exec { .. } => false,
            Self::Doctor(_) | Self::Setup(_) | Self::Manual { .. } | Self::Completion { .. } => {
                false
            }
            Self::Log { levels } => levels.is_some(),
            Self::Vips { action } => !matches!(action, None | Some(VipAction::List)),
            Self::Settings { action } => matches!(action, Some(SettingAction::Set { .. })),
            Self::Flows { action, .. } => *action == FlowAction::Kill,
            Self::Explain(_) => false,
            // It shows what is in packets, which is not for those who may only look.
            Self::Capture(_) => true,
            Self::Drain(words) => !words.look,
            Self::Set { .. } => true,
        }
    }

    /// Whether input follows the request.
    pub fn reads_input(&self) -> bool {
        matches!(self, Self::Marks { words } if super::marks::reads_input(words))
    }
}

impl CommandLine {
    /// Reads the words of a request, without the program's name.
    ///
    /// # Errors
    ///
    /// What is wrong, as the program itself would say it; also where help was asked for.
    pub fn of_words(words: &[String]) -> Result<Self, clap::Error> {
        let name = std::iter::once("sluicectl");
        Self::try_parse_from(name.chain(words.iter().map(String::as_str)))
    }
}

/// Names and meanings of all verbs that the help shows.
pub fn verbs() -> Vec<(String, String)> {
    let command = CommandLine::command();
    let shown = command.get_subcommands().filter(|verb| !verb.is_hide_set());
    shown
        .map(|verb| {
            let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
            (verb.get_name().to_owned(), about)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verb(line: &str) -> Verb {
        let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
        CommandLine::of_words(&words).unwrap().verb
    }

    #[test]
    fn the_grammar_is_sound() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn what_changes_something_is_known() {
        let changing = [
            "vips add 10.0.0.1",
            "vip withdraw 10.0.0.1",
            "settings set pmtu_disc 0",
            "set pmtu_disc 0",
            "reload --strict",
            "flows kill --all",
            "drain 10.0.0.1",
            "drain 10.0.0.1 --undo",
            "log ports=debug",
            "capture -c 1 tcp port 80",
        ];
        for line in changing {
            assert!(verb(line).changes(), "{line}");
            let word = verb(line).name();
            assert!(
                line.starts_with(word) || ["vip ", "set "].iter().any(|it| line.starts_with(it))
            );
        }
        let showing =
            ["status", "ports", "neigh", "routes", "vips", "vip list", "settings", "services"];
        for line in showing.into_iter().chain([
            "settings get pmtu_disc",
            "get",
            "drops --all",
            "log",
            "diff",
            "reload --dry-run",
            "flows",
            "flows count",
            "drain 10.0.0.1 --look",
            "explain tcp 10.0.0.1:1 10.0.0.2:2",
        ]) {
            assert!(!verb(line).changes(), "{line}");
        }
    }

    #[test]
    fn words_of_iptables_are_left_alone() {
        let Verb::Marks { words } = verb("marks -t mangle -L --json") else { panic!() };
        assert_eq!(words, ["-t", "mangle", "-L", "--json"]);
        let line = CommandLine::of_words(&["--json".into(), "status".into()]).unwrap();
        assert!(line.output.json);
    }

    #[test]
    fn looks_have_a_time_between_them() {
        let all = ["500ms", "2", "1m"].map(|text| interval(text).map(|it| it.as_millis()));
        assert_eq!(all, [Ok(500), Ok(2000), Ok(60_000)]);
        assert!(["99ms", "0", "2h", "ms", "-1"].iter().all(|text| interval(text).is_err()));
    }

    #[test]
    fn times_have_units() {
        let timeout = |text: &str| match verb(&format!("drain 10.0.0.1 --wait --timeout {text}")) {
            Verb::Drain(words) => words.timeout.map(|it| it.as_secs()),
            _ => None,
        };
        let all = ["90", "90s", "15m", "2h"].map(timeout);
        assert_eq!(all, [Some(90), Some(90), Some(900), Some(7200)]);
        for text in ["", "s", "-1", "1d", "1.5h", "é"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_verb_says_what_it_is_and_is_documented() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/control.md");
        let page = std::fs::read_to_string(page).unwrap();
        let verbs = verbs();
        assert!(verbs.len() > 6);
        for (name, about) in verbs {
            assert!(!about.is_empty(), "{name}");
            assert!(page.contains(&format!("### sluicectl {name}")), "docs/control.md: {name}");
        }
    }
}
