//! Reloads of a director without ports.

use std::fs;
use std::path::PathBuf;

use lb_core::clock::Tick;
use lb_core::director::Limits;
use lb_core::flow::{FlowTable, Storage};
use lb_core::hash::FlowHasher;
use lb_core::interface::{Interface, InterfaceId};
use lb_core::ipvsadm::{self, Numeric};
use lb_core::marks::request;
use lb_core::wire::MacAddress;

use super::*;
use crate::control::report::text;

const PORTS: &str = "\
ports: [ { name: lan0, device: net_null0, addresses: [10.0.10.61/24] } ]
";

/// A director and its file, in a folder that is removed with it.
struct Bed {
    folder: tempfile::TempDir,
    live: Live,
    control: Mutex<Control>,
}

impl Bed {
    /// A director that was started with this text, with room for 8 real servers.
    fn start(file: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sluice.yaml");
        fs::write(&path, format!("{PORTS}{file}")).unwrap();
        let (config, names) = assemble::load(&path).unwrap_or_else(|errors| panic!("{errors}"));
        let hasher = FlowHasher::new([1, 2, 3]);
        let mac = MacAddress([2, 0, 0, 0, 0, 1]);
        let lan =
            Interface::new("lan0", InterfaceId(0), mac, 1500).with_address([10, 0, 10, 61], 24);
        let network = assemble::network(&config, vec![lan]);
        let flows = FlowTable::new(64, Storage::leaked(64), hasher);
        let limits = Limits { destinations_max: 8, datagrams_max: 1 };
        let mut control = Control::new(flows, limits, 0, hasher, network);
        control.set_settings(assemble::settings(&config));
        let rules = assemble::mark_rules(&config.marks, control.interfaces(), &names).unwrap();
        control
            .change_marks(|marks, _| {
                *marks = rules;
                Ok::<_, MarksError>(())
            })
            .unwrap();
        let lines: Vec<_> = config.services.iter().map(String::as_str).collect();
        assert_eq!(assemble::run_services(&lines, &mut control, &names), []);
        control.publish();
        let live = Live::new(&path, &config, &control, &names).unwrap();
        Self { folder, live, control: Mutex::new(control) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, file: &str) {
        fs::write(self.path("sluice.yaml"), format!("{PORTS}{file}")).unwrap();
    }

    /// An ipvsadm command line.
    fn command(&self, line: &str) {
        let words = ipvsadm::restore_words(line);
        let outcome = ipvsadm::execute(&words, &[], &mut *lock(&self.control), &Numeric);
        assert_eq!((outcome.exit, outcome.stderr.as_str()), (0, ""), "{line}");
        lock(&self.control).publish();
    }

    /// What `-Sn` saves.
    fn saved(&self) -> String {
        ipvsadm::execute(&["-Sn"], &[], &mut *lock(&self.control), &Numeric).stdout
    }

    fn set(&self, switch: &str, value: &str) {
        let mut control = lock(&self.control);
        let mut settings = *control.settings();
        let switch = lb_core::settings::Switch::named(switch).unwrap();
        switch.set_text(&mut settings, value).unwrap();
        control.set_settings(settings);
    }

    fn reload(&self, options: Options) -> Reloaded {
        self.live.reload(&self.control, options).unwrap_or_else(|problem| panic!("{problem}"))
    }

    fn ending(&self) -> Ending {
        self.reload(Options::default()).ending
    }

    fn diff(&self) -> String {
        text(&self.live.diff(&self.control, None).unwrap(), false)
    }
}

fn winning(winner: Winner) -> Options {
    Options { winner: Some(winner), ..Options::default() }
}

const WEB: &str = "\
services: |
  -A -t 10.0.10.100:80 -s rr
  -a -t 10.0.10.100:80 -r 10.0.10.83:80 -g -w 1
  -a -t 10.0.10.100:80 -r 10.0.10.84:80 -g -w 1
";

/// What `-Sn` prints of it.
fn web() -> String {
    WEB.replace("services: |\n", "").replace("  -", "-")
}

#[test]
fn an_unchanged_file_changes_nothing() {
    let bed = Bed::start(WEB);
    let before = lock(&bed.control).director().snapshot.load();
    let reloaded = bed.reload(Options::default());
    assert_eq!(reloaded.ending, Ending::Done);
    assert!(reloaded.items.is_empty());
    assert_eq!(bed.saved(), web());
    assert_eq!(bed.diff(), "The director is as its file says.\n");
    let after = lock(&bed.control).director().snapshot.load();
    assert!(std::sync::Arc::ptr_eq(&before, &after), "workers see nothing new");
}

#[test]
fn what_the_file_changed_is_taken_and_the_rest_is_not_touched() {
    let bed = Bed::start(WEB);
    let file = WEB.replace("10.0.10.84:80 -g -w 1", "10.0.10.84:80 -g -w 5")
        + "  -A -u 10.0.10.100:53 -s wlc\n  -a -u 10.0.10.100:53 -r 10.0.10.85:53 -m -w 2\n";
    bed.write(&file);
    let said = bed.diff();
    assert!(said.contains("taken by a reload:\n"), "{said}");
    assert!(
        said.contains("  - -a -t 10.0.10.100:80 -r 10.0.10.84:80 -g -w 1\n  + -a -t"),
        "{said}"
    );
    assert!(said.contains("  + -A -u 10.0.10.100:53 -s wlc\n"), "{said}");
    let dry = bed.reload(Options { is_dry_run: true, ..Options::default() });
    assert_eq!((dry.ending, bed.saved()), (Ending::WouldDo, web()));
    assert_eq!(bed.ending(), Ending::Done);
    let saved = bed.saved();
    assert!(saved.contains("-r 10.0.10.84:80 -g -w 5\n"), "{saved}");
    assert!(saved.contains("-a -u 10.0.10.100:53 -r 10.0.10.85:53 -m -w 2\n"), "{saved}");
    bed.write("");
    assert_eq!(bed.ending(), Ending::Done);
    assert_eq!(bed.saved(), "");
}

#[test]
fn what_was_commanded_stays_until_the_file_disagrees() {
    let bed = Bed::start(WEB);
    bed.command("-e -t 10.0.10.100:80 -r 10.0.10.83:80 -g -w 0");
    bed.command("-A -f 7 -s rr");
    bed.command("-d -t 10.0.10.100:80 -r 10.0.10.84:80");
    let commanded = bed.saved();
    let said = bed.diff();
    assert!(said.starts_with("Changed by command, kept by a reload:\n"), "{said}");
    assert!(said.contains("  + -a -t 10.0.10.100:80 -r 10.0.10.84:80 -g -w 1\n"), "{said}");
    assert!(said.contains("  - -A -f 7 -s rr\n"), "{said}");
    // Another change of the file is taken meanwhile.
    bed.write(&format!("{WEB}  -A -u 10.0.10.100:53 -s wlc\n"));
    let reloaded = bed.reload(Options::default());
    assert_eq!((reloaded.ending, reloaded.items.commanded.len()), (Ending::Done, 3));
    assert_eq!(bed.saved(), commanded.replace("-A -f", "-A -u 10.0.10.100:53 -s wlc\n-A -f"));

    bed.write(&WEB.replace("10.0.10.83:80 -g -w 1", "10.0.10.83:80 -g -w 9"));
    let before = bed.saved();
    let reloaded = bed.reload(Options::default());
    assert_eq!(reloaded.ending, Ending::Conflicts);
    assert_eq!(reloaded.items.conflicts.len(), 1);
    assert_eq!(bed.saved(), before, "nothing at all was changed");
    assert_eq!(bed.reload(winning(Winner::Command)).ending, Ending::Done);
    let saved = bed.saved();
    assert!(saved.contains("10.0.10.83:80 -g -w 0\n") && !saved.contains("-u"), "{saved}");
    // The decision holds: the file did not change since.
    assert_eq!(bed.ending(), Ending::Done);

    bed.write(&WEB.replace("10.0.10.83:80 -g -w 1", "10.0.10.83:80 -g -w 3"));
    assert_eq!(bed.ending(), Ending::Conflicts);
    assert_eq!(bed.reload(winning(Winner::File)).ending, Ending::Done);
    assert!(bed.saved().contains("10.0.10.83:80 -g -w 3\n"));
}

#[test]
fn a_service_that_one_removed_and_the_other_changed_is_one_conflict() {
    let bed = Bed::start(WEB);
    bed.command("-a -t 10.0.10.100:80 -r 10.0.10.85:80 -g -w 1");
    bed.write("");
    assert_eq!(bed.ending(), Ending::Conflicts);
    assert_eq!(bed.reload(winning(Winner::Command)).ending, Ending::Done);
    assert!(bed.saved().contains("10.0.10.85"), "with what was added by command");
    bed.write(WEB);
    // Now it is the file that adds what is there already; the third server is a command's.
    assert_eq!(bed.ending(), Ending::Done);
    assert!(bed.saved().contains("10.0.10.85"));

    bed.command("-D -t 10.0.10.100:80");
    assert_eq!(bed.ending(), Ending::Done);
    assert_eq!(bed.saved(), "", "it was removed by command, and the file did not change");
    bed.write(&WEB.replace("-s rr", "-s wlc"));
    assert_eq!(bed.ending(), Ending::Conflicts);
    assert_eq!(bed.reload(winning(Winner::File)).ending, Ending::Done);
    assert_eq!(bed.saved(), web().replace("-s rr", "-s wlc"));
}

#[test]
fn a_table_that_was_saved_into_the_services_file_is_no_difference() {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("services.rules");
    fs::write(&rules, web()).unwrap();
    let file = format!("services_file: {}\n", rules.display());
    let bed = Bed::start(&file);
    assert_eq!(bed.saved(), web());
    bed.command("-A -u 10.0.10.100:53 -s wlc");
    bed.command("-e -t 10.0.10.100:80 -r 10.0.10.83:80 -g -w 4");
    fs::write(&rules, bed.saved()).unwrap();
    let reloaded = bed.reload(Options::default());
    assert!(reloaded.items.is_empty());
    assert_eq!(Bed::start(&file).saved(), bed.saved(), "it outlives a restart");
}

#[test]
fn switches_marks_and_surroundings_are_reloaded() {
    let bed = Bed::start("settings: { sloppy_tcp: 0 }\n");
    bed.write(
        "settings: { sloppy_tcp: 1, drop_entry: 1 }\nip_forward: false\nvips: [10.0.10.9]\n\
         kernel: { rate: 5 }\nroutes: [ { to: 0.0.0.0/0, via: 10.0.10.1 } ]\n\
         marks: { rules: \"-A PREROUTING -d 10.0.10.101 -j MARK --set-mark 10\", intercept: [7] }\n",
    );
    assert_eq!(bed.ending(), Ending::Done);
    let control = lock(&bed.control);
    let settings = control.settings();
    assert!(settings.sloppy_tcp && !settings.ip_forward);
    assert_eq!((settings.kernel_rate, control.mark_rules().v4.len()), (5, 1));
    assert_eq!(control.mark_rules().intercepted, [7]);
    assert!(control.routes().hop([192, 0, 2, 1].into()).is_some());
    assert!(control.address_rows().iter().any(|row| row.address.to_string() == "10.0.10.9"));
    drop(control);
    assert_eq!(bed.diff(), "The director is as its file says.\n");

    bed.set("sloppy_tcp", "0");
    let words = ["-F"];
    let flush = request::request(&words, b"", &Numeric).unwrap();
    lock(&bed.control).change_marks(|rules, lan| flush.apply(rules, lan)).unwrap();
    let said = bed.diff();
    assert!(said.contains("  - settings.sloppy_tcp: 0\n  + settings.sloppy_tcp: 1\n"), "{said}");
    assert!(said.contains("  - marks.rules: none\n"), "{said}");
    assert_eq!(bed.ending(), Ending::Done);
    assert!(!lock(&bed.control).settings().sloppy_tcp, "it was set by command");
    bed.write("marks: { rules: \"-A PREROUTING -d 10.0.10.102 -j MARK --set-mark 10\" }\n");
    assert_eq!(bed.ending(), Ending::Conflicts);
    assert_eq!(bed.reload(winning(Winner::File)).ending, Ending::Done);
    let control = lock(&bed.control);
    assert_eq!(control.mark_rules().v4.len(), 1);
    assert!(control.settings().ip_forward && control.routes().hop([192, 0, 2, 1].into()).is_none());
}

#[test]
fn a_switch_that_moves_by_itself_was_not_commanded() {
    let bed = Bed::start("settings: { drop_entry: 1, amemthresh: 1000 }\n");
    lock(&bed.control).tick(Tick(1));
    assert_eq!(lock(&bed.control).settings().drop_entry as i64, 2, "room is short");
    assert_eq!(bed.diff(), "The director is as its file says.\n");
    bed.write("settings: { drop_entry: 3, amemthresh: 1000 }\n");
    assert_eq!(bed.ending(), Ending::Done);
    assert_eq!(lock(&bed.control).settings().drop_entry as i64, 3);
}

#[test]
fn what_needs_a_restart_is_said_each_time_and_the_rest_is_taken() {
    let bed = Bed::start("");
    bed.write("flows: { max: 7 }\nvips: [10.0.10.9]\n");
    let strict = Options { is_strict: true, ..Options::default() };
    assert_eq!(bed.reload(strict).ending, Ending::NeedsRestart);
    assert_eq!(lock(&bed.control).address_rows().len(), 1);
    for _ in 0..2 {
        let reloaded = bed.reload(Options::default());
        assert_eq!(reloaded.ending, Ending::Done);
        let said = text(&reloaded, false);
        let wanted = "Needs a restart, not in force:\n  - flows.max: 1048576\n  + flows.max: 7\n";
        assert!(said.contains(wanted), "{said}");
        assert_eq!(lock(&bed.control).address_rows().len(), 2);
    }
}

#[test]
fn routes_of_ports_that_are_not_there_wait_with_them() {
    let bed = Bed::start("routes: [ { to: 0.0.0.0/0, via: 10.0.10.1 } ]\n");
    let file = "\
ports:
- { name: wan0, device: net_null1, addresses: [192.0.2.61/24] }
- { name: lan0, device: net_null0, addresses: [10.0.10.61/24] }
routes: [ { to: 0.0.0.0/0, via: 192.0.2.1 } ]
vips: [10.0.10.9]
";
    fs::write(bed.path("sluice.yaml"), file).unwrap();
    let said = text(&bed.reload(Options::default()), false);
    assert!(said.contains("  + routes: 0.0.0.0/0 via 192.0.2.1 dev wan0\n"), "{said}");
    assert!(said.find("routes:") > said.find("Needs a restart"), "{said}");
    let hop = lock(&bed.control).routes().hop([198, 51, 100, 1].into()).unwrap();
    assert_eq!(hop.neighbour.to_string(), "10.0.10.1");
    assert_eq!(lock(&bed.control).address_rows().len(), 2);
}

#[test]
fn a_wrong_file_changes_nothing_and_is_explained() {
    let bed = Bed::start(WEB);
    bed.write("services: |\n  -A -t 10.0.10.100:80 -s nonsense\nflows: { max: 0 }\n");
    let problem = bed.live.reload(&bed.control, Options::default()).unwrap_err().to_string();
    assert!(problem.contains("sluice.yaml:3:") && problem.contains("sluice.yaml:4:"), "{problem}");
    assert_eq!(bed.saved(), web());
    fs::remove_file(bed.path("sluice.yaml")).unwrap();
    let problem = bed.live.reload(&bed.control, Options::default()).unwrap_err().to_string();
    assert!(problem.contains("does not exist"), "{problem}");
}

#[test]
fn more_real_servers_than_there_is_room_for_change_nothing() {
    let bed = Bed::start(WEB);
    let mut file = WEB.replace("-w 1", "-w 2");
    for server in 1..=7 {
        file += &format!("  -a -t 10.0.10.100:80 -r 10.0.11.{server}:80 -g -w 1\n");
    }
    bed.write(&file);
    let problem = bed.live.reload(&bed.control, Options::default()).unwrap_err().to_string();
    assert!(problem.contains("destinations.max"), "{problem}");
    assert_eq!(bed.saved(), web());
}
