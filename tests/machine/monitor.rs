//! QEMU's own control, QMP: links that are cut, NICs that are pulled out.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::lab::eventually;

const PATIENCE: Duration = Duration::from_secs(60);

/// A connection to one machine's monitor.
#[derive(Debug)]
pub(crate) struct Monitor {
    input: UnixStream,
    lines: BufReader<UnixStream>,
    /// Names of what QEMU said by itself.
    events: Vec<String>,
}

impl Monitor {
    /// Connects as soon as there is the socket. Until then `still_runs` is called, which panics
    /// with QEMU's words where it has ended.
    pub(crate) fn connect(socket: &Path, mut still_runs: impl FnMut()) -> Self {
        let what = format!("QEMU makes {}", socket.display());
        let input = eventually(PATIENCE, &what, || {
            still_runs();
            UnixStream::connect(socket).ok()
        });
        input.set_read_timeout(Some(PATIENCE)).expect("not zero");
        let lines = BufReader::new(input.try_clone().expect("a descriptor is free"));
        let mut monitor = Self { input, lines, events: Vec::new() };
        monitor.line();
        monitor.execute("qmp_capabilities", json!({}));
        monitor
    }

    /// A command; it must succeed.
    pub(crate) fn execute(&mut self, command: &str, arguments: Value) -> Value {
        let line = json!({ "execute": command, "arguments": arguments });
        writeln!(self.input, "{line}").expect("QEMU takes a command");
        loop {
            let mut reply = self.line();
            if let Some(event) = reply["event"].as_str() {
                self.events.push(event.to_owned());
                continue;
            }
            assert!(reply.get("error").is_none(), "{line}: {reply}");
            return reply["return"].take();
        }
    }

    /// Plugs a NIC's cable in, or pulls it.
    pub(crate) fn set_link(&mut self, nic: &str, is_up: bool) {
        self.execute("set_link", json!({ "name": nic, "up": is_up }));
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("QEMU answers in time");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("QMP: {error}: {line:?}"))
    }
}
