"""ICMP over IPv4: errors in every direction, and what a host answers."""

from frames import chunk, datagram, fragments, icmp, ip4, pattern, put, sctp, tcp, udp
from scenario import CLIENT, SERVER, VIP, scenario

ROUTER, FAR_ROUTER, BEHIND = "10.0.1.77", "192.168.7.7", "10.0.2.99"
KINDS = [(3, code) for code in (0, 1, 2, 3, 5, 9, 10, 13, 15)] + [
    (4, 0),
    (5, 0),
    (5, 1),
    (11, 0),
    (11, 1),
    (12, 0),
    (12, 1),
    (6, 0),
    (1, 0),
    (30, 0),
    (255, 0),
]


def error(src, dst, about, kind=(3, 1), keep=28, rest=0, **more):
    """An ICMP error with the first `keep` bytes of a packet."""
    return icmp(src, dst, *kind, rest=rest, body=about[:keep], **more)


def kinds(s, send, src, dst, about):
    for kind in KINDS:
        send(error(src, dst, about, kind, rest=0x0A000163 if kind[0] == 5 else 0))
    for mtu in (1400, 576, 68, 67, 0, 65535):
        send(error(src, dst, about, (3, 4), rest=mtu))


def lengths(s, send, src, dst, about):
    for keep in (0, 19, 20, 21, 22, 23, 24, 27, 29, len(about)):
        send(error(src, dst, about, keep=keep))
    send(error(src, dst, about + bytes(16), keep=len(about) + 16))


def about_headers(s, send, src, dst, ends, make):
    """Errors about packets with unusual headers."""
    for ip in (
        dict(options=b"\1\1\1\0"),
        dict(options=bytes(40)),
        dict(ttl=0, tos=0xB8),
        dict(df=False, mf=True),
        dict(df=False, offset=8),
        dict(check=0xBEEF),
        dict(total=20),
        dict(total=24),
        dict(total=4000),
        dict(ihl=4),
        dict(ihl=15),
        dict(version=6),
        dict(ident=0),
    ):
        packet = make(*ends, ip=ip)
        send(error(src, dst, packet, keep=28 + len(ip.get("options", b""))))


@scenario
def icmp_nat_client(s):
    """NAT: errors from the client's side about replies, and others at the VIP."""
    s.service("tcp", f"{VIP}:80", f"{SERVER}:8080 -m")
    s.service("tcp", f"{VIP}:81", f"{SERVER}:81 -m")
    s.service("udp", f"{VIP}:53", f"{SERVER}:5353 -m")
    s.service("sctp", f"{VIP}:90", f"{SERVER}:9090 -m")
    s.network("ip route add 192.168.7.0/24 via 10.0.1.254")
    c = f"{CLIENT}:1001"
    s.title("Connections.")
    s.client(tcp(c, f"{VIP}:80", "S"), tcp(c, f"{VIP}:81", "S"), udp(c, f"{VIP}:53"))
    s.client(sctp(c, f"{VIP}:90", [chunk(1, bytes(16))], tag=0))
    reply = tcp(f"{VIP}:80", c, "A", data=pattern(64))
    s.title("Every kind of error from a router about TCP.")
    kinds(s, lambda p: s.client(p), ROUTER, VIP, reply)
    s.title("From the client itself; from a router that is far; TTL 2 and 1; TOS.")
    s.client(error(CLIENT, VIP, reply), error(FAR_ROUTER, VIP, reply))
    for ip in (
        dict(ttl=2),
        dict(ttl=1),
        dict(tos=0xC0, df=False, ident=0),
        dict(options=b"\x94\4\0\0"),
    ):
        s.client(error(ROUTER, VIP, reply, ip=ip))
    s.title("Wrong ICMP checksums.")
    for check in (0xBEEF, 0, 0xFFFF):
        s.client(error(ROUTER, VIP, reply, check=check))
    s.title("Less and more of the packet: 0, 19, 20, 21, 22, 23, 24, 27, 29 bytes, all, trailer.")
    lengths(s, lambda p: s.client(p), ROUTER, VIP, reply)
    s.title("Unusual headers in it: options, TTL 0, fragments, lengths, checksum, version.")
    about_headers(s, lambda p: s.client(p), ROUTER, VIP, (f"{VIP}:80", c), tcp)
    s.title("About a service whose port stays; UDP, with and without checksum; SCTP.")
    s.client(error(ROUTER, VIP, tcp(f"{VIP}:81", c, "A")))
    s.client(error(ROUTER, VIP, udp(f"{VIP}:53", c)))
    s.client(error(ROUTER, VIP, udp(f"{VIP}:53", c, check=0)))
    s.client(error(ROUTER, VIP, udp(f"{VIP}:53", c, check=0), (3, 3), keep=32))
    s.client(error(ROUTER, VIP, sctp(f"{VIP}:90", c, [chunk(2, bytes(16))])))
    s.client(error(ROUTER, VIP, sctp(f"{VIP}:90", c, [chunk(2, bytes(16))]), keep=999))
    s.title("About other things: echo, an unknown protocol, an error, a later fragment.")
    s.client(error(ROUTER, VIP, icmp(VIP, CLIENT, 0, rest=0x00010001, body=b"ping")))
    s.client(error(ROUTER, VIP, ip4(VIP, CLIENT, 99, bytes(8))))
    s.client(error(ROUTER, VIP, error(VIP, CLIENT, tcp(c, f"{VIP}:80", "S")), keep=56))
    s.title("About connections that are not there, to the VIP, to the director, to a server.")
    s.client(error(ROUTER, VIP, tcp(f"{VIP}:80", f"{CLIENT}:9999", "A")))
    s.client(error(ROUTER, VIP, tcp(f"{VIP}:9999", c, "A")))
    s.client(error(ROUTER, "10.0.1.1", tcp("10.0.1.1:80", c, "A")))
    s.client(error(ROUTER, SERVER, tcp(f"{SERVER}:7", c, "A")))
    s.title("About a connection, but sent to another address: the director, the server, another.")
    s.client(error(ROUTER, "10.0.1.1", reply))
    s.client(error(ROUTER, SERVER, reply), error(ROUTER, "10.0.2.12", reply))
    s.title("The embedded packet the other way round: a request.")
    s.client(error(ROUTER, VIP, tcp(c, f"{VIP}:80", "A")))
    s.title("In fragments, in both orders.")
    long = error(ROUTER, VIP, tcp(f"{VIP}:80", c, "A", data=pattern(500)), keep=540)
    s.client(*fragments(long, 280), *reversed(fragments(long, 280, ident=2)))
    s.do("connections", "stats")
    s.title("With schedule_icmp.")
    s.do("sysctl net.ipv4.vs.schedule_icmp=1")
    s.client(error(ROUTER, VIP, tcp(f"{VIP}:80", f"{CLIENT}:2001", "A")))
    s.client(error(ROUTER, VIP, udp(f"{VIP}:53", f"{CLIENT}:2002"), (3, 4), rest=1400))
    s.client(error(ROUTER, VIP, tcp(f"{VIP}:9999", f"{CLIENT}:2003", "A")))
    s.do("connections", "stats")


@scenario
def icmp_nat_server(s):
    """NAT: errors from the servers' side about requests."""
    s.service("tcp", f"{VIP}:80", f"{SERVER}:8080 -m")
    s.service("tcp", f"{VIP}:81", f"{SERVER}:81 -m")
    s.service("udp", f"{VIP}:53", f"{SERVER}:5353 -m")
    s.service("sctp", f"{VIP}:90", f"{SERVER}:9090 -m")
    c, r = f"{CLIENT}:1001", f"{SERVER}:8080"
    s.title("Connections.")
    s.client(tcp(c, f"{VIP}:80", "S"), tcp(c, f"{VIP}:81", "S"), udp(c, f"{VIP}:53"))
    s.client(sctp(c, f"{VIP}:90", [chunk(1, bytes(16))], tag=0))
    request = tcp(c, r, "A", data=pattern(64))
    s.title("Every kind of error from the server about TCP.")
    kinds(s, lambda p: s.server(p), SERVER, CLIENT, request)
    s.title("From a router on the way; TTL 2 and 1; TOS, options.")
    s.server(error(BEHIND, CLIENT, request, (11, 0)))
    for ip in (
        dict(ttl=2),
        dict(ttl=1),
        dict(tos=0xC0, df=False, ident=0),
        dict(options=b"\x94\4\0\0"),
    ):
        s.server(error(SERVER, CLIENT, request, ip=ip))
    s.title("Wrong ICMP checksums.")
    for check in (0xBEEF, 0, 0xFFFF):
        s.server(error(SERVER, CLIENT, request, check=check))
    s.title("Less and more of the packet: 0, 19, 20, 21, 22, 23, 24, 27, 29 bytes, all, trailer.")
    lengths(s, lambda p: s.server(p), SERVER, CLIENT, request)
    s.title("Unusual headers in it.")
    about_headers(s, lambda p: s.server(p), SERVER, CLIENT, (c, r), tcp)
    s.title("About a service whose port stays; UDP, with and without checksum; SCTP.")
    s.server(error(SERVER, CLIENT, tcp(c, f"{SERVER}:81", "A")))
    s.server(error(SERVER, CLIENT, udp(c, f"{SERVER}:5353"), (3, 3)))
    s.server(error(SERVER, CLIENT, udp(c, f"{SERVER}:5353", check=0), (3, 3), keep=32))
    s.server(error(SERVER, CLIENT, sctp(c, f"{SERVER}:9090", [chunk(1, bytes(16))]), keep=999))
    s.title("About other things: echo, an unknown protocol.")
    s.server(error(SERVER, CLIENT, icmp(CLIENT, SERVER, 8, rest=0x00010001, body=b"ping")))
    s.server(error(SERVER, CLIENT, ip4(CLIENT, SERVER, 99, bytes(8)), (3, 2)))
    s.title("About connections that are not there; about the client's view; to another client.")
    s.server(error(SERVER, CLIENT, tcp(f"{CLIENT}:9999", r, "A")))
    s.server(error(SERVER, CLIENT, tcp(c, f"{VIP}:80", "A")))
    s.server(error(SERVER, "10.0.1.3", request))
    s.server(error("10.0.2.12", CLIENT, request, (3, 3)))
    s.title("To the director itself.")
    s.server(error(SERVER, "10.0.2.1", request))
    s.title("In fragments, in both orders.")
    long = error(SERVER, CLIENT, tcp(c, r, "A", data=pattern(500)), keep=540)
    s.server(*fragments(long, 280), *reversed(fragments(long, 280, ident=2)))
    s.do("connections", "stats")


@scenario
def icmp_dr(s):
    """DR: errors from the client's side go to the server, those of servers are routed."""
    s.service("tcp", f"{VIP}:80", f"{SERVER} -g")
    s.service("udp", f"{VIP}:53", f"{SERVER} -g")
    c = f"{CLIENT}:1001"
    s.title("Connections.")
    s.client(tcp(c, f"{VIP}:80", "S"), udp(c, f"{VIP}:53"))
    reply = tcp(f"{VIP}:80", c, "A", data=pattern(64))
    s.title("Every kind.")
    kinds(s, lambda p: s.client(p), ROUTER, VIP, reply)
    s.title("TTL 2, 1; wrong checksum; less and more of the packet; unusual headers.")
    for ip in (dict(ttl=2), dict(ttl=1)):
        s.client(error(ROUTER, VIP, reply, ip=ip))
    s.client(error(ROUTER, VIP, reply, check=0xBEEF))
    lengths(s, lambda p: s.client(p), ROUTER, VIP, reply)
    about_headers(s, lambda p: s.client(p), ROUTER, VIP, (f"{VIP}:80", c), tcp)
    s.client(error(ROUTER, VIP, udp(f"{VIP}:53", c), (3, 3)))
    s.title("From the servers' side, about a request.")
    for kind in ((3, 1), (3, 3), (11, 0)):
        s.server(error(BEHIND, CLIENT, tcp(c, f"{VIP}:80", "A"), kind))
        s.server(error(VIP, CLIENT, tcp(c, f"{VIP}:80", "A"), kind))
    s.server(error(BEHIND, CLIENT, udp(c, f"{VIP}:53"), (3, 4), rest=1000))
    s.do("connections", "stats")


@scenario
def icmp_tunnel(s):
    """Tunnels: errors about what is inside, and about the tunnel's own packets."""
    kinds_of = (
        ("", 80, 11),
        (" --tun-type gue --tun-port 6080", 81, 12),
        (" --tun-type gue --tun-port 6080 --tun-csum", 82, 13),
        (" --tun-type gre", 83, 14),
        (" --tun-type gre --tun-csum", 84, 15),
    )
    for words, port, last in kinds_of:
        s.service("tcp", f"{VIP}:{port}", f"10.0.2.{last}:{port} -i{words}")
    c = f"{CLIENT}:1001"
    s.title("Connections.")
    for _, port, _ in kinds_of:
        s.client(tcp(c, f"{VIP}:{port}", "S"))
    s.title("From the client's side, about a reply: goes through the tunnel.")
    reply = tcp(f"{VIP}:80", c, "A", data=pattern(64))
    for kind in ((3, 1), (3, 3), (3, 4), (4, 0), (5, 1), (11, 0), (12, 0)):
        s.client(error(ROUTER, VIP, reply, kind, rest=1400 if kind == (3, 4) else 0))
    s.client(error(ROUTER, VIP, reply, check=0xBEEF), error(ROUTER, VIP, reply, ip=dict(ttl=1)))
    for _, port, last in kinds_of[1:]:
        s.client(error(ROUTER, VIP, tcp(f"{VIP}:{port}", c, "A")))
    for _, port, last in kinds_of:
        inner = tcp(c, f"{VIP}:{port}", "A", data=pattern(200), ip=dict(ttl=63))
        heads = {
            80: (4, b""),
            81: (
                17,
                put(
                    datagram("10.0.2.1:50000", "10.0.2.12:6080", bytes(4) + inner)[:12],
                    6,
                    b"\0\0\0\4\0\0",
                ),
            ),
            82: (
                17,
                put(
                    datagram("10.0.2.1:50000", "10.0.2.13:6080", bytes(4) + inner)[:12],
                    8,
                    b"\0\4\0\0",
                ),
            ),
            83: (47, b"\0\0\x08\0"),
            84: (47, b"\x80\0\x08\0\xbe\xef\0\0"),
        }
        protocol, head = heads[port]
        outer = ip4("10.0.2.1", f"10.0.2.{last}", protocol, head + inner, ident=0, ttl=63)
        bare = 20 + len(head)
        s.title(f"Port {port}: a router on the way to the server says something of the tunnel.")
        for kind in (
            (3, 0),
            (3, 1),
            (3, 2),
            (3, 3),
            (3, 13),
            (4, 0),
            (5, 1),
            (11, 0),
            (11, 1),
            (12, 0),
        ):
            s.server(error(BEHIND, "10.0.2.1", outer, kind, keep=200))
        s.title("With less and less of the packet inside.")
        for keep in (
            len(outer),
            bare + 40,
            bare + 28,
            bare + 27,
            bare + 24,
            bare + 20,
            bare + 19,
            bare,
            bare - 1,
            20,
            8,
        ):
            s.server(error(BEHIND, "10.0.2.1", outer, (3, 1), keep=keep))
        s.title("Wrong checksum; from the server; to another of the director's addresses; TTL 1.")
        s.server(error(BEHIND, "10.0.2.1", outer, keep=200, check=0xBEEF))
        s.server(error(f"10.0.2.{last}", "10.0.2.1", outer, (3, 2), keep=200))
        s.server(error(BEHIND, "10.0.1.1", outer, keep=200))
        s.server(error(BEHIND, "10.0.2.1", outer, keep=200, ip=dict(ttl=1)))
        s.title("About no tunnel of ours: another server, another type, an unknown connection.")
        s.server(
            error(
                BEHIND, "10.0.2.1", ip4("10.0.2.1", "10.0.2.18", protocol, head + inner), keep=200
            )
        )
        s.server(error(BEHIND, "10.0.2.1", ip4("10.0.2.1", "10.0.2.17", 4, inner), keep=200))
        stranger = tcp(f"{CLIENT}:9999", f"{VIP}:{port}", "A", ip=dict(ttl=63))
        s.server(
            error(
                BEHIND,
                "10.0.2.1",
                ip4("10.0.2.1", f"10.0.2.{last}", protocol, head + stranger),
                keep=200,
            )
        )
        s.title("Too big: twice, with the packets that follow; then smaller; then nonsense.")
        for mtu in (1400, 1400, 1300, 0, 60):
            s.server(error(BEHIND, "10.0.2.1", outer, (3, 4), keep=200, rest=mtu))
            s.client(tcp(c, f"{VIP}:{port}", "A", data=pattern(1390)))
            s.client(tcp(c, f"{VIP}:{port}", "A", data=pattern(1200)))
        s.title("Too big, but inside DF is clear.")
        loose = ip4(
            "10.0.2.1",
            f"10.0.2.{last}",
            protocol,
            head + tcp(c, f"{VIP}:{port}", "A", ip=dict(ttl=63, df=False)),
            ident=0,
            ttl=63,
        )
        s.server(error(BEHIND, "10.0.2.1", loose, (3, 4), keep=200, rest=1200))
        s.client(tcp(c, f"{VIP}:{port}", "A", data=pattern(1390), ip=dict(df=False)))
    s.do("connections", "stats")


@scenario
def host_answers(s):
    """What the director answers as a host, at the VIP, at its own addresses, for closed ports."""
    s.service("tcp", f"{VIP}:80", f"{SERVER}:8080 -m")
    s.service("udp", f"{VIP}:53", f"{SERVER}:5353 -m")
    s.title("Echo at the VIP: sizes, TOS, TTL, no DF, options, code.")
    for body in (b"", b"x", b"ping", pattern(56), pattern(1472)):
        s.client(icmp(CLIENT, VIP, 8, rest=0x12340001, body=body))
    for ip in (
        dict(tos=0xB8),
        dict(tos=3),
        dict(ttl=1),
        dict(ttl=0),
        dict(ttl=255),
        dict(df=False, ident=0),
        dict(options=b"\1\1\1\0"),
        dict(options=b"\x94\4\0\0"),
        dict(options=bytes([7, 11, 4] + [0] * 9)),
        dict(options=bytes([7, 11, 8, 10, 0, 1, 99] + [0] * 5)),
    ):
        s.client(icmp(CLIENT, VIP, 8, rest=0x12340002, body=b"ping", ip=ip))
    s.client(icmp(CLIENT, VIP, 8, 5, rest=0x12340003, body=b"ping"))
    s.title("Wrong checksum: none.")
    s.client(icmp(CLIENT, VIP, 8, rest=0x12340004, body=b"ping", check=0xBEEF))
    s.title("Fragments: in order, reversed.")
    long = icmp(CLIENT, VIP, 8, rest=0x12340005, body=pattern(200))
    s.client(*fragments(long, 104), *reversed(fragments(long, 104, ident=2)))
    s.title("Larger than a link.")
    s.client(*fragments(icmp(CLIENT, VIP, 8, rest=0x12340006, body=pattern(2000)), 1480, ident=3))
    s.title("At the director's addresses, from both sides.")
    for address in ("10.0.1.1", "10.0.2.1"):
        s.client(icmp(CLIENT, address, 8, rest=0x12340007, body=b"ping"))
        s.server(icmp(SERVER, address, 8, rest=0x12340007, body=b"ping"))
    s.server(icmp(SERVER, VIP, 8, rest=0x12340008, body=b"ping"))
    s.title("To broadcast, multicast; from addresses that are none.")
    for address in ("10.0.1.255", "255.255.255.255", "224.0.0.1"):
        s.client(icmp(CLIENT, address, 8, rest=0x12340009, body=b"ping"))
    for address in (VIP, "10.0.1.1", "127.0.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255"):
        s.client(icmp(address, VIP, 8, rest=0x1234000A, body=b"ping"))
    s.title("From behind a router that is known, and from where no way leads back.")
    s.network("ip route add 192.168.7.0/24 via 10.0.1.254")
    s.client(icmp("192.168.7.7", VIP, 8, rest=0x1234000B, body=b"ping"))
    s.client(icmp("192.168.8.8", VIP, 8, rest=0x1234000C, body=b"ping"))
    s.title("Other ICMP: reply, redirect, router, timestamp, information, mask, unknown.")
    for kind in (0, 5, 9, 10, 14, 15, 16, 17, 18, 30, 37, 42, 255):
        s.client(icmp(CLIENT, VIP, kind, rest=0x1234000D, body=bytes(12)))
    s.client(icmp(CLIENT, VIP, 13, rest=0x1234000E, body=(1000).to_bytes(4, "big") + bytes(8)))
    s.client(icmp(CLIENT, VIP, 13, rest=0x1234000E, body=bytes(2)))
    s.title("Less than an ICMP header.")
    for length in (0, 1, 4, 7):
        s.client(ip4(CLIENT, VIP, 1, b"\x08\0\xf7\xff\0\0\0"[:length]))
    for address in (VIP, "10.0.1.1", "10.0.2.1"):
        s.title(f"UDP to a closed port of {address}: sizes, checksums, TOS, options, TTL.")
        for length in (0, 4, 516, 548, 549, 1472):
            s.client(udp(f"{CLIENT}:1001", f"{address}:999", pattern(length)))
        s.client(udp(f"{CLIENT}:1001", f"{address}:999", check=0))
        s.client(udp(f"{CLIENT}:1001", f"{address}:999", check=0xBEEF))
        s.client(udp(f"{CLIENT}:1001", f"{address}:999", length=7))
        s.client(udp(f"{CLIENT}:1001", f"{address}:999", length=10))
        s.client(udp(f"{CLIENT}:1001", f"{address}:999", length=13))
        for ip in (
            dict(tos=0xB8),
            dict(ttl=1),
            dict(options=b"\1\1\1\0"),
            dict(options=bytes([7, 11, 4] + [0] * 9)),
            dict(df=False, ident=0),
        ):
            s.client(udp(f"{CLIENT}:1001", f"{address}:999", ip=ip))
        s.title(f"TCP to a closed port of {address}.")
        for flags in ("S", "A", "FA", "PA", "F", "-", "R", "RA", "SA", "SF", "SR", "SFRPAUEC"):
            s.client(tcp(f"{CLIENT}:1001", f"{address}:999", flags, seq=7000, ack=9000))
        s.client(tcp(f"{CLIENT}:1001", f"{address}:999", "S", seq=0xFFFFFFFF, data=b"early"))
        s.client(tcp(f"{CLIENT}:1001", f"{address}:999", "PF", seq=5, data=b"early"))
        s.client(tcp(f"{CLIENT}:1001", f"{address}:999", "S", check=0xBEEF))
        s.client(tcp(f"{CLIENT}:1001", f"{address}:999", "S", offset=4))
        s.client(tcp(f"{CLIENT}:1001", f"{address}:999", "S", offset=15))
        for ip in (
            dict(tos=0xBA),
            dict(ttl=1),
            dict(options=b"\1\1\1\0"),
            dict(options=bytes([7, 11, 4] + [0] * 9)),
            dict(df=False),
        ):
            s.client(tcp(f"{CLIENT}:1001", f"{address}:999", "S", ip=ip))
        s.title(f"Other protocols to {address}.")
        for protocol in (0, 2, 4, 41, 47, 50, 51, 89, 99, 132, 136, 253, 255):
            s.client(ip4(CLIENT, address, protocol, pattern(20)))
        s.client(ip4(CLIENT, address, 99, b""))
        s.client(*fragments(ip4(CLIENT, address, 99, pattern(64)), 32))
    s.title("From the servers' side.")
    s.server(udp(f"{SERVER}:7", f"{VIP}:999"), tcp(f"{SERVER}:7", f"{VIP}:999", "S"))
    s.server(udp(f"{SERVER}:7", "10.0.1.1:999"), tcp(f"{SERVER}:7", "10.0.1.1:999", "S"))
    s.title("To a closed port from where no answer may go: broadcast, multicast, nobody.")
    s.client(udp(f"{CLIENT}:1001", "10.0.1.255:999"), udp(f"{CLIENT}:1001", "224.0.0.1:999"))
    s.client(udp("0.0.0.0:1001", f"{VIP}:999"), udp("192.168.8.8:1001", f"{VIP}:999"))
    s.client(tcp("192.168.8.8:1001", f"{VIP}:999", "S"))
    s.title("To a frame address that is not ours, and to all: not for this host.")
    whole = udp(f"{CLIENT}:1001", f"{VIP}:999")
    for to in ("02000000ffff", "ffffffffffff", "01005e000001", "020000000161"):
        s.raw("lan0", bytes.fromhex(to + "020000000102" + "0800") + whole)
    s.title("ARP and other types are not IP; IPv4's type with IPv6 inside.")
    s.raw("lan0", bytes.fromhex("020000000061" + "020000000102" + "86dd") + whole)
    s.do("connections")
