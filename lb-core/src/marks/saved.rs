//! The text of `iptables-save`, to be read and to be written.

use super::chain::Action;
use super::error::MarksError;
use super::parser::{Command, parse};
use super::rule::Rule;
use super::{CHAIN, TABLE, show};
use crate::interface::Interface;
use crate::ipvsadm::Names;
use crate::service::Family;

/// Chains that the table has besides, which a saved rule set names although they are empty.
const OTHER_CHAINS: &[&str] = &["INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];

/// What `iptables-save -t mangle` prints between its comments; of chains, the one that is there.
pub(super) fn table(rules: &[Rule], family: Family) -> String {
    let mut out = format!("*{TABLE}\n:{CHAIN} ACCEPT [0:0]\n");
    for rule in rules {
        out.push_str(&show::rule(rule, family));
        out.push('\n');
    }
    out.push_str("COMMIT\n");
    out
}

/// The rules, each as the line that makes it again.
pub fn lines(rules: &[Rule], family: Family) -> Vec<String> {
    rules.iter().map(|rule| show::rule(rule, family)).collect()
}

/// Reads a saved rule set into commands, each with its line number from 1.
///
/// # Errors
///
/// The first line that is wrong.
pub(super) fn commands(
    text: &str,
    family: Family,
    names: &dyn Names,
) -> Result<Vec<(usize, Command)>, MarksError> {
    let mut commands = Vec::new();
    let mut reader = Reader { family, names, needs_table: true, is_open: false };
    let mut line = 0;
    for (text, number) in text.lines().zip(1..) {
        line = number;
        let command = reader.line(text).map_err(|problem| at(line, problem))?;
        commands.extend(command.map(|command| (line, command)));
    }
    if reader.is_open {
        return Err(at(line + 1, MarksError::Form("COMMIT expected")));
    }
    Ok(commands)
}

/// Reads the lines of a configuration: those of a saved rule set, where `*mangle` and COMMIT may
/// be left out. Each wrong one is named by its index. The rules are made by the lines in order.
pub fn configured(
    lines: &[&str],
    family: Family,
    interfaces: &[Interface],
    names: &dyn Names,
) -> (Vec<Rule>, Vec<(usize, MarksError)>) {
    let mut rules = Vec::new();
    let mut wrong = Vec::new();
    let mut reader = Reader { family, names, needs_table: false, is_open: false };
    for (index, line) in lines.iter().enumerate() {
        let result = reader.line(line).and_then(|command| {
            command.map_or(Ok(()), |command| command.action.apply(&mut rules, interfaces))
        });
        wrong.extend(result.err().map(|problem| (index, problem)));
    }
    (rules, wrong)
}

pub(super) fn at(line: usize, problem: MarksError) -> MarksError {
    MarksError::Line { line, problem: Box::new(problem) }
}

/// Makes a chain by commands.
///
/// # Errors
///
/// The first command that is not possible, with its line.
pub(super) fn rebuild(
    commands: &[(usize, Command)],
    interfaces: &[Interface],
    mut rules: Vec<Rule>,
) -> Result<Vec<Rule>, MarksError> {
    for (line, command) in commands {
        command.action.apply(&mut rules, interfaces).map_err(|problem| at(*line, problem))?;
    }
    Ok(rules)
}

struct Reader<'a> {
    family: Family,
    names: &'a dyn Names,
    /// Rules may only stand in a table.
    needs_table: bool,
    /// A table was begun and not committed.
    is_open: bool,
}

impl Reader<'_> {
    fn line(&mut self, line: &str) -> Result<Option<Command>, MarksError> {
        let line = line.trim_end_matches(['\r', '\n']);
        if line.starts_with('#') || line.trim().is_empty() {
            return Ok(None);
        }
        if let Some(table) = line.strip_prefix('*').map(str::trim) {
            if self.is_open {
                return Err(MarksError::Form("COMMIT expected before the next table"));
            }
            self.is_open = table == TABLE;
            return if self.is_open { Ok(None) } else { Err(MarksError::Table(table.to_owned())) };
        }
        if self.needs_table && !self.is_open {
            return Err(MarksError::Form("a table has to begin first: *mangle"));
        }
        if line.trim() == "COMMIT" {
            self.is_open = false;
            return Ok(None);
        }
        if let Some(chain) = line.strip_prefix(':') {
            return declared(chain).map(|()| None);
        }
        let rest = after_counters(line)?;
        let words = words(rest)?;
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let names_table = self.needs_table && words.contains(&"-t");
        if names_table {
            return Err(MarksError::Form("-t cannot be used in a table; leave it out"));
        }
        let command = parse(&words, self.family, self.names)?;
        if command.family != self.family {
            return Err(MarksError::Form("-4 and -6 cannot change the family of a rule set"));
        }
        match command.action {
            Action::List { .. } | Action::Print { .. } => {
                Err(MarksError::Form("-L and -S are no lines of a rule set"))
            }
            _ => Ok(Some(command)),
        }
    }
}

/// `:CHAIN POLICY [PACKETS:BYTES]`. Chains without rules change nothing.
fn declared(text: &str) -> Result<(), MarksError> {
    let mut words = text.split_ascii_whitespace();
    let (chain, policy) = (words.next().unwrap_or_default(), words.next());
    if chain != CHAIN && !OTHER_CHAINS.contains(&chain) {
        return Err(MarksError::Chain(chain.to_owned()));
    }
    match policy {
        Some("ACCEPT") => Ok(()),
        Some(other) => Err(MarksError::Policy(other.to_owned())),
        None => Err(MarksError::Form("the chain has no policy; write ACCEPT behind it")),
    }
}

/// The line without the counters that `iptables-save -c` puts in front of it.
fn after_counters(line: &str) -> Result<&str, MarksError> {
    let Some(counters) = line.strip_prefix('[') else { return Ok(line) };
    let is_count = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    counters
        .split_once(']')
        .filter(|(counts, _)| {
            counts.split_once(':').is_some_and(|(a, b)| is_count(a) && is_count(b))
        })
        .map(|(_, rest)| rest)
        .ok_or(MarksError::Form("counters are written [PACKETS:BYTES]"))
}

/// Words between blanks. In double quotes blanks are letters, and a backslash makes a letter of
/// what follows it.
pub(super) fn words(line: &str) -> Result<Vec<String>, MarksError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            ' ' | '\t' => words.extend(word.take()),
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next() {
                        Some('"') => break,
                        Some('\\') => word.extend(letters.next()),
                        Some(letter) => word.push(letter),
                        None => return Err(MarksError::Form("a quotation mark has no second one")),
                    }
                }
            }
            letter => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipvsadm::Numeric;
    use crate::marks::{MarkRules, request::request};

    fn restore(words: &[&str], text: &str, rules: &mut MarkRules) -> Result<(), String> {
        let request =
            request(words, text.as_bytes(), &Numeric).map_err(|problem| problem.to_string())?;
        request.apply(rules, &[]).map_err(|problem| problem.to_string())
    }

    const ONE: &str = "-A PREROUTING -p tcp -j MARK --set-xmark 0x1/0xffffffff\n";

    /// What `iptables-save` prints, comments and the other chains of the table included.
    #[test]
    fn a_rule_set_of_iptables_save_is_taken() {
        let text = "# Generated by iptables-save v1.8.9 on Tue Nov 24 16:21:37 2026\n*mangle\n\
                    :PREROUTING ACCEPT [10:840]\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n\
                    :OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n\
                    [5:60] -A PREROUTING -p udp -m comment --comment \"a \\\"b\" -j ACCEPT\n\
                    -I PREROUTING -p tcp -j MARK --set-mark 1\nCOMMIT\n# Completed\n";
        let mut rules = MarkRules::default();
        assert_eq!(restore(&["restore"], text, &mut rules), Ok(()));
        let udp = "-A PREROUTING -p udp -m comment --comment \"a \\\"b\" -j ACCEPT\n";
        let saved = format!("*mangle\n:PREROUTING ACCEPT [0:0]\n{ONE}{udp}COMMIT\n");
        assert_eq!(table(&rules.v4, Family::V4), saved);
        let before = rules.clone();
        assert_eq!(restore(&["restore", "-t"], "*mangle\nCOMMIT\n", &mut rules), Ok(()));
        assert_eq!(rules, before, "only a test");
        let more = format!("*mangle\n{ONE}COMMIT\n");
        assert_eq!(restore(&["restore", "--noflush"], &more, &mut rules), Ok(()));
        assert_eq!(rules.v4.len(), 3);
        assert_eq!(restore(&["-6", "restore"], &more, &mut rules), Ok(()));
        assert_eq!((rules.v4.len(), rules.v6.len()), (3, 1));
        assert_eq!(restore(&["restore"], "*mangle\nCOMMIT\n", &mut rules), Ok(()));
        assert_eq!((rules.v4.len(), rules.v6.len()), (0, 1));
    }

    #[test]
    fn a_wrong_line_is_named_and_nothing_is_changed() {
        let mut rules = MarkRules::default();
        restore(&["restore"], &format!("*mangle\n{ONE}COMMIT\n"), &mut rules).unwrap();
        let before = rules.clone();
        for (text, problem) in [
            ("*nat\nCOMMIT\n", "line 1: table `nat' is not supported"),
            ("*mangle\n:FOO ACCEPT\nCOMMIT\n", "line 2: No chain/target/match by the name `FOO'"),
            ("*mangle\n:INPUT DROP\nCOMMIT\n", "line 2: policy `DROP'"),
            ("*mangle\n:INPUT\nCOMMIT\n", "line 2: the line is none of iptables-save"),
            ("*mangle\n-A INPUT -p tcp\nCOMMIT\n", "line 2: No chain/target/match by the name"),
            (
                "*mangle\n-A PREROUTING -p tcp\n",
                "line 3: the line is none of iptables-save: COMMIT",
            ),
            ("-A PREROUTING -p tcp\n", "line 1: the line is none of iptables-save: a table"),
            ("*mangle\n*mangle\n", "line 2: the line is none of iptables-save: COMMIT"),
            ("*mangle\n-t mangle -A PREROUTING\nCOMMIT\n", "line 2: the line is none"),
            ("*mangle\n-A PREROUTING -p tcp\n\n-D PREROUTING 9\nCOMMIT\n", "line 4: Index of"),
            ("*mangle\n-A PREROUTING -i lan7\nCOMMIT\n", "line 2: interface `lan7' is none of"),
            (
                "*mangle\n-A PREROUTING -m comment --comment \"x\nCOMMIT\n",
                "line 2: the line is none",
            ),
            ("*mangle\n[1:] -A PREROUTING\nCOMMIT\n", "line 2: the line is none"),
            ("*mangle\n-L PREROUTING\nCOMMIT\n", "line 2: the line is none"),
            ("*mangle\n-6 -A PREROUTING\nCOMMIT\n", "line 2: the line is none"),
            ("*mangle\n*\n", "line 2: the line is none"),
        ] {
            let error = restore(&["restore"], text, &mut rules).unwrap_err();
            assert!(error.starts_with(problem), "{text}: {error}");
            assert_eq!(rules, before);
        }
    }

    #[test]
    fn lines_of_a_configuration_need_no_table_and_are_all_looked_at() {
        let lines =
            ["-t mangle -A PREROUTING -p tcp", "# x", "-A PREROUTING -p foo", "-X FOO", "-F"];
        let (rules, wrong) = configured(&lines, Family::V4, &[], &Numeric);
        assert_eq!(rules.len(), 0);
        assert_eq!(wrong.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [2, 3]);
        let whole = ["*mangle", ":PREROUTING ACCEPT [0:0]", ONE.trim(), "COMMIT"];
        let (rules, wrong) = configured(&whole, Family::V4, &[], &Numeric);
        assert_eq!((rules.len(), wrong), (1, Vec::new()));
    }

    #[test]
    fn words_are_split_as_in_iptables_restore() {
        let split = |line: &str| words(line).unwrap().join("|");
        assert_eq!(split("  a\tb  \"c d\"e \"\" \"\\\"\\\\\" '"), "a|b|c de||\"\\|'");
        assert!(words("a \"b").is_err() && words("\"\\").is_err());
    }
}
