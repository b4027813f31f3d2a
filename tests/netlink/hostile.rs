//! Clients that mean harm, or are broken: whatever they do on either socket, others get their
//! answers meanwhile, memory stays bounded, and threads end.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketType};

use crate::director::{Director, outcome};

/// Until something must have happened; the director's own patience is a minute.
const PATIENCE: Duration = Duration::from_secs(240);
/// Connections of one process: `SHARE_MAX` of the code.
const SHARE: usize = 64;
/// Memory that a flood may cost. What it sends is many times as much.
const ROOM_KIB: u64 = 200 << 10;

fn control(director: &Director) -> UnixStream {
    UnixStream::connect(director.control_socket()).unwrap()
}

/// What is written to it is one datagram each.
fn netlink(director: &Director) -> UnixStream {
    let kind = SocketType::SEQPACKET;
    let socket = net::socket(AddressFamily::UNIX, kind, None).unwrap();
    net::connect(&socket, &SocketAddrUnix::new(director.netlink_socket()).unwrap()).unwrap();
    socket.into()
}

/// A number of `/proc/PID/status`.
fn status(director: &Director, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/status", director.pid())).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_matches([':', ' ', '\t']).split(' ').next().unwrap().parse().unwrap()
}

fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Somebody else's programs work by both sockets.
fn others_are_served(director: &Director, services: usize) {
    let listed = director.adm("-Ln");
    assert_eq!(listed.exit, Some(0), "{listed:?}");
    assert_eq!(listed.stdout.matches("TCP ").count(), services);
    let listed = outcome(director.exec().args(["ipvsadm", "-Ln"]));
    assert_eq!(listed.exit, Some(0), "{listed:?}");
    assert_eq!(listed.stdout.matches("TCP ").count(), services);
}

/// Sends the same again and again until nobody listens any more; how much went.
fn pour(mut to: impl Write, bytes: &[u8], most: u64) -> u64 {
    let mut sent = 0;
    while sent < most && to.write_all(bytes).is_ok() {
        sent += bytes.len() as u64;
    }
    sent
}

fn message(mut stream: UnixStream) -> String {
    let mut answer = Vec::new();
    // What was sent in vain makes the end a reset.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn endless_lines_and_inputs_are_cut_off() {
    let director = Director::start();
    let (threads, memory) = (status(&director, "Threads"), status(&director, "VmHWM"));
    let line = vec![b'a'; 1 << 20];
    let stream = control(&director);
    assert!(pour(&stream, &line, 1 << 30) < 4 << 20);
    assert!(message(stream).contains("a request line is at most 65536 bytes long"));

    let stream = control(&director);
    (&stream).write_all(b"-R\n").unwrap();
    assert!(pour(&stream, &line, 1 << 30) < 4 << 20);
    assert!(message(stream).contains("the input is too long"));

    let mut lines = vec![b'a'; 32 << 10];
    *lines.last_mut().unwrap() = b'\n';
    let stream = control(&director);
    (&stream).write_all(b"-R\n").unwrap();
    let sent = thread::scope(|scope| {
        let flood = scope.spawn(|| pour(&stream, &lines, 1 << 30));
        others_are_served(&director, 0);
        flood.join().unwrap()
    });
    assert!((60 << 20..80 << 20).contains(&sent), "{sent} bytes went");
    assert!(message(stream).contains("the input is too long"));

    // A datagram that is too long ends its connection.
    let mut socket = netlink(&director);
    socket.write_all(&line[..100 << 10]).unwrap();
    assert_eq!(socket.read(&mut [0; 10]).unwrap_or(0), 0);

    others_are_served(&director, 0);
    let cost = status(&director, "VmHWM") - memory;
    assert!(cost < ROOM_KIB, "{cost} KiB");
    eventually("threads end", || status(&director, "Threads") == threads);
}

#[test]
fn a_thousand_connections_leave_places_for_others() {
    let director = Director::start();
    let threads = status(&director, "Threads");
    let controls: Vec<_> = (0..1000).map(|_| control(&director)).collect();
    let netlinks: Vec<_> = (0..1000).map(|_| netlink(&director)).collect();
    others_are_served(&director, 0);
    // Those that are too many are told, or ended; the others wait.
    let count = |waits: &mut dyn Iterator<Item = bool>| waits.filter(|&waits| waits).count();
    let waits = count(&mut controls.into_iter().map(|mut stream| {
        stream.set_nonblocking(true).unwrap();
        let mut answer = [0; 200];
        match stream.read(&mut answer) {
            Ok(size) => {
                let text = String::from_utf8_lossy(&answer[..size]);
                assert!(text.contains("too many control connections"), "{text}");
                false
            }
            Err(problem) => problem.kind() == ErrorKind::WouldBlock,
        }
    }));
    assert_eq!(waits, SHARE);
    let waits = count(&mut netlinks.into_iter().map(|mut socket| {
        socket.set_nonblocking(true).unwrap();
        socket.read(&mut [0; 10]).is_err_and(|p| p.kind() == ErrorKind::WouldBlock)
    }));
    assert_eq!(waits, SHARE);
    eventually("threads end", || status(&director, "Threads") == threads);
    others_are_served(&director, 0);
}

/// Half a line, half an input, half a message, and answers that nobody reads: each costs a thread,
/// until the director has no more patience. A program of netlink may be silent for as long as it
/// likes.
#[test]
fn who_stops_in_the_middle_is_left_alone() {
    const SERVICES: usize = 2000;
    let director = Director::start();
    let threads = status(&director, "Threads");
    let mut stream = control(&director);
    let services = (0..SERVICES).map(|n| format!("-A -t 10.1.{}.{}:80\n", n / 200, n % 200 + 1));
    let input = services.collect::<String>();
    stream.write_all(format!("-R\n{input}.\n").as_bytes()).unwrap();
    stream.read_exact(&mut [0; 10]).unwrap();
    drop(stream);
    others_are_served(&director, SERVICES);
    let memory = status(&director, "VmHWM");

    let mut held = Vec::new();
    for text in ["-L", "-R\n-A -t", "-R\n-A -t 10.2.0.1:80\n", ""] {
        for _ in 0..8 {
            let mut stream = control(&director);
            stream.write_all(text.as_bytes()).unwrap();
            held.push(stream);
        }
    }
    for _ in 0..16 {
        let stream = control(&director);
        stream.set_nonblocking(true).unwrap();
        // More questions than the socket holds answers to.
        pour(&stream, b"-Ln\n", 1 << 20);
        held.push(stream);
    }
    let asked: Vec<_> = (0..16)
        .map(|_| {
            let socket = netlink(&director);
            socket.set_nonblocking(true).unwrap();
            pour(&socket, &list_services(), 1 << 20);
            socket
        })
        .collect();
    let half: Vec<_> = (0..16)
        .map(|_| {
            let mut socket = netlink(&director);
            socket.write_all(&list_services()[..10]).unwrap();
            socket
        })
        .collect();
    others_are_served(&director, SERVICES);
    let cost = status(&director, "VmHWM").saturating_sub(memory);
    assert!(cost < ROOM_KIB, "{cost} KiB");

    // All are still connected, and have no thread any more, but for those that may be silent.
    let silent = half.len() as u64;
    eventually("threads end", || status(&director, "Threads") == threads + silent);
    others_are_served(&director, SERVICES);
    drop((held, asked, half));
    eventually("the last threads end", || status(&director, "Threads") == threads);
}

/// A dump of all services: header, family header.
fn list_services() -> Vec<u8> {
    let mut message = Vec::new();
    message.extend(20_u32.to_ne_bytes());
    message.extend(28_u16.to_ne_bytes());
    message.extend(0x301_u16.to_ne_bytes());
    message.extend([0; 8]);
    message.extend([4, 1, 0, 0]);
    message
}

#[test]
fn random_bytes_change_nothing() {
    let director = Director::start();
    let threads = status(&director, "Threads");
    assert_eq!(director.adm("-A -t 10.0.0.1:80 -s rr").exit, Some(0));
    let before = director.adm("-Sn").stdout;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |most: usize| -> Vec<u8> {
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let size = usize::try_from(next()).unwrap() % most + 1;
        (0..size).map(|_| next().to_le_bytes()[3]).collect()
    };
    for round in 0..40 {
        let mut stream = control(&director);
        // It may have had enough before.
        let _ = stream.write_all(&random(20_000));
        drop(stream);
        let mut socket = netlink(&director);
        for _ in 0..20 {
            let mut datagram = random(2000);
            // Half of them look like a message of a family that there is.
            if datagram.len() > 24 && datagram[0] & 1 == 1 {
                let size = u32::try_from(datagram.len()).unwrap();
                datagram[..4].copy_from_slice(&size.to_ne_bytes());
                let family = if datagram[1] & 1 == 1 { 28 } else { 29_u16 };
                datagram[4..6].copy_from_slice(&family.to_ne_bytes());
                datagram[6] |= 1;
                // Not the one that clears the table, which needs nothing but its number.
                datagram[16] %= 16;
            }
            let _ = socket.write_all(&datagram);
        }
        if round % 10 == 0 {
            others_are_served(&director, 1);
        }
    }
    assert_eq!(director.adm("-Sn").stdout, before);
    eventually("threads end", || status(&director, "Threads") == threads);
}
