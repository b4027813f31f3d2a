//! Commands for a guest, over its second serial line: the other end of the loop in `init`.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::director::Reply;
use crate::lab::eventually;

/// An emulated machine beside five others has its time.
const PATIENCE: Duration = Duration::from_secs(60);

/// A shell in the guest.
#[derive(Debug)]
pub(crate) struct Agent {
    input: UnixStream,
    answers: BufReader<UnixStream>,
}

impl Agent {
    /// Waits until the guest's system is up.
    pub(crate) fn connect(socket: &Path) -> Self {
        let what = format!("QEMU makes {}", socket.display());
        let input = eventually(PATIENCE, &what, || UnixStream::connect(socket).ok());
        input.set_read_timeout(Some(2 * PATIENCE)).expect("not zero");
        let answers = BufReader::new(input.try_clone().expect("a descriptor is free"));
        let mut agent = Self { input, answers };
        let hello = agent.answer();
        assert_eq!((hello.code, hello.stdout.as_str()), (Some(0), ""), "the guest's first answer");
        agent
    }

    /// How a command line ends in the guest's shell, and what it prints.
    pub(crate) fn ask(&mut self, line: &str) -> Reply {
        assert!(!line.contains('\n'), "one line at a time: {line:?}");
        writeln!(self.input, "{line}").expect("QEMU takes a line");
        self.answer()
    }

    /// What a command line prints; it must succeed.
    pub(crate) fn run(&mut self, line: &str) -> String {
        let reply = self.ask(line);
        assert_eq!(reply.code, Some(0), "`{line}` in the guest:\n{}", reply.stdout);
        reply.stdout
    }

    /// Writes a small file. Nothing of it is special to the shell, and no line is too long for it.
    pub(crate) fn write(&mut self, path: &str, text: &str) {
        self.run(&format!(": >{path}"));
        for chunk in text.as_bytes().chunks(400) {
            let octal: String = chunk.iter().map(|byte| format!("\\0{byte:03o}")).collect();
            self.run(&format!("printf '%b' '{octal}' >>{path}"));
        }
    }

    fn answer(&mut self) -> Reply {
        let mut head = String::new();
        self.answers.read_line(&mut head).expect("the guest answers in time");
        let number = |place: usize| head.split_whitespace().nth(place)?.parse::<usize>().ok();
        let (Some(code), Some(length)) = (number(0), number(1)) else {
            panic!("no answer of the guest: {head:?}");
        };
        let mut text = vec![0; length];
        self.answers.read_exact(&mut text).expect("the guest answers in time");
        Reply {
            code: i32::try_from(code).ok(),
            stdout: String::from_utf8_lossy(&text).into_owned(),
            stderr: String::new(),
        }
    }
}
