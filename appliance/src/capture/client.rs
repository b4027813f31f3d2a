//! `sluicectl capture`: compiles the filter, and makes a file or lines of what the director sends.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, IsTerminal, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::thread;

use lb_core::wire::show;
use serde::Serialize;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::filter::compiled;
use super::pcapng::{Block, PacketBlock, read_block};
use crate::control::client::connect_to;
use crate::control::grammar::CaptureWords;
use crate::control::protocol::{Answer, encode};

/// What was captured, in the end.
#[derive(Debug, Default)]
struct Summary {
    packets: u64,
    lost: u64,
}

/// A packet as one JSON object.
#[derive(Debug, Serialize)]
struct PacketLine<'a> {
    time_ns: u64,
    interface: &'a str,
    direction: &'static str,
    length: u32,
    frame: String,
    verdict: &'a str,
}

/// Captures until the director ends it, or a signal or a closed output does.
pub fn run(socket: &Path, words: &CaptureWords, is_json: bool) -> ExitCode {
    match capture(socket, words, is_json) {
        Ok(code) => code,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::from(2)
        }
    }
}

fn capture(socket: &Path, words: &CaptureWords, is_json: bool) -> Result<ExitCode, String> {
    let request = request(words).map_err(|problem| format!("sluicectl: capture: {problem}"))?;
    let output = open(words.write.as_deref())?;
    let stream = connect_to(socket).map_err(|problem| problem.to_string())?;
    let talk = |problem: io::Error| {
        format!("sluiced at {} ended the conversation: {problem}", socket.display())
    };
    writeln!(&stream, "{}", encode(&request)).map_err(talk)?;
    let mut from = BufReader::with_capacity(256 << 10, &stream);
    let answer = Answer::read(&mut from).map_err(talk)?;
    if !answer.is_success() {
        eprint!("{}", answer.stderr);
        return Ok(ExitCode::from(2));
    }
    end_on_signal(&stream).map_err(talk)?;
    eprintln!("sluicectl: capturing; Ctrl-C ends it");
    let summary = match output {
        Some(mut output) => copy(&mut from, &mut output),
        None => print(&mut from, &mut BufWriter::new(io::stdout().lock()), is_json),
    };
    match summary {
        Ok(Summary { packets, lost }) => {
            eprintln!("{packets} packets captured");
            eprintln!("{lost} packets lost: no room in the director's buffer (--buffer)");
            Ok(ExitCode::SUCCESS)
        }
        // A reader that went away (`| head`) has seen enough.
        Err(problem) if problem.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(problem) => Err(format!("sluicectl: capture: {problem}")),
    }
}

/// What the director is asked, with the filter as a program.
fn request(words: &CaptureWords) -> Result<Vec<String>, String> {
    let mut request = vec!["sluicectl".to_owned(), "capture".to_owned()];
    let mut add = |name: &str, value: String| request.extend([name.to_owned(), value]);
    if let Some(interface) = &words.interface {
        add("--interface", interface.clone());
    }
    if let Some(count) = words.count {
        add("--count", count.to_string());
    }
    add("--snaplen", words.snaplen.to_string());
    add("--buffer", words.buffer.to_string());
    let filter = words.filter.join(" ");
    match &words.program {
        Some(program) => add("--program", program.clone()),
        None if filter.is_empty() => {}
        None => add("--program", compiled(&filter).map_err(|it| format!("`{filter}': {it}"))?),
    }
    Ok(request)
}

/// Where blocks go as they are; `None` where lines are wanted.
fn open(path: Option<&Path>) -> Result<Option<Box<dyn Write>>, String> {
    let Some(path) = path else { return Ok(None) };
    if path == Path::new("-") {
        if io::stdout().is_terminal() {
            let out = "standard output is a terminal; pipe it into a program, or name a file";
            return Err(format!("sluicectl: capture: -w -: {out}"));
        }
        return Ok(Some(Box::new(io::stdout().lock())));
    }
    let file = File::create(path)
        .map_err(|problem| format!("sluicectl: capture: {}: {problem}", path.display()))?;
    Ok(Some(Box::new(file)))
}

/// A signal tells the director that it is enough: it sends what there is, and what was lost.
fn end_on_signal(stream: &UnixStream) -> io::Result<()> {
    let stream = stream.try_clone()?;
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        if signals.forever().next().is_some() {
            // A director that has gone already has nothing to be told.
            let _ = stream.shutdown(Shutdown::Write);
        }
    })?;
    Ok(())
}

/// Writes all blocks as they are.
fn copy(from: &mut BufReader<&UnixStream>, to: &mut impl Write) -> io::Result<Summary> {
    let mut to = BufWriter::with_capacity(256 << 10, to);
    let mut summary = Summary::default();
    while let Some(bytes) = read_block(from)? {
        summary.add(&Block::of(&bytes));
        to.write_all(&bytes)?;
        if from.buffer().is_empty() {
            to.flush()?;
        }
    }
    to.flush()?;
    Ok(summary)
}

/// Prints a line for each packet.
fn print(
    from: &mut BufReader<&UnixStream>,
    to: &mut impl Write,
    is_json: bool,
) -> io::Result<Summary> {
    let mut summary = Summary::default();
    let mut names = Vec::new();
    while let Some(bytes) = read_block(from)? {
        let block = Block::of(&bytes);
        summary.add(&block);
        match block {
            Block::Interface { name } => names.push(name),
            Block::Packet(packet) => {
                let name = names.get(packet.interface as usize).map_or("?", String::as_str);
                let line = if is_json { json(&packet, name)? } else { line(&packet, name) };
                writeln!(to, "{line}")?;
            }
            _ => {}
        }
        if from.buffer().is_empty() {
            to.flush()?;
        }
    }
    to.flush()?;
    Ok(summary)
}

impl Summary {
    fn add(&mut self, block: &Block) {
        match block {
            Block::Packet(_) => self.packets += 1,
            Block::Statistics { lost, .. } => self.lost += lost,
            _ => {}
        }
    }
}

fn line(packet: &PacketBlock, interface: &str) -> String {
    let PacketBlock { time_ns, bytes, comment, .. } = packet;
    let (second, micros) = (time_ns / 1_000_000_000, time_ns % 1_000_000_000 / 1000);
    let (hour, minute) = (second / 3600 % 24, second / 60 % 60);
    let direction = direction(packet);
    let frame = shown(packet, bytes);
    format!(
        "{hour:02}:{minute:02}:{:02}.{micros:06} {interface} {direction:<3} {frame} | {comment}",
        second % 60
    )
}

fn json(packet: &PacketBlock, interface: &str) -> io::Result<String> {
    let line = PacketLine {
        time_ns: packet.time_ns,
        interface,
        direction: direction(packet),
        length: packet.length,
        frame: shown(packet, &packet.bytes),
        verdict: &packet.comment,
    };
    Ok(serde_json::to_string(&line)?)
}

const fn direction(packet: &PacketBlock) -> &'static str {
    if packet.is_sent { "out" } else { "in" }
}

fn shown(packet: &PacketBlock, bytes: &[u8]) -> String {
    let cut = if (bytes.len() as u64) < u64::from(packet.length) { " cut" } else { "" };
    format!("{}{cut}", show(bytes))
}

#[cfg(test)]
mod tests {
    use lb_core::wire::build::{Link, Tcp};

    use super::*;

    #[test]
    fn a_packet_is_one_line() {
        let frame = Tcp { src: "10.0.1.2:1001", dst: "10.0.0.100:80", ..Tcp::default() };
        let bytes = frame.frame(&Link::default());
        let packet = PacketBlock {
            interface: 0,
            time_ns: 3_661_000_002_999,
            is_sent: true,
            length: u32::try_from(bytes.len()).unwrap(),
            bytes,
            comment: "sent to server 10.0.2.11:80 of tcp:10.0.0.100:80; worker 0".to_owned(),
        };
        let text = line(&packet, "lan0");
        assert!(text.starts_with("01:01:01.000002 lan0 out "), "{text}");
        assert!(text.contains("tcp 10.0.1.2:1001 > 10.0.0.100:80"), "{text}");
        assert!(text.ends_with("| sent to server 10.0.2.11:80 of tcp:10.0.0.100:80; worker 0"));
        let json: serde_json::Value =
            serde_json::from_str(&json(&packet, "lan0").unwrap()).unwrap();
        assert_eq!(json["direction"], "out");
        assert_eq!(json["time_ns"], 3_661_000_002_999_u64);
    }
}
