//! A command from its words to what is printed.

use super::command::{Command, ListOptions, ParseError, Subject};
use super::names::Names;
use super::text::{Style, push};
use super::{connections, help, listing, parser, save};
use crate::operations::{
    ConnectionRow, DaemonRow, OperationError, Operations, Refused, ServiceRow, TimeoutSettings,
};

/// Bytes that the lines of one restore print before it ends.
const RESTORE_OUTPUT_MAX: usize = 64 << 20;

/// What a run of ipvsadm leaves behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// 0 success, 1 a listing failed, 2 refused by the parser, 255 refused by the director, or an
    /// option is unknown.
    pub exit: i32,
    pub stdout: String,
    pub stderr: String,
}

/// What the director says to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Done,
    Refused(OperationError),
    Table { rows: Vec<ServiceRow>, table_size: usize },
    Service(ServiceRow),
    Connections(Vec<ConnectionRow>),
    Timeouts(TimeoutSettings),
    Daemons(Vec<DaemonRow>),
}

/// Runs one command line: the words behind the program's name. `input` is standard input, which
/// only `-R` reads; see [`reads_input`].
pub fn execute<W: AsRef<str>>(
    words: &[W],
    input: &[u8],
    operations: &mut impl Operations,
    names: &dyn Names,
) -> Outcome {
    match parser::parse(words, names) {
        Ok(Command::Restore) => restore(input, |command| apply(command, operations), names),
        Ok(Command::RestoreAll) => {
            restore_all(input, |commands| operations.apply_all(commands), names)
        }
        Ok(command) => {
            let reply = apply(&command, operations);
            print(&command, reply, names)
        }
        Err(error) => refusal(&error),
    }
}

/// Whether a command line reads standard input: a caller has to read it first.
pub fn reads_input<W: AsRef<str>>(words: &[W]) -> bool {
    // Names do not matter: no option that looks one up goes with -R.
    let command = parser::parse(words, &super::Numeric);
    matches!(command, Ok(Command::Restore | Command::RestoreAll))
}

/// Does to the director what the command says. Looks no names up and prints nothing: this is the
/// part that needs the director.
pub fn apply(command: &Command, operations: &mut impl Operations) -> Reply {
    let result = match command {
        Command::AddService(service) => operations.add_service(service.clone()),
        Command::EditService(service) => operations.edit_service(service.clone()),
        Command::DeleteService(key) => operations.delete_service(key),
        Command::Clear => {
            operations.clear();
            Ok(())
        }
        Command::AddDestination { service, destination } => {
            operations.add_destination(service, *destination)
        }
        Command::EditDestination { service, destination } => {
            operations.edit_destination(service, *destination)
        }
        Command::DeleteDestination { service, address, port } => {
            operations.delete_destination(service, *address, *port)
        }
        Command::Zero(key) => operations.zero(key.as_ref()),
        Command::SetTimeouts(timeouts) => {
            operations.set_timeouts(*timeouts);
            Ok(())
        }
        Command::StartDaemon(settings) => operations.start_daemon(settings.clone()),
        Command::StopDaemon { role, sync_id } => operations.stop_daemon(*role, *sync_id),
        Command::List(options) => return query(options.subject, operations),
        Command::Save { .. } => return query(Subject::Table, operations),
        Command::Restore | Command::RestoreAll | Command::Help | Command::Version => Ok(()),
    };
    result.map_or_else(Reply::Refused, |()| Reply::Done)
}

fn query(subject: Subject, operations: &impl Operations) -> Reply {
    match subject {
        Subject::Table => {
            Reply::Table { rows: operations.services(), table_size: operations.table_size() }
        }
        Subject::Service(key) => match operations.service(&key) {
            Some(row) => Reply::Service(row),
            None => Reply::Refused(OperationError::NoSuchService),
        },
        Subject::Connections => Reply::Connections(operations.connections()),
        Subject::Timeouts => Reply::Timeouts(operations.timeouts()),
        Subject::Daemons => Reply::Daemons(operations.daemons()),
    }
}

/// Writes what ipvsadm prints for the reply to a command. May look up names, unless the command
/// says `-n`.
pub fn print(command: &Command, reply: Reply, names: &dyn Names) -> Outcome {
    let stdout = match (command, reply) {
        (_, Reply::Refused(error)) => {
            // A listing that fails has an exit code of its own.
            let exit = if matches!(command, Command::List(_)) { 1 } else { 255 };
            return Outcome { exit, stdout: String::new(), stderr: format!("{error}\n") };
        }
        (Command::Help, _) => format!("{}{}", help::VERSION, help::USAGE),
        (Command::Version, _) => help::VERSION.to_owned(),
        (Command::Save { numeric, full }, Reply::Table { rows, .. }) => {
            save::table(&rows, *full, Style::new(*numeric, names))
        }
        (Command::List(options), reply) => list(options, reply, names),
        _ => String::new(),
    };
    Outcome { exit: 0, stdout, stderr: String::new() }
}

fn list(options: &ListOptions, reply: Reply, names: &dyn Names) -> String {
    let style = Style::new(options.numeric, names);
    match reply {
        Reply::Table { rows, table_size } => listing::table(&rows, table_size, options, style),
        Reply::Service(row) => listing::one_service(&row, options, style),
        Reply::Connections(rows) => connections::connections(&rows, options.engine_data, style),
        Reply::Timeouts(timeouts) => connections::timeouts(timeouts),
        Reply::Daemons(rows) => connections::daemons(&rows),
        Reply::Done | Reply::Refused(_) => String::new(),
    }
}

/// Runs the lines of `-R` one after the other, each as soon as it is read.
///
/// What the director refuses, and what popt does not know, is reported and the next line goes on;
/// the exit code is the last line's. Everything else that is wrong, a missing service to list,
/// `-h` and `-v` end the restore, with what went before applied. Lines without words do nothing.
///
/// Where they print more than 64 MiB, the restore ends, too.
///
/// `apply` does one command to the director, see [`apply`]: names are looked up outside of it.
pub fn restore(
    input: &[u8],
    mut apply: impl FnMut(&Command) -> Reply,
    names: &dyn Names,
) -> Outcome {
    let mut total = Outcome::default();
    for line in input.split(|&byte| byte == b'\n') {
        let line = String::from_utf8_lossy(line);
        let words = restore_words(&line);
        if words.is_empty() {
            continue;
        }
        let (outcome, ends) = match parser::parse(&words, names) {
            // A restore within a restore is no command.
            Ok(Command::Restore | Command::RestoreAll) => (refusal(&ParseError::try_help()), true),
            Ok(command) => {
                let reply = apply(&command);
                let outcome = print(&command, reply, names);
                let ends = match command {
                    Command::Help | Command::Version => true,
                    Command::List(_) => outcome.exit != 0,
                    _ => false,
                };
                (outcome, ends)
            }
            Err(error) => (refusal(&error), error.fatal),
        };
        total.exit = outcome.exit;
        total.stdout.push_str(&outcome.stdout);
        total.stderr.push_str(&outcome.stderr);
        if ends {
            break;
        }
        if total.stdout.len() + total.stderr.len() > RESTORE_OUTPUT_MAX {
            total.exit = 2;
            total.stderr.push_str("The lines print too much; the rest of them is not run\n");
            break;
        }
    }
    total
}

/// Runs the lines of `-R --atomic`: all of them, or none where one of them is wrong.
///
/// Every line is read first; what does not parse is named with the number of its line (exit code
/// 2). Then `apply_all` gets the commands; the first one that it refuses is named (255). Lines that
/// begin with `#`, and lines without words, do nothing.
pub fn restore_all(
    input: &[u8],
    apply_all: impl FnOnce(&[Command]) -> Result<(), Refused>,
    names: &dyn Names,
) -> Outcome {
    let (mut commands, mut lines, mut stderr) = (Vec::new(), Vec::new(), String::new());
    for (number, line) in (1_usize..).zip(input.split(|&byte| byte == b'\n')) {
        let line = String::from_utf8_lossy(line);
        let words = restore_words(&line);
        if words.first().is_none_or(|word| word.starts_with('#')) {
            continue;
        }
        match parser::parse(&words, names) {
            Ok(command) => {
                commands.push(command);
                lines.push(number);
            }
            Err(error) => {
                push(&mut stderr, format_args!("line {number}: {}\n", error.message.trim()))
            }
        }
    }
    let exit = if !stderr.is_empty() {
        2
    } else if let Err(Refused { index, error }) = apply_all(&commands) {
        let line = lines.get(index).copied().unwrap_or_default();
        push(&mut stderr, format_args!("line {line}: {error}\n"));
        255
    } else {
        return Outcome::default();
    };
    stderr.push_str("Nothing was changed.\n");
    Outcome { exit, stdout: String::new(), stderr }
}

/// The words of a line of `-R`: split at blanks, tabs and carriage returns, with no quoting.
/// The word `ipvsadm` is left out wherever it stands, and a word ends at a zero byte.
pub fn restore_words(line: &str) -> Vec<&str> {
    line.split([' ', '\t', '\r'])
        .filter(|word| !word.is_empty())
        .map(|word| word.split('\0').next().unwrap_or_default())
        .filter(|word| *word != "ipvsadm")
        .collect()
}

/// What a command line that does not parse leaves behind.
pub fn refusal(error: &ParseError) -> Outcome {
    Outcome { exit: error.exit, stdout: String::new(), stderr: format!("{error}\n") }
}
