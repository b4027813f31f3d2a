#!/usr/bin/env python3
"""Records what the kernel's IPVS picks while services, connections and weights change.

Runs as root inside a Linux with ip_vs and its schedulers (a user-mode Linux will do), in a network
namespace of its own; needs ip, tc, ipvsadm, python3. Prints one operation a line: what was done, what
came out, and the counts of every destination afterwards. `schedulers-random.txt` was made by

    record-schedulers.py SEED ROUNDS OPERATIONS > schedulers-random.txt

and is replayed by tests/golden/recorded.rs, whose head explains the lines.
"""
import random, select, socket, struct, subprocess, sys, time

VIP = "10.0.0.100"
CLIENTS = [f"10.0.1.{last}" for last in range(2, 31)]
CLIENT_MAC = bytes.fromhex("020000000102")
SERVERS = range(11, 17)
# What clients of a service of a mark ask for.
DESTINATIONS = [f"10.50.{i}.{7 * i + 1}" for i in range(8)]
# Seconds after which a set of lblcr becomes smaller.
LBLCR_EXPIRATION = 10

BY_LOAD = ["rr", "wrr", "lc", "wlc", "sed", "nq", "fo", "ovf"]
BY_CLIENT = [
    f"{name}{flags}" for name in ("sh", "mh")
    for flags in ("", f" -b {name}-port", f" -b {name}-fallback", f" -b {name}-port,{name}-fallback")
]
BY_DESTINATION = ["dh", "lblc", "lblcr"]


def run(command):
    done = subprocess.run(command.split(), capture_output=True, text=True)
    return done.returncode, done.stderr.strip()


def must(command):
    code, error = run(command)
    if code:
        sys.exit(f"{command}: {error}")


def set_up():
    for near, far, address in [("vc0", "vc1", "10.0.1.1/24"), ("vr0", "vr1", "10.0.2.1/24")]:
        must(f"ip link add {near} type veth peer name {far}")
        must(f"ip link set {far} up")
        must(f"ip link set {near} up")
        must(f"ip addr add {address} dev {near}")
    must(f"ip addr add {VIP}/32 dev lo")
    for client in CLIENTS:
        must(f"ip neigh add {client} lladdr {CLIENT_MAC.hex(':')} dev vc0 nud permanent")
    must("ip route add local 0.0.0.0/0 dev lo table 100")
    for server in SERVERS:
        must(f"ip neigh add 10.0.2.{server} lladdr 02:00:00:00:02:{server} dev vr0 nud permanent")
    for path, value in [
        ("net/ipv4/ip_forward", 1), ("net/ipv4/icmp_ratelimit", 0),
        ("net/ipv4/icmp_msgs_per_sec", 1000000), ("net/ipv4/icmp_msgs_burst", 1000000),
        ("net/ipv4/conf/all/rp_filter", 0), ("net/ipv4/conf/vc0/rp_filter", 0),
        ("net/ipv6/conf/all/disable_ipv6", 1), ("net/ipv4/vs/lblcr_expiration", LBLCR_EXPIRATION),
    ]:
        try:
            with open(f"/proc/sys/{path}", "w") as file:
                file.write(str(value))
        except FileNotFoundError:
            pass
    sockets = []
    for name in ("vc1", "vr1"):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
        sock.bind((name, 0))
        sockets.append(sock)
    with open("/sys/class/net/vc0/address") as file:
        mac = bytes.fromhex(file.read().strip().replace(":", ""))
    return sockets, mac


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def packet(protocol, client, destination, port, flags):
    source, source_port = socket.inet_aton(client.split(":")[0]), int(client.split(":")[1])
    destination = socket.inet_aton(destination)
    if protocol == "tcp":
        bits = sum({"F": 1, "S": 2, "R": 4, "A": 16}[flag] for flag in flags)
        number, body = 6, struct.pack("!HHIIBBHHH", source_port, port, 1, 0, 80, bits, 8192, 0, 0)
    else:
        number, body = 17, struct.pack("!HHHH", source_port, port, 8, 0)
    if protocol == "tcp":
        sum_ = checksum(source + destination + struct.pack("!BBH", 0, 6, len(body)) + body)
        body = body[:16] + struct.pack("!H", sum_) + body[18:]
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0x4000, 64, number, 0)
    head = head[:10] + struct.pack("!H", checksum(head + source + destination))
    return head + source + destination + body


class Recorder:
    def __init__(self, seed):
        (self.client, self.server), self.mac = set_up()
        self.random = random.Random(seed)

    def send(self, *packet_of):
        """Puts a packet in; says where it came out."""
        for sock in (self.client, self.server):
            while select.select([sock], [], [], 0)[0]:
                sock.recv(2048)
        frame = self.mac + CLIENT_MAC + b"\x08\x00" + packet(*packet_of)
        self.client.send(frame)
        until = time.monotonic() + 0.1
        while (left := until - time.monotonic()) > 0:
            for sock in select.select([self.client, self.server], [], [], left)[0]:
                got, kind = sock.recvfrom(2048)
                if kind[2] == 4 or got[12:14] != b"\x08\x00":  # our own, or not IPv4
                    continue
                if sock is self.server:
                    return f"{got[5]:x}"
                if got[0:6] == CLIENT_MAC:
                    return {1: "icmp", 6: "reset"}.get(got[23], "?")
        return "nothing"

    def counts(self, number):
        """Active and inactive connections of the service's destinations, in the kernel's order."""
        rows, inside = [], False
        with open("/proc/net/ip_vs") as file:
            for line in file:
                words = line.split()
                if words[0] in ("TCP", "UDP", "FWM"):
                    inside = int(words[1].split(":")[-1], 16) == number
                elif words[0] == "->" and inside and not words[1].startswith("Remote"):
                    rows.append(f"{int(words[1][6:8], 16)}:{words[4]}/{words[5]}")
        return " ".join(rows) or "-"

    def setting(self):
        weight = self.random.choice([0, 1, 1, 1, 2, 2, 3, 4, 5, 6, 8, 9, 10, 12, 100, 65535])
        upper = self.random.choice([0, 0, 0, 0, 0, 1, 2, 4, 8, 13])
        lower = self.random.choice([0, 0, self.random.randint(0, upper)])
        return weight, upper, lower

    def service(self, scheduler):
        """Mostly the same scheduler, with whatever flags it has; it goes on then."""
        name = scheduler.split()[0]
        if self.random.random() < 0.3:
            name = self.random.choice(BY_LOAD[:2] + BY_DESTINATION + ["sh", "mh"])
        return self.random.choice([it for it in BY_LOAD + BY_CLIENT + BY_DESTINATION
                                   if it.split()[0] == name])

    def mark(self, mark):
        """From here on all packets of clients have a mark, and are the director's own."""
        run("tc qdisc del dev vc0 ingress")
        if mark:
            must("tc qdisc add dev vc0 ingress")
            must(f"tc filter add dev vc0 parent ffff: matchall action skbedit mark {mark}")
            must(f"ip rule add fwmark {mark} lookup 100")

    def sequence(self, number, scheduler, protocol, operations, waits):
        port = 1000 + number
        by_mark = scheduler in BY_DESTINATION
        letter = {"tcp": "t", "udp": "u"}[protocol]
        service = f"-f {port}" if by_mark else f"-{letter} {VIP}:{port}"
        self.mark(port if by_mark else 0)
        print(f"sequence {number} {protocol} {'mark' if by_mark else 'address'} {scheduler}")
        must(f"ipvsadm -A {service} -s {scheduler}")
        present, used, next_port = [], [], 10000
        wait_at = {operations * (i + 1) // (waits + 1) for i in range(waits)}

        def real(server):
            return f"10.0.2.{server}" if by_mark else f"10.0.2.{server}:{port}"

        for step in range(operations):
            chance = self.random.random()
            if step in wait_at:
                time.sleep(12)
                what = "wait 12"
            elif len(present) < 2 and step < 4 or chance < 0.06:
                server = self.random.choice([s for s in SERVERS if s not in present] or [None])
                if server is None:
                    continue
                weight, upper, lower = self.setting()
                must(f"ipvsadm -a {service} -r {real(server)} -g -w {weight}"
                     f" -x {upper} -y {lower}")
                present.append(server)
                what = f"add {server} {weight} {upper} {lower}"
            elif chance < 0.13 and present:
                server, (weight, upper, lower) = self.random.choice(present), self.setting()
                must(f"ipvsadm -e {service} -r {real(server)} -g -w {weight}"
                     f" -x {upper} -y {lower}")
                what = f"edit {server} {weight} {upper} {lower}"
            elif chance < 0.16 and len(present) > 1:
                server = self.random.choice(present)
                must(f"ipvsadm -d {service} -r {real(server)}")
                present.remove(server)
                what = f"delete {server}"
            elif chance < 0.18:
                scheduler = self.service(scheduler)
                must(f"ipvsadm -E {service} -s {scheduler}")
                what = f"service {scheduler}"
            else:
                if chance < 0.65 or not used:
                    client = f"{self.random.choice(CLIENTS)}:{next_port}"
                    destination = self.random.choice(DESTINATIONS) if by_mark else VIP
                    next_port += 1
                    used.append((client, destination))
                    flags, fresh = "S", True
                else:
                    client, destination = self.random.choice(used[-40:])
                    flags = self.random.choice(["A", "A", "FA", "F", "R", "S", "S", "SR"])
                    fresh = False
                flags = flags if protocol == "tcp" else "-"
                out = self.send(protocol, client, destination, port, flags)
                # A connection that a SYN replaced ends by its timer, at the next tick.
                time.sleep(0.03 if "S" in flags and not fresh else 0)
                what = f"packet {client} {destination} {flags} > {out}"
            print(f"{what} | {self.counts(port)}")
        must(f"ipvsadm -D {service}")


def main():
    seed, rounds, operations = map(int, sys.argv[1:4])
    recorder = Recorder(seed)
    print(f"# seed {seed}, kernel {open('/proc/sys/kernel/osrelease').read().strip()}")
    number = 0
    for round in range(rounds):
        for protocol in ("tcp", "udp"):
            for scheduler in BY_LOAD + BY_CLIENT + BY_DESTINATION:
                # Waiting lets closed connections expire, which only TCP has, and sets of lblcr
                # become smaller.
                by_load = scheduler in [*BY_LOAD, "lblc", "lblcr"]
                waits = int(by_load and protocol == "tcp" and round == 0) + (scheduler == "lblcr")
                recorder.sequence(number, scheduler, protocol, operations, waits)
                number += 1


main()
