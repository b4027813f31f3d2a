//! As much of HTTP/1.1 as figures need: GET and HEAD without bodies, one answer after the other on
//! a connection. `httparse` reads the heads.
//!
//! Whoever is at the other end: a head is short and comes within seconds, and an answer is taken
//! within seconds, or the connection ends.

use std::any::Any;
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use httparse::{EMPTY_HEADER, Request, Status};

/// Bytes of a request's head, and headers in it, at most.
const HEAD_MAX: usize = 8 << 10;
const HEADERS_MAX: usize = 64;

/// How long the other side is waited for.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// A connection without a request is kept so long: longer than Prometheus waits between two.
    idle: Duration,
    /// A head has to come within that, once it has begun.
    head: Duration,
    /// An answer has to be taken within that.
    answer: Duration,
}

const PATIENCE: Patience = Patience {
    idle: Duration::from_secs(75),
    head: Duration::from_secs(5),
    answer: Duration::from_secs(20),
};

/// What carries requests and answers: a socket.
pub trait Stream: Read + Write {
    /// How long a read may wait; never 0.
    ///
    /// # Errors
    ///
    /// When the socket is gone.
    fn read_within(&self, time: Duration) -> io::Result<()>;
    /// How long a write may wait; never 0.
    ///
    /// # Errors
    ///
    /// When the socket is gone.
    fn write_within(&self, time: Duration) -> io::Result<()>;
}

impl Stream for std::net::TcpStream {
    fn read_within(&self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time))
    }

    fn write_within(&self, time: Duration) -> io::Result<()> {
        self.set_write_timeout(Some(time))
    }
}

impl Stream for &std::os::unix::net::UnixStream {
    fn read_within(&self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time))
    }

    fn write_within(&self, time: Duration) -> io::Result<()> {
        self.set_write_timeout(Some(time))
    }
}

/// A request that is understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Without what follows a question mark.
    pub path: String,
    /// What follows it; empty where there is none.
    pub query: String,
    /// Its `Accept` header.
    pub accept: Option<String>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    pub content_type: &'static str,
    pub body: String,
    /// What is let go once it was sent.
    pub held: Option<Box<dyn Any + Send>>,
}

impl Answer {
    /// What was asked for.
    pub const fn new(content_type: &'static str, body: String) -> Self {
        Self { code: 200, content_type, body, held: None }
    }

    /// Plain text.
    pub fn text(code: u16, text: &str) -> Self {
        Self { code, ..Self::new("text/plain; charset=utf-8", format!("{text}\n")) }
    }
}

/// What a head says besides the request.
struct Head {
    asked: Asked,
    has_body: bool,
    is_head: bool,
    keeps: bool,
}

/// Answers requests until the other side ends, or does what cannot be answered.
///
/// # Errors
///
/// Those of the stream.
pub fn serve(stream: impl Stream, answer: impl Fn(&Asked) -> Answer) -> io::Result<()> {
    serve_patiently(stream, PATIENCE, answer)
}

fn serve_patiently(
    mut stream: impl Stream,
    patience: Patience,
    answer: impl Fn(&Asked) -> Answer,
) -> io::Result<()> {
    let mut bytes = Vec::new();
    loop {
        let head = match read_head(&mut stream, &mut bytes, patience)? {
            Ok(Some(head)) => head,
            Ok(None) => return Ok(()),
            Err(refusal) => {
                return send(&mut stream, &refusal, false, false, patience);
            }
        };
        // What a body would be read as is the next request.
        let keeps = head.keeps && !head.has_body;
        send(&mut stream, &answer(&head.asked), head.is_head, keeps, patience)?;
        if !keeps {
            return Ok(());
        }
    }
}

/// The next head; `None` at the end. `bytes` keeps what came behind it.
fn read_head(
    stream: &mut impl Stream,
    bytes: &mut Vec<u8>,
    patience: Patience,
) -> io::Result<Result<Option<Head>, Answer>> {
    let mut end = Instant::now() + if bytes.is_empty() { patience.idle } else { patience.head };
    loop {
        match parse(bytes) {
            Ok(Some((head, length))) => {
                bytes.drain(..length);
                return Ok(Ok(Some(head)));
            }
            Ok(None) if bytes.len() >= HEAD_MAX => {
                return Ok(Err(Answer::text(431, "the head of the request is too long")));
            }
            Ok(None) => {}
            Err(refusal) => return Ok(Err(refusal)),
        }
        let mut buffer = [0; 2048];
        let room = buffer.len().min(HEAD_MAX - bytes.len());
        stream.read_within(remaining(end)?)?;
        let read = stream.read(&mut buffer[..room])?;
        if read == 0 {
            return Ok(Ok(None));
        }
        if bytes.is_empty() {
            end = Instant::now() + patience.head;
        }
        bytes.extend_from_slice(&buffer[..read]);
    }
}

/// A head at the beginning of `bytes`, and its length; `None`: there is more to come.
fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, Answer> {
    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
    let mut request = Request::new(&mut headers);
    let length = match request.parse(bytes) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Answer::text(431, "too many headers"));
        }
        Err(problem) => return Err(Answer::text(400, &format!("no HTTP request: {problem}"))),
    };
    let is_head = match request.method {
        Some("GET") => false,
        Some("HEAD") => true,
        _ => return Err(Answer::text(405, "only GET and HEAD are answered here")),
    };
    let header = |name: &str| {
        let found = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.map(|header| String::from_utf8_lossy(header.value).into_owned())
    };
    let has_body = header("transfer-encoding").is_some()
        || header("content-length").is_some_and(|length| length.trim() != "0");
    let connection = header("connection").unwrap_or_default().to_ascii_lowercase();
    let keeps = request.version == Some(1) && !connection.contains("close");
    let target = request.path.unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (path, query) = (path.to_owned(), query.to_owned());
    let asked = Asked { path, query, accept: header("accept") };
    Ok(Some((Head { asked, has_body, is_head, keeps }, length)))
}

/// Sends an answer; of one to HEAD, what is about it.
fn send(
    stream: &mut impl Stream,
    answer: &Answer,
    is_head: bool,
    keeps: bool,
    patience: Patience,
) -> io::Result<()> {
    let Answer { code, content_type, body, .. } = answer;
    let connection = if keeps { "keep-alive" } else { "close" };
    let allow = if *code == 405 { "Allow: GET, HEAD\r\n" } else { "" };
    // The page has all that it needs in itself, and asks nobody but us.
    let head = format!(
        "HTTP/1.1 {code} {}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\
         Connection: {connection}\r\n{allow}Cache-Control: no-store\r\n\
         X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n\
         Content-Security-Policy: default-src 'none'; script-src 'unsafe-inline'; \
         style-src 'unsafe-inline'; img-src data:; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'\r\n\r\n",
        reason(*code),
        body.len(),
    );
    let end = Instant::now() + patience.answer;
    write_all(stream, head.as_bytes(), end)?;
    if !is_head {
        write_all(stream, body.as_bytes(), end)?;
    }
    stream.flush()
}

fn write_all(stream: &mut impl Stream, mut bytes: &[u8], end: Instant) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.write_within(remaining(end)?)?;
        match stream.write(bytes)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => bytes = &bytes[written..],
        }
    }
    Ok(())
}

fn remaining(end: Instant) -> io::Result<Duration> {
    let left = end.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

const fn reason(code: u16) -> &'static str {
    match code {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Error",
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    /// A client that sends pieces, and what it got.
    #[derive(Default)]
    struct Client {
        pieces: RefCell<Vec<Vec<u8>>>,
        got: RefCell<Vec<u8>>,
        /// How long each read takes.
        pause: Duration,
        reads: Cell<usize>,
    }

    impl Read for &Client {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.reads.set(self.reads.get() + 1);
            std::thread::sleep(self.pause);
            let mut pieces = self.pieces.borrow_mut();
            let Some(piece) = pieces.first_mut() else { return Ok(0) };
            let size = piece.len().min(buffer.len());
            buffer[..size].copy_from_slice(&piece[..size]);
            piece.drain(..size);
            if piece.is_empty() {
                pieces.remove(0);
            }
            Ok(size)
        }
    }

    impl Write for &Client {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // As a socket that is nearly full.
            let size = bytes.len().min(7);
            self.got.borrow_mut().extend_from_slice(&bytes[..size]);
            Ok(size)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Stream for &Client {
        fn read_within(&self, _: Duration) -> io::Result<()> {
            Ok(())
        }

        fn write_within(&self, _: Duration) -> io::Result<()> {
            Ok(())
        }
    }

    fn answers(pieces: &[&str]) -> String {
        let pieces = pieces.iter().map(|piece| piece.as_bytes().to_vec()).collect();
        let client = Client { pieces: RefCell::new(pieces), ..Client::default() };
        let answer = |asked: &Asked| Answer::text(200, &format!("{} {}", asked.path, asked.query));
        let _ = serve(&client, answer);
        String::from_utf8(client.got.into_inner()).unwrap()
    }

    #[test]
    fn requests_on_one_connection_are_answered_in_order() {
        let got = answers(&["GET /a?b=c HTTP/1.1\r\nHo", "st: x\r\n\r\nHEAD /d HTTP/1.1\r\n\r\n"]);
        let parts: Vec<_> = got.split("HTTP/1.1 200 OK\r\n").collect();
        assert_eq!(parts.len(), 3, "{got}");
        assert!(parts[1].ends_with("\r\n\r\n/a b=c\n"), "{got}");
        assert!(parts[2].contains("Content-Length: 4\r\n") && parts[2].ends_with("\r\n\r\n"));
        assert!(!got.contains("Connection: close"));
    }

    #[test]
    fn who_wants_it_closed_has_it_closed() {
        for request in [
            "GET / HTTP/1.0\r\n\r\n",
            "GET / HTTP/1.1\r\nConnection: Close\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: 9\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n",
        ] {
            let got = answers(&[request]);
            assert!(got.contains("Connection: close\r\n") && !got.contains("smuggled"), "{got}");
            assert_eq!(got.matches("HTTP/1.1 ").count(), 1, "{got}");
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(HEAD_MAX));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(HEADERS_MAX + 1));
        for (request, code) in [
            ("nonsense\r\n\r\n", "400 Bad Request"),
            ("\0\0\0\0", "400 Bad Request"),
            ("GET / HTTP/9.9\r\n\r\n", "400 Bad Request"),
            ("POST /metrics HTTP/1.1\r\n\r\n", "405 Method Not Allowed"),
            (&long, "431 Request Header Fields Too Large"),
            (&many, "431 Request Header Fields Too Large"),
        ] {
            let got = answers(&[request]);
            assert!(got.starts_with(&format!("HTTP/1.1 {code}\r\n")), "{request:.40}: {got}");
            assert!(got.contains("Connection: close\r\n"), "{got}");
        }
        assert_eq!(answers(&["GET / HTT"]), "", "gone amidst a request");
        assert_eq!(answers(&[]), "");
    }

    /// A head that comes byte by byte is waited for as a whole, not by the byte.
    #[test]
    fn slow_heads_end() {
        let pieces = [b"GET / HTTP/1.1\r\nA: ".to_vec(), vec![b'x'; 6000]];
        let one_by_one = pieces.concat().chunks(1).map(<[u8]>::to_vec).collect();
        let patience = Patience { head: Duration::from_millis(200), ..PATIENCE };
        let pause = patience.head / 50;
        let client = Client { pieces: RefCell::new(one_by_one), pause, ..Client::default() };
        let begin = Instant::now();
        let problem = serve_patiently(&client, patience, |_| Answer::text(200, "")).unwrap_err();
        assert_eq!(problem.kind(), io::ErrorKind::TimedOut);
        assert!(client.reads.get() <= 51 && begin.elapsed() < patience.head * 10);
    }
}
