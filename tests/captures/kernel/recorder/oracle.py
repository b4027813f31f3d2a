"""The kernel as a director: user-mode Linux between two veth pairs, and what it is told.

`FOLDER` holds `linux.uml` and `root/lib/modules`, as Debian's package user-mode-linux has them.
The kernel sees this machine's files, so its ip, ipvsadm and python3 are the ones of this machine.
"""

import array, fcntl, os, socket, struct, subprocess, sys, tempfile, time

INTERFACES = ("lan0", "lan1")
PACKET_OUTGOING = 4

# The first process inside. It takes shell commands, one a line, and says when each is done.
INIT = """#!/bin/bash
mount -t proc none /proc; mount -t sysfs none /sys; mount -t tmpfs none /run
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
modprobe() { /sbin/modprobe -d "$ORACLE/root" "$@"; }
stty raw -echo
exec 2>&1
dmesg -n 1
modprobe ip_vs
modprobe ip_vs_rr
ip link set lo up
ip link set vec0 name lan0
ip link set vec1 name lan1
"$PYTHON" "$OFFLOADS" lan0 lan1
echo READY
while IFS= read -r line; do eval "$line"; echo "DONE $?"; done
busybox poweroff -f
"""

NETWORK = """
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
ip addr add 10.0.0.100/32 dev lo; ip addr add fd00::100/128 dev lo
sysctl -qw net.ipv4.vs.run_estimation=1
"""


def offloads_off(name):
    """Frames on the wire are whole, finished and as they were sent.

    Scattered frames have to go too: the vector driver says that it sends them, and leaves out what
    is in the list of a reassembled packet.
    """
    ethtool_rxcsum, txcsum, scatter, tso, gso, gro = 0x15, 0x17, 0x19, 0x1F, 0x24, 0x2C
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for command in (ethtool_rxcsum, txcsum, tso, gso, gro, scatter):
            value = array.array("B", struct.pack("II", command, 0))
            request = struct.pack("16sP", name.encode(), value.buffer_info()[0])
            try:
                fcntl.ioctl(sock, 0x8946, request)
            except OSError:
                pass  # has none


def neighbours():
    """Everybody is known, so that nobody asks."""
    rows = []
    for interface in (0, 1):
        for last in [*range(2, 31), 77, 99, 254]:
            mac = f"02:00:00:00:0{interface + 1}:{last:02x}"
            for address in (f"10.0.{interface + 1}.{last}", f"fd00:{interface + 1}::{last:x}"):
                rows.append(f"neigh add {address} lladdr {mac} dev lan{interface} nud permanent")
    return rows


class Oracle:
    """One boot of the kernel."""

    def __init__(self, folder):
        self.temporary = tempfile.TemporaryDirectory(prefix="record-paths.")
        self.init = os.path.join(self.temporary.name, "init")
        with open(self.init, "w") as file:
            file.write(INIT)
        os.chmod(self.init, 0o755)
        os.chmod(self.temporary.name, 0o755)
        self.links()
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.senders = {}
        for name in INTERFACES:
            self.senders[name] = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self.senders[name].bind((name, 0))
        words = [
            os.path.join(folder, "linux.uml"),
            "mem=256M",
            "rootfstype=hostfs",
            "ro",
            f"init={self.init}",
            "con=null",
            "con0=fd:0,fd:1",
            "vec0:transport=raw,ifname=uml0,depth=128",
            "vec1:transport=raw,ifname=uml1,depth=128",
            f"ORACLE={folder}",
            f"PYTHON={os.path.realpath(sys.executable)}",
            f"OFFLOADS={os.path.realpath(__file__)}",
        ]
        self.process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self.log = []
        self.until("READY")
        for line in NETWORK.strip().split("\n"):
            self.must(line)
        batch = os.path.join(self.temporary.name, "neighbours")
        with open(batch, "w") as file:
            file.write("\n".join(neighbours()) + "\n")
        self.must(f"ip -batch {batch}")
        while self.receive(0.1):
            pass

    def links(self):
        def ip(words):
            subprocess.run(["ip", *words.split()], check=True)

        for number, name in enumerate(INTERFACES):
            subprocess.run(["ip", "link", "del", name], capture_output=True)
            ip(f"link add {name} type veth peer name uml{number}")
            for end in (name, f"uml{number}"):
                with open(f"/proc/sys/net/ipv6/conf/{end}/disable_ipv6", "w") as file:
                    file.write("1")
                ip(f"link set {end} mtu 9000 up promisc on")
                offloads_off(end)

    def until(self, word):
        lines = []
        while True:
            raw = self.process.stdout.readline()
            if not raw:
                sys.exit("the kernel ended:\n" + b"\n".join(self.log[-40:]).decode())
            self.log.append(raw.rstrip())
            line = raw.decode(errors="replace").rstrip("\r\n")
            if line.startswith(word):
                return lines, line
            lines.append(line)

    def run(self, command):
        """Runs a shell command inside; its code and the lines it printed."""
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()
        lines, done = self.until("DONE ")
        return int(done.split()[1]), lines

    def must(self, command):
        code, lines = self.run(command)
        if code:
            sys.exit(f"{command}: {lines}")
        return lines

    def send(self, interface, frame):
        self.senders[interface].send(frame)

    def receive(self, timeout):
        """The next frame that left, and where; None after so long."""
        until = time.monotonic() + timeout
        while (left := until - time.monotonic()) > 0:
            self.sock.settimeout(left)
            try:
                frame, where = self.sock.recvfrom(65536)
            except (TimeoutError, socket.timeout):
                return None
            if where[0] in INTERFACES and where[2] != PACKET_OUTGOING:
                return where[0], frame
        return None

    def close(self):
        self.process.stdin.write(b"busybox poweroff -f\n")
        self.process.stdin.flush()
        try:
            self.process.wait(3)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.sock.close()
        for sock in self.senders.values():
            sock.close()
        self.temporary.cleanup()


if __name__ == "__main__":
    for each in sys.argv[1:]:
        offloads_off(each)
