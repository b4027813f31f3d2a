//! An emulated machine: a QEMU in the lab's host `director`, its NICs on the wires there.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use crate::lab::Lab;
use crate::monitor::Monitor;
use crate::network::WIRES;

/// What the machine is made of.
#[derive(Clone, Debug)]
pub(crate) struct Hardware {
    /// QEMU's name of the NICs, such as `e1000e`.
    pub(crate) nic: String,
    /// Further properties of each NIC, such as `,disable-legacy=on`.
    pub(crate) nic_options: String,
    /// An IOMMU, as `vfio-pci` needs one.
    pub(crate) has_iommu: bool,
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
    pub(crate) monitor: Monitor,
}

impl Machine {
    /// Switches it on.
    pub(crate) fn start(lab: &Lab, hardware: &Hardware) -> Self {
        let log = lab.dir().join("qemu.log");
        let both = File::create(&log).expect("the lab's folder is writable");
        let monitor = lab.dir().join("qmp");
        let _none_yet = std::fs::remove_file(&monitor);
        let child = lab
            .command("director", "qemu-system-x86_64")
            .args(hardware.words())
            .args(["-qmp", &format!("unix:{},server=on,wait=off", monitor.display())])
            .stdin(Stdio::null())
            .stdout(both.try_clone().expect("a descriptor is free"))
            .stderr(both)
            .spawn()
            .expect("ip is installed");
        let mut machine = Self { child, log, monitor: Monitor::connect(&monitor) };
        machine.must_run();
        machine
    }

    /// Panics if it has ended.
    pub(crate) fn must_run(&mut self) {
        if let Ok(Some(status)) = self.child.try_wait() {
            panic!("QEMU ended: {status}\n{}", self.messages());
        }
    }

    /// What QEMU has printed.
    pub(crate) fn messages(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _ended = self.child.wait();
    }
}

impl Hardware {
    fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = "-nodefaults -no-user-config -display none -no-reboot \
             -accel tcg,thread=multi -cpu max"
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        let mut add = |text: String| words.extend(text.split_whitespace().map(str::to_owned));
        add(format!("-smp {} -m {}", self.cpus, self.memory_mib));
        if self.has_iommu {
            add("-machine q35,kernel-irqchip=split".to_owned());
            add("-device intel-iommu,intremap=on,caching-mode=on,device-iotlb=on".to_owned());
        } else {
            add("-machine q35".to_owned());
        }
        for (number, wire) in WIRES.iter().enumerate() {
            let tap = wire.tap;
            let queues =
                if self.queues > 1 { format!(",queues={}", self.queues) } else { String::new() };
            add(format!("-netdev tap,id=net{number},ifname={tap},script=no,downscript=no{queues}"));
            // A port of its own, so that the NIC can be pulled out.
            add(format!(
                "-device pcie-root-port,id=slot{number},chassis={number},addr={}",
                4 + number
            ));
            add(format!(
                "-device {},id={},netdev=net{number},bus=slot{number},mac={}{}",
                self.nic, wire.nic, wire.mac, self.nic_options
            ));
        }
        words.extend(self.arguments.iter().cloned());
        words
    }
}
