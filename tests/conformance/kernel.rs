//! The kernel as a director: Linux as an ordinary process (user-mode Linux) between two wires.
//!
//! `scripts/kernel` gets it. It sees this machine's files, so `ipvsadm`, `ip` and `iptables` in it
//! are this machine's; it cannot write them.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use crate::lab::Lab;
use crate::network::{self, BEHIND, hosts, vips};

/// The host of the lab that the kernel's wires are in.
pub(crate) const HOST: &str = "kernel";

/// Schedulers, each a module. Debian's kernel is built without `twos`.
pub(crate) const SCHEDULERS: [&str; 13] =
    ["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh"];

/// The first process inside. It takes shell commands, one a line, and says when each is done.
const INIT: &str = r#"#!/bin/bash
mount -t proc none /proc; mount -t sysfs none /sys; mount -t tmpfs none /run
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
modprobe() { /sbin/modprobe -d "$FOLDER/root" "$@"; }
stty raw -echo
exec 2>&1
dmesg -n 1
ip link set lo up
ip link set vec0 name lan0
ip link set vec1 name lan1
for i in lan0 lan1; do
  for o in rx tx sg tso gso gro; do ethtool -K $i $o off >/dev/null 2>&1; done
done
echo READY
while IFS= read -r line; do eval "$line"; echo "DONE $?"; done
busybox poweroff -f
"#;

/// What the director is, once for each boot. Nothing may hold back an ICMP error.
const NETWORK: &str = "
modprobe ipv6
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv4.icmp_msgs_per_sec=1000000
sysctl -qw net.ipv4.icmp_msgs_burst=1000000 net.ipv6.icmp.ratelimit=0
sysctl -qw net.ipv4.route.error_cost=0 net.ipv6.auto_flowlabels=0
for c in all default lan0 lan1; do sysctl -qw net.ipv4.conf.$c.rp_filter=0; done
for c in all default lan0 lan1; do sysctl -qw net.ipv4.conf.$c.send_redirects=0; done
for c in all default lan0 lan1; do sysctl -qw net.ipv6.conf.$c.accept_dad=0; done
for c in all default lan0 lan1; do sysctl -qw net.ipv6.conf.$c.router_solicitations=0; done
for i in 0 1; do ip link set lan$i address 02:00:00:00:0$i:61 addrgenmode none; done
for i in 0 1; do ip link set lan$i up; done
ip addr add 10.0.1.1/24 dev lan0; ip addr add 10.0.2.1/24 dev lan1
ip addr add fd00:1::1/64 dev lan0 nodad; ip addr add fd00:2::1/64 dev lan1 nodad
ip addr add fe80::61/64 dev lan0 nodad; ip addr add fe80::61/64 dev lan1 nodad
modprobe -a ip_tables iptable_mangle ip6_tables ip6table_mangle xt_mark xt_tcpudp xt_multiport
";

/// Connections of calls hold the engine's module. They are swept out when any server is removed.
const FORGET_CALLS: &str = "rmmod ip_vs_pe_sip 2>/dev/null || { \
    sysctl -qw net.ipv4.vs.expire_nodest_conn=1; \
    ipvsadm -A -t 10.0.0.100:1; ipvsadm -a -t 10.0.0.100:1 -r 10.0.2.2; ipvsadm -C; \
    for i in 1 2 3 4 5 6 7 8 9; do sleep 0.1; rmmod ip_vs_pe_sip 2>/dev/null && break; done; }";

/// A boot of the kernel.
#[derive(Debug)]
pub(crate) struct Kernel {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// The last that it said, for the one who wonders why it ended.
    said: Vec<String>,
    /// Whether modules of IPVS are loaded.
    is_loaded: bool,
}

/// How a command ended inside, and what it printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) text: String,
}

impl Kernel {
    /// Boots it between the two wires of [`HOST`], which are made here.
    pub(crate) fn boot(lab: &Lab) -> Self {
        network::make(lab, HOST);
        let folder = folder();
        let init = lab.dir().join("init");
        fs::write(&init, INIT).expect("the lab's folder is writable");
        fs::set_permissions(&init, fs::Permissions::from_mode(0o755)).expect("it is ours");
        let mut child = lab
            .command(HOST, folder.join("linux.uml"))
            .args(["mem=256M", "rootfstype=hostfs", "ro", "con=null", "con0=fd:0,fd:1"])
            .arg(format!("init={}", init.display()))
            .arg(format!("uml_dir={}", lab.dir().display()))
            .args([0, 1].map(|n| format!("vec{n}:transport=raw,ifname=dir{n},depth=128")))
            .arg(format!("FOLDER={}", folder.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("ip is installed");
        let input = child.stdin.take().expect("piped above");
        let output = BufReader::new(child.stdout.take().expect("piped above"));
        let mut kernel = Self { child, input, output, said: Vec::new(), is_loaded: false };
        kernel.until("READY");
        for line in NETWORK.trim().lines() {
            kernel.must(line);
        }
        let batch = lab.dir().join("network");
        fs::write(&batch, addresses()).expect("the lab's folder is writable");
        kernel.must(&format!("ip -batch {}", batch.display()));
        kernel.reset();
        kernel
    }

    /// Makes it forget all: services, connections, settings, marks.
    pub(crate) fn reset(&mut self) {
        let modules = SCHEDULERS.map(|name| format!("ip_vs_{name}")).join(" ");
        if self.is_loaded {
            self.must("iptables-legacy -t mangle -F && ip6tables-legacy -t mangle -F");
            self.must("ip route flush cache; ip -6 route flush cache; ipvsadm -C");
            self.must(FORGET_CALLS);
            self.must(&format!("rmmod {modules} ip_vs"));
        }
        self.must(&format!("modprobe -a {modules} ip_vs_pe_sip"));
        self.is_loaded = true;
    }

    /// Has a shell command run; how it went is asked for by [`Kernel::finish`].
    pub(crate) fn begin(&mut self, command: &str) {
        writeln!(self.input, "{command}").expect("the kernel's console is open");
    }

    /// How the command that was begun ended.
    pub(crate) fn finish(&mut self) -> Answer {
        let (text, done) = self.until("DONE ");
        let code = done["DONE ".len()..].parse().expect("a number");
        Answer { code, text }
    }

    fn must(&mut self, command: &str) {
        self.begin(command);
        let answer = self.finish();
        assert_eq!(answer.code, 0, "in the kernel, {command}: {}", answer.text);
    }

    fn until(&mut self, word: &str) -> (String, String) {
        let mut text = String::new();
        loop {
            let mut raw = Vec::new();
            let length = self.output.read_until(b'\n', &mut raw).expect("a pipe");
            let line = String::from_utf8_lossy(&raw).trim_end_matches(['\r', '\n']).to_owned();
            assert!(length > 0, "the kernel ended:\n{}", self.said.join("\n"));
            if self.said.len() == 40 {
                self.said.remove(0);
            }
            self.said.push(line.clone());
            if line.starts_with(word) {
                return (text, line);
            }
            text += &line;
            text.push('\n');
        }
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        let _unheard = writeln!(self.input, "busybox poweroff -f");
        for _ in 0..40 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let _killed = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// Virtual addresses, routes and neighbours, for `ip -batch`.
fn addresses() -> String {
    let mut text = String::new();
    for vip in vips() {
        let _infallible = writeln!(text, "addr add {vip} dev lo");
    }
    for (network, router) in BEHIND {
        let _infallible = writeln!(text, "route add {network} via {router}");
    }
    for wire in 0..2 {
        for (addresses, mac) in hosts().map(|last| network::host(wire, last)) {
            for address in addresses {
                let to = format!("{address} lladdr {mac} dev lan{wire} nud permanent");
                let _infallible = writeln!(text, "neigh add {to}");
            }
        }
    }
    text
}

/// Where `scripts/kernel` put it.
fn folder() -> PathBuf {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/user-mode-linux");
    let folder = std::env::var_os("SLUICE_KERNEL").map_or(ours, PathBuf::from);
    let folder = folder.canonicalize().unwrap_or(folder);
    assert!(
        folder.join("ready").exists(),
        "there is no kernel to compare with in {}; way out: scripts/setup conformance",
        folder.display()
    );
    folder
}
