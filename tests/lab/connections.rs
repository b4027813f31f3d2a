//! The lives of single connections: half-closed, reset, reused, and those whose server goes away.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::config::Config;
use crate::support::director::{ConnectionLine, Director};
use crate::support::lab::{Lab, VIP, eventually};
use crate::support::sockets::{TcpServer, connect, connect_echo, exchange, is_silent, reset};

const SOURCE_PORT: u16 = 40_000;

#[test]
fn a_half_closed_client_still_receives() {
    const CHUNK: usize = 64 << 10;
    let lab = Lab::one_segment();
    // Waits for the client's end of data, then takes its time with the answer.
    let _server = TcpServer::start(&lab, "rs1", 9, |mut stream| {
        let mut request = String::new();
        stream.read_to_string(&mut request)?;
        for _ in 0..20 {
            stream.write_all(&[b'x'; CHUNK])?;
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    });
    let config = Config::one_port().with_service(9, "rr", &["10.0.10.83"]);
    let director = Director::start(&lab, &config);

    let mut stream = connect(&lab, 9, None).expect("the server accepts");
    stream.write_all(b"request").expect("it is connected");
    stream.shutdown(Shutdown::Write).expect("it is connected");
    let mut answer = vec![0; CHUNK];
    stream.read_exact(&mut answer).expect("the first part arrives");
    assert_eq!(only(director.connections()).state, "FIN_WAIT");
    let rest = stream.read_to_end(&mut answer).expect("the rest arrives");

    assert_eq!(rest, 19 * CHUNK);
    assert!(answer.iter().all(|&byte| byte == b'x'));
}

#[test]
fn a_reset_closes_the_connection() {
    let lab = Lab::one_segment();
    let _server = TcpServer::echo(&lab, "rs1", 7);
    let config = Config::one_port().with_service(7, "rr", &["10.0.10.83"]);
    let director = Director::start(&lab, &config);
    let (stream, _) = connect_echo(&lab, 7, None);
    assert_eq!(only(director.connections()).state, "ESTABLISHED");

    reset(stream);

    eventually(Duration::from_secs(2), "state CLOSE", || {
        (only(director.connections()).state == "CLOSE").then_some(())
    });
    let server = director.server("10.0.10.83");
    assert_eq!((server.active, server.inactive), (0, 1));
    eventually(Duration::from_secs(15), "the end of the entry, 10 s after the reset", || {
        director.connections().is_empty().then_some(())
    });
    let server = director.server("10.0.10.83");
    assert_eq!((server.active, server.inactive), (0, 0));
}

/// The server closes first, so that the client may use its port again at once. The director has
/// seen the client's FIN only: the new handshake stays on the entry and on the server.
#[test]
fn a_port_reused_after_close_stays_on_its_server() {
    let lab = Lab::one_segment();
    let serve = |name: &'static str| {
        move |mut stream: std::net::TcpStream| {
            stream.write_all(name.as_bytes())?;
            stream.shutdown(Shutdown::Write)?;
            stream.read_to_end(&mut Vec::new()).map(drop)
        }
    };
    let _servers = [
        TcpServer::start(&lab, "rs1", 9, serve("rs1")),
        TcpServer::start(&lab, "rs2", 9, serve("rs2")),
    ];
    let config = Config::one_port().with_service(9, "rr", &["10.0.10.83", "10.0.10.84"]);
    let director = Director::start(&lab, &config);
    let visit = || {
        // The client's kernel has its port back when the server's last ACK has come.
        let (began, mut stream) = eventually(Duration::from_secs(2), "the port is free", || {
            let began = Instant::now();
            match connect(&lab, 9, Some(SOURCE_PORT)) {
                Err(error) if error.kind() == ErrorKind::AddrNotAvailable => None,
                result => Some((began, result.expect("the server accepts"))),
            }
        });
        let mut name = String::new();
        stream.read_to_string(&mut name).expect("the server says its name");
        assert!(began.elapsed() < Duration::from_millis(900), "a SYN was lost");
        name
    };

    let first = visit();
    for _ in 0..3 {
        assert_eq!(visit(), first);
    }
    assert_eq!(only(director.connections()).state, "FIN_WAIT");
}

/// After a reset the entry is CLOSE: a SYN from the same port is a new connection and is scheduled
/// anew (`conn_reuse_mode` 1), without the second that a lost SYN costs.
#[test]
fn a_port_reused_after_reset_is_scheduled_anew() {
    let lab = Lab::one_segment();
    let _servers = [TcpServer::echo(&lab, "rs1", 7), TcpServer::echo(&lab, "rs2", 7)];
    let config = Config::one_port().with_service(7, "rr", &["10.0.10.83", "10.0.10.84"]);
    let director = Director::start(&lab, &config);
    let mut last = String::new();
    for _ in 0..4 {
        let began = Instant::now();
        let (mut stream, name) = connect_echo(&lab, 7, Some(SOURCE_PORT));
        exchange(&mut stream, "hello");
        assert!(began.elapsed() < Duration::from_millis(900), "a SYN was lost");
        assert_ne!(name, last, "rr goes on to the next server");
        last = name;
        reset(stream);
        eventually(Duration::from_secs(2), "state CLOSE", || {
            (only(director.connections()).state == "CLOSE").then_some(())
        });
    }
}

#[test]
fn a_deleted_server_is_silent_and_resumes_when_it_returns() {
    let lab = Lab::one_segment();
    let _servers = [TcpServer::echo(&lab, "rs1", 7), TcpServer::echo(&lab, "rs2", 7)];
    let config = Config::one_port().with_service(7, "rr", &["10.0.10.83", "10.0.10.84"]);
    let director = Director::start(&lab, &config);
    let (mut stream, name) = connect_echo(&lab, 7, None);
    exchange(&mut stream, "before");
    let rip = if name == "rs1" { "10.0.10.83" } else { "10.0.10.84" };

    director.adm(&format!("-d -t {VIP}:7 -r {rip}"));
    stream.write_all(b"meanwhile\n").expect("the kernel takes it");
    assert!(is_silent(&mut stream, Duration::from_secs(1)), "neither answer nor reset");
    let entry = only(director.connections());
    assert_eq!((entry.state.as_str(), entry.server), ("ESTABLISHED", format!("{rip}:7")));
    assert_ne!(connect_echo(&lab, 7, None).1, name, "the other server gets what is new");

    director.adm(&format!("-a -t {VIP}:7 -r {rip} -g"));
    let mut answer = [0; 10];
    stream.read_exact(&mut answer).expect("what was sent meanwhile is sent again");
    assert_eq!(&answer, b"meanwhile\n");
    exchange(&mut stream, "after");
}

/// A client that never saw the director's side of a connection gets the reset of a closed port.
#[test]
fn a_stray_segment_is_answered_with_reset() {
    let lab = Lab::one_segment();
    let _server = TcpServer::echo(&lab, "rs1", 7);
    let config = Config::one_port().with_service(7, "rr", &["10.0.10.83"]);
    let (mut stream, director) = {
        let mut director = Director::start(&lab, &config);
        let (stream, _) = connect_echo(&lab, 7, None);
        director.signal("TERM");
        (stream, Director::start(&lab, &config))
    };
    // A late acknowledgement of the client's kernel may have brought the reset already.
    let written = stream.write_all(b"anyone\n");
    let error = written
        .and_then(|()| stream.read(&mut [0]).map(drop))
        .expect_err("the director does not know this connection");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(director.connections().is_empty());
}

fn only(mut connections: Vec<ConnectionLine>) -> ConnectionLine {
    assert_eq!(connections.len(), 1, "one connection expected: {connections:?}");
    connections.remove(0)
}
