//! The director under test: `sluiced` in a lab, and the two programs that talk to it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use super::config::Config;
use super::lab::{Lab, eventually};

/// A running `sluiced`. On failure of a test it shows what there is to see, then it is ended.
#[derive(Debug)]
pub(crate) struct Director<'lab> {
    _lab: &'lab Lab,
    child: Child,
    log: PathBuf,
    socket: PathBuf,
}

/// How a program ended and what it printed.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A server line of `sluiceadm -Ln`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerLine {
    pub(crate) address: String,
    pub(crate) forward: String,
    pub(crate) weight: u32,
    pub(crate) active: u32,
    pub(crate) inactive: u32,
}

/// A line of `sluiceadm -Lnc`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionLine {
    pub(crate) protocol: String,
    pub(crate) state: String,
    pub(crate) client: String,
    pub(crate) virtual_end: String,
    pub(crate) server: String,
}

impl<'lab> Director<'lab> {
    /// Starts a director in the lab's host `director` and waits until it forwards.
    pub(crate) fn start(lab: &'lab Lab, config: &Config) -> Self {
        Self::start_in(lab, "director", config)
    }

    /// The same in any host.
    pub(crate) fn start_in(lab: &'lab Lab, host: &str, config: &Config) -> Self {
        Self::start_with(lab, host, config, &[])
    }

    /// The same with variables of its environment.
    pub(crate) fn start_with(
        lab: &'lab Lab,
        host: &str,
        config: &Config,
        environment: &[(&str, &str)],
    ) -> Self {
        let mut director = Self::spawn(lab, host, config, environment);
        eventually(Duration::from_secs(60), "\"sluiced: ready\"", || {
            let text = director.messages();
            if let Ok(Some(status)) = director.child.try_wait() {
                panic!("sluiced ended while starting: {status}");
            }
            text.lines().any(|line| line.starts_with("sluiced: ready")).then_some(())
        });
        director
    }

    fn spawn(lab: &'lab Lab, host: &str, config: &Config, environment: &[(&str, &str)]) -> Self {
        let socket = socket_in(lab, host);
        let yaml = config.yaml(&socket);
        let path = lab.dir().join(format!("{host}.yaml"));
        std::fs::write(&path, yaml).expect("the lab's folder is writable");
        let log = lab.dir().join(format!("{host}-sluiced.log"));
        let both = File::create(&log).expect("the lab's folder is writable");
        let child = lab
            .command(host, program("sluiced"))
            .arg("--config")
            .arg(&path)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(both.try_clone().expect("a descriptor is free"))
            .stderr(both)
            .spawn()
            .expect("ip is installed");
        Self { _lab: lab, child, log, socket }
    }

    /// All that sluiced has printed.
    pub(crate) fn messages(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The control socket.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What `sluiceadm` prints for a command line; it must succeed.
    pub(crate) fn adm(&self, line: &str) -> String {
        self.ask("sluiceadm", line).successful(line)
    }

    /// What `sluicectl` prints for a subcommand; it must succeed.
    pub(crate) fn ctl(&self, line: &str) -> String {
        self.ask("sluicectl", line).successful(line)
    }

    /// How `sluicectl` ends with a subcommand, whatever comes of it.
    pub(crate) fn try_ctl(&self, line: &str) -> Reply {
        self.ask("sluicectl", line)
    }

    /// How one of the two programs ends with a command line, whatever comes of it.
    pub(crate) fn ask(&self, name: &str, line: &str) -> Reply {
        // A director that hangs must fail the test, not hang it.
        let mut command = Command::new("timeout");
        command
            .arg("20")
            .arg(program(name))
            .arg("--socket")
            .arg(&self.socket)
            .args(line.split_whitespace());
        reply(&mut command)
    }

    /// The server lines of `-Ln`, in the order listed.
    pub(crate) fn servers(&self) -> Vec<ServerLine> {
        self.adm("-Ln").lines().filter_map(server_line).collect()
    }

    /// The server of that address; it must be listed once.
    pub(crate) fn server(&self, address: &str) -> ServerLine {
        let mut found = self.servers();
        found.retain(|server| server.address == address);
        assert_eq!(found.len(), 1, "{address} in\n{}", self.adm("-Ln"));
        found.remove(0)
    }

    /// Conns, InPkts, OutPkts of a server, with its port, as `-Ln --stats` has them.
    pub(crate) fn figures(&self, server: &str) -> [u64; 3] {
        let text = self.adm("-Ln --stats");
        let line = text.lines().find(|line| line.split_whitespace().nth(1) == Some(server));
        let line = line.unwrap_or_else(|| panic!("no {server} in\n{text}"));
        let number = |place| line.split_whitespace().nth(place).and_then(|word| word.parse().ok());
        [2, 3, 4].map(|place| number(place).unwrap_or_else(|| panic!("no number in {line}")))
    }

    /// The lines of `-Lnc`.
    pub(crate) fn connections(&self) -> Vec<ConnectionLine> {
        self.adm("-Lnc").lines().filter_map(connection_line).collect()
    }

    /// How many packets `sluicectl drops` has under a reason.
    pub(crate) fn drops(&self, reason: &str) -> u64 {
        let text = self.ctl("drops --all");
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let line = text.lines().map(words).find(|words| words.first().is_some_and(|w| w == reason));
        let count = line.and_then(|words| words.get(1)?.parse().ok());
        count.unwrap_or_else(|| panic!("no {reason} in\n{text}"))
    }

    /// Sends a signal by name and waits for the end.
    pub(crate) fn signal(&mut self, name: &str) -> ExitStatus {
        send_signal(self.pid(), name);
        eventually(Duration::from_secs(15), &format!("the end of sluiced after SIG{name}"), || {
            self.child.try_wait().expect("it is our child")
        })
    }

    fn show_evidence(&self) {
        println!("-- sluiced's own messages\n{}", self.messages());
        let questions = [
            ("sluiceadm", "-Ln"),
            ("sluiceadm", "-Lnc"),
            ("sluicectl", "status"),
            ("sluicectl", "ports"),
            ("sluicectl", "neigh"),
            ("sluicectl", "drops"),
        ];
        for (name, line) in questions {
            let reply = self.ask(name, line);
            println!("-- {name} {line}");
            for line in reply.stdout.lines().chain(reply.stderr.lines()).take(30) {
                println!("{line}");
            }
        }
    }
}

impl Drop for Director<'_> {
    fn drop(&mut self) {
        let runs = matches!(self.child.try_wait(), Ok(None));
        if thread::panicking() {
            if runs {
                self.show_evidence();
            } else {
                println!("-- sluiced's own messages\n{}", self.messages());
            }
        }
        if runs {
            send_signal(self.pid(), "TERM");
            for _ in 0..100 {
                if !matches!(self.child.try_wait(), Ok(None)) {
                    return;
                }
                thread::sleep(Duration::from_millis(50));
            }
            let _killed = self.child.kill();
            let _ended = self.child.wait();
        }
    }
}

impl Reply {
    fn successful(self, line: &str) -> String {
        assert_eq!(self.code, Some(0), "`{line}`:\n{}{}", self.stdout, self.stderr);
        self.stdout
    }
}

/// Runs `sluiced` to its own end in the lab's host `director`: for configurations that it refuses.
pub(crate) fn run_sluiced(lab: &Lab, yaml: &str, arguments: &[&str]) -> Reply {
    let path = lab.dir().join("refused.yaml");
    std::fs::write(&path, yaml).expect("the lab's folder is writable");
    let mut command = lab.command("director", "timeout");
    command.arg("60").arg(program("sluiced")).arg("--config").arg(&path).args(arguments);
    reply(&mut command)
}

/// The control socket of the lab's director.
pub(crate) fn socket_of(lab: &Lab) -> PathBuf {
    socket_in(lab, "director")
}

/// The control socket of the director in a host.
pub(crate) fn socket_in(lab: &Lab, host: &str) -> PathBuf {
    lab.dir().join(format!("{host}.sock"))
}

/// The server of the connection between two ports, if the director at a control socket knows one.
pub(crate) fn server_of(socket: &Path, client_port: u16, port: u16) -> Option<String> {
    let mut command = Command::new("timeout");
    command.arg("20").arg(program("sluiceadm")).arg("--socket").arg(socket).arg("-Lnc");
    let ends = [client_port, port].map(|port| format!(":{port}"));
    let is_it = |line: &ConnectionLine| {
        line.client.ends_with(&ends[0]) && line.virtual_end.ends_with(&ends[1])
    };
    reply(&mut command).stdout.lines().filter_map(connection_line).find(is_it).map(|c| c.server)
}

/// Sends a signal to a process that the test started.
pub(crate) fn send_signal(pid: u32, name: &str) {
    let status = Command::new("kill").args(["-s", name, &pid.to_string()]).status();
    assert!(status.is_ok_and(|status| status.success()), "kill -s {name} {pid}");
}

/// How a program ends, whatever comes of it.
pub(crate) fn reply(command: &mut Command) -> Reply {
    let output = command.stdin(Stdio::null()).output().expect("the program is there");
    Reply {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Where a program of ours is.
pub(crate) fn program(name: &str) -> PathBuf {
    if let Some(folder) = std::env::var_os("SLUICE_PROGRAMS") {
        return Path::new(&folder).join(name);
    }
    PathBuf::from(match name {
        "sluiced" => env!("CARGO_BIN_EXE_sluiced"),
        "sluiceadm" => env!("CARGO_BIN_EXE_sluiceadm"),
        "sluicectl" => env!("CARGO_BIN_EXE_sluicectl"),
        other => panic!("no program of ours: {other}"),
    })
}

fn server_line(line: &str) -> Option<ServerLine> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let ["->", end, forward, weight, active, inactive] = words[..] else {
        return None;
    };
    Some(ServerLine {
        address: end.rsplit_once(':')?.0.to_owned(),
        forward: forward.to_owned(),
        weight: weight.parse().ok()?,
        active: active.parse().ok()?,
        inactive: inactive.parse().ok()?,
    })
}

fn connection_line(line: &str) -> Option<ConnectionLine> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [protocol, _expires, state, client, virtual_end, server] = words[..] else {
        return None;
    };
    (protocol != "pro").then(|| ConnectionLine {
        protocol: protocol.to_owned(),
        state: state.to_owned(),
        client: client.to_owned(),
        virtual_end: virtual_end.to_owned(),
        server: server.to_owned(),
    })
}
