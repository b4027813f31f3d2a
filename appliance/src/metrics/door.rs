//! Where figures are asked for: listening sockets, and what is answered at which path.
//!
//! Each connection has a thread of its own, of which there is a small number. The threads keep off
//! the workers' CPUs where there are others. As many answers are made at once as do not matter to
//! the memory; further ones wait for their turn.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::Exporter;
use super::exposition::Format;
use super::http::{self, Answer, Asked};
use crate::control::asker::{Asker, Rights};
use crate::control::listener::{Carries, Conversation, Listener, ListenerError};
use crate::control::permissions::Permissions;
use crate::lock::lock;
use crate::logging;

/// The status page: all of it in one file.
const PAGE: &str = include_str!("page.html");
/// Connections over TCP at once, all together and of one address.
const CONNECTIONS_MAX: usize = 64;
const CONNECTIONS_EACH: usize = 16;
/// Answers that are made or sent at once.
const ANSWERS_MAX: usize = 4;
/// An answer waits so long for its turn.
const TURN_TIME: Duration = Duration::from_secs(10);

/// Why figures cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum MetricsDoorError {
    #[error(
        "metrics.listen {address}: {source}; choose another port, or an address that this host has"
    )]
    Listen { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Socket(#[from] ListenerError),
}

/// Open sockets. Nobody is answered before [`MetricsDoor::serve`].
#[derive(Debug)]
pub struct MetricsDoor {
    tcp: Vec<TcpListener>,
    unix: Option<Listener>,
    permissions: Arc<Permissions>,
}

impl MetricsDoor {
    /// Opens the sockets.
    ///
    /// # Errors
    ///
    /// The first one that cannot be had.
    pub fn open(
        listen: &[SocketAddr],
        socket: Option<&Path>,
        permissions: &Arc<Permissions>,
    ) -> Result<Self, MetricsDoorError> {
        let tcp = listen.iter().map(|&address| {
            TcpListener::bind(address)
                .map_err(|source| MetricsDoorError::Listen { address, source })
        });
        let tcp = tcp.collect::<Result<_, _>>()?;
        let unix =
            socket.map(|path| Listener::open("metrics.socket", path, Carries::Bytes, permissions));
        Ok(Self { tcp, unix: unix.transpose()?, permissions: Arc::clone(permissions) })
    }

    /// What the operator should know about who can open it.
    pub fn note(&self) -> Option<&str> {
        self.unix.as_ref().and_then(Listener::note)
    }

    /// Answers until the process ends, on threads that keep off `worker_cpus`.
    ///
    /// # Errors
    ///
    /// When the system has no thread left.
    pub fn serve(&self, exporter: Exporter, worker_cpus: &[usize]) -> io::Result<()> {
        let answers =
            Arc::new(Answers { exporter, turns: Arc::default(), cpus: cpus_besides(worker_cpus) });
        for listener in &self.tcp {
            let (listener, answers) = (listener.try_clone()?, Arc::clone(&answers));
            let work = move || accept(&listener, &answers);
            thread::Builder::new().name("metrics".to_owned()).spawn(work)?;
        }
        if let Some(unix) = &self.unix {
            unix.serve(UnixDoor { answers, permissions: Arc::clone(&self.permissions) })?;
        }
        Ok(())
    }
}

/// The CPUs of this process that have no worker, if there are any.
fn cpus_besides(worker_cpus: &[usize]) -> Option<CpuSet> {
    let mut cpus = sched_getaffinity(None).ok()?;
    for &cpu in worker_cpus.iter().filter(|&&cpu| cpu < CpuSet::MAX_CPU) {
        cpus.unset(cpu);
    }
    (cpus.count() > 0).then_some(cpus)
}

/// Takes connections over TCP, each to a thread of its own.
fn accept(listener: &TcpListener, answers: &Arc<Answers>) {
    let places = Arc::new(Places::default());
    answers.keep_off();
    for stream in listener.incoming() {
        let Ok(stream) = stream else {
            // Out of file descriptors, most likely: let some connections end.
            thread::sleep(Duration::from_millis(100));
            continue;
        };
        let Ok(address) = stream.peer_addr() else { continue };
        let Some(place) = Places::take(&places, address.ip()) else {
            refuse(stream);
            continue;
        };
        let answers = Arc::clone(answers);
        let talk = move || {
            // A client that goes away mid-sentence is no matter.
            let _ = answers.converse(stream);
            drop(place);
        };
        // Without a thread, the connection ends and its place is free again.
        let _ = thread::Builder::new().name("metrics-client".to_owned()).spawn(talk);
    }
}

/// Says that there is no room. The listening thread does not wait for that client.
fn refuse(stream: TcpStream) {
    if stream.set_nonblocking(true).is_ok() {
        let _ = http::serve(stream, |_| Answer::text(503, "too many connections, try again later"));
    }
}

/// Who answers on the Unix socket.
struct UnixDoor {
    answers: Arc<Answers>,
    permissions: Arc<Permissions>,
}

impl Conversation for UnixDoor {
    const NAME: &str = "metrics";

    fn converse(&self, stream: &UnixStream) -> io::Result<()> {
        let asker = Asker::at(stream, &self.permissions)?;
        match asker.check(Rights::Read) {
            Ok(()) => self.answers.converse(stream),
            Err(refusal) => http::serve(stream, |_| Answer::text(403, &refusal)),
        }
    }

    fn refuse(&self, stream: &UnixStream) -> io::Result<()> {
        http::serve(stream, |_| Answer::text(503, "too many connections, try again later"))
    }
}

/// What all connections share.
struct Answers {
    exporter: Exporter,
    turns: Arc<Turns>,
    cpus: Option<CpuSet>,
}

impl Answers {
    /// Keeps the calling thread off the workers' CPUs.
    fn keep_off(&self) {
        if let Some(cpus) = &self.cpus {
            // Where it may not choose, it floats.
            let _ = sched_setaffinity(None, cpus);
        }
    }

    fn converse(&self, stream: impl http::Stream) -> io::Result<()> {
        self.keep_off();
        http::serve(stream, |asked| self.answer(asked))
    }

    fn answer(&self, asked: &Asked) -> Answer {
        let (path, answer) = match asked.path.as_str() {
            "/metrics" => ("/metrics", self.metrics(asked)),
            "/healthz" => ("/healthz", state("ok", self.exporter.unwell())),
            "/readyz" => ("/readyz", state("ready", self.exporter.unready())),
            "/" => ("/", Answer::new("text/html; charset=utf-8", PAGE.to_owned())),
            "/status.json" => ("/status.json", self.status()),
            _ => (
                "other",
                Answer::text(404, "there are /, /status.json, /metrics, /healthz, /readyz"),
            ),
        };
        log::debug!(target: logging::METRICS, path, code = answer.code; "request");
        self.exporter.tally().request(path, answer.code);
        answer
    }

    fn metrics(&self, asked: &Asked) -> Answer {
        let format = Format::accepted(asked.accept.as_deref());
        self.in_turn(format.content_type(), || self.exporter.metrics(format))
    }

    fn status(&self) -> Answer {
        self.in_turn("application/json", || self.exporter.status())
    }

    /// A large answer, once it is its turn.
    fn in_turn(&self, content_type: &'static str, body: impl FnOnce() -> String) -> Answer {
        match Turns::take(&self.turns) {
            Some(turn) => {
                Answer { held: Some(Box::new(turn)), ..Answer::new(content_type, body()) }
            }
            None => Answer::text(503, "too many ask at a time, try again later"),
        }
    }
}

/// All is well, or what is not.
fn state(well: &str, problem: Option<String>) -> Answer {
    match problem {
        None => Answer::text(200, well),
        Some(problem) => Answer::text(503, &problem),
    }
}

/// The places of TCP connections.
#[derive(Debug, Default)]
struct Places(Mutex<Vec<IpAddr>>);

/// A place; it is free again when dropped.
#[derive(Debug)]
struct Place {
    places: Arc<Places>,
    address: IpAddr,
}

impl Places {
    fn take(places: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let mut taken = lock(&places.0);
        let of_address = taken.iter().filter(|other| **other == address).count();
        if taken.len() >= CONNECTIONS_MAX || of_address >= CONNECTIONS_EACH {
            return None;
        }
        taken.push(address);
        drop(taken);
        Some(Place { places: Arc::clone(places), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = lock(&self.places.0);
        if let Some(at) = taken.iter().position(|other| *other == self.address) {
            taken.swap_remove(at);
        }
    }
}

/// Turns to make a large answer.
#[derive(Debug, Default)]
struct Turns {
    taken: Mutex<usize>,
    ended: Condvar,
}

/// A turn; it is over when dropped.
struct Turn(Arc<Turns>);

impl Turns {
    /// A turn, once there is one; `None` where that takes too long.
    fn take(turns: &Arc<Self>) -> Option<Turn> {
        let full = |taken: &mut usize| *taken >= ANSWERS_MAX;
        let (mut taken, result) = turns
            .ended
            .wait_timeout_while(lock(&turns.taken), TURN_TIME, full)
            .unwrap_or_else(PoisonError::into_inner);
        if result.timed_out() {
            return None;
        }
        *taken += 1;
        drop(taken);
        Some(Turn(Arc::clone(turns)))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *lock(&self.0.taken) -= 1;
        self.0.ended.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_few_and_free_again() {
        let places = Arc::new(Places::default());
        let of = |last: u8| IpAddr::from([10, 0, 0, last]);
        let mut kept: Vec<_> = (0..).map_while(|_| Places::take(&places, of(1))).collect();
        assert_eq!(kept.len(), CONNECTIONS_EACH);
        kept.extend((0..200).filter_map(|n| Places::take(&places, of(n % 50 + 2))));
        assert_eq!(kept.len(), CONNECTIONS_MAX);
        assert!(Places::take(&places, of(200)).is_none());
        kept.remove(0);
        kept.push(Places::take(&places, of(1)).unwrap());
        drop(kept);
        assert!(lock(&places.0).is_empty());
    }

    #[test]
    fn a_taken_port_is_named_with_a_way_out() {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = other.local_addr().unwrap();
        let problem =
            MetricsDoor::open(&[address], None, &Arc::new(Permissions::own())).unwrap_err();
        let text = problem.to_string();
        assert!(text.starts_with(&format!("metrics.listen {address}: ")), "{text}");
        assert!(text.ends_with("; choose another port, or an address that this host has"));
    }

    #[test]
    fn threads_keep_off_the_cpus_of_workers_where_there_are_others() {
        let all = sched_getaffinity(None).unwrap();
        let cpus: Vec<_> = (0..CpuSet::MAX_CPU).filter(|&cpu| all.is_set(cpu)).collect();
        assert!(cpus_besides(&cpus).is_none());
        if let [first, .., last] = cpus[..] {
            let rest = cpus_besides(&[first]).unwrap();
            assert!(!rest.is_set(first) && rest.is_set(last));
        }
    }
}
