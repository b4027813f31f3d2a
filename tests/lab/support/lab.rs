//! A lab of network namespaces, made and removed by `net.sh` in a shell of its own.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The address of the service in every topology.
pub(crate) const VIP: &str = "10.0.10.100";
/// Its address in IPv6.
pub(crate) const VIP6: &str = "fd00:10::100";

/// A network. Dropping it removes namespaces, processes and files; so does the end of this process,
/// however it ends, because the shell that holds the network then reads the end of its input.
#[derive(Debug)]
pub(crate) struct Lab {
    prefix: String,
    dir: PathBuf,
    log: PathBuf,
    child: Mutex<Child>,
    shell: Mutex<Option<Shell>>,
    _turn: Turn,
}

#[derive(Debug)]
struct Shell {
    input: ChildStdin,
    replies: BufReader<ChildStdout>,
}

impl Lab {
    /// A lab without any host yet. Waits until few enough other labs run: each has a director that
    /// polls, and more of them than half the cores would only measure each other.
    pub(crate) fn new() -> Self {
        static LABS: AtomicU32 = AtomicU32::new(0);
        let turn = Turn::wait();
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("lab{}x{number}", std::process::id());
        let log = std::env::temp_dir().join(format!("{prefix}.log"));
        let mut child = Command::new("bash")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/lab/serve.sh"))
            .arg(&prefix)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).expect("the folder for temporary files is writable"))
            .spawn()
            .expect("bash is installed");
        let input = child.stdin.take().expect("piped above");
        let replies = BufReader::new(child.stdout.take().expect("piped above"));
        let mut shell = Shell { input, replies };
        let first = shell.reply();
        let Some(dir) = first.strip_prefix("dir ") else {
            let why = std::fs::read_to_string(&log).unwrap_or_default();
            let _removed = std::fs::remove_file(&log);
            panic!("no lab: {why}");
        };
        let dir = PathBuf::from(dir);
        let (child, shell) = (Mutex::new(child), Mutex::new(Some(shell)));
        Self { prefix, dir, log, child, shell, _turn: turn }
    }

    /// One Ethernet segment with a client (10.0.10.1), the real servers rs1 (10.0.10.83) and rs2
    /// (10.0.10.84) and a place for the director, whose wire is `dir0`.
    pub(crate) fn one_segment() -> Self {
        let lab = Self::new();
        lab.sh("lab_switch lan");
        lab.sh("lab_host client lan 10.0.10.1/24");
        lab.sh(&format!("lab_real_server rs1 lan 10.0.10.83/24 - {VIP}"));
        lab.sh(&format!("lab_real_server rs2 lan 10.0.10.84/24 - {VIP}"));
        lab.sh("lab_director director");
        lab.sh("lab_attach_director director dir0 lan");
        lab
    }

    /// [`Lab::one_segment`] with IPv6: the same hosts at fd00:10::1, ::83 and ::84, VIP [`VIP6`].
    pub(crate) fn both_families() -> Self {
        let lab = Self::new();
        lab.sh("lab_switch lan");
        lab.sh("lab_host client lan 10.0.10.1/24");
        lab.sh("lab_address6 client eth0 fd00:10::1/64");
        for (host, number) in [("rs1", 83), ("rs2", 84)] {
            let vips = format!("{VIP} {VIP6}");
            lab.sh(&format!("lab_real_server {host} lan 10.0.10.{number}/24 - {vips}"));
            lab.sh(&format!("lab_address6 {host} eth0 fd00:10::{number}/64"));
        }
        lab.sh("lab_director director");
        lab.sh("lab_attach_director director dir0 lan");
        lab
    }

    /// Two segments with the director between them. On `lan` the hosts client (10.0.10.1,
    /// fd00:10::1) and client2 (.2); on `backend` rs1 (10.0.20.83, fd00:20::83) and rs2 (.84).
    /// Their gateway is the director at .61, and they know of no VIP.
    pub(crate) fn two_segments() -> Self {
        let lab = Self::new();
        lab.sh("lab_switch lan");
        lab.sh("lab_switch backend");
        for (host, number) in [("client", 1), ("client2", 2)] {
            lab.sh(&format!("lab_host {host} lan 10.0.10.{number}/24"));
            lab.sh(&format!("lab_address6 {host} eth0 fd00:10::{number}/64"));
        }
        for (host, number) in [("rs1", 83), ("rs2", 84)] {
            lab.sh(&format!("lab_host {host} backend 10.0.20.{number}/24 10.0.20.61"));
            lab.sh(&format!("lab_address6 {host} eth0 fd00:20::{number}/64 fd00:20::61"));
        }
        lab.sh("lab_director director");
        lab.sh("lab_attach_director director dir0 lan");
        lab.sh("lab_attach_director director dir1 backend");
        lab
    }

    /// A client behind two routers with a link of MTU 1280 between them: `far`, at 10.0.40.1 and
    /// fd00:40::1. The nearer router is on `lan`, at 10.0.10.254 and fd00:10::254.
    pub(crate) fn with_far_client(self) -> Self {
        self.sh("lab_switch narrow");
        self.sh("lab_switch distant");
        self.sh("lab_router router");
        self.sh("lab_attach router eth0 lan 10.0.10.254/24");
        self.sh("lab_attach router eth1 narrow 10.0.30.254/24");
        self.sh("lab_router router2");
        self.sh("lab_attach router2 eth0 narrow 10.0.30.253/24");
        self.sh("lab_attach router2 eth1 distant 10.0.40.254/24");
        self.sh("lab_run router ip link set eth1 mtu 1280");
        self.sh("lab_run router2 ip link set eth0 mtu 1280");
        self.sh("lab_run router ip route add 10.0.40.0/24 via 10.0.30.253");
        self.sh("lab_run router2 ip route add default via 10.0.30.254");
        self.sh("lab_host far distant 10.0.40.1/24 10.0.40.254");
        self.sh("lab_address6 router eth0 fd00:10::254/64");
        self.sh("lab_address6 router eth1 fd00:30::254/64");
        self.sh("lab_address6 router2 eth0 fd00:30::253/64 fd00:30::254");
        self.sh("lab_address6 router2 eth1 fd00:40::254/64");
        self.sh("lab_run router ip route add fd00:40::/64 via fd00:30::253");
        self.sh("lab_address6 far eth0 fd00:40::1/64 fd00:40::254");
        self
    }

    /// Web servers on both real servers, whose pages are their names.
    pub(crate) fn with_web(self) -> Self {
        self.with_web_at(80)
    }

    /// The same on another port.
    pub(crate) fn with_web_at(self, port: u16) -> Self {
        self.sh(&format!("lab_nginx rs1 rs1 {port}"));
        self.sh(&format!("lab_nginx rs2 rs2 {port}"));
        self
    }

    /// Runs a command line of the lab's shell, mostly a function of `net.sh`.
    pub(crate) fn sh(&self, line: &str) {
        assert!(!line.contains('\n'), "one line at a time: {line:?}");
        let mut guard = self.shell.lock().unwrap_or_else(PoisonError::into_inner);
        let shell = guard.as_mut().expect("only dropped with the lab");
        writeln!(shell.input, "{line}").expect("the lab's shell reads");
        let reply = shell.reply();
        if reply != "ok" {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            panic!("the lab could not do `{line}`: {reply}\n{log}");
        }
    }

    /// A folder that goes away with the lab.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// A program to be run in a host.
    pub(crate) fn command(&self, host: &str, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(host)]).arg(program);
        command
    }

    /// What a command line printed in a host; it must succeed.
    pub(crate) fn run(&self, host: &str, line: &str) -> String {
        let output = self.try_run(host, line);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "`{line}` in {host}: {}\n{text}{errors}", output.status);
        text
    }

    /// A command line in a host, whatever comes of it.
    pub(crate) fn try_run(&self, host: &str, line: &str) -> Output {
        self.command(host, "sh").args(["-c", line]).output().expect("ip is installed")
    }

    /// Runs `work` with the network of a host: sockets made in it stay there.
    pub(crate) fn inside<T: Send>(&self, host: &str, work: impl FnOnce() -> T + Send) -> T {
        let entrance = self.entrance(host);
        thread::scope(|scope| {
            let inside = scope.spawn(move || {
                enter(&entrance);
                work()
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// A thread with the network of a host, which may outlive what calls it.
    pub(crate) fn spawn_inside<T: Send + 'static>(
        &self,
        host: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> thread::JoinHandle<T> {
        let entrance = self.entrance(host);
        thread::spawn(move || {
            enter(&entrance);
            work()
        })
    }

    /// The MAC address of a host's interface.
    pub(crate) fn mac(&self, host: &str, interface: &str) -> String {
        self.run(host, &format!("cat /sys/class/net/{interface}/address")).trim().to_owned()
    }

    fn namespace(&self, host: &str) -> String {
        format!("{}-{host}", self.prefix)
    }

    fn entrance(&self, host: &str) -> File {
        let path = format!("/run/netns/{}", self.namespace(host));
        File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        drop(self.shell.lock().unwrap_or_else(PoisonError::into_inner).take());
        let _ended = self.child.lock().unwrap_or_else(PoisonError::into_inner).wait();
        if thread::panicking() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            println!("-- the lab's shell\n{log}");
        }
        let _removed = std::fs::remove_file(&self.log);
    }
}

impl Shell {
    fn reply(&mut self) -> String {
        let mut line = String::new();
        self.replies.read_line(&mut line).expect("the lab's shell answers in text");
        line.trim_end().to_owned()
    }
}

/// Moves the calling thread into a network namespace, for good.
fn enter(entrance: &File) {
    use std::os::fd::AsRawFd;
    // SAFETY: setns reads no memory of ours; the descriptor is open as long as `entrance` lives.
    let status = unsafe { libc::setns(entrance.as_raw_fd(), libc::CLONE_NEWNET) };
    assert_eq!(status, 0, "setns: {}", std::io::Error::last_os_error());
}

/// Asks `question` until it has an answer. Panics, saying what was waited for, after `timeout`.
pub(crate) fn eventually<T>(
    timeout: Duration,
    what: &str,
    mut question: impl FnMut() -> Option<T>,
) -> T {
    let end = Instant::now() + timeout;
    loop {
        if let Some(answer) = question() {
            return answer;
        }
        assert!(Instant::now() < end, "not within {timeout:?}: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// The right to run a lab now.
#[derive(Debug)]
struct Turn;

static RUNNING: Mutex<usize> = Mutex::new(0);
static ENDED: Condvar = Condvar::new();

impl Turn {
    fn wait() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let most = (cores / 2).max(1);
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        while *running >= most {
            running = ENDED.wait(running).unwrap_or_else(PoisonError::into_inner);
        }
        *running += 1;
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        ENDED.notify_one();
    }
}
