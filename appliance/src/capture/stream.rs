//! The director's side of a capture: from the workers' rings to the client, as pcapng.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lb_core::interface::{Interface, InterfaceId};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::bpf::Program;
use super::pcapng::{self, PacketBlock};
use super::record::Record;
use super::tap::{TAPS_MAX, Tap, Taps, Wanted};
use super::verdict::Teller;
use crate::control::command::Commands;
use crate::control::grammar::CaptureWords;
use crate::control::protocol::Answer;
use crate::lock::lock;
use crate::version::version;

/// How long the rings are left alone when they were empty.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
/// How long workers may take to begin and to end; they need a turn of their loop.
const TURN_MAX: Duration = Duration::from_secs(2);
/// Bytes that are sent at once.
const TOGETHER: usize = 256 << 10;

/// A capture under way; it ends with this.
#[derive(Debug)]
pub struct Session<'a> {
    taps: &'a Taps,
    tap: Arc<Tap>,
    interfaces: Arc<[Interface]>,
    snaplen: u32,
    /// Packets after which it ends.
    count: Option<u64>,
    /// Packets told, by interface.
    told: Vec<u64>,
}

impl<'a> Session<'a> {
    /// Begins what the words ask for, once all workers see it.
    ///
    /// # Errors
    ///
    /// The answer that says why not.
    pub fn begin(words: &CaptureWords, commands: &'a Commands) -> Result<Self, Answer> {
        let refused =
            |problem: String| Answer::refusing(2, &format!("sluiced: capture: {problem}"));
        if !words.filter.is_empty() || words.write.is_some() {
            let ours =
                "sluicectl compiles the FILTER and writes the file; here a --program is given";
            return Err(refused(ours.to_owned()));
        }
        let program = words.program.as_deref().map(Program::read).transpose();
        let program = program.map_err(|problem| refused(format!("--program: {problem}")))?;
        let director = Arc::clone(lock(&commands.control).director());
        let interfaces = Arc::clone(&director.snapshot.load().interfaces);
        let wanted = words.interface.as_deref().map(|name| ids_of(name, &interfaces)).transpose();
        let wanted = Wanted {
            program,
            interfaces: wanted.map_err(refused)?,
            snaplen: words.snaplen as usize,
            ring_bytes: words.buffer as usize * 1024,
        };
        let workers = commands.about.worker_cpus.len();
        let tap = Arc::new(Tap::new(wanted, workers));
        if commands.taps.begin(Arc::clone(&tap)).is_err() {
            let many = format!("{TAPS_MAX} captures run already; end one of them");
            return Err(refused(many));
        }
        let session = Session {
            taps: &commands.taps,
            tap,
            told: vec![0; interfaces.len()],
            interfaces,
            snaplen: words.snaplen,
            count: words.count,
        };
        wait_until(|| session.tap.is_taken_up());
        Ok(session)
    }

    /// Sends what is captured, until there is enough or the client has gone or says anything.
    ///
    /// # Errors
    ///
    /// When the client has gone, or does not read for a minute.
    pub fn run(
        mut self,
        stream: &UnixStream,
        to: &mut impl Write,
        commands: &Commands,
    ) -> io::Result<()> {
        let mut out = Vec::with_capacity(2 * TOGETHER);
        pcapng::section(&mut out, &format!("sluiced {}", version()));
        for interface in self.interfaces.iter() {
            pcapng::interface(&mut out, &interface.name, interface.mac.0, self.snaplen);
        }
        let mut teller = Teller::new(&commands.control);
        let mut is_wanted = true;
        while is_wanted && !self.is_enough() {
            let found = self.drain(&mut teller, &mut out);
            to.write_all(&out)?;
            to.flush()?;
            out.clear();
            is_wanted = !has_said_something(stream, found == 0)?;
        }
        // What came until now is still told.
        while !self.is_enough() && self.drain(&mut teller, &mut out) > 0 {
            to.write_all(&out)?;
            out.clear();
        }
        self.tell_losses(&mut out);
        to.write_all(&out)?;
        to.flush()
    }

    fn is_enough(&self) -> bool {
        self.count.is_some_and(|count| self.told.iter().sum::<u64>() >= count)
    }

    /// Takes what the rings have, oldest first, as far as it fits; returns how many packets.
    fn drain(&mut self, teller: &mut Teller<'_>, out: &mut Vec<u8>) -> usize {
        let mut bytes = Vec::new();
        let mut found = 0;
        while out.len() < TOGETHER && !self.is_enough() {
            let lanes = self.tap.lanes().iter().enumerate();
            let next = lanes
                .filter_map(|(worker, lane)| Some((Record::next_time(&lane.ring)?, worker)))
                .min();
            let Some((_, worker)) = next else { break };
            let ring = &self.tap.lanes()[worker].ring;
            let Some(record) = Record::read(ring, &mut bytes) else { continue };
            found += 1;
            if let Some(told) = self.told.get_mut(usize::from(record.interface.0)) {
                *told += 1;
            }
            let packet = PacketBlock {
                interface: record.interface.0.into(),
                time_ns: record.time_ns,
                is_sent: record.is_sent,
                length: record.length,
                comment: teller.tell(&record, worker),
                bytes: std::mem::take(&mut bytes),
            };
            pcapng::packet(out, &packet);
            bytes = packet.bytes;
        }
        found
    }

    fn tell_losses(&self, out: &mut Vec<u8>) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ns = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        for (told, id) in self.told.iter().zip(0..=u8::MAX) {
            let lost = self.tap.lost(InterfaceId(id));
            pcapng::statistics(out, id.into(), now_ns, told + lost, lost);
        }
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        self.taps.end(&self.tap);
        // So that the rings are given back here, and not on a worker.
        wait_until(|| Arc::strong_count(&self.tap) == 1);
    }
}

/// The interfaces that a name means: a port with its VLANs, or one VLAN.
fn ids_of(name: &str, interfaces: &[Interface]) -> Result<Vec<InterfaceId>, String> {
    let ids = || interfaces.iter().zip((0..=u8::MAX).map(InterfaceId));
    let Some((named, id)) = ids().find(|(interface, _)| interface.name == name) else {
        let names: Vec<_> = interfaces.iter().map(|it| it.name.as_str()).collect();
        return Err(format!("no port or VLAN `{name}'; there are {}", names.join(", ")));
    };
    let is_port = named.vlan.is_none();
    let is_meant = |it: &Interface, other| other == id || is_port && it.port == id;
    Ok(ids().filter(|(it, other)| is_meant(it, *other)).map(|(_, other)| other).collect())
}

/// Whether the client has gone or sent anything; with `waits` after a pause in which it could.
fn has_said_something(stream: &UnixStream, waits: bool) -> io::Result<bool> {
    let mut socket = [PollFd::new(stream, PollFlags::IN | PollFlags::RDHUP)];
    let pause = if waits { PAUSE } else { Timespec { tv_sec: 0, tv_nsec: 0 } };
    match poll(&mut socket, Some(&pause)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(problem) => Err(problem.into()),
    }
}

/// Waits for workers. One that has no turn for so long is not waited for.
fn wait_until(is_so: impl Fn() -> bool) {
    let end = Instant::now() + TURN_MAX;
    while !is_so() && Instant::now() < end {
        thread::sleep(Duration::from_millis(1));
    }
}

#[cfg(test)]
mod tests {
    use lb_core::wire::MacAddress;

    use super::*;

    #[test]
    fn a_port_means_its_vlans_too() {
        let port = |name, id| Interface::new(name, InterfaceId(id), MacAddress::BROADCAST, 1500);
        let vlan = Interface { vlan: Some(7), port: InterfaceId(0), ..port("lan0.7", 0) };
        let all = [port("lan0", 0), port("wan0", 1), vlan];
        assert_eq!(ids_of("lan0", &all).unwrap(), [InterfaceId(0), InterfaceId(2)]);
        assert_eq!(ids_of("lan0.7", &all).unwrap(), [InterfaceId(2)]);
        assert_eq!(ids_of("wan0", &all).unwrap(), [InterfaceId(1)]);
        let problem = ids_of("eth0", &all).unwrap_err();
        assert_eq!(problem, "no port or VLAN `eth0'; there are lan0, wan0, lan0.7");
    }
}
