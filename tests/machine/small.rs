//! The small machine: a kernel, busybox and the director. Up in seconds, so that every kind of NIC
//! can be tried.

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use crate::agent::Agent;
use crate::config::Config;
use crate::director::{Reply, program};
use crate::lab::{Lab, eventually};
use crate::machine::{Hardware, Machine};
use crate::network::{WIRES, Wire};

/// Where the director's sockets are in the guest.
const SOCKET: &str = "/run/sluice.sock";
const CONFIG: &str = "/etc/sluice/sluice.yaml";
const LOG: &str = "/tmp/sluiced.log";
/// What a start may take on emulated processors.
const START_MAX: Duration = Duration::from_secs(60);

/// A running small machine.
#[derive(Debug)]
pub(crate) struct Small {
    pub(crate) machine: Machine,
    agent: Agent,
    console: PathBuf,
    /// The director's process in the guest.
    pid: Option<u32>,
}

impl Small {
    /// Boots it, and gives its NICs to a driver for user space.
    pub(crate) fn boot(lab: &Lab, hardware: &Hardware, driver: &str) -> Self {
        let folder = guest();
        let (console, agent) = (lab.dir().join("console.log"), lab.dir().join("agent"));
        let iommu = if hardware.has_iommu { " intel_iommu=on iommu=pt" } else { "" };
        let mut hardware = hardware.clone();
        hardware.arguments = [
            "-kernel".to_owned(),
            folder.join("kernel").display().to_string(),
            "-initrd".to_owned(),
            folder.join("initramfs").display().to_string(),
            "-append".to_owned(),
            format!("console=ttyS0 quiet panic=-1 no_timer_check hugepages=192{iommu}"),
            "-serial".to_owned(),
            format!("file:{}", console.display()),
            "-chardev".to_owned(),
            format!("socket,id=agent,path={},server=on,wait=off", agent.display()),
            "-serial".to_owned(),
            "chardev:agent".to_owned(),
        ]
        .to_vec();
        let _of_an_earlier_one = std::fs::remove_file(&agent);
        let machine = Machine::start(lab, &hardware);
        let Ok(agent) = catch_unwind(|| Agent::connect(&agent)) else {
            panic!("{}\n{}", machine.messages(), last_lines(&console));
        };
        let mut small = Self { machine, agent, console, pid: None };
        for wire in WIRES {
            small.bind(&wire, driver);
        }
        small
    }

    /// Gives a NIC to a driver for user space.
    pub(crate) fn bind(&mut self, wire: &Wire, driver: &str) {
        let device = format!("/sys/bus/pci/devices/{}", wire.pci);
        self.run(&format!("echo {driver} >{device}/driver_override"));
        self.run(&format!("echo {} >/sys/bus/pci/drivers_probe", wire.pci));
        let bound = self.run(&format!("basename $(readlink {device}/driver)"));
        assert_eq!(bound.trim(), driver, "the driver of {}", wire.pci);
    }

    /// What a command line prints; it must succeed.
    pub(crate) fn run(&mut self, line: &str) -> String {
        self.agent.run(line)
    }

    /// Starts the director, and waits until it forwards.
    pub(crate) fn start(&mut self, config: &Config) {
        let pid = self.spawn(config);
        eventually(START_MAX, "\"sluiced: ready\"", || {
            let text = self.messages();
            let runs = self.agent.ask(&format!("kill -0 {pid}")).code == Some(0);
            assert!(runs, "sluiced ended while starting:\n{text}");
            text.lines().any(|line| line.starts_with("sluiced: ready")).then_some(())
        });
    }

    fn spawn(&mut self, config: &Config) -> u32 {
        self.agent.write(CONFIG, &config.yaml(Path::new(SOCKET)));
        let line = format!("sluiced --config {CONFIG} >{LOG} 2>&1 & echo $!");
        let pid = self.run(&line).trim().parse().expect("a process's number");
        self.pid = Some(pid);
        pid
    }

    /// Ends the director by a signal.
    pub(crate) fn end(&mut self, signal: &str) {
        let pid = self.pid.expect("it was started");
        self.run(&format!("kill -{signal} {pid}"));
        self.wait_for_end();
    }

    /// Waits until the director has ended.
    pub(crate) fn wait_for_end(&mut self) {
        let pid = self.pid.take().expect("it was started");
        eventually(Duration::from_secs(30), "the end of sluiced", || {
            (self.agent.ask(&format!("kill -0 {pid}")).code != Some(0)).then_some(())
        });
    }

    /// All that sluiced has printed.
    pub(crate) fn messages(&mut self) -> String {
        self.agent.ask(&format!("cat {LOG}")).stdout
    }

    /// What `sluicectl` prints; it must succeed.
    pub(crate) fn ctl(&mut self, line: &str) -> String {
        self.run(&format!("sluicectl --socket {SOCKET} {line}"))
    }

    /// What there is to see after a failure.
    pub(crate) fn show_evidence(&mut self) {
        println!("-- QEMU's messages\n{}", self.machine.messages());
        println!("-- the console\n{}", last_lines(&self.console));
        println!("-- sluiced's own messages\n{}", self.messages());
        for line in ["sluicectl ports", "sluicectl neigh", "sluicectl drops", "sluiceadm -Ln"] {
            let (program, rest) = line.split_once(' ').unwrap_or((line, ""));
            let Reply { stdout, .. } =
                self.agent.ask(&format!("timeout 20 {program} --socket {SOCKET} {rest}"));
            println!("-- {line}\n{stdout}");
        }
    }
}

fn last_lines(console: &Path) -> String {
    let text = std::fs::read(console).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

/// The folder with its kernel and root, made once.
fn guest() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let sluiced = program("sluiced");
        let programs = sluiced.parent().expect("a program is in a folder");
        let output = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/machine/guest"))
            .arg(programs)
            .stderr(Stdio::inherit())
            .output()
            .expect("the script is there");
        assert!(output.status.success(), "tests/machine/guest: {}", output.status);
        PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
    })
}
