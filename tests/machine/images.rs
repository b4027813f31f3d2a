//! The machines that boot the image, and what each is there to show.

use std::time::Duration;

use serde_json::json;

use crate::appliance::{self, Appliance, Setting, Source};
use crate::checks::Checks;
use crate::lab::{Lab, eventually};
use crate::network::{self, WIRES};
use crate::service;

const VIRTIO: &str = ",disable-legacy=on,iommu_platform=on";

/// Name, what it boots with, and whether it goes through all that may happen to a machine.
const MACHINES: &[(&str, Setting, bool)] = &[
    (
        "image by BIOS, virtio, configured by the firmware",
        Setting {
            nic: "virtio-net-pci",
            nic_options: VIRTIO,
            is_uefi: false,
            source: Source::Firmware,
        },
        true,
    ),
    (
        "image by UEFI, e1000e, configured on its partition",
        Setting { nic: "e1000e", nic_options: "", is_uefi: true, source: Source::Partition },
        false,
    ),
    (
        "image by BIOS, vmxnet3, configured by a seed disk",
        Setting { nic: "vmxnet3", nic_options: "", is_uefi: false, source: Source::Seed },
        false,
    ),
];

/// Every machine whose name has `only`.
pub(crate) fn run(only: &str, checks: &mut Checks) {
    for &(name, setting, is_tried) in MACHINES.iter().filter(|(name, ..)| name.contains(only)) {
        checks.begin(name);
        let before = checks.failures();
        let lab = network::build(1);
        let Some(mut appliance) = appliance::boot(&lab, setting, checks) else { continue };
        appliance::check_management(&lab, &appliance, checks);
        if is_tried {
            service::check_methods(&lab, checks);
            try_events(&lab, &mut appliance, checks);
        }
        if checks.failures() > before {
            appliance.show_evidence();
        }
    }
}

fn try_events(lab: &Lab, appliance: &mut Appliance<'_>, checks: &mut Checks) {
    checks.check("a director that is killed is started again", || {
        let pid = appliance.ssh("systemctl show -p MainPID --value sluiced");
        appliance.ssh(&format!("kill -KILL {pid}"));
        eventually(Duration::from_secs(120), "another process", || {
            let output = appliance.try_ssh("sluicectl ports && systemctl show -p MainPID sluiced");
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let is_new = !text.contains(&format!("MainPID={}", pid.trim()));
            (output.status.success() && is_new).then_some(())
        });
        service::serves(lab);
    });
    checks.check("a pulled cable is noticed, and all goes on when it is back", || {
        for (is_up, words) in [(false, "the link is down"), (true, "the link is up")] {
            appliance.machine.monitor.set_link(WIRES[0].nic, is_up);
            let line = format!("journalctl -b -u sluiced | grep '{words} port=lan0'");
            eventually(Duration::from_secs(60), words, || {
                appliance.try_ssh(&line).status.success().then_some(())
            });
        }
        service::serves(lab);
    });
    checks.check(
        "after a power cut it boots and serves by itself, and is the same machine",
        || {
            let identity = "cat /etc/machine-id; ssh-keygen -lf /var/lib/sluice-appliance/*.pub";
            let before = appliance.ssh(identity);
            appliance.cut_power();
            appliance::serves_after_power_on(lab, appliance);
            appliance.wait_for_ssh();
            assert_eq!(appliance.ssh(identity), before);
            let boots = appliance.ssh("journalctl --list-boots");
            assert!(boots.lines().count() >= 2, "the journal of before is there: {boots}");
        },
    );
    checks.check(
        "a NIC that is pulled out ends the director in words, and it waits for it",
        || {
            unplug(lab, appliance);
        },
    );
}

/// The NIC to the clients leaves, and comes back.
fn unplug(lab: &Lab, appliance: &mut Appliance<'_>) {
    let wire = &WIRES[0];
    appliance.machine.monitor.execute("device_del", json!({ "id": wire.nic }));
    let journal = "journalctl -b -u sluiced --no-pager";
    let words = format!("{} is taken out of the machine", wire.pci);
    eventually(Duration::from_secs(120), &words, || {
        let output = appliance.try_ssh(journal);
        String::from_utf8_lossy(&output.stdout).contains(&words).then_some(())
    });
    let gone = format!("test ! -e /sys/bus/pci/devices/{}", wire.pci);
    eventually(Duration::from_secs(60), "the device is gone", || {
        appliance.try_ssh(&gone).status.success().then_some(())
    });
    appliance.plug_in(wire);
    service::serves(lab);
}
