//! Machines that are set up, with a kernel that behaves as Linux does.

use std::cell::RefCell;
use std::io;

use super::*;
use crate::machine::fixture::{CONNECT_X, E1000E, Fixture, UPLINK, config_for};

/// A kernel over the files of a fixture.
struct Linux<'a> {
    fixture: &'a Fixture,
    /// The driver that devices get that nobody wants for another one.
    own_driver: &'static str,
    /// Drivers that do not take a device.
    refuses: Vec<&'static str>,
    /// Huge pages that there is room for.
    pages_max: u64,
    said: RefCell<Vec<String>>,
}

impl<'a> Linux<'a> {
    fn new(fixture: &'a Fixture) -> Self {
        Self {
            fixture,
            own_driver: "e1000e",
            refuses: Vec::new(),
            pages_max: 10_000,
            said: RefCell::default(),
        }
    }

    fn probe(&self, address: &str) {
        let folder = format!("/sys/bus/pci/devices/{address}");
        let machine = self.fixture.machine();
        if machine.link(&format!("{folder}/driver")).is_some() {
            return;
        }
        let wish = machine.text(&format!("{folder}/driver_override")).unwrap();
        let wish = if wish.is_empty() || wish == "(null)" { self.own_driver } else { &wish };
        let is_there = machine.has(&format!("/sys/bus/pci/drivers/{wish}"));
        if is_there && !self.refuses.contains(&wish) {
            self.fixture.bind(address, Some(wish));
        }
    }
}

impl Kernel for Linux<'_> {
    fn put(&self, path: &str, text: &str) -> io::Result<()> {
        self.said.borrow_mut().push(format!("{path} {text}"));
        if path == "/sys/bus/pci/drivers_probe" {
            self.probe(text);
            return Ok(());
        }
        if !self.fixture.machine().has(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if path.ends_with("/unbind") {
            self.fixture.bind(text, None);
        } else if let Some(pool) = path.strip_suffix("/nr_hugepages") {
            let machine = self.fixture.machine();
            let free = format!("{pool}/free_hugepages");
            let (total, was_free) = (machine.number(path).unwrap(), machine.number(&free).unwrap());
            let new = text.parse::<u64>().unwrap().min(self.pages_max).max(total - was_free);
            self.fixture.write(path, &new.to_string());
            self.fixture.write(&free, &(was_free + new - total).to_string());
        } else {
            self.fixture.write(path, text);
        }
        Ok(())
    }

    fn load(&self, module: &str) -> io::Result<()> {
        self.said.borrow_mut().push(format!("modprobe {module}"));
        if self.fixture.machine().module(module) == crate::machine::ModuleState::Missing {
            return Err(io::Error::other("modprobe: not found"));
        }
        self.fixture.write(&format!("/sys/module/{}/refcnt", module.replace('-', "_")), "0");
        self.fixture.write(&format!("/sys/bus/pci/drivers/{module}/unbind"), "");
        Ok(())
    }
}

fn words(text: &str) -> SetupWords {
    let has = |word: &str| text.split(' ').any(|it| it == word);
    SetupWords {
        apply: has("apply"),
        undo: has("undo"),
        restore: has("restore"),
        auto: has("auto"),
        force: has("force"),
        ..SetupWords::default()
    }
}

fn setup(linux: &Linux<'_>, text: &str) -> Outcome {
    carry_out(&words(text), &linux.fixture.machine(), linux, None).unwrap()
}

fn steps(outcome: &Outcome) -> Vec<(&str, State)> {
    outcome.steps.iter().map(|line| (line.step.as_str(), line.state)).collect()
}

fn driver(fixture: &Fixture) -> Option<String> {
    fixture.machine().nic(E1000E).unwrap().driver
}

fn pages(fixture: &Fixture, node: usize) -> u64 {
    let pools = fixture.machine().hugepages_of_nodes();
    pools.iter().find(|pool| pool.node == Some(node)).unwrap().total
}

/// A machine with 30 huge pages on the node of the NIC, of which the configuration needs 204.
fn bare() -> Fixture {
    let fixture = Fixture::new();
    fixture.hugepages(Some(0), 2048, 30, 20);
    fixture
}

/// Forgets what a kernel forgets when it restarts; its command line reserves 50 huge pages.
fn reboot(fixture: &Fixture) {
    fixture.bind(E1000E, Some("e1000e"));
    fixture.write("/sys/bus/pci/devices/0000:00:04.0/driver_override", "(null)");
    fixture.hugepages(Some(0), 2048, 50, 50);
    for gone in ["/sys/module/vfio_pci", "/sys/bus/pci/drivers/vfio-pci"] {
        if fixture.machine().has(gone) {
            fixture.remove(gone);
        }
    }
}

#[test]
fn a_plan_says_all_and_changes_nothing() {
    let fixture = bare();
    let linux = Linux::new(&fixture);
    let outcome = setup(&linux, "");
    assert_eq!(
        steps(&outcome),
        [
            ("reserve huge pages of node 0: from 30 to 214 of 2M", State::Planned),
            ("load the module vfio-pci", State::Planned),
            ("load the module vfio_iommu_type1", State::Planned),
            (
                "bind 0000:00:04.0 to vfio-pci, from e1000e: the kernel loses eth1 (port lan0)",
                State::Planned
            ),
        ]
    );
    assert_eq!(outcome.exit(), 1);
    assert!(linux.said.borrow().is_empty(), "{:?}", linux.said);
    assert!(!fixture.machine().has(FILE));
    let text = report::text(&outcome, false);
    assert!(text.ends_with("nothing was done: sluicectl setup --apply does it\n"), "{text}");
}

#[test]
fn what_is_applied_is_not_applied_again() {
    let fixture = bare();
    let linux = Linux::new(&fixture);
    let outcome = setup(&linux, "apply");
    assert!(outcome.exit() == 0 && outcome.steps.len() == 4, "{outcome:?}");
    assert_eq!(driver(&fixture).as_deref(), Some("vfio-pci"));
    assert_eq!(pages(&fixture, 0), 214);
    let remembered = Remembered::read(&fixture.machine()).unwrap();
    assert_eq!(remembered.modules, ["vfio-pci", "vfio_iommu_type1"]);
    let nic = &remembered.nics[0];
    assert_eq!(nic.before.as_deref(), Some("e1000e"));
    assert_eq!(nic.mac.as_deref(), Some("52:54:00:00:00:04"));
    assert_eq!(nic.interface.as_deref(), Some("eth1"));
    // A director has taken the pages meanwhile.
    fixture.hugepages(Some(0), 2048, 214, 0);
    for again in ["apply", "restore", "restore auto", ""] {
        assert_eq!(steps(&setup(&linux, again)), [], "{again}");
    }
    assert_eq!(Remembered::read(&fixture.machine()).unwrap(), remembered);
    let more = config_for("\"0000:00:04.0\"") + "eal: { memory: 266M }\n";
    fixture.write(CONFIG, &more);
    let outcome = setup(&linux, "apply");
    let line = ("reserve huge pages of node 0: from 214 to 219 of 2M", State::Done);
    assert_eq!(steps(&outcome), [line]);
}

#[test]
fn what_is_undone_is_as_it_was() {
    let fixture = bare();
    let linux = Linux::new(&fixture);
    setup(&linux, "apply");
    let outcome = setup(&linux, "undo");
    assert_eq!(
        steps(&outcome),
        [
            ("give 0000:00:04.0 back to e1000e, from vfio-pci", State::Done),
            ("give huge pages back of node 0: from 214 to 30 of 2M", State::Done),
        ],
        "{outcome:?}"
    );
    assert_eq!(driver(&fixture).as_deref(), Some("e1000e"));
    assert_eq!(pages(&fixture, 0), 30);
    let wish = "/sys/bus/pci/devices/0000:00:04.0/driver_override";
    assert_eq!(fixture.machine().text(wish).as_deref(), Some(""));
    assert!(!fixture.machine().has(FILE));
    assert_eq!(setup(&linux, "undo").exit(), 0);
    assert_eq!(setup(&linux, "restore").steps.len(), 0, "it is forgotten");
}

#[test]
fn a_boot_does_again_what_was_applied_and_no_more() {
    let fixture = bare();
    let linux = Linux::new(&fixture);
    setup(&linux, "apply");
    reboot(&fixture);
    // The machine's own configuration has given it an address again; and ours is broken.
    fixture.write("/sys/class/net/eth1/flags", "0x1003");
    fixture.address_v4("eth1", "10.0.10.61", 24);
    fixture.write(CONFIG, "ports: 7\n");
    let outcome = setup(&linux, "restore");
    assert_eq!(outcome.exit(), 0, "{outcome:?}");
    assert_eq!(driver(&fixture).as_deref(), Some("vfio-pci"));
    assert_eq!(pages(&fixture, 0), 204);
    setup(&linux, "undo");
    assert_eq!(pages(&fixture, 0), 50, "what the boot has added, not what was added before it");
    assert_eq!(driver(&fixture).as_deref(), Some("e1000e"));
}

#[test]
fn a_boot_alone_does_what_nobody_has_applied_only_if_it_is_told_to() {
    let fixture = bare();
    let linux = Linux::new(&fixture);
    assert_eq!(setup(&linux, "restore").steps.len(), 0);
    assert_eq!(setup(&linux, "restore auto").exit(), 0);
    assert_eq!(driver(&fixture).as_deref(), Some("vfio-pci"));
    assert_eq!(Remembered::read(&fixture.machine()).unwrap().nics.len(), 1);
}

#[test]
fn the_nic_that_the_machine_is_reached_by_is_not_taken() {
    let fixture = bare();
    let mut linux = Linux::new(&fixture);
    linux.own_driver = "virtio-pci";
    fixture.write(CONFIG, &config_for(&format!("\"{UPLINK}\"")));
    let outcome = setup(&linux, "apply");
    let refused = "0000:00:03.0 (port lan0): eth0 carries the machine's default route: take \
                   another NIC, or say --force";
    assert_eq!(outcome.refused, [refused]);
    assert!(outcome.exit() == 2 && linux.said.borrow().is_empty(), "{:?}", linux.said);
    // Behind a VLAN on a bond.
    for (upper, lower) in [("vlan7", "bond0"), ("bond0", "eth0")] {
        fixture.write(&format!("/sys/class/net/{upper}/lower_{lower}/x"), "");
    }
    fixture.replace("/proc/net/route", "eth0", "vlan7");
    fixture.replace("/proc/net/ipv6_route", "eth0", "vlan7");
    assert_eq!(setup(&linux, "apply").refused, [refused]);
    assert_eq!(setup(&linux, "apply force").exit(), 0);
    assert!(Remembered::read(&fixture.machine()).unwrap().nics[0].forced);
    reboot(&fixture);
    fixture.bind(UPLINK, Some("virtio-pci"));
    assert_eq!(setup(&linux, "restore").exit(), 0, "that was said once and for all");
}

#[test]
fn the_nic_of_an_ssh_session_is_not_taken() {
    let fixture = bare();
    let linux = Linux::new(&fixture);
    let from = Some("10.1.2.3 50000 10.0.10.61 22");
    let outcome = carry_out(&words("apply"), &fixture.machine(), &linux, from).unwrap();
    assert!(outcome.refused[0].contains("eth1 carries an ssh session"), "{outcome:?}");
    assert_eq!(driver(&fixture).as_deref(), Some("e1000e"));
}

#[test]
fn a_nic_with_addresses_is_not_taken() {
    let fixture = bare();
    let linux = Linux::new(&fixture);
    fixture.address_v4("eth1", "10.0.10.61", 24);
    fixture.write("/sys/class/net/eth1/flags", "0x1003");
    let outcome = setup(&linux, "apply");
    assert!(outcome.refused[0].contains("eth1 is up and has the address 10.0.10.61"));
    fixture.write("/sys/class/net/eth1/flags", "0x1002");
    assert_eq!(setup(&linux, "").refused, [""; 0]);
    // Of a VLAN on it.
    fixture.write("/sys/class/net/eth1.7/flags", "0x1003");
    fixture.write("/sys/class/net/eth1.7/lower_eth1/x", "");
    fixture.address_v4("eth1.7", "10.0.7.61", 24);
    let outcome = setup(&linux, "apply");
    assert!(outcome.refused[0].contains("eth1.7 is up and has the address 10.0.7.61"));
    assert_eq!(setup(&linux, "apply force").exit(), 0);
}

#[test]
fn without_an_iommu_there_is_uio_with_a_warning() {
    let fixture = bare();
    let linux = Linux::new(&fixture);
    fixture.remove("/sys/kernel/iommu_groups");
    let outcome = setup(&linux, "apply");
    assert_eq!(outcome.exit(), 0, "{outcome:?}");
    assert!(outcome.notes[0].contains("can read and write all memory"), "{outcome:?}");
    assert_eq!(driver(&fixture).as_deref(), Some("uio_pci_generic"));
    // A virtual function has no line for its interrupt.
    setup(&linux, "undo");
    fixture.write("/sys/bus/pci/devices/0000:00:04.0/device", "0x154c");
    let outcome = setup(&linux, "apply");
    assert!(outcome.refused[0].contains("there is no IOMMU"), "{outcome:?}");
}

#[test]
fn an_iommu_that_was_switched_on_is_used() {
    let fixture = bare();
    fixture.bind(E1000E, Some("uio_pci_generic"));
    let linux = Linux::new(&fixture);
    assert_eq!(setup(&linux, "apply").exit(), 0);
    assert_eq!(driver(&fixture).as_deref(), Some("vfio-pci"));
}

#[test]
fn a_nic_that_dpdk_shares_stays_where_it_is() {
    let fixture = bare();
    fixture.write(CONFIG, &config_for(&format!("\"{CONNECT_X}\"")));
    fixture.write("/sys/module/mlx5_core/refcnt", "1");
    let linux = Linux::new(&fixture);
    let outcome = setup(&linux, "apply");
    assert_eq!(
        steps(&outcome),
        [
            ("reserve huge pages of node 1: from 0 to 204 of 2M", State::Done),
            ("load the module ib_uverbs", State::Done),
            ("load the module mlx5_ib", State::Done),
        ],
        "{outcome:?}"
    );
    let nic = fixture.machine().nic(CONNECT_X).unwrap();
    assert_eq!(nic.driver.as_deref(), Some("mlx5_core"));
}

#[test]
fn a_group_is_given_away_as_a_whole() {
    let fixture = bare();
    fixture.write("/sys/kernel/iommu_groups/2/devices/0000:00:05.0", "");
    let linux = Linux::new(&fixture);
    let outcome = setup(&linux, "apply");
    let why = "shares its IOMMU group with 0000:00:05.0, which mlx5_core has";
    assert!(outcome.refused[0].contains(why), "{outcome:?}");
}

#[test]
fn a_driver_that_does_not_take_the_nic_leaves_it_as_it_was() {
    let fixture = bare();
    let mut linux = Linux::new(&fixture);
    linux.refuses = vec!["vfio-pci"];
    let outcome = setup(&linux, "apply");
    let states: Vec<_> = outcome.steps.iter().map(|line| line.state).collect();
    assert_eq!(states, [State::Done, State::Done, State::Done, State::Failed]);
    let problem = outcome.steps[3].problem.as_deref().unwrap();
    assert!(problem.contains("did not give it to vfio-pci, but to nobody"), "{problem}");
    assert!(problem.contains("its own driver has it again"), "{problem}");
    assert_eq!(outcome.exit(), 2);
    assert_eq!(driver(&fixture).as_deref(), Some("e1000e"));
    let remembered = Remembered::read(&fixture.machine()).unwrap();
    assert!(remembered.nics.is_empty() && remembered.hugepages.len() == 1, "{remembered:?}");
    linux.refuses.clear();
    assert_eq!(setup(&linux, "apply").exit(), 0);
}

#[test]
fn pages_that_there_is_no_room_for_stop_it_and_are_given_back() {
    let fixture = bare();
    let mut linux = Linux::new(&fixture);
    linux.pages_max = 100;
    fixture.write("/proc/sys/vm/compact_memory", "");
    let outcome = setup(&linux, "apply");
    let states: Vec<_> = outcome.steps.iter().map(|line| line.state).collect();
    assert_eq!(states, [State::Failed, State::Skipped, State::Skipped, State::Skipped]);
    let problem = outcome.steps[0].problem.as_deref().unwrap();
    assert!(problem.contains("room for 100 of 214"), "{problem}");
    assert!(linux.said.borrow().contains(&"/proc/sys/vm/compact_memory 1".to_owned()));
    setup(&linux, "undo");
    assert_eq!(pages(&fixture, 0), 30);
    fixture.replace("/proc/meminfo", "8388608", "102400");
    let outcome = setup(&linux, "apply");
    assert!(outcome.refused[0].contains("368 MiB of huge pages are missing"), "{outcome:?}");
}

#[test]
fn a_running_director_keeps_what_it_has() {
    let fixture = bare();
    let linux = Linux::new(&fixture);
    setup(&linux, "apply");
    fixture.write("/proc/77/comm", "sluiced\n");
    let outcome = setup(&linux, "undo");
    assert!(outcome.refused[0].contains("systemctl stop sluiced"), "{outcome:?}");
    assert_eq!(driver(&fixture).as_deref(), Some("vfio-pci"));
    assert_eq!(setup(&linux, "undo force").exit(), 0);
    fixture.bind(E1000E, Some("uio_pci_generic"));
    let outcome = setup(&linux, "apply");
    assert!(outcome.refused[0].contains("a director runs, and may have it"), "{outcome:?}");
}

#[test]
fn another_nic_at_the_same_address_is_not_taken() {
    let fixture = bare();
    let linux = Linux::new(&fixture);
    setup(&linux, "apply");
    reboot(&fixture);
    fixture.write("/sys/bus/pci/devices/0000:00:04.0/device", "0x100e");
    let outcome = setup(&linux, "restore");
    assert!(outcome.refused[0].contains("it was 8086:10d3 and is 8086:100e now"), "{outcome:?}");
    assert_eq!(driver(&fixture).as_deref(), Some("e1000e"));
    assert_eq!(pages(&fixture, 0), 204, "the rest is done");
    let outcome = setup(&linux, "undo");
    assert!(outcome.exit() == 0 && outcome.notes[0].contains("not there any more"));
}

#[test]
fn a_nic_that_is_named_by_its_interface_is_found_when_that_is_gone() {
    let fixture = bare();
    let linux = Linux::new(&fixture);
    fixture.write(CONFIG, &config_for("{ interface: eth1 }"));
    assert_eq!(setup(&linux, "apply").exit(), 0);
    assert_eq!(driver(&fixture).as_deref(), Some("vfio-pci"));
    fixture.remove("/sys/class/net/eth1");
    fixture.hugepages(Some(0), 2048, 214, 0);
    assert_eq!(steps(&setup(&linux, "apply")), []);
    fixture.write(CONFIG, &config_for("{ mac: \"52:54:00:00:00:04\" }"));
    assert_eq!(steps(&setup(&linux, "restore auto")), []);
    let items = crate::doctor::Diagnosis::of(&fixture.machine(), None).items;
    let nic = items.iter().find(|item| item.name == "nic 0000:00:04.0").unwrap();
    assert!(nic.found.starts_with("port lan0: 8086:10d3, driver vfio-pci"), "{nic:?}");
}

#[test]
fn what_was_there_already_is_there_after_a_boot_too() {
    let fixture = Fixture::new();
    fixture.bind(E1000E, Some("vfio-pci"));
    let linux = Linux::new(&fixture);
    assert_eq!(steps(&setup(&linux, "apply")), []);
    reboot(&fixture);
    assert_eq!(setup(&linux, "restore").exit(), 0);
    assert_eq!(driver(&fixture).as_deref(), Some("vfio-pci"));
    assert_eq!(pages(&fixture, 0), 204);
}

#[test]
fn a_kernel_without_modules_is_said() {
    let fixture = bare();
    fixture.remove("/lib/modules");
    let linux = Linux::new(&fixture);
    let outcome = setup(&linux, "apply");
    assert!(outcome.refused[0].contains("this kernel has no vfio-pci"), "{outcome:?}");
    let problem = Kernel::load(&fixture.machine(), "vfio-pci").unwrap_err().to_string();
    assert!(problem.contains("not the machine that runs"), "{problem}");
}

#[test]
fn a_configuration_that_is_wrong_is_refused_and_at_boot_the_rest_is_done() {
    let fixture = bare();
    let linux = Linux::new(&fixture);
    setup(&linux, "apply");
    reboot(&fixture);
    fixture.write(CONFIG, "ports: 7\n");
    let outcome = setup(&linux, "restore auto");
    assert!(outcome.refused[0].contains("sluice.yaml:1:8"), "{outcome:?}");
    assert_eq!((outcome.exit(), driver(&fixture).as_deref()), (2, Some("vfio-pci")));
}
