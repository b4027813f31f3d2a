//! Manual pages and completions, made of the grammars that read the command lines.

use clap::{Arg, ArgAction, Command, CommandFactory, ValueEnum};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};
use lb_core::ipvsadm;

use crate::arguments::Arguments;
use crate::control::grammar::CommandLine;
use crate::version;

/// The section of programs for administrators.
const SECTION: &str = "8";

/// A program that has a manual page and completions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Program {
    Sluiced,
    Sluiceadm,
    Sluicectl,
}

impl Program {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sluiced, Self::Sluiceadm, Self::Sluicectl];

    const fn name(self) -> &'static str {
        match self {
            Self::Sluiced => "sluiced",
            Self::Sluiceadm => "sluiceadm",
            Self::Sluicectl => "sluicectl",
        }
    }

    fn grammar(self) -> Command {
        match self {
            Self::Sluiced => Arguments::command(),
            Self::Sluiceadm => sluiceadm(),
            Self::Sluicectl => CommandLine::command(),
        }
    }
}

/// The script that completes a program's command lines in a shell.
pub fn completion(shell: Shell, program: Program) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut program.grammar(), program.name(), &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The manual page of a program, in roff.
pub fn page(program: Program) -> String {
    let mut grammar = program.grammar().disable_help_subcommand(true);
    grammar.build();
    let man = Man::new(grammar.clone())
        .title(program.name().to_uppercase())
        .section(SECTION)
        .source(format!("Sluice {}", version::version()))
        .manual("Sluice");
    let mut page = Vec::new();
    // Writing to a vector cannot fail.
    let _ = man.render_title(&mut page);
    let _ = man.render_name_section(&mut page);
    let mut roff = Roff::new();
    if program == Program::Sluiceadm {
        language(&mut roff);
    } else {
        let _ = man.render_synopsis_section(&mut page);
        let _ = man.render_description_section(&mut page);
        let _ = man.render_options_section(&mut page);
        verbs(&grammar, &mut roff);
    }
    surroundings(program, &mut roff);
    let _ = roff.to_writer(&mut page);
    String::from_utf8_lossy(&page).into_owned()
}

/// ipvsadm's words for completion; its own parser reads them.
fn sluiceadm() -> Command {
    let mut command = Command::new("sluiceadm")
        .about("Administers the virtual services of a Sluice director, as ipvsadm does")
        .version(version::version())
        .disable_help_flag(true)
        .disable_version_flag(true);
    let socket = Arg::new("socket").long("socket").value_name("PATH");
    command = command.arg(socket.help("Control socket; stands first on the command line"));
    for word in ipvsadm::words() {
        // The one command that has two letters.
        if command.get_arguments().any(|known| known.get_long() == Some(word.long)) {
            command = command.mut_arg(word.long, |known| match word.short {
                Some(short) => known.visible_short_alias(short),
                None => known,
            });
            continue;
        }
        let action = if word.takes_value { ArgAction::Set } else { ArgAction::SetTrue };
        let arg = Arg::new(word.long).long(word.long).action(action).help(word.about);
        command = command.arg(match word.short {
            Some(short) => arg.short(short),
            None => arg,
        });
    }
    command
}

/// The help of ipvsadm, which is all of its language.
fn language(roff: &mut Roff) {
    roff.control("SH", ["SYNOPSIS"]);
    roff.text([bold("sluiceadm"), roman(" [--socket PATH] COMMAND [OPTIONS]")]);
    roff.control("PP", []);
    roff.text([bold("sluice-save"), roman(" [-n]")]);
    roff.control("PP", []);
    roff.text([bold("sluice-restore")]);
    roff.control("SH", ["DESCRIPTION"]);
    roff.text([roman(
        "sluiceadm takes the command line of ipvsadm and prints what ipvsadm prints. sluice-save \
         prints the table as commands, with -n in numbers; sluice-restore empties the table and \
         runs the commands that it reads from standard input, without lines that begin with #.",
    )]);
    roff.control("SH", ["COMMANDS AND OPTIONS"]);
    roff.control("nf", []);
    for line in ipvsadm::usage().lines() {
        roff.text([roman(line.replace("ipvsadm", "sluiceadm"))]);
    }
    roff.control("fi", []);
    roff.control("SH", ["FURTHER OPTIONS"]);
    roff.text([roman("ipvsadm does not have these.")]);
    roff.control("TP", []);
    roff.text([bold("--socket "), italic("PATH")]);
    roff.text([roman("The director's control socket; stands first on the command line.")]);
    for word in ipvsadm::words().filter(|word| word.is_own) {
        roff.control("TP", []);
        roff.text([bold(format!("--{}", word.long))]);
        roff.text([roman(word.about)]);
    }
}

/// What can be asked for, one section for each verb and action.
fn verbs(grammar: &Command, roff: &mut Roff) {
    let shown = || grammar.get_subcommands().filter(|verb| !verb.is_hide_set());
    if shown().next().is_none() {
        return;
    }
    roff.control("SH", ["VERBS"]);
    for verb in shown() {
        section(verb, roff);
        for action in verb.get_subcommands().filter(|action| !action.is_hide_set()) {
            section(action, roff);
        }
    }
}

fn section(verb: &Command, roff: &mut Roff) {
    let usage = verb.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").to_owned();
    let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
    roff.control("SS", [usage.as_str()]);
    roff.text([roman(about)]);
    // The usage says all about those that have no help.
    let own = |arg: &&Arg| {
        let is_shown = !arg.is_hide_set() && arg.get_help().is_some();
        is_shown && !arg.is_global_set() && arg.get_id() != "help"
    };
    for arg in verb.get_arguments().filter(own) {
        roff.control("TP", []);
        let name = arg.get_id().as_str().to_uppercase();
        let mut head: Vec<Inline> = Vec::new();
        if let Some(long) = arg.get_long() {
            head.push(bold(format!("--{long}")));
        }
        if arg.get_action().takes_values() {
            let value = arg.get_value_names().and_then(|names| names.first());
            let value = value.map_or(name, ToString::to_string);
            let blank = if head.is_empty() { "" } else { " " };
            head.extend([roman(blank), italic(value)]);
        }
        roff.text(head);
        roff.text([roman(arg.get_help().map(ToString::to_string).unwrap_or_default())]);
    }
}

/// Files, exit codes, and the other pages.
fn surroundings(program: Program, roff: &mut Roff) {
    let (files, codes): (&[_], _) = match program {
        Program::Sluiced => (
            &[("/etc/sluice/sluice.yaml", "The configuration, by custom.")],
            "0 after SIGTERM or SIGINT, or where the configuration is valid; 78 where it is not; 1 \
             otherwise, also where nothing but a NIC that it names is missing, which may come.",
        ),
        Program::Sluiceadm => (
            SOCKETS,
            "0 done; 1 a listing failed; 2 the command line is wrong, refused for want of rights, \
             or sluiced cannot be reached; 255 an unknown option, or the director refused.",
        ),
        Program::Sluicectl => (
            SOCKETS,
            "0 done; 1 or 2 refused, or sluiced cannot be reached. exec has the program's own.",
        ),
    };
    roff.control("SH", ["FILES"]);
    for (path, meaning) in files {
        roff.control("TP", []);
        roff.text([italic(*path)]);
        roff.text([roman(*meaning)]);
    }
    roff.control("SH", ["EXIT STATUS"]);
    roff.text([roman(codes)]);
    roff.control("SH", ["SEE ALSO"]);
    let others = Program::ALL.into_iter().filter(|other| *other != program);
    let mut inlines: Vec<Inline> = Vec::new();
    for other in others {
        inlines.extend([bold(other.name()), roman(format!("({SECTION}), "))]);
    }
    inlines.extend([bold("ipvsadm"), roman("(8)")]);
    roff.text(inlines);
}

const SOCKETS: &[(&str, &str)] = &[
    ("/run/sluice/control.sock", "The director's socket, unless $SLUICE_SOCKET names another."),
    ("/run/sluice/netlink.sock", "Its socket for programs that were made for the kernel's IPVS."),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::grammar;

    #[test]
    fn every_grammar_is_sound() {
        for program in Program::ALL {
            program.grammar().debug_assert();
        }
    }

    #[test]
    fn pages_have_every_verb_and_every_option() {
        let plain = |program| page(program).replace("\\-", "-").replace("\\*(Aq", "'");
        let page_of_ctl = plain(Program::Sluicectl);
        for (verb, about) in grammar::verbs() {
            assert!(page_of_ctl.contains(&format!("sluicectl {verb}")), "{verb}");
            assert!(page_of_ctl.contains(&about), "{about}");
        }
        assert!(plain(Program::Sluiced).contains("--check"));
        let page_of_adm = plain(Program::Sluiceadm);
        for word in ipvsadm::words().filter(|word| word.long != "version") {
            assert!(page_of_adm.contains(&format!("--{}", word.long)), "{}", word.long);
        }
    }

    #[test]
    fn completions_have_every_verb_and_every_option() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = completion(shell, Program::Sluicectl);
            for (verb, _) in grammar::verbs() {
                assert!(script.contains(&verb), "{shell}: {verb}");
            }
            let script = completion(shell, Program::Sluiceadm);
            for word in ipvsadm::words() {
                assert!(script.contains(word.long), "{shell}: {}", word.long);
            }
        }
    }
}
