"""DR: IPv4 and IPv6, near and behind a router, and what is too large."""

from frames import fragments, icmp, pattern, sctp, chunk, tcp, udp
from scenario import CLIENT, CLIENT6, SERVER, SERVER6, VIP, VIP6, scenario


def life(s, client, vip, server, port, six=False):
    c, v = (f"[{client}]:1001", f"[{vip}]:{port}") if six else (f"{client}:1001", f"{vip}:{port}")
    s.client(tcp(c, v, "S"), tcp(c, v, "A", seq=1001, ack=5001))
    s.client(tcp(c, v, "PA", seq=1001, ack=5001, data=b"odd"))
    s.client(tcp(c, v, "A", seq=1004, check=0xBEEF), tcp(c, v, "FA", seq=1004, ack=5001))
    s.do("connections")
    s.client(tcp(c, v, "S", seq=9000), tcp(c, v, "RA", seq=9001))
    s.do("connections")
    s.client(udp(c, v), udp(c, v, check=0), udp(c, v, check=0xBEEF), udp(c, v, b""))
    s.client(udp(c, v, pattern(1472 if not six else 1452)), udp(c, v, length=7))


@scenario
def dr_4(s):
    """DR, IPv4: near servers, one behind a router, hops, options; replies that pass here."""
    s.network(
        "ip route add 10.0.9.0/24 via 10.0.2.99", "ip route add 192.168.7.0/24 via 10.0.1.254"
    )
    for protocol in ("tcp", "udp", "sctp"):
        s.service(protocol, f"{VIP}:80", f"{SERVER} -g")
        s.service(protocol, f"{VIP}:81", "10.0.9.9 -g")
    s.title("A near server.")
    life(s, CLIENT, VIP, SERVER, 80)
    s.title("A server behind a router: the frame goes to the router.")
    life(s, CLIENT, VIP, "10.0.9.9", 81)
    s.title("SCTP, with a wrong checksum too.")
    c = f"{CLIENT}:1001"
    s.client(sctp(c, f"{VIP}:80", [chunk(1, bytes(16))], tag=0))
    s.client(sctp(c, f"{VIP}:80", [chunk(10, bytes(4))], crc=0xBEEF))
    s.title("TTL, TOS, options, DF, identification 0.")
    for ip in (
        dict(ttl=255),
        dict(ttl=2),
        dict(ttl=1),
        dict(ttl=0),
        dict(tos=0xBB),
        dict(options=b"\1\1\1\0"),
        dict(options=bytes([7, 11, 4] + [0] * 9)),
        dict(options=b"\x94\4\0\0"),
        dict(df=False),
        dict(df=False, ident=0),
    ):
        s.client(tcp(c, f"{VIP}:80", "S", ip=ip))
    s.title("A client that is far; a client on the servers' side.")
    s.client(tcp("192.168.7.7:1001", f"{VIP}:80", "S"))
    s.server(tcp("10.0.2.12:1001", f"{VIP}:80", "S"))
    s.title("Replies that pass here: the source is the director's own address.")
    s.server(tcp(f"{VIP}:80", c, "SA"), udp(f"{VIP}:80", c))
    s.title("From the server's own address: no reply of a connection, routed.")
    s.server(tcp(f"{SERVER}:80", c, "SA"))
    s.title("Frames shorter than Ethernet's least, padded; a trailer.")
    s.send("lan0", tcp(c, f"{VIP}:80", "A"), padding=bytes(6))
    s.send("lan0", udp(c, f"{VIP}:80", b""), padding=b"\xaa" * 18)
    s.send("lan0", udp(c, f"{VIP}:80", pattern(100)), padding=b"\xaa" * 20)
    s.do("connections", "stats")


@scenario
def dr_4_mtu(s):
    """DR, IPv4, where the link to the servers carries 1000 bytes."""
    s.network("ip link set lan1 mtu 1000")
    s.service("tcp", f"{VIP}:80", f"{SERVER} -g")
    s.service("udp", f"{VIP}:80", f"{SERVER} -g")
    c, v = f"{CLIENT}:1001", f"{VIP}:80"
    s.client(tcp(c, v, "S"))
    for df in (True, False):
        s.title(f"1000 bytes, 1001, 1500, DF {'set' if df else 'clear'}.")
        for length in (1000, 1001, 1500):
            s.client(tcp(c, v, "A", data=pattern(length - 40), ip=dict(df=df)))
            s.client(udp(c, v, pattern(length - 28), ip=dict(df=df)))
            s.client(udp(c, v, pattern(length - 28), ip=dict(df=df), check=0))
    s.title("With options: copied into every piece or not.")
    for words in (
        b"\x94\4\0\0",
        b"\1\1\1\0",
        bytes([7, 11, 4] + [0] * 9),
        b"\x94\4\0\0\x07\x07\4\0\0\0\0\0",
    ):
        s.client(udp(c, v, pattern(1200), ip=dict(df=False, options=words)))
    s.title("TTL 1; TOS and identification 0.")
    s.client(udp(c, v, pattern(1200), ip=dict(df=False, ttl=1)))
    s.client(udp(c, v, pattern(1200), ip=dict(df=False, tos=0xB8, ident=0)))
    s.title("What comes in fragments, larger ones than the next link carries.")
    s.client(
        *fragments(udp(c, v, pattern(2000)), 1480),
        *fragments(udp(c, v, pattern(2000)), 800, 1600, ident=2),
    )
    s.do("connections", "stats")


@scenario
def dr_6(s):
    """DR, IPv6: a near server, one behind a router, hops; replies that pass here."""
    s.network("ip route add fd00:9::/64 via fd00:2::63")
    for protocol in ("tcp", "udp"):
        s.service(protocol, f"[{VIP6}]:80", f"[{SERVER6}] -g")
        s.service(protocol, f"[{VIP6}]:81", "[fd00:9::9] -g")
    s.title("A near server.")
    life(s, CLIENT6, VIP6, SERVER6, 80, six=True)
    s.title("A server behind a router.")
    life(s, CLIENT6, VIP6, "fd00:9::9", 81, six=True)
    s.title("Hop limit, traffic class, flow label.")
    c, v = f"[{CLIENT6}]:1001", f"[{VIP6}]:80"
    for ip in (
        dict(ttl=255),
        dict(ttl=2),
        dict(ttl=1),
        dict(ttl=0),
        dict(tos=0xBB),
        dict(flow=0xABCDE),
    ):
        s.client(tcp(c, v, "S", ip=ip))
    s.title("Replies that pass here.")
    s.server(tcp(v, c, "SA"), udp(v, c), tcp(f"[{SERVER6}]:80", c, "SA"))
    s.do("connections", "stats")


@scenario
def limits(s):
    """Where nothing is to be had: no server, weight 0, thresholds, removed servers and services."""
    v = f"{VIP}:80"
    s.title("No server; then weight 0; UDP and TCP; what is too large to be quoted whole.")
    s.service("tcp", v)
    s.service("udp", v)
    s.client(tcp(f"{CLIENT}:1001", v, "S"), tcp(f"{CLIENT}:1001", v, "A"), udp(f"{CLIENT}:1001", v))
    s.client(udp(f"{CLIENT}:1001", v, pattern(1472)), udp(f"{CLIENT}:1001", v, check=0xBEEF))
    s.client(tcp(f"{CLIENT}:1001", v, "S", check=0xBEEF, ip=dict(tos=0xB8, ttl=1)))
    s.client(tcp(f"{CLIENT}:1001", v, "S", ip=dict(options=b"\1\1\1\0")))
    s.do(f"-a -t {v} -r {SERVER}:8080 -m -w 0", f"-a -u {v} -r {SERVER}:8080 -m -w 0")
    s.client(tcp(f"{CLIENT}:1002", v, "S"), udp(f"{CLIENT}:1002", v))
    s.title("An upper threshold of 1.")
    s.do(f"-e -t {v} -r {SERVER}:8080 -m -w 1 -x 1")
    s.client(tcp(f"{CLIENT}:1003", v, "S"), tcp(f"{CLIENT}:1004", v, "S"))
    s.client(tcp(f"{CLIENT}:1003", v, "A"))
    s.title("The server is removed: silence; replies still pass; it comes back.")
    s.do(f"-d -t {v} -r {SERVER}:8080")
    s.client(tcp(f"{CLIENT}:1003", v, "A"))
    s.server(tcp(f"{SERVER}:8080", f"{CLIENT}:1003", "A"))
    s.do("connections", f"-a -t {v} -r {SERVER}:8080 -m")
    s.client(tcp(f"{CLIENT}:1003", v, "A"))
    s.title("The service is removed: silence; replies still pass.")
    s.do(f"-D -t {v}")
    s.client(tcp(f"{CLIENT}:1003", v, "A"), tcp(f"{CLIENT}:1003", v, "S"))
    s.client(tcp(f"{CLIENT}:1005", v, "S"))
    s.server(tcp(f"{SERVER}:8080", f"{CLIENT}:1003", "A"))
    s.do("connections")
    s.title("expire_nodest_conn")
    s.do("sysctl net.ipv4.vs.expire_nodest_conn=1")
    s.client(tcp(f"{CLIENT}:1003", v, "A"), tcp(f"{CLIENT}:1003", v, "A"))
    s.do("wait 0.2", "connections")
    s.title("A server that no route leads to.")
    s.service("tcp", f"{VIP}:81", "192.168.9.9:81 -m")
    s.service("tcp", f"{VIP}:82", "192.168.9.9:82 -g")
    s.service("tcp", f"{VIP}:83", "192.168.9.9:83 -i")
    for port in (81, 82, 83):
        s.client(tcp(f"{CLIENT}:1001", f"{VIP}:{port}", "S"))
    s.do("connections", "stats")


@scenario
def behind_a_router(s):
    """Servers behind a router for NAT and tunnels, clients behind another; IPv4 and IPv6."""
    s.network(
        "ip route add 10.0.9.0/24 via 10.0.2.99",
        "ip route add fd00:9::/64 via fd00:2::63",
        "ip route add 192.168.7.0/24 via 10.0.1.254",
        "ip route add 2001:db8::/64 via fd00:1::fe",
    )
    for vip, real, client in (
        (VIP, "10.0.9.9", "192.168.7.7"),
        (f"[{VIP6}]", "[fd00:9::9]", "[2001:db8::7]"),
    ):
        s.service("tcp", f"{vip}:80", f"{real}:8080 -m")
        s.service("tcp", f"{vip}:81", f"{real}:81 -i")
        s.service("tcp", f"{vip}:82", f"{real}:82 -i --tun-type gue --tun-port 6080")
        s.service("tcp", f"{vip}:83", f"{real}:83 -g")
        s.title(f"A client at {client}.")
        s.client(*(tcp(f"{client}:1001", f"{vip}:{port}", "S") for port in (80, 81, 82, 83)))
        s.server(tcp(f"{real}:8080", f"{client}:1001", "SA"))
        s.title("No server has weight; a closed port; TTL 1.")
        s.service("udp", f"{vip}:84")
        s.client(udp(f"{client}:1001", f"{vip}:84"), udp(f"{client}:1001", f"{vip}:85"))
        s.client(tcp(f"{client}:1001", f"{vip}:85", "S"))
        s.client(tcp(f"{client}:1002", f"{vip}:80", "S", ip=dict(ttl=1)))
    s.do("connections", "stats")


@scenario
def one_arm(s):
    """Servers on the clients' link: everything comes in and leaves by one interface."""
    for vip, real, client in (
        (VIP, "10.0.1.20", CLIENT),
        (f"[{VIP6}]", "[fd00:1::14]", f"[{CLIENT6}]"),
    ):
        s.service("tcp", f"{vip}:80", f"{real}:8080 -m")
        s.service("tcp", f"{vip}:81", f"{real}:81 -i")
        s.service("tcp", f"{vip}:82", f"{real}:82 -g")
        s.title(f"A client at {client}.")
        s.client(*(tcp(f"{client}:1001", f"{vip}:{port}", "S") for port in (80, 81, 82)))
        s.title("Its reply comes back here, because it was told to.")
        s.client(tcp(f"{real}:8080", f"{client}:1001", "SA"))
        s.title("Too large.")
        s.client(tcp(f"{client}:1001", f"{vip}:81", "A", data=pattern(1440)))
    s.do("connections", "stats")


BOTH_FAMILIES = (
    (VIP, "10.0.1.1", "127.0.0.1", CLIENT),
    (f"[{VIP6}]", "[fd00:1::1]", "[::1]", f"[{CLIENT6}]"),
)


@scenario
def local_server(s):
    """A server that is the director itself: at an address of an interface."""
    for vip, real, _, client in BOTH_FAMILIES:
        s.title(f"{real}: NAT with another port, DR, tunnel; TCP is refused, UDP too.")
        for protocol in ("tcp", "udp"):
            s.service(protocol, f"{vip}:80", f"{real}:8080 -m")
            s.service(protocol, f"{vip}:81", f"{real}:81 -g")
            s.service(protocol, f"{vip}:82", f"{real}:82 -i")
        for port in (81, 82, 80):
            s.client(
                tcp(f"{client}:1001", f"{vip}:{port}", "S"), udp(f"{client}:1001", f"{vip}:{port}")
            )
            s.client(udp(f"{client}:1002", f"{vip}:{port}", ip=dict(ttl=1)))
        s.do("connections", "stats", "-C")


@scenario
def local_server_loopback(s):
    """A server that is the director itself: at an address of the loopback, or at the VIP."""
    for vip, _, loopback, client in BOTH_FAMILIES:
        six = ":" in client
        for number, real in ((1001, loopback), (1002, vip)):
            s.title(f"{real}: NAT with another port and with the same, DR, tunnel.")
            for protocol in ("tcp", "udp", "sctp"):
                s.service(protocol, f"{vip}:80", f"{real}:8080 -m")
                s.service(protocol, f"{vip}:81", f"{real}:81 -g")
                s.service(protocol, f"{vip}:82", f"{real}:82 -i")
                s.service(protocol, f"{vip}:83", f"{real}:83 -m")
            for port in (81, 82, 83, 80):
                c, v = f"{client}:{number}", f"{vip}:{port}"
                s.client(tcp(c, v, "S"), tcp(c, v, "A"), tcp(c, v, "RA"), tcp(c, v, "S"))
                if not six or port in (81, 82):
                    s.client(sctp(c, v, [chunk(1, bytes(16))], tag=0))
                    s.client(udp(c, v), udp(c, v, check=0), udp(c, v, check=0xBEEF))
            # Longer than connections of SCTP live, and those that were reset.
            s.do("connections", "stats", "-C", "wait 11")


@scenario
def local_server_more(s):
    """A server that is the director itself: options, sizes, hops, ICMP errors, persistence."""
    for vip, real, loopback, client in BOTH_FAMILIES:
        six = ":" in client
        router = "fd00:1::4d" if six else "10.0.1.77"
        bare = vip.strip("[]")
        for port, server in ((80, f"{real}:8080 -m"), (81, f"{loopback} -g"), (82, f"{real} -i")):
            s.service("tcp", f"{vip}:{port}", server)
        s.service("tcp", f"{vip}:90", f"{real}:8080 -m", more=" -p 300")
        s.service("tcp", f"{vip}:91", f"{real}:8080 -m -w 0")
        for port in (80, 81, 82):
            c, v = f"{client}:1001", f"{vip}:{port}"
            s.title(f"Port {port}: hops, sizes, traffic class.")
            for ip in (dict(ttl=1), dict(ttl=2), dict(ttl=255), dict(tos=0xB9)):
                s.client(tcp(c, v, "S", ip=ip))
            s.client(tcp(c, v, "A", data=pattern(1400)))
            if not six:
                s.title(f"Port {port}: options.")
                for options in (
                    b"\1\1\1\0",
                    bytes([7, 11, 4] + [0] * 8 + [0]),
                    b"\x94\4\0\0",
                ):
                    s.client(tcp(c, v, "S", ip=dict(options=options)))
            s.title(f"Port {port}: errors about its replies go to it, which has nothing to say.")
            reply = tcp(v, c, "A", data=pattern(64))
            kind = (1, 0) if six else (3, 1)
            s.client(icmp(router, bare, *kind, body=reply[: 60 if six else 28]))
            s.client(icmp(router, bare, *kind, body=reply[: 60 if six else 28], ip=dict(ttl=1)))
            s.do("connections")
        s.title("Persistence; no weight.")
        for port in (90, 91):
            s.client(*(tcp(f"{client}:{number}", f"{vip}:{port}", "S") for number in (1, 2, 3)))
        s.title("Nobody listens on a port without a service either.")
        s.client(tcp(f"{client}:1001", f"{vip}:8080", "S"), udp(f"{client}:1001", f"{vip}:8080"))
        s.do("connections", "persistent", "stats", "-C")
