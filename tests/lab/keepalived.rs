//! keepalived of the distribution, unpatched, drives the director as it drives the kernel's IPVS,
//! while clients come and go. Each request that fails is counted and has to be explained.

mod checks; // servers that die, come back, fall ill, and are drained
mod failover; // two directors, of which one has the address
mod groups; // many addresses and marks as one service, and clients that are kept
mod methods; // NAT, tunnels, and IPv6
mod quorum; // enough servers, or somebody who says sorry
mod reload; // another configuration while clients come
mod stop; // what is left when keepalived ends, and what it finds when it begins
mod words; // what each setting becomes, and what is refused

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::config::Config;
use crate::support::daemon::{Daemon, file_of};
use crate::support::director::{Director, program, socket_in};
use crate::support::lab::{Lab, VIP, eventually};
use crate::support::visits::Visits;

/// Answers enough to be sure that every server was asked.
const SOME: usize = 40;

/// What every configuration here begins with: checks each second, at once.
const GLOBAL: &str = "global_defs {\n    router_id director1\n    script_user root\n}\n";

/// A keepalived whose IPVS is the director of its host.
#[derive(Debug)]
struct Keepalived<'lab> {
    daemon: Daemon<'lab>,
    file: PathBuf,
}

impl<'lab> Keepalived<'lab> {
    /// Starts it in a host of the lab and waits until it has set up its services.
    fn start(lab: &'lab Lab, host: &str, text: &str, options: &str) -> Self {
        let file = file_of(lab, host, "keepalived.conf");
        std::fs::write(&file, text).expect("the lab's folder is writable");
        let socket = socket_in(lab, host).with_extension("netlink");
        let (starter, arguments) = command_line(lab, host, &socket, &file);
        let arguments = format!("{arguments} {options}");
        let daemon = Daemon::start_by(lab, host, &starter, "keepalived", &arguments);
        let keepalived = Self { daemon, file };
        keepalived.daemon.wait_for("Startup complete");
        keepalived
    }

    /// Has it read another configuration, and waits until it has.
    fn reload(&self, text: &str) {
        let before = self.daemon.count("Reload complete");
        std::fs::write(&self.file, format!("{GLOBAL}{text}")).expect("it was written before");
        self.daemon.signal("HUP");
        self.daemon.wait_for_more("Reload complete", before);
    }

    /// Tells it to end, which it does in order, with all of its processes.
    fn stop(self) {
        self.daemon.stop();
        let text = self.daemon.messages();
        assert!(text.contains("Stopped Keepalived") && !text.contains("failed to die"), "{text}");
    }

    /// The health checker alone, in the lab's host `director`.
    fn checking(lab: &'lab Lab, text: &str) -> Self {
        Self::start(lab, "director", &format!("{GLOBAL}{text}"), "--check")
    }
}

/// What stands before keepalived on its command line, so that its IPVS is the director at a socket,
/// and its arguments.
fn command_line(lab: &Lab, host: &str, socket: &Path, file: &Path) -> (String, String) {
    let sluicectl = program("sluicectl");
    let starter = format!("{} exec --netlink-socket {} --", sluicectl.display(), socket.display());
    let arguments = format!(
        "--dont-fork --log-console --no-syslog --log-detail -f {} -p {} -c {} -r {}",
        file.display(),
        file_of(lab, host, "keepalived.pid").display(),
        file_of(lab, host, "checkers.pid").display(),
        file_of(lab, host, "vrrp.pid").display()
    );
    (starter, arguments)
}

/// A script for MISC_CHECK that exits as it is told.
#[derive(Debug)]
struct Verdicts {
    folder: PathBuf,
    script: PathBuf,
}

impl Verdicts {
    fn new(lab: &Lab) -> Self {
        let script = lab.dir().join("verdict");
        script_file(lab, &script, "read code <\"$1\"\nexit \"$code\"\n");
        Self { folder: lab.dir().to_owned(), script }
    }

    /// What the check of that name exits with from now on.
    fn set(&self, name: &str, exit: u8) {
        // Renamed, as the script must not find half a file.
        let new = self.folder.join("new-verdict");
        let done = std::fs::write(&new, format!("{exit}\n"));
        done.and_then(|()| std::fs::rename(&new, self.file(name))).expect("it is writable");
    }

    /// The check of that name, for a real server.
    fn check(&self, name: &str) -> String {
        let (script, file) = (self.script.display(), self.file(name));
        let path = format!("misc_path \"{script} {}\"", file.display());
        format!("        MISC_CHECK {{\n            {path}\n            misc_dynamic\n        }}")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.verdict"))
    }
}

fn script_file(lab: &Lab, path: &Path, text: &str) {
    std::fs::write(path, format!("#!/bin/sh\n{text}")).expect("the lab's folder is writable");
    lab.sh(&format!("chmod 755 {}", path.display()));
}

/// The lines of a service's real servers: end, method, weight.
fn pool(director: &Director<'_>, service: &str) -> Vec<String> {
    let text = director.ask("sluiceadm", &format!("-Ln {service}")).stdout;
    let server = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["->", end, method, weight, active, _] if active.parse::<u32>().is_ok() => {
                Some(format!("{end} {method} {weight}"))
            }
            _ => None,
        }
    };
    let mut lines: Vec<String> = text.lines().filter_map(server).collect();
    lines.sort();
    lines
}

/// Waits until a service has these real servers.
fn wait_for_pool(director: &Director<'_>, service: &str, servers: &[&str]) {
    let what = format!("{service} with {servers:?}");
    eventually(Duration::from_secs(30), &what, || {
        (pool(director, service) == servers).then_some(())
    });
}

/// One segment, with interfaces of the kernel that keepalived can speak by.
fn lab() -> Lab {
    let lab = Lab::one_segment();
    // The kernel also hears what arrives at `dir0`; it is to take nothing from there.
    lab.sh("lab_sysctl director net/ipv4/conf/dir0/rp_filter=1");
    lab
}

/// A director without services; those of keepalived bring their addresses along.
fn config() -> Config {
    let mut config = Config::one_port();
    config.port_keys.push("kernel: true".to_owned());
    config.owns_vip = false;
    config
}

fn vip(port: u16) -> SocketAddr {
    SocketAddr::new(VIP.parse().expect("an address"), port)
}

fn visits(lab: &Lab, director: &Director<'_>, port: u16) -> Visits {
    Visits::start(lab, "client", vip(port), director.socket())
}

/// `virtual_server` of a port of the VIP, by direct routing.
fn virtual_server(port: u16, keys: &str, servers: &str) -> String {
    virtual_service(&format!("{VIP} {port}"), &format!("    lvs_method DR\n{keys}"), servers)
}

/// Any `virtual_server`, with what all have here. Their servers are checked each second.
fn virtual_service(what: &str, keys: &str, servers: &str) -> String {
    format!(
        "virtual_server {what} {{\n    delay_loop 1\n    warmup 0\n    connect_timeout 2\n    \
         retry 1\n    delay_before_retry 1\n    lvs_sched rr\n    protocol TCP\n{keys}\n{servers}\n}}\n"
    )
}

/// A `real_server` that is there while it accepts connections at a port.
fn real_server(end: &str, keys: &str, checked_port: u16) -> String {
    format!(
        "    real_server {end} {{\n        weight 1\n{keys}\n        TCP_CHECK {{\n            \
         connect_port {checked_port}\n        }}\n    }}\n"
    )
}
