//! `sluicectl top` on a real terminal, which is tmux's.

use std::process::Command;
use std::time::Duration;

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
