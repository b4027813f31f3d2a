"""SCTP, AH and ESP, persistence, and packets that are odd."""

import struct

from frames import (
    FLAGS,
    checksum,
    chunk,
    datagram,
    fragments,
    ip4,
    packet,
    pattern,
    put,
    sctp,
    sctp_body,
    segment,
    tcp,
    udp,
)
from scenario import CLIENT, CLIENT6, SERVER, SERVER6, VIP, VIP6, scenario

DATA, INIT, INIT_ACK, SACK, HEARTBEAT, HEARTBEAT_ACK, ABORT = 0, 1, 2, 3, 4, 5, 6
SHUTDOWN, SHUTDOWN_ACK, ERROR, COOKIE_ECHO, COOKIE_ACK, COMPLETE = 7, 8, 9, 10, 11, 14


def association(s, c, v, r):
    """From INIT to the end, as the two would do it."""
    s.client(sctp(c, v, [chunk(INIT, bytes(16))], tag=0))
    s.server(sctp(r, c, [chunk(INIT_ACK, bytes(16) + pattern(24))]))
    s.client(sctp(c, v, [chunk(COOKIE_ECHO, pattern(24))]))
    s.server(sctp(r, c, [chunk(COOKIE_ACK)]))
    s.do("connections")
    s.client(sctp(c, v, [chunk(DATA, bytes(12) + b"odd", flags=3)]))
    s.server(sctp(r, c, [chunk(SACK, bytes(12)), chunk(DATA, bytes(12) + pattern(1400), flags=3)]))
    s.client(sctp(c, v, [chunk(HEARTBEAT, bytes(8))]))
    s.server(sctp(r, c, [chunk(HEARTBEAT_ACK, bytes(8))]))
    s.client(sctp(c, v, [chunk(SHUTDOWN, bytes(4))]))
    s.server(sctp(r, c, [chunk(SHUTDOWN_ACK)]))
    s.client(sctp(c, v, [chunk(COMPLETE)]))
    s.do("connections")


def sctp_cases(s, client, vip, server):
    c, v, r = (f"[{a}]" if ":" in a else a for a in (client, vip, server))
    s.service("sctp", f"{v}:90", f"{r}:9090 -m")
    s.service("sctp", f"{v}:91", f"{r}:91 -m")
    for port, real in ((90, 9090), (91, 91)):
        s.title(f"Port {port} to {real}: an association.")
        association(s, f"{c}:1001", f"{v}:{port}", f"{r}:{real}")
        s.title("ABORT from the client, from the server; COOKIE-ECHO together with DATA.")
        s.client(sctp(f"{c}:1002", f"{v}:{port}", [chunk(INIT, bytes(16))], tag=0))
        s.client(sctp(f"{c}:1002", f"{v}:{port}", [chunk(ABORT)]))
        s.client(sctp(f"{c}:1003", f"{v}:{port}", [chunk(INIT, bytes(16))], tag=0))
        s.client(
            sctp(
                f"{c}:1003",
                f"{v}:{port}",
                [chunk(COOKIE_ECHO, pattern(24)), chunk(DATA, bytes(20), 3)],
            )
        )
        s.server(sctp(f"{r}:{real}", f"{c}:1003", [chunk(ABORT)]))
        s.do("connections")
        s.title("Wrong checksums: of a request that begins, of a later one, of a reply; 0.")
        s.client(sctp(f"{c}:1004", f"{v}:{port}", [chunk(INIT, bytes(16))], tag=0, crc=0xBEEF))
        s.client(sctp(f"{c}:1004", f"{v}:{port}", [chunk(DATA, bytes(16), 3)], crc=0xBEEF))
        s.server(sctp(f"{r}:{real}", f"{c}:1004", [chunk(DATA, bytes(16), 3)], crc=0xBEEF))
        s.client(sctp(f"{c}:1004", f"{v}:{port}", [chunk(DATA, bytes(16), 3)], crc=0))
        s.title("What begins nothing, unknown before: COOKIE-ECHO, DATA, ABORT, INIT-ACK.")
        for kind in (COOKIE_ECHO, DATA, ABORT, INIT_ACK, SHUTDOWN_ACK, 200):
            s.client(sctp(f"{c}:1005", f"{v}:{port}", [chunk(kind, bytes(16))]))
        s.server(sctp(f"{r}:{real}", f"{c}:1005", [chunk(DATA, bytes(16), 3)]))
        s.title("Less than a header, no chunk, a chunk that is cut off, one of length 0.")
        whole = sctp_body(1006, port, [chunk(INIT, bytes(16))], tag=0)
        for length in (0, 4, 8, 11, 12, 13, 15, 16, 20):
            s.client(packet(client, vip, 132, whole[:length]))
        s.client(sctp(f"{c}:1007", f"{v}:{port}", [struct.pack("!BBH", INIT, 0, 0)], tag=0))
        s.title("TTL 1; TOS.")
        s.client(sctp(f"{c}:1008", f"{v}:{port}", [chunk(INIT, bytes(16))], tag=0, ip=dict(ttl=1)))
        s.client(
            sctp(f"{c}:1008", f"{v}:{port}", [chunk(INIT, bytes(16))], tag=0, ip=dict(tos=0xBA))
        )
    s.do("connections", "stats")


@scenario
def sctp_nat(s):
    """SCTP by NAT, with another port at the server (a new checksum) and with the same."""
    sctp_cases(s, CLIENT, VIP, SERVER)
    s.title("In fragments.")
    whole = sctp(
        f"{CLIENT}:1010", f"{VIP}:90", [chunk(INIT, bytes(16)), chunk(ERROR, pattern(200))], tag=0
    )
    s.client(*fragments(whole, 104))


@scenario
def sctp_nat_6(s):
    """SCTP by NAT over IPv6."""
    sctp_cases(s, CLIENT6, VIP6, SERVER6)


def ipsec_cases(s, client, vip, servers):
    c, v = (f"[{a}]" if ":" in a else a for a in (client, vip))
    esp, ah = pattern(40), struct.pack("!BBHII", 6, 4, 0, 1, 1) + bytes(12) + pattern(20)
    s.title("Without a connection.")
    s.client(packet(client, vip, 50, esp), packet(client, vip, 51, ah))
    for (server, words), (first, second) in servers:
        r = f"[{server}]" if ":" in server else server
        s.do(f"-A -u {v}:500 -s rr", f"-a -u {v}:500 -r {r}:500 {words}")
        s.title(f"A key exchange on port 500 is there, {words}.")
        s.client(udp(f"{c}:500", f"{v}:500", b"ike"))
        s.client(packet(client, vip, 50, esp), packet(client, vip, 51, ah))
        s.client(packet(client, vip, 50, esp[:4]), packet(client, vip, 50, b""))
        s.client(
            packet(client, vip, 50, esp, ip=dict(ttl=1)),
            packet(client, vip, 50, esp, ip=dict(tos=0xB8)),
        )
        s.title("From the server.")
        s.server(packet(server, client, 50, esp), packet(server, client, 51, ah))
        s.title("Another client; another port.")
        s.client(packet(first, vip, 50, esp))
        s.client(udp(f"{c}:4500", f"{v}:500", b"ike"), udp(f"{c}:501", f"{v}:500", b"ike"))
        s.do("connections", "stats", f"-D -u {v}:500")
        client, c = second, f"[{second}]" if ":" in second else second


@scenario
def ipsec(s):
    """AH and ESP follow the UDP connection from port 500 to port 500."""
    ipsec_cases(
        s,
        CLIENT,
        VIP,
        [
            ((SERVER, "-m"), ("10.0.1.9", "10.0.1.3")),
            (("10.0.2.12", "-g"), ("10.0.1.9", "10.0.1.4")),
            (("10.0.2.13", "-i"), ("10.0.1.9", "10.0.1.5")),
        ],
    )
    s.title("In fragments.")
    s.service("udp", f"{VIP}:500", f"{SERVER}:500 -m")
    s.client(udp("10.0.1.5:500", f"{VIP}:500", b"ike"))
    s.client(*fragments(packet("10.0.1.5", VIP, 50, pattern(200)), 104))
    s.client(*reversed(fragments(packet("10.0.1.5", VIP, 50, pattern(200)), 104, ident=2)))
    s.do("connections")


@scenario
def ipsec_6(s):
    """AH and ESP over IPv6."""
    ipsec_cases(
        s,
        CLIENT6,
        VIP6,
        [
            ((SERVER6, "-m"), ("fd00:1::9", "fd00:1::3")),
            (("fd00:2::c", "-g"), ("fd00:1::9", "fd00:1::4")),
        ],
    )


@scenario
def odd_tcp(s):
    """TCP by NAT: strange flags, lengths and headers."""
    v, r = f"{VIP}:80", f"{SERVER}:8080"
    s.service("tcp", v, f"{r} -m")
    s.title("Every kind of flags as a first packet.")
    for bits in range(64):
        flags = "".join(flag for i, flag in enumerate(FLAGS) if bits >> i & 1) or "-"
        s.client(tcp(f"{CLIENT}:{2000 + bits}", v, flags, seq=7000, ack=9000))
    s.client(tcp(f"{CLIENT}:2064", v, "SEC"), tcp(f"{CLIENT}:2065", v, "SFRPAUEC"))
    s.do("connections")
    s.title("With a connection: urgent data, no flags, all flags.")
    c = f"{CLIENT}:1001"
    s.client(tcp(c, v, "S"))
    s.server(tcp(r, c, "SA", ack=1001))
    s.client(tcp(c, v, "A", seq=1001), tcp(c, v, "UA", seq=1001, urgent=5, data=b"urgent"))
    s.client(tcp(c, v, "A", urgent=7), tcp(c, v, "-"), tcp(c, v, "UPE"))
    s.server(tcp(r, c, "UA", urgent=3, data=b"abc"))
    s.do("connections")
    s.title("Ports 0 and 65535; window 0; the largest numbers.")
    s.client(tcp(f"{CLIENT}:0", v, "S"), tcp(f"{CLIENT}:65535", v, "S"), tcp(c, f"{VIP}:0", "S"))
    s.client(tcp(f"{CLIENT}:1002", v, "S", window=0, seq=0xFFFFFFFF, ack=0xFFFFFFFF))
    s.title(
        "The header's length: less than five words, more than there is; options that are wrong."
    )
    for offset in (0, 4, 6, 15):
        s.client(tcp(f"{CLIENT}:{1100 + offset}", v, "S", offset=offset))
        s.client(tcp(c, v, "A", offset=offset))
    s.client(
        tcp(f"{CLIENT}:1120", v, "S", options=b"\x02\0\0\0"),
        tcp(f"{CLIENT}:1121", v, "S", options=b"\x02\x28\0\0"),
    )
    s.title("Cut off: 0, 1, 3, 4, 8, 12, 13, 14, 18, 19 bytes of TCP; both ways.")
    whole, reply = segment(f"{CLIENT}:1200", v, "S"), segment(r, c, "A")
    for length in (0, 1, 3, 4, 8, 12, 13, 14, 18, 19):
        s.client(ip4(CLIENT, VIP, 6, whole[:length]))
        s.server(ip4(SERVER, CLIENT, 6, reply[:length]))
    s.title("Reserved bits, which were the nonce sum and others.")
    for bits in (0x01, 0x0E):
        body = put(segment(f"{CLIENT}:{1210 + bits}", v, "S", check=0), 12, bytes([0x50 | bits]))
        s.client(ip4(CLIENT, VIP, 6, body))
    s.do("connections", "stats")


@scenario
def odd_ip(s):
    """IPv4 by NAT: lengths, versions and checksums that are wrong; what is behind the packet."""
    v, r, c = f"{VIP}:53", f"{SERVER}:5353", f"{CLIENT}:1001"
    s.service("udp", v, f"{r} -m")
    s.service("tcp", f"{VIP}:80", f"{SERVER}:8080 -m")
    s.service("udp", f"{VIP}:54", f"{SERVER}:54 -g")
    s.service("udp", f"{VIP}:55", f"{SERVER}:55 -i")
    s.client(udp(c, v))
    s.title("Total length: less than the frame, more, less than the header, 0.")
    for total in (31, 28, 27, 24, 20, 19, 0, 33, 60, 1500, 65535):
        s.client(udp(c, v, ip=dict(total=total)))
        s.server(udp(r, c, ip=dict(total=total)))
    s.title("Header length: less than five words, more than there is.")
    for ihl in (0, 4, 6, 15):
        s.client(udp(c, v, ip=dict(ihl=ihl)))
    s.title("Version; header checksum, wrong, 0, ffff; the reserved bit.")
    for version in (0, 5, 6, 15):
        s.raw(
            "lan0",
            bytes.fromhex("0200000000610200000001020800") + udp(c, v, ip=dict(version=version)),
        )
    for check in (0xBEEF, 0, 0xFFFF):
        s.client(udp(c, v, ip=dict(check=check)))
    whole = put(udp(c, v), 6, b"\x80\0")
    whole = put(whole, 10, b"\0\0")
    s.client(put(whole, 10, struct.pack("!H", checksum(whole[:20]))))
    s.title("Frames that end within IP, within UDP.")
    for length in (1, 10, 19, 20, 24, 27, 28, 31):
        s.raw("lan0", bytes.fromhex("0200000000610200000001020800") + udp(c, v)[:length])
    s.title("No frame at all behind the addresses; only a type.")
    s.raw("lan0", bytes.fromhex("0200000000610200000001020800"))
    s.title("Behind the packet: zeros up to Ethernet's least, rubbish, very much.")
    for port in (53, 54, 55):
        for padding in (bytes(14), b"\xaa" * 14, b"\xaa" * 1000):
            s.send("lan0", udp(c, f"{VIP}:{port}"), padding=padding)
            s.send("lan0", udp(c, f"{VIP}:{port}", check=0), padding=padding)
    for padding in (bytes(14), b"\xaa" * 14, b"\xaa" * 1000):
        s.send("lan1", udp(r, c), padding=padding)
        s.send("lan1", udp(r, c, check=0), padding=padding)
    s.title("UDP cut off: 0, 1, 4, 7 bytes.")
    for length in (0, 1, 4, 7):
        s.client(ip4(CLIENT, VIP, 17, datagram(c, v)[:length]))
        s.server(ip4(SERVER, CLIENT, 17, datagram(r, c)[:length]))
    s.title("UDP length that is wrong, for DR and for a tunnel.")
    for port in (54, 55):
        for length in (0, 7, 8, 11, 13, 65535):
            s.client(
                udp(c, f"{VIP}:{port}", length=length),
                udp(c, f"{VIP}:{port}", length=length, check=0),
            )
    s.title("Ports 0.")
    s.client(udp(f"{CLIENT}:0", v), udp(c, f"{VIP}:0"))
    s.title("Options that take the whole header; an option that runs over its end; unknown ones.")
    for words in (
        bytes(40),
        b"\1" * 40,
        b"\x07\x27\x04" + bytes(37),
        b"\x07\x05\4\0",
        b"\x07\x02\4\0",
        b"\x07\x0b\x03" + bytes(9),
        b"\x44\x0c\x05\x03" + bytes(8),
        b"\x44\x0c\x0d\xf0" + bytes(8),
        b"\x44\x0c\x05\x01" + bytes(8),
        b"\x86\x04\0\0",
        b"\x9e\x04\0\0",
        b"\x1e\x04\0\0",
        b"\x88\x04\0\0",
        b"\x07\x01\0\0",
        b"\x83\x07\x08\x0a\0\2\x63\0",
        b"\x89\x07\4\x0a\0\2\x63\0",
    ):
        s.client(udp(c, v, ip=dict(options=words)))
    s.do("connections", "stats")


@scenario
def persistence(s):
    """Persistent services, port 0, one packet scheduling: what goes where."""
    s.service("tcp", f"{VIP}:80", f"{SERVER}:80 -m", "10.0.2.12:80 -m", more=" -p 300")
    s.service("tcp", f"{VIP}:0", f"{SERVER}:0 -m", "10.0.2.12:0 -m", more=" -p 300")
    s.service("udp", f"{VIP}:53", f"{SERVER}:53 -m", "10.0.2.12:53 -m", more=" -o")
    for client in ("10.0.1.2", "10.0.1.3", "10.0.1.4"):
        for port in (1001, 1002):
            s.client(
                tcp(f"{client}:{port}", f"{VIP}:80", "S"),
                tcp(f"{client}:{port}", f"{VIP}:8000", "S"),
            )
    s.do("connections")
    s.title("Port 0 keeps the port; replies.")
    for server in (SERVER, "10.0.2.12"):
        for client in ("10.0.1.2", "10.0.1.3", "10.0.1.4"):
            s.server(
                tcp(f"{server}:8000", f"{client}:1001", "SA"),
                tcp(f"{server}:80", f"{client}:1001", "SA"),
            )
    s.title("One packet each; the reply is nobody's.")
    for _ in range(4):
        s.client(udp(f"{CLIENT}:1001", f"{VIP}:53"))
    s.server(udp(f"{SERVER}:53", f"{CLIENT}:1001"))
    s.do("connections", "stats")
