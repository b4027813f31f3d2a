//! The status page in a real browser. Chromium is a large package, so this is not among what
//! `make test` does: `make test-page`.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use crate::support::config::Config;
use crate::support::director::Director;
use crate::support::http::get;
use crate::support::lab::{Lab, VIP};
use crate::support::tools::{ab, pages};

const DIRECTOR: &str = "127.0.0.1:9107";
const FRAME: &str = "127.0.0.1:9200";

/// A page as wide as a phone with the status page in it, which measures that.
const PHONE: &str = "<!doctype html><iframe id=f src='/#open' style='width:390px;height:844px'></iframe>\
                     <script>setInterval(() => { const d = f.contentDocument.documentElement; \
                     document.body.dataset.width = d.scrollWidth + ' of ' + d.clientWidth; }, 200)\
                     </script>";

/// What the browser makes of an address in the host of the director: the page, and what it says of
/// mistakes.
fn dom(lab: &Lab, url: &str) -> (String, String) {
    let profile = tempfile::tempdir().expect("the folder for temporary files is writable");
    let output = lab
        .command("director", "timeout")
        .args(["60", "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"])
        .args(["--no-first-run", "--disable-background-networking", "--disable-component-update"])
        .args([
            "--disable-sync",
            "--hide-scrollbars",
            "--enable-logging=stderr",
            "--virtual-time-budget=6000",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(["--dump-dom", url])
        .output()
        .expect("ip is installed");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// Serves [`PHONE`], and all else as the director does, without the headers that forbid frames.
fn serve_frames(lab: &Lab) {
    let listener = lab.inside("director", || TcpListener::bind(FRAME)).expect("the port is free");
    lab.spawn_inside("director", move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut line = String::new();
            let _ = BufReader::new(&stream).read_line(&mut line);
            let path = line.split(' ').nth(1).unwrap_or("/").to_owned();
            let body = if path == "/phone" { PHONE.to_owned() } else { fetch(&path) };
            let kind = if path.ends_with(".json") { "application/json" } else { "text/html" };
            let length = body.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
                 Connection: close\r\n\r\n"
            );
            let _ = stream.write_all((head + &body).as_bytes());
            let _ = stream.shutdown(Shutdown::Write);
        }
    });
}

fn fetch(path: &str) -> String {
    // Real time has to pass between two looks.
    std::thread::sleep(Duration::from_millis(100));
    let mut stream = TcpStream::connect(DIRECTOR).expect("it listens");
    let request = format!("GET {path} HTTP/1.0\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let text = std::io::read_to_string(stream).expect("text");
    text.split_once("\r\n\r\n").expect("a head").1.to_owned()
}

#[test]
#[ignore = "needs Chromium: make test-page"]
fn the_page_shows_what_there_is_on_screens_of_all_sizes() {
    let lab = Lab::two_segments().with_web_at(8080);
    let config = Config::two_ports()
        .with(&format!("-t {VIP}:80"), "wlc", &["10.0.20.83:8080 -m", "10.0.20.84:8080 -m"])
        .with("-f 7", "rr", &[])
        .with_key(&format!("metrics: {{ listen: \"{DIRECTOR}\" }}"));
    let _director = Director::start(&lab, &config);
    assert_eq!(pages(&lab, "client", &format!("http://{VIP}/"), 2).len(), 2);
    ab(&lab, 200, 4);
    let _ = lab.try_run("client", &format!("curl -s -m 2 http://{VIP}:81/"));
    let served = get(&lab, "director", DIRECTOR, "/", "");
    assert_eq!(served.code, 200);
    for outside in ["src=\"", "href=\"http", "url(", "@import"] {
        assert!(!served.body.contains(outside), "a resource from outside: {outside}");
    }

    let (page, mistakes) = dom(&lab, &format!("http://{DIRECTOR}/#open"));
    let (_, body) = page.split_once("<body>").expect("a body");
    let (page, _) = body.split_once("<script>").expect("a script");
    for part in [
        "id=\"state\" class=\"good\"",
        &format!("tcp:{VIP}:80<small>wlc</small>"),
        "10.0.20.83:8080<span class=\"tag soft\">Masq</span>",
        "10.0.20.84:8080",
        "fwm:7",
        "No real servers.",
        "worker 0 \u{b7} CPU ",
        "flow table",
        "<b>backend0</b>",
        "class=\"reason\">no_service<",
        "2 of 2",
    ] {
        assert!(page.contains(part), "{part} in\n{page}");
    }
    assert!(!page.contains("class=\"shown\""), "a problem is shown:\n{page}");
    assert!(!page.contains("NaN") && !page.contains("undefined"), "{page}");
    for wrong in ["Uncaught", "Refused to", "Content Security Policy"] {
        assert!(!mistakes.contains(wrong), "{mistakes}");
    }

    serve_frames(&lab);
    let (phone, mistakes) = dom(&lab, &format!("http://{FRAME}/phone"));
    assert!(phone.contains("data-width=\"390 of 390\""), "{phone}\n{mistakes}");
}
