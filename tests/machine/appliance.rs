//! The appliance's image: what boots, how long it takes, and what it lives through.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use crate::checks::Checks;
use crate::config::Config;
use crate::lab::{Lab, eventually};
use crate::machine::{Hardware, Machine};
use crate::network::{self, ADMIN, MANAGEMENT, WIRES, Wire};
use crate::service;

/// From power-on to `sluice: ready`, on emulated processors that others use, too.
const BOOT_MAX: Duration = Duration::from_secs(600);
/// What `make image` makes.
const IMAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/image/sluice.img");
/// What the directors of the image are to serve their figures at.
const METRICS_PORT: u16 = 9107;

/// Where a machine has its configuration from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Firmware,
    Seed,
    Partition,
}

/// What a machine boots with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub(crate) nic: &'static str,
    pub(crate) nic_options: &'static str,
    pub(crate) is_uefi: bool,
    pub(crate) source: Source,
}

/// A machine that boots a copy of the image, whose writes stay.
#[derive(Debug)]
pub(crate) struct Appliance<'lab> {
    lab: &'lab Lab,
    hardware: Hardware,
    console: PathBuf,
    pub(crate) machine: Machine,
}

impl<'lab> Appliance<'lab> {
    /// Copies the image, puts the configuration where the setting says, and switches it on.
    pub(crate) fn start(lab: &'lab Lab, setting: Setting) -> Self {
        let disk = lab.dir().join("disk");
        let image = std::env::var("SLUICE_IMAGE").unwrap_or_else(|_| IMAGE.to_owned());
        assert!(Path::new(&image).exists(), "{image} is missing: make image");
        must(Command::new("cp").args(["--sparse=always", &image]).arg(&disk));
        let files = files(lab);
        let mut arguments = vec!["-vga".to_owned(), "std".to_owned()];
        arguments.extend(drive(&format!("if=virtio,file={}", disk.display())));
        let console = lab.dir().join("console.log");
        arguments.extend(["-serial".to_owned(), format!("file:{}", console.display())]);
        match setting.source {
            Source::Firmware => {
                for (name, file) in ["config", "management", "authorized_keys"].iter().zip(&files) {
                    arguments.push("-fw_cfg".to_owned());
                    arguments.push(format!("name=opt/sluice/{name},file={}", file.display()));
                }
            }
            Source::Seed => {
                let seed = lab.dir().join("seed");
                must(Command::new("truncate").args(["-s", "4M"]).arg(&seed));
                must(Command::new("mkfs.fat").args(["-n", "CIDATA"]).arg(&seed));
                put(&seed.display().to_string(), &files[0], "user-data");
                put(&seed.display().to_string(), &files[1], "management.env");
                put(&seed.display().to_string(), &files[2], "authorized_keys");
                arguments.extend(drive(&format!("if=virtio,readonly=on,file={}", seed.display())));
            }
            Source::Partition => {
                let partition = format!("{}@@{}", disk.display(), offset(&disk, "SLUICE_CFG"));
                put(&partition, &files[0], "sluice.yaml");
                put(&partition, &files[1], "management.env");
                put(&partition, &files[2], "authorized_keys");
            }
        }
        if setting.is_uefi {
            let variables = lab.dir().join("variables");
            let firmware = "/usr/share/OVMF/OVMF_CODE_4M.fd";
            std::fs::copy("/usr/share/OVMF/OVMF_VARS_4M.fd", &variables).expect("package ovmf");
            arguments.extend(drive(&format!("if=pflash,readonly=on,file={firmware}")));
            arguments.extend(drive(&format!("if=pflash,file={}", variables.display())));
        }
        let hardware = Hardware {
            nic: setting.nic.to_owned(),
            nic_options: setting.nic_options.to_owned(),
            has_iommu: true,
            has_management: true,
            queues: 1,
            cpus: 2,
            memory_mib: 1536,
            arguments,
        };
        let machine = Machine::start(lab, &hardware);
        Self { lab, hardware, console, machine }
    }

    /// Waits until the console says so; panics with its end if it does not.
    pub(crate) fn wait_for(&mut self, line: &str) {
        let end = self.machine.began + BOOT_MAX;
        while !self.said().contains(line) {
            self.machine.must_run();
            assert!(
                std::time::Instant::now() < end,
                "the console does not say {line:?}:\n{}",
                last_lines(&self.said(), 40)
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// All that its console has said since it was switched on.
    pub(crate) fn said(&self) -> String {
        let bytes = std::fs::read(&self.console).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\r', "")
    }

    /// How a command line ends on it, by ssh over the management interface.
    pub(crate) fn try_ssh(&self, line: &str) -> Output {
        let key = self.lab.dir().join("key");
        self.lab
            .command("admin", "timeout")
            .args(["60", "ssh", "-q", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"])
            .args(["-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=20", "-i"])
            .arg(key)
            .arg(format!("root@{MANAGEMENT}"))
            .arg(line)
            .output()
            .expect("ip is installed")
    }

    /// What a command line prints; it must succeed.
    pub(crate) fn ssh(&self, line: &str) -> String {
        let output = self.try_ssh(line);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ssh `{line}`: {}\n{text}{errors}", output.status);
        text
    }

    /// Waits until somebody can log in.
    pub(crate) fn wait_for_ssh(&self) {
        eventually(Duration::from_secs(120), "a login by ssh", || {
            self.try_ssh("true").status.success().then_some(())
        });
    }

    /// Cuts the power, and switches it on again.
    pub(crate) fn cut_power(&mut self) {
        self.machine.cut();
        self.machine = Machine::start(self.lab, &self.hardware);
    }

    /// Puts a NIC of the director back in.
    pub(crate) fn plug_in(&mut self, wire: &Wire) {
        self.machine.monitor.execute("device_add", self.hardware.nic_as_json(wire));
    }

    /// What there is to see after a failure.
    pub(crate) fn show_evidence(&self) {
        println!("-- QEMU's messages\n{}", self.machine.messages());
        println!("-- the console\n{}", last_lines(&self.said(), 40));
        for line in [
            "systemctl --no-pager --failed",
            "journalctl --no-pager -b -u sluiced -u sluice-setup -n 40",
            "sluicectl ports",
            "sluicectl neigh",
            "sluicectl drops",
        ] {
            let output = self.try_ssh(line);
            println!("-- {line}\n{}", String::from_utf8_lossy(&output.stdout));
        }
    }
}

/// The configuration, the management's settings, and the keys of who may log in; a new key is made
/// for them.
fn files(lab: &Lab) -> [PathBuf; 3] {
    let path = |name: &str| lab.dir().join(name);
    let [config, management, keys] = ["sluice.yaml", "management.env", "key.pub"].map(path);
    let text = configuration().yaml(Path::new("/run/sluice/control.sock"));
    std::fs::write(&config, text).expect("the lab's folder is writable");
    let settings = format!(
        "INTERFACE={}\nADDRESS={MANAGEMENT}/24\nGATEWAY={ADMIN}\n",
        network::MANAGEMENT_MAC
    );
    std::fs::write(&management, settings).expect("the lab's folder is writable");
    if !keys.exists() {
        let key = path("key");
        must(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(key));
    }
    [config, management, keys]
}

fn configuration() -> Config {
    let mut config =
        network::config().with_key(&format!("metrics: {{ listen: \"0.0.0.0:{METRICS_PORT}\" }}"));
    config.eal = "{ memory: 128M }".to_owned();
    config
}

fn drive(text: &str) -> Vec<String> {
    vec!["-drive".to_owned(), format!("format=raw,{text}")]
}

/// Copies a file to a FAT file system.
fn put(file_system: &str, file: &Path, name: &str) {
    must(Command::new("mcopy").args(["-o", "-i", file_system]).arg(file).arg(format!("::/{name}")));
}

/// Where a partition of a disk begins, in bytes.
fn offset(disk: &Path, name: &str) -> u64 {
    let text = must(Command::new("sfdisk").arg("--dump").arg(disk));
    let line = text.lines().find(|line| line.contains(&format!("name=\"{name}\"")));
    let start = line.and_then(|line| line.split_once("start=")?.1.split(',').next());
    let sectors: Option<u64> = start.and_then(|start| start.trim().parse().ok());
    512 * sectors.unwrap_or_else(|| panic!("no partition {name} in\n{text}"))
}

/// What a program prints; it must succeed.
fn must(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{errors}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// Boots until the first page, and says how long that took.
pub(crate) fn boot<'lab>(
    lab: &'lab Lab,
    setting: Setting,
    checks: &mut Checks,
) -> Option<Appliance<'lab>> {
    let mut appliance = checks.check("starts", || Appliance::start(lab, setting))?;
    let served = checks.check("boots and serves", || serves_after_power_on(lab, &mut appliance));
    if served.is_none() {
        appliance.show_evidence();
        return None;
    }
    Some(appliance)
}

/// Waits for the first page after power-on.
pub(crate) fn serves_after_power_on(lab: &Lab, appliance: &mut Appliance<'_>) {
    appliance.wait_for("sluice: ready");
    let ready = appliance.machine.began.elapsed().as_secs_f32();
    service::serves(lab);
    let serving = appliance.machine.began.elapsed().as_secs_f32();
    println!(
        "        from power-on: ready after {ready:.0} s, pages by all methods after {serving:.0} s"
    );
}

/// Figures for Prometheus, and a shell, on the management interface and nowhere else.
pub(crate) fn check_management(lab: &Lab, appliance: &Appliance<'_>, checks: &mut Checks) {
    checks.check("ssh on the management interface, with sluicectl", || {
        appliance.wait_for_ssh();
        let ports = appliance.ssh("sluicectl ports");
        for wire in WIRES {
            assert!(ports.contains(&format!(": {}\n", wire.pci)), "{ports}");
        }
    });
    checks.check("Prometheus finds its figures there", || {
        let url = format!("http://{MANAGEMENT}:{METRICS_PORT}/metrics");
        let text = lab.run("admin", &format!("curl -sS -f -m 20 {url}"));
        assert!(text.lines().any(|line| line.starts_with("sluice_")), "{text}");
    });
    checks.check("no ssh where clients are", || {
        for address in [crate::lab::VIP, "10.0.10.61"] {
            let line = format!("curl -sS -m 3 telnet://{address}:22 </dev/null");
            let output = lab.try_run("client", &line);
            assert!(!String::from_utf8_lossy(&output.stdout).contains("SSH"), "{address}");
        }
    });
}
