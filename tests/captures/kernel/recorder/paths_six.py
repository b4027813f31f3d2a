"""IPv6: NAT, DR and tunnels, extension headers, ICMPv6 in every direction, the host's answers."""

import struct

from frames import chunk, fragments6, icmp, ip6, packet, pattern, sctp, tcp, udp
from scenario import CLIENT6, SERVER6, VIP6, scenario

C, V, R = f"[{CLIENT6}]", f"[{VIP6}]", f"[{SERVER6}]"
ROUTER, BEHIND = "fd00:1::4d", "fd00:2::63"
LINK_LOCAL, DIRECTOR = "fe80::61", "fd00:1::1"

PAD = b"\0" + b"\1\4\0\0\0\0"  # length 0, PadN


def options(*words):
    """A hop-by-hop or destination options header behind its first byte."""
    body = b"".join(words)
    length = -(-(2 + len(body)) // 8) * 8
    left = length - 2 - len(body)
    pad = b"" if left == 0 else b"\0" if left == 1 else bytes([1, left - 2]) + bytes(left - 2)
    return bytes([length // 8 - 1]) + body + pad


ALERT = options(b"\x05\x02\0\0")
ROUTING0 = bytes([2, 0, 1]) + bytes(4) + bytes.fromhex("fd000002000000000000000000000063")
ROUTING0_DONE = bytes([2, 0, 0]) + bytes(4) + bytes.fromhex("fd000002000000000000000000000063")
ROUTING2 = bytes([2, 2, 1]) + bytes(4) + bytes.fromhex("fd000002000000000000000000000063")
SEGMENTS = bytes([2, 4, 1, 0, 0, 0, 0]) + bytes.fromhex("fd000002000000000000000000000063")
SEGMENTS_DONE = bytes([2, 4, 0, 0, 0, 0, 0]) + bytes.fromhex("fd000002000000000000000000000063")
ATOMIC = struct.pack("!BHI", 0, 0, 0x01020304)

CHAINS = {
    "hop-by-hop, padding": [(0, PAD)],
    "hop-by-hop, router alert": [(0, ALERT)],
    "hop-by-hop, unknown option to skip": [(0, options(b"\x1e\x02\0\0"))],
    "hop-by-hop, unknown option to drop": [(0, options(b"\x5e\x02\0\0"))],
    "hop-by-hop, unknown option to report": [(0, options(b"\x9e\x02\0\0"))],
    "hop-by-hop, unknown option to report but to multicast": [(0, options(b"\xde\x02\0\0"))],
    "hop-by-hop, jumbo of a short packet": [(0, options(b"\xc2\x04\0\0\0\x28"))],
    "hop-by-hop, longer than the packet": [(0, bytes([200]) + bytes(6))],
    "destination options, padding": [(60, PAD)],
    "destination options, unknown to skip": [(60, options(b"\x1e\x02\0\0"))],
    "destination options, unknown to report": [(60, options(b"\x9e\x02\0\0"))],
    "destination options, 64 bytes": [(60, options(bytes([0x1E, 60]) + bytes(60)))],
    "hop-by-hop and destination options": [(0, PAD), (60, PAD)],
    "destination options twice": [(60, PAD), (60, PAD)],
    "hop-by-hop that is not first": [(60, PAD), (0, PAD)],
    "routing type 0 with a segment left": [(43, ROUTING0)],
    "routing type 0, done": [(43, ROUTING0_DONE)],
    "routing type 2": [(43, ROUTING2)],
    "segment routing with a segment left": [(43, SEGMENTS)],
    "segment routing, done": [(43, SEGMENTS_DONE)],
    "a fragment header, but whole": [(44, ATOMIC)],
    "hop-by-hop and a fragment header, whole": [(0, PAD), (44, ATOMIC)],
    "fragment header, then destination options": [(44, ATOMIC), (60, PAD)],
    "mobility": [(135, bytes(7))],
    "everything": [(0, PAD), (60, PAD), (43, ROUTING0_DONE), (44, ATOMIC), (60, PAD)],
}


def everything(s, send, make):
    for name, chain in CHAINS.items():
        s.note(name)
        send(make(dict(chain=chain)))


def error(src, dst, about, kind=(1, 0), keep=1 << 16, rest=0, **more):
    return icmp(src, dst, *kind, rest=rest, body=about[:keep], **more)


KINDS = [(1, code) for code in range(8)] + [
    (3, 0),
    (3, 1),
    (4, 0),
    (4, 1),
    (4, 2),
    (5, 0),
    (100, 0),
    (101, 0),
    (127, 0),
    (0, 0),
]


def kinds(s, send, src, dst, about):
    for kind in KINDS:
        send(error(src, dst, about, kind))
    for mtu in (1400, 1280, 1279, 0, 65535):
        send(error(src, dst, about, (2, 0), rest=mtu))


@scenario
def six_nat(s):
    """IPv6 NAT: TCP and UDP both ways, fields, hops, checksums."""
    s.service("tcp", f"{V}:80", f"{R}:8080 -m")
    s.service("udp", f"{V}:53", f"{R}:5353 -m")
    c = f"{C}:1001"
    s.title("A TCP connection.")
    s.client(tcp(c, f"{V}:80", "S"))
    s.server(tcp(f"{R}:8080", c, "SA", seq=5000, ack=1001))
    s.client(tcp(c, f"{V}:80", "A", seq=1001, ack=5001, data=b"odd"))
    s.server(tcp(f"{R}:8080", c, "A", seq=5001, ack=1004, data=pattern(1440)))
    s.client(tcp(c, f"{V}:80", "FA", seq=1004, ack=6441))
    s.server(tcp(f"{R}:8080", c, "FA", seq=6441, ack=1005))
    s.do("connections")
    s.title("Wrong checksums stay wrong.")
    s.client(tcp(c, f"{V}:80", "S", check=0xBEEF), tcp(c, f"{V}:80", "A", check=0))
    s.server(tcp(f"{R}:8080", c, "A", check=0xBEEF))
    s.title("UDP; without a checksum, which IPv6 forbids; wrong; no data; odd; lengths.")
    s.client(udp(c, f"{V}:53"))
    s.server(udp(f"{R}:5353", c, b"answer"))
    s.client(udp(c, f"{V}:53", check=0), udp(c, f"{V}:53", check=0xBEEF))
    s.server(udp(f"{R}:5353", c, check=0), udp(f"{R}:5353", c, check=0xBEEF))
    s.client(udp(c, f"{V}:53", b""), udp(c, f"{V}:53", b"x"), udp(c, f"{V}:53", pattern(1452)))
    for length in (7, 10, 0):
        s.client(udp(c, f"{V}:53", length=length))
    s.title("Traffic class and flow label are kept.")
    for ip in (dict(tos=3), dict(tos=0xB8), dict(flow=0xABCDE), dict(tos=0xFF, flow=0xFFFFF)):
        s.client(tcp(c, f"{V}:80", "A", ip=ip))
        s.server(tcp(f"{R}:8080", c, "A", ip=ip))
    s.title("Hop limit.")
    for number, ttl in enumerate((255, 2, 1, 0)):
        s.client(tcp(f"{C}:{1010 + number}", f"{V}:80", "S", ip=dict(ttl=ttl)))
        s.server(tcp(f"{R}:8080", f"{C}:{1010 + number}", "SA", ip=dict(ttl=ttl)))
    s.title("Two clients with one port; unknown replies; traffic without a service.")
    s.client(tcp(f"[fd00:1::3]:1001", f"{V}:80", "S"))
    s.server(tcp(f"{R}:8080", "[fd00:1::3]:1001", "SA"), tcp(f"{R}:8080", f"{C}:9999", "SA"))
    s.client(tcp(c, f"{R}:7", "S"), udp(c, "[fd00:1::3]:7"), udp(c, f"{R}:7", ip=dict(ttl=1)))
    s.server(tcp(f"{R}:7", c, "SA"))
    s.title("Source port 20 is not scheduled.")
    s.client(tcp(f"{C}:20", f"{V}:80", "S"))
    s.title("Hairpin.")
    s.server(tcp("[fd00:2::c]:3003", f"{V}:80", "S"), tcp(f"{R}:8080", "[fd00:2::c]:3003", "SA"))
    s.title("Sources that nobody has.")
    for source in (
        "::",
        "::1",
        "ff02::1",
        "fe80::2",
        VIP6,
        DIRECTOR,
        "2001:db8::1",
        "::ffff:1.2.3.4",
    ):
        s.client(tcp(f"[{source}]:3006", f"{V}:80", "S"))
    s.title("Where no route is; link-local, multicast.")
    for destination in ("2001:db8::2", "fe80::2", "ff02::1", "ff05::2", "::", "::1"):
        s.client(udp(c, f"[{destination}]:7"))
    s.title("Lengths: payload shorter and longer than the frame, 0; cut off.")
    for length in (0, 19, 21, 40):
        s.client(tcp(c, f"{V}:80", "A", ip=dict(length=length)))
    whole = tcp(c, f"{V}:80", "A")
    for length in (8, 39, 40, 44, 59):
        s.client(whole[:length].ljust(24, b"\0") if length < 24 else whole[:length])
    s.send("lan0", whole, padding=b"trailer")
    s.do("connections", "stats")


@scenario
def six_chains(s):
    """IPv6: extension headers on the way to services of every kind, and in replies."""
    s.service("tcp", f"{V}:80", f"{R}:8080 -m")
    s.service("udp", f"{V}:53", f"{R}:5353 -m")
    s.service("tcp", f"{V}:81", "[fd00:2::c]:81 -g")
    s.service("tcp", f"{V}:82", "[fd00:2::d]:82 -i")
    c = f"{C}:1001"
    s.title("NAT, TCP.")
    everything(s, s.client, lambda ip: tcp(c, f"{V}:80", "S", ip=ip))
    s.title("NAT, TCP, replies.")
    everything(s, s.server, lambda ip: tcp(f"{R}:8080", c, "SA", ip=ip))
    s.title("NAT, UDP, without a connection before.")
    for number, chain in enumerate(CHAINS.values()):
        s.client(udp(f"{C}:{1100 + number}", f"{V}:53", ip=dict(chain=chain)))
    s.do("connections")
    s.title("DR.")
    everything(s, s.client, lambda ip: tcp(c, f"{V}:81", "S", ip=ip))
    s.title("Tunnel.")
    everything(s, s.client, lambda ip: tcp(c, f"{V}:82", "S", ip=ip))
    s.title("Routed.")
    everything(s, s.client, lambda ip: tcp(c, "[fd00:2::e]:7", "S", ip=ip))
    s.title("To closed ports: TCP, UDP, echo.")
    everything(s, s.client, lambda ip: tcp(c, f"{V}:999", "S", ip=ip))
    everything(s, s.client, lambda ip: udp(c, f"{V}:999", ip=ip))
    everything(s, s.client, lambda ip: icmp(CLIENT6, VIP6, 128, rest=1, body=b"ping", ip=ip))
    s.do("connections", "stats")


@scenario
def six_icmp_client(s):
    """IPv6: ICMPv6 errors from the client's side: NAT, DR, tunnel."""
    s.service("tcp", f"{V}:80", f"{R}:8080 -m")
    s.service("udp", f"{V}:53", f"{R}:5353 -m")
    s.service("sctp", f"{V}:90", f"{R}:9090 -m")
    s.service("tcp", f"{V}:81", "[fd00:2::c]:81 -g")
    s.service("tcp", f"{V}:82", "[fd00:2::d]:82 -i")
    s.service("tcp", f"{V}:83", "[fd00:2::e]:83 -i --tun-type gue --tun-port 6080")
    c = f"{C}:1001"
    s.title("Connections.")
    s.client(*(tcp(c, f"{V}:{port}", "S") for port in (80, 81, 82, 83)), udp(c, f"{V}:53"))
    s.client(sctp(c, f"{V}:90", [chunk(1, bytes(16))], tag=0))
    for port in (80, 81, 82):
        s.title(f"Every kind about a reply of port {port}.")
        kinds(s, s.client, ROUTER, VIP6, tcp(f"{V}:{port}", c, "A", data=pattern(64)))
    reply = tcp(f"{V}:80", c, "A", data=pattern(64))
    s.title("Less of the packet.")
    for keep in (0, 8, 39, 40, 43, 44, 47, 48, 60):
        s.client(error(ROUTER, VIP6, reply, keep=keep))
    s.title("Hop limit, wrong checksums, traffic class, from the client itself.")
    for ip in (dict(ttl=2), dict(ttl=1), dict(tos=0xB8, flow=0xABCDE)):
        s.client(error(ROUTER, VIP6, reply, ip=ip))
    s.client(error(ROUTER, VIP6, reply, check=0xBEEF), error(ROUTER, VIP6, reply, check=0))
    s.client(error(CLIENT6, VIP6, reply))
    s.title("UDP, SCTP, echo, another protocol, unknown connections, others' addresses.")
    s.client(error(ROUTER, VIP6, udp(f"{V}:53", c), (1, 4)))
    s.client(error(ROUTER, VIP6, sctp(f"{V}:90", c, [chunk(2, bytes(16))])))
    s.client(error(ROUTER, VIP6, icmp(VIP6, CLIENT6, 129, rest=1, body=b"ping")))
    s.client(error(ROUTER, VIP6, packet(VIP6, CLIENT6, 99, bytes(8))))
    s.client(error(ROUTER, VIP6, tcp(f"{V}:80", f"{C}:9999", "A")))
    s.client(error(ROUTER, VIP6, tcp(f"{V}:999", c, "A")))
    s.client(error(ROUTER, DIRECTOR, reply), error(ROUTER, SERVER6, reply))
    s.client(error(ROUTER, VIP6, tcp(c, f"{V}:80", "A")))
    s.title("Extension headers in it, and in front of it.")
    for chain in ([(0, PAD)], [(60, PAD)], [(44, ATOMIC)], [(43, ROUTING0_DONE)]):
        s.client(error(ROUTER, VIP6, tcp(f"{V}:80", c, "A", ip=dict(chain=chain))))
        s.client(error(ROUTER, VIP6, reply, ip=dict(chain=chain)))
    later = fragments6(reply, 40)[1]
    s.client(error(ROUTER, VIP6, fragments6(reply, 40)[0]), error(ROUTER, VIP6, later))
    s.title("In fragments.")
    long = error(ROUTER, VIP6, tcp(f"{V}:80", c, "A", data=pattern(500)))
    s.client(*fragments6(long, 280), *reversed(fragments6(long, 280, ident=2)))
    s.do("connections", "stats")
    s.title("With schedule_icmp.")
    s.do("sysctl net.ipv4.vs.schedule_icmp=1")
    s.client(error(ROUTER, VIP6, tcp(f"{V}:80", f"{C}:2001", "A")))
    s.client(error(ROUTER, VIP6, udp(f"{V}:53", f"{C}:2002"), (2, 0), rest=1400))
    s.do("connections")


@scenario
def six_icmp_server(s):
    """IPv6: ICMPv6 errors from the servers' side: NAT, DR, about tunnels."""
    s.service("tcp", f"{V}:80", f"{R}:8080 -m")
    s.service("udp", f"{V}:53", f"{R}:5353 -m")
    s.service("tcp", f"{V}:81", "[fd00:2::c]:81 -g")
    s.service("tcp", f"{V}:82", "[fd00:2::d]:82 -i")
    s.service("tcp", f"{V}:83", "10.0.2.14:83 -i")
    s.service("tcp", f"{V}:84", "10.0.2.15:84 -i --tun-type gue --tun-port 6080")
    c = f"{C}:1001"
    s.title("Connections.")
    s.client(*(tcp(c, f"{V}:{port}", "S") for port in (80, 81, 82, 83, 84)), udp(c, f"{V}:53"))
    request = tcp(c, f"{R}:8080", "A", data=pattern(64))
    s.title("NAT: every kind.")
    kinds(s, s.server, SERVER6, CLIENT6, request)
    s.title("From a router; hop limit; wrong checksum; less of the packet; UDP; unknown.")
    s.server(error(BEHIND, CLIENT6, request, (3, 0)))
    for ip in (dict(ttl=2), dict(ttl=1), dict(tos=0xB8, flow=0xABCDE)):
        s.server(error(SERVER6, CLIENT6, request, ip=ip))
    s.server(error(SERVER6, CLIENT6, request, check=0xBEEF))
    for keep in (0, 39, 40, 43, 44, 48, 60):
        s.server(error(SERVER6, CLIENT6, request, keep=keep))
    s.server(error(SERVER6, CLIENT6, udp(c, f"{R}:5353"), (1, 4)))
    s.server(error(SERVER6, CLIENT6, tcp(f"{C}:9999", f"{R}:8080", "A")))
    s.server(error(SERVER6, "fd00:2::1", request))
    s.title("DR.")
    s.server(error(BEHIND, CLIENT6, tcp(c, f"{V}:81", "A"), (3, 0)))
    s.server(error(VIP6, CLIENT6, tcp(c, f"{V}:81", "A"), (1, 4)))
    s.title("About the tunnel's packets.")
    inner = tcp(c, f"{V}:82", "A", ip=dict(ttl=63))
    outer = ip6("fd00:2::1", "fd00:2::d", 41, inner, ttl=63)
    for kind in ((1, 0), (1, 4), (3, 0)):
        s.server(error(BEHIND, "fd00:2::1", outer, kind))
    s.server(error(BEHIND, "fd00:2::1", outer, (2, 0), rest=1400))
    s.client(tcp(c, f"{V}:82", "A", data=pattern(1390)), tcp(c, f"{V}:82", "A"))
    s.do("connections", "stats")


@scenario
def six_host(s):
    """IPv6: what the director answers as a host."""
    s.service("tcp", f"{V}:80", f"{R}:8080 -m")
    s.title("A service without servers, by TCP and UDP.")
    s.service("tcp", f"{V}:85")
    s.service("udp", f"{V}:85")
    s.client(tcp(f"{C}:1001", f"{V}:85", "S"), udp(f"{C}:1001", f"{V}:85"))
    s.client(udp(f"{C}:1001", f"{V}:85", pattern(1452)))
    s.client(tcp(f"{C}:1001", f"{V}:85", "S", ip=dict(tos=0xB8, flow=0xABCDE, ttl=1)))
    for address in (VIP6, DIRECTOR, "fd00:2::1"):
        s.title(f"Echo at {address}.")
        for body in (b"", b"x", pattern(56), pattern(1452)):
            s.client(icmp(CLIENT6, address, 128, rest=0x12340001, body=body))
        for ip in (dict(tos=0xB8), dict(flow=0xABCDE), dict(ttl=1), dict(ttl=0)):
            s.client(icmp(CLIENT6, address, 128, rest=0x12340002, body=b"ping", ip=ip))
        s.client(icmp(CLIENT6, address, 128, 5, rest=1, body=b"ping"))
        s.client(icmp(CLIENT6, address, 128, rest=1, body=b"ping", check=0xBEEF))
        s.client(*fragments6(icmp(CLIENT6, address, 128, rest=1, body=pattern(200)), 104))
        s.client(*fragments6(icmp(CLIENT6, address, 128, rest=1, body=pattern(2000)), 1448))
        s.title(f"UDP and TCP to closed ports of {address}.")
        for length in (0, 4, 1184, 1185, 1452):
            s.client(udp(f"{C}:1001", f"[{address}]:999", pattern(length)))
        s.client(udp(f"{C}:1001", f"[{address}]:999", check=0))
        s.client(udp(f"{C}:1001", f"[{address}]:999", check=0xBEEF))
        for ip in (dict(tos=0xB8, flow=0xABCDE), dict(ttl=1)):
            s.client(udp(f"{C}:1001", f"[{address}]:999", ip=ip))
            s.client(tcp(f"{C}:1001", f"[{address}]:999", "S", ip=ip))
        for flags in ("S", "A", "FA", "F", "-", "R", "SA", "SF"):
            s.client(tcp(f"{C}:1001", f"[{address}]:999", flags, seq=7000, ack=9000))
        s.client(tcp(f"{C}:1001", f"[{address}]:999", "S", check=0xBEEF))
        s.title(f"Other next headers to {address}.")
        for protocol in (4, 41, 47, 50, 51, 59, 89, 99, 132, 136, 253, 255, 1):
            s.client(packet(CLIENT6, address, protocol, pattern(24)))
    s.title(
        "Other ICMPv6: reply, unknown informational, unknown error, packet too big, node query."
    )
    for kind in (129, 0, 5, 100, 127, 138, 139, 140, 144, 200, 255):
        s.client(icmp(CLIENT6, VIP6, kind, rest=0x12340003, body=bytes(12)))
    s.title("Echo to multicast, from link-local, from nobody.")
    s.client(icmp(CLIENT6, "ff02::1", 128, rest=1, body=b"ping"))
    s.client(icmp("fe80::2", VIP6, 128, rest=1, body=b"ping"))
    s.client(icmp("::", VIP6, 128, rest=1, body=b"ping"))
    s.client(icmp("ff02::1", VIP6, 128, rest=1, body=b"ping"))
    s.client(icmp("2001:db8::1", VIP6, 128, rest=1, body=b"ping"))
    s.title("Closed ports by multicast and from nobody; routed without a way.")
    s.client(
        udp(f"{C}:1", "[ff02::1]:999"), udp("[::]:1", f"{V}:999"), udp(f"{C}:1", "[2001:db8::9]:9")
    )
    s.client(udp("[fe80::2]:1", f"{R}:9"))
    s.title("From the servers' side.")
    s.server(icmp(SERVER6, VIP6, 128, rest=1, body=b"ping"))
    s.server(udp(f"{R}:1", f"{V}:999"), tcp(f"{R}:1", f"{V}:999", "S"))
    s.do("connections", "stats")


def larger_than(s, mtu):
    s.service("tcp", f"{V}:80", f"{R}:8080 -m")
    s.service("udp", f"{V}:53", f"{R}:5353 -m")
    s.service("udp", f"{V}:54", "[fd00:2::c]:54 -g")
    c = f"{C}:1001"
    s.title("Connections.")
    s.client(tcp(c, f"{V}:80", "S"), udp(c, f"{V}:53"), udp(c, f"{V}:54"))
    s.title(f"{mtu} bytes, one more, 1500: both ways, TCP, UDP, DR, routed.")
    for length in (mtu, mtu + 1, 1500):
        s.client(tcp(c, f"{V}:80", "A", data=pattern(length - 60)))
        s.server(tcp(f"{R}:8080", c, "A", data=pattern(length - 60)))
        s.client(udp(c, f"{V}:53", pattern(length - 48)))
        s.server(udp(f"{R}:5353", c, pattern(length - 48)))
        s.client(udp(c, f"{V}:54", pattern(length - 48)))
        s.client(udp(c, "[fd00:2::e]:7", pattern(length - 48)))
        s.server(udp("[fd00:2::e]:7", c, pattern(length - 48)))
    s.title("Large, and the last hop.")
    s.client(udp(c, f"{V}:53", pattern(1452), ip=dict(ttl=1)))
    s.title("In fragments of which one is too large; all small.")
    big = udp(c, f"{V}:53", pattern(2000))
    s.client(*fragments6(big, 1448), *fragments6(big, 1200, ident=2))
    big = udp(f"{R}:5353", c, pattern(2000))
    s.server(*fragments6(big, 1448), *fragments6(big, 1200, ident=2))
    big = udp(c, f"{V}:54", pattern(2000))
    s.client(*fragments6(big, 1448), *fragments6(big, 1200, ident=2))
    s.do("connections", "stats")


@scenario
def six_mtu_servers(s):
    """IPv6 where the link to the servers carries 1400 bytes."""
    s.network("ip link set lan1 mtu 1400")
    larger_than(s, 1400)


@scenario
def six_mtu_clients(s):
    """IPv6 where the link to the clients carries 1400 bytes."""
    s.network("ip link set lan0 mtu 1400")
    larger_than(s, 1400)
