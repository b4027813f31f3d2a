//! Looks at a running director: what ipvsadm has no word for.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use appliance::control::command::SUBCOMMANDS;
use appliance::control::{client, socket_path};
use appliance::version;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

fn main() -> ExitCode {
    let matches = command_line().get_matches();
    let socket = socket_path(matches.get_one::<PathBuf>("socket").cloned());
    match client::ask(&socket, &request(&matches), None) {
        Ok(answer) => {
            // A reader that went away (`| head`) is no error of ours.
            let _ = io::stdout().write_all(answer.stdout.as_bytes());
            let _ = io::stderr().write_all(answer.stderr.as_bytes());
            ExitCode::from(u8::try_from(answer.exit & 0xff).unwrap_or(u8::MAX))
        }
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::from(2)
        }
    }
}

fn command_line() -> Command {
    let socket = Arg::new("socket")
        .long("socket")
        .value_name("PATH")
        .value_parser(value_parser!(PathBuf))
        .global(true)
        .help("Control socket [default: $SLUICE_SOCKET, then /run/sluice/control.sock]");
    let subcommands = SUBCOMMANDS.iter().map(|&(name, help)| {
        let subcommand = Command::new(name).about(help);
        if name == "drops" {
            let all = Arg::new("all").long("all").action(ArgAction::SetTrue);
            subcommand.arg(all.help("Also reasons that never occurred"))
        } else {
            subcommand
        }
    });
    Command::new("sluicectl")
        .version(version::version())
        .about("Looks at a running Sluice director")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(socket)
        .subcommands(subcommands)
}

/// The words that go over the control socket.
fn request(matches: &ArgMatches) -> Vec<String> {
    let Some((name, options)) = matches.subcommand() else { return Vec::new() };
    let mut words = vec![name.to_owned()];
    if name == "drops" && options.get_flag("all") {
        words.push("--all".to_owned());
    }
    words
}
