//! The end of the terminal: its window was closed, the connection to it was lost.
//!
//! The kernel sends SIGHUP then, but not to everybody: not to what runs in the background, under
//! another session, or beneath something that swallows it. And the reader of keys takes the end of
//! its input for a reason to read again, at once and for ever. So the terminal itself is watched.

use std::io;
use std::os::fd::AsFd;
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// The exit code: what a shell shows for a program that SIGHUP ended.
const HUNG_UP: i32 = 129;

/// Ends the process as soon as the terminal at its standard input has gone. There is nothing left
/// to be given back, and nobody to be told.
///
/// # Errors
///
/// When the system has no thread left.
pub fn watch() -> io::Result<()> {
    let work = || {
        wait(&io::stdin());
        std::process::exit(HUNG_UP);
    };
    thread::Builder::new().name("hangup".to_owned()).spawn(work).map(drop)
}

/// Returns when the other end has gone.
fn wait(terminal: &impl AsFd) {
    loop {
        // Nothing is asked for: the end is told nevertheless, and keys are not.
        let mut looked_at = [PollFd::new(terminal, PollFlags::empty())];
        match poll(&mut looked_at, None) {
            Err(Errno::INTR) => {}
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::*;

    #[test]
    fn input_is_no_end() {
        let (here, there) = UnixStream::pair().unwrap();
        io::Write::write_all(&mut &there, b"q").unwrap();
        let waiting = thread::spawn(move || wait(&here));
        thread::sleep(Duration::from_millis(50));
        assert!(!waiting.is_finished());
        drop(there);
        waiting.join().unwrap();
    }
}
