//! An emulated machine: a QEMU in the lab's host `director`, its NICs on the wires there.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::lab::Lab;
use crate::monitor::Monitor;
use crate::network::{MANAGEMENT_MAC, MANAGEMENT_TAP, WIRES, Wire};

/// What the machine is made of.
#[derive(Clone, Debug)]
pub(crate) struct Hardware {
    /// QEMU's name of the NICs, such as `e1000e`.
    pub(crate) nic: String,
    /// Further properties of each NIC, such as `,disable-legacy=on`.
    pub(crate) nic_options: String,
    /// An IOMMU, as `vfio-pci` needs one.
    pub(crate) has_iommu: bool,
    /// A NIC for management, beside those of the director.
    pub(crate) has_management: bool,
    /// Queue pairs of each NIC.
    pub(crate) queues: u32,
    pub(crate) cpus: u32,
    pub(crate) memory_mib: u32,
    /// Further arguments: what it boots.
    pub(crate) arguments: Vec<String>,
}

/// A running machine. It is killed with its value, as by a power cut.
#[derive(Debug)]
pub(crate) struct Machine {
    child: Child,
    log: PathBuf,
    /// When its power was switched on.
    pub(crate) began: Instant,
    pub(crate) monitor: Monitor,
}

impl Machine {
    /// Switches it on.
    pub(crate) fn start(lab: &Lab, hardware: &Hardware) -> Self {
        let log = lab.dir().join("qemu.log");
        let both = File::create(&log).expect("the lab's folder is writable");
        let monitor = lab.dir().join("qmp");
        let _none_yet = std::fs::remove_file(&monitor);
        let began = Instant::now();
        let mut child = lab
            .command("director", "qemu-system-x86_64")
            .args(hardware.words())
            .args(["-qmp", &format!("unix:{},server=on,wait=off", monitor.display())])
            .stdin(Stdio::null())
            .stdout(both.try_clone().expect("a descriptor is free"))
            .stderr(both)
            .spawn()
            .expect("ip is installed");
        let monitor = Monitor::connect(&monitor, || must_run(&mut child, &log));
        Self { child, log, began, monitor }
    }

    /// Panics if it has ended.
    pub(crate) fn must_run(&mut self) {
        must_run(&mut self.child, &self.log);
    }

    /// Cuts its power.
    pub(crate) fn cut(&mut self) {
        let _gone_already = self.child.kill();
        let _killed = self.child.wait();
    }

    /// What QEMU has printed.
    pub(crate) fn messages(&self) -> String {
        messages(&self.log)
    }
}

fn must_run(qemu: &mut Child, log: &Path) {
    if let Ok(Some(status)) = qemu.try_wait() {
        panic!("QEMU ended: {status}\n{}", messages(log));
    }
}

fn messages(log: &Path) -> String {
    std::fs::read_to_string(log).unwrap_or_default()
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.cut();
    }
}

/// What QEMU runs processors with. Emulation is the default even where there is `/dev/kvm`: that
/// can be opened, and make a machine, where it then runs none (nested virtualization, containers).
fn accelerator() -> String {
    let asked = std::env::var("SLUICE_ACCEL").ok().filter(|asked| !asked.is_empty());
    asked.unwrap_or_else(|| "tcg,thread=multi".to_owned())
}

impl Hardware {
    fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = "-nodefaults -no-user-config -display none -no-reboot \
             -cpu max"
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        let mut add = |text: String| words.extend(text.split_whitespace().map(str::to_owned));
        add(format!("-accel {}", accelerator()));
        add(format!("-smp {} -m {}", self.cpus, self.memory_mib));
        if self.has_iommu {
            add("-machine q35,kernel-irqchip=split".to_owned());
            add("-device intel-iommu,intremap=on,caching-mode=on,device-iotlb=on".to_owned());
        } else {
            add("-machine q35".to_owned());
        }
        for (number, wire) in WIRES.iter().enumerate() {
            let queues =
                if self.queues > 1 { format!(",queues={}", self.queues) } else { String::new() };
            add(format!("-netdev {}{queues}", tap(wire.net, wire.tap)));
            // A port of its own, so that the NIC can be pulled out.
            let address = 4 + number;
            add(format!("-device pcie-root-port,id={},chassis={number},addr={address}", wire.slot));
            let properties: Vec<_> =
                self.nic(wire).into_iter().map(|(key, value)| format!("{key}={value}")).collect();
            add(format!("-device {}", properties.join(",")));
        }
        if self.has_management {
            add(format!("-netdev {}", tap("management", MANAGEMENT_TAP)));
            add(format!("-device virtio-net-pci,netdev=management,mac={MANAGEMENT_MAC},addr=3"));
        }
        words.extend(self.arguments.iter().cloned());
        words
    }

    /// The properties of a NIC of the director, its driver among them.
    fn nic(&self, wire: &Wire) -> Vec<(String, String)> {
        let mut properties = vec![
            ("driver", self.nic.as_str()),
            ("id", wire.nic),
            ("netdev", wire.net),
            ("bus", wire.slot),
            ("mac", wire.mac),
        ];
        properties.extend(self.nic_options.split(',').filter_map(|pair| pair.split_once('=')));
        properties.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    /// The same for QEMU's own control, to put the NIC back in.
    pub(crate) fn nic_as_json(&self, wire: &Wire) -> Value {
        let properties = self.nic(wire).into_iter();
        properties.map(|(key, value)| (key, Value::String(value))).collect()
    }
}

/// A network of QEMU's that is a tap.
fn tap(name: &str, interface: &str) -> String {
    format!("tap,id={name},ifname={interface},script=no,downscript=no")
}
