//! Who may do what: users and groups of their own, in a mount namespace with its own user database.
//! The director's port goes nowhere, so this needs no network.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::director::{Reply, program, reply};
use crate::support::lab::eventually;

/// anna may change, rita may look, otto is nobody in particular.
const USERS: &str = "root:x:0:0:root:/root:/bin/sh\nanna:x:2001:2001::/:/bin/sh\n\
                     rita:x:2002:2002::/:/bin/sh\notto:x:2003:2003::/:/bin/sh\n";
const GROUPS: &str = "root:x:0:\nanna:x:2001:\nrita:x:2002:\notto:x:2003:\n\
                      lvs:x:3001:anna\nwatch:x:3002:rita\n";
const LVS: u32 = 3001;
const WATCH: u32 = 3002;

/// A director among these users, in a folder of its own.
struct House {
    folder: PathBuf,
    child: Child,
}

/// A user with the groups of a session, as login makes it, or of a unit.
#[derive(Clone, Copy)]
struct Session {
    uid: u32,
    gid: u32,
    groups: &'static [u32],
}

const ROOT: Session = session(0, &[]);

const fn session(uid: u32, groups: &'static [u32]) -> Session {
    Session { uid, gid: uid, groups }
}

impl House {
    fn start(control: &str) -> Self {
        let (folder, child) = spawn(control);
        let mut house = Self { folder, child };
        eventually(Duration::from_secs(60), "\"sluiced: ready\"", || {
            assert!(house.child.try_wait().unwrap().is_none(), "{}", house.messages());
            house.messages().lines().any(|line| line.starts_with("sluiced: ready")).then_some(())
        });
        house
    }

    fn messages(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn socket(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn run(&self, session: Session, words: &[&str]) -> Reply {
        let groups: Vec<_> = session.groups.iter().map(u32::to_string).collect();
        let mut command = Command::new("timeout");
        command.args(["60", "setpriv", "--reuid", &session.uid.to_string()]);
        command.args(["--regid", &session.gid.to_string()]);
        match groups.as_slice() {
            [] => command.arg("--clear-groups"),
            groups => command.args(["--groups", &groups.join(",")]),
        };
        command.arg(self.folder.join(words[0])).args(&words[1..]);
        command.env("SLUICE_SOCKET", self.socket("control.sock"));
        command.env("SLUICE_NETLINK_SOCKET", self.socket("netlink.sock"));
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        reply(&mut command)
    }

    fn adm(&self, session: Session, line: &str) -> Reply {
        let words: Vec<_> = ["sluiceadm"].into_iter().chain(line.split(' ')).collect();
        self.run(session, &words)
    }

    /// Debian's own program, by the netlink socket.
    fn ipvsadm(&self, session: Session, line: &str) -> Reply {
        let words = ["sluicectl", "exec", "--", "ipvsadm"].into_iter().chain(line.split(' '));
        self.run(session, &words.collect::<Vec<_>>())
    }

    fn table(&self) -> String {
        self.adm(ROOT, "-Sn").stdout
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("{}", self.messages());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Starts a director that sees those users and groups. What it is made of lies in a folder that
/// everybody may look into.
fn spawn(control: &str) -> (PathBuf, Child) {
    static HOUSES: AtomicU32 = AtomicU32::new(0);
    let number = HOUSES.fetch_add(1, Ordering::Relaxed);
    let name = format!("sluice-access-{}-{number}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    fs::create_dir_all(&folder).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
    for name in ["sluiceadm", "sluicectl"] {
        fs::copy(program(name), folder.join(name)).unwrap();
    }
    let library = Path::new(env!("CARGO_BIN_EXE_sluicectl")).parent().unwrap().join("deps");
    fs::copy(library.join("libsluice_ipvs.so"), folder.join("libsluice_ipvs.so")).unwrap();
    fs::write(folder.join("passwd"), USERS).unwrap();
    fs::write(folder.join("group"), GROUPS).unwrap();
    let shown = folder.display();
    let yaml = format!(
        "control: {{ socket: {shown}/control.sock, netlink_socket: {shown}/netlink.sock, \
         {control} }}\neal: {{ memory: 64M, hugepages: off }}\nflows: {{ max: 1024 }}\n\
         ports:\n  - name: lan0\n    device: net_null0\n    addresses: [10.0.10.61/24]\n"
    );
    fs::write(folder.join("sluice.yaml"), yaml).unwrap();
    let log = File::create(folder.join("log")).unwrap();
    let script = "cd \"$1\"\nmount --bind passwd /etc/passwd\nmount --bind group /etc/group\n\
                  exec \"$2\" --config sluice.yaml";
    let child = Command::new("unshare")
        .args(["--mount", "sh", "-ec", script, "sh"])
        .arg(&folder)
        .arg(program("sluiced"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    (folder, child)
}

fn mode_and_group(path: &Path) -> (u32, u32) {
    let metadata = fs::metadata(path).unwrap();
    (metadata.mode() & 0o777, metadata.gid())
}

#[test]
fn the_sockets_are_open_to_root_and_their_group_alone() {
    let house = House::start("group: lvs");
    for name in ["control.sock", "netlink.sock"] {
        assert_eq!(mode_and_group(&house.socket(name)), (0o660, LVS), "{name}");
    }
    let anna = session(2001, &[LVS]);
    assert_eq!(house.adm(anna, "-A -t 10.0.10.100:80 -s rr").code, Some(0));
    assert_eq!(house.ipvsadm(anna, "-A -t 10.0.10.100:81 -s rr").code, Some(0));
    let table = "-A -t 10.0.10.100:80 -s rr\n-A -t 10.0.10.100:81 -s rr\n";
    assert_eq!(house.table(), table);
    for stranger in [session(2003, &[]), session(2002, &[WATCH])] {
        let refused = house.adm(stranger, "-Ln");
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(refused.stderr.contains("Permission denied"), "{refused:?}");
        assert_ne!(house.ipvsadm(stranger, "-C").code, Some(0));
    }
    assert_eq!(house.table(), table);
}

#[test]
fn readers_look_and_change_nothing() {
    let house = House::start("group: lvs, read_group: watch");
    for name in ["control.sock", "netlink.sock"] {
        assert_eq!(mode_and_group(&house.socket(name)), (0o666, LVS), "{name}");
    }
    // Members by the user database, and by the group that a unit runs with.
    let anna = session(2001, &[]);
    let unit = Session { uid: 2999, gid: LVS, groups: &[] };
    assert_eq!(house.adm(anna, "-A -t 10.0.10.100:80 -s rr").code, Some(0));
    assert_eq!(house.ipvsadm(unit, "-A -t 10.0.10.100:81 -s rr").code, Some(0));
    let table = "-A -t 10.0.10.100:80 -s rr\n-A -t 10.0.10.100:81 -s rr\n";
    assert_eq!(house.table(), table);

    let rita = session(2002, &[]);
    let exporter = Session { uid: 2998, gid: WATCH, groups: &[] };
    for reader in [rita, exporter] {
        assert_eq!(house.adm(reader, "-Sn").stdout, table);
        assert_eq!(house.ipvsadm(reader, "-Sn").stdout, table);
        assert_eq!(house.run(reader, &["sluicectl", "status"]).code, Some(0));
        for line in ["-A -t 10.0.10.100:82 -s rr", "-C", "-Z", "-R", "--set 1 1 1"] {
            let refused = house.adm(reader, line);
            assert_eq!(refused.code, Some(2), "{line}: {refused:?}");
            let says = refused.stderr.contains("may not change anything here; root and members of");
            assert!(says && refused.stderr.contains("`lvs`"), "{line}: {refused:?}");
            // Nothing to restore is nothing to refuse.
            if line != "-R" {
                assert_ne!(house.ipvsadm(reader, line).code, Some(0), "{line}");
            }
        }
        let words = ["sluicectl", "settings", "set", "pmtu_disc", "0"];
        assert_eq!(house.run(reader, &words).code, Some(2));
        let words = ["sluicectl", "marks", "-A", "PREROUTING", "-j", "ACCEPT"];
        assert_eq!(house.run(reader, &words).code, Some(2));
    }
    assert!(house.adm(rita, "-C").stderr.contains("user rita (2002)"));

    let otto = session(2003, &[]);
    for line in ["-Ln", "-C"] {
        let refused = house.adm(otto, line);
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(
            refused.stderr.contains("user otto (2003) may not ask for anything"),
            "{refused:?}"
        );
        assert!(refused.stderr.contains("`lvs` and `watch`"), "{refused:?}");
        assert_ne!(house.ipvsadm(otto, line).code, Some(0));
    }
    assert_eq!(house.table(), table);
}

#[test]
fn groups_that_are_not_there_are_named() {
    let house = House::start("group: nowhere");
    let note = "control.group: there is no group `nowhere`, so the sockets belong to group `root`";
    assert!(house.messages().contains(note), "{}", house.messages());
    assert_eq!(mode_and_group(&house.socket("control.sock")), (0o660, 0));
    let (folder, mut child) = spawn("read_group: nowhere");
    let ended = eventually(Duration::from_secs(60), "the end", || child.try_wait().unwrap());
    let log = fs::read_to_string(folder.join("log")).unwrap();
    fs::remove_dir_all(folder).unwrap();
    assert_eq!(ended.code(), Some(1), "{log}");
    assert!(log.contains("control.read_group: there is no group `nowhere`; make it"), "{log}");
}
