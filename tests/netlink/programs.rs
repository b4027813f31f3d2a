//! What programs see of the library besides the answers of IPVS.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use crate::director::{Director, Outcome, outcome};

/// Sockets as a program uses them, without the help of a library.
const COMMON: &str = include_str!("common.py");

fn python(director: &Director, text: &str) -> Outcome {
    let outcome = director.python(&format!("{COMMON}\n{text}"));
    assert_eq!((outcome.exit, outcome.stderr.as_str()), (Some(0), ""), "{}", outcome.stdout);
    outcome
}

#[test]
fn other_netlink_sockets_of_the_program_are_the_kernels() {
    let director = Director::start();
    let links = director.sh("ip -o link show lo");
    assert!(links.stdout.contains("LOOPBACK"), "{links:?}");
    python(
        &director,
        r#"
kernel, ours = generic(), generic()
# The kernel knows its own family; no family of that name is IPVS.
kernel.send(get_family("nlctrl"))
assert family(kernel.recv(65536)) == ("nlctrl", 16)
kernel.send(get_family("IPVS2"))
assert error(kernel.recv(65536)) == -errno.ENOENT
ours.send(get_family("IPVS"))
assert family(ours.recv(65536)) == ("IPVS", 28)
# The one that has not asked is still the kernel's.
kernel.send(get_family("nlctrl"))
assert family(kernel.recv(65536)) == ("nlctrl", 16)
assert kernel.getsockopt(SOL_SOCKET, SO_DOMAIN) == AF_NETLINK
"#,
    );
}

#[test]
fn the_socket_goes_on_looking_like_netlink() {
    let director = Director::start();
    python(
        &director,
        r#"
nl = generic()
nl.bind((0, 0))
port = nl.getsockname()[0]
assert port != 0
nl.sendmsg([get_family("IPVS")], [], 0, (0, 0))
whole = nl.recv(1, MSG_PEEK | MSG_TRUNC)
data, ancillary, flags, sender = nl.recvmsg(65536, 256, MSG_PEEK | MSG_TRUNC)
assert (sender, ancillary, flags) == ((0, 0), [], 0), (sender, ancillary, flags)
data, _, flags, _ = nl.recvmsg(8, 0, MSG_PEEK)
assert len(data) == 8 and flags == MSG_TRUNC
data, sender = nl.recvfrom(65536)
assert family(data) == ("IPVS", 28) and sender == (0, 0)
assert nl.getsockname() == (port, 0) and nl.getpeername() == (0, 0)
nl.setsockopt(SOL_SOCKET, SO_PASSCRED, 1)
nl.setsockopt(SOL_NETLINK, 10, 1)
assert nl.getsockopt(SOL_SOCKET, SO_DOMAIN) == AF_NETLINK
assert nl.getsockopt(SOL_SOCKET, SO_PROTOCOL) == 16
assert nl.getsockopt(SOL_SOCKET, SO_TYPE) == SOCK_RAW
nl.bind((port, 0))
# A copy is the same socket; so is one in a child.
copy = socket(AF_NETLINK, SOCK_RAW, 16, os.dup(nl.fileno()))
copy.settimeout(10)
copy.sendto(command(GET_INFO), (0, 0))
assert info(copy.recv(65536)) == 0x010201
child = os.fork()
if child == 0:
    os.write(nl.fileno(), command(GET_INFO))
    select.select([nl], [], [], 10)
    os._exit(0 if info(os.read(nl.fileno(), 65536)) == 0x010201 else 1)
assert os.waitpid(child, 0)[1] == 0
# The descriptor's number is free for others when it is closed.
number = nl.fileno()
nl.close()
other = generic()
os.dup2(other.fileno(), number)
assert socket(AF_NETLINK, SOCK_RAW, 16, number).getsockopt(SOL_SOCKET, SO_DOMAIN) == AF_NETLINK
# One that does not wait still does not.
nl = generic()
nl.setblocking(False)
nl.send(get_family("IPVS"))
select.select([nl], [], [], 10)
nl.recv(65536)
try:
    nl.recv(65536)
    raise SystemExit("it should have had to wait")
except BlockingIOError:
    pass
"#,
    );
}

#[test]
fn systemd_is_told_when_programs_may_come() {
    let mut director = Director::start();
    assert_eq!(director.notified(), "READY=1\nSTATUS=Forwards");
    director.kill();
    director.start_again();
    assert_eq!(director.notified(), "READY=1\nSTATUS=Forwards");
}

#[test]
fn without_a_director_there_is_no_ipvs() {
    let mut director = Director::start();
    director.kill();
    let listing = director.sh("ipvsadm -Ln");
    let expected = format!(
        "sluice-ipvs: nobody answers at {}: is sluiced running? ($SLUICE_NETLINK_SOCKET)\n\
         Can't initialize ipvs: Protocol not available\n\
         Are you sure that IP Virtual Server is built in the kernel or as module?\n",
        director.netlink_socket().display()
    );
    assert_eq!(listing, Outcome { exit: Some(2), stdout: String::new(), stderr: expected });
    let file = director.sh("cat /proc/net/ip_vs");
    assert!(file.exit == Some(1) && file.stderr.contains("No such file"), "{file:?}");
    // The module is not even looked for.
    let module = director.sh("modprobe -n -v ip_vs");
    assert_eq!(module, Outcome { exit: Some(1), stdout: String::new(), stderr: String::new() });
}

#[test]
fn a_program_survives_its_director() {
    let mut director = Director::start();
    let script = format!(
        "{COMMON}\n{}",
        r#"
nl = generic()
nl.send(get_family("IPVS"))
nl.recv(65536)
def say(what):
    print(what, flush=True)
    input()
say("asked")
# A kernel always answers, so libnl counts on it.
for sequence in (7, 8):
    request = command(GET_INFO, sequence)
    assert nl.send(request) == len(request)
    refused = nl.recv(65536, MSG_PEEK)
    assert nl.recv(65536) == refused
    assert error(refused) == -errno.ENODEV
    assert number(refused) == sequence and refused[20:36][4:12] == request[4:12]
try:
    nl.recv(65536)
    raise SystemExit("nobody was asked")
except ConnectionRefusedError:
    pass
say("gone")
nl.send(command(GET_INFO))
assert info(nl.recv(65536)) == 0x010201
say("again")
"#
    );
    let mut command = director.exec();
    command.args(["python3", "-c", &script]);
    let mut child = command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let (mut input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut output = std::io::BufReader::new(output);
    let mut expect = |what: &str| {
        let mut line = String::new();
        std::io::BufRead::read_line(&mut output, &mut line).unwrap();
        assert_eq!(line.trim(), what);
    };
    let mut go_on = || std::io::Write::write_all(&mut input, b"\n").unwrap();
    expect("asked");
    director.kill();
    go_on();
    expect("gone");
    director.start_again();
    go_on();
    expect("again");
    go_on();
    assert!(child.wait().unwrap().success());
}

/// The one that ends here is between the program and the director, so that the moment is certain.
#[test]
fn a_question_that_a_dying_director_has_read_is_refused() {
    let director = Director::start();
    let script = r#"
import threading
real, path = os.environ["SLUICE_NETLINK_SOCKET"], os.environ["SLUICE_NETLINK_SOCKET"] + "2"
listener = socket(AF_UNIX, SOCK_SEQPACKET)
listener.bind(path)
listener.listen()
def relay():
    near, _ = listener.accept()
    far = socket(AF_UNIX, SOCK_SEQPACKET)
    far.connect(real)
    for _ in range(2):
        far.send(near.recv(65536))
        near.send(far.recv(65536))
    near.recv(65536)
    near.close()
    os.remove(path)
    os.rename(real, path)
thread = threading.Thread(target=relay)
thread.start()
os.environ["SLUICE_NETLINK_SOCKET"] = path
nl = generic()
nl.send(get_family("IPVS"))
assert family(nl.recv(65536)) == ("IPVS", 28)
nl.send(command(GET_INFO, 6))
assert info(nl.recv(65536)) == 0x010201
# What was answered is not refused; what was not, is, once.
nl.send(command(GET_INFO, 7))
refused = nl.recvmsg(65536)[0]
assert (error(refused), number(refused)) == (-errno.ENODEV, 7)
thread.join()
nl.send(command(GET_INFO, 8))
select.select([nl], [], [], 10)
answer = os.read(nl.fileno(), 65536)
assert (info(answer), number(answer)) == (0x010201, 8)
"#;
    python(&director, script);
}

#[test]
fn a_thousand_services_are_restored_and_listed() {
    let director = Director::start();
    let lines = |number: u32| {
        let service = format!("10.0.{}.{}:80", 100 + number / 250, 1 + number % 250);
        format!("-A -t {service} -s wlc\n-a -t {service} -r 10.0.10.83:80 -m -w {number}\n")
    };
    let rules: String = (1..=1000).map(lines).collect();
    let file = director.folder().join("rules");
    fs::write(&file, &rules).unwrap();
    let restored = director.sh(&format!("ipvsadm -R < {}", file.display()));
    assert_eq!((restored.exit, restored.stderr.as_str()), (Some(0), ""));
    let began = Instant::now();
    let saved = director.sh("ipvsadm -Sn");
    let took = began.elapsed();
    println!("listed in {took:.2?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(saved.stdout.lines().count(), 2000);
    let by_sluiceadm = director.adm("-Sn");
    assert_eq!(by_sluiceadm.stdout, saved.stdout);
    let listed = director.sh("cat /proc/net/ip_vs");
    assert_eq!(listed.stdout.lines().count(), 3 + 2000);
}

#[test]
fn the_older_interface_is_served_too() {
    let director = Director::start();
    assert_eq!(director.adm("-A -t 10.0.10.100:80 -s wlc -p 360").exit, Some(0));
    assert_eq!(
        director.adm("-a -t 10.0.10.100:80 -r 10.0.10.83:8080 -m -w 5 -x 10 -y 5").exit,
        Some(0)
    );
    assert_eq!(director.adm("-A -t [2001:db8::1]:80").exit, Some(0));
    python(&director, include_str!("options.py"));
    let listing = director.adm("-Sn").stdout;
    assert_eq!(
        listing,
        "-A -t 10.0.10.100:80 -s wlc -p 360\n\
         -a -t 10.0.10.100:80 -r 10.0.10.83:8080 -m -w 5\n\
         -A -u 10.0.10.100:53 -s rr -o\n\
         -a -u 10.0.10.100:53 -r 10.0.10.84:53 -g -w 7\n\
         -A -t [2001:db8::1]:80 -s wlc\n"
    );
    let timeouts = director.adm("-L --timeout").stdout;
    assert_eq!(timeouts, "Timeout (tcp tcpfin udp): 100 120 300\n");
}

/// What the captures of ipvsadm have for a kernel that refuses its user, but for modprobe's line.
#[test]
fn who_may_not_command_the_director_is_told_so() {
    if outcome(std::process::Command::new("id").arg("-u")).stdout.trim() != "0" {
        println!("only root can be somebody else");
        return;
    }
    let director = Director::start();
    fs::set_permissions(director.folder(), Permissions::from_mode(0o755)).unwrap();
    // Its own folder may be closed to others; what they run is open to them.
    let library = director.folder().join("libsluice_ipvs.so");
    let built = crate::director::program("sluicectl").with_file_name("libsluice_ipvs.so");
    let built = if built.exists() { built } else { built.with_file_name("deps/libsluice_ipvs.so") };
    fs::copy(built, &library).unwrap();
    let line = format!(
        "SLUICE_NETLINK_SOCKET={} LD_PRELOAD={} \
         setpriv --reuid 65534 --regid 65534 --clear-groups ipvsadm -Ln; echo $?; \
         SLUICE_NETLINK_SOCKET={0} LD_PRELOAD={1} \
         setpriv --reuid 65534 --regid 65534 --clear-groups cat /proc/net/ip_vs",
        director.netlink_socket().display(),
        library.display()
    );
    let told = director.sh(&line);
    assert_eq!(told.stdout, "2\n");
    assert_eq!(
        told.stderr,
        "Can't initialize ipvs: Permission denied (you must be root)\n\
         Are you sure that IP Virtual Server is built in the kernel or as module?\n\
         cat: /proc/net/ip_vs: Permission denied\n"
    );
}

#[test]
fn sluicectl_exec_ends_as_its_program_does() {
    let director = Director::start();
    let exit = |words: &[&str]| outcome(director.exec().args(words)).exit;
    assert_eq!(exit(&["sh", "-c", "exit 7"]), Some(7));
    assert_eq!(exit(&["true"]), Some(0));
    assert_eq!(exit(&["/nowhere/program"]), Some(127));
    let file = director.folder().join("sluice.yaml");
    assert_eq!(exit(&[file.to_str().unwrap()]), Some(126));
}
