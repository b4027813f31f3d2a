//! `sluicectl top` on a real terminal, which is tmux's.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::support::config::Config;
use crate::support::director::{Director, program, reply};
use crate::support::lab::{Lab, VIP, eventually};
use crate::support::tools::curl_pages;

/// A tmux of the test's own, with one window.
struct Terminal(String);

impl Terminal {
    fn open(lab: &Lab, size: (u32, u32), line: &str) -> Self {
        let terminal = Self(lab.dir().join("tmux").display().to_string());
        let (width, height) = (size.0.to_string(), size.1.to_string());
        let new = ["new-session", "-d", "-x", &width, "-y", &height, line];
        terminal.ask(&[&["-f", "/dev/null"], &new[..]].concat());
        terminal
    }

    fn ask(&self, words: &[&str]) -> String {
        let reply = reply(Command::new("tmux").args(["-S", &self.0]).args(words));
        assert_eq!(reply.code, Some(0), "tmux {words:?}: {}", reply.stderr);
        reply.stdout
    }

    fn press(&self, keys: &[&str]) {
        self.ask(&[&["send-keys"], keys].concat());
    }

    /// Waits until all these texts are on the screen; returns it.
    fn wait_for(&self, texts: &[&str]) -> String {
        let what = format!("{texts:?} in\n{}", self.ask(&["capture-pane", "-p"]));
        eventually(Duration::from_secs(10), &what, || {
            let screen = self.ask(&["capture-pane", "-p"]);
            texts.iter().all(|text| screen.contains(text)).then_some(screen)
        })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It has ended by itself where its program has.
        let _ended = Command::new("tmux").args(["-S", &self.0, "kill-server"]).output();
    }
}

#[test]
fn top_shows_a_director_at_work() {
    let lab = Lab::one_segment().with_web();
    let config = Config::web("rr").with_service(443, "wlc", &["10.0.10.83"]);
    let mut director = Director::start(&lab, &config);
    let top =
        format!("{} --socket {}", program("sluicectl").display(), director.socket().display());

    let terminal = Terminal::open(&lab, (80, 24), &format!("{top} top -d 200ms; sleep 60"));
    let screen = terminal.wait_for(&["sluiced 0.", "tcp:10.0.10.100:80 ", "q quit"]);
    assert!(screen.lines().count() == 24, "{screen}");
    curl_pages(&lab, 3);
    assert!(!lab.try_run("client", &format!("curl -m 5 http://{VIP}:81/")).status.success());
    terminal.wait_for(&["dropped no_service ", " connections "].map(str::trim));

    terminal.press(&["s", "s", "s", "/", "4", "4", "3", "Enter"]);
    let screen = terminal.wait_for(&["  filter: 443", "tcp:10.0.10.100:443"]);
    assert!(!screen.contains("10.0.10.100:80 "), "{screen}");
    terminal.press(&["Escape"]);
    terminal.wait_for(&["tcp:10.0.10.100:80 "]);
    terminal.ask(&["resize-window", "-x", "110", "-y", "30"]);
    terminal.press(&["s", "s", "s", "Enter"]);
    terminal.wait_for(&["servers of tcp:10.0.10.100:", "10.0.10.83:"]);

    // Rates are known from the second look on; on paper there are neither keys nor colours.
    let text = director.ctl("top -b -n 2 -d 100ms");
    assert!(text.starts_with("sluiced 0.") && !text.contains('\u{1b}'), "{text}");
    assert!(text.contains("\ntcp:10.0.10.100:80 ") && !text.contains("q quit"), "{text}");
    assert!(director.signal("TERM").success());
    terminal.wait_for(&["cannot reach sluiced", "servers of"]);
    let refused = director.try_ctl("top -n 1");
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.starts_with("cannot reach sluiced"), "{}", refused.stderr);
    terminal.press(&["q"]);
    eventually(Duration::from_secs(5), "the terminal is given back", || {
        let screen = terminal.ask(&["capture-pane", "-p"]);
        (!screen.contains("servers of")).then_some(())
    });
}

/// As an orphan gets it: no SIGHUP, as the terminal is not its controlling one, but the end.
#[test]
fn top_ends_with_its_terminal() {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let terminal = openpt(flags).expect("there is a terminal");
    grantpt(&terminal).expect("it is ours");
    unlockpt(&terminal).expect("it is ours");
    let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&terminal, size).expect("it has a size");
    let inside: OwnedFd = ioctl_tiocgptpeer(&terminal, flags).expect("it has another side");
    let again = || Stdio::from(inside.try_clone().expect("a descriptor is free"));
    let mut top = Command::new(program("sluicectl"))
        .args(["--socket", "/run/nowhere.sock", "top", "-d", "100ms"])
        .env("TERM", "xterm")
        .stdin(again())
        .stdout(again())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program is there");
    drop(inside);
    let mut terminal = File::from(terminal);
    let mut screen = Vec::new();
    while !String::from_utf8_lossy(&screen).contains("cannot reach sluiced") {
        let mut piece = [0; 4096];
        let length = terminal.read(&mut piece).expect("it draws");
        screen.extend_from_slice(&piece[..length]);
    }
    assert!(top.try_wait().expect("it is our child").is_none(), "it waits for its director");
    drop(terminal);
    let end = std::time::Instant::now() + Duration::from_secs(1);
    while top.try_wait().expect("it is our child").is_none() {
        if std::time::Instant::now() > end {
            top.kill().expect("it is our child");
            top.wait().expect("it is our child");
            panic!("it runs on without a terminal");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
