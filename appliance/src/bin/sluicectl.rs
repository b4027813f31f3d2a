//! Looks at a running director: what ipvsadm has no word for.

use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use appliance::control::command::{Commands, SUBCOMMANDS};
use appliance::control::{client, socket_path};
use appliance::version;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

fn main() -> ExitCode {
    let matches = command_line().get_matches();
    let socket = socket_path(matches.get_one::<PathBuf>("socket").cloned());
    let words = request(&matches);
    let mut input = Vec::new();
    let reads_input = Commands::reads_input(&words);
    if reads_input && let Err(problem) = io::stdin().lock().read_to_end(&mut input) {
        eprintln!("standard input cannot be read: {problem}");
        return ExitCode::from(2);
    }
    match client::ask(&socket, &words, reads_input.then_some(input.as_slice())) {
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
    let subcommands = SUBCOMMANDS.iter().map(|&(name, help)| arguments(name).about(help));
    Command::new("sluicectl")
        .version(version::version())
        .about("Looks at a running Sluice director")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(socket)
        .subcommands(subcommands)
}

/// The subcommand of that name with what it takes.
fn arguments(name: &'static str) -> Command {
    let command = Command::new(name);
    let word = |name: &'static str| Arg::new(name).value_name(name).required(true);
    match name {
        "drops" => {
            let all = Arg::new("all").long("all").action(ArgAction::SetTrue);
            command.arg(all.help("Also reasons that never occurred"))
        }
        "vip" => {
            let address = || word("ADDRESS").value_parser(value_parser!(IpAddr));
            command.subcommand_required(true).arg_required_else_help(true).subcommands([
                Command::new("list").about("Shows all addresses, and whether they are owned"),
                Command::new("add").about("Takes an address, and announces it").arg(address()),
                Command::new("withdraw").about("Gives an address up").arg(address()),
            ])
        }
        "marks" => {
            let words = Arg::new("WORDS").num_args(1..).required(true);
            let words = words.trailing_var_arg(true).allow_hyphen_values(true);
            command
                .disable_help_flag(true)
                .arg(words.help("iptables' own words; or save, restore, intercept; -6 first: IPv6"))
        }
        "get" => command.arg(word("NAME").required(false)),
        "set" => command.arg(word("NAME")).arg(word("VALUE")),
        _ => command,
    }
}

/// The words that go over the control socket.
fn request(matches: &ArgMatches) -> Vec<String> {
    let Some((name, options)) = matches.subcommand() else { return Vec::new() };
    let mut words = vec![name.to_owned()];
    let text = |options: &ArgMatches, name| options.get_one::<String>(name).cloned();
    match name {
        "drops" if options.get_flag("all") => words.push("--all".to_owned()),
        "vip" => {
            if let Some((action, options)) = options.subcommand() {
                words.push(action.to_owned());
                // `list` takes no address.
                let address = options.try_get_one::<IpAddr>("ADDRESS").ok().flatten();
                words.extend(address.map(ToString::to_string));
            }
        }
        "marks" => {
            words.extend(options.get_many::<String>("WORDS").into_iter().flatten().cloned());
        }
        "get" => words.extend(text(options, "NAME")),
        "set" => words.extend(["NAME", "VALUE"].into_iter().filter_map(|n| text(options, n))),
        _ => {}
    }
    words
}
