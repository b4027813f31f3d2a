//! `make install` into a folder: what is there works, and `make uninstall` takes it away again.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::director::{Director, Outcome, outcome, program};

/// A folder that stands for the file system.
struct Destination(PathBuf);

impl Destination {
    fn make(&self, target: &str) -> Outcome {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let programs = program("sluicectl").parent().unwrap().to_owned();
        let mut command = Command::new("make");
        command.arg("--no-print-directory").arg("-C").arg(root).arg(target);
        let variable = |name: &str, path: &Path| format!("{name}={}", path.display());
        command.arg(variable("DESTDIR", &self.0)).arg(variable("PROGRAMS", &programs));
        outcome(command.arg("PREFIX=/usr"))
    }

    fn file(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.file(path)).expect(path)
    }

    /// A shell's command line in the folder.
    fn sh(&self, text: &str) -> Outcome {
        outcome(Command::new("bash").current_dir(&self.0).args(["-c", text]))
    }

    /// All files.
    fn files(&self) -> Vec<String> {
        let found = self.sh("find . -type f -printf '%P\\n' | sort").stdout;
        found.lines().map(str::to_owned).collect()
    }
}

impl Drop for Destination {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn what_is_installed_works_and_can_be_removed() {
    let name = format!("sluice-install-{}", std::process::id());
    let destination = Destination(std::env::temp_dir().join(name));
    let made = destination.make("install");
    assert_eq!(made.exit, Some(0), "{made:?}");
    programs_run(&destination);
    pages_render(&destination);
    completions_list_the_verbs(&destination);
    tables_are_saved_and_restored(&destination);

    let unit = destination.text("usr/lib/systemd/system/sluiced.service");
    assert!(
        unit.contains("ExecStart=/usr/sbin/sluiced ") && !unit.contains("/usr/local"),
        "{unit}"
    );
    assert!(destination.text("usr/lib/sysusers.d/sluice.conf").contains("\nu sluice - "));
    let mode = fs::metadata(destination.file("usr/sbin/sluiced")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o755);

    // What an operator has written stays.
    fs::write(destination.file("etc/sluice/sluice.yaml"), "ports: []\n").unwrap();
    let made = destination.make("uninstall");
    assert_eq!((made.exit, made.stderr.as_str()), (Some(0), ""), "{made:?}");
    assert_eq!(destination.files(), ["etc/sluice/sluice.yaml"]);
}

fn programs_run(destination: &Destination) {
    for name in ["sluiced", "sluicectl"] {
        let version = destination.sh(&format!("usr/sbin/{name} --version"));
        assert!(version.stdout.starts_with(&format!("{name} ")), "{version:?}");
    }
    // The library is found from where the program is.
    let found = destination.sh("usr/sbin/sluicectl exec -- sh -c 'echo $LD_PRELOAD'");
    let library = destination.file("usr/sbin/../lib/sluice/libsluice_ipvs.so");
    assert_eq!(found.stdout.trim(), library.display().to_string(), "{found:?}");
}

/// groff says what it does not understand.
fn pages_render(destination: &Destination) {
    for name in ["sluiced", "sluiceadm", "sluicectl", "sluice-save", "sluice-restore"] {
        let line = format!("cd usr/share/man && groff -man -ww -z -Tutf8 man8/{name}.8");
        let rendered = destination.sh(&line);
        assert_eq!((rendered.exit, rendered.stderr.as_str()), (Some(0), ""), "{name}");
    }
    let page = destination.sh("cd usr/share/man && groff -man -Tascii -P-cbou man8/sluicectl.8");
    for text in ["sluicectl vips add", "Takes an address, and announces it", "EXIT STATUS"] {
        assert!(page.stdout.contains(text), "{text}: {}", page.stdout);
    }
}

fn completions_list_the_verbs(destination: &Destination) {
    let complete = |words: &str| {
        let count = words.split(' ').count() - 1;
        let name = words.split(' ').next().unwrap();
        destination
            .sh(&format!(
                "source usr/share/bash-completion/completions/{name}
                 COMP_WORDS=({words} '') COMP_CWORD={}
                 $(complete -p {name} | sed 's/.*-F \\([^ ]*\\).*/\\1/') {name} '' {name}
                 printf '%s\\n' \"${{COMPREPLY[@]}}\"",
                count + 1
            ))
            .stdout
    };
    let verbs = complete("sluicectl");
    for verb in ["status", "vips", "settings", "drops", "exec"] {
        assert!(verbs.lines().any(|line| line == verb), "{verb}: {verbs}");
    }
    assert!(complete("sluicectl vips").lines().any(|line| line == "withdraw"));
    for name in ["zsh/site-functions/_sluicectl", "fish/vendor_completions.d/sluicectl.fish"] {
        assert!(destination.text(&format!("usr/share/{name}")).contains("withdraw"), "{name}");
    }
}

fn tables_are_saved_and_restored(destination: &Destination) {
    let director = Director::start();
    let socket = format!("export SLUICE_SOCKET={}; ", director.control_socket().display());
    let run = |line: &str| destination.sh(&format!("{socket}{line}"));
    let rules = "# a comment\n-A -t 10.0.0.1:80 -s rr\n-a -t 10.0.0.1:80 -r 10.0.0.2:80 -m -w 1\n";
    fs::write(destination.file("rules"), rules).unwrap();
    assert_eq!(director.adm("-A -u 10.0.0.9:53 -s rr").exit, Some(0));
    let restored = run("usr/sbin/sluice-restore < rules");
    assert_eq!((restored.exit, restored.stderr.as_str()), (Some(0), ""));
    let saved = run("usr/sbin/sluice-save -n");
    assert_eq!(saved.stdout, rules.split_once('\n').unwrap().1);
    assert_eq!(run("usr/sbin/sluice-save -x").exit, Some(1));
    let named = destination.sh("SLUICE_SOCKET=/nowhere usr/sbin/sluice-save -n");
    assert_eq!(named.exit, Some(2));
    assert!(named.stderr.contains("cannot reach sluiced at /nowhere"), "{named:?}");
    fs::remove_file(destination.file("rules")).unwrap();
}
