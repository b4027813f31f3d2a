//! A director that nothing is connected to, in a network namespace of its own with the interface
//! `d0` of the captures.

use std::fs::{self, File};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// A running `sluiced` with a folder of its own; both go with it.
#[derive(Debug)]
pub(crate) struct Director {
    folder: PathBuf,
    /// What systemd would have.
    notified: UnixDatagram,
    child: Child,
}

/// How a program ended and what it printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) exit: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Director {
    pub(crate) fn start() -> Self {
        static DIRECTORS: AtomicU32 = AtomicU32::new(0);
        let number = DIRECTORS.fetch_add(1, Ordering::Relaxed);
        let name = format!("sluice-netlink-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        let notified = UnixDatagram::bind(folder.join("notify.sock")).unwrap();
        notified.set_read_timeout(Some(PATIENCE)).unwrap();
        let child = spawn(&folder);
        let mut director = Self { folder, notified, child };
        director.wait();
        director
    }

    /// What it has told systemd.
    pub(crate) fn notified(&self) -> String {
        let mut bytes = [0; 256];
        let size = self.notified.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..size]).into_owned()
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Another one in the same place.
    pub(crate) fn start_again(&mut self) {
        self.child = spawn(&self.folder);
        self.wait();
    }

    fn wait(&mut self) {
        let began = Instant::now();
        loop {
            let text = fs::read_to_string(self.folder.join("log")).unwrap();
            if text.lines().any(|line| line.starts_with("sluiced: ready")) {
                return;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "{text}");
            assert!(began.elapsed() < PATIENCE, "{text}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as systemd does.
    pub(crate) fn stop(&mut self) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap();
    }

    pub(crate) fn control_socket(&self) -> PathBuf {
        self.folder.join("control.sock")
    }

    pub(crate) fn netlink_socket(&self) -> PathBuf {
        self.folder.join("netlink.sock")
    }

    /// A program that talks to this director, with the arguments that follow.
    pub(crate) fn exec(&self) -> Command {
        let mut command = patient(program("sluicectl"));
        command.args(["exec", "--netlink-socket"]).arg(self.netlink_socket()).arg("--");
        command
    }

    /// A command line of sluiceadm.
    pub(crate) fn adm(&self, line: &str) -> Outcome {
        let mut command = patient(program("sluiceadm"));
        command.arg("--socket").arg(self.control_socket());
        outcome(command.args(line.split_whitespace()))
    }

    /// A command line of sluicectl.
    pub(crate) fn ctl(&self, line: &str) -> Outcome {
        let mut command = patient(program("sluicectl"));
        command.arg("--socket").arg(self.control_socket());
        outcome(command.args(line.split_whitespace()))
    }

    /// A shell's command line, in which `ipvsadm` is Debian's.
    pub(crate) fn sh(&self, text: &str) -> Outcome {
        outcome(
            self.exec().arg("bash").arg("-c").arg(format!("PATH=$PATH:/usr/sbin:/sbin\n{text}")),
        )
    }

    /// A Python script.
    pub(crate) fn python(&self, text: &str) -> Outcome {
        outcome(self.exec().args(["python3", "-c", text]))
    }
}

impl Drop for Director {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("{}", fs::read_to_string(self.folder.join("log")).unwrap_or_default());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn spawn(folder: &Path) -> Child {
    let shown = folder.display();
    let yaml = format!(
        "control: {{ socket: {shown}/control.sock, netlink_socket: {shown}/netlink.sock, \
         audit: {shown}/audit.log }}\n\
         eal: {{ memory: 64M, hugepages: off }}\n\
         flows: {{ max: 1024 }}\n\
         ports:\n  - name: lan0\n    device: net_null0\n    addresses: [10.0.10.61/24]\n"
    );
    fs::write(folder.join("sluice.yaml"), yaml).unwrap();
    let log = File::create(folder.join("log")).unwrap();
    // The namespace goes with the last process in it.
    let network = "ip link set lo up && ip link add d0 type veth peer name d1 && \
                   ip link set d0 up && ip link set d1 up && \
                   ip addr add 10.0.3.1/24 dev d0 && exec \"$@\"";
    Command::new("unshare")
        .args(["-n", "sh", "-c", network, "sh"])
        .arg(program("sluiced"))
        .arg("--config")
        .arg(folder.join("sluice.yaml"))
        .env("NOTIFY_SOCKET", folder.join("notify.sock"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// One of Sluice's programs: the one in `$SLUICE_PROGRAMS`, else the one just built.
pub(crate) fn program(name: &str) -> PathBuf {
    let built = match name {
        "sluiced" => env!("CARGO_BIN_EXE_sluiced"),
        "sluiceadm" => env!("CARGO_BIN_EXE_sluiceadm"),
        "sluicectl" => env!("CARGO_BIN_EXE_sluicectl"),
        other => panic!("no program of ours: {other}"),
    };
    match std::env::var_os("SLUICE_PROGRAMS") {
        // Tests run in the folder of their package, the variable is set in the project's.
        Some(folder) => Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder).join(name),
        None => built.into(),
    }
}

/// A program that fails when it hangs.
fn patient(program: PathBuf) -> Command {
    let mut command = Command::new("timeout");
    command.arg("60").arg(program);
    command
}

pub(crate) fn outcome(command: &mut Command) -> Outcome {
    let output = command.stdin(Stdio::null()).output().unwrap();
    Outcome {
        exit: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
