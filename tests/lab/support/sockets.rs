//! Sockets in the hosts of a lab, for what no ordinary client does on command.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use super::lab::{Lab, VIP};

/// How long a read of the tests waits before it is a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A TCP server in a host of the lab, on all its addresses. Ends with its value.
#[derive(Debug)]
pub(crate) struct TcpServer {
    stop: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl TcpServer {
    /// Serves every connection in a thread of its own by `serve`.
    pub(crate) fn start(
        lab: &Lab,
        host: &str,
        port: u16,
        serve: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = lab.inside(host, || listen(port)).expect("the port is free in there");
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, serve) = (Arc::clone(&stop), Arc::new(serve));
        let accepting = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, _)) => {
                        let serve = Arc::clone(&serve);
                        // A connection that ends badly is for the client's side to judge.
                        thread::spawn(move || {
                            let _judged_by_the_client = stream
                                .set_nonblocking(false)
                                .and_then(|()| stream.set_read_timeout(Some(3 * PATIENCE)))
                                .and_then(|()| serve(stream));
                        });
                    }
                    Err(_) => thread::sleep(Duration::from_millis(2)),
                }
            }
        });
        Self { stop, accepting: Some(accepting) }
    }

    /// A server that says its host's name in a line, then sends back what it gets.
    pub(crate) fn echo(lab: &Lab, host: &'static str, port: u16) -> Self {
        Self::start(lab, host, port, move |mut stream| {
            stream.write_all(format!("{host}\n").as_bytes())?;
            let mut bytes = [0; 4096];
            loop {
                match stream.read(&mut bytes)? {
                    0 => return Ok(()),
                    count => stream.write_all(&bytes[..count])?,
                }
            }
        })
    }
}

impl Drop for TcpServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(accepting) = self.accepting.take() {
            let _ended = accepting.join();
        }
    }
}

/// A UDP server in a host of the lab that sends back what it gets, from the address it got it at.
#[derive(Debug)]
pub(crate) struct UdpEcho {
    stop: Arc<AtomicBool>,
    serving: Vec<JoinHandle<()>>,
}

impl UdpEcho {
    /// Listens on every address that the host has now: a socket on all of them would answer from
    /// the first.
    pub(crate) fn start(lab: &Lab, host: &str, port: u16) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let text = lab.run(host, "ip -o addr show scope global");
        let words = text.lines().filter_map(|line| line.split_whitespace().nth(3));
        let serving = words.filter_map(|word| word.split('/').next()?.parse::<IpAddr>().ok());
        let serve = |address| {
            let socket = lab.inside(host, || UdpSocket::bind((address, port))).expect("it is free");
            socket.set_read_timeout(Some(Duration::from_millis(100))).expect("not zero");
            let stopped = Arc::clone(&stop);
            thread::spawn(move || {
                let mut bytes = vec![0; 65_535];
                while !stopped.load(Ordering::Relaxed) {
                    if let Ok((length, from)) = socket.recv_from(&mut bytes) {
                        let _judged_by_the_client = socket.send_to(&bytes[..length], from);
                    }
                }
            })
        };
        let serving = serving.map(serve).collect();
        Self { stop, serving }
    }
}

impl Drop for UdpEcho {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for serving in self.serving.drain(..) {
            let _ended = serving.join();
        }
    }
}

fn listen(port: u16) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into())?;
    socket.listen(1024)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Connects from the lab's client to a port of the VIP, from a source port if one is given.
pub(crate) fn connect(lab: &Lab, port: u16, source_port: Option<u16>) -> io::Result<TcpStream> {
    connect_from(lab, "client", port, source_port)
}

/// The same from any host.
pub(crate) fn connect_from(
    lab: &Lab,
    host: &str,
    port: u16,
    source_port: Option<u16>,
) -> io::Result<TcpStream> {
    lab.inside(host, || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        if let Some(source_port) = source_port {
            socket.set_reuse_address(true)?;
            socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, source_port)).into())?;
        }
        let vip: Ipv4Addr = VIP.parse().expect("an IPv4 address");
        socket.connect_timeout(&SocketAddrV4::new(vip, port).into(), PATIENCE)?;
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    })
}

/// Begins so many connections from the lab's client to a port of the VIP, and does not wait.
pub(crate) fn start_connecting(lab: &Lab, port: u16, count: usize) -> Vec<Socket> {
    let vip: Ipv4Addr = VIP.parse().expect("an address");
    let begin = || -> io::Result<Socket> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        match socket.connect(&SocketAddr::from((vip, port)).into()) {
            // EINPROGRESS
            Err(error) if error.raw_os_error() == Some(115) => Ok(socket),
            Err(error) => Err(error),
            Ok(()) => Ok(socket),
        }
    };
    lab.inside("client", || (0..count).map(|_| begin().expect("a socket")).collect())
}

/// Connects to an echo server; the name that it says comes along.
pub(crate) fn connect_echo(lab: &Lab, port: u16, source_port: Option<u16>) -> (TcpStream, String) {
    connect_echo_from(lab, "client", port, source_port)
}

/// The same from any host.
pub(crate) fn connect_echo_from(
    lab: &Lab,
    host: &str,
    port: u16,
    source_port: Option<u16>,
) -> (TcpStream, String) {
    let mut stream = connect_from(lab, host, port, source_port).expect("the echo server accepts");
    let name = read_line(&mut stream);
    (stream, name)
}

/// Sends a line and takes it back.
pub(crate) fn exchange(stream: &mut TcpStream, line: &str) {
    writeln!(stream, "{line}").expect("the connection takes a line");
    assert_eq!(read_line(stream), line, "what the echo server sent back");
}

/// Whether nothing at all came for a while: no data, no end, no reset.
pub(crate) fn is_silent(stream: &mut TcpStream, time: Duration) -> bool {
    stream.set_read_timeout(Some(time)).expect("the time is not zero");
    let result = stream.read(&mut [0]);
    stream.set_read_timeout(Some(PATIENCE)).expect("the time is not zero");
    let kind = result.err().map(|error| error.kind());
    matches!(kind, Some(ErrorKind::WouldBlock | ErrorKind::TimedOut))
}

/// Ends a connection with RST instead of FIN.
pub(crate) fn reset(stream: TcpStream) {
    let socket = Socket::from(stream);
    socket.set_linger(Some(Duration::ZERO)).expect("linger can be set on a connected socket");
}

/// A line, without its end.
pub(crate) fn read_line(stream: &mut TcpStream) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        let count = stream.read(&mut byte).expect("the echo server answers in time");
        if count == 0 || byte[0] == b'\n' {
            return String::from_utf8_lossy(&line).into_owned();
        }
        line.push(byte[0]);
    }
}
