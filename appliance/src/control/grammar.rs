//! The words of `sluicectl`: the one list behind its command line, its help, and what the director
//! understands. The director reads a request by the same grammar as the program.
//!
//! A verb is a noun of what it shows; what it does besides follows as an action (`vips add`).

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand};

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
            Self::Status | Self::Ports | Self::Neigh | Self::Routes | Self::Sync => false,
            Self::Get { .. } | Self::Drops { .. } | Self::Marks { .. } => false,
            // The program's requests say for themselves.
            Self::Exec { .. } => false,
            Self::Vips { action } => !matches!(action, None | Some(VipAction::List)),
            Self::Settings { action } => matches!(action, Some(SettingAction::Set { .. })),
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
        ];
        for line in changing {
            assert!(verb(line).changes(), "{line}");
        }
        let showing = ["status", "ports", "neigh", "routes", "vips", "vip list", "settings"];
        for line in showing.into_iter().chain(["settings get pmtu_disc", "get", "drops --all"]) {
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
