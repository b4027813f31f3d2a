//! ipvsadm for Sluice: takes ipvsadm's command line, prints what ipvsadm prints.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use appliance::control::{client, request, socket_path};

fn main() -> ExitCode {
    let mut words: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let socket = match take_socket(&mut words) {
        Ok(socket) => socket_path(socket),
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    // Without arguments ipvsadm lists the table.
    if words.is_empty() {
        words.push("-L".to_owned());
    }
    words.insert(0, "ipvsadm".to_owned());
    let input = if request::reads_input(&words) {
        let mut input = Vec::new();
        if let Err(problem) = io::stdin().lock().read_to_end(&mut input) {
            eprintln!("standard input cannot be read: {problem}");
            return ExitCode::from(2);
        }
        Some(input)
    } else {
        None
    };
    match client::ask(&socket, &words, input.as_deref()) {
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

/// Takes `--socket PATH` or `--socket=PATH` off the front of the command line: the one option that
/// is not ipvsadm's.
fn take_socket(words: &mut Vec<String>) -> Result<Option<PathBuf>, String> {
    match words.first().map(String::as_str) {
        Some("--socket") => {
            if words.len() < 2 {
                return Err("--socket: missing argument, name the control socket".to_owned());
            }
            words.remove(0);
            Ok(Some(words.remove(0).into()))
        }
        Some(word) => match word.strip_prefix("--socket=") {
            Some(path) => {
                let path = path.into();
                words.remove(0);
                Ok(Some(path))
            }
            None => Ok(None),
        },
        None => Ok(None),
    }
}
