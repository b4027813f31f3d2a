//! The far ends of a director's wires: frames go in, what leaves because of them comes out.
//!
//! `wires.py` holds the sockets, in the network namespace of the director.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use lb_core::wire::build::{Icmp, Link};

use crate::lab::Lab;
use crate::network::{Left, WIRES, mac_of, prober};

/// The wires of one director.
#[derive(Debug)]
pub(crate) struct Wires {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// Probes so far, so that none is taken for another.
    probes: u32,
}

impl Wires {
    /// Takes hold of the wires in a host of the lab.
    pub(crate) fn new(lab: &Lab, host: &str) -> Self {
        let mut child = lab
            .command(host, "python3")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/conformance/wires.py"))
            .args(WIRES)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("ip is installed");
        let input = child.stdin.take().expect("piped above");
        let output = BufReader::new(child.stdout.take().expect("piped above"));
        let mut wires = Self { child, input, output, probes: 0 };
        assert_eq!(wires.line(), "ready");
        wires
    }

    /// Puts a frame on a wire; what came of it is asked for by [`Wires::finish`].
    pub(crate) fn begin(&mut self, wire: &str, frame: &[u8]) {
        let mut line = format!("{wire} {}", hex(frame));
        // By its own wire first: when that is answered, the frame was dealt with.
        let others = WIRES.into_iter().filter(|other| *other != wire);
        for wire in std::iter::once(wire).chain(others) {
            line += &self.probe(wire);
        }
        writeln!(self.input, "{line}").expect("wires.py reads");
    }

    /// The next probe of a wire, as `wires.py` takes it.
    fn probe(&mut self, wire: &str) -> String {
        self.probes += 1;
        let mark = format!("probe {:08}", self.probes);
        let (source, destination, to) = prober(wire);
        let link = Link { source: mac_of(source).1, destination: to, vlan: None };
        let probe = Icmp {
            src: source,
            dst: destination,
            kind: (8, 0),
            rest: self.probes,
            body: mark.as_bytes(),
            ..Icmp::default()
        };
        format!(" {wire} {} {}", hex(&probe.frame(&link)), hex(mark.as_bytes()))
    }

    /// The frames that left, in their order; an error where the director is silent.
    pub(crate) fn finish(&mut self) -> Result<Vec<Left>, String> {
        let mut frames = Vec::new();
        loop {
            let line = self.line();
            match line.split_once(' ') {
                None if line == "." => return Ok(frames),
                None => return Err("does not answer any more".to_owned()),
                Some((wire, digits)) => frames.push((wire.to_owned(), bytes(digits))),
            }
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("wires.py writes text");
        assert!(!line.is_empty(), "wires.py ended");
        line.trim_end().to_owned()
    }
}

impl Drop for Wires {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// Bytes as digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Digits as bytes.
pub(crate) fn bytes(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.map(|pair| byte(pair).unwrap_or_else(|| panic!("no hex: {digits}"))).collect()
}
