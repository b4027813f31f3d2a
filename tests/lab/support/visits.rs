//! Clients that ask for a page again and again, a connection each time, and what became of every
//! request; and connections that are held meanwhile.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use super::director::server_of;
use super::lab::{Lab, eventually};
use super::sockets::PATIENCE;

/// A request that has no answer by then has failed.
const REQUEST_MAX: Duration = Duration::from_secs(4);
/// Between two requests.
const PAUSE: Duration = Duration::from_millis(15);

/// A request and what became of it.
#[derive(Clone, Debug)]
pub(crate) struct Visit {
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
    /// The page, or what went wrong.
    pub(crate) page: Result<String, String>,
    /// Where the director had led it, if it failed.
    pub(crate) server: Option<String>,
}

/// A client that comes again and again until it is told to stop.
#[derive(Debug)]
pub(crate) struct Visits {
    stop: Arc<AtomicBool>,
    list: Arc<Mutex<Vec<Visit>>>,
    coming: Option<JoinHandle<()>>,
}

/// Why requests may fail that ran at a time: they had gone to a server that is dead or was removed,
/// or there was none at all.
#[derive(Clone, Debug)]
pub(crate) struct Excuse {
    pub(crate) server: Option<String>,
    pub(crate) from: Instant,
    pub(crate) to: Instant,
}

impl Visits {
    /// Begins to come from a host of the lab. The director at the control socket says where
    /// requests went that failed.
    pub(crate) fn start(lab: &Lab, host: &str, to: SocketAddr, socket: &Path) -> Self {
        let (stop, list) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (stopped, seen, socket) = (Arc::clone(&stop), Arc::clone(&list), socket.to_owned());
        let coming = lab.spawn_inside(host, move || {
            while !stopped.load(Ordering::Relaxed) {
                let visit = visit(to, &socket);
                seen.lock().unwrap_or_else(PoisonError::into_inner).push(visit);
                thread::sleep(PAUSE);
            }
        });
        Self { stop, list, coming: Some(coming) }
    }

    /// All requests so far.
    pub(crate) fn so_far(&self) -> Vec<Visit> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until so many more requests were answered, and so every one that runs now has ended.
    pub(crate) fn wait_for(&self, count: usize) {
        let answered = || self.so_far().iter().filter(|visit| visit.page.is_ok()).count();
        let before = answered();
        let what = format!("{count} more answers");
        let enough = || (answered() >= before + count).then_some(());
        eventually(Duration::from_secs(60), &what, enough);
    }

    /// Waits until a request that begins from now on is answered with this page.
    pub(crate) fn wait_for_page(&self, page: &str) {
        let now = Instant::now();
        let is_it =
            |visit: &Visit| visit.began >= now && visit.page.as_ref().is_ok_and(|p| p == page);
        eventually(Duration::from_secs(30), &format!("the page {page:?}"), || {
            self.so_far().iter().any(is_it).then_some(())
        });
    }

    /// Ends the coming; all requests.
    pub(crate) fn stop(mut self) -> Vec<Visit> {
        self.end();
        self.so_far()
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(coming) = self.coming.take() {
            let _panicked = coming.join();
        }
    }
}

impl Drop for Visits {
    fn drop(&mut self) {
        self.end();
    }
}

/// Panics if a request failed that has no excuse; says how many there were. They are returned.
pub(crate) fn explain(what: &str, visits: &[Visit], excuses: &[Excuse]) -> usize {
    let failed: Vec<&Visit> = visits.iter().filter(|visit| visit.page.is_err()).collect();
    let count = failed.len();
    let unexplained: Vec<_> =
        failed.into_iter().filter(|visit| !excuses.iter().any(|e| e.covers(visit))).collect();
    assert!(unexplained.is_empty(), "{what}: {unexplained:#?}\nexcuses: {excuses:#?}");
    println!("{what}: {} requests, {count} failed, each for a known reason", visits.len());
    count
}

impl Excuse {
    /// Does what is not without harm, and waits until it is over.
    pub(crate) fn during(server: Option<&str>, work: impl FnOnce()) -> Self {
        let from = Instant::now();
        work();
        Self { server: server.map(str::to_owned), from, to: Instant::now() }
    }

    fn covers(&self, visit: &Visit) -> bool {
        let is_then = visit.ended >= self.from && visit.began <= self.to;
        is_then && visit.server == self.server
    }
}

fn visit(to: SocketAddr, socket: &Path) -> Visit {
    let began = Instant::now();
    let mut port = 0;
    let mut fetch = || {
        let mut stream = connect(to, &mut port)?;
        ask(&mut stream, "close")?;
        answer(&stream)
    };
    let page = fetch().map_err(|error| error.to_string());
    let ended = Instant::now();
    let server = page.is_err().then(|| server_of(socket, port, to.port())).flatten();
    Visit { began, ended, page, server }
}

/// The next source port. None comes again soon: the director knows a connection whose client has
/// said its last for two minutes more, and a new one from the same port would go where that went.
fn source_port() -> u16 {
    const PORTS: (u16, u16) = (10_240, 22_000);
    static PASSED: AtomicU16 = AtomicU16::new(0);
    let (first, count) = PORTS;
    first + PASSED.fetch_add(1, Ordering::Relaxed) % count
}

/// Connects from a port that is known also if it fails.
fn connect(to: SocketAddr, port: &mut u16) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    *port = source_port();
    let any = match to {
        SocketAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    socket.bind(&SocketAddr::new(any, *port).into())?;
    socket.connect_timeout(&to.into(), REQUEST_MAX)?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(REQUEST_MAX))?;
    stream.set_write_timeout(Some(REQUEST_MAX))?;
    Ok(stream)
}

fn ask(stream: &mut TcpStream, connection: &str) -> io::Result<()> {
    let request = format!("GET / HTTP/1.1\r\nHost: lab\r\nConnection: {connection}\r\n\r\n");
    stream.write_all(request.as_bytes())
}

/// The page of a response, without the blanks around it.
fn answer(stream: &TcpStream) -> io::Result<String> {
    let mut reader = BufReader::new(stream);
    let (mut status, mut length) = (String::new(), 0);
    reader.read_line(&mut status)?;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line.trim_end().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
    }
    let mut page = vec![0; length];
    reader.read_exact(&mut page)?;
    if !status.contains(" 200 ") {
        return Err(io::Error::other(status));
    }
    Ok(String::from_utf8_lossy(&page).trim().to_owned())
}

/// A connection to a web server that stays open between requests.
#[derive(Debug)]
pub(crate) struct Held {
    stream: TcpStream,
    page: String,
}

impl Held {
    /// Connects from a host of the lab until the server is the one with that page.
    pub(crate) fn to(lab: &Lab, host: &str, to: SocketAddr, page: &str) -> Self {
        eventually(Duration::from_secs(20), &format!("a connection to {page} by {to}"), || {
            let connected = lab.inside(host, || connect(to, &mut 0)).and_then(|mut stream| {
                stream.set_read_timeout(Some(3 * PATIENCE))?;
                ask(&mut stream, "keep-alive")?;
                Ok((answer(&stream)?, stream))
            });
            let (got, stream) = connected.ok()?;
            (got == page).then(|| Self { stream, page: got })
        })
    }

    /// Another request is answered, by the same server.
    pub(crate) fn goes_on(&mut self) {
        self.ask();
        self.is_answered();
    }

    /// Sends a request.
    pub(crate) fn ask(&mut self) {
        ask(&mut self.stream, "keep-alive").expect("the connection takes a request");
    }

    /// Takes the answer to one.
    pub(crate) fn is_answered(&mut self) {
        let page = answer(&self.stream).expect("the connection is alive");
        assert_eq!(page, self.page, "the same server");
    }
}
