//! Just enough of a shell to run the command lines of the captures. What it does not know makes
//! the test fail.
//!
//! Known: `;`, newline, `&&`, `|`, `>`, `<`, quotes, `$?`, `$name`, `${PIPESTATUS[n]}`,
//! `$((++name))`, `for x in ...; do ...; done`, and the commands of [`Shell::run_program`].

use std::collections::HashMap;

use lb_core::ipvsadm::{FixedNames, execute};
use lb_core::operations::Operations;

/// A piece of a command line.
#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(Vec<Piece>),
    Operator(&'static str),
}

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(String),
    /// Replaced when the command runs; the name of what is between `$` and its end.
    Variable(String),
}

pub(crate) struct Shell<O> {
    operations: O,
    names: FixedNames,
    files: HashMap<String, String>,
    variables: HashMap<String, String>,
    pipe_status: Vec<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl<O: Operations> Shell<O> {
    pub(crate) fn new(operations: O, names: FixedNames) -> Self {
        Self {
            operations,
            names,
            files: HashMap::new(),
            variables: HashMap::new(),
            pipe_status: vec![0],
            stdout: String::new(),
            stderr: String::new(),
        }
    }

    pub(crate) fn exit(&self) -> i32 {
        *self.pipe_status.last().unwrap()
    }

    /// What a new shell forgets: variables and output. Files and the table stay.
    pub(crate) fn start_anew(&mut self) {
        self.variables.clear();
        self.pipe_status = vec![0];
        self.stdout.clear();
        self.stderr.clear();
    }

    pub(crate) fn run(&mut self, text: &str) {
        let tokens = tokenize(text);
        self.run_list(&tokens);
    }

    fn run_list(&mut self, tokens: &[Token]) {
        let mut rest = tokens;
        let mut skip = false;
        while !rest.is_empty() {
            if rest[0] == word("for") {
                let done = rest.iter().position(|t| *t == word("done")).expect("done");
                self.run_for(&rest[1..done]);
                rest = &rest[done + 1..];
            } else {
                let end = rest.iter().position(is_separator).unwrap_or(rest.len());
                if end > 0 && !skip {
                    self.run_pipeline(&rest[..end]);
                }
                rest = &rest[end..];
            }
            if let Some(Token::Operator(operator)) = rest.first() {
                skip = *operator == "&&" && (skip || self.exit() != 0);
                rest = &rest[1..];
            }
        }
    }

    /// `NAME in WORDS ; do LIST`
    fn run_for(&mut self, tokens: &[Token]) {
        let body = tokens.iter().position(|t| *t == word("do")).expect("do");
        let Token::Word(name) = &tokens[0] else { panic!("for without a name") };
        assert_eq!(tokens[1], word("in"));
        let name = self.expand(name);
        let values: Vec<String> = tokens[2..body]
            .iter()
            .filter_map(|token| match token {
                Token::Word(pieces) => Some(self.expand(pieces)),
                Token::Operator(_) => None,
            })
            .collect();
        for value in values {
            self.variables.insert(name.clone(), value);
            self.run_list(&tokens[body + 1..]);
        }
    }

    fn run_pipeline(&mut self, tokens: &[Token]) {
        let mut input = String::new();
        let mut status = Vec::new();
        let commands: Vec<&[Token]> = tokens.split(|t| *t == Token::Operator("|")).collect();
        for (index, command) in commands.iter().enumerate() {
            let (words, output_file) = self.redirections(command, &mut input);
            let (exit, output) = self.run_program(&words, &input);
            status.push(exit);
            input.clear();
            match output_file {
                Some(file) => drop(self.files.insert(file, output)),
                None if index + 1 == commands.len() => self.stdout.push_str(&output),
                None => input = output,
            }
        }
        self.pipe_status = status;
    }

    fn redirections(
        &mut self,
        command: &[Token],
        input: &mut String,
    ) -> (Vec<String>, Option<String>) {
        let mut words = Vec::new();
        let mut output_file = None;
        let mut tokens = command.iter();
        while let Some(token) = tokens.next() {
            match token {
                Token::Word(pieces) => words.push(self.expand(pieces)),
                Token::Operator(operator) => {
                    let Some(Token::Word(file)) = tokens.next() else { panic!("no file") };
                    let file = self.expand(file);
                    match *operator {
                        "<" => *input = self.files.get(&file).expect("file").clone(),
                        ">" => output_file = Some(file),
                        other => panic!("unknown operator {other}"),
                    }
                }
            }
        }
        (words, output_file)
    }

    fn run_program(&mut self, words: &[String], input: &str) -> (i32, String) {
        let arguments = &words[1..];
        match words[0].as_str() {
            "ipvsadm" => self.ipvsadm(arguments, input),
            // Both are scripts around ipvsadm: one clears first and drops comments.
            "ipvsadm-restore" => {
                self.ipvsadm(&["-C".to_owned()], "");
                let lines: Vec<&str> = input.lines().filter(|l| !l.starts_with('#')).collect();
                self.ipvsadm(&["-R".to_owned()], &lines.join("\n"))
            }
            "ipvsadm-save" => {
                let save = ["-S".to_owned()].into_iter().chain(arguments.iter().cloned());
                self.ipvsadm(&save.collect::<Vec<_>>(), "")
            }
            "echo" => (0, format!("{}\n", arguments.join(" "))),
            "printf" => (0, printf(arguments)),
            "cat" => {
                (0, arguments.iter().map(|f| self.files.get(f).expect("file").as_str()).collect())
            }
            "wc" if arguments == ["-l"] => (0, format!("{}\n", input.matches('\n').count())),
            "diff" => {
                let [a, b] = arguments else { panic!("diff wants two files") };
                let same = self.files.get(a).expect("file") == self.files.get(b).expect("file");
                (i32::from(!same), String::new())
            }
            other => panic!("this shell does not know the program {other}"),
        }
    }

    fn ipvsadm(&mut self, arguments: &[String], input: &str) -> (i32, String) {
        let outcome = execute(arguments, input.as_bytes(), &mut self.operations, &self.names);
        self.stderr.push_str(&outcome.stderr);
        // A shell sees the exit code as a byte.
        (outcome.exit & 0xff, outcome.stdout)
    }

    fn expand(&mut self, pieces: &[Piece]) -> String {
        pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.clone(),
                Piece::Variable(name) => self.variable(name),
            })
            .collect()
    }

    fn variable(&mut self, name: &str) -> String {
        if name == "?" {
            return self.exit().to_string();
        }
        if let Some(index) = name.strip_prefix("PIPESTATUS[").and_then(|n| n.strip_suffix(']')) {
            return self.pipe_status[index.parse::<usize>().unwrap()].to_string();
        }
        if let Some(counter) = name.strip_prefix("((++").and_then(|n| n.strip_suffix("))")) {
            let value = self.variables.entry(counter.to_owned()).or_insert_with(|| "0".to_owned());
            *value = (value.parse::<u32>().unwrap() + 1).to_string();
            return value.clone();
        }
        self.variables.get(name).unwrap_or_else(|| panic!("${name} is not known")).clone()
    }
}

fn word(text: &str) -> Token {
    Token::Word(vec![Piece::Text(text.to_owned())])
}

fn is_separator(token: &Token) -> bool {
    matches!(token, Token::Operator(";" | "&&"))
}

fn tokenize(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut pieces: Option<Vec<Piece>> = None;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let operator = ["&&", ";", "\n", "|", ">", "<"].into_iter().find(|o| rest.starts_with(o));
        if first == ' ' || first == '\t' || operator.is_some() {
            tokens.extend(pieces.take().map(Token::Word));
            let operator = operator.map(|o| if o == "\n" { ";" } else { o });
            tokens.extend(operator.map(Token::Operator));
            rest = &rest[operator.map_or(1, str::len)..];
            continue;
        }
        let word = pieces.get_or_insert_default();
        match first {
            '\'' => {
                let (quoted, after) = rest[1..].split_once('\'').expect("closing quote");
                push_text(word, quoted);
                rest = after;
            }
            '"' => {
                let (quoted, after) = rest[1..].split_once('"').expect("closing quote");
                let mut inner = quoted;
                while !inner.is_empty() {
                    inner = take_piece(word, inner);
                }
                push_text(word, "");
                rest = after;
            }
            '\\' | '`' | '&' | '(' | ')' | '{' | '}' | '#' if first != '#' => {
                panic!("this shell does not know {first:?} in: {text}")
            }
            _ => rest = take_piece(word, rest),
        }
    }
    tokens.extend(pieces.map(Token::Word));
    tokens
}

/// Takes one letter or one variable.
fn take_piece<'a>(word: &mut Vec<Piece>, text: &'a str) -> &'a str {
    let Some(name) = text.strip_prefix('$') else {
        let letter = text.chars().next().unwrap();
        push_text(word, &text[..letter.len_utf8()]);
        return &text[letter.len_utf8()..];
    };
    let length = if name.starts_with('?') {
        1
    } else if name.starts_with("((") {
        name.find("))").expect("))") + 2
    } else if name.starts_with('{') {
        name.find('}').expect("}") + 1
    } else {
        name.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(name.len())
    };
    let plain = name[..length].trim_start_matches('{').trim_end_matches('}');
    assert!(!plain.is_empty(), "a dollar sign alone");
    word.push(Piece::Variable(plain.to_owned()));
    &name[length..]
}

fn push_text(word: &mut Vec<Piece>, text: &str) {
    if let Some(Piece::Text(last)) = word.last_mut() {
        last.push_str(text);
    } else {
        word.push(Piece::Text(text.to_owned()));
    }
}

/// `printf` with `\n`, `\t`, `\r`, `\0` in the format, and `%s` repeated over the arguments.
fn printf(arguments: &[String]) -> String {
    let arguments = if arguments[0] == "--" { &arguments[1..] } else { arguments };
    let format = arguments[0].replace("\\n", "\n").replace("\\t", "\t");
    let format = format.replace("\\r", "\r").replace("\\000", "\0");
    assert!(!format.contains('\\'), "unknown escape in {format:?}");
    if !format.contains('%') {
        return format;
    }
    assert_eq!(format.matches('%').count(), format.matches("%s").count(), "{format:?}");
    arguments[1..].iter().map(|argument| format.replacen("%s", argument, 1)).collect()
}
