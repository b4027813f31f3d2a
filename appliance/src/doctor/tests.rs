//! Machines with something taken away.

use super::*;
use crate::machine::fixture::{CONNECT_X, E1000E, Fixture, UPLINK, config_for};

/// A machine on which all is fine: the NIC is given away.
fn good() -> Fixture {
    let fixture = Fixture::new();
    fixture.bind(E1000E, Some("vfio-pci"));
    fixture
}

fn diagnosis(fixture: &Fixture) -> Diagnosis {
    Diagnosis::of(&fixture.machine(), None)
}

/// Asserts how bad one item is, and that it and the advice say something.
#[track_caller]
fn assert_item(fixture: &Fixture, name: &str, severity: Severity, found: &str, advice: &str) {
    let diagnosis = diagnosis(fixture);
    let items: Vec<_> = diagnosis.items.iter().filter(|item| item.name == name).collect();
    let [item] = items[..] else { panic!("{name}: {:?}", diagnosis.items) };
    assert_eq!(item.severity, severity, "{item:?}");
    assert!(item.found.contains(found), "{item:?}");
    assert!(item.advice.as_deref().unwrap_or_default().contains(advice), "{item:?}");
    assert!(diagnosis.severity >= severity);
    assert_eq!(severity == Fine, item.advice.is_none(), "{item:?}");
}

use Severity::{Error, Fine, Warning};

#[test]
fn a_machine_with_everything_is_fine() {
    let fixture = good();
    let diagnosis = diagnosis(&fixture);
    let wrong: Vec<_> = diagnosis.items.iter().filter(|item| item.severity != Fine).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    let words = DoctorWords { config: None, root: fixture.root().to_owned() };
    let answer = run(&words, Output::default());
    assert_eq!(answer.exit, 0);
    assert!(answer.stdout.ends_with("\n0 errors, 0 warnings\n"), "{}", answer.stdout);
    let json = run(&words, Output { json: true, colour: false }).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["severity"], "fine");
    assert_eq!(json["items"][0]["name"], "configuration");
}

#[test]
fn the_exit_code_is_that_of_the_worst_item() {
    let fixture = good();
    let exit = || {
        let words = DoctorWords { config: None, root: fixture.root().to_owned() };
        run(&words, Output::default()).exit
    };
    fixture.replace("/proc/cpuinfo", " nonstop_tsc", "");
    assert_eq!(exit(), 1);
    fixture.replace("/proc/cpuinfo", " sse4_2", "");
    assert_eq!(exit(), 2);
    assert_item(&fixture, "processor", Error, "DPDK needs sse4_2", "-cpu host");
    assert_item(&fixture, "clock", Warning, "nonstop_tsc", "invtsc");
}

#[test]
fn an_empty_machine_is_looked_at_without_a_configuration() {
    let folder = tempfile::TempDir::new().unwrap();
    let diagnosis = Diagnosis::of(&Machine::under(folder.path()), None);
    assert_eq!(diagnosis.severity, Warning, "{diagnosis:?}");
    let fixture = good();
    fixture.remove(CONFIG);
    assert_item(&fixture, "configuration", Fine, "there is no", "");
    assert_eq!(Diagnosis::of(&fixture.machine(), None).severity, Fine);
}

#[test]
fn a_configuration_with_a_mistake_is_an_error_and_the_machine_is_looked_at() {
    let fixture = good();
    fixture.write(CONFIG, "ports: 7\n");
    assert_item(&fixture, "configuration", Error, "sluice.yaml:1:8: ports: ", "--check");
    assert_item(&fixture, "processor", Fine, "A CPU", "");
}

#[test]
fn hugepages_are_counted_for_the_configuration() {
    let fixture = good();
    fixture.hugepages(None, 2048, 512, 100);
    assert_item(&fixture, "hugepages", Warning, "100 of 512 of 2M free", "setup --apply");
    fixture.write("/proc/77/comm", "sluiced\n");
    assert_item(&fixture, "hugepages", Fine, "a director runs", "");
    fixture.remove("/proc/77");
    let config = config_for(E1000E_QUOTED);
    fixture.write(CONFIG, &format!("{config}eal: {{ hugepages: require }}\n"));
    assert_item(&fixture, "hugepages", Error, "requires them", "setup --apply");
    // A page of 1 GiB is for packets, and not for flows.
    fixture.hugepages(None, 2048, 100, 100);
    fixture.hugepages(None, 1 << 20, 1, 1);
    assert_item(&fixture, "hugepages", Fine, "1 of 1 of 1G free", "");
    fixture.hugepages(None, 2048, 10, 10);
    assert_item(&fixture, "hugepages", Error, "requires them", "setup --apply");
    fixture.write(CONFIG, &format!("{config}eal: {{ hugepages: off }}\n"));
    assert_item(&fixture, "hugepages", Fine, "off", "");
}

const E1000E_QUOTED: &str = "\"0000:00:04.0\"";

#[test]
fn hugepages_of_the_wrong_node_are_far() {
    let fixture = good();
    fixture.hugepages(Some(0), 2048, 0, 0);
    fixture.hugepages(Some(1), 2048, 512, 512);
    let name = "hugepages by node";
    assert_item(&fixture, name, Warning, "node 0 has 0 free", "setup --apply");
}

#[test]
fn memory_is_enough_for_the_tables_that_are_on_no_hugepages() {
    let fixture = good();
    fixture.replace("/proc/meminfo", "8388608", "204800");
    assert_item(&fixture, "memory", Fine, "needs 64 MiB besides huge pages", "");
    fixture.hugepages(None, 2048, 0, 0);
    assert_item(&fixture, "memory", Error, "200 MiB of 16384 MiB", "lower flows.max");
    fixture.hugepages(None, 2048, 512, 512);
    let config = config_for(E1000E_QUOTED);
    fixture.write(CONFIG, &format!("{config}flows: {{ max: 268435456 }}\n"));
    assert_item(&fixture, "memory", Error, "the configuration needs", "lower flows.max");
}

#[test]
fn without_an_iommu_a_nic_reaches_all_memory() {
    let fixture = good();
    fixture.remove("/sys/kernel/iommu_groups");
    assert_item(&fixture, "iommu", Warning, "uio_pci_generic", "intel_iommu=on");
    fixture.replace("/proc/cpuinfo", "GenuineIntel", "AuthenticAMD");
    assert_item(&fixture, "iommu", Warning, "uio_pci_generic", "iommu=pt");
    fixture.remove("/lib/modules");
    assert_item(&fixture, "iommu", Error, "no NIC can be given away", "net_af_packet");
    fixture.write(CONFIG, &config_for("net_null0"));
    assert_item(&fixture, "iommu", Fine, "no port is a NIC", "");
}

#[test]
fn a_kernel_without_vfio_cannot_give_nics_away() {
    let fixture = good();
    fixture.bind(E1000E, Some("e1000e"));
    fixture.remove("/sys/bus/pci/drivers/vfio-pci");
    assert_item(&fixture, "iommu", Fine, "can be loaded", "");
    fixture.remove("/lib/modules");
    assert_item(&fixture, "iommu", Error, "no vfio-pci", "linux-image");
}

#[test]
fn a_nic_has_the_driver_that_dpdk_wants() {
    let fixture = good();
    let name = "nic 0000:00:04.0";
    assert_item(&fixture, name, Fine, "port lan0: 8086:10d3, driver vfio-pci", "");
    fixture.bind(E1000E, Some("e1000e"));
    assert_item(
        &fixture,
        name,
        Error,
        "driver e1000e, interface eth1 (down), node 0",
        "setup --apply",
    );
    fixture.bind(E1000E, None);
    assert_item(&fixture, name, Error, "no driver has it", "setup --apply");
    fixture.bind(E1000E, Some("uio_pci_generic"));
    assert_item(&fixture, name, Warning, "does not protect it", "setup --apply");
    fixture.bind(E1000E, Some("vfio-pci"));
    let other = "/sys/kernel/iommu_groups/2/devices/0000:00:03.0";
    fixture.write(other, "");
    assert_item(&fixture, name, Error, "cannot be had alone", "unbind it from virtio-pci");
    assert_item(&fixture, "nic 0000:00:03.0", Fine, "interface eth0 (up)", "");
}

#[test]
fn a_nic_that_dpdk_does_not_know_is_the_kernels() {
    let fixture = good();
    fixture.bind(E1000E, Some("e1000e"));
    fixture.write("/sys/bus/pci/devices/0000:00:04.0/device", "0xffee");
    let name = "nic 0000:00:04.0";
    assert_item(&fixture, name, Error, "DPDK has no driver", "net_af_packet0,iface=eth1");
    fixture.remove("/usr/lib");
    assert_item(&fixture, "dpdk drivers", Error, "there are none", "apt install dpdk");
    fixture.write(CONFIG, &config_for("net_null0"));
    assert_item(&fixture, "dpdk drivers", Fine, "", "");
}

#[test]
fn a_virtual_function_is_not_given_away_without_an_iommu() {
    let fixture = good();
    fixture.write("/sys/bus/pci/devices/0000:00:04.0/device", "0x154c");
    fixture.bind(E1000E, Some("iavf"));
    assert_item(&fixture, "nic 0000:00:04.0", Error, "DPDK's net_iavf", "setup --apply");
    fixture.remove("/sys/kernel/iommu_groups");
    assert_item(&fixture, "nic 0000:00:04.0", Error, "without an IOMMU", "net_af_packet");
}

#[test]
fn a_nic_that_dpdk_shares_keeps_its_driver() {
    let fixture = good();
    fixture.write(CONFIG, &config_for(&format!("\"{CONNECT_X}\"")).replace("[1]", "[2]"));
    let name = "nic 0000:00:05.0";
    assert_item(&fixture, name, Error, "modules are missing", "modprobe -a ib_uverbs mlx5_ib");
    for module in ["ib_uverbs", "mlx5_ib", "mlx5_core"] {
        fixture.write(&format!("/sys/module/{module}/refcnt"), "1");
    }
    assert_item(&fixture, name, Fine, "driver mlx5_core", "");
    assert_item(&fixture, "iommu", Fine, "no port is a NIC that has to be given away", "");
    fixture.bind(CONNECT_X, Some("vfio-pci"));
    assert_item(&fixture, name, Error, "beside the kernel's driver", "mlx5_core");
}

#[test]
fn a_nic_that_is_not_there_is_named_with_those_that_are() {
    let fixture = good();
    fixture.write(CONFIG, &config_for("\"0000:09:00.0\""));
    assert_item(&fixture, "nic 0000:09:00.0", Error, "port lan0", UPLINK);
}

#[test]
fn workers_are_left_alone_and_near_their_nic() {
    let fixture = good();
    fixture.write("/sys/devices/system/cpu/isolated", "2-3");
    assert_item(&fixture, "isolated cpus", Warning, "isolated 2-3", "isolcpus=1 nohz_full=1");
    fixture.write(CONFIG, &config_for("net_null0"));
    assert_item(&fixture, "isolated cpus", Fine, "sleep when idle", "");
    fixture.write(CONFIG, &config_for(E1000E_QUOTED).replace("[1]", "[2, 3]"));
    assert_item(&fixture, "numa", Warning, "is on node 0, no worker is", "`workers: [0, 1]`");
    let governor = "/sys/devices/system/cpu/cpu3/cpufreq/scaling_governor";
    fixture.write(governor, "powersave\n");
    assert_item(&fixture, "power governor", Warning, "powersave on CPU 3", "cpupower -c 3");
}

#[test]
fn the_kernels_interfaces_need_tun() {
    let fixture = good();
    fixture.remove("/dev/net/tun");
    assert_item(&fixture, "tun", Fine, "no port has `kernel: true`", "");
    fixture.write(CONFIG, &format!("{}    kernel: true\n", config_for(E1000E_QUOTED)));
    assert_item(&fixture, "tun", Error, "there is no /dev/net/tun", "modprobe tun");
}

#[test]
fn rights_that_are_missing_are_named() {
    let fixture = good();
    fixture.replace("/proc/self/status", "000001ffffffffff", "0000000000003000");
    assert_item(
        &fixture,
        "rights",
        Warning,
        "lacks CAP_IPC_LOCK, CAP_SYS_RAWIO, CAP_SYS_ADMIN, and may lock 8 MiB",
        "as root",
    );
}
