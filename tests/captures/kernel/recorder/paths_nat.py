"""NAT over IPv4: headers, checksums, hops, sizes."""

from frames import icmp, pattern, tcp, udp
from scenario import CLIENT, SERVER, VIP, scenario


@scenario
def nat_tcp(s):
    """NAT, TCP: a connection's life with another port at the server, options, hops, checksums."""
    s.service("tcp", f"{VIP}:80", f"{SERVER}:8080 -m")
    c, v, r = f"{CLIENT}:1001", f"{VIP}:80", f"{SERVER}:8080"
    s.title("A connection from SYN to the last ACK.")
    mss = bytes.fromhex("020405b40402080a0000000100000000")
    s.client(tcp(c, v, "S", options=mss))
    s.server(tcp(r, c, "SA", seq=5000, ack=1001, options=mss))
    s.client(tcp(c, v, "A", seq=1001, ack=5001))
    s.do("connections")
    s.client(tcp(c, v, "PA", seq=1001, ack=5001, data=b"GET / HTTP/1.0\r\n\r\n"))
    s.server(tcp(r, c, "A", seq=5001, ack=1019))
    s.server(tcp(r, c, "PA", seq=5001, ack=1019, data=pattern(1460)))
    s.server(tcp(r, c, "PA", seq=6461, ack=1019, data=b"odd"))
    s.client(tcp(c, v, "A", seq=1019, ack=6464))
    s.server(tcp(r, c, "FA", seq=6464, ack=1019))
    s.do("connections")
    s.client(tcp(c, v, "FA", seq=1019, ack=6465))
    s.server(tcp(r, c, "A", seq=6465, ack=1020))
    s.do("connections")
    s.title("Another client with the same port; the server closes by RST.")
    s.client(tcp("10.0.1.3:1001", v, "S"))
    s.server(tcp(r, "10.0.1.3:1001", "RA", ack=1001))
    s.do("connections")
    s.title("A checksum that is wrong stays wrong by as much, both ways.")
    s.client(tcp(f"{CLIENT}:1002", v, "S", check=0xBEEF))
    s.server(tcp(r, f"{CLIENT}:1002", "SA", check=0xBEEF))
    s.client(tcp(f"{CLIENT}:1002", v, "A", check=0))
    s.client(tcp(f"{CLIENT}:1002", v, "A", check=0xFFFF))
    s.title("Every sum that a checksum can become: ports that make it pass through 0 and ffff.")
    for data in (0xD4B4, 0xD4B5, 0xD4B6, 0xB4AF, 0xB4B0, 0xB4B1):
        s.client(tcp(f"{CLIENT}:1002", v, "A", data=data.to_bytes(2, "big")))
    s.title("IP options: NOP and end of list, record route, timestamp, router alert.")
    c = f"{CLIENT}:1003"
    s.client(tcp(c, v, "S", ip=dict(options=b"\1\1\1\0")))
    s.server(tcp(r, c, "SA", ip=dict(options=b"\1\1\1\0")))
    s.client(tcp(c, v, "A", ip=dict(options=bytes([7, 11, 4] + [0] * 8 + [0]))))
    s.client(tcp(c, v, "A", ip=dict(options=bytes([68, 12, 5, 0] + [0] * 8))))
    s.client(tcp(c, v, "A", ip=dict(options=b"\x94\x04\0\0")))
    s.server(tcp(r, c, "A", ip=dict(options=bytes([7, 11, 4] + [0] * 8 + [0]))))
    s.title("IP options that are wrong, and source routes.")
    s.client(tcp(c, v, "A", ip=dict(options=b"\x07\x28\4\0")))
    s.client(tcp(c, v, "A", ip=dict(options=bytes([131, 7, 4, 10, 0, 2, 99, 0]))))
    s.title("TOS and identification are kept.")
    for tos in (0x01, 0x03, 0xB8, 0xFF):
        s.client(tcp(c, v, "A", ip=dict(tos=tos, ident=0)))
        s.server(tcp(r, c, "A", ip=dict(tos=tos, ident=0xFFFF, df=False)))
    s.title("TTL 2 and 255 pass, 1 and 0 do not; the connection is there all the same.")
    for number, ttl in enumerate((255, 2, 1, 0)):
        c = f"{CLIENT}:{1010 + number}"
        s.client(tcp(c, v, "S", ip=dict(ttl=ttl)))
        s.server(tcp(r, c, "SA", ip=dict(ttl=ttl)))
    s.do("connections")
    s.title("More than a header in the SYN; an ACK of nothing known; a RST of nothing known.")
    s.client(tcp(f"{CLIENT}:1020", v, "S", data=b"early"))
    s.client(tcp(f"{CLIENT}:1021", v, "A"), tcp(f"{CLIENT}:1021", v, "R"))
    s.do("connections", "stats")


@scenario
def nat_udp(s):
    """NAT, UDP: checksums, none, wrong ones and lengths, both ways."""
    s.service("udp", f"{VIP}:53", f"{SERVER}:5353 -m")
    s.service("udp", f"{VIP}:54", f"{SERVER}:54 -m")
    for port, real in ((53, 5353), (54, 54)):
        c, v, r = f"{CLIENT}:20{port}", f"{VIP}:{port}", f"{SERVER}:{real}"
        s.title(f"Port {port} to {real}: with a checksum, without one, with a wrong one.")
        s.client(udp(c, v))
        s.server(udp(r, c, b"answer"))
        s.client(udp(c, v, check=0))
        s.server(udp(r, c, b"answer", check=0))
        s.client(udp(c, v, check=0xBEEF))
        s.server(udp(r, c, check=0xBEEF))
        s.client(udp(c, v, check=0xFFFF))
        s.title("No data, an odd number of bytes, much.")
        s.client(udp(c, v, b""), udp(c, v, b"x"), udp(c, v, pattern(1472)))
        s.server(udp(r, c, b""), udp(r, c, b"x"), udp(r, c, pattern(1472)))
        s.title("A checksum that comes out as 0 is sent as ffff: one of these makes it so.")
        for number in range(4):
            base = udp(c, v, b"\0\0")
            value = (int.from_bytes(base[26:28], "big") + number - 1) % 0xFFFF
            s.client(udp(c, v, value.to_bytes(2, "big")))
        for number in range(4):
            # As the server would see it: this is what the sum becomes after translation.
            base = udp(c, r, b"\0\0")
            value = (int.from_bytes(base[26:28], "big") + number - 1) % 0xFFFF
            s.client(udp(c, v, value.to_bytes(2, "big")))
        for number in range(4):
            base = udp(v, c, b"\0\0")
            value = (int.from_bytes(base[26:28], "big") + number - 1) % 0xFFFF
            s.server(udp(r, c, value.to_bytes(2, "big")))
        s.title("No checksum, and the full one that takes its place comes out as 0.")
        base = udp(c, r, b"\0\0")
        s.client(udp(c, v, base[26:28], check=0))
        s.title("UDP length: shorter than the packet, longer, less than a header, 0.")
        for length in (10, 11, 20, 7, 0):
            s.client(udp(c, v, length=length))
            s.client(udp(c, v, length=length, check=0))
            s.server(udp(r, c, length=length))
            s.server(udp(r, c, length=length, check=0))
    s.title("TTL")
    for ttl in (2, 1, 0):
        s.client(udp(f"{CLIENT}:2100", f"{VIP}:53", ip=dict(ttl=ttl)))
        s.server(udp(f"{SERVER}:5353", f"{CLIENT}:2100", ip=dict(ttl=ttl)))
    s.do("connections", "stats")


@scenario
def nat_routed(s):
    """What belongs to no connection or no service is routed or answered as any host does it."""
    s.service("tcp", f"{VIP}:80", f"{SERVER}:8080 -m")
    s.service("udp", f"{VIP}:53", f"{SERVER}:5353 -m")
    s.title("Replies of connections that are not known go out as they are.")
    s.server(tcp(f"{SERVER}:8080", f"{CLIENT}:3001", "SA"))
    s.server(udp(f"{SERVER}:5353", f"{CLIENT}:3001"))
    s.title("With nat_icmp_send, the server is told.")
    s.do("sysctl net.ipv4.vs.nat_icmp_send=1")
    s.server(tcp(f"{SERVER}:8080", f"{CLIENT}:3001", "SA"))
    s.server(tcp(f"{SERVER}:8080", f"{CLIENT}:3001", "RA"))
    s.server(udp(f"{SERVER}:5353", f"{CLIENT}:3001"))
    s.server(udp(f"{SERVER}:5354", f"{CLIENT}:3001"))
    s.server(udp("10.0.2.12:5353", f"{CLIENT}:3001"))
    s.do("sysctl net.ipv4.vs.nat_icmp_send=0")
    s.title("Clients and servers speak to each other without a service.")
    s.client(tcp(f"{CLIENT}:3002", f"{SERVER}:8080", "S"))
    s.server(tcp(f"{SERVER}:8080", f"{CLIENT}:3002", "SA"))
    s.client(udp(f"{CLIENT}:3002", "10.0.2.12:7"))
    s.client(icmp(CLIENT, SERVER, 8, rest=0x00010001, body=b"ping"))
    s.server(icmp(SERVER, CLIENT, 0, rest=0x00010001, body=b"ping"))
    s.title("Routed with a TTL that is used up: from the interface's address.")
    s.client(udp(f"{CLIENT}:3002", "10.0.2.12:7", ip=dict(ttl=1)))
    s.server(udp("10.0.2.12:7", f"{CLIENT}:3002", ip=dict(ttl=1)))
    s.title("Where no route is.")
    s.client(udp(f"{CLIENT}:3002", "192.168.9.9:7"))
    s.server(udp("10.0.2.12:7", "192.168.9.9:3002"))
    s.title("Back out where it came from: both are on one link.")
    s.client(udp(f"{CLIENT}:3002", "10.0.1.3:7"))
    s.title(
        "A request on the servers' side from a server itself (hairpin), the reply through here."
    )
    s.server(tcp("10.0.2.12:3003", f"{VIP}:80", "S"))
    s.server(tcp(f"{SERVER}:8080", "10.0.2.12:3003", "SA"))
    s.server(tcp("10.0.2.12:3003", f"{VIP}:80", "A"))
    s.title("The server is its own client.")
    s.server(tcp(f"{SERVER}:3004", f"{VIP}:80", "S"))
    s.server(tcp(f"{SERVER}:8080", f"{SERVER}:3004", "SA"))
    s.title("A request that comes in on the servers' side from a client.")
    s.server(tcp(f"{CLIENT}:3005", f"{VIP}:80", "S"))
    s.title("Source port 20 is never scheduled.")
    s.client(tcp(f"{CLIENT}:20", f"{VIP}:80", "S"), udp(f"{CLIENT}:20", f"{VIP}:53"))
    s.title("Sources that nobody has: the director's own, multicast, broadcast, 0, loopback.")
    for source in (
        "10.0.1.1",
        VIP,
        "224.0.0.1",
        "255.255.255.255",
        "0.0.0.0",
        "127.0.0.1",
        "240.0.0.1",
        "10.0.1.255",
        "10.0.2.1",
        "0.1.2.3",
    ):
        s.client(tcp(f"{source}:3006", f"{VIP}:80", "S"))
    s.title("Destinations that are not routed.")
    for destination in (
        "224.0.0.5",
        "255.255.255.255",
        "10.0.1.255",
        "10.0.2.255",
        "0.0.0.0",
        "127.0.0.1",
        "240.0.0.1",
        "169.254.1.1",
    ):
        s.client(udp(f"{CLIENT}:3007", f"{destination}:7"))
    s.do("connections")


def larger_than(s, request, reply):
    v, r = f"{VIP}:80", f"{SERVER}:8080"
    s.service("tcp", v, f"{r} -m")
    s.service("udp", f"{VIP}:53", f"{SERVER}:5353 -m")
    c = f"{CLIENT}:1001"
    s.title("The connections.")
    s.client(tcp(c, v, "S"), udp(c, f"{VIP}:53"))
    s.server(tcp(r, c, "SA", seq=5000, ack=1001))
    for df in (True, False):
        s.title(f"Requests and replies of 1000 and 1001 bytes, DF {'set' if df else 'clear'}.")
        for length in (960, 961):
            data = pattern(length)
            s.client(tcp(c, v, "A", seq=1001, ack=5001, data=data, ip=dict(df=df)))
            s.server(tcp(r, c, "A", seq=5001, ack=1001, data=data, ip=dict(df=df)))
        for length in (972, 973):
            s.client(udp(c, f"{VIP}:53", pattern(length), ip=dict(df=df)))
            s.server(udp(f"{SERVER}:5353", c, pattern(length), ip=dict(df=df)))
    s.title("Three pieces' worth needs more than one cut where the other side's MTU is larger.")
    s.client(udp(c, f"{VIP}:53", pattern(1472), ip=dict(df=False)))
    s.server(udp(f"{SERVER}:5353", c, pattern(1472), ip=dict(df=False)))
    s.client(udp(c, f"{VIP}:53", pattern(1472), ip=dict(df=False), check=0))
    s.title("With IP options: those that are copied into every piece, and those that are not.")
    s.client(udp(c, f"{VIP}:53", pattern(1200), ip=dict(df=False, options=b"\x94\4\0\0")))
    s.client(
        udp(
            c,
            f"{VIP}:53",
            pattern(1200),
            ip=dict(df=False, options=bytes([7, 11, 4] + [0] * 8 + [1])),
        )
    )
    s.client(udp(c, f"{VIP}:53", pattern(1200), ip=dict(df=True, options=b"\x94\4\0\0")))
    s.title("Identification 0, TOS; TTL 1 and too large: what is said.")
    s.client(udp(c, f"{VIP}:53", pattern(1200), ip=dict(df=False, ident=0, tos=0xB8)))
    s.client(udp(c, f"{VIP}:53", pattern(1200), ip=dict(ttl=1)))
    s.title("Routed without a service: DF set, clear.")
    s.client(
        udp(c, "10.0.2.12:7", pattern(1200)),
        udp(c, "10.0.2.12:7", pattern(1200), ip=dict(df=False)),
    )
    s.server(
        udp("10.0.2.12:7", c, pattern(1200)),
        udp("10.0.2.12:7", c, pattern(1200), ip=dict(df=False)),
    )
    s.do("connections", "stats")


@scenario
def nat_mtu_servers(s):
    """NAT where the link to the servers carries 1000 bytes."""
    s.network("ip link set lan1 mtu 1000")
    larger_than(s, True, False)


@scenario
def nat_mtu_clients(s):
    """NAT where the link to the clients carries 1000 bytes."""
    s.network("ip link set lan0 mtu 1000")
    larger_than(s, False, True)
