"""Frames of all kinds in random order, to services of all kinds."""

import random

import frames
from frames import chunk, icmp, packet, sctp, tcp, udp
from scenario import CLIENT, CLIENT6, SCENARIOS, SERVER, SERVER6, VIP, VIP6

FRAMES = 400
FLAG_SETS = (
    ["S"] * 8
    + ["A"] * 10
    + ["PA"] * 4
    + ["SA"] * 3
    + ["FA"] * 3
    + ["R"] * 2
    + ["RA", "F", "-", "FPU", "SF", "SR", "SEC", "SAEC", "FSRPAUEC"]
)
CHUNKS = [1] * 6 + [0] * 4 + [10] * 3 + [2, 3, 4, 5, 6, 7, 8, 9, 11, 14, 192, 255, 64]


class Random:
    def __init__(self, s, seed):
        self.s, self.r = s, random.Random(seed)

    def services(self):
        s = self.s
        for p in ("tcp", "udp"):
            s.service(p, f"{VIP}:80", f"{SERVER}:8080 -m", "10.0.2.12:8081 -m")
            s.service(p, f"{VIP}:81", f"{SERVER}:81 -g", "10.0.2.12:81 -g")
            s.service(p, f"{VIP}:82", f"{SERVER}:82 -i")
            s.service(p, f"{VIP}:83", f"{SERVER}:83 -i --tun-type gue --tun-port 6080 --tun-csum")
            s.service(p, f"{VIP}:84", f"{SERVER}:84 -i --tun-type gre --tun-nocsum")
            s.service(p, f"{VIP}:85", f"[{SERVER6}]:85 -i")
            s.service(p, f"[{VIP6}]:80", f"[{SERVER6}]:8080 -m", "[fd00:2::c]:8081 -m")
            s.service(p, f"[{VIP6}]:81", f"[{SERVER6}]:81 -g", "[fd00:2::c]:81 -g")
            s.service(p, f"[{VIP6}]:82", f"[{SERVER6}]:82 -i")
            s.service(
                p, f"[{VIP6}]:83", f"[{SERVER6}]:83 -i --tun-type gue --tun-port 6080 --tun-nocsum"
            )
            s.service(p, f"[{VIP6}]:84", f"{SERVER}:84 -i --tun-type gre --tun-csum")
            s.service(p, f"[{VIP6}]:85", f"{SERVER}:85 -i")
        s.service("sctp", f"{VIP}:80", f"{SERVER}:8080 -m", "10.0.2.12:80 -m")
        s.service("sctp", f"{VIP}:81", f"{SERVER}:81 -g")
        s.service("sctp", f"{VIP}:82", f"{SERVER}:82 -i")
        s.service("sctp", f"[{VIP6}]:80", f"[{SERVER6}]:8080 -m")
        s.service("udp", f"{VIP}:500", f"{SERVER}:500 -g")

    def pick(self, *them):
        return self.r.choice(them)

    def maybe(self, share):
        return self.r.random() < share

    def end(self, address, port):
        return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"

    def ip(self, six):
        ip = {}
        if self.maybe(0.12):
            ip["ttl"] = self.pick(0, 1, 2, 3, 255, 128)
        if self.maybe(0.15):
            ip["tos"] = self.r.randrange(256)
        if six:
            if self.maybe(0.1):
                ip["flow"] = self.r.randrange(1 << 20)
            if self.maybe(0.04):
                ip["length"] = self.r.randrange(0, 100)
            if self.maybe(0.1):
                ip["chain"] = [self.extension() for _ in range(self.pick(1, 1, 1, 2, 3))]
            return ip
        if self.maybe(0.3):
            ip["df"] = False
        if self.maybe(0.3):
            ip["ident"] = self.r.randrange(65536)
        if self.maybe(0.06):
            ip["options"] = self.options()
        if self.maybe(0.02):
            ip["check"] = self.r.randrange(65536)
        if self.maybe(0.03):
            ip["total"] = self.r.randrange(0, 120)
        if self.maybe(0.01):
            ip["ihl"] = self.r.randrange(16)
        if self.maybe(0.005):
            ip["version"] = self.r.randrange(16)
        return ip

    def options(self):
        return self.pick(
            b"\1",
            b"\1\1\1\0",
            bytes([7, 11, 4] + [0] * 9),
            bytes([7, 7, 8, 1, 2, 3, 4, 0]),
            b"\x94\x04\0\0",
            b"\x88\4\0\1",
            bytes([131, 7, 4, 10, 0, 2, 99, 0]),
            bytes([137, 7, 4, 10, 0, 2, 99, 0]),
            bytes([131, 7, 8, 10, 0, 2, 99, 0]),
            b"\x07\x28\4\0",
            b"\x82\x0b" + bytes(9),
            bytes([200, 4, 1, 1]),
            bytes(self.r.randrange(256) & ~64 for _ in range(4 * self.r.randrange(1, 11))),
        )

    def extension(self):
        pad = bytes([0, 1, 4, 0, 0, 0, 0])
        return self.pick(
            (0, pad),
            (60, pad),
            (60, bytes([1, 1, 12]) + bytes(12)),
            (0, bytes([0, 5, 2, 0, 0, 1, 0])),
            (43, bytes([0, 0, 0]) + bytes(4)),
            (43, bytes([2, 0, 1]) + bytes(4) + frames.packed("fd00:2::c")),
            (60, bytes([0, 0x1E, 4, 0, 0, 0, 0])),
            (60, bytes([0, 0x9E, 4, 0, 0, 0, 0])),
            (60, bytes([0, 0x5E, 4, 0, 0, 0, 0])),
            (60, bytes([0, 0xDE, 4, 0, 0, 0, 0])),
            (44, bytes([0, 0, 0, 1, 2, 3, 4])),
        )

    def size(self):
        return self.r.choice(
            [0] * 8
            + [
                1,
                2,
                3,
                4,
                7,
                8,
                11,
                100,
                101,
                500,
                999,
                1000,
                1400,
                1412,
                1420,
                1424,
                1432,
                1440,
                1452,
                1460,
                1461,
                1472,
                1473,
                1448,
            ]
        )

    def of(self, kind, src, dst, sport, dport, six, flags=None, plain=False):
        a, b = self.end(src, sport), self.end(dst, dport)
        ip = {} if plain else self.ip(six)
        data = frames.pattern(0 if plain else self.size())
        if kind == "tcp":
            more = {}
            if self.maybe(0.03) and not plain:
                more["check"] = self.r.randrange(65536)
            if self.maybe(0.02) and not plain:
                more["offset"] = self.r.randrange(16)
            return tcp(
                a,
                b,
                flags or self.pick(*FLAG_SETS),
                seq=self.r.randrange(1 << 32),
                ack=self.r.randrange(1 << 32),
                data=data,
                ip=ip,
                **more,
            )
        if kind == "udp":
            more = {}
            if self.maybe(0.1) and not plain:
                more["check"] = self.pick(0, 0, 0, self.r.randrange(65536))
            return udp(a, b, data, ip=ip, **more)
        number = self.r.choice(CHUNKS)
        more = {} if plain or self.maybe(0.9) else dict(crc=self.r.randrange(1 << 32))
        return sctp(
            a, b, [chunk(number, frames.pattern(4 * self.r.randrange(0, 5)))], ip=ip, **more
        )

    def client_end(self, six):
        return (
            self.pick(CLIENT6, CLIENT6, "fd00:1::3", "fd00:9::9")
            if six
            else self.pick(CLIENT, CLIENT, "10.0.1.3", "172.16.5.5")
        )

    def from_client(self, six, plain=False, flags=None):
        vip = VIP6 if six else VIP
        port = self.pick(80, 80, 80, 81, 81, 82, 83, 84, 85, 86)
        return self.transport_of(
            self.client_end(six),
            vip,
            self.pick(1001, 1002, 1003, 1004, 20),
            port,
            six,
            plain,
            flags,
        )

    def transport_of(self, src, dst, sport, dport, six, plain=False, flags=None):
        kind = self.r.choice(["tcp"] * 10 + ["udp"] * 6 + ["sctp"] * 3)
        return self.of(kind, src, dst, sport, dport, six, flags, plain)

    def from_server(self, six, plain=False):
        if six:
            src, port = self.pick(
                ("fd00:2::b", 8080), ("fd00:2::c", 8081), ("fd00:2::b", 81), ("fd00:2::d", 7)
            )
        else:
            src, port = self.pick(
                ("10.0.2.11", 8080),
                ("10.0.2.12", 8081),
                ("10.0.2.12", 80),
                ("10.0.2.11", 81),
                ("10.0.2.13", 7),
            )
        return self.transport_of(
            src, self.client_end(six), port, self.pick(1001, 1002, 1003, 1004, 20), six, plain
        )

    def error(self, about, src, dst, six):
        """An ICMP error about a packet."""
        room = self.pick(28, 48, 500, 1200) if not six else self.pick(48, 60, 500, 1200)
        ip = self.ip(six) if self.maybe(0.3) else {}
        ip.pop("length", None)
        if six:
            kind, code = self.pick((1, 0), (1, 4), (2, 0), (3, 0), (3, 1), (4, 1), (1, 3))
            rest = self.pick(1280, 1400, 1500, 0, 68) if kind == 2 else 0
        else:
            kind, code = self.pick(
                (3, 0), (3, 1), (3, 3), (3, 4), (3, 13), (11, 0), (11, 1), (12, 0), (4, 0), (5, 1)
            )
            rest = self.pick(68, 576, 1400, 1500, 0) if (kind, code) == (3, 4) else 0
        return icmp(src, dst, kind, code, rest, about[:room], ip=ip)

    def icmp_from_client(self, six):
        """About what a service would have sent to a client."""
        vip, client = (VIP6, CLIENT6) if six else (VIP, CLIENT)
        about = self.of(
            self.pick("tcp", "tcp", "udp", "sctp"),
            vip,
            client,
            self.pick(80, 81, 82, 83, 84, 85, 86),
            self.pick(1001, 1002, 1003),
            six,
            plain=True,
        )
        return self.error(about, self.pick(client, "fd00:1::4d" if six else "10.0.1.77"), vip, six)

    def icmp_from_server(self, six):
        if six:
            src, port = self.pick(("fd00:2::b", 8080), ("fd00:2::c", 8081), ("fd00:2::b", 81))
        else:
            src, port = self.pick(
                ("10.0.2.11", 8080), ("10.0.2.12", 8081), ("10.0.2.12", 80), ("10.0.2.11", 81)
            )
        client = CLIENT6 if six else CLIENT
        about = self.of(
            self.pick("tcp", "tcp", "udp", "sctp"),
            client,
            src,
            self.pick(1001, 1002, 1003),
            port,
            six,
            plain=True,
        )
        return self.error(about, self.pick(src, "fd00:2::63" if six else "10.0.2.99"), client, six)

    def echo(self, six):
        dst = (
            self.pick(VIP6, "fd00:1::1", "fd00:2::b")
            if six
            else self.pick(VIP, "10.0.1.1", "10.0.2.11", "10.0.2.1")
        )
        kind = self.pick(128, 128, 129, 139) if six else self.pick(8, 8, 8, 0, 15, 17, 42)
        return icmp(
            self.client_end(six),
            dst,
            kind,
            0,
            self.r.randrange(1 << 32),
            frames.pattern(self.size()),
            ip=self.ip(six),
        )

    def other(self, six):
        dst = (
            self.pick(VIP6, "fd00:1::1", "fd00:2::b")
            if six
            else self.pick(VIP, VIP, "10.0.1.1", "10.0.2.11")
        )
        number = self.pick(47, 99, 4, 41, 103, 112, 89, 2, 50, 51, 255, 33, 136)
        return packet(
            self.client_end(six),
            dst,
            number,
            frames.pattern(self.pick(0, 4, 8, 24, 100)),
            self.ip(six),
        )

    def routed(self, six):
        src = self.client_end(six)
        dst = (
            self.pick("fd00:2::e", "fd00:2::b", "fd00:7::7")
            if six
            else self.pick("10.0.2.14", "10.0.2.11", "192.168.77.7", "10.0.1.3")
        )
        return self.transport_of(src, dst, 1001, self.pick(7, 80, 81), six)

    def to_director(self, six):
        dst = (
            self.pick("fd00:1::1", "fd00:2::1", VIP6)
            if six
            else self.pick("10.0.1.1", "10.0.2.1", VIP)
        )
        return self.transport_of(self.client_end(six), dst, 1001, self.pick(7, 80, 999), six)

    def one(self):
        six = self.maybe(0.4)
        what = self.r.choices(
            ["client", "server", "icmpc", "icmps", "echo", "other", "routed", "director", "cut"],
            [40, 20, 8, 0 if six else 6, 4, 3, 4, 5, 3],
        )[0]
        lan = "lan0"
        if what == "client":
            p = self.from_client(six)
        elif what == "server":
            p, lan = self.from_server(six), "lan1"
        elif what == "icmpc":
            p = self.icmp_from_client(six)
        elif what == "icmps":
            p, lan = self.icmp_from_server(six), "lan1"
        elif what == "echo":
            p = self.echo(six)
        elif what == "other":
            p = self.other(six)
        elif what == "routed":
            p = self.routed(six)
        elif what == "director":
            p = self.to_director(six)
        else:
            p = self.from_client(six)
            p = p[: self.r.randrange(1, len(p))]
        if len(p) > 1500:
            p = self.from_client(six, plain=True)
            lan = "lan0"
        padding = (
            bytes(self.r.randrange(256) for _ in range(self.r.randrange(1, 20)))
            if self.maybe(0.15)
            else b""
        )
        six = p[0] >> 4 == 6
        if len(p) < (40 if six else 20):
            p, padding = p.ljust(40, b"\0"), b""
        self.s.send(lan, p, padding)


def make(seed):
    def scenario(s):
        if seed % 2:
            s.network("ip link set lan1 mtu 1450")
        mix = Random(s, seed)
        mix.services()
        for _ in range(FRAMES):
            mix.one()

    scenario.__doc__ = "Frames of all kinds in random order."
    return scenario


for seed in (0, 1, 2, 5):
    SCENARIOS[f"random-{seed}"] = make(seed)
