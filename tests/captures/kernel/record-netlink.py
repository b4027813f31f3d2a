#!/usr/bin/env python3
"""record-netlink.py FOLDER > netlink.txt: what the kernel's IPVS says over generic netlink.

FOLDER has `linux.uml` and `root/lib/modules`, as Debian's package user-mode-linux has them. The
kernel there runs this file again, as its first process's child, with the word `inside`.
"""

import os, socket, struct, subprocess, sys, tempfile

INIT = """#!/bin/bash
mount -t proc none /proc; mount -t sysfs none /sys; mount -t tmpfs none /run
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
modprobe() { /sbin/modprobe -d "$ORACLE/root" "$@"; }
dmesg -n 1
modprobe ip_vs
for s in rr wrr wlc sh mh pe_sip; do modprobe "ip_vs_$s"; done
modprobe dummy numdummies=0
ip link set lo up
ip link add d0 type dummy; ip link set d0 up; ip addr add 10.9.0.1/24 dev d0
echo BEGIN
"$PYTHON" "$RECORDER" inside
echo END
busybox poweroff -f
"""

NETLINK_GENERIC = 16
PORT_ID = 4711
REQUEST, ACK, DUMP = 1, 4, 0x300
NLCTRL, IPVS = 16, 28
(NEW_SERVICE, SET_SERVICE, DEL_SERVICE, GET_SERVICE, NEW_DEST, SET_DEST, DEL_DEST, GET_DEST, NEW_DAEMON, DEL_DAEMON,
 GET_DAEMON, SET_CONFIG, GET_CONFIG, SET_INFO, GET_INFO, ZERO, FLUSH) = range(1, 18)


def outside(folder):
    with tempfile.TemporaryDirectory() as scratch:
        init = os.path.join(scratch, "init")
        with open(init, "w") as file:
            file.write(INIT)
        os.chmod(init, 0o755)
        command = [os.path.join(folder, "linux.uml"), "mem=256M", "rootfstype=hostfs", "ro", f"init={init}",
                   "con=null", "con0=fd:0,fd:1", f"ORACLE={os.path.abspath(folder)}", f"PYTHON={sys.executable}",
                   f"RECORDER={os.path.abspath(__file__)}"]
        run = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    text = run.stdout.decode(errors="replace").replace("\r", "")
    print(text.split("BEGIN\n", 1)[1].split("END\n", 1)[0], end="")


def attribute(kind, data):
    size = 4 + len(data)
    return struct.pack("=HH", size, kind) + data + bytes(-size % 4)


def u8(kind, value): return attribute(kind, struct.pack("=B", value))
def u16(kind, value): return attribute(kind, struct.pack("=H", value))
def be16(kind, value): return attribute(kind, struct.pack(">H", value))
def u32(kind, value): return attribute(kind, struct.pack("=I", value & 0xFFFFFFFF))
def text(kind, value): return attribute(kind, value.encode() + b"\0")


def packed(address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.inet_pton(family, address).ljust(16, b"\0")


def end(address="10.0.0.100", port=80, protocol=6, af=None):
    af = af if af is not None else (10 if ":" in address else 2)
    return u16(1, af) + u16(2, protocol) + attribute(3, packed(address)) + be16(4, port)


def mark(value, af=2): return u16(1, af) + u32(5, value)


def settings(scheduler="rr", flags=0, mask=0xFFFFFFFF, timeout=0, netmask=0xFFFFFFFF, engine=None):
    engine = text(11, engine) if engine is not None else b""
    return text(6, scheduler) + engine + attribute(7, struct.pack("=II", flags, mask)) + u32(8, timeout) + u32(9, netmask)


def service(content): return attribute(1, content)
def server(content): return attribute(2, content)
def daemon(content): return attribute(3, content)
def at(address="10.0.2.11", port=80): return attribute(1, packed(address)) + be16(2, port)


def how(method=3, weight=1, upper=0, lower=0, more=b""):
    return u32(3, method) + u32(4, weight) + u32(5, upper) + u32(6, lower) + more


class Recorder:
    def __init__(self):
        self.sequence = 0
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC)
        self.socket.bind((PORT_ID, 0))
        self.socket.settimeout(0.05)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)

    def message(self, command, content=b"", flags=REQUEST | ACK, kind=IPVS, version=1, length=None):
        self.sequence += 1
        body = struct.pack("=BBH", command, version, 0) + content
        length = 16 + len(body) if length is None else length
        return struct.pack("=IHHII", length, kind, flags, self.sequence, PORT_ID) + body

    def raw(self, what, data):
        """One datagram and all that comes of it."""
        print(f"# {what}\n> {data.hex()}")
        self.socket.send(data)
        while True:
            try:
                print(f"< {self.socket.recv(65536).hex()}")
            except socket.timeout:
                break
        sys.stdout.flush()

    def ask(self, what, command, content=b"", flags=REQUEST | ACK, **more):
        self.raw(what, self.message(command, content, flags, **more))

    def add(self, what, who, how_=None):
        self.ask(what, NEW_SERVICE, service(who + (settings() if how_ is None else how_)))

    def dump(self, command, content=b""):
        self.ask("dump", command, content, REQUEST | DUMP)


def families(r):
    def ctrl(what, content, flags=REQUEST, command=3):
        r.ask(what, command, content, flags, kind=NLCTRL, version=1)
    ctrl("family by name", text(2, "IPVS"))
    ctrl("family by name, acknowledged", text(2, "IPVS"), REQUEST | ACK)
    ctrl("family by id", u16(1, IPVS))
    ctrl("unknown name", text(2, "nosuch"))
    ctrl("other letters", text(2, "ipvs"))
    ctrl("unknown id", u16(1, 99))
    ctrl("no attribute", b"")
    ctrl("name without its end", attribute(2, b"IPVS"))
    ctrl("name of 16", text(2, "A" * 16))
    ctrl("empty name", attribute(2, b""))
    ctrl("short id", u8(1, 28))
    ctrl("id and another name", u16(1, IPVS) + text(2, "nosuch"))
    ctrl("name and another id", u16(1, 99) + text(2, "IPVS"))
    ctrl("unknown command", b"", command=99)
    r.ask("unknown family", GET_INFO, kind=77)
    r.ask("type below the families", GET_INFO, kind=15)


def framing(r):
    good = r.message(GET_INFO, flags=REQUEST)
    r.raw("one", good)
    r.raw("two in one datagram", r.message(GET_INFO, flags=REQUEST) + r.message(GET_CONFIG))
    r.raw("a wrong one between two", r.message(GET_INFO, flags=REQUEST) + r.message(18) + r.message(GET_CONFIG))
    r.raw("header cut", good[:15])
    r.raw("longer than the datagram", r.message(GET_INFO, length=24))
    r.raw("length 0", r.message(GET_INFO, length=0))
    r.raw("length 15", r.message(GET_INFO, length=15))
    for length in (16, 17, 19):
        r.raw(f"length {length}", r.message(GET_INFO, length=length))
    r.raw("no request", r.message(GET_INFO, flags=0))
    r.raw("no request, but an acknowledgement", r.message(FLUSH, flags=ACK))
    for kind in (1, 2, 3, 4):
        r.raw(f"control message {kind}", r.message(GET_INFO, kind=kind))
    r.raw("version 0", r.message(GET_INFO, version=0, flags=REQUEST))
    r.raw("version 255", r.message(GET_INFO, version=255, flags=REQUEST))
    r.raw("garbage of 3 bytes behind", r.message(GET_INFO, b"\1\2\3", flags=REQUEST))
    r.raw("a second one unaligned", r.message(GET_INFO, b"\1\2\3", flags=REQUEST) + b"\0" + r.message(GET_CONFIG, flags=REQUEST))
    r.raw("attribute of length 3", r.message(GET_INFO, b"\3\0\1\0", flags=REQUEST))
    r.raw("attribute beyond the end", r.message(GET_INFO, b"\x0c\0\1\0", flags=REQUEST))
    r.raw("unknown attribute", r.message(GET_INFO, u32(1000, 1), flags=REQUEST))
    r.raw("attribute 0", r.message(GET_INFO, u32(0, 1), flags=REQUEST))
    r.raw("nest of 3 bytes", r.message(GET_INFO, attribute(1, b"abc"), flags=REQUEST))
    r.raw("nest of 2 bytes, acknowledged", r.message(ZERO, attribute(1, b"ab")))
    r.raw("empty nest", r.message(ZERO, attribute(1, b"")))
    r.raw("short timeout", r.message(SET_CONFIG, u16(4, 100)))
    r.raw("long timeout", r.message(SET_CONFIG, attribute(4, bytes(8))))
    r.raw("0xff... flags", r.message(GET_INFO, flags=0xFFFF))
    r.raw("dump of what has none", r.message(GET_INFO, flags=REQUEST | DUMP))
    r.raw("half a dump", r.message(GET_INFO, flags=REQUEST | 0x100))
    for command in (0, SET_INFO, 18, 255):
        r.raw(f"command {command}", r.message(command))
    r.raw("command 18 as a dump", r.message(18, flags=REQUEST | DUMP))


def services(r):
    one = end()
    r.dump(GET_SERVICE)
    r.ask("nothing", NEW_SERVICE)
    r.ask("identification only", NEW_SERVICE, service(one))
    for left_out in range(4):
        parts = [text(6, "rr"), attribute(7, struct.pack("=II", 0, 0xFFFFFFFF)), u32(8, 0), u32(9, 0xFFFFFFFF)]
        del parts[left_out]
        r.ask(f"full but for part {left_out}", NEW_SERVICE, service(one + b"".join(parts)))
    r.add("add", one)
    r.add("add again", one)
    r.ask("add again, not whole", NEW_SERVICE, service(one))
    r.ask("get", GET_SERVICE, service(one))
    r.ask("get without acknowledgement", GET_SERVICE, service(one), REQUEST)
    r.dump(GET_SERVICE)
    r.ask("get nothing", GET_SERVICE)
    r.ask("get another", GET_SERVICE, service(end(port=81)))
    r.ask("get by a mark", GET_SERVICE, service(mark(7)))
    for left_out in range(4):
        parts = [u16(1, 2), u16(2, 6), attribute(3, packed("10.0.0.100")), be16(4, 80)]
        del parts[left_out]
        r.ask(f"identification without part {left_out}", GET_SERVICE, service(b"".join(parts)))
    r.ask("family 99", GET_SERVICE, service(end(af=99)))
    r.ask("family 0", GET_SERVICE, service(end(af=0)))
    r.ask("other family", GET_SERVICE, service(end(af=10)))
    r.ask("protocol 17", GET_SERVICE, service(end(protocol=17)))
    r.ask("protocol 262 (6 in a byte)", GET_SERVICE, service(end(protocol=262)))
    r.ask("address of 4 bytes", GET_SERVICE, service(u16(1, 2) + u16(2, 6) + attribute(3, bytes([10, 0, 0, 100])) + be16(4, 80)))
    r.ask("address of 2 bytes", GET_SERVICE, service(u16(1, 2) + u16(2, 6) + attribute(3, bytes([10, 0])) + be16(4, 80)))
    r.ask("address of 20 bytes", GET_SERVICE, service(u16(1, 2) + u16(2, 6) + attribute(3, packed("10.0.0.100") + bytes(4)) + be16(4, 80)))
    r.ask("address with more behind", GET_SERVICE, service(u16(1, 2) + u16(2, 6) + attribute(3, bytes([10, 0, 0, 100]) + b"\xff" * 12) + be16(4, 80)))
    r.ask("port of 4 bytes", GET_SERVICE, service(u16(1, 2) + u16(2, 6) + attribute(3, packed("10.0.0.100")) + attribute(4, b"\0\x50\0\0")))
    r.ask("port of 1 byte", GET_SERVICE, service(u16(1, 2) + u16(2, 6) + attribute(3, packed("10.0.0.100")) + attribute(4, b"\0")))
    r.ask("port twice, the last one right", GET_SERVICE, service(u16(1, 2) + u16(2, 6) + attribute(3, packed("10.0.0.100")) + be16(4, 81) + be16(4, 80)))
    r.ask("unknown attribute inside", GET_SERVICE, service(one + u32(77, 1)))
    r.ask("nest flag", GET_SERVICE, attribute(0x8001, one))
    r.ask("byte order flag inside", GET_SERVICE, service(u16(1, 2) + u16(2, 6) + attribute(3, packed("10.0.0.100")) + be16(0x4004, 80)))
    r.ask("two services, the last one missing", GET_SERVICE, service(one) + service(end(port=81)))
    r.ask("garbage in the nest", GET_SERVICE, service(one + b"\1\0\0\0"))
    r.ask("edit: not whole", SET_SERVICE, service(one))
    r.ask("edit: missing", SET_SERVICE, service(end(port=81) + settings()))
    r.ask("edit", SET_SERVICE, service(one + settings("wlc", 1, 1, 360, 0xFFFFFF)))
    r.ask("get", GET_SERVICE, service(one))
    r.ask("edit: other flags by mask", SET_SERVICE, service(one + settings("wlc", 0x1C, 0x1C, 300)))
    r.ask("get", GET_SERVICE, service(one))
    r.ask("edit: off by mask", SET_SERVICE, service(one + settings("wlc", 0, 0x14, 300)))
    r.ask("get", GET_SERVICE, service(one))
    r.ask("edit: unknown scheduler", SET_SERVICE, service(one + settings("nosuch")))
    r.ask("edit: unknown engine", SET_SERVICE, service(one + settings(engine="nosuch")))
    r.ask("edit: short flags", SET_SERVICE, service(one + text(6, "rr") + attribute(7, b"\1\0\0\0") + u32(8, 300) + u32(9, 0xFFFFFFFF)))
    r.ask("get", GET_SERVICE, service(one))
    r.ask("edit: long flags", SET_SERVICE, service(one + text(6, "rr") + attribute(7, bytes(12)) + u32(8, 0) + u32(9, 0xFFFFFFFF)))
    r.ask("zero", ZERO, service(one))
    r.ask("zero missing", ZERO, service(end(port=81)))
    r.ask("zero all", ZERO)
    r.ask("delete missing", DEL_SERVICE, service(end(port=81)))
    r.ask("delete nothing", DEL_SERVICE)
    r.ask("delete", DEL_SERVICE, service(one))
    r.ask("delete again", DEL_SERVICE, service(one))
    r.add("scheduler none", one, settings("none"))
    r.ask("get", GET_SERVICE, service(one))
    r.ask("flush", FLUSH)
    r.add("unknown scheduler", one, settings("nosuch"))
    r.add("no scheduler's name", one, settings(""))
    r.add("15 letters", one, settings("A" * 15))
    r.add("16 letters", one, settings("A" * 16))
    r.ask("no end of the name", NEW_SERVICE, service(one + attribute(6, b"rr") + attribute(7, bytes(4) + b"\xff" * 4) + u32(8, 0) + u32(9, 0)))
    r.add("unknown engine", one, settings(engine="nosuch"))
    r.add("no engine's name", one, settings(engine=""))
    r.ask("get", GET_SERVICE, service(one))
    r.ask("flush without acknowledgement", FLUSH, flags=REQUEST)
    r.add("engine", end(port=5060, protocol=17), settings(engine="sip", flags=1, timeout=60))
    r.ask("get", GET_SERVICE, service(end(port=5060, protocol=17)))
    r.ask("flush", FLUSH)
    r.add("family 99", end(af=99))
    r.add("one packet on TCP", one, settings(flags=4))
    r.ask("get", GET_SERVICE, service(one))
    r.add("port 0, not persistent", end(port=0))
    r.ask("flush", FLUSH)
    r.add("SCTP", end(protocol=132))
    r.ask("get", GET_SERVICE, service(end(protocol=132)))
    r.ask("flush", FLUSH)


def six_and_marks(r):
    six = end("fd00::100")
    for prefix in (0, 129, 0xFFFFFFFF):
        r.add(f"IPv6, prefix {prefix}", six, settings(netmask=prefix))
    r.add("IPv6", six, settings(netmask=128))
    r.ask("get", GET_SERVICE, service(six))
    r.ask("edit: prefix 0", SET_SERVICE, service(six + settings(netmask=0)))
    r.ask("edit: prefix 64", SET_SERVICE, service(six + settings(netmask=64, flags=1, timeout=100)))
    r.ask("get", GET_SERVICE, service(six))
    r.add("mark", mark(7), settings("sh", 0x10))
    r.dump(GET_SERVICE)
    r.add("mark again", mark(7), settings("sh", 0x10))
    r.add("mark of IPv6", mark(7, 10), settings("sh", 0x10, netmask=128))
    r.ask("get", GET_SERVICE, service(mark(7, 10)))
    r.ask("mark and an end: the mark counts", GET_SERVICE, service(end("10.0.0.1") + u32(5, 7)))
    r.add("mark 0xffffffff", mark(0xFFFFFFFF))
    r.ask("get", GET_SERVICE, service(mark(0xFFFFFFFF)))
    r.ask("delete", DEL_SERVICE, service(mark(7)))
    r.ask("get", GET_SERVICE, service(mark(7)))
    r.ask("flush", FLUSH)
    r.ask("get mark 0", GET_SERVICE, service(mark(0)))
    r.add("mark 0", mark(0))
    r.ask("get mark 0", GET_SERVICE, service(mark(0)))
    r.ask("flush", FLUSH)


def servers(r):
    one = service(end())
    r.ask("no service", NEW_DEST, one + server(at() + how()))
    r.dump(GET_DEST, one)
    r.add("service", end())
    r.dump(GET_DEST, one)
    r.ask("no server", NEW_DEST, one)
    r.ask("no service given", NEW_DEST, server(at() + how()))
    r.ask("identification only", NEW_DEST, one + server(at()))
    for left_out in range(4):
        parts = [u32(3, 3), u32(4, 1), u32(5, 0), u32(6, 0)]
        del parts[left_out]
        r.ask(f"without part {left_out}", NEW_DEST, one + server(at() + b"".join(parts)))
    r.ask("without a port", NEW_DEST, one + server(attribute(1, packed("10.0.2.11")) + how()))
    r.ask("without an address", NEW_DEST, one + server(be16(2, 80) + how()))
    r.ask("weight -1", NEW_DEST, one + server(at() + how(weight=-1)))
    r.ask("lower above upper", NEW_DEST, one + server(at() + how(upper=5, lower=6)))
    r.ask("multicast", NEW_DEST, one + server(at("224.0.0.1") + how()))
    r.ask("broadcast", NEW_DEST, one + server(at("255.255.255.255") + how()))
    r.ask("0.0.0.0", NEW_DEST, one + server(at("0.0.0.0") + how()))
    r.ask("GUE without a port", NEW_DEST, one + server(at() + how(2, more=u8(13, 1))))
    r.ask("GUE without a port, weight -1", NEW_DEST, one + server(at() + how(2, weight=-1, more=u8(13, 1))))
    r.ask("family 99", NEW_DEST, one + server(at() + how(more=u16(11, 99))))
    r.ask("IPv6, no tunnel", NEW_DEST, one + server(at("fd00:2::11") + how(0, more=u16(11, 10))))
    r.ask("IPv6, no tunnel, weight -1", NEW_DEST, one + server(at("fd00:2::11") + how(0, weight=-1, more=u16(11, 10))))
    r.ask("add", NEW_DEST, one + server(at() + how(0, 5, 10, 5)))
    r.dump(GET_DEST, one)
    r.ask("add again", NEW_DEST, one + server(at() + how()))
    r.ask("add again, weight -1", NEW_DEST, one + server(at() + how(weight=-1)))
    r.ask("more bits of the method", NEW_DEST, one + server(at("10.0.2.15", 80) + how(0xFFFFFF03)))
    r.ask("another port, directly", NEW_DEST, one + server(at("10.0.2.16", 9999) + how(3, 7)))
    r.dump(GET_DEST, one)
    r.ask("get without a dump", GET_DEST, one)
    r.ask("dump without a service", GET_DEST, b"", REQUEST | DUMP)
    r.ask("dump of a broken service", GET_DEST, service(u16(1, 2)), REQUEST | DUMP)
    r.ask("dump of garbage", GET_DEST, b"\3\0\1\0", REQUEST | DUMP)
    r.ask("edit missing", SET_DEST, one + server(at("10.0.2.99") + how()))
    r.ask("edit missing, weight -1", SET_DEST, one + server(at("10.0.2.99") + how(weight=-1)))
    r.ask("edit: lower above upper", SET_DEST, one + server(at() + how(upper=5, lower=6)))
    r.ask("edit: not whole", SET_DEST, one + server(at()))
    r.ask("edit", SET_DEST, one + server(at() + how(3, 0, 0, 0)))
    r.ask("edit: tunnel GRE", SET_DEST, one + server(at("10.0.2.15") + how(2, 1, 0, 0, u8(13, 2) + u16(15, 1))))
    r.ask("edit: GUE without a port", SET_DEST, one + server(at() + how(2, more=u8(13, 1))))
    r.dump(GET_DEST, one)
    r.ask("delete missing", DEL_DEST, one + server(at("10.0.2.99")))
    r.ask("delete of missing service", DEL_DEST, service(end(port=81)) + server(at()))
    r.ask("delete nothing", DEL_DEST, one)
    r.ask("delete in the other family", DEL_DEST, one + server(at() + u16(11, 10)))
    r.ask("delete", DEL_DEST, one + server(at()))
    r.ask("delete again", DEL_DEST, one + server(at()))
    r.ask("tunnel GUE with checksums", NEW_DEST, one + server(at("10.0.2.12") + how(2, more=u8(13, 1) + be16(14, 6080) + u16(15, 1))))
    r.ask("tunnel GUE with remote checksums", NEW_DEST, one + server(at("10.0.2.13") + how(2, more=u8(13, 1) + be16(14, 6081) + u16(15, 2))))
    r.ask("tunnel to IPv6", NEW_DEST, one + server(at("fd00:2::11") + how(2, more=u16(11, 10))))
    r.ask("zero", ZERO, one)
    r.dump(GET_DEST, one)
    r.ask("flush", FLUSH)
    six = service(end("fd00::100"))
    r.add("IPv6", end("fd00::100"), settings(netmask=128))
    for address in ("ff02::1", "::", "fe80::1"):
        r.ask(f"server {address}", NEW_DEST, six + server(at(address) + how(more=u16(11, 10))))
    r.ask("family of the service by default", NEW_DEST, six + server(at("fd00:2::11") + how()))
    r.ask("IPv4 by a tunnel", NEW_DEST, six + server(at("10.0.2.11") + how(2, more=u16(11, 2))))
    r.ask("IPv4 directly", NEW_DEST, six + server(at("10.0.2.11") + how(3, more=u16(11, 2))))
    r.dump(GET_DEST, six)
    r.ask("flush", FLUSH)
    r.add("mark", mark(3))
    r.ask("server of a mark", NEW_DEST, service(mark(3)) + server(at(port=0) + how()))
    r.dump(GET_DEST, service(mark(3)))
    r.ask("flush", FLUSH)


def timeouts(r):
    r.ask("get", GET_CONFIG)
    r.ask("one of them", SET_CONFIG, u32(4, 100))
    r.ask("get", GET_CONFIG)
    r.ask("none", SET_CONFIG)
    r.ask("0 changes nothing", SET_CONFIG, u32(4, 0) + u32(5, 0) + u32(6, 0))
    r.ask("get", GET_CONFIG)
    for kind in (4, 5, 6):
        r.ask("too large", SET_CONFIG, u32(kind, 0xFFFFFFFF))
        r.ask("just too large", SET_CONFIG, u32(kind, 21474837))
    r.ask("the largest", SET_CONFIG, u32(4, 21474836) + u32(5, 21474836) + u32(6, 21474836))
    r.ask("get", GET_CONFIG)
    r.ask("as before", SET_CONFIG, u32(4, 900) + u32(5, 120) + u32(6, 300))


def no_daemons(r):
    who = text(2, "d0") + u32(3, 3)
    r.dump(GET_DAEMON)
    r.ask("get without a dump", GET_DAEMON)
    r.ask("nothing", NEW_DAEMON)
    r.ask("no state", NEW_DAEMON, daemon(who))
    r.ask("no interface", NEW_DAEMON, daemon(u32(1, 1) + u32(3, 3)))
    r.ask("no number", NEW_DAEMON, daemon(u32(1, 1) + text(2, "d0")))
    r.ask("interface of 16 letters", NEW_DAEMON, daemon(u32(1, 1) + text(2, "A" * 16) + u32(3, 3)))
    r.ask("group that is none", NEW_DAEMON, daemon(u32(1, 1) + who + attribute(5, bytes([10, 0, 0, 1]))))
    r.ask("group of IPv6 that is none", NEW_DAEMON, daemon(u32(1, 1) + who + attribute(6, packed("fd00::1"))))
    r.ask("state 3", NEW_DAEMON, daemon(u32(1, 3) + who))
    r.ask("stop nothing", DEL_DAEMON)
    r.ask("stop without a state", DEL_DAEMON, daemon(who))
    r.ask("stop state 3", DEL_DAEMON, daemon(u32(1, 3)))
    r.ask("stop the master", DEL_DAEMON, daemon(u32(1, 1)))
    r.ask("stop the backup", DEL_DAEMON, daemon(u32(1, 2) + who))


def daemons(r):
    def master(name="d0", more=b"", state=1): return daemon(u32(1, state) + text(2, name) + u32(3, 3) + more)
    r.ask("unknown interface", NEW_DAEMON, master("nosuch"))
    r.ask("master", NEW_DAEMON, master())
    r.dump(GET_DAEMON)
    r.ask("master again", NEW_DAEMON, master())
    r.ask("backup", NEW_DAEMON, master(more=u16(4, 1400) + attribute(6, packed("ff02::51")) + u16(7, 9000) + u8(8, 3), state=2))
    r.dump(GET_DAEMON)
    r.ask("stop the master", DEL_DAEMON, daemon(u32(1, 1)))
    r.ask("stop the master again", DEL_DAEMON, daemon(u32(1, 1)))
    r.ask("stop the backup", DEL_DAEMON, daemon(u32(1, 2)))


def beyond(r):
    """What the kernel takes and a director may refuse."""
    r.add("protocol 47", end(protocol=47))
    r.add("unknown flags", end(port=81), settings(flags=0xFFFFFF02))
    r.ask("get", GET_SERVICE, service(end(port=81)))
    r.add("a timeout without persistence", end(port=82), settings(timeout=300))
    r.ask("get", GET_SERVICE, service(end(port=82)))
    r.add("persistence of no time", end(port=83), settings(flags=1))
    r.add("persistence of a long time", end(port=84), settings(flags=1, timeout=4000000))
    r.add("service", end())
    one = service(end())
    for method in (1, 4, 5, 7):
        r.ask(f"method {method}", NEW_DEST, one + server(at(f"10.0.3.{method}") + how(method)))
    r.ask("tunnel type 3", NEW_DEST, one + server(at("10.0.3.13") + how(2, more=u8(13, 3))))
    r.ask("IPIP with port and flags", NEW_DEST, one + server(at("10.0.3.14") + how(2, more=be16(14, 9) + u16(15, 1))))
    r.ask("GUE with flags 3", NEW_DEST, one + server(at("10.0.3.15") + how(2, more=u8(13, 1) + be16(14, 9) + u16(15, 3))))
    r.ask("GRE with remote checksums", NEW_DEST, one + server(at("10.0.3.16") + how(2, more=u8(13, 2) + u16(15, 2))))
    r.ask("the director itself", NEW_DEST, one + server(at("127.0.0.1") + how()))
    r.dump(GET_DEST, one)
    r.ask("flush", FLUSH)
    r.ask("number 256", NEW_DAEMON, daemon(u32(1, 1) + text(2, "d0") + u32(3, 256)))
    r.ask("stop the master", DEL_DAEMON, daemon(u32(1, 1)))


def files():
    """/proc with two connections, which are made by packets of this machine itself."""
    def run(line):
        print(f"$ {line}")
        subprocess.run(line, shell=True)
    def show(name):
        print(f"= {name}")
        with open(f"/proc/net/{name}") as file:
            print("".join(f"| {line}" for line in file), end="")
    for line in ("ip addr add 10.0.0.100/32 dev lo", "ip -6 addr add fd00::100/128 dev lo nodad",
                 "ip -6 addr add fd00:9::1/64 dev d0 nodad",
                 "ipvsadm -A -t 10.0.0.100:80 -s rr -p 360", "ipvsadm -a -t 10.0.0.100:80 -r 10.9.0.2 -m",
                 "ipvsadm -A -u 10.0.0.100:5060 -s rr --pe sip -p 60", "ipvsadm -a -u 10.0.0.100:5060 -r 10.9.0.2 -m",
                 "ipvsadm -A -u [fd00::100]:53 -s rr", "ipvsadm -a -u [fd00::100]:53 -r [fd00:9::2]:5353 -m"):
        run(line)
    for family, kind, to, port, what in (
            (socket.AF_INET, socket.SOCK_STREAM, "10.0.0.100", 80, None),
            (socket.AF_INET6, socket.SOCK_DGRAM, "fd00::100", 53, b"hello"),
            (socket.AF_INET, socket.SOCK_DGRAM, "10.0.0.100", 5060, b"OPTIONS sip:a SIP/2.0\r\nCall-ID: abc@x\r\n\r\n")):
        client = socket.socket(family, kind)
        client.bind(("", 40000 + port))
        client.settimeout(0.1)
        try:
            client.connect((to, port))
            client.send(what)
        except OSError:
            pass
    for name in ("ip_vs", "ip_vs_conn", "ip_vs_conn_sync", "ip_vs_stats", "ip_vs_stats_percpu", "ip_vs_app"):
        show(name)


def inside():
    recorder = Recorder()
    for part in (families, framing, services, six_and_marks, servers, timeouts, no_daemons, daemons, beyond):
        print(f"\n## {part.__name__}")
        part(recorder)
    print("\n## files")
    sys.stdout.flush()
    files()


if sys.argv[1:] == ["inside"]:
    inside()
elif len(sys.argv) == 2:
    outside(sys.argv[1])
else:
    sys.exit(__doc__)
