//! Shows and changes what ipvsadm has no word for, in a running director.

use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use appliance::control::grammar::{CommandLine, DrainWords, ExplainWords, Output, Verb};
use appliance::control::protocol::Answer;
use appliance::control::{client, socket_path};
use appliance::{capture, captured_frame, doctor, drain, exec, manual, setup, top};
use clap::Parser;

fn main() -> ExitCode {
    // Ends here where the words are none of the grammar, or ask for help.
    let line = CommandLine::parse();
    if let Verb::Exec { netlink_socket, words } = &line.verb {
        let error = exec::exec(words, netlink_socket.as_deref());
        eprintln!("{error}");
        return ExitCode::from(error.exit());
    }
    match line.verb {
        Verb::Manual { program } => return print(&manual::page(program)),
        Verb::Completion { shell, program } => return print(&manual::completion(shell, program)),
        _ => {}
    }
    let has_colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    if let Verb::Drain(words) = &line.verb
        && words.wait
    {
        let output = Output { colour: has_colour, ..line.output };
        return wait(&socket_path(line.socket), words, output);
    }
    match &line.verb {
        Verb::Top(words) => return top::run(socket_path(line.socket), words),
        Verb::Capture(words) => {
            return capture::client::run(&socket_path(line.socket), words, line.output.json);
        }
        _ => {}
    }
    let output = Output { colour: has_colour, ..line.output };
    match &line.verb {
        Verb::Doctor(words) => return show(&doctor::run(words, output)),
        Verb::Setup(words) => return show(&setup::run(words, output)),
        _ => {}
    }
    let mut words = vec!["sluicectl".to_owned()];
    if has_colour {
        words.push("--colour".to_owned());
    }
    let typed = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    match &line.verb {
        Verb::Explain(ExplainWords { pcap: Some(path), number, by, .. }) => {
            // The director reads no files for others.
            let frame = match captured_frame::of_pcap(path, *number) {
                Ok(frame) => captured_frame::to_hex(&frame),
                Err(problem) => {
                    eprintln!("sluicectl: explain: {problem}");
                    return ExitCode::from(2);
                }
            };
            words.extend(line.output.json.then(|| "--json".to_owned()));
            words.extend(["explain".to_owned(), "--frame".to_owned(), frame]);
            words.extend(by.iter().flat_map(|by| ["--in".to_owned(), by.clone()]));
        }
        _ => words.extend(typed),
    }
    ask(&line.verb, &socket_path(line.socket), &words)
}

/// Lets the director answer, with what is typed in where the verb reads that.
fn ask(verb: &Verb, socket: &Path, words: &[String]) -> ExitCode {
    let mut input = Vec::new();
    let reads_input = verb.reads_input();
    if reads_input && let Err(problem) = io::stdin().lock().read_to_end(&mut input) {
        eprintln!("standard input cannot be read: {problem}");
        return ExitCode::from(2);
    }
    match client::ask(socket, words, reads_input.then_some(input.as_slice())) {
        Ok(answer) => show(&answer),
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::from(2)
        }
    }
}

fn show(answer: &Answer) -> ExitCode {
    // A reader that went away (`| head`) is no error of ours.
    let _ = io::stdout().write_all(answer.stdout.as_bytes());
    let _ = io::stderr().write_all(answer.stderr.as_bytes());
    ExitCode::from(u8::try_from(answer.exit & 0xff).unwrap_or(u8::MAX))
}

fn wait(socket: &Path, words: &DrainWords, output: Output) -> ExitCode {
    let end = drain::wait(socket, words, output);
    ExitCode::from(end.map(drain::End::exit).unwrap_or_else(|problem| {
        eprintln!("{problem}");
        2
    }))
}

fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("standard output cannot be written: {problem}");
            ExitCode::FAILURE
        }
    }
}
